package train

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// Schedule says how the learning rate moves over the updates, from the optimizer's lr. With s the number of updates done,
// T all of them and W those of the warm-up:
//
//	warm-up   lr (s+1)/W                                            for s < W
//	constant  lr
//	step      lr Factor^(number of milestones at or before epoch(s))
//	cosine    Final lr + (1-Final) lr (1 + cos(pi (s-W)/(T-W))) / 2
type Schedule struct {
	Name         string    `json:"name"`          // constant, step or cosine
	WarmupSteps  int       `json:"warmup_steps"`  // updates of linear warm-up; 0
	WarmupEpochs float64   `json:"warmup_epochs"` // the same in epochs; the larger of the two counts
	Milestones   []float64 `json:"milestones"`    // step: epochs at which the rate drops, ascending
	Factor       float64   `json:"factor"`        // step: what a milestone multiplies the rate by; 0.1
	Final        float64   `json:"final"`         // cosine: share of lr at the end, [0, 1]; 0
}

// NewSchedule returns the cosine without warm-up.
func NewSchedule() Schedule { return Schedule{Name: "cosine", Milestones: []float64{}, Factor: 0.1} }

// maxMilestones is the most drops of a step schedule; all of them are looked through for each update.
const maxMilestones = 1000

// Validate says what is wrong with the schedule, and how to fix it.
func (s Schedule) Validate() error {
	var errs []error
	check := func(ok bool, key string, got any, fix string) {
		if !ok {
			errs = append(errs, fmt.Errorf("recipe: schedule.%s is %s; %s", key, strict.Short(fmt.Sprint(got)), fix))
		}
	}
	check(slices.Contains([]string{"constant", "step", "cosine"}, s.Name), "name", s.Name, "use constant, step or cosine")
	check(s.WarmupSteps >= 0, "warmup_steps", s.WarmupSteps, "use 0 for none")
	check(finite(s.WarmupEpochs) && s.WarmupEpochs >= 0, "warmup_epochs", s.WarmupEpochs, "use 0 for none")
	check(s.Name != "step" || len(s.Milestones) > 0, "milestones", s.Milestones, "a step schedule needs the epochs of its drops")
	check(len(s.Milestones) <= maxMilestones, "milestones", len(s.Milestones), fmt.Sprintf("use at most %d", maxMilestones))
	check(!slices.ContainsFunc(s.Milestones, func(m float64) bool { return !finite(m) }), "milestones", s.Milestones, "use finite numbers")
	check(slices.IsSorted(s.Milestones), "milestones", s.Milestones, "write them in ascending order")
	check(finite(s.Factor) && s.Factor > 0, "factor", s.Factor, "use a number above 0, for example 0.1")
	check(s.Final >= 0 && s.Final <= 1, "final", s.Final, "use a share from 0 to 1")
	return errors.Join(errs...)
}

// plan is a recipe made concrete for a number of examples: how many updates, and the learning rate of each.
type plan struct {
	epochs        int // passes begun
	stepsPerEpoch int
	steps         int // updates in all
	last          int // examples of the epoch's last batch when it is smaller, else 0
	lr            float64
	warmup        int
	schedule      Schedule
}

// plan applies the large-batch rules and counts.
func (r Recipe) plan(examples int) (plan, error) {
	p := plan{schedule: r.Schedule, epochs: r.Epochs, stepsPerEpoch: examples / r.BatchSize}
	if rest := examples % r.BatchSize; rest > 0 && !r.DropLast {
		p.stepsPerEpoch++
		p.last = rest
	}
	if p.stepsPerEpoch == 0 {
		return plan{}, fmt.Errorf("train: batch_size is %d, the training set has %d examples; use a smaller batch_size or drop_last=false", r.BatchSize, examples)
	}
	lr, err := ScaleLR(r.Optimizer.LR, r.BatchSize, r.LargeBatch.SmallBatch, r.LargeBatch.Rule)
	if err != nil {
		return plan{}, err
	}
	p.lr = lr
	warmupEpochs := r.Schedule.WarmupEpochs
	if r.LargeBatch.RegimeAdaptation {
		factor, err := EpochFactor(r.BatchSize, r.LargeBatch.SmallBatch)
		if err != nil {
			return plan{}, err
		}
		var ok bool
		if p.epochs, ok = untrusted.Product(maxCount, p.epochs, factor); !ok {
			return plan{}, fmt.Errorf("train: epochs is %d and large_batch.regime_adaptation makes it %d times as many; use fewer", r.Epochs, factor)
		}
		warmupEpochs *= float64(factor)
		p.schedule.Milestones = slices.Clone(p.schedule.Milestones)
		for i := range p.schedule.Milestones {
			p.schedule.Milestones[i] *= float64(factor)
		}
	}
	steps, countable := untrusted.Product(maxCount, p.epochs, p.stepsPerEpoch)
	if p.steps = steps; r.Steps > 0 || r.Examples > 0 { // counted in updates, which regime adaptation keeps anyway
		p.steps = r.Steps
		if r.Steps == 0 {
			p.steps = r.Examples / r.BatchSize
		}
		p.epochs, countable = 1+(p.steps-1)/p.stepsPerEpoch, p.steps <= maxCount
	}
	if !countable {
		return plan{}, fmt.Errorf("train: %d epochs of %d updates are too many; use at most %d updates", p.epochs, p.stepsPerEpoch, maxCount)
	}
	warmup := math.Round(warmupEpochs * float64(p.stepsPerEpoch))
	if warmup > maxCount {
		return plan{}, fmt.Errorf("train: schedule.warmup_epochs is %v, which is %.4g updates; use at most %d updates", r.Schedule.WarmupEpochs, warmup, maxCount)
	}
	p.warmup = max(r.Schedule.WarmupSteps, int(warmup))
	return p, nil
}

// rate is the learning rate of the update after step updates.
func (p plan) rate(step int) float64 {
	if step < p.warmup {
		return p.lr * float64(step+1) / float64(p.warmup)
	}
	switch p.schedule.Name {
	case "step":
		lr := p.lr
		epoch := float64(step) / float64(p.stepsPerEpoch)
		for _, m := range p.schedule.Milestones {
			if epoch >= m {
				lr *= p.schedule.Factor
			}
		}
		return lr
	case "cosine":
		share := float64(step-p.warmup) / float64(max(1, p.steps-p.warmup))
		return p.lr * (p.schedule.Final + (1-p.schedule.Final)*(1+math.Cos(math.Pi*share))/2)
	}
	return p.lr
}

package optim

import (
	"fmt"
	"math"
	"slices"
)

// Schedule says how the learning rate moves over the updates, from the optimizer's lr. With s the number of updates done,
// T all of them and W those of the warm-up:
//
//	warm-up   lr (s+1)/W                                            for s < W
//	constant  lr
//	step      lr Factor^(number of milestones at or before epoch(s))
//	cosine    Final lr + (1-Final) lr (1 + cos(pi (s-W)/(T-W))) / 2
//	cosine-7-16  lr cos(7 pi (s-W) / (16 (T-W)))                    which ends at 0.195 lr (FixMatch, arXiv 2001.07685)
type Schedule struct {
	Name         string     `json:"name"`          // constant, step, cosine or cosine-7-16
	WarmupSteps  int        `json:"warmup_steps"`  // updates of linear warm-up; 0
	WarmupEpochs float64    `json:"warmup_epochs"` // the same in epochs; the larger of the two counts
	Milestones   []float64  `json:"milestones"`    // step: epochs at which the rate drops, ascending
	Factor       float64    `json:"factor"`        // step: what a milestone multiplies the rate by; 0.1
	Final        float64    `json:"final"`         // cosine: share of lr at the end, [0, 1]; 0
	LargeBatch   LargeBatch `json:"large_batch"`   // for a batch larger than the one that lr was found for
}

// LargeBatch adapts a schedule that was made for small batches.
type LargeBatch struct {
	Rule             Scaling `json:"rule"`              // how the learning rate grows with the batch: none, sqrt or linear
	SmallBatch       int     `json:"small_batch"`       // batch size that it was made for; 128
	RegimeAdaptation bool    `json:"regime_adaptation"` // as many updates as with the small batch: epochs and milestones x ceil(batch/small)
}

// NewSchedule returns the cosine without warm-up.
func NewSchedule() Schedule {
	return Schedule{Name: "cosine", Milestones: []float64{}, Factor: 0.1, LargeBatch: LargeBatch{Rule: ScaleNone, SmallBatch: 128}}
}

const (
	maxMilestones = 1000          // drops of a step schedule; all of them are looked through for each update
	maxCount      = math.MaxInt32 // updates are counted in 32 bits, and so is what is compared with them
)

// Validate says what is wrong with the schedule, and how to fix it.
func (s Schedule) Validate() error {
	c := checks{key: "schedule"}
	names := []string{"constant", "step", "cosine", "cosine-7-16"}
	c.that(slices.Contains(names, s.Name), "name", s.Name, "use constant, step, cosine or cosine-7-16")
	c.that(s.WarmupSteps >= 0, "warmup_steps", s.WarmupSteps, "use 0 for none")
	c.that(s.WarmupSteps <= maxCount, "warmup_steps", s.WarmupSteps, fmt.Sprintf("use at most %d", maxCount))
	c.that(finite(s.WarmupEpochs) && s.WarmupEpochs >= 0, "warmup_epochs", s.WarmupEpochs, "use 0 for none")
	c.that(s.Name != "step" || len(s.Milestones) > 0, "milestones", s.Milestones, "a step schedule needs the epochs of its drops")
	c.that(len(s.Milestones) <= maxMilestones, "milestones", len(s.Milestones), fmt.Sprintf("use at most %d", maxMilestones))
	c.that(!slices.ContainsFunc(s.Milestones, func(m float64) bool { return !finite(m) }), "milestones", s.Milestones, "use finite numbers")
	c.that(slices.IsSorted(s.Milestones), "milestones", s.Milestones, "write them in ascending order")
	c.that(finite(s.Factor) && s.Factor > 0, "factor", s.Factor, "use a number above 0, for example 0.1")
	c.that(s.Final >= 0 && s.Final <= 1, "final", s.Final, "use a share from 0 to 1")
	if slices.Contains(names, s.Name) {
		usual := NewSchedule()
		c.that(s.Name == "step" || len(s.Milestones) == 0, "milestones", s.Milestones, "schedule "+s.Name+" has no drops; use name: step, or milestones: []")
		c.that(s.Name == "step" || s.Factor == usual.Factor, "factor", s.Factor, "schedule "+s.Name+" has no drops; use name: step, or leave factor out")
		c.that(s.Name == "cosine" || s.Final == usual.Final, "final", s.Final, "schedule "+s.Name+" ends elsewhere; use name: cosine, or leave final out")
	}
	c.that(slices.Contains(scalings, s.LargeBatch.Rule), "large_batch.rule", s.LargeBatch.Rule, "use none, sqrt or linear")
	c.that(s.LargeBatch.SmallBatch >= 1, "large_batch.small_batch", s.LargeBatch.SmallBatch, "use the batch size the recipe was made for")
	c.that(s.LargeBatch.SmallBatch <= maxCount, "large_batch.small_batch", s.LargeBatch.SmallBatch, fmt.Sprintf("use at most %d", maxCount))
	return c.err()
}

// Factor is how many times as many epochs a batch of this size takes: 1, or ceil(batch/SmallBatch) with regime adaptation.
func (b LargeBatch) Factor(batch int) (int, error) {
	if !b.RegimeAdaptation {
		return 1, nil
	}
	return EpochFactor(batch, b.SmallBatch)
}

// Course is a schedule with its counts: the learning rate of each update.
type Course struct {
	lr       float64
	perEpoch int
	updates  int
	warmup   int
	schedule Schedule
}

// Course applies the schedule to an optimizer's rate, for updates of batch examples, perEpoch to a pass. It errors when the warm-up is
// longer than updates can be counted.
func (s Schedule) Course(lr float64, batch, perEpoch, updates int) (Course, error) {
	c := Course{perEpoch: perEpoch, updates: updates, schedule: s}
	var err error
	if c.lr, err = ScaleLR(lr, batch, s.LargeBatch.SmallBatch, s.LargeBatch.Rule); err != nil {
		return Course{}, err
	}
	factor, err := s.LargeBatch.Factor(batch)
	if err != nil {
		return Course{}, err
	}
	if s.LargeBatch.RegimeAdaptation {
		c.schedule.Milestones = slices.Clone(s.Milestones)
		for i := range c.schedule.Milestones {
			c.schedule.Milestones[i] *= float64(factor)
		}
	}
	warmup := math.Round(s.WarmupEpochs * float64(factor) * float64(perEpoch))
	if warmup > maxCount {
		return Course{}, fmt.Errorf("train: schedule.warmup_epochs is %v, which is %.4g updates; use at most %d updates", s.WarmupEpochs, warmup, maxCount)
	}
	c.warmup = max(s.WarmupSteps, int(warmup))
	return c, nil
}

// Rate is the learning rate of the update after done updates.
func (c Course) Rate(done int) float64 {
	if done < c.warmup {
		return c.lr * float64(done+1) / float64(c.warmup)
	}
	share := float64(done-c.warmup) / float64(max(1, c.updates-c.warmup))
	switch c.schedule.Name {
	case "step":
		lr := c.lr
		epoch := float64(done) / float64(c.perEpoch)
		for _, m := range c.schedule.Milestones {
			if epoch >= m {
				lr *= c.schedule.Factor
			}
		}
		return lr
	case "cosine":
		return c.lr * (c.schedule.Final + (1-c.schedule.Final)*(1+math.Cos(math.Pi*share))/2)
	case "cosine-7-16":
		return c.lr * math.Cos(7*math.Pi*share/16)
	}
	return c.lr
}

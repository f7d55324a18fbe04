package train

import (
	"fmt"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/untrusted"
	"github.com/ballast-ml/ballast/nn/optim"
)

// plan is a recipe made concrete for a number of examples: how many updates, and the learning rate of each.
type plan struct {
	epochs        int // passes begun
	stepsPerEpoch int
	steps         int // updates in all
	last          int // examples of the epoch's last batch when it is smaller, else 0
	course        optim.Course
}

// plan applies the large-batch rules and counts.
func (r Recipe) plan(examples int) (plan, error) {
	p := plan{epochs: r.Epochs, stepsPerEpoch: examples / r.BatchSize}
	if rest := examples % r.BatchSize; rest > 0 && !r.DropLast {
		p.stepsPerEpoch++
		p.last = rest
	}
	if p.stepsPerEpoch == 0 {
		return plan{}, &fault.Input{Err: fmt.Errorf("train: batch_size is %d, the training set has %d examples; use a smaller batch_size or drop_last=false", r.BatchSize, examples)}
	}
	factor, err := r.Schedule.LargeBatch.Factor(r.BatchSize)
	if err != nil {
		return plan{}, err
	}
	var ok bool
	if p.epochs, ok = untrusted.Product(maxCount, p.epochs, factor); !ok {
		return plan{}, &fault.Input{Err: fmt.Errorf("train: epochs is %d and schedule.large_batch.regime_adaptation makes it %d times as many; use fewer", r.Epochs, factor)}
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
		return plan{}, &fault.Input{Err: fmt.Errorf("train: %d epochs of %d updates are too many; use at most %d updates", p.epochs, p.stepsPerEpoch, maxCount)}
	}
	p.course, err = r.Schedule.Course(r.Optimizer.Rate(), r.BatchSize, p.stepsPerEpoch, p.steps)
	return p, err
}

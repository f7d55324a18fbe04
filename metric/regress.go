package metric

import (
	"fmt"
	"math"
)

// Regression measures how far predicted values are from the right ones. Every value counts alike.
type Regression struct {
	Values int // of an example

	seen                     int
	absolute, squared, logOf float64
}

var _ Measure = (*Regression)(nil)

// Add takes predictions and targets, both [n, Values].
func (r *Regression) Add(out []float32, _ []int32, targets []float32) error {
	if len(out) == 0 || len(out) != len(targets) || len(out)%r.Values != 0 {
		return fmt.Errorf("metric: %d predictions for %d targets of %d values an example; want as many, and at least 1", len(out), len(targets), r.Values)
	}

	var absolute, squared, logOf float64
	for i, v := range out {
		e := math.Abs(float64(v) - float64(targets[i]))
		if math.IsNaN(e) || math.IsInf(e, 0) {
			return fmt.Errorf("metric: example %d: value %d is %v, its target %v; both must be finite", i/r.Values, i%r.Values, v, targets[i])
		}
		absolute += e
		squared += e * e
		logOf += math.Log(e)
	}

	r.absolute += absolute
	r.squared += squared
	r.logOf += logOf // minus infinity once a prediction is exact
	r.seen += len(out)
	return nil
}

// Numbers are the mean absolute error, the mean squared error, and the geometric mean of the absolute errors, which is 0 as soon as one
// prediction is exact.
func (r *Regression) Numbers() []Number {
	seen := float64(r.seen) // 0/0 is NaN
	return []Number{
		{Name: "mae", Title: "mean absolute error", Value: r.absolute / seen, Better: Lower},
		{Name: "mse", Title: "mean squared error", Value: r.squared / seen, Better: Lower},
		{Name: "gm", Title: "geometric mean of errors", Value: math.Exp(r.logOf / seen), Better: Lower},
	}
}

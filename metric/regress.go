package metric

import (
	"fmt"
	"math"
)

// Regression measures how far predicted values are from the right ones. Every value counts alike.
type Regression struct {
	Values int // of an example

	errors errorSums
}

var _ Measure = (*Regression)(nil)

// Add takes predictions and targets, both [n, Values].
func (r *Regression) Add(out []float32, _ []int32, targets []float32) error {
	if len(out) == 0 || len(out) != len(targets) || len(out)%r.Values != 0 {
		return fmt.Errorf("metric: %d predictions for %d targets of %d values an example; want as many, and at least 1", len(out), len(targets), r.Values)
	}

	var batch errorSums
	for i, v := range out {
		if !batch.add(float64(v) - float64(targets[i])) {
			return fmt.Errorf("metric: example %d: value %d is %v, its target %v; both must be finite", i/r.Values, i%r.Values, v, targets[i])
		}
	}
	r.errors.merge(batch)
	return nil
}

// Numbers are the mean absolute error, the mean squared error, and the geometric mean of the absolute errors, which is 0 as soon as one
// prediction is exact.
func (r *Regression) Numbers() []Number { return r.errors.numbers() }

// errorSums are sums over errors.
type errorSums struct {
	seen                     int
	absolute, squared, logOf float64
}

// add counts an error; it reports false for one that is not finite.
func (s *errorSums) add(e float64) bool {
	e = math.Abs(e)
	if math.IsNaN(e) || math.IsInf(e, 0) {
		return false
	}
	s.seen++
	s.absolute += e
	s.squared += e * e
	s.logOf += math.Log(e) // minus infinity for an exact prediction
	return true
}

func (s *errorSums) merge(other errorSums) {
	s.seen += other.seen
	s.absolute += other.absolute
	s.squared += other.squared
	s.logOf += other.logOf
}

func (s *errorSums) numbers() []Number {
	seen := float64(s.seen) // 0/0 is NaN
	return []Number{
		{Name: "mae", Title: "mean absolute error", Value: s.absolute / seen, Better: Lower},
		{Name: "mse", Title: "mean squared error", Value: s.squared / seen, Better: Lower},
		{Name: "gm", Title: "geometric mean of errors", Value: math.Exp(s.logOf / seen), Better: Lower},
	}
}

package calibrate

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
)

// IsotonicRegression corrects each class's probability on its own, against all others, by the rising function that fits best:
//
//	q_k = g_k(s_k), g_k = argmin over rising g of sum of (g(s_i) - 1[y_i = k])^2, probabilities q_k / sum of q
//
// of log-odds s_k = ln(p_k/(1-p_k)), cut to [-MaxOdds, MaxOdds]: a rising function of the probability is one of them, and beside 1 they stay
// apart. Pooling adjacent violators (PAVA) gives the steps exactly; between two steps g is a line, beyond the last ones it is constant, as
// scikit-learn's is. A probability is at least Floor before the division. Answers may change, and equal probabilities arise. Sources:
// Zadrozny, Elkan, "Transforming Classifier Scores into Accurate Multiclass Probability Estimates", KDD 2002; for PAVA Ayer et al., 1955.
type IsotonicRegression struct{}

var _ Method = IsotonicRegression{}

// NewIsotonicRegression returns the method, which has no options.
func NewIsotonicRegression() IsotonicRegression { return IsotonicRegression{} }

// Validate has nothing to refuse.
func (IsotonicRegression) Validate() error { return nil }

// Fit fits. There always is an optimum, of any number of examples.
func (IsotonicRegression) Fit(x Examples) (Result, error) {
	if err := x.check(); err != nil {
		return Result{}, err
	}
	all, k := allOdds(x), x.Classes
	fitted := IsotonicMap{Points: make([][]float64, k), Values: make([][]float64, k)}
	_ = each(k, func(c int) { fitted.Points[c], fitted.Values[c] = pava(all, x.Labels, c, k) })
	return Result{Fitted: FittedChoice{fitted}}.judged(x)
}

// pava is the rising step function of one class: where each step begins and ends, and its value at both.
func pava(all []float64, labels []int32, c, classes int) (points, values []float64) {
	type block struct{ from, to, sum, n float64 }
	order := make([]int32, len(labels))
	for i := range order {
		order[i] = int32(i)
	}
	score := func(i int32) float64 { return all[int(i)*classes+c] }
	slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(score(a), score(b)) })

	var stack []block
	for _, i := range order {
		s, y := score(i), 0.0
		if int(labels[i]) == c {
			y = 1
		}
		if last := len(stack) - 1; last >= 0 && stack[last].to == s && stack[last].from == s { // equal scores are one point
			stack[last].sum, stack[last].n = stack[last].sum+y, stack[last].n+1
			continue
		}
		stack = append(stack, block{s, s, y, 1})
	}
	blocks := stack[:0:0]
	for _, b := range stack {
		blocks = append(blocks, b)
		for n := len(blocks); n > 1 && blocks[n-2].sum*blocks[n-1].n >= blocks[n-1].sum*blocks[n-2].n; n = len(blocks) {
			last := blocks[n-1]
			blocks = blocks[:n-1]
			into := &blocks[n-2]
			into.to, into.sum, into.n = last.to, into.sum+last.sum, into.n+last.n
		}
	}
	for _, b := range blocks {
		points, values = append(points, b.from), append(values, b.sum/b.n)
		if b.to > b.from {
			points, values = append(points, b.to), append(values, b.sum/b.n)
		}
	}
	return points, values
}

// IsotonicMap is fitted isotonic regression: for each class a line through points of log-odds and probabilities, constant beyond the ends.
type IsotonicMap struct {
	Points [][]float64 `json:"points"` // log-odds, rising [classes][any]
	Values [][]float64 `json:"values"` // in [0,1], never falling, as many
}

// Apply writes the logarithms of the probabilities.
func (m IsotonicMap) Apply(logits []float64) error {
	k := len(m.Points)
	return rows(logits, k, func(row []float64) {
		s := make([]float64, k)
		odds(row, s)
		for c, v := range s {
			s[c] = between(m.Points[c], m.Values[c], v)
		}
		finish(row, s, Floor)
	})
}

// between is the line through points at x.
func between(points, values []float64, x float64) float64 {
	after := sort.SearchFloat64s(points, x) // the first that is not below x
	switch {
	case after == len(points):
		return values[after-1]
	case after == 0 || points[after] == x:
		return values[after]
	}
	share := (x - points[after-1]) / (points[after] - points[after-1])
	return values[after-1] + share*(values[after]-values[after-1])
}

// Validate refuses points that do not rise, values that fall or are no probabilities, and a number of classes that is another.
func (m IsotonicMap) Validate(classes int) error {
	if len(m.Points) != classes || len(m.Values) != classes {
		return fmt.Errorf("there are points of %d classes and values of %d, and the model has %d", len(m.Points), len(m.Values), classes)
	}
	var errs []error
	for c, points := range m.Points {
		values := m.Values[c]
		if len(points) == 0 || len(values) != len(points) {
			errs = append(errs, fmt.Errorf("class %d has %d points and %d values; want as many, and at least 1", c, len(points), len(values)))
			continue
		}
		for i, x := range points {
			switch {
			case math.IsNaN(x) || math.IsInf(x, 0) || i > 0 && !(x > points[i-1]):
				errs = append(errs, fmt.Errorf("points.%d is not rising at %v", c, x))
			case !(values[i] >= 0 && values[i] <= 1) || i > 0 && values[i] < values[i-1]:
				errs = append(errs, fmt.Errorf("values.%d falls, or leaves [0,1], at %v", c, values[i]))
			default:
				continue
			}
			break
		}
	}
	return errors.Join(errs...)
}

package repair

import (
	"github.com/ballast-ml/ballast/calibrate"
	"github.com/ballast-ml/ballast/format/onnx"
)

// lowest stands for minus infinity where that would make differences of infinities: no finite logit of float32 is below it.
const lowest = -3e38

// odds adds the log-odds of each class [batch, classes], z_k - ln(sum of exp(z_j) over the others), cut to [-80, 80]. As package calibrate has
// it: the sum is over the others alone, since 1 - p would lose the tail of a confident answer. Of the largest logit it is taken with that one
// left out; of another it is the sum over all without its own part, of which at least the largest stays.
func (s *surgery) odds(z string, classes int) string {
	const f = onnx.Float
	places := make([]int64, classes)
	for k := range places {
		places[k] = int64(k)
	}
	low := s.numbers("lowest", f, nil, lowest)
	largest := s.op("Equal", []string{
		s.op("ArgMax", []string{z}, onnx.IntAttribute("axis", 1), onnx.IntAttribute("keepdims", 1)), s.integers("classes", []int{classes}, places...),
	})
	first := s.reduce("ReduceMax", z, 1, true)
	rest := s.op("Where", []string{largest, low, z})
	second := s.op("Max", []string{s.reduce("ReduceMax", rest, 1, true), s.numbers("beyond", f, nil, lowest/1e8)})

	sum := s.reduce("ReduceSum", s.op("Exp", []string{s.op("Sub", []string{rest, second})}), 1, true)
	ofFirst := s.op("Sub", []string{s.op("Sub", []string{z, second}), s.op("Log", []string{sum})})

	above := s.op("Sub", []string{z, first})
	part := s.op("Exp", []string{above})
	others := s.op("Max", []string{s.op("Sub", []string{s.reduce("ReduceSum", part, 1, true), part}), s.numbers("least", f, nil, leastProbability)})
	ofOthers := s.op("Sub", []string{above, s.op("Log", []string{others})})

	odds := s.op("Where", []string{largest, ofFirst, ofOthers})
	odds = s.op("Max", []string{odds, s.numbers("least_odds", f, nil, -calibrate.MaxOdds)})
	return s.op("Min", []string{odds, s.numbers("most_odds", f, nil, calibrate.MaxOdds)})
}

// sigmoid adds 1 / (1 + exp(-x)). The operator Sigmoid is an approximation in some runtimes, good to 1e-8 and so to a hundredth of a small
// probability, whose logarithm counts here.
func (s *surgery) sigmoid(x string) string {
	one := s.numbers("one", onnx.Float, nil, 1)
	return s.op("Div", []string{one, s.op("Add", []string{one, s.op("Exp", []string{s.op("Neg", []string{x})})})})
}

// finish adds the logarithms of probabilities q divided by their sum, none of them below the floor before it. What the logits z rule out, by
// minus infinity, stays out.
func (s *surgery) finish(z, q string) string {
	const f = onnx.Float
	q = s.op("Max", []string{q, s.numbers("floor", f, nil, calibrate.Floor)})
	alive := s.op("Greater", []string{z, s.numbers("lowest", f, nil, lowest)})
	q = s.op("Where", []string{alive, q, s.numbers("none", f, nil, 0)})
	return s.op("Log", []string{s.op("Div", []string{q, s.reduce("ReduceSum", q, 1, true)})})
}

// beyond is above every probability and every log-odds.
const beyond = 1e30

// table is lists of numbers of the classes one after the other, all as long as the longest; what is missing is filled up.
func table(lists [][]float64, length int, fill func(list []float64) float64) []float64 {
	var flat []float64
	for _, list := range lists {
		flat = append(flat, list...)
		for range length - len(list) {
			flat = append(flat, fill(list))
		}
	}
	return flat
}

// longest is the length of the longest list, at least 1: engines do not like sides of 0.
func longest(lists [][]float64) int {
	n := 1
	for _, list := range lists {
		n = max(n, len(list))
	}
	return n
}

// below adds the place of each class's number in a table of rows of that many: the row of its class, and in it how many of the class's rising
// edges are below the number.
func (s *surgery) below(x string, edges [][]float64, row int) string {
	classes, n := len(edges), longest(edges)
	flat := s.numbers("edges", onnx.Float, []int{classes, n}, table(edges, n, func([]float64) float64 { return beyond })...)
	above := s.op("Greater", []string{s.reshape(x, -1, int64(classes), 1), flat})
	count := s.cast(s.reduce("ReduceSum", s.cast(above, onnx.Float), 2, false), onnx.Int64)
	rows := make([]int64, classes)
	for k := range rows {
		rows[k] = int64(k * row)
	}
	return s.op("Add", []string{count, s.integers("rows", []int{classes}, rows...)})
}

// bins adds the value of the bin of each probability. Bin b is (edge b-1, edge b].
func (s *surgery) bins(p string, f calibrate.HistogramMap) string {
	row := longest(f.Values)
	values := table(f.Values, row, func([]float64) float64 { return 0 })
	at := s.below(p, f.Edges, row)
	return s.op("Gather", []string{s.numbers("values", onnx.Float, []int{len(values)}, values...), at})
}

// line adds the line through each class's points at its log-odds, constant beyond the ends:
//
//	q = v + (s - from) slope      of the piece that s lies in
//
// Points that float32 does not tell apart are a step between two pieces, which no log-odds lie in.
func (s *surgery) line(x string, f calibrate.IsotonicMap) string {
	from, values, slopes := make([][]float64, len(f.Points)), make([][]float64, len(f.Points)), make([][]float64, len(f.Points))
	for k, points := range f.Points {
		v, last := f.Values[k], len(points)-1
		for i := range len(points) + 1 { // the piece that ends at point i
			switch {
			case i == 0:
				from[k], values[k], slopes[k] = append(from[k], 0), append(values[k], v[0]), append(slopes[k], 0)
			case i > last:
				from[k], values[k], slopes[k] = append(from[k], 0), append(values[k], v[last]), append(slopes[k], 0)
			default:
				slope := 0.0
				a, b := float64(float32(points[i-1])), float64(float32(points[i]))
				if b > a {
					slope = (v[i] - v[i-1]) / (b - a)
				}
				from[k], values[k], slopes[k] = append(from[k], a), append(values[k], v[i-1]), append(slopes[k], slope)
			}
		}
	}

	row := longest(from)
	at := s.below(x, f.Points, row)
	gather := func(what string, lists [][]float64) string {
		flat := table(lists, row, func([]float64) float64 { return 0 })
		return s.op("Gather", []string{s.numbers(what, onnx.Float, []int{len(flat)}, flat...), at})
	}
	rise := s.op("Mul", []string{s.op("Sub", []string{x, gather("from", from)}), gather("slopes", slopes)})
	return s.op("Add", []string{gather("values", values), rise})
}

package onnxrun

import (
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/format/onnx"
)

// transforms are the names of what is done to the scores of a row, by their numbers in TreeEnsemble.
var transforms = []string{"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"}

// knownTransform refuses other names.
func knownTransform(n *onnx.Node) string {
	if a := n.Attribute("post_transform"); a != nil && len(a.Bytes) > 0 && !slices.Contains(transforms,
		string(a.Bytes)) {
		return "post_transform " + string(a.Bytes) + " is not known"
	}
	return ""
}

// numberLabels refuses labels that are strings, which engines do not have, where they are an output.
func numberLabels(n *onnx.Node) string {
	a := n.Attribute("classlabels_strings")
	if a != nil && len(a.Strings) > 0 && len(n.Outputs) > 0 && n.Outputs[0] != "" {
		return "classlabels_strings: its labels are strings, which engines do not have; train it on numbers as labels, or remove output 0"
	}
	return ""
}

// labels are the classes of a classifier. Strings, whose output nobody takes, are counted.
func (c *call) labels(ints string) []int {
	out := c.list(ints)
	if out == nil {
		for i := range c.strings("classlabels_strings") {
			out = append(out, i)
		}
	}
	need(len(out) > 0, "%s is missing", ints)
	return out
}

// rows are a matrix of examples and features, as an input gives it; one dimension is one example. Numbers are rounded to float32,
// as the specification computes, but for float64 where wide is asked for.
func (c *call) rows(i int, wide bool) (x []float64, n, features int) {
	d := c.dims(i)
	need(len(d) == 1 || len(d) == 2, "its input has shape %v, want examples and features", d)
	n, features = 1, d[0]
	if len(d) == 2 {
		n, features = d[0], d[1]
	}
	x = c.floats(i)
	if wide && c.dtype(i) == dtypes.Float64 {
		return x, n, features
	}
	for j, v := range x {
		x[j] = float64(float32(v))
	}
	return x, n, features
}

// transformed does to a row of two scores or more what post_transform names.
func transformed(scores []float64, how string) []float64 {
	switch how {
	case "LOGISTIC":
		for i, v := range scores {
			scores[i] = logistic(v)
		}
	case "PROBIT":
		for i, v := range scores {
			scores[i] = probit(v)
		}
	case "SOFTMAX":
		softmaxRow(scores, false)
	case "SOFTMAX_ZERO":
		softmaxRow(scores, true)
	}
	return scores
}

// softmaxRow divides exponentials by their sum. With zero the scores that are 0 stay so and do not count.
func softmaxRow(scores []float64, zero bool) {
	if len(scores) == 0 {
		return
	}
	top, sum := slices.Max(scores), 0.0
	for i, v := range scores {
		if zero && math.Abs(v) <= 1e-7 {
			scores[i] = v * math.Exp(-top)
			continue
		}
		scores[i] = math.Exp(v - top)
		sum += scores[i]
	}
	for i := range scores {
		scores[i] /= sum
	}
}

func logistic(v float64) float64 { return 1 / (1 + math.Exp(-v)) }

// probit is the normal distribution's quantile, by the approximation of the error function's inverse that runtimes share.
//
// Source: Winitzki, A handy approximation for the error function and its inverse, 2008.
func probit(p float64) float64 {
	x := 2*p - 1
	l := math.Log((1 - x) * (1 + x))
	v := 2/(3.14159*0.147) + 0.5*l
	y := math.Sqrt(-v + math.Sqrt(v*v-l/0.147))
	return math.Sqrt2 * math.Copysign(y, x)
}

// pair is what a binary classifier with one score gives for two classes: its complement, or its negative where scores have both signs.
func pair(score float64, mixed bool, how string) []float64 {
	need(how != "PROBIT", "post_transform PROBIT of one score says nothing of two classes")
	switch {
	case how == "LOGISTIC":
		return []float64{logistic(-score), logistic(score)}
	case !mixed:
		return []float64{1 - score, score}
	}
	return []float64{-score, score}
}

// largest is the place of the largest score, the first of equal ones.
func largest(scores []float64) int {
	best := 0
	for i, v := range scores {
		if v > scores[best] {
			best = i
		}
	}
	return best
}

// classified is the output of a classifier: labels, and a row of scores for each example, of a width.
func classified(labels []int, scores [][]float64, width int) []*tensors.Tensor {
	return []*tensors.Tensor{int64s(labels, len(labels)), made(dtypes.Float32, slices.Concat(scores...), len(scores),
		width)}
}

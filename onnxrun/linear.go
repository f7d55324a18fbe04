package onnxrun

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"
)

// affine are x w^T + b for rows of x; w is [targets, features], b may be empty.
func affineRows(x, w, b []float64, n, features, targets int) [][]float64 {
	need(len(w) == targets*features && (len(b) == 0 || len(b) == targets),
		"%d coefficients and %d intercepts for %d targets of %d features", len(w), len(b), targets, features)
	out := make([][]float64, n)
	for i := range out {
		out[i] = make([]float64, targets)
		for t := range out[i] {
			sum := 0.0
			for j, v := range x[i*features : (i+1)*features] {
				sum += v * w[t*features+j]
			}
			if len(b) > 0 {
				sum += b[t]
			}
			out[i][t] = float64(float32(sum))
		}
	}
	return out
}

// linearClassifier is the class with the largest of x w^T + b. One score for two classes is that of the second.
func linearClassifier(c *call) []*tensors.Tensor {
	x, n, features := c.rows(0, false)
	labels, how := c.labels("classlabels_ints"), c.text("post_transform", "NONE")
	b := c.numbers("intercepts")
	w := c.numbers("coefficients")
	targets := len(b)
	if targets == 0 && features > 0 {
		targets = len(w) / features
	}
	need(targets == len(labels) || targets == 1 && len(labels) <= 2, "%d scores for %d classes", targets, len(labels))
	c.gone(n * features * targets)
	scores := affineRows(x, w, b, n, features, targets)

	out := make([]int, n)
	for i, row := range scores {
		if targets > 1 {
			out[i] = labels[largest(row)]
			scores[i] = transformed(row, how)
			continue
		}
		pick := 0
		if row[0] > 0 {
			pick = 1
		}
		out[i] = pick
		if len(labels) == 2 {
			out[i] = labels[pick]
			scores[i] = pair(row[0], false, how)
		}
	}
	width := targets
	if len(labels) == 2 {
		width = 2
	}
	return classified(out, scores, width)
}

// linearRegressor is x w^T + b.
func linearRegressor(c *call) []*tensors.Tensor {
	x, n, features := c.rows(0, false)
	targets, how := c.int("targets", 1), c.text("post_transform", "NONE")
	need(targets >= 1 && targets <= 1<<24, "targets %d", targets)
	c.gone(n * features)
	var y []float64
	for _, row := range affineRows(x, c.numbers("coefficients"), c.numbers("intercepts"), n, features, targets) {
		if len(row) > 1 {
			row = transformed(row, how)
		} else if how == "PROBIT" {
			row[0] = probit(row[0])
		}
		y = append(y, row...)
	}
	return []*tensors.Tensor{made(dtypes.Float32, y, n, targets)}
}

func linearOps() map[string]operator {
	return map[string]operator{
		"ai.onnx.ml.LinearClassifier": hosted(linearClassifier).unless(numberLabels).unless(knownTransform).
			takes("classlabels_ints", "classlabels_strings", "coefficients", "intercepts", "multi_class",
				"post_transform"),
		"ai.onnx.ml.LinearRegressor": hosted(linearRegressor).unless(knownTransform).
			takes("coefficients", "intercepts", "post_transform", "targets"),
	}
}

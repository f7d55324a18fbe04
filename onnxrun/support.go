package onnxrun

import (
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/format/onnx"
)

// kernel is what a support vector machine makes of two rows of features.
type kernel struct {
	name                string
	gamma, coef, degree float64
}

func (c *call) kernel() kernel {
	k := kernel{name: c.text("kernel_type", "LINEAR")}
	if p := c.numbers("kernel_params"); len(p) > 0 {
		need(len(p) == 3, "kernel_params has %d numbers, want gamma, coef0 and degree", len(p))
		k.gamma, k.coef, k.degree = p[0], p[1], p[2]
	}
	return k
}

// of are the kernel's values of a row x with each row of v, plus a number where the kernel is linear.
func (k kernel) of(x, v []float64, plus float64) []float64 {
	out := make([]float64, len(v)/max(len(x), 1))
	for i := range out {
		row := v[i*len(x) : (i+1)*len(x)]
		sum := 0.0
		for j, a := range x {
			if k.name == "RBF" {
				sum += (a - row[j]) * (a - row[j])
			} else {
				sum += a * row[j]
			}
		}
		switch k.name {
		case "RBF":
			sum = math.Exp(-k.gamma * sum)
		case "POLY":
			sum = math.Pow(k.gamma*sum+k.coef, k.degree)
		case "SIGMOID":
			sum = math.Tanh(k.gamma*sum + k.coef)
		default:
			sum += plus
		}
		out[i] = sum
	}
	return out
}

func knownKernel(n *onnx.Node) string {
	a := n.Attribute("kernel_type")
	if a != nil && !slices.Contains([]string{"LINEAR", "POLY", "RBF", "SIGMOID"}, string(a.Bytes)) {
		return "kernel_type " + string(a.Bytes) + " is not known"
	}
	return ""
}

// machine is a support vector machine for classes: one decision for each pair, or one linear score for each class.
type machine struct {
	kernel
	coefficients, vectors, rho, a, b []float64
	counts, labels                   []int
	how                              string
	positive                         bool // no coefficient is below zero
}

func (c *call) machine(features int) *machine {
	m := &machine{
		kernel: c.kernel(), coefficients: c.numbers("coefficients"), vectors: c.numbers("support_vectors"),
		rho: c.numbers("rho"),
		a:   c.numbers("prob_a"), b: c.numbers("prob_b"), counts: c.list("vectors_per_class"),
		labels: c.labels("classlabels_ints"),
		how:    c.text("post_transform", "NONE"),
	}
	m.positive = !slices.ContainsFunc(m.coefficients, func(v float64) bool { return v < 0 })
	n, k := 0, len(m.labels)
	for _, v := range m.counts {
		need(v >= 0 && v <= len(m.vectors), "vectors_per_class %s", dimsText(m.counts))
		n += v
	}
	pairs := k * (k - 1) / 2
	need(len(m.a) == len(m.b) && (len(m.a) == 0 || len(m.a) == pairs),
		"%d prob_a and %d prob_b for %d pairs of classes", len(m.a), len(m.b), pairs)
	if n == 0 {
		m.name = "LINEAR"
		need(len(m.rho) > 0 && len(m.coefficients) == k*features && len(m.a) == 0,
			"%d coefficients for %d classes of %d features", len(m.coefficients), k, features)
		return m
	}
	need(len(m.counts) == k && k >= 2 && len(m.vectors) == n*features && len(m.coefficients) == (k-1)*n &&
		len(m.rho) >= pairs,
		"%d support vectors with %d numbers, %d coefficients and %d rho for %d classes of %d features",
		n, len(m.vectors), len(m.coefficients), len(m.rho), k, features)
	return m
}

// decisions are the scores of all pairs of classes for a row, and how many of them each class wins.
func (m *machine) decisions(x []float64) (scores []float64, votes []int) {
	k, n := len(m.labels), len(m.vectors)/len(x)
	values := m.of(x, m.vectors, 0)
	starts := make([]int, k+1)
	for i, v := range m.counts {
		starts[i+1] = starts[i] + v
	}
	votes = make([]int, k)
	for i := range k {
		for j := i + 1; j < k; j++ {
			sum := m.rho[len(scores)]
			for v := starts[i]; v < starts[i+1]; v++ {
				sum += m.coefficients[(j-1)*n+v] * values[v]
			}
			for v := starts[j]; v < starts[j+1]; v++ {
				sum += m.coefficients[i*n+v] * values[v]
			}
			scores = append(scores, float64(float32(sum)))
			if sum > 0 {
				votes[i]++
			} else {
				votes[j]++
			}
		}
	}
	return scores, votes
}

// probabilities are those of all classes from those of each pair.
//
// Source: Wu, Lin and Weng, Probability estimates for multi-class classification by pairwise coupling, 2004.
func (m *machine) probabilities(scores []float64) []float64 {
	k := len(m.labels)
	r, q := make([][]float64, k), make([][]float64, k)
	for i := range k {
		r[i], q[i] = make([]float64, k), make([]float64, k)
	}
	at := 0
	for i := range k {
		for j := i + 1; j < k; j++ {
			p := min(max(1-logistic(scores[at]*m.a[at]+m.b[at]), 1e-7), 1-1e-7)
			r[i][j], r[j][i] = p, 1-p
			at++
		}
	}
	p := make([]float64, k)
	for i := range k {
		p[i] = 1 / float64(k)
		for j := range k {
			if i != j {
				q[i][i] += r[j][i] * r[j][i]
				q[i][j] = -r[j][i] * r[i][j]
			}
		}
	}
	couple(q, p)
	return p
}

// couple minimises p^T q p over probabilities p, one after the other.
func couple(q [][]float64, p []float64) {
	k := len(p)
	qp := make([]float64, k)
	for range 100 {
		whole := 0.0
		for i := range k {
			qp[i] = 0
			for j := range k {
				qp[i] += q[i][j] * p[j]
			}
			whole += p[i] * qp[i]
		}
		wrong := 0.0
		for i := range k {
			wrong = max(wrong, math.Abs(qp[i]-whole))
		}
		if wrong < 0.005/float64(k) {
			return
		}
		for i := range k {
			d := (whole - qp[i]) / q[i][i]
			p[i] += d
			whole = (whole + d*(d*q[i][i]+2*qp[i])) / (1 + d) / (1 + d)
			for j := range k {
				qp[j] = (qp[j] + d*q[i][j]) / (1 + d)
				p[j] /= 1 + d
			}
		}
	}
}

// supportClassifier is a support vector machine for classes.
func supportClassifier(c *call) []*tensors.Tensor {
	x, n, features := c.rows(0, false)
	need(features > 0, "its input has no features")
	m := once(c, func() *machine { return c.machine(features) })
	need(len(m.vectors)%features == 0 && (len(m.vectors) > 0 || len(m.coefficients) == len(m.labels)*features),
		"%d features are not those of its vectors", features)
	out := make([]int, n)
	scores := make([][]float64, n)
	for i := range n {
		c.gone(len(m.vectors) + features)
		out[i], scores[i] = m.classify(x[i*features : (i+1)*features])
	}
	return classified(out, scores, m.width())
}

// width is how many scores a row gets.
func (m *machine) width() int {
	k := len(m.labels)
	if len(m.vectors) > 0 && len(m.a) == 0 && k > 2 {
		return k * (k - 1) / 2
	}
	return k
}

// classify is the label of a row, and what is given as its scores: probabilities, or the decisions of all pairs.
func (m *machine) classify(x []float64) (label int, scores []float64) {
	k := len(m.labels)
	if len(m.vectors) == 0 {
		scores = m.of(x, m.coefficients, m.rho[0])
		best := largest(scores)
		if k == 2 && (m.positive && scores[best] >= 0.5 || !m.positive && scores[best] > 0) {
			best = 1
		}
		return m.labels[best], transformed(scores, m.how)
	}

	scores, votes := m.decisions(x)
	best := 0
	for i, v := range votes {
		if v > votes[best] {
			best = i
		}
	}
	switch {
	case len(m.a) > 0:
		return m.labels[best], transformed(m.probabilities(scores), m.how)
	case k > 2:
		return m.labels[best], transformed(scores, m.how)
	case m.how == "NONE":
		return m.labels[best], []float64{-scores[0], scores[0]}
	}
	return m.labels[best], pair(scores[0], false, m.how)
}

// supportRegressor is the sum of a kernel's values with support vectors, or a linear one; one_class gives its sign.
func supportRegressor(c *call) []*tensors.Tensor {
	x, n, features := c.rows(0, false)
	k, w, v, rho := c.kernel(), c.numbers("coefficients"), c.numbers("support_vectors"), c.numbers("rho")
	count := c.int("n_supports", 0)
	need(features > 0 && len(rho) > 0, "%d features and %d rho", features, len(rho))
	if count > 0 {
		need(len(v) == count*features && len(w) == count,
			"%d support vectors with %d numbers and %d coefficients for %d features", count, len(v), len(w), features)
	} else {
		k.name, v = "LINEAR", w
		need(len(w) == features, "%d coefficients for %d features", len(w), features)
	}
	y := make([]float64, n)
	for i := range n {
		c.gone(len(v))
		row := x[i*features : (i+1)*features]
		if count == 0 {
			y[i] = k.of(row, w, rho[0])[0]
		} else {
			y[i] = rho[0]
			for j, s := range k.of(row, v, 0) {
				y[i] += w[j] * s
			}
		}
		if c.int("one_class", 0) != 0 {
			side := -1.0
			if y[i] > 0 {
				side = 1
			}
			y[i] = side
		}
	}
	return []*tensors.Tensor{made(dtypes.Float32, y, n, 1)}
}

func supportOps() map[string]operator {
	plain := func(n *onnx.Node) string {
		if a := n.Attribute("post_transform"); a != nil && string(a.Bytes) != "NONE" {
			return "post_transform " + string(a.Bytes) + " of a regression is not supported"
		}
		return ""
	}
	return map[string]operator{
		"ai.onnx.ml.SVMClassifier": hosted(supportClassifier).unless(numberLabels).unless(knownTransform).unless(knownKernel).takes("classlabels_ints",
			"classlabels_strings", "coefficients", "kernel_params", "kernel_type", "post_transform", "prob_a", "prob_b",
			"rho", "support_vectors", "vectors_per_class"),
		"ai.onnx.ml.SVMRegressor": hosted(supportRegressor).unless(plain).unless(knownKernel).
			takes("coefficients", "kernel_params", "kernel_type", "n_supports", "one_class", "post_transform", "rho",
				"support_vectors"),
	}
}

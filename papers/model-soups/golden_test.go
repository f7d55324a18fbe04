package modelsoups

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/merge/soup"
	"github.com/ballast-ml/ballast/papers/paper/mergetest"
)

func TestGolden(t *testing.T) { golden.Run(t, "model-soups", kinds()...) }

// kinds tests soups on dense networks, tanh(x W1 + b1) W2 + b2.
func kinds() []golden.Kind {
	return []golden.Kind{
		{Name: "soups", Match: func(c *golden.Case) bool { return c.Has("inputs.x_val", "inputs.y_val") }, Run: goldenSoups},
		{Name: "learned soup", Match: func(c *golden.Case) bool { return c.Has("inputs.alpha_raw") }, Run: goldenLearnedSoup},
		{Name: "soup and ensemble", Match: func(c *golden.Case) bool { return c.Has("params.alpha", "params.beta") }, Run: goldenSoupGap},
	}
}

// stackedModels cuts tensors that hold one model after the other along their first axis.
func stackedModels(c *golden.Case, order []string) []weights.Set {
	var models []weights.Set
	for _, name := range order {
		all := c.Tensor("weights." + name)
		n := all.Shape[0]
		size := len(all.Data) / n
		for m := range n {
			if m >= len(models) {
				models = append(models, nil)
			}
			models[m] = append(models[m], weights.Tensor{Name: name, Shape: all.Shape[1:], Values: mergetest.Narrowed(all.Data[m*size : (m+1)*size])})
		}
	}
	return models
}

// denseLayers is how many layers a case's network has: W1 and b1, W2 and b2, and so on.
func denseLayers(c *golden.Case) int {
	n := 0
	for c.Has(fmt.Sprintf("weights.W%d", n+1)) {
		n++
	}
	return n
}

// denseNames are the tensors of such a network.
func denseNames(layers int) (names []string) {
	for i := range layers {
		names = append(names, fmt.Sprintf("W%d", i+1), fmt.Sprintf("b%d", i+1))
	}
	return names
}

// denseNet is the network of the cases; acts are the inputs of its layers.
func denseNet(w weights.Set, x golden.Tensor) (logits []float64, acts [][]float64, classes int) {
	return denseNet64(func(name string) ([]float64, []int) {
		t, _ := w.Find(name)
		return mergetest.Widened(t.Values), t.Shape
	}, len(w)/2, x)
}

func denseNet64(get func(name string) ([]float64, []int), layers int, x golden.Tensor) (logits []float64, acts [][]float64, classes int) {
	logits = x.Data
	for i := range layers {
		if i > 0 {
			hidden := make([]float64, len(logits))
			for k, v := range logits {
				hidden[k] = math.Tanh(v)
			}
			logits = hidden
		}
		acts = append(acts, logits)
		kernel, shape := get(fmt.Sprintf("W%d", i+1))
		offset, _ := get(fmt.Sprintf("b%d", i+1))
		logits, classes = mergetest.Affine(logits, kernel, offset, shape[0], shape[1]), shape[1]
	}
	return logits, acts, classes
}

// denseGradient is the gradient in the weights of a loss whose gradient in the logits is slope.
func denseGradient(w weights.Set, acts [][]float64, slope []float64) weights.Set {
	g := w.ZerosLike()
	for i := len(acts) - 1; i >= 0; i-- {
		kernel, _ := w.Find(fmt.Sprintf("W%d", i+1))
		in, out := kernel.Shape[0], kernel.Shape[1]
		for t := range g {
			switch g[t].Name {
			case kernel.Name:
				g[t].Values = mergetest.Narrowed(mergetest.Outer(acts[i], slope, in, out))
			case fmt.Sprintf("b%d", i+1):
				g[t].Values = mergetest.Narrowed(mergetest.Outer(units(len(slope)/out), slope, 1, out))
			}
		}
		inner := make([]float64, len(acts[i]))
		for r := range len(inner) / in {
			for k := range in {
				for o := range out {
					inner[r*in+k] += slope[r*out+o] * float64(kernel.Values[k*out+o])
				}
				inner[r*in+k] *= 1 - acts[i][r*in+k]*acts[i][r*in+k] // of tanh; not read for the input
			}
		}
		slope = inner
	}
	return g
}

func units(n int) []float64 { return slices.Repeat([]float64{1}, n) }

func labelsOf(t golden.Tensor) []int {
	labels := make([]int, len(t.Data))
	for i, v := range t.Data {
		labels[i] = int(v)
	}
	return labels
}

// rowsOf compares the first rows of [rows, classes], as many as the file has.
func rowsOf(c *golden.Case, name string, values []float64, classes int) {
	if c.Has("outputs." + name) {
		n := c.Tensor("outputs." + name).Shape[0]
		c.Got(name, []int{n, classes}, values[:n*classes])
	}
}

func gotWeights(c *golden.Case, prefix string, w weights.Set) {
	for _, t := range w {
		c.Got(prefix+t.Name, t.Shape, mergetest.Widened(t.Values))
	}
}

func accuracyOf(logits []float64, classes int, labels []int) float64 {
	right := 0
	for r, label := range labels {
		best := 0
		for o := range classes {
			if logits[r*classes+o] > logits[r*classes+best] {
				best = o
			}
		}
		if best == label {
			right++
		}
	}
	return float64(right) / float64(len(labels))
}

func floats(ints []int) []float64 {
	out := make([]float64, len(ints))
	for i, v := range ints {
		out[i] = float64(v)
	}
	return out
}

func goldenSoups(t golden.T, c *golden.Case) {
	p := struct {
		Models int `json:"num_models"`
	}{}
	c.Params(&p)
	x, labels := c.Tensor("inputs.x_val"), labelsOf(c.Tensor("inputs.y_val"))
	models := stackedModels(c, denseNames(denseLayers(c)))
	if len(models) != p.Models {
		t.Fatalf("%d models, want %d", len(models), p.Models)
	}
	score := func(w weights.Set) (float64, error) {
		logits, _, classes := denseNet(w, x)
		return accuracyOf(logits, classes, labels), nil
	}
	for suffix, strict := range map[string]bool{"strict": true, "ge": false} {
		method := soup.NewGreedy()
		method.Strict = strict
		r, err := method.Run(soup.InMemory(models, nil), score, soup.GreedyOptions{})
		if err != nil {
			t.Fatalf("%v", err)
		}
		c.Got("ingredients_"+suffix, []int{len(r.Ingredients)}, floats(r.Ingredients))
		c.Scalar("val_acc_"+suffix, r.Score)
		var trials []float64
		for _, trial := range r.Trials {
			trials = append(trials, trial.Score)
		}
		c.Got("trial_acc_"+suffix, []int{len(trials)}, trials)
		gotWeights(c, "soup_"+suffix+"_", r.Weights)
		c.Got("individual_acc", []int{len(r.Scores)}, r.Scores)
		c.Got("order", []int{len(r.Order)}, floats(r.Order))
	}
	uniform, err := soup.NewUniform().Merge(models)
	if err != nil {
		t.Fatalf("%v", err)
	}
	gotWeights(c, "uniform_", uniform)
	logits, _, classes := denseNet(uniform, x)
	c.Scalar("uniform_acc", accuracyOf(logits, classes, labels))
	rowsOf(c, "uniform_logits", logits, classes)
	var outputs, probabilities [][]float64
	for _, m := range models {
		logits, _, classes := denseNet(m, x)
		outputs, probabilities = append(outputs, logits), append(probabilities, mergetest.Softmax(logits, classes))
	}
	mean, err := soup.Ensemble(outputs)
	if err != nil {
		t.Fatalf("%v", err)
	}
	c.Scalar("ensemble_acc", accuracyOf(mean, classes, labels))
	rowsOf(c, "ensemble_logits", mean, classes)
	if mean, err = soup.Ensemble(probabilities); err != nil {
		t.Fatalf("%v", err)
	}
	rowsOf(c, "prob_ensemble", mean, classes)
}

func goldenLearnedSoup(t golden.T, c *golden.Case) {
	p := struct {
		Models   int      `json:"num_models"`
		PerLayer int      `json:"per_layer"`
		Beta     float64  `json:"beta"`
		Order    []string `json:"tensor_order"`
	}{}
	c.Params(&p)
	x, labels := c.Tensor("inputs.x"), labelsOf(c.Tensor("inputs.y"))
	models := stackedModels(c, p.Order)
	method := soup.NewLearned()
	method.Beta = p.Beta
	if p.PerLayer == 0 {
		method.Share = soup.ShareAll
	}
	flat := c.Tensor("inputs.alpha_raw").Data
	raw := slices.Collect(slices.Chunk(flat, p.Models))
	var alpha []float64
	for _, row := range method.Alpha(raw) {
		alpha = append(alpha, row...)
	}
	shape := c.Tensor("inputs.alpha_raw").Shape
	c.Got("alpha", shape, alpha)
	mixed, err := method.Mix(models, raw)
	if err != nil {
		t.Fatalf("%v", err)
	}
	gotWeights(c, "mixed_", mixed)
	plain, acts, classes := denseNet(mixed, x)
	logits := make([]float64, len(plain))
	for i, v := range plain {
		logits[i] = p.Beta * v
	}
	c.Got("logits", []int{len(labels), classes}, logits)
	slope, loss, slopeBeta := mergetest.Softmax(logits, classes), 0.0, 0.0
	for r, label := range labels {
		loss -= math.Log(slope[r*classes+label]) / float64(len(labels))
		slope[r*classes+label]--
	}
	for i := range slope {
		slope[i] /= float64(len(labels))
		slopeBeta += slope[i] * plain[i]
		slope[i] *= p.Beta
	}
	c.Scalar("loss", loss)
	c.Scalar("grad_beta", slopeBeta)
	gradient, err := method.Gradient(models, raw, denseGradient(mixed, acts, slope))
	if err != nil {
		t.Fatalf("%v", err)
	}
	c.Got("grad_alpha_raw", shape, slices.Concat(gradient...))
}

func goldenSoupGap(t golden.T, c *golden.Case) {
	method := soup.NewVersusEnsemble()
	method.Step = 0.01 // in float64 there is no rounding to stay clear of
	c.Params(&method)
	x, labels := c.Tensor("inputs.x"), labelsOf(c.Tensor("inputs.y"))
	// The line is walked in float64: a second difference would see the rounding of float32 weights.
	gap, err := method.Measure(func(a float64) ([]float64, error) {
		logits, _, _ := denseNet64(func(name string) ([]float64, []int) {
			both := c.Tensor("weights." + name)
			half := len(both.Data) / 2
			line := make([]float64, half)
			for i := range line {
				line[i] = (1-a)*both.Data[i] + a*both.Data[half+i]
			}
			return line, both.Shape[1:]
		}, denseLayers(c), x)
		return logits, nil
	}, labels, c.Tensor(fmt.Sprintf("weights.b%d", denseLayers(c))).Shape[1])
	if err != nil {
		t.Fatalf("%v", err)
	}
	c.Scalar("loss_soup", gap.Soup)
	c.Scalar("loss_ensemble", gap.Ensemble)
	c.Scalar("second_derivative", gap.Second)
	c.Scalar("variance_term", gap.Variance)
	c.Scalar("approx_gap", gap.Approx)
	c.Scalar("true_gap", gap.Gap)
}

package loss_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/internal/gradcheck"
	"github.com/ballast-ml/ballast/nn/loss"
)

func TestCrossEntropyAgainstTheFormula(t *testing.T) {
	logits := gradcheck.Normal(1, 3, 4)
	labels := []int32{2, 0, 3}
	soft := [][]float64{{0.1, 0.2, 0.3, 0.4}, {1, 0, 0, 0}, {0.25, 0.25, 0.25, 0.25}}
	naive := func(smoothing float64, target func(i, k int) float64) []float64 {
		var want []float64
		for i := range 3 {
			sum := 0.0
			for k := range 4 {
				sum += math.Exp(logits.Data[4*i+k])
			}
			value := 0.0
			for k := range 4 {
				value -= ((1-smoothing)*target(i, k) + smoothing/4) * (logits.Data[4*i+k] - math.Log(sum))
			}
			want = append(want, value)
		}
		return want
	}
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for _, smoothing := range []float64{0, 0.1, 0.9} {
			c := loss.CrossEntropy{Smoothing: smoothing}
			hard := func(in []*Node) *Node { return c.Of(Const(in[0].Graph(), labels), in[0]) }
			got, shape := gradcheck.Eval(t, e, hard, logits)
			near(t, got, naive(smoothing, func(i, k int) float64 {
				if int(labels[i]) == k {
					return 1
				}
				return 0
			}))
			if fmt.Sprint(shape) != "[3]" {
				t.Errorf("shape is %v", shape)
			}
			gradcheck.Check(t, e, hard, logits)
			probabilities := func(in []*Node) *Node { return c.Of(Const(in[0].Graph(), soft), in[0]) }
			got, _ = gradcheck.Eval(t, e, probabilities, logits)
			near(t, got, naive(smoothing, func(i, k int) float64 { return soft[i][k] }))
			gradcheck.Check(t, e, probabilities, logits)
		}
		for _, smoothing := range []float64{-0.1, 1, math.NaN()} {
			c := loss.CrossEntropy{Smoothing: smoothing}
			if got := gradcheck.Panics(e, func(in []*Node) *Node { return c.Of(Const(in[0].Graph(), labels), in[0]) }, logits); !strings.Contains(got, "Smoothing is") {
				t.Errorf("%v: got %q", smoothing, got)
			}
		}
	})
}

func TestMean(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		values := gradcheck.Input{Shape: []int{4}, Data: []float64{1, 2, 3, 6}}
		weights := gradcheck.Input{Shape: []int{4}, Data: []float64{1, 0, -2, 1}}
		got, _ := gradcheck.Eval(t, e, func(in []*Node) *Node { return loss.Mean(in[0], nil) }, values)
		near(t, got, []float64{3})
		got, _ = gradcheck.Eval(t, e, func(in []*Node) *Node { return loss.Mean(in[0], in[1]) }, values, weights)
		near(t, got, []float64{0.25})
		// Weights carry no gradient.
		got, _ = gradcheck.Eval(t, e, func(in []*Node) *Node { return Gradient(loss.Mean(in[0], in[1]), in[1])[0] }, values, weights)
		near(t, got, []float64{0, 0, 0, 0})
		got, _ = gradcheck.Eval(t, e, func(in []*Node) *Node { return Gradient(loss.Mean(in[0], in[1]), in[0])[0] }, values, weights)
		near(t, got, []float64{0.25, 0, -0.5, 0.25})
		if text := gradcheck.Panics(e, func(in []*Node) *Node { return loss.Mean(in[0], in[1]) }, values, gradcheck.Normal(1, 3)); !strings.Contains(text, "want one per example") {
			t.Errorf("got %q", text)
		}
	})
}

func near(t *testing.T, got, want []float64) {
	t.Helper()
	for i := range want {
		if len(got) != len(want) || !(math.Abs(got[i]-want[i]) <= 1e-12*(1+math.Abs(want[i]))) {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
}

// TestInpaintingExact: where the prediction is the truth the reconstruction has no slope.
func TestInpaintingExact(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		gradient := MustNewExec(e.Backend, func(prediction, truth, mask *Node) *Node {
			return Gradient(loss.NewInpainting().Reconstruction(prediction, truth, mask), prediction)[0]
		}).MustCall([][][][]float32{{{{0.25}, {0.75}, {0.5}}}}, [][][][]float32{{{{0.25}, {0.5}, {0.25}}}}, [][][][]float32{{{{1}, {1}, {0}}}})[0]
		if got := fmt.Sprint(gradient.Value()); got != "[[[[0] [0.5] [0]]]]" {
			t.Errorf("got %s, want [[[[0] [0.5] [0]]]]", got)
		}
	})
}

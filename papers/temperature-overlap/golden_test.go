package temperatureoverlap

import (
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/calibrate"
	"github.com/ballast-ml/ballast/data/augment"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/papers/paper/papertest"
)

func TestGolden(t *testing.T) {
	papertest.Golden(t, "temperature-overlap", func(e *engine.Engine) []golden.Kind { return append(kinds(), mixup(e)) })
}

// mixup tests d-Mixup: the mixed batch, its targets, and the gradients of their loss.
func mixup(e *engine.Engine) golden.Kind {
	return golden.Kind{
		Name:  "d-mixup",
		Match: func(c *golden.Case) bool { return c.Has("inputs.mix_weights", "inputs.perms") },
		Run: func(t golden.T, c *golden.Case) {
			p := struct {
				augment.Mixup
				Parts   int `json:"mix_size"`
				Classes int `json:"num_classes"`
			}{Mixup: augment.NewMixup()}
			c.Params(&p)
			perms, labels := c.Tensor("inputs.perms"), places(c.Tensor("inputs.labels").Data)
			n := len(labels)
			out := MustNewExec(e.Backend, func(inputs []*Node) []*Node {
				x, shares, kernel, bias := inputs[0], inputs[1], inputs[2], inputs[3]
				g := x.Graph()
				var weights, from []*Node
				for k := range p.Parts {
					weights, from = append(weights, Reshape(Slice(shares, AxisElem(k)))), append(from, nil)
					if k > 0 {
						from[k] = Const(g, places(perms.Data[(k-1)*n:k*n]))
					}
				}
				m := augment.Combine(x, weights, from)
				targets := m.Targets(OneHot(Const(g, labels), p.Classes, dtypes.Float32))
				logits := Add(Dot(m.X, kernel).Product(), ExpandAxes(bias, 0))
				l := ReduceAllMean(loss.CrossEntropy{}.Of(targets, logits))
				return append([]*Node{m.X, targets, logits, l}, Gradient(l, kernel, bias, x)...)
			}).MustCall(papertest.Tensor(c.Tensor("inputs.x")), papertest.Tensor(c.Tensor("inputs.mix_weights")),
				papertest.Tensor(c.Tensor("weights.W")), papertest.Tensor(c.Tensor("weights.b")))
			for i, name := range []string{"mixed_x", "soft_targets", "logits", "loss", "grad_W", "grad_b", "grad_x"} {
				papertest.Got(c, name, out[i])
			}
		},
	}
}

func places(v []float64) []int32 {
	all := make([]int32, len(v))
	for i := range v {
		all[i] = int32(v[i])
	}
	return all
}

func kinds() []golden.Kind {
	return []golden.Kind{{
		Name:  "temperature scaling",
		Match: func(c *golden.Case) bool { return c.Has("params.num_classes", "inputs.logits", "inputs.labels") },
		Run: func(t golden.T, c *golden.Case) {
			p := struct {
				Classes int `json:"num_classes"`
			}{}
			c.Params(&p)
			logits := c.Tensor("inputs.logits")
			var labels []int
			for _, l := range c.Tensor("inputs.labels").Data {
				labels = append(labels, int(l))
			}
			fit, err := calibrate.FitTemperature(calibrate.NewTemperatureScaling(), logits.Data, labels, p.Classes)
			if err != nil {
				t.Fatalf("%v", err)
			}
			c.Scalar("nll_before", fit.NLLBefore)
			c.Scalar("temperature", fit.T)
			c.Scalar("nll_after", fit.NLLAfter)
			c.GotJSON("saturated", fit.Saturated)
			calibrate.Apply(logits.Data, fit.T)
			probabilities, err := metric.Softmax(logits.Data, p.Classes)
			if err != nil {
				t.Fatalf("%v", err)
			}
			c.Got("probs_after", logits.Shape, probabilities)
		},
	}}
}

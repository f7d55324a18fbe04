package temperatureoverlap

import (
	"math"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/calibrate"
	"github.com/ballast-ml/ballast/data"
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
	}, {
		Name:  "posterior of two Gaussians",
		Match: func(c *golden.Case) bool { return c.Has("params.mu", "inputs.x") },
		Run: func(t golden.T, c *golden.Case) {
			g := data.GaussianPair{}
			c.Params(&g)
			p, err := g.Posterior(c.Tensor("inputs.x").Data)
			if err != nil {
				t.Fatalf("%v", err)
			}
			var second []float64
			for i := 1; i < len(p); i += 2 {
				second = append(second, p[i])
			}
			c.Got("p_class1", []int{len(second)}, second)
			c.Scalar("bayes_accuracy", g.BayesAccuracy())
		},
	}, {
		Name:  "posterior of paired intervals",
		Match: func(c *golden.Case) bool { return c.Has("params.gap", "inputs.x") },
		Run: func(t golden.T, c *golden.Case) {
			d := data.PairedIntervals{}
			c.Params(&d)
			x := c.Tensor("inputs.x").Data
			p, err := d.Posterior(x)
			if err != nil {
				t.Fatalf("%v", err)
			}
			c.Got("posterior", []int{len(x), d.K}, p)
			entropy := 0.0
			for _, v := range p {
				if v > 0 {
					entropy -= v * math.Log(v) / float64(len(x))
				}
			}
			c.Scalar("mean_posterior_entropy", entropy)
		},
	}, {
		Name:  "oracle",
		Match: func(c *golden.Case) bool { return c.Has("inputs.overlap_mass", "inputs.num_classes") },
		Run:   oracle,
	}}
}

// oracle tests the table of the best temperature.
func oracle(t golden.T, c *golden.Case) {
	c.Params(&struct {
		Model string `json:"model"` // says what is modelled
	}{})
	classes, mass := c.Tensor("inputs.num_classes").Data, c.Tensor("inputs.overlap_mass").Data
	table := map[string][]float64{}
	for _, k := range classes {
		for _, p := range mass {
			o, err := metric.OracleTS(int(k), p)
			if err != nil {
				t.Fatalf("%v", err)
			}
			for name, v := range map[string]float64{"oracle_ts_nll": o.NLL, "bayes_nll": o.Bayes, "kl_gap": o.Gap, "optimal_scaled_margin": o.Margin} {
				table[name] = append(table[name], v)
			}
		}
	}
	for name, values := range table {
		c.Got(name, []int{len(classes), len(mass)}, values)
	}
}

package rankmixup

import (
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/data/augment"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/papers/paper/papertest"
)

func TestGolden(t *testing.T) {
	papertest.Golden(t, "rank-mixup", func(e *engine.Engine) []golden.Kind {
		return []golden.Kind{
			{
				Name:  "mrl",
				Match: func(c *golden.Case) bool { return c.Has("params.margin", "inputs.mixup_logits") },
				Run:   func(_ golden.T, c *golden.Case) { mrl(e, c) },
			},
			{
				Name: "mndcg",
				Match: func(c *golden.Case) bool {
					return c.Has("params.num_mixup", "inputs.mixup_logits") && !c.Has("params.margin")
				},
				Run: func(_ golden.T, c *golden.Case) { mndcg(e, c) },
			},
			{
				Name:  "mixtures",
				Match: func(c *golden.Case) bool { return c.Has("inputs.x", "inputs.lam", "inputs.perm") },
				Run:   func(_ golden.T, c *golden.Case) { mixtures(e, c) },
			},
			{
				Name:  "metrics",
				Match: func(c *golden.Case) bool { return c.Has("params.bins", "inputs.logits") },
				Run:   metrics,
			},
		}
	})
}

// weighted is the weight of a loss and the number of classes, beside its own options.
type weighted struct {
	Weight  float64 `json:"alpha"`
	Classes int     `json:"num_classes"`
}

// in is what a loss looks at.
func in(c *golden.Case, x []*Node) loss.In {
	return loss.In{Out: x[0], Mixed: x[1], MixedTargets: x[2], Labels: Const(x[0].Graph(), places(c.Tensor("inputs.labels").Data))}
}

// compute is what comes of a case's logits, and those and shares of its mixtures.
func compute(e *engine.Engine, c *golden.Case, names []string, f func(x []*Node) []*Node) {
	out := MustNewExec(e.Backend, f).MustCall(papertest.Tensor(c.Tensor("inputs.logits")), papertest.Tensor(c.Tensor("inputs.mixup_logits")),
		papertest.Tensor(c.Tensor("inputs.mixup_targets")))
	for i, name := range names {
		papertest.Got(c, name, out[i])
	}
}

// total is cross-entropy, and with it a loss of the batch.
func total(in loss.In, ranking *Node, weight float64) (ce, sum *Node) {
	ce = ReduceAllMean(loss.CrossEntropy{}.Apply(nil, in))
	return ce, Add(ce, MulScalar(ranking, weight))
}

func mrl(e *engine.Engine, c *golden.Case) {
	p := struct {
		loss.MRL
		weighted
	}{MRL: loss.NewMRL()}
	c.Params(&p)
	compute(e, c, []string{"ce", "mask",
		"mrl_per_sample", "loss_per_sample", "grad_logits_per_sample", "grad_mixup_logits_per_sample",
		"mrl_broadcast", "loss_broadcast", "grad_logits_broadcast", "grad_mixup_logits_broadcast",
	}, func(x []*Node) []*Node {
		in := in(c, x)
		var out []*Node
		for _, broadcast := range []bool{false, true} {
			p.Broadcast = broadcast
			ranking := p.Apply(nil, in)
			ce, sum := total(in, ranking, p.Weight)
			if !broadcast {
				out = append(out, ce, Reshape(p.Counts(in), x[0].Shape().Dimensions[0]))
			}
			out = append(append(out, ranking, sum), Gradient(sum, x[0], x[1])...)
		}
		return out
	})
}

func mndcg(e *engine.Engine, c *golden.Case) {
	p := struct {
		loss.MNDCG
		weighted
	}{MNDCG: loss.NewMNDCG()}
	c.Params(&p)
	compute(e, c, []string{"ndcg", "ce", "mndcg_loss", "loss", "grad_logits", "grad_mixup_logits"}, func(x []*Node) []*Node {
		in := in(c, x)
		ranking := p.Apply(nil, in)
		ce, sum := total(in, ranking, p.Weight)
		return append([]*Node{p.Each(in), ce, ranking, sum}, Gradient(sum, x[0], x[1])...)
	})
}

func mixtures(e *engine.Engine, c *golden.Case) {
	p := struct {
		Copies  int `json:"num_mixup"`
		Classes int `json:"num_classes"`
	}{}
	c.Params(&p)
	labels, perm := places(c.Tensor("inputs.labels").Data), places(c.Tensor("inputs.perm").Data)
	out := MustNewExec(e.Backend, func(x, lam *Node) []*Node {
		var kept, given, own []*Node
		for m := range p.Copies {
			weight := BroadcastToDims(Reshape(Slice(lam, AxisElem(m))), len(labels))
			kept, given = append(kept, weight), append(given, OneMinus(weight))
			own = append(own, Iota(x.Graph(), shapes.Make(dtypes.Int32, len(labels)), 0))
		}
		mixed := augment.Combine(x, []*Node{Concatenate(kept, 0), Concatenate(given, 0)}, []*Node{Concatenate(own, 0), Const(x.Graph(), perm)})
		return []*Node{mixed.X, mixed.Targets(OneHot(Const(x.Graph(), labels), p.Classes, dtypes.Float32))}
	}).MustCall(papertest.Tensor(c.Tensor("inputs.x")), papertest.Tensor(c.Tensor("inputs.lam")))
	papertest.Got(c, "mixed_x", out[0])
	papertest.Got(c, "mixed_targets", out[1])
}

func metrics(t golden.T, c *golden.Case) {
	p := struct {
		Bins    int `json:"bins"`
		Classes int `json:"num_classes"`
	}{}
	c.Params(&p)
	logits, labels := c.Tensor("inputs.logits").Data, places(c.Tensor("inputs.labels").Data)
	s, err := metric.Score(logits, labels, p.Classes)
	if err != nil {
		t.Fatalf("%v", err)
	}
	number := func(name string) func(v float64, err error) {
		return func(v float64, err error) {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			c.Scalar(name, v)
		}
	}
	number("ece")(s.ECE(metric.EqualWidth, p.Bins))
	number("aece_official")(s.AECE(metric.Quantiles, p.Bins))
	number("aece_equal_mass")(s.AECE(metric.EqualGroups, p.Bins))
	number("cece")(metric.ClasswiseECE(logits, labels, p.Classes, p.Bins))
	number("oe")(s.OE(p.Bins))
	number("ue")(s.UE(p.Bins))
	number("mce")(s.MCE(metric.EqualWidth, p.Bins))
	number("ace_average_over_nonempty_bins")(s.ACE(metric.EqualWidth, p.Bins))
	number("rms_ce")(s.RMSCE(metric.EqualWidth, p.Bins))
	number("nll")(s.MeanNLL(), nil)
	number("brier")(s.MeanBrier(), nil)
	number("accuracy")(s.Accuracy(), nil)
	curve, err := s.Reliability(metric.EqualWidth, p.Bins)
	if err != nil {
		t.Fatalf("%v", err)
	}
	var counts, accuracy, confidence []float64
	for _, b := range curve {
		counts, accuracy, confidence = append(counts, float64(b.Count)), append(accuracy, b.Accuracy), append(confidence, b.Confidence)
	}
	for name, values := range map[string][]float64{"bin_count": counts, "bin_accuracy": accuracy, "bin_confidence": confidence} {
		c.Got(name, []int{p.Bins}, values)
	}
}

func places(v []float64) []int32 {
	all := make([]int32, len(v))
	for i := range v {
		all[i] = int32(v[i])
	}
	return all
}

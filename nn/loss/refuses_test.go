package loss_test

import (
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/internal/gradcheck"
	"github.com/ballast-ml/ballast/nn/loss"
)

// TestRefuses: options and inputs that a loss has no use for are named, with what to give.
func TestRefuses(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for _, c := range []struct {
			want string
			l    interface {
				Apply(s *model.Scope, in loss.In) *Node
			}
			in func(x *Node) loss.In
		}{
			{"beta is 1, lambda 3, clamp 0.0001; use beta from 0", loss.ELR{Beta: 1, Lambda: 3, Clamp: 1e-4}, classified},
			{"the index is nothing of 0 examples", loss.NewELR(), classified},
			{"labels are (Int32)[2] for logits (Float64)[3, 2]", loss.CrossEntropy{}, func(x *Node) loss.In {
				return loss.In{Out: x, Labels: Const(x.Graph(), []int32{0, 1})}
			}},
			{"targets are (Float64)[2, 3] for logits (Float64)[3, 2]", loss.CrossEntropy{}, func(x *Node) loss.In {
				return loss.In{Out: x, Targets: Transpose(x, 0, 1)}
			}},
			{"counts of 0 classes for logits", loss.BalancedSoftmax{}, classified},
			{"class 1 has 0 examples; leave it out", loss.BalancedSoftmax{}, func(x *Node) loss.In {
				in := classified(x)
				in.Counts = []int{3, 0}
				return in
			}},
			{"the teacher gave nothing for logits", loss.NewKD(), classified},
			{"temperature is 0, weight 0.5", loss.KD{Weight: 0.5}, classified},
			{"targets are nothing for (Float64)[3, 2]", loss.MSE{}, classified},
			{"smooth is 0; use a number above 0", loss.Dice{}, classified},
			{"0 features; want the embeddings of the batch", loss.NewPairs("contrastive"), classified},
			{`form "near"; use contrastive, lifted_structure`, loss.NewPairs("near"), embedded},
			{"m 1, which form contrastive has no place for; leave them 0", loss.Pairs{Form: "contrastive", Margin: 1}, embedded},
			{"beta is 0, gamma 0", loss.Pairs{Form: "multi_similarity"}, embedded},
			{"examples have weights, and its pairs take none", loss.NewTCM(), func(x *Node) loss.In {
				in := embedded(x)
				in.Weights = Const(x.Graph(), []float64{1, 2, 3})
				return in
			}},
			{"margins are 2 and 0.5", loss.TCM{Positive: 2, Negative: 0.5}, embedded},
			{"1 views; want the embeddings of 2 or more", loss.NewNTXent(), embedded},
			{"temperature is 0; use a number above 0", loss.SupCon{}, embedded},
			{"1 views, counts of 0 classes", loss.NewProxyAnchor(), embedded},
			{"alpha is 0, margin 0", loss.ProxyAnchor{}, embedded},
		} {
			got := gradcheck.Panics(e, func(x []*Node) *Node {
				return c.l.Apply(model.NewStore().RootScope(), c.in(x[0]))
			}, gradcheck.Normal(1, 3, 2))
			if !strings.Contains(got, c.want) {
				t.Errorf("%#v: got %q, want %q", c.l, got, c.want)
			}
		}
	})
}

func classified(x *Node) loss.In { return loss.In{Out: x, Labels: Const(x.Graph(), []int32{0, 1, 0})} }

func embedded(x *Node) loss.In {
	return loss.In{Features: []*Node{x}, Labels: Const(x.Graph(), []int32{0, 1, 0})}
}

package norm

import (
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"
)

// withKey is where a graph keeps the source that With gives while its function builds.
type withKey struct{}

// given is the source of the innermost With, and how many norms have asked it.
type given struct {
	source Source
	asked  int
}

// With builds f with a source of statistics for every norm that collects some in training, whatever the network: at inference each takes
// its statistics from src in place of the running values, or of the source that the layer names itself. It returns the number of norms that
// did. Norms that collect nothing (layer, group, instance) are as always, and so is a pass that trains.
//
//	asked := norm.With(g, norm.NewMixed(), func() { logits = network.Apply(root.At("model"), x) })
//
// Withs nest: the inner source wins, and its norms count for it alone. Panics if src is nil.
func With(g *graph.Graph, src Source, f func()) int {
	if src == nil {
		Panicf("norm.With: there is no source; give one such as FromBatch{}, or build without With")
	}
	outer, now := givenIn(g), &given{source: src}
	defer func() {
		if outer == nil {
			g.AttachState(withKey{}, nil) // which takes the key away; a nil pointer would stay
			return
		}
		g.AttachState(withKey{}, outer)
	}()
	g.AttachState(withKey{}, now)
	f()
	return now.asked
}

// givenIn is what the innermost With gives, nil without one.
func givenIn(g *graph.Graph) *given {
	now, _ := g.State(withKey{}).(*given)
	return now
}

// sourceOr is the source that a layer which collects uses at inference: that of With, else its own.
func sourceOr(g *graph.Graph, own Source) Source {
	if now := givenIn(g); now != nil {
		now.asked++
		return now.source
	}
	return own
}

// Collected is what a norm of one's own that collects normalises with at inference: the statistics of the source that With gives, else the
// values of the variables mean and variance [channels], shaped to broadcast against x. So With reaches such a norm too.
func Collected(scope *model.Scope, x *graph.Node, mean, variance *model.Variable) (m, v *graph.Node) {
	return sourceOr(x.Graph(), FromRunning{}).Statistics(scope, x, &Running{scope: scope, mean: mean, variance: variance})
}

package augment

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/ops"
)

// Pairs mixes, for each example as an anchor, two others with one weight for each update, lambda ~ Beta(Alpha, Alpha):
//
//	posneg  lambda positive + (1 - lambda) negative
//	ancneg  lambda anchor + (1 - lambda) negative
//
// Positives have the anchor's label, negatives another; both are drawn anew from the batch, row i of the result is of anchor i. random
// takes posneg or ancneg with equal chances, one for each update. An anchor without a positive is its own, one without a negative too.
// x may be images, features or embeddings before they are normalised; Mixed.Targets says how much of a mixture is of each class.
//
// Source: Venkataramanan et al., "It Takes Two to Tango: Mixup for Deep Metric Learning", arXiv 2106.04990.
type Pairs struct {
	Kind  string  `json:"kind"`  // posneg, ancneg or random
	Alpha float64 `json:"alpha"` // of the beta distribution, above 0; 2
}

var _ Mixing = Pairs{}

// NewPairs returns both kinds, and alpha 2.
func NewPairs() Pairs { return Pairs{Kind: "random", Alpha: 2} }

// Validate errors for an unknown kind or alpha not above 0.
func (p Pairs) Validate() error {
	if p.Kind != "posneg" && p.Kind != "ancneg" && p.Kind != "random" {
		return wrong("pairs", "kind is %q; use posneg, ancneg or random", p.Kind)
	}
	return concentration("pairs", p.Alpha)
}

// Columns are lambda and, for random, what chooses.
func (p Pairs) Columns() []optim.Column {
	columns := []optim.Column{beta(mixWeight(1), p.Alpha, p.Alpha)}
	if p.Kind == "random" {
		columns = append(columns, uniform(mixKind))
	}
	return columns
}

// Mix mixes. d.Labels are needed.
func (p Pairs) Mix(d Draws, x *graph.Node) Mixed {
	n := batch("pairs", x)
	if d.Labels == nil || d.Labels.Rank() != 1 || d.Labels.Shape().Dimensions[0] != n || !d.Labels.DType().IsInt() {
		Panicf("augment: pairs: there are no labels of the %d examples; give integers [%[1]d]", n)
	}
	g := x.Graph()
	own := places(g, n)
	same := graph.Equal(graph.ExpandAxes(d.Labels, 1), graph.ExpandAxes(d.Labels, 0))
	other := graph.LogicalNot(same)
	positive := graph.LogicalAnd(same, graph.NotEqual(graph.ExpandAxes(own, 1), graph.ExpandAxes(own, 0)))
	if d.Live != nil {
		live := graph.BroadcastToDims(graph.Reshape(d.Live, 1, n), n, n)
		positive, other = graph.LogicalAnd(positive, live), graph.LogicalAnd(other, live)
	}

	first := own
	if p.Kind != "ancneg" {
		first = oneOf(positive, d.Random.Fold(1))
	}
	if p.Kind == "random" {
		ancneg := graph.LessThan(d.column("pairs", mixKind), graph.Scalar(g, dtypes.Float64, 0.5))
		first = graph.Where(ancneg, own, first)
	}
	weight := asDraw(d.column("pairs", mixWeight(1)), x)
	from := []*graph.Node{first, oneOf(other, d.Random.Fold(2))}
	return d.restore(Combine(x, []*graph.Node{weight, graph.OneMinus(weight)}, from), x)
}

// oneOf draws, for each row i of mask [n, n], one of the columns that are true, i itself where none is: [n] int32.
func oneOf(mask *graph.Node, r ops.Random) *graph.Node {
	n := mask.Shape().Dimensions[0]
	g := mask.Graph()
	u := r.Uniform(dtypes.Float32, n, n)
	minus := graph.MulScalar(graph.OnesLike(u), -1)
	best := graph.ArgMax(graph.Where(mask, u, minus), 1, dtypes.Int32)
	ones := graph.Where(mask, graph.OnesLike(u), graph.ZerosLike(u))
	some := graph.GreaterThan(graph.ReduceMax(ones, 1), graph.ScalarZero(g, dtypes.Float32))
	return graph.Where(some, best, graph.Iota(g, shapes.Make(dtypes.Int32, n), 0))
}

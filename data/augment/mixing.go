package augment

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/internal/choice"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/ops"
	"github.com/ballast-ml/ballast/own"
)

// Mixing makes examples of several examples of a batch.
type Mixing interface {
	Validate() error
	// Columns are the numbers it needs of each update.
	Columns() []optim.Column
	// Mix mixes x [batch, ...], floats. Examples that are padding stay as they are, and no other example takes a part of them.
	Mix(d Draws, x *graph.Node) Mixed
}

// Retargeting is a mixing whose targets follow from where a network looks, and are made after the forward pass.
type Retargeting interface {
	Mixing
	// Retarget is targets for m: oneHot [batch, classes], which may be smoothed; attention [batch, tokens] or [batch, rows, columns], what
	// the class token gives to each patch. No gradient goes to the attention.
	Retarget(m Mixed, oneHot, attention *graph.Node) *graph.Node
}

// Draws are what is random in one update.
type Draws struct {
	Column func(name string) *graph.Node // the number of a column for this update, a float scalar
	Random ops.Random                    // of permutations; not looked at where there are none
	Live   *graph.Node                   // [batch] bools, false is padding; nil = there is none
	Labels *graph.Node                   // [batch] integers; nil where a mixing does not go by labels
}

// Mixed is a mixed batch. Its rows are copy after copy of the batch; row i has of the example at Parts[k].From[i] the share
// Parts[k].Weight[i], and these shares add up to 1.
type Mixed struct {
	X      *graph.Node // [Copies batch, ...]
	Copies int
	Parts  []Part
	Box    *graph.Node // [4] int32: rows from and to (excluded), columns from and to, of what was pasted; nil = no box
}

// Part is whose share a mixed example has.
type Part struct {
	Weight *graph.Node // [Copies batch], float32 or wider
	From   *graph.Node // [Copies batch] int32, places in the batch
}

// Targets is the mixture of the rows of oneHot [batch, classes], which may be smoothed: [Copies batch, classes].
func (m Mixed) Targets(oneHot *graph.Node) *graph.Node {
	return combine(oneHot, m.Parts)
}

// Mixings is every mixing that has a name, with its defaults.
func Mixings() []choice.Kind[Mixing] {
	return []choice.Kind[Mixing]{
		{Name: "none", New: func() Mixing { return NoMixing{} }},
		{Name: "mixup", New: func() Mixing { return NewMixup() }},
		{Name: "multi-mixup", New: func() Mixing { return NewMultiMixup() }},
		{Name: "cutmix", New: func() Mixing { return NewCutMix() }},
		{Name: "mixup-cutmix", New: func() Mixing { return NewMixupCutMix() }},
		{Name: "transmix", New: func() Mixing { return NewTransMix() }},
		{Name: "pairs", New: func() Mixing { return NewPairs() }},
	}
}

// MixingChoice is a mixing chosen by name in a recipe: "cutmix", or {"name": "mixup", "parts": 3}. Without a value it is none.
type MixingChoice struct{ Mixing }

// MarshalJSON writes the name and the options.
func (c MixingChoice) MarshalJSON() ([]byte, error) {
	if c.Mixing == nil {
		c.Mixing = NoMixing{}
	}
	return choice.Encode("mixing", Mixings(), c.Mixing)
}

// UnmarshalJSON reads a name, or a name with options; an unknown name or option is an error that names the nearest.
func (c *MixingChoice) UnmarshalJSON(b []byte) error { return c.UnmarshalOwn(b, nil) }

// UnmarshalOwn is UnmarshalJSON where names may be a program's own.
func (c *MixingChoice) UnmarshalOwn(b []byte, r own.Registry) (err error) {
	if c.Mixing, err = choice.Decode("mixing", Mixings(), b, r); err != nil {
		return err
	}
	return c.Validate()
}

// MixingName returns the name a mixing has in Mixings, or its Go type.
func MixingName(m Mixing) string { return choice.NameOf(Mixings(), m) }

// NoMixing leaves the batch as it is.
type NoMixing struct{}

var _ Mixing = NoMixing{}

// Validate finds nothing wrong.
func (NoMixing) Validate() error { return nil }

// Columns is none.
func (NoMixing) Columns() []optim.Column { return nil }

// Mix is x, each example with the whole share of itself.
func (NoMixing) Mix(_ Draws, x *graph.Node) Mixed {
	batch("none", x)
	return Mixed{X: x, Copies: 1, Parts: []Part{itself(x, 1)}}
}

// Combine mixes rows of x [batch, ...] with given shares, of given places: y_i = sum over k of weight_k[i] x[from_k[i]], [rows, ...]. Each
// weight is a scalar or [rows]; each from is integers [rows], nil for each example itself. It is what every mixing of values does, with
// draws of the caller's.
func Combine(x *graph.Node, weights, from []*graph.Node) Mixed {
	n := batch("Combine", x)
	if len(weights) == 0 || len(weights) != len(from) {
		Panicf("augment: Combine: %d weights for %d parts; give one each", len(weights), len(from))
	}
	rows := n
	for _, f := range from {
		if f != nil {
			rows = f.Shape().Dimensions[0]
		}
	}

	m := Mixed{Copies: rows / n}
	for k, w := range weights {
		part := Part{From: places(x.Graph(), n), Weight: ops.Widen(w)}
		if from[k] != nil {
			part.From = graph.ConvertDType(from[k], dtypes.Int32)
		}
		if w.Rank() == 0 {
			part.Weight = graph.BroadcastToDims(part.Weight, rows)
		}
		fits := func(x *graph.Node) bool { return x.Rank() == 1 && x.Shape().Dimensions[0] == rows }
		if !fits(part.From) || !fits(part.Weight) {
			Panicf("augment: Combine: part %d has weights %s of places %s; want [%d] of both",
				k, w.Shape(), part.From.Shape(), rows)
		}
		m.Parts = append(m.Parts, part)
	}
	m.X = combine(x, m.Parts)
	return m
}

// combine is the sum over parts of weight x[from], in x's dtype.
func combine(x *graph.Node, parts []Part) *graph.Node {
	var sum *graph.Node
	for _, p := range parts {
		rows := ops.GatherRows(x, p.From)
		ones := make([]int, x.Rank())
		for i := range ones {
			ones[i] = 1
		}
		ones[0] = -1
		part := graph.Mul(rows, graph.ConvertDType(graph.Reshape(p.Weight, ones...), x.DType()))
		if sum == nil {
			sum = part
		} else {
			sum = graph.Add(sum, part)
		}
	}
	return sum
}

// batch panics unless x is a batch of floats.
func batch(who string, x *graph.Node) int {
	if x.Rank() < 2 || !x.DType().IsFloat() {
		Panicf("augment: %s: x is %s; want floats [batch, ...]", who, x.Shape())
	}
	return x.Shape().Dimensions[0]
}

// places is 0 to n-1, int32.
func places(g *graph.Graph, n int) *graph.Node {
	return graph.Iota(g, shapes.Make(dtypes.Int32, n), 0)
}

// itself is the part of each of x's examples that it has of itself.
func itself(x *graph.Node, share float64) Part {
	n := x.Shape().Dimensions[0]
	weight := graph.BroadcastToDims(graph.Scalar(x.Graph(), drawType(x), share), n)
	return Part{Weight: weight, From: places(x.Graph(), n)}
}

// Partner says with whom an example is mixed.
type Partner struct {
	Partner string `json:"partner"` // flip (the first with the last, as timm does) or permutation (a random one)
}

func (p Partner) validate(who string) error {
	if p.Partner != "flip" && p.Partner != "permutation" {
		return wrong(who, "partner is %q; use flip or permutation", p.Partner)
	}
	return nil
}

// places are so many partners of each example, [batch] int32 each. Padding has itself; of an odd number, the one in the middle is its own
// in a flip.
func (p Partner) places(d Draws, x *graph.Node, partners int) []*graph.Node {
	g, n := x.Graph(), x.Shape().Dimensions[0]
	own := places(g, n)
	if p.Partner == "flip" {
		if d.Live == nil {
			return slices.Repeat([]*graph.Node{graph.Sub(graph.Const(g, int32(n-1)), own)}, partners)
		}
		place, live := d.places()
		order := ops.ArgSort(graph.LogicalNot(d.Live), 0, false)
		return slices.Repeat([]*graph.Node{d.own(order, graph.Sub(graph.AddScalar(live, -1), place))}, partners)
	}

	// The order of random keys is a permutation. Keys have 31 bits, so that padding stands behind all of them.
	keys := graph.BitwiseShiftRightLogicalScalar(d.Random.Bits(partners, n), uint32(1))
	if d.Live != nil {
		last := graph.BroadcastToDims(graph.Const(g, uint32(math.MaxUint32)), partners, n)
		keys = graph.Where(graph.BroadcastToDims(graph.Reshape(d.Live, 1, n), partners, n), keys, last)
	}
	orders := ops.ArgSort(keys, 1, false)
	all := make([]*graph.Node, partners)
	for k := range all {
		all[k] = graph.Reshape(graph.Slice(orders, graph.AxisRange(k, k+1)), n)
		if d.Live != nil {
			place, _ := d.places()
			all[k] = d.own(all[k], place)
		}
	}
	return all
}

// places are where each live example stands among the live ones, [batch] int32, and how many there are.
func (d Draws) places() (place, live *graph.Node) {
	// Whole numbers, but the engines scan floats alone.
	sums := ops.Cumulative{}.Sum(graph.ConvertDType(d.Live, dtypes.Float32))
	place = graph.ConvertDType(graph.AddScalar(sums, -1), dtypes.Int32)
	return place, graph.ReduceAllSum(graph.ConvertDType(d.Live, dtypes.Int32))
}

// own is order[at] for live examples, and each itself for padding.
func (d Draws) own(order, at *graph.Node) *graph.Node {
	at = graph.Max(at, graph.ScalarZero(at.Graph(), dtypes.Int32))
	return graph.Where(d.Live, ops.GatherRows(order, at), places(order.Graph(), order.Shape().Dimensions[0]))
}

// column is a number of the update, in float64: boxes are computed from it.
func (d Draws) column(who, name string) *graph.Node {
	if d.Column == nil {
		Panicf("augment: %s: there are no columns; give one for %q", who, name)
	}
	v := d.Column(name)
	if v == nil || v.Rank() != 0 || !v.DType().IsFloat() {
		Panicf("augment: %s: column %q is not a float scalar", who, name)
	}
	return graph.ConvertDType(v, dtypes.Float64)
}

// restore gives padding back its values and the whole share of itself.
func (d Draws) restore(m Mixed, x *graph.Node) Mixed {
	if d.Live == nil {
		return m
	}
	n := x.Shape().Dimensions[0]
	rows := n * m.Copies
	live, own, was := d.Live, places(x.Graph(), n), x
	if m.Copies > 1 {
		live, own, was = repeated(live, m.Copies), repeated(own, m.Copies), repeated(x, m.Copies)
	}
	ones := make([]int, x.Rank())
	for i := range ones {
		ones[i] = 1
	}
	ones[0] = rows
	wide := graph.BroadcastToDims(graph.Reshape(live, ones...), m.X.Shape().Dimensions...)
	m.X = graph.Where(wide, m.X, was)
	parts := make([]Part, len(m.Parts))
	for k, p := range m.Parts {
		share := graph.ZerosLike(p.Weight)
		if k == 0 {
			share = graph.OnesLike(p.Weight)
		}
		parts[k] = Part{Weight: graph.Where(live, p.Weight, share), From: graph.Where(live, p.From, own)}
	}
	m.Parts = parts
	return m
}

// repeated is x copies times, one after the other.
func repeated(x *graph.Node, copies int) *graph.Node {
	all := make([]*graph.Node, copies)
	for i := range all {
		all[i] = x
	}
	return graph.Concatenate(all, 0)
}

// uniform is a column that is drawn from (0, 1).
func uniform(name string) optim.Column {
	return optim.Column{Name: name, At: func(_, _ int, r *rand.Rand) float64 { return r.Float64() }}
}

// beta is a column that is drawn from the beta distribution.
func beta(name string, a, b float64) optim.Column {
	return optim.Column{Name: name, At: func(_, _ int, r *rand.Rand) float64 {
		x, y := logGamma(a, r), logGamma(b, r)
		return 1 / (1 + math.Exp(y-x))
	}}
}

// logGamma draws the logarithm of a gamma variate of shape a, by Marsaglia and Tsang's method for a + 1: Gamma(a) is Gamma(a + 1) times a
// uniform number to the power 1/a. The logarithm keeps a shape near 0 from rounding to 0.
func logGamma(a float64, r *rand.Rand) float64 {
	boost := math.Log(1-r.Float64()) / a
	d := a + 1 - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := r.NormFloat64()
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v *= v * v
		if math.Log(1-r.Float64()) < x*x/2+d-d*v+d*math.Log(v) {
			return math.Log(d*v) + boost
		}
	}
}

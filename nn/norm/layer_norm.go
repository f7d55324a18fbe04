package norm

import (
	"slices"
	"strconv"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/ops"
)

// LayerNorm is layer normalisation over given axes of each example:
//
//	y = scale (x - mean) / sqrt(var + Epsilon) + offset      mean, var over Axes for each remaining index, var biased (1/n)
//
// x is [batch, ...]; y has its shape and dtype; scale and offset have the shape of the normalised axes. There is no state:
// training and inference are the same, and an example does not see its batch. Statistics are computed in float32 or wider.
// The paper prints no epsilon; it is inside the root, as in the official Theano code; OutsideRoot puts it outside,
// (x - mean) / (sqrt(var) + Epsilon), as the official Torch code does. For images the paper's form normalises
// axes -3, -2, -1; -1 alone is the modern form for each position.
//
// Panics if Axes is empty, names an axis twice, beyond the rank or the batch, or if the normalised axes have one element in
// all: the output would be the offset whatever x is.
// Source: Ba, Kiros, Hinton, "Layer Normalization", arXiv 1607.06450.
type LayerNorm struct {
	Axes    []int   `json:"axes"` // axes to normalise over, counted from -1; [-1]
	Epsilon float64 `json:"eps"`  // added to the variance; 1e-5

	OutsideRoot bool `json:"eps_outside_root"` // add Epsilon to the deviation instead; false
	NoScale     bool `json:"no_scale"`         // leave the scale out; false
	NoOffset    bool `json:"no_offset"`        // leave the offset out; false
}

var _ Layer = LayerNorm{}

// NewLayerNorm returns the paper's defaults for the given axes.
func NewLayerNorm(axes ...int) LayerNorm { return LayerNorm{Axes: axes, Epsilon: 1e-5} }

// Apply normalises x.
func (l LayerNorm) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	x = entering("norm.LayerNorm", scope, x)
	dims, broadcast := axesShape("norm.LayerNorm", scope, x, l.Axes)
	scale, offset := affine(scope, x, dims, broadcast, without(l.NoScale, "scale"), without(l.NoOffset, "offset"))
	if l.OutsideRoot {
		mean, variance := ops.Moments(x, l.Axes, nil)
		// The slope of the root is infinite at 0, where all of x is the same: there y is 0 and so is its gradient.
		flat := graph.LessOrEqual(variance, graph.ScalarZero(x.Graph(), variance.DType()))
		deviation := graph.Where(flat, graph.ZerosLike(variance), graph.Sqrt(graph.Where(flat, graph.OnesLike(variance), variance)))
		y := graph.Div(graph.Sub(ops.Widen(x), mean), graph.AddScalar(deviation, l.Epsilon))
		return graph.ConvertDType(scaled(y, scale, offset), x.DType())
	}
	y, _, _ := ops.Normalize(x, scale, offset, l.Axes, l.Epsilon)
	return graph.ConvertDType(y, x.DType())
}

// axesShape is the shape of scale and offset over given axes of an example, and the same with size 1 on the other axes. It
// panics if the axes do not fit x or have one element.
func axesShape(who string, scope *model.Scope, x *graph.Node, axes []int) (dims, broadcast []int) {
	if len(axes) == 0 {
		Panicf("%s %s: no axes to normalise over; use -1 for the channels, or -3, -2, -1 for a whole image", who, scope.Scope())
	}
	broadcast = make([]int, x.Rank())
	for i := range broadcast {
		broadcast[i] = 1
	}
	size := 1
	var seen []int
	for _, axis := range axes {
		a := axis
		if a < 0 {
			a += x.Rank()
		}
		if a < 1 || a >= x.Rank() || slices.Contains(seen, a) {
			Panicf("%s %s: axes %v do not fit x %s; use each of 1 to %d, or -1 to -%d, at most once",
				who, scope.Scope(), axes, x.Shape(), x.Rank()-1, x.Rank()-1)
		}
		seen = append(seen, a)
		broadcast[a] = x.Shape().Dimensions[a]
		size *= broadcast[a]
	}
	if size < 2 {
		Panicf("%s %s: axes %v of x %s have %d element; its normalised value is always the same, so normalise over more axes",
			who, scope.Scope(), axes, x.Shape(), size)
	}
	slices.Sort(seen)
	for _, a := range seen {
		dims = append(dims, broadcast[a])
	}
	return dims, broadcast
}

func itoa(n int) string { return strconv.Itoa(n) }

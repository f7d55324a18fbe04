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
// The paper prints no epsilon; it is inside the root, as in the official Theano code. For images the paper's form normalises
// axes -3, -2, -1; -1 alone is the modern form for each position.
//
// Panics if Axes is empty, names an axis twice, beyond the rank or the batch, or if the normalised axes have one element in
// all: the output would be the offset whatever x is.
// Source: Ba, Kiros, Hinton, "Layer Normalization", arXiv 1607.06450.
type LayerNorm struct {
	Axes    []int   `json:"axes"` // axes to normalise over, counted from -1; [-1]
	Epsilon float64 `json:"eps"`  // added to the variance; 1e-5
}

var _ Layer = LayerNorm{}

// NewLayerNorm returns the paper's defaults for the given axes.
func NewLayerNorm(axes ...int) LayerNorm { return LayerNorm{Axes: axes, Epsilon: 1e-5} }

// Apply normalises x.
func (l LayerNorm) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	checkActivations("norm.LayerNorm", scope, x)
	dims, broadcast := l.shape(scope, x)
	scale, offset := affine(scope, x, dims, broadcast)
	y, _, _ := ops.Normalize(x, scale, offset, l.Axes, l.Epsilon)
	return graph.ConvertDType(y, x.DType())
}

// shape is the shape of scale and offset, and the same with size 1 on the axes that are not normalised.
func (l LayerNorm) shape(scope *model.Scope, x *graph.Node) (dims, broadcast []int) {
	if len(l.Axes) == 0 {
		Panicf("norm.LayerNorm %s: no axes to normalise over; use -1 for the channels, or -3, -2, -1 for a whole image", scope.Scope())
	}
	broadcast = make([]int, x.Rank())
	for i := range broadcast {
		broadcast[i] = 1
	}
	size := 1
	var seen []int
	for _, axis := range l.Axes {
		a := axis
		if a < 0 {
			a += x.Rank()
		}
		if a < 1 || a >= x.Rank() || slices.Contains(seen, a) {
			Panicf("norm.LayerNorm %s: axes %v do not fit x %s; use each of 1 to %d, or -1 to -%d, at most once",
				scope.Scope(), l.Axes, x.Shape(), x.Rank()-1, x.Rank()-1)
		}
		seen = append(seen, a)
		broadcast[a] = x.Shape().Dimensions[a]
		size *= broadcast[a]
	}
	if size < 2 {
		Panicf("norm.LayerNorm %s: axes %v of x %s have %d element; its normalised value is always 0, so normalise over more axes",
			scope.Scope(), l.Axes, x.Shape(), size)
	}
	slices.Sort(seen)
	for _, a := range seen {
		dims = append(dims, broadcast[a])
	}
	return dims, broadcast
}

func itoa(n int) string { return strconv.Itoa(n) }

package norm

import (
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/ops"
)

// Instance is instance normalisation: each channel of each example over its positions,
//
//	y = scale (x - mean_i) / sqrt(var_i + Epsilon) + offset      i = example and channel, var_i biased (1/n)
//
// x is [batch, ..., channels] with at least one axis of positions; y has its shape and dtype; scale and offset are
// [channels]. There is no state: training and inference are the same. It takes contrast and brightness out of an image, and
// with them whatever they say about its class. Panics if x has one position an example: the output would be the offset.
// Source: Ulyanov, Vedaldi, Lempitsky, "Instance Normalization", arXiv 1607.08022.
type Instance struct {
	Epsilon float64 `json:"eps"` // added to the variance; 1e-5
}

var _ Layer = Instance{}

// NewInstance returns the usual defaults.
func NewInstance() Instance { return Instance{Epsilon: 1e-5} }

// Apply normalises x.
func (n Instance) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	x = entering("norm.Instance", scope, x)
	checkPositions("norm.Instance", scope, x)
	scale, offset := affine(scope, x, channelsOf(x), channelShape(x))
	y, _, _ := ops.Normalize(x, scale, offset, positions(x), n.Epsilon)
	return graph.ConvertDType(y, x.DType())
}

// checkPositions panics unless an example has two positions or more.
func checkPositions(who string, scope *model.Scope, x *graph.Node) {
	n := 1
	for _, axis := range positions(x) {
		n *= x.Shape().Dimensions[axis]
	}
	if n < 2 {
		Panicf("%s %s: x %s has 1 position an example; its normalised value is always 0, so use a norm over channels or the batch here",
			who, scope.Scope(), x.Shape())
	}
}

package norm

import (
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/ops"
)

// RMS is root-mean-square normalisation over given axes of each example, which does not centre:
//
//	y = scale x / sqrt(mean(x^2) + Epsilon)
//
// x is [batch, ...]; y has its shape and dtype; scale has the shape of the normalised axes, and there is no offset. There is
// no state: training and inference are the same. Statistics are computed in float32 or wider. The paper prints no epsilon.
// Panics where LayerNorm does. Source: Zhang, Sennrich, "Root Mean Square Layer Normalization", arXiv 1910.07467.
type RMS struct {
	Axes    []int   `json:"axes"` // axes to normalise over, counted from -1; [-1]
	Epsilon float64 `json:"eps"`  // added to the mean square; 1e-6
}

var _ Layer = RMS{}

// NewRMS returns the usual defaults for the given axes.
func NewRMS(axes ...int) RMS { return RMS{Axes: axes, Epsilon: 1e-6} }

// Apply normalises x.
func (r RMS) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	x = entering("norm.RMS", scope, x)
	dims, broadcast := axesShape("norm.RMS", scope, x, r.Axes)
	scale := param.Variable(scope, "scale", param.Affine, stateType(x), param.Constant(1), dims...)
	y := ops.NormalizeRMS(x, graph.Reshape(pass.Weight(scale, x.Graph()), broadcast...), r.Axes, r.Epsilon)
	return graph.ConvertDType(y, x.DType())
}

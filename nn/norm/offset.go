package norm

import (
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
)

// Offset is what is left of a norm that was folded into the layer before it: y = x + offset, offset [channels] starting at 0.
// It normalises nothing.
type Offset struct{}

var _ Layer = Offset{}

// Apply adds the offset.
func (Offset) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	checkActivations("norm.Offset", scope, x)
	_, offset := affine(scope, x, channelsOf(x), channelShape(x), without(true, "scale"))
	return graph.Add(x, graph.ConvertDType(offset, x.DType()))
}

package norm

import (
	"fmt"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/nn/param"
)

// Enter is where a norm of one's own begins: it panics unless x is floats [batch, ..., channels], with a message that names the type of the
// layer, its scope and what it got, shows x to what watches the pass, and returns it.
func Enter(layer Layer, scope *model.Scope, x *graph.Node) *graph.Node {
	return entering(fmt.Sprintf("%T", layer), scope, x)
}

// Affine returns the trained scale and offset of each channel of x [batch, ..., channels], in x's shape with 1 in the place of every other
// axis. They are the variables scale and offset [channels], which start at 1 and 0, in float32 for narrower x.
func Affine(scope *model.Scope, x *graph.Node) (scale, offset *graph.Node) {
	return affine(scope, x, channelsOf(x), channelShape(x))
}

// Statistic is a variable [dims...] that training moves by pass.Move and no gradient does, such as a running mean; it starts at first, and
// is float32 for narrower x.
func Statistic(scope *model.Scope, name string, x *graph.Node, first float64, dims ...int) *model.Variable {
	return param.Variable(scope, name, param.Statistic, stateType(x), param.Constant(first), dims...)
}

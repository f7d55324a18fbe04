package norm

import (
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
)

// Identity normalises nothing: y = x. It has no variables, and so no Source. It refuses the same x as the other norms, so
// that a network does not start to fail when it is given one.
type Identity struct{}

var _ Layer = Identity{}

// Apply returns x.
func (Identity) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	checkActivations("norm.Identity", scope, x)
	return x
}

// Package stack represents a network as a list of layers that other code can take apart: to bound each layer, cut between two, or
// pair a convolution with its norm.
//
//	items := []stack.Item{
//		{Scope: "dense", Layer: linear.Dense{Units: 128}},
//		{Scope: "dense/norm", Layer: norm.NewBatch()},
//		{Scope: "dense", Layer: stack.Activation{Of: linear.ReLU}},
//	}
//	y := stack.Run(scope, items, x)
//
// A layer is any value with Apply: linear.Dense, linear.Conv2D, every norm.Layer, and the layers of this package, which do not
// have variables.
package stack

import (
	"strings"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/ops"
)

// Layer turns x into y; its variables are under scope.
type Layer interface {
	Apply(scope *model.Scope, x *Node) *Node
}

var (
	_ Layer = linear.Dense{}
	_ Layer = linear.Conv2D{}
	_ Layer = norm.Layer(norm.Identity{})
)

// Item is a layer and the scope of its variables below the network's: "block_1/norm", or "" for the network's own.
type Item struct {
	Scope string
	Layer Layer
}

// Run applies the layers in their order. It may be called again with the same scope: variables are found again.
func Run(scope *model.Scope, items []Item, x *Node) *Node {
	for _, item := range items {
		x = item.Layer.Apply(Below(scope, item.Scope), x)
	}
	return x
}

// Below is the scope of a path below another; "" is that scope itself.
func Below(scope *model.Scope, path string) *model.Scope {
	if path == "" {
		return scope.ResetVisited()
	}
	for _, name := range strings.Split(path, "/") {
		scope = scope.At("%s", name)
	}
	return scope
}

// Activation is a nonlinearity as a layer.
type Activation struct{ Of linear.Activation }

// Apply computes the activation of x.
func (a Activation) Apply(scope *model.Scope, x *Node) *Node {
	return a.Of.Apply(pass.See(scope, pass.Preactivation, x))
}

// Normed is a norm and what follows it below the scope of the layer before: the norm under norm, and the activation, unless the
// norm contains one.
func Normed(scope string, n norm.Layer, a linear.Activation) []Item {
	items := []Item{{join(scope, "norm"), n}}
	if own, ok := n.(norm.Activated); ok && own.Activates() {
		return items
	}
	return append(items, Item{scope, Activation{Of: a}})
}

// Bare is a norm under norm without an activation. At the end of a residual branch a norm that contains one starts at 0.
func Bare(scope string, n norm.Layer, branchEnd bool) Item {
	if own, ok := n.(norm.Activated); ok && own.Activates() {
		n = own.WithoutActivation(branchEnd)
	}
	return Item{join(scope, "norm"), n}
}

func join(scope, name string) string { return strings.TrimPrefix(scope+"/"+name, "/") }

// Pool takes the largest value of each Window x Window pixels, which do not overlap; what does not fill a window is left out.
// Images with a side below Window stay as they are. x is [batch, height, width, channels].
type Pool struct{ Window int }

// Apply pools x.
func (p Pool) Apply(_ *model.Scope, x *Node) *Node {
	checkImages("Pool", x)
	if d := x.Shape().Dimensions; d[1] < p.Window || d[2] < p.Window {
		return x
	}
	return ops.Pool{Window: p.Window}.Max(x)
}

// Mean is the mean over the positions of an image: [batch, height, width, channels] to [batch, channels].
type Mean struct{}

// Apply takes the mean.
func (Mean) Apply(_ *model.Scope, x *Node) *Node {
	checkImages("Mean", x)
	return ReduceMean(x, 1, 2)
}

// Flatten turns x [batch, ...] into [batch, features].
type Flatten struct{}

// Apply lays an example out in one row.
func (Flatten) Apply(_ *model.Scope, x *Node) *Node {
	if x.Rank() < 2 {
		Panicf("stack.Flatten: x is %s; want [batch, ...]", x.Shape())
	}
	batch := x.Shape().Dimensions[0]
	return Reshape(x, batch, x.Shape().Size()/max(batch, 1))
}

// Subsample takes the pixels in every Stride-th row and column, and lays as many channels of zeros before and after theirs as
// make Channels, the odd one after: the shortcut of a residual block that has no weights (arXiv 1512.03385, option A).
type Subsample struct{ Stride, Channels int }

// Apply takes the pixels. Panics if x has more channels than Channels.
func (s Subsample) Apply(_ *model.Scope, x *Node) *Node {
	checkImages("Subsample", x)
	more := s.Channels - x.Shape().Dimensions[3]
	if s.Stride < 1 || more < 0 {
		Panicf("stack.Subsample: stride %d to %d channels of x %s; want a stride of at least 1, and at least as many channels", s.Stride, s.Channels, x.Shape())
	}
	if s.Stride > 1 {
		every := AxisRange().Stride(s.Stride)
		x = Slice(x, AxisRange(), every, every, AxisRange())
	}
	return ops.PadConstant(x, 0, [][2]int{{}, {}, {}, {more / 2, more - more/2}})
}

// Residual is the sum of a branch and a shortcut, y = branch(x) + skip(x); without items either is x itself. Scopes of both are
// below the scope of the residual. The sum is seen as pass.Stream.
type Residual struct {
	Branch []Item
	Skip   []Item
}

// Apply computes the sum. Panics if the two are of different shapes.
func (r Residual) Apply(scope *model.Scope, x *Node) *Node {
	branch, skip := Run(scope, r.Branch, x), Run(scope, r.Skip, x)
	if !branch.Shape().Equal(skip.Shape()) {
		Panicf("stack.Residual %s: the branch is %s and the shortcut %s; give Skip layers that make them equal", scope.Scope(), branch.Shape(), skip.Shape())
	}
	return pass.See(scope, pass.Stream, Add(branch, skip))
}

func checkImages(layer string, x *Node) {
	if x.Rank() != 4 {
		Panicf("stack.%s: x is %s; want images [batch, height, width, channels]", layer, x.Shape())
	}
}

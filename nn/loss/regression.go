package loss

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/ops"
)

// MSE is the mean squared difference, mean over the values of (out - target)^2.
type MSE struct{}

// L1 is the mean absolute difference, mean over the values of |out - target|. Where there is none its gradient is 0.
type L1 struct{}

var (
	_ Loss = MSE{}
	_ Loss = L1{}
)

// Wants is values.
func (MSE) Wants() []Targets { return []Targets{Values} }

// Wants is values.
func (L1) Wants() []Targets { return []Targets{Values} }

// Apply returns the loss of each example [n]. Panics if targets are not of the shape of what the network gave, [n, ...].
func (MSE) Apply(_ *model.Scope, in In) *Node {
	out, targets := in.values("MSE")
	return in.hidden(meanOfExample(Square(Sub(out, targets))))
}

// Apply returns the loss of each example [n]. Panics if targets are not of the shape of what the network gave, [n, ...].
func (L1) Apply(_ *model.Scope, in In) *Node {
	out, targets := in.values("L1")
	difference := Sub(out, targets)
	return in.hidden(meanOfExample(Mul(difference, StopGradient(Sign(difference)))))
}

// values returns what the network gave, in float32 or wider, and the values or masks it is compared with, constants of its type.
// Panics for the loss named who if their shapes differ.
func (in In) values(who string) (out, targets *Node) {
	if in.Out == nil || in.Targets == nil || in.Out.Rank() < 1 || !in.Out.Shape().EqualDimensions(in.Targets.Shape()) {
		Panicf("loss.%s: targets are %s for %s; want one for each value, of the same shape", who, shapeOf(in.Targets),
			shapeOf(in.Out))
	}
	out = ops.Widen(in.Out)
	return out, ConvertDType(StopGradient(in.Targets), out.DType())
}

// meanOfExample is the mean over all axes but the first, [n].
func meanOfExample(x *Node) *Node {
	n := x.Shape().Dimensions[0]
	return ReduceMean(Reshape(x, n, x.Shape().Size()/max(n, 1)), -1)
}

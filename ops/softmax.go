package ops

import (
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	. "github.com/gomlx/gomlx/support/exceptions"
)

// GatherOneHot picks one value of each row: x [batch, classes], index [batch] of integers -> [batch]. An index outside the
// row picks 0. Infinite values elsewhere in the row do no harm.
func GatherOneHot(x, index *graph.Node) *graph.Node {
	if x.Rank() != 2 || index.Rank() != 1 || index.Shape().Dimensions[0] != x.Shape().Dimensions[0] || !index.DType().IsInt() {
		Panicf("ops.GatherOneHot: x is %s and index %s; want [batch, classes] and integers [batch]", x.Shape(), index.Shape())
	}
	d := x.Shape().Dimensions
	columns := graph.Iota(x.Graph(), shapes.Make(index.DType(), d[0], d[1]), 1)
	chosen := graph.Equal(columns, graph.BroadcastToDims(graph.ExpandAxes(index, -1), d[0], d[1]))
	return graph.ReduceSum(graph.Where(chosen, x, graph.ZerosLike(x)), -1)
}

// GatherRows picks rows: x [n, ...], index [batch] of integers in [0, n) -> [batch, ...].
func GatherRows(x, index *graph.Node) *graph.Node {
	if x.Rank() < 1 || index.Rank() != 1 || !index.DType().IsInt() {
		Panicf("ops.GatherRows: x is %s and index %s; want [n, ...] and integers [batch]", x.Shape(), index.Shape())
	}
	return graph.Gather(x, graph.ExpandAxes(index, -1))
}

// logSoftmax is x - log(sum(exp(x))) over the last axis, in float32 or wider, without overflow.
func logSoftmax(x *graph.Node) *graph.Node {
	x = Widen(x)
	shifted := graph.Sub(x, graph.StopGradient(graph.ReduceAndKeep(x, graph.ReduceMax, -1)))
	return graph.Sub(shifted, graph.Log(graph.ReduceAndKeep(graph.Exp(shifted), graph.ReduceSum, -1)))
}

// SoftmaxCrossEntropy is the cross-entropy of the softmax of logits [batch, classes], one value per example [batch]:
//
//	-log p[label]                      targets [batch] of integers
//	-sum over k of targets[k] log p[k]  targets [batch, classes] of probabilities
//
// in float32 or wider. Panics on other shapes.
func SoftmaxCrossEntropy(logits, targets *graph.Node) *graph.Node {
	if logits.Rank() != 2 {
		Panicf("ops.SoftmaxCrossEntropy: logits are %s; want [batch, classes]", logits.Shape())
	}
	logp := logSoftmax(logits)
	switch {
	case targets.DType().IsInt():
		return graph.Neg(GatherOneHot(logp, targets))
	case targets.Rank() == 2 && targets.Shape().EqualDimensions(logits.Shape()):
		return graph.Neg(graph.ReduceSum(graph.Mul(graph.ConvertDType(targets, logp.DType()), logp), -1))
	}
	Panicf("ops.SoftmaxCrossEntropy: targets are %s for logits %s; want integer labels [batch] or probabilities of the logits' shape", targets.Shape(), logits.Shape())
	return nil
}

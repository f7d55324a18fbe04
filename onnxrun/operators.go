package onnxrun

import (
	"maps"
	"sync"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/format/onnx"
)

// operator is how an operator is computed: as nodes of the graph, or from values where it needs to see them.
type operator struct {
	nodes  func(c *call) []*graph.Node
	values func(c *call) []*value
	host   bool // values are computed from those of the inputs, on the host

	reads   []string                  // its attributes; nil where none are refused
	refuses func(n *onnx.Node) string // why a node cannot be run, "" if it can

	refusesTypes func(n *onnx.Node, in []onnx.DataType) string // likewise, by the types of its inputs

	elements bool // each element of its output is made of those in the same place, as inputs broadcast
	widened  bool // it takes floats of 16 bits as float32 where the engine would round after each step
}

// one is an operator with one output.
func one(f func(c *call) *graph.Node) operator {
	return operator{nodes: func(c *call) []*graph.Node { return []*graph.Node{f(c)} }}
}

func many(f func(c *call) []*graph.Node) operator { return operator{nodes: f} }

func seen(f func(c *call) []*value) operator { return operator{values: f} }

// hosted is an operator that computes on the host what no engine does: its outputs have shapes that depend on values, or it is made
// of many small decisions. The graph is cut there.
func hosted(f func(c *call) []*tensors.Tensor) operator {
	return operator{host: true, values: func(c *call) (out []*value) {
		for _, t := range f(c) {
			if t == nil {
				out = append(out, nil)
				continue
			}
			c.build.hold(t)
			out = append(out, &value{known: t})
		}
		return out
	}}
}

// table has the operators by name. It has no initialiser, as the operators with graphs of their own look others up in it.
var (
	table     map[string]operator
	tableOnce sync.Once
)

// operatorOf is how a node is computed, which New has made sure of.
func operatorOf(n *onnx.Node) operator { return operators()[operatorName(n)] }

// operatorName is the name of a node's operator in the table: domain.Name outside the standard domain.
func operatorName(n *onnx.Node) string {
	if n.Domain == "" || n.Domain == "ai.onnx" {
		return n.Op
	}
	return n.Domain + "." + n.Op
}

// inSteps are operators beside those of elements that add or multiply in the type of their input, or take the larger of two.
var inSteps = []string{
	"AveragePool", "LpPool", "MaxPool", "GlobalMaxPool", "Softmax", "LogSoftmax", "Scatter", "ScatterElements", "ScatterND", "CumProd",
	"Resize", "Upsample", "Col2Im", "Einsum", "MaxUnpool", "NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss", "Hardmax",
}

// operators are all that can be run, by name, those outside the standard domain as domain.Name.
func operators() map[string]operator {
	tableOnce.Do(func() {
		table = map[string]operator{}
		for _, part := range []map[string]operator{
			elementwiseOps(), activationOps(), quantizedOps(), shapeOps(), constantOps(), gatherOps(), controlOps(),
			convOps(), poolOps(), reduceOps(), productOps(), normOps(), recurrentOps(), selectOps(), bitOps(), arrangeOps(),
			rootMeanSquareOps(), attentionOps(), microsoftAttentionOps(), linearOps(), featureOps(), treeOps(), supportOps(),
			quantizedMicrosoftOps(), fusedOps(), gridOps(), fourierOps(), randomOps(), textOps(), newerOps(),
		} {
			maps.Copy(table, part)
		}
		for _, part := range []map[string]operator{elementwiseOps(), activationOps()} {
			for name, op := range part {
				op.elements, op.widened = true, name != "Cast" && name != "CastLike"
				table[name] = op
			}
		}
		for _, name := range inSteps {
			op := table[name]
			op.widened = true
			table[name] = op
		}
	})
	return table
}

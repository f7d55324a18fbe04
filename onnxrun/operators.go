package onnxrun

import (
	"maps"
	"sync"

	"github.com/gomlx/gomlx/core/graph"
)

// operator is how an operator is computed: as nodes of the graph, or from values where it needs to see them.
type operator struct {
	nodes  func(c *call) []*graph.Node
	values func(c *call) []*value
}

// one is an operator with one output.
func one(f func(c *call) *graph.Node) operator {
	return operator{nodes: func(c *call) []*graph.Node { return []*graph.Node{f(c)} }}
}

func many(f func(c *call) []*graph.Node) operator { return operator{nodes: f} }

func seen(f func(c *call) []*value) operator { return operator{values: f} }

// table has the operators by name. It has no initialiser, as the operators with graphs of their own look others up in it.
var (
	table     map[string]operator
	tableOnce sync.Once
)

// operators are all that can be run, by name.
func operators() map[string]operator {
	tableOnce.Do(func() {
		table = map[string]operator{}
		for _, part := range []map[string]operator{
			elementwiseOps(), activationOps(), quantizedOps(), shapeOps(), constantOps(), gatherOps(), controlOps(),
			convOps(), poolOps(), reduceOps(), productOps(), normOps(), recurrentOps(),
		} {
			maps.Copy(table, part)
		}
	})
	return table
}

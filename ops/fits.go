package ops

import (
	"fmt"

	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/internal/untrusted"
)

// Fits returns an error if what one operation of a graph gives is larger than the memory's limit (a *fault.Exhausted) or than any array
// (an *untrusted.Error): the engines allocate without asking, and end the process where they cannot. It is for the end of a
// function that builds a graph of sizes that a stranger chose.
func Fits(g *graph.Graph) error {
	for _, n := range g.Nodes() {
		if n.NumOutputs() != 1 {
			continue // their parts come next as nodes of their own
		}
		s := n.Shape()
		if _, err := untrusted.Bytes(fmt.Sprintf("operation %s of shape %v", n.Type(), s.Dimensions), s.DType.Size(), s.Dimensions...); err != nil {
			return err
		}
	}
	return nil
}

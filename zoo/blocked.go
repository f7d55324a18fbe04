package zoo

import (
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/nn/mixer"
)

// Blocked is a network whose middle is blocks of one kind: Apply is End of the last Block of ... of Begin, with what is Around its input.
type Blocked interface {
	Network

	// Around is what the blocks must know of input x. They fill in themselves which of them they are.
	Around(x *Node) mixer.Context
	Begin(scope *model.Scope, x *Node) *Node
	Blocks() []Block
	Block(scope *model.Scope, i int, h *Node, c mixer.Context) *Node
	End(scope *model.Scope, h *Node) *Node
}

// Block is one block of a Blocked network.
type Block struct {
	Scope   string            // below the network's
	Linears [][]string        // scopes below Scope of its dense layers, in stages: what is in one stage reads the same input
	Part    map[string]string // for each of Linears the scope of the part, which a residual connection goes around
}

// throughBlocks is Apply of a Blocked network.
func throughBlocks(n Blocked, scope *model.Scope, x *Node) *Node {
	c := n.Around(x)
	h := n.Begin(scope, x)
	for i := range n.Blocks() {
		h = n.Block(scope, i, h, c)
	}
	return n.End(scope, h)
}

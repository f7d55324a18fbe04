package residual

import "github.com/gomlx/gomlx/core/graph"

// Pre has the norm in front of the part, h + f(N(h)), and one behind the last block. What flows from block to block is never
// normalised, so gradients reach the first block whole, and it grows with depth.
// Source: Xiong et al., "On Layer Normalization in the Transformer Architecture", arXiv 2002.04745.
type Pre struct{}

var _ Placement = Pre{}

// Block returns h + part(norm(h)).
func (Pre) Block(_ Place, h *graph.Node, norm Norm, part func(*graph.Node) *graph.Node) *graph.Node {
	return graph.Add(h, part(norm("norm", h)))
}

// Last is true.
func (Pre) Last(int) bool { return true }

package residual

import "github.com/gomlx/gomlx/core/graph"

// Post has the norm behind the sum, N(h + f(h)), as the first transformers did: deep networks need a warm-up.
// Source: Vaswani et al., "Attention Is All You Need", arXiv 1706.03762.
type Post struct{}

var _ Placement = Post{}

// Block returns norm(h + part(h)).
func (Post) Block(_ Place, h *graph.Node, norm Norm, part func(*graph.Node) *graph.Node) *graph.Node {
	return norm("norm", graph.Add(h, part(h)))
}

// Last is false.
func (Post) Last(int) bool { return false }

// Package residual places norms around the residual connections of a network's blocks. For a norm N and a part f of a
// block, attention or feed-forward,
//
//	placement   h becomes        norm after the last block      paper
//	pre         h + f(N(h))      yes                            arXiv 2002.04745
//	post        N(h + f(h))      no                             arXiv 1706.03762
package residual

import (
	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/internal/choice"
	"github.com/ballast-ml/ballast/own"
)

// Place says where in a network a part stands.
type Place struct {
	Layer  int    // which block, from 0
	Layers int    // how many there are
	Part   string // attention or feed, or the name of another mixer
}

// Norm is a norm of a part with a name of its own, "norm" for the one that every placement has: each name has its own variables.
type Norm func(name string, x *graph.Node) *graph.Node

// Placement makes one part of a block residual.
type Placement interface {
	// Block returns what follows h when part is added to it. It applies part once, and each norm at most once.
	Block(at Place, h *graph.Node, norm Norm, part func(x *graph.Node) *graph.Node) *graph.Node

	// Last reports whether a norm follows the last of so many blocks.
	Last(layers int) bool
}

// Kind is a placement that can be chosen by name: its Name, and New, which returns it with its defaults.
type Kind = choice.Kind[Placement]

// All is every placement that has a name, with its defaults.
func All() []Kind {
	return []Kind{
		{Name: "pre", New: func() Placement { return Pre{} }},
		{Name: "post", New: func() Placement { return Post{} }},
	}
}

// Choice is a placement chosen by name in a recipe or a bundle.
type Choice struct{ Placement }

// MarshalJSON writes the name and the options.
func (c Choice) MarshalJSON() ([]byte, error) { return choice.Encode("placement", All(), c.Placement) }

// UnmarshalJSON reads a name, or a name with options; an unknown name or option is an error that names the nearest.
func (c *Choice) UnmarshalJSON(data []byte) error { return c.UnmarshalOwn(data, nil) }

// UnmarshalOwn is UnmarshalJSON where names may be a program's own.
func (c *Choice) UnmarshalOwn(data []byte, r own.Registry) (err error) {
	c.Placement, err = choice.Decode("placement", All(), data, r)
	return err
}

// Name returns the name a placement has in All, or its Go type.
func Name(p Placement) string { return choice.NameOf(All(), p) }

package attention

import (
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/internal/choice"
	"github.com/ballast-ml/ballast/own"
)

// Positions tell the places of a sequence apart.
type Positions interface {
	// Embed gives x [batch, time, dim], the input of a network's first block, what belongs to its places. scope is the network's.
	Embed(scope *model.Scope, x *graph.Node, c Context) *graph.Node

	// Apply gives the queries and keys [batch, heads, time, d] of a layer what belongs to their places. scope is the layer's.
	Apply(scope *model.Scope, q, k *graph.Node, c Context) (*graph.Node, *graph.Node)

	// Validate says what is wrong with the options, or with heads of d numbers.
	Validate(d int) error
}

// PositionsKind are positions that can be chosen by name: their Name, and New, which returns them with their defaults.
type PositionsKind = choice.Kind[Positions]

// AllPositions are all positions that have a name, with their defaults.
func AllPositions() []PositionsKind {
	return []PositionsKind{
		{Name: "none", New: func() Positions { return NoPositions{} }},
		{Name: "learned", New: func() Positions { return NewLearned() }},
		{Name: "rope", New: func() Positions { return NewRoPE() }},
	}
}

// PositionsChoice are positions chosen by name in a recipe or a bundle.
type PositionsChoice struct{ Positions }

// MarshalJSON writes the name and the options.
func (c PositionsChoice) MarshalJSON() ([]byte, error) {
	return choice.Encode("kind of positions", AllPositions(), c.Positions)
}

// UnmarshalJSON reads a name, or a name with options; an unknown name or option is an error that names the nearest.
func (c *PositionsChoice) UnmarshalJSON(data []byte) error { return c.UnmarshalOwn(data, nil) }

// UnmarshalOwn is UnmarshalJSON where names may be a program's own.
func (c *PositionsChoice) UnmarshalOwn(data []byte, r own.Registry) (err error) {
	c.Positions, err = choice.Decode("kind of positions", AllPositions(), data, r)
	return err
}

// NoPositions leave places alone: without a causal mask the network sees a set.
type NoPositions struct{}

var _ Positions = NoPositions{}

// Embed returns x.
func (NoPositions) Embed(_ *model.Scope, x *graph.Node, _ Context) *graph.Node { return x }

// Apply returns q and k.
func (NoPositions) Apply(_ *model.Scope, q, k *graph.Node, _ Context) (*graph.Node, *graph.Node) {
	return q, k
}

// Validate has nothing to object to.
func (NoPositions) Validate(int) error { return nil }

// Package mixer has the parts of a block that mix information between the places of a sequence.
//
//	mixer       y_t combines                                     variables (of a network of width dim)
//	attention   all places that t may see, by their similarity   query, key, value, out: kernel [dim, dim], bias [dim]
package mixer

import (
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/internal/choice"
	"github.com/ballast-ml/ballast/nn/attention"
	"github.com/ballast-ml/ballast/own"
)

// Context is what surrounds a sequence; see there.
type Context = attention.Context

// Mixer turns x [batch, time, dim] into y of the same shape, in which every place has seen others.
type Mixer interface {
	Apply(scope *model.Scope, x *graph.Node, c Context) *graph.Node

	// Embed gives x, the input of a network's first block, what the mixer wants of places there. scope is the network's.
	Embed(scope *model.Scope, x *graph.Node, c Context) *graph.Node

	// Linears are the scopes of the dense layers below the mixer's, in stages: what is in one stage reads the same input.
	Linears() [][]string

	// Validate says what is wrong with the options, or with a network of this width.
	Validate(dim int) error
}

// Kind is a mixer that can be chosen by name: its Name, and New, which returns it with its defaults.
type Kind = choice.Kind[Mixer]

// All is every mixer that has a name, with its defaults.
func All() []Kind {
	return []Kind{
		{Name: "attention", New: func() Mixer { return NewAttention() }},
	}
}

// Choice is a mixer chosen by name in a recipe or a bundle.
type Choice struct{ Mixer }

// MarshalJSON writes the name and the options.
func (c Choice) MarshalJSON() ([]byte, error) { return choice.Encode("mixer", All(), c.Mixer) }

// UnmarshalJSON reads a name, or a name with options; an unknown name or option is an error that names the nearest.
func (c *Choice) UnmarshalJSON(data []byte) error { return c.UnmarshalOwn(data, nil) }

// UnmarshalOwn is UnmarshalJSON where names may be a program's own.
func (c *Choice) UnmarshalOwn(data []byte, r own.Registry) (err error) {
	c.Mixer, err = choice.Decode("mixer", All(), data, r)
	return err
}

// Name returns the name a mixer has in All, or its Go type.
func Name(m Mixer) string { return choice.NameOf(All(), m) }

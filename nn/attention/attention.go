// Package attention has the parts of attention: kernels, which compute outputs from queries, keys and values, and positions, which
// encode where a token is in its sequence. Both are values that a network or mixer.Attention holds.
//
//	kernel    P, of y = P v                        paper
//	softmax   softmax(Scale q k^T) along the keys  arXiv 1706.03762
//
//	positions   what they do                                       variables
//	none        nothing                                            none
//	learned     add a trained vector for each place                positions/kernel [Most, dim]
//	rope        rotate queries and keys by angles of their places  none
package attention

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/internal/choice"
	"github.com/ballast-ml/ballast/ops"
	"github.com/ballast-ml/ballast/own"
)

// Context is what surrounds a sequence while a network is built: what a mixer must know besides its input. The zero value is a text
// without padding in which every place sees every other, in a network that draws nothing.
type Context struct {
	Causal  bool        // a place sees itself and what comes before it
	Padding *graph.Node // bool [batch, time], true where there is no token; nil for none
	Offset  *graph.Node // int32, how many places came before the first of this sequence; nil for none
	Most    int         // the longest sequence that the network takes, with what came before; 0 if it does not say
	Layer   int         // which block of the network this is, from 0
	Layers  int         // how many there are
	Random  *ops.Random // for what training draws; nil where nothing is drawn
	Lead    int         // tokens in front of those of Grid, such as a class token
	Grid    [2]int      // rows and columns of an image's patches, row by row; zero for a text
}

// Mask is bool, true where a query may see a key, and broadcasts against [batch, heads, queries, keys]. It is nil if every query sees
// every key. The keys of a graph with an Offset include those of the places before; without one, queries and keys begin together.
func (c Context) Mask(g *graph.Graph, queries, keys int) *graph.Node {
	var mask *graph.Node
	if c.Causal {
		place := func(axis int) *graph.Node { return graph.Iota(g, shapes.Make(dtypes.Int32, 1, 1, queries, keys), axis) }
		query := place(2)
		if c.Offset != nil {
			query = graph.Add(query, c.Offset)
		}
		mask = graph.GreaterOrEqual(query, place(3))
	}
	if c.Padding == nil {
		return mask
	}

	d := c.Padding.Shape().Dimensions
	if c.Padding.DType() != dtypes.Bool || len(d) != 2 || d[1] != keys {
		Panicf("attention: padding is %s for %d keys; want bools [batch, keys]", c.Padding.Shape(), keys)
	}
	visible := graph.Reshape(graph.LogicalNot(c.Padding), d[0], 1, 1, keys)
	if mask == nil {
		return visible
	}
	return graph.LogicalAnd(graph.BroadcastToDims(visible, d[0], 1, queries, keys), graph.BroadcastToDims(mask, d[0], 1, queries, keys))
}

// Heads are the queries, keys and values of one layer.
type Heads struct {
	Q, K, V *graph.Node // [batch, heads, queries, d], [batch, heads, keys, d], [batch, heads, keys, e]
	Mask    *graph.Node // see Context.Mask; nil if every query sees every key
	Scale   float64     // what the products of queries and keys are multiplied with; 1/sqrt(d) of arXiv 1706.03762
	Sums    bool        // the kernel's sums are asked for
	Context Context
}

// Kernel turns heads into answers y [batch, heads, queries, e]. lse [batch, heads, queries] is the logarithm of what each query's weights
// were divided by, with which answers over parts of the keys can be joined; nil unless Sums is set, and from a kernel that has no such sum.
// A query that may see no key answers 0. Where somebody sees the pass through the network, a kernel that has weights of queries for keys
// writes them out and shows them as pass.Probabilities, in front of the product with V.
type Kernel interface {
	Attend(scope *model.Scope, h Heads) (y, lse *graph.Node)
}

// Kind is a kernel that can be chosen by name: its Name, and New, which returns it with its defaults.
type Kind = choice.Kind[Kernel]

// All is every kernel that has a name, with its defaults.
func All() []Kind {
	return []Kind{
		{Name: "softmax", New: func() Kernel { return Softmax{} }},
	}
}

// Choice is a kernel chosen by name in a recipe or a bundle.
type Choice struct{ Kernel }

// MarshalJSON writes the name and the options.
func (c Choice) MarshalJSON() ([]byte, error) {
	return choice.Encode("attention kernel", All(), c.Kernel)
}

// UnmarshalJSON reads a name, or a name with options; an unknown name or option is an error that names the nearest.
func (c *Choice) UnmarshalJSON(data []byte) error { return c.UnmarshalOwn(data, nil) }

// UnmarshalOwn is UnmarshalJSON where names may be a program's own.
func (c *Choice) UnmarshalOwn(data []byte, r own.Registry) (err error) {
	c.Kernel, err = choice.Decode("attention kernel", All(), data, r)
	return err
}

// Name returns the name a kernel has in All, or its Go type.
func Name(k Kernel) string { return choice.NameOf(All(), k) }

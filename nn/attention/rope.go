package attention

import (
	"fmt"
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"
)

// RoPE turns pairs of numbers of queries and keys by angles that grow with the place t, so that their products know the distance alone:
//
//	(a, b) -> (a cos - b sin, b cos + a sin)      of the angle t Base^(-2i/d) for pair i = 0 ... d/2-1
//
// Pair i is (x_i, x_(i+d/2)), as LLaMA has it, or (x_2i, x_(2i+1)) if Interleaved, as the paper does; a permutation of the kernels' columns
// leads from one to the other. Angles are computed in float64. There are no variables.
// Source: Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding", arXiv 2104.09864.
type RoPE struct {
	Base        float64 `json:"base"`        // 10000
	Interleaved bool    `json:"interleaved"` // false
}

var _ Positions = RoPE{}

// NewRoPE returns the paper's base, with the pairs of LLaMA.
func NewRoPE() RoPE { return RoPE{Base: 10000} }

// Validate says what is wrong with the options, or with heads of d numbers.
func (r RoPE) Validate(d int) error {
	switch {
	case !(r.Base > 1):
		return fmt.Errorf("rope: base is %v; use a number above 1", r.Base)
	case d%2 != 0:
		return fmt.Errorf("rope: heads have %d numbers, which do not make pairs; use an even number", d)
	}
	return nil
}

// Embed returns x.
func (RoPE) Embed(_ *model.Scope, x *graph.Node, _ Context) *graph.Node { return x }

// Apply turns q and k. Panics if their last axis is odd.
func (r RoPE) Apply(_ *model.Scope, q, k *graph.Node, c Context) (*graph.Node, *graph.Node) {
	return r.turn(q, c), r.turn(k, c)
}

func (r RoPE) turn(x *graph.Node, c Context) *graph.Node {
	if x.Rank() != 4 || x.Shape().Dimensions[3]%2 != 0 {
		Panicf("attention.RoPE: x is %s; want [batch, heads, time, d] with an even d", x.Shape())
	}
	g, d := x.Graph(), x.Shape().Dimensions
	half := d[3] / 2
	slow := make([]float64, half)
	for i := range slow {
		slow[i] = math.Pow(r.Base, -2*float64(i)/float64(d[3]))
	}
	place := graph.Iota(g, shapes.Make(dtypes.Float64, d[2], 1), 0)
	if c.Offset != nil {
		place = graph.Add(place, graph.ConvertDType(c.Offset, dtypes.Float64))
	}
	lay := func(x *graph.Node) *graph.Node { return graph.BroadcastToDims(x, d[2], half) }
	angle := graph.Mul(lay(place), lay(graph.ExpandAxes(graph.Const(g, slow), 0)))
	wave := func(f func(*graph.Node) *graph.Node) *graph.Node {
		y := graph.Reshape(graph.ConvertDType(f(angle), x.DType()), 1, 1, d[2], half)
		return graph.BroadcastToDims(y, d[0], d[1], d[2], half)
	}
	cos, sin := wave(graph.Cos), wave(graph.Sin)
	turned := func(a, b *graph.Node) (*graph.Node, *graph.Node) {
		return graph.Sub(graph.Mul(a, cos), graph.Mul(b, sin)), graph.Add(graph.Mul(b, cos), graph.Mul(a, sin))
	}

	if r.Interleaved {
		pairs := graph.Reshape(x, d[0], d[1], d[2], half, 2)
		part := func(i int) *graph.Node {
			return graph.Reshape(graph.SliceAxis(pairs, 4, graph.AxisRange(i, i+1)), d[0], d[1], d[2], half)
		}
		a, b := turned(part(0), part(1))
		return graph.Reshape(graph.Concatenate([]*graph.Node{graph.ExpandAxes(a, -1), graph.ExpandAxes(b, -1)}, 4), d...)
	}
	a, b := turned(graph.SliceAxis(x, 3, graph.AxisRange(0, half)), graph.SliceAxis(x, 3, graph.AxisRange(half, d[3])))
	return graph.Concatenate([]*graph.Node{a, b}, 3)
}

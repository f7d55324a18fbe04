package onnxrun

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
)

// equation is an Einstein sum: letters for the axes of each operand, and those of the result. Dots have become capital letters.
type equation struct {
	terms  []string
	result string
	dots   int // axes that dots stand for
}

// einsum gives every operand all letters as axes, multiplies, and sums over those that the result lacks.
func einsum(c *call) *node {
	e := c.equation()
	if e.isProduct() {
		return graph.Einsum(e.terms[0]+","+e.terms[1]+"->"+e.result, c.x(0), c.x(1))
	}

	order := e.order()
	var parts []*node
	for i, term := range e.terms {
		x, term := diagonals(c.x(i), term)
		parts = append(parts, lettered(x, term, order))
	}

	y := joined(broadcast(parts...), graph.Mul)

	var axes []int
	for j := len(e.result); j < len(order); j++ {
		axes = append(axes, j)
	}
	if len(axes) > 0 {
		y = graph.ReduceSum(y, axes...)
	}
	return y
}

// equation reads the attribute. Without an arrow the result has the letters that occur once, in alphabetical order, after the dots.
func (c *call) equation() equation {
	text := strings.ReplaceAll(c.text("equation", ""), " ", "")
	left, right, explicit := strings.Cut(text, "->")
	e := equation{terms: strings.Split(left, ","), result: right}
	if len(e.terms) != len(c.in) {
		panic(fmt.Errorf("equation %q for %d inputs", text, len(c.in)))
	}

	const spare = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	hidden := func(i int) int { return c.x(i).Rank() - len(e.terms[i]) + len("...") }
	for i, t := range e.terms {
		if strings.Contains(t, "...") {
			e.dots = max(e.dots, hidden(i))
		}
	}

	if e.dots > len(spare) || strings.ContainsAny(text, spare) && e.dots > 0 {
		panic(fmt.Errorf("equation %q mixes capital letters and dots", text))
	}
	for i, t := range e.terms {
		if strings.Contains(t, "...") {
			e.terms[i] = strings.Replace(t, "...", spare[e.dots-hidden(i):e.dots], 1)
		}
	}

	e.result = strings.Replace(right, "...", spare[:e.dots], 1)
	if !explicit {
		e.result = spare[:e.dots]
		all := strings.Join(e.terms, "")
		for l := 'a'; l <= 'z'; l++ {
			if strings.Count(all, string(l)) == 1 {
				e.result += string(l)
			}
		}
	}
	return e
}

// isProduct reports whether the engine's own product of two operands does it: no letter twice in an operand, none summed in one alone.
func (e equation) isProduct() bool {
	if len(e.terms) != 2 || e.dots > 0 {
		return false
	}
	for _, t := range e.terms {
		for i := range t {
			letter := t[i : i+1]
			shared := strings.Contains(e.terms[0], letter) && strings.Contains(e.terms[1], letter)
			if strings.Count(t, letter) != 1 || !strings.Contains(e.result, letter) && !shared {
				return false
			}
		}
	}
	return true
}

// order has each letter once, those of the result first.
func (e equation) order() []byte {
	order := []byte(e.result)
	for _, t := range e.terms {
		for i := range t {
			if !slices.Contains(order, t[i]) {
				order = append(order, t[i])
			}
		}
	}
	return order
}

// diagonals takes the diagonal of axes with the same letter.
func diagonals(x *node, term string) (*node, string) {
	for j := 0; j < len(term); j++ {
		k := strings.IndexByte(term[j+1:], term[j])
		if k < 0 {
			continue
		}

		k += j + 1
		s := shapes.Make(dtypes.Int32, x.Shape().Dimensions...)
		on := graph.Equal(graph.Iota(x.Graph(), s, j), graph.Iota(x.Graph(), s, k))
		x = graph.ReduceSum(graph.Where(on, x, graph.ZerosLike(x)), k)
		term = term[:k] + term[k+1:]
		j--
	}
	return x, term
}

// lettered lays the axes of x in an order of letters, with one element for those that it lacks.
func lettered(x *node, term string, order []byte) *node {
	var perm []int
	dims := make([]int, len(order))
	for j, l := range order {
		dims[j] = 1
		if at := strings.IndexByte(term, l); at >= 0 {
			perm = append(perm, at)
			dims[j] = x.Shape().Dimensions[at]
		}
	}
	if len(perm) > 1 {
		x = graph.TransposeAllAxes(x, perm...)
	}
	return graph.Reshape(x, dims...)
}

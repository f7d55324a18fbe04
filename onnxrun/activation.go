package onnxrun

import (
	"strings"

	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/ops"
)

// activation is a function that a recurrent node may name.
type activation struct {
	of          func(v *node, alpha, beta float64) *node
	takes       int // 1 if it has an alpha, 2 if it has a beta too
	alpha, beta float64
}

// namedActivations are all of them, by names in small letters.
func namedActivations() map[string]activation {
	plain := func(f func(v *node) *node) activation {
		return activation{of: func(v *node, _, _ float64) *node { return f(v) }}
	}
	return map[string]activation{
		"sigmoid": plain(graph.Sigmoid), "tanh": plain(graph.Tanh), "relu": plain(func(v *node) *node { return graph.Max(v, scalar(v, 0)) }),
		"softsign": plain(func(v *node) *node { return graph.Div(v, plus(graph.Abs(v), 1)) }), "softplus": plain(ops.Softplus),
		"affine":      {func(v *node, a, b float64) *node { return plus(times(v, a), b) }, 2, 1, 0},
		"scaledtanh":  {func(v *node, a, b float64) *node { return times(graph.Tanh(times(v, b)), a) }, 2, 1, 1},
		"hardsigmoid": {func(v *node, a, b float64) *node { return hard(plus(times(v, a), b), 0, 1) }, 2, 0.2, 0.5},
		"leakyrelu":   {func(v *node, a, _ float64) *node { return graph.Where(positive(v), v, times(v, a)) }, 1, 0.01, 0},
		"elu":         {func(v *node, a, _ float64) *node { return graph.Where(positive(v), v, times(ops.Expm1(v), a)) }, 1, 1, 0},
		"thresholdedrelu": {func(v *node, a, _ float64) *node {
			return graph.Where(graph.GreaterThan(v, scalar(v, a)), v, graph.ZerosLike(v))
		}, 1, 1, 0},
	}
}

// activations are the functions of a recurrent node, for each direction those of the other after it, as its attributes name them. The
// numbers of activation_alpha and activation_beta go to those that have such, in order.
func (c *call) activations(defaults []string, dirs int) []func(v *node) *node {
	names := defaults
	if a := c.n.Attribute("activations"); a != nil {
		names = nil
		for _, name := range a.Strings {
			names = append(names, string(name))
		}
		need(len(names) == len(defaults) || len(names) == dirs*len(defaults),
			"activations names %d functions, want %d for each of %d directions", len(names), len(defaults), dirs)
	}

	alphas, betas := c.numbers("activation_alpha"), c.numbers("activation_beta")
	next := func(list *[]float64, otherwise float64) float64 {
		if len(*list) == 0 {
			return otherwise
		}
		v := (*list)[0]
		*list = (*list)[1:]
		return v
	}

	var out []func(v *node) *node
	for i := range dirs * len(defaults) {
		name := names[i%len(names)]
		a, ok := namedActivations()[strings.ToLower(name)]
		need(ok, "activation %q is not known", name)
		alpha, beta := a.alpha, a.beta
		if a.takes > 0 {
			alpha = next(&alphas, alpha)
		}
		if a.takes > 1 {
			beta = next(&betas, beta)
		}
		out = append(out, func(v *node) *node { return a.of(v, alpha, beta) })
	}
	return out
}

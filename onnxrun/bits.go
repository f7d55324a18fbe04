package onnxrun

import "github.com/gomlx/gomlx/core/graph"

// integersOnly refuses what has no bits of its own.
func integersOnly(x *node) *node {
	need(x.DType().IsInt(), "its input is %s, want integers", x.Shape())
	return x
}

func bitOps() map[string]operator {
	pair := func(f func(a, b *node) *node) operator {
		return binary2(func(a, b *node) *node { return f(integersOnly(a), integersOnly(b)) }).takes()
	}
	return map[string]operator{
		"BitwiseAnd": pair(graph.BitwiseAnd), "BitwiseOr": pair(graph.BitwiseOr), "BitwiseXor": pair(graph.BitwiseXor),
		"BitwiseNot": unary(func(x *node) *node { return graph.BitwiseNot(integersOnly(x)) }).takes(),
	}
}

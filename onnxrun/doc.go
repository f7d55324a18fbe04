// Package onnxrun runs ONNX graphs on the engines directly, without translating them into networks of this module.
//
//	model, err := onnx.Open("model.onnx") // package format/onnx reads, without an engine
//	graph, err := onnxrun.New(model)      // all operators that cannot be run are named in one error
//	out, err := graph.Run(e, map[string]*tensors.Tensor{"x": x})
//
// A program is built for each combination of shapes. Values that depend only on shapes, and loops with a known end, are computed on the Go
// engine while the program is built. The resources of a graph are limited: limits.go has the limits, docs/onnx.md lists the operators.
//
// Each file has one kind of operator and a table of their names. An operator is a function from a call, a node with its inputs, to nodes
// of the engine's graph or to values. An operator panics with the fault of its node, and Run returns that as an error that names
// the node.
package onnxrun

// Package onnxrun runs ONNX graphs on the engines, as they are: nothing is translated into networks of this module.
//
//	model, err := onnx.Open("model.onnx") // package format/onnx reads, without an engine
//	graph, err := onnxrun.New(model)      // all operators that cannot be run are named in one error
//	out, err := graph.Run(e, map[string]*tensors.Tensor{"x": x})
//
// A program is built for each combination of shapes. What depends on shapes alone is computed while it is built, on the Go engine, as are
// loops whose end is known. What a graph may ask for is bounded: see the constants of limits.go, and docs/onnx.md for the operators.
//
// A file is one kind of operator each. An operator is a function from a call, a node with its inputs, to nodes of the engine's graph or
// to values; each file has the table of its operators' names. Operators panic with what is wrong with a node, and Run returns it as an
// error that names the node.
package onnxrun

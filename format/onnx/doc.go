// Package onnx reads ONNX models: the graph with its nodes, attributes and subgraphs, the initialisers, dense and sparse, inside the file
// or beside it, and the tensors (*.pb) that tests of operators come with. It runs nothing; package zoo does.
//
// The protobuf is read strictly. What is refused, each with an error of its own kind: wire types that do not fit, dimensions below 0
// or whose product overflows, data whose length is not that of the shape, names defined twice, inputs that nothing makes, nodes
// that come before what they take (a cycle, if no order would do), subgraphs and messages more than 32 deep, data outside the
// model's folder. What reading takes stays below 64 MB and four times the file; the elements of tensors are not copied where the file holds
// them as they are.
//
// Elements are little endian. Types that Go lacks (float16, bfloat16, the float8 family) are kept as bytes, and Float32s converts them.
//
// Source: the ONNX specification, onnx/onnx.proto.
package onnx

// Package onnx reads ONNX models: the graph with its nodes, attributes and subgraphs, the dense and sparse initialisers inside the file
// or beside it, and the tensor files (*.pb) of operator tests. It does not run models; package onnxrun does.
//
// The protobuf is read strictly. Each of these is refused with its own kind of error: wire types that do not fit; negative dimensions;
// shapes with too many elements; data of a length that does not match its shape; names defined twice; inputs that no node produces;
// nodes that come before their inputs (a cycle, if no order works); subgraphs and messages more than 32 deep; data outside the
// model's folder. Reading takes at most 64 MB plus four times the file's size. The elements of a tensor are not copied if the file stores
// them in their final form.
//
// Elements are little endian. Types that Go lacks (float16, bfloat16, the float8 family) are kept as bytes, and Float32s converts them.
//
// It writes changed copies of models that it has read: an Edit names what changes, and every byte of the rest stays as it was, in its order,
// with fields that are not known here. Model.Rewrite makes a copy with its external data, to be run beside the original before it is written.
//
//	m, err := onnx.Open("model.onnx")
//	c, err := m.Rewrite("mended.onnx", onnx.Edit{Metadata: map[string]string{"author": "us"}})
//	err = c.WriteFile()
//
// Source: the ONNX specification, onnx/onnx.proto.
package onnx

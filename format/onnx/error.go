package onnx

import "github.com/ballast-ml/ballast/format"

// onnx is the format as errors name it.
var onnx = format.Format{Name: "onnx"}

// Kinds of errors, for errors.Is.
var (
	ErrProto     = onnx.Kind("not a well-formed ONNX message")
	ErrGraph     = onnx.Kind("graph is not of the right form")
	ErrDuplicate = onnx.Kind("name is defined twice")
	ErrMissing   = onnx.Kind("nothing makes this value")
	ErrOrder     = onnx.Kind("nodes are not in topological order, or form a cycle")
	ErrShape     = onnx.Kind("shape is not valid")
	ErrSize      = onnx.Kind("data and shape do not agree in size")
	ErrDType     = onnx.Kind("type of elements is not known here")
	ErrPath      = onnx.Kind("external data path leaves the model directory")
	ErrExternal  = onnx.Kind("external data cannot be read")
	ErrLimit     = onnx.Kind("limit exceeded")
	ErrNoTensor  = onnx.Misuse("no such tensor")
	ErrRange     = onnx.Misuse("outside the tensor")
	ErrEdit      = onnx.Misuse("change does not fit the model")
)

// Error says what is wrong with a file, where, and what to do about it.
type Error = format.Error

const (
	fixDownload = "get the file again, or export the model again"
	fixExport   = "export the model again with a current exporter"
)

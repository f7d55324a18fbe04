package tfjs

import "github.com/ballast-ml/ballast/format"

// tfjs is the format as errors name it.
var tfjs = format.Format{Name: "tfjs", Tensor: "weight"}

// Kinds of errors, for errors.Is.
var (
	ErrManifest  = tfjs.Kind("manifest is not of the right form")
	ErrPath      = tfjs.Kind("shard lies outside the model's folder")
	ErrShard     = tfjs.Kind("shard cannot be read")
	ErrSize      = tfjs.Kind("weights and shards do not agree in size")
	ErrDuplicate = tfjs.Kind("name occurs twice")
	ErrLimit     = tfjs.Kind("limit exceeded")
	ErrNoTensor  = tfjs.Misuse("no such weight")
	ErrDType     = tfjs.Misuse("type cannot be converted")
	ErrRange     = tfjs.Misuse("outside the weight")
)

// Error says what is wrong with a file, where, and what to do about it.
type Error = format.Error

// Advice that several errors give.
const (
	fixDownload = "get the model again, manifest and shards of one version"
	fixConvert  = "write it again with a current tensorflowjs_converter"
)

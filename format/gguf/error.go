package gguf

import "github.com/ballast-ml/ballast/format"

// gguf is the format as errors name it.
var gguf = format.Format{Name: "gguf", Tensor: "tensor", Bytes: true}

// Kinds of errors, for errors.Is.
var (
	ErrMagic     = gguf.Kind("file does not begin with GGUF")
	ErrEndian    = gguf.Kind("file is big endian")
	ErrVersion   = gguf.Kind("version cannot be read")
	ErrTruncated = gguf.Kind("file ends too early")
	ErrCount     = gguf.Kind("more entries than the file has room for")
	ErrLimit     = gguf.Kind("limit exceeded")
	ErrUTF8      = gguf.Kind("text is not UTF-8")
	ErrValueType = gguf.Kind("value has an unknown type")
	ErrNested    = gguf.Kind("array of arrays")
	ErrBool      = gguf.Kind("truth value is neither 0 nor 1")
	ErrDuplicate = gguf.Kind("name occurs twice")
	ErrAlignment = gguf.Kind("alignment is not a power of two from 1 to 1 MiB")
	ErrName      = gguf.Kind("name is too long")
	ErrDims      = gguf.Kind("more than 4 dimensions")
	ErrOverflow  = gguf.Kind("size overflows 63 bits")
	ErrType      = gguf.Kind("tensor has an unknown type")
	ErrBlock     = gguf.Kind("row is not a whole number of blocks")
	ErrUnaligned = gguf.Kind("offset is not aligned")
	ErrOverlap   = gguf.Kind("tensors overlap")
	ErrGap       = gguf.Kind("bytes that belong to no tensor")
	ErrRange     = gguf.Misuse("outside the tensor")
	ErrLength    = gguf.Misuse("values and bytes do not fit each other")
	ErrNoTensor  = gguf.Misuse("no such tensor")
	ErrKey       = gguf.Misuse("no such value")
	ErrDecode    = gguf.Kind("type cannot be decoded")
	ErrEncode    = gguf.Kind("values cannot be encoded")
	ErrWrite     = gguf.Misuse("cannot be written")
)

// Error says what is wrong with a file, where, and what to do about it.
type Error = format.Error

// Advice that several errors give.
const (
	fixDownload = "the file is damaged or cut short: get it again"
	fixRewrite  = "the program that wrote it is at fault: write it again with a current one"
	fixLimit    = "raise the limit in Options if you trust the file"
	fixRange    = "ask for a part of the tensor: see Info"
)

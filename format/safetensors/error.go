package safetensors

import "github.com/ballast-ml/ballast/format"

// safetensors is the format as errors name it.
var safetensors = format.Format{Name: "safetensors", Tensor: "tensor", Bytes: true}

// Kinds of errors, for errors.Is.
var (
	ErrHeaderTooSmall = safetensors.Kind("file is shorter than the 8 bytes of the header's length")
	ErrHeaderTooLarge = safetensors.Kind("header is larger than allowed")
	ErrHeaderLength   = safetensors.Kind("header reaches beyond the end of the file")
	ErrHeaderStart    = safetensors.Kind("header does not begin with '{'")
	ErrUTF8           = safetensors.Kind("header is not UTF-8")
	ErrHeader         = safetensors.Kind("header is not JSON of the right form")
	ErrDuplicate      = safetensors.Kind("name occurs twice")
	ErrOffsets        = safetensors.Kind("end lies before begin")
	ErrOverlap        = safetensors.Kind("tensors overlap")
	ErrGap            = safetensors.Kind("bytes that belong to no tensor")
	ErrOverflow       = safetensors.Kind("size overflows 63 bits")
	ErrMisaligned     = safetensors.Kind("size is not a whole number of bytes")
	ErrSize           = safetensors.Kind("shape and type do not agree with the byte range")
	ErrTruncated      = safetensors.Kind("file ends before its data")
	ErrTrailing       = safetensors.Kind("bytes after the last tensor")
	ErrLimit          = safetensors.Kind("limit exceeded")
	ErrNoTensor       = safetensors.Misuse("no such tensor")
	ErrDType          = safetensors.Misuse("type cannot be converted")
	ErrTensor         = safetensors.Misuse("tensor cannot be written")
	ErrIndex          = safetensors.Kind("index is not JSON of the right form")
	ErrPath           = safetensors.Kind("shard lies outside the model's folder")
	ErrMissing        = safetensors.Kind("index names a tensor that its shard lacks")
	ErrShard          = safetensors.Kind("shard cannot be read")
)

// reference gives the error kind that the reference reader reports for each of ours; the kinds it lets pass are "ok".
var reference = map[*format.Kind]string{
	ErrHeaderTooSmall: "HeaderTooSmall",
	ErrHeaderTooLarge: "HeaderTooLarge",
	ErrHeaderLength:   "InvalidHeaderLength",
	ErrHeaderStart:    "ok",
	ErrUTF8:           "InvalidHeader",
	ErrHeader:         "InvalidHeaderDeserialization",
	ErrDuplicate:      "ok",
	ErrOffsets:        "InvalidOffset",
	ErrOverlap:        "InvalidOffset",
	ErrGap:            "InvalidOffset",
	ErrOverflow:       "ValidationOverflow",
	ErrMisaligned:     "MisalignedSlice",
	ErrSize:           "TensorInvalidInfo",
	ErrTruncated:      "MetadataIncompleteBuffer",
	ErrTrailing:       "MetadataIncompleteBuffer",
}

// Error says what is wrong with a file, where, and what to do about it.
type Error = format.Error

// Reference returns the error kind that the reference reader reports for a file with this fault: "InvalidOffset" and the
// like, "ok" where it lets the file pass, "" for what it does not know.
func Reference(e *Error) string { return reference[e.Kind] }

// Advice that several errors give.
const (
	fixDownload = "the file is damaged or cut short: get it again"
	fixRewrite  = "the program that wrote it is at fault: write it again with a current safetensors library"
	fixLimit    = "raise the limit in Options if you trust the file"
)

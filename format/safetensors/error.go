package safetensors

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ballast-ml/ballast/internal/printable"
)

// Kinds of errors, for errors.Is.
var (
	ErrHeaderTooSmall = errors.New("file is shorter than the 8 bytes of the header's length")
	ErrHeaderTooLarge = errors.New("header is larger than allowed")
	ErrHeaderLength   = errors.New("header reaches beyond the end of the file")
	ErrHeaderStart    = errors.New("header does not begin with '{'")
	ErrUTF8           = errors.New("header is not UTF-8")
	ErrHeader         = errors.New("header is not JSON of the right form")
	ErrDuplicate      = errors.New("name occurs twice")
	ErrOffsets        = errors.New("end lies before begin")
	ErrOverlap        = errors.New("tensors overlap")
	ErrGap            = errors.New("bytes that belong to no tensor")
	ErrOverflow       = errors.New("size overflows 63 bits")
	ErrMisaligned     = errors.New("size is not a whole number of bytes")
	ErrSize           = errors.New("shape and type do not agree with the byte range")
	ErrTruncated      = errors.New("file ends before its data")
	ErrTrailing       = errors.New("bytes after the last tensor")
	ErrLimit          = errors.New("limit exceeded")
	ErrNoTensor       = errors.New("no such tensor")
	ErrDType          = errors.New("type cannot be converted")
	ErrTensor         = errors.New("tensor cannot be written")
	ErrIndex          = errors.New("index is not JSON of the right form")
	ErrPath           = errors.New("shard lies outside the model's folder")
	ErrMissing        = errors.New("index names a tensor that its shard lacks")
	ErrShard          = errors.New("shard cannot be read")
)

// reference gives the error kind that the reference reader reports for each of ours; the kinds it lets pass are "ok".
var reference = map[error]string{
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

// Error says what is wrong with a file, where, and what mends it.
type Error struct {
	File   string // path, "" for bytes in memory
	Tensor string // "" where no single tensor is at fault
	Field  string // "header length", "dtype", "shape", "data_offsets", "__metadata__", "weight_map" ...
	Offset int64  // byte in the file, -1 where there is none
	Kind   error  // one of the Err values above
	Text   string // what was found, with its values
	Fix    string // what to do
	Err    error  // what lies below, such as an error of the operating system; nil if nothing
}

// Error puts the parts into one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("safetensors: ")
	if e.File != "" {
		b.WriteString(printable.Line(e.File) + ": ")
	}
	if e.Tensor != "" {
		fmt.Fprintf(&b, "tensor %s: ", quote(e.Tensor))
	}
	if e.Field != "" {
		b.WriteString(printable.Line(e.Field) + ": ")
	}
	if e.Offset >= 0 {
		fmt.Fprintf(&b, "byte %d: ", e.Offset)
	}
	b.WriteString(e.Kind.Error())
	if e.Text != "" {
		b.WriteString(": " + printable.Line(e.Text))
	}
	if e.Err != nil {
		b.WriteString(": " + printable.Line(e.Err.Error()))
	}
	if e.Fix != "" {
		b.WriteString("; " + e.Fix)
	}
	return b.String()
}

// Unwrap lets errors.Is and errors.As see the kind and the cause.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

// BadInput tells whether the file is at fault, not the caller.
func (e *Error) BadInput() bool {
	return !errors.Is(e.Kind, ErrNoTensor) && !errors.Is(e.Kind, ErrDType) && !errors.Is(e.Kind, ErrTensor)
}

// Reference returns the error kind that the reference reader reports for a file with this fault: "InvalidOffset" and the
// like, "ok" where it lets the file pass, "" for what it does not know.
func (e *Error) Reference() string { return reference[e.Kind] }

// Advice that several errors give.
const (
	mendDownload = "the file is damaged or cut short: get it again"
	mendRewrite  = "the program that wrote it is at fault: write it again with a current safetensors library"
	mendLimit    = "raise the limit in Options if you trust the file"
)

// quote shows a name from a file, cut to a length that fits a message.
func quote(name string) string {
	const most = 100
	if len(name) <= most {
		return fmt.Sprintf("%q", name)
	}
	return fmt.Sprintf("%q... (%d bytes)", strings.ToValidUTF8(name[:most], ""), len(name))
}

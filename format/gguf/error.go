package gguf

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ballast-ml/ballast/internal/printable"
)

// Kinds of errors, for errors.Is.
var (
	ErrMagic     = errors.New("file does not begin with GGUF")
	ErrEndian    = errors.New("file is big endian")
	ErrVersion   = errors.New("version cannot be read")
	ErrTruncated = errors.New("file ends too early")
	ErrCount     = errors.New("more entries than the file has room for")
	ErrLimit     = errors.New("limit exceeded")
	ErrUTF8      = errors.New("text is not UTF-8")
	ErrValueType = errors.New("value has an unknown type")
	ErrNested    = errors.New("array of arrays")
	ErrBool      = errors.New("truth value is neither 0 nor 1")
	ErrDuplicate = errors.New("name occurs twice")
	ErrAlignment = errors.New("alignment is no power of two from 1 to 1 MiB")
	ErrName      = errors.New("name is too long")
	ErrDims      = errors.New("more than 4 dimensions")
	ErrOverflow  = errors.New("size overflows 63 bits")
	ErrType      = errors.New("tensor has an unknown type")
	ErrBlock     = errors.New("row is no whole number of blocks")
	ErrUnaligned = errors.New("offset is not aligned")
	ErrOverlap   = errors.New("tensors overlap")
	ErrGap       = errors.New("bytes that belong to no tensor")
	ErrRange     = errors.New("outside the tensor")
	ErrLength    = errors.New("values and bytes do not fit each other")
	ErrNoTensor  = errors.New("no such tensor")
	ErrKey       = errors.New("no such value")
	ErrDecode    = errors.New("type cannot be decoded")
	ErrEncode    = errors.New("values cannot be encoded")
	ErrWrite     = errors.New("cannot be written")
)

// Error says what is wrong with a file, where, and what mends it.
type Error struct {
	File   string // path, "" for bytes in memory
	Tensor string // "" where no single tensor is at fault
	Key    string // of the metadata, "" where no single one is at fault
	Field  string // "magic", "version", "type", "dims", "offset" ...
	Offset int64  // byte in the file, -1 where there is none
	Kind   error  // one of the Err values above
	Text   string // what was found, with its values
	Fix    string // what to do
	Err    error  // what lies below, such as an error of the operating system; nil if nothing
}

// Error puts the parts into one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("gguf: ")
	if e.File != "" {
		b.WriteString(printable.Line(e.File) + ": ")
	}
	if e.Tensor != "" {
		fmt.Fprintf(&b, "tensor %s: ", quote(e.Tensor))
	}
	if e.Key != "" {
		fmt.Fprintf(&b, "key %s: ", quote(e.Key))
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

// BadInput tells whether the file, or the values to be encoded, are at fault, not the caller.
func (e *Error) BadInput() bool {
	return !errors.Is(e.Kind, ErrRange) && !errors.Is(e.Kind, ErrLength) && !errors.Is(e.Kind, ErrNoTensor) && !errors.Is(e.Kind, ErrKey) && !errors.Is(e.Kind, ErrWrite)
}

// Advice that several errors give.
const (
	mendDownload = "the file is damaged or cut short: get it again"
	mendRewrite  = "the program that wrote it is at fault: write it again with a current one"
	mendLimit    = "raise the limit in Options if you trust the file"
	mendRange    = "ask for a part of the tensor: see Info"
)

// quote shows a name from a file, cut to a length that fits a message.
func quote(name string) string {
	const most = 100
	if len(name) <= most {
		return fmt.Sprintf("%q", name)
	}
	return fmt.Sprintf("%q... (%d bytes)", strings.ToValidUTF8(name[:most], ""), len(name))
}

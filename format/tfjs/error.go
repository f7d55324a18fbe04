package tfjs

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ballast-ml/ballast/internal/printable"
)

// Kinds of errors, for errors.Is.
var (
	ErrManifest  = errors.New("manifest is not of the right form")
	ErrPath      = errors.New("shard lies outside the model's folder")
	ErrShard     = errors.New("shard cannot be read")
	ErrSize      = errors.New("weights and shards do not agree in size")
	ErrDuplicate = errors.New("name occurs twice")
	ErrLimit     = errors.New("limit exceeded")
	ErrNoTensor  = errors.New("no such weight")
	ErrDType     = errors.New("type cannot be converted")
	ErrRange     = errors.New("outside the weight")
)

// Error says what is wrong with a model, where, and what mends it.
type Error struct {
	File   string // path of the manifest, "" for bytes in memory
	Weight string // "" where no single weight is at fault
	Field  string // "weightsManifest", "shape", "paths" ...
	Kind   error  // one of the Err values above
	Text   string // what was found, with its values
	Fix    string // what to do
	Err    error  // what lies below, such as an error of the operating system; nil if nothing
}

// Error puts the parts into one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("tfjs: ")
	if e.File != "" {
		b.WriteString(printable.Line(e.File) + ": ")
	}
	if e.Weight != "" {
		fmt.Fprintf(&b, "weight %s: ", cut(e.Weight))
	}
	if e.Field != "" {
		b.WriteString(printable.Line(e.Field) + ": ")
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
	for _, caller := range []error{ErrNoTensor, ErrDType, ErrRange} {
		if errors.Is(e.Kind, caller) {
			return false
		}
	}
	return true
}

// Advice that several errors give.
const (
	mendDownload = "get the model again, manifest and shards of one version"
	mendConvert  = "write it again with a current tensorflowjs_converter"
)

// cut shows text from a file, shortened to a length that fits a message.
func cut(text string) string {
	const most = 100
	if len(text) <= most {
		return fmt.Sprintf("%q", text)
	}
	return fmt.Sprintf("%q... (%d bytes)", strings.ToValidUTF8(text[:most], "?"), len(text))
}

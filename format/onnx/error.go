package onnx

import (
	"errors"
	"fmt"
	"strings"
)

// Kinds of errors, for errors.Is.
var (
	ErrProto     = errors.New("not a well-formed ONNX message")
	ErrGraph     = errors.New("graph is not of the right form")
	ErrDuplicate = errors.New("name is defined twice")
	ErrMissing   = errors.New("nothing makes this value")
	ErrOrder     = errors.New("nodes are not in topological order, or form a cycle")
	ErrShape     = errors.New("shape is not valid")
	ErrSize      = errors.New("data and shape do not agree in size")
	ErrDType     = errors.New("type of elements is not known here")
	ErrPath      = errors.New("external data path leaves the model directory")
	ErrExternal  = errors.New("external data cannot be read")
	ErrLimit     = errors.New("limit exceeded")
	ErrNoTensor  = errors.New("no such tensor")
	ErrRange     = errors.New("outside the tensor")
)

// Error says what is wrong with a model, where, and what mends it.
type Error struct {
	File  string // path, "" for bytes in memory
	Where string // node, tensor or value, "" where no single one is at fault
	Kind  error  // one of the Err values above
	Text  string // what was found, with its values
	Fix   string // what to do
	Err   error  // what lies below, nil if nothing
}

// Error puts the parts into one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("onnx: ")
	if e.File != "" {
		b.WriteString(e.File + ": ")
	}
	if e.Where != "" {
		b.WriteString(e.Where + ": ")
	}
	b.WriteString(e.Kind.Error())
	if e.Text != "" {
		b.WriteString(": " + e.Text)
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
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
	return !errors.Is(e.Kind, ErrNoTensor) && !errors.Is(e.Kind, ErrRange)
}

const (
	mendDownload = "get the file again, or export the model again"
	mendExport   = "export the model again with a current exporter"
)

// cut shows text from a file, shortened to a length that fits a message.
func cut(text string) string {
	const most = 100
	if len(text) <= most {
		return fmt.Sprintf("%q", text)
	}
	return fmt.Sprintf("%q... (%d bytes)", strings.ToValidUTF8(text[:most], "?"), len(text))
}

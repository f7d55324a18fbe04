package hf

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ballast-ml/ballast/internal/printable"
)

// Kinds of errors, for errors.Is.
var (
	ErrConfig = errors.New("config is not of the right form")
	ErrCard   = errors.New("model card is not of the right form")
	ErrLimit  = errors.New("limit exceeded")
)

// Error says what is wrong with a file, where, and what mends it.
type Error struct {
	File  string // path, "" for bytes in memory
	Field string // key of the file, "" where there is none
	Kind  error  // one of the Err values above
	Text  string // what was found, with its values
	Fix   string // what to do
	Err   error  // what lies below; nil if nothing
}

// Error puts the parts into one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("hf: ")
	for _, part := range []string{e.File, e.Field} {
		if part != "" {
			b.WriteString(printable.Line(part) + ": ")
		}
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

// BadInput tells that the file is at fault, not the caller.
func (e *Error) BadInput() bool { return true }

// mendDownload is advice that several errors give.
const mendDownload = "get the file again from where the model comes from"

// cut shows text from a file, shortened to a length that fits a message.
func cut(text string) string {
	const most = 100
	if len(text) <= most {
		return fmt.Sprintf("%q", text)
	}
	return fmt.Sprintf("%q... (%d bytes)", strings.ToValidUTF8(text[:most], "?"), len(text))
}

// Package format defines the error that the readers and writers in its subfolders share: it says what is wrong with a file.
//
// The package of a file format declares a Format and derives the kinds of its errors from it:
//
//	var npy = format.Format{Name: "npy", Bytes: true}
//
//	var (
//		ErrMagic = npy.Kind("not an .npy file")
//		ErrRange = npy.Misuse("outside the array")
//	)
//
//	type Error = format.Error
//
// One error type for all formats lets a caller read the file, the place and the fix; errors.Is with a kind reports which rule was broken.
package format

import (
	"fmt"
	"strings"

	"github.com/ballast-ml/ballast/internal/printable"
)

// Format is a file format as its errors name it.
type Format struct {
	Name   string // how the text of every error begins: "gguf"
	Tensor string // what the format calls a tensor: "tensor" or "weight"; "" in formats that name none
	Bytes  bool   // errors say at which byte; without, Offset is not looked at
}

// Kind is one way in which a file, or a request, can be wrong. It is an error itself, for errors.Is.
type Kind struct {
	format *Format
	text   string
	misuse bool
}

// Kind returns a kind of error in files.
func (f Format) Kind(text string) *Kind { return &Kind{format: &f, text: text} }

// Misuse returns a kind of error that is the caller's, such as a tensor that the file does not have. It is not bad input.
func (f Format) Misuse(text string) *Kind { return &Kind{format: &f, text: text, misuse: true} }

// Error is what all errors of the kind say, without file and place.
func (k *Kind) Error() string { return k.text }

// Format is the format whose files have errors of the kind.
func (k *Kind) Format() Format { return *k.format }

// Error says what is wrong with a file, where, and what to do about it.
type Error struct {
	File   string // path, "" for bytes in memory
	Part   string // entry of an archive or pickle of a file; "" where there is none
	Tensor string // "" where no single tensor is at fault
	Key    string // of the metadata; "" where no single one is at fault
	Field  string // place in what is named above, or in the file: "magic", "shape", a key, a node of a graph; "" for all of it
	Offset int64  // byte in the file or part, -1 where there is none; see Format.Bytes
	Kind   *Kind  // what is wrong
	Text   string // what was found, with its values
	Fix    string // what to do
	Err    error  // what lies below, such as an error of the operating system; nil if nothing
}

// Error puts the parts into one line: "FORMAT: FILE: place: kind: what was found: cause; fix", without those that are empty. All come
// from strangers, so what would act on a terminal is escaped in them.
func (e *Error) Error() string {
	var b strings.Builder
	f := e.Kind.format
	b.WriteString(f.Name + ": ")
	if e.File != "" {
		b.WriteString(printable.Line(e.File) + ": ")
	}
	if e.Part != "" {
		b.WriteString(printable.Short(e.Part) + ": ")
	}
	if e.Tensor != "" {
		b.WriteString(f.Tensor + " " + printable.Quote(e.Tensor) + ": ")
	}
	if e.Key != "" {
		b.WriteString("key " + printable.Quote(e.Key) + ": ")
	}
	if e.Field != "" {
		b.WriteString(printable.Line(e.Field) + ": ")
	}
	if f.Bytes && e.Offset >= 0 {
		fmt.Fprintf(&b, "byte %d: ", e.Offset)
	}

	b.WriteString(e.Kind.text)
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

// BadInput reports whether the file, or the values to be written, are at fault, not the caller.
func (e *Error) BadInput() bool { return !e.Kind.misuse }

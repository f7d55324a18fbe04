package npy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/zipread"
)

// Kinds of errors, for errors.Is.
var (
	ErrMagic     = errors.New("not an .npy file")
	ErrVersion   = errors.New("unknown version of the format")
	ErrTooLarge  = errors.New("header is larger than allowed")
	ErrHeader    = errors.New("header is not of the right form")
	ErrDType     = errors.New("type of the elements cannot be read")
	ErrObject    = errors.New("array of Python objects, which can run code when read")
	ErrShape     = errors.New("bad shape")
	ErrOverflow  = errors.New("size overflows 63 bits")
	ErrTruncated = errors.New("file ends before its data")
	ErrTrailing  = errors.New("bytes after the array")
	ErrConvert   = errors.New("values cannot be converted")
	ErrRange     = errors.New("outside the array")
	ErrWrite     = errors.New("array cannot be written")
	ErrArchive   = errors.New("archive is not of the right form")
	ErrChecksum  = errors.New("data are damaged")
)

// Error says what is wrong with a file, where, and what mends it.
type Error struct {
	File   string // path, "" for bytes in memory
	Field  string // "magic", "version", "descr", "shape" ...
	Offset int64  // byte in the file, -1 where there is none
	Kind   error  // one of the Err values above
	Text   string // what was found, with its values
	Fix    string // what to do
	Err    error  // what lies below, such as an error of the operating system; nil if nothing
}

// Error puts the parts into one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("npy: ")
	if e.File != "" {
		b.WriteString(e.File + ": ")
	}
	if e.Field != "" {
		b.WriteString(e.Field + ": ")
	}
	if e.Offset >= 0 {
		fmt.Fprintf(&b, "byte %d: ", e.Offset)
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
	return !errors.Is(e.Kind, ErrRange) && !errors.Is(e.Kind, ErrWrite)
}

// archived turns an error of an archive into one of this package. Memory that is missing is not the file's fault and stays as it is.
func archived(file string, err error) error {
	var missing *memory.Error
	if errors.As(err, &missing) {
		return fmt.Errorf("npz: %s: %w", file, err)
	}
	e := &Error{File: file, Offset: -1, Kind: ErrArchive, Err: err, Fix: mendDownload}
	var below *zipread.Error
	if !errors.As(err, &below) {
		return e
	}
	if e.Text, e.Err = below.Text, below.Err; below.Entry != "" {
		e.Field = cut(below.Entry)
	}
	switch {
	case errors.Is(err, zipread.ErrTruncated):
		e.Kind = ErrTruncated
	case errors.Is(err, zipread.ErrLimit):
		e.Kind = ErrTooLarge
	case errors.Is(err, zipread.ErrChecksum):
		e.Kind = ErrChecksum
	case errors.Is(err, zipread.ErrClosed):
		e.Kind, e.Text, e.Fix = ErrTruncated, below.Kind.Error(), "open it again"
	}
	return e
}

// Advice that several errors give.
const (
	mendSave     = "save the array again with numpy.save"
	mendDownload = "the file is damaged or cut short: get or save it again"
)

// cut shortens text from a file for a message.
func cut(text string) string {
	if len(text) > 60 {
		return fmt.Sprintf("%q...", strings.ToValidUTF8(text[:60], "?"))
	}
	return fmt.Sprintf("%q", text)
}

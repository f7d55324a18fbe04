package npy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ballast-ml/ballast/format"
	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/zipread"
)

// npy is the format as errors name it.
var npy = format.Format{Name: "npy", Bytes: true}

// Kinds of errors, for errors.Is.
var (
	ErrMagic     = npy.Kind("not an .npy file")
	ErrVersion   = npy.Kind("unknown version of the format")
	ErrTooLarge  = npy.Kind("header is larger than allowed")
	ErrHeader    = npy.Kind("header is not of the right form")
	ErrDType     = npy.Kind("type of the elements cannot be read")
	ErrObject    = npy.Kind("array of Python objects, which can run code when read")
	ErrShape     = npy.Kind("bad shape")
	ErrOverflow  = npy.Kind("size overflows 63 bits")
	ErrTruncated = npy.Kind("file ends before its data")
	ErrTrailing  = npy.Kind("bytes after the array")
	ErrConvert   = npy.Kind("values cannot be converted")
	ErrRange     = npy.Misuse("outside the array")
	ErrWrite     = npy.Misuse("array cannot be written")
	ErrArchive   = npy.Kind("archive is not of the right form")
	ErrChecksum  = npy.Kind("data are damaged")
)

// Error says what is wrong with a file, where, and what to do about it.
type Error = format.Error

// archived turns an error of an archive into one of this package. Memory that is missing is not the file's fault and stays as it is.
func archived(file string, err error) error {
	var missing *memory.Error
	if errors.As(err, &missing) {
		return fmt.Errorf("npz: %s: %w", file, err)
	}
	e := &Error{File: file, Offset: -1, Kind: ErrArchive, Err: err, Fix: fixDownload}
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
	fixSave     = "save the array again with numpy.save"
	fixDownload = "the file is damaged or cut short: get or save it again"
)

// cut shortens text from a file for a message.
func cut(text string) string {
	if len(text) > 60 {
		return fmt.Sprintf("%q...", strings.ToValidUTF8(text[:60], "?"))
	}
	return fmt.Sprintf("%q", text)
}

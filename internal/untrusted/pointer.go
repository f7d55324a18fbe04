package untrusted

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
)

// maxPointer is the size below which every Git LFS pointer is, by its specification.
const maxPointer = 1024

// pointerLines begin the two lines of a pointer that are looked at: its version, of today and of before 2015, and the size of the file
// that it stands for.
var pointerVersions, pointerSize = [][]byte{
	[]byte("version https://git-lfs.github.com/spec/v1"), []byte("version https://hawser.github.com/spec/v1"),
}, []byte("size ")

// notPointer refuses a Git LFS pointer: three lines of text that a clone without git-lfs has in place of each large file. The place of
// the file's next byte does not move.
func notPointer(path string, f io.ReaderAt, size int64) error {
	if size == 0 || size >= maxPointer {
		return nil
	}
	text := make([]byte, size)
	if n, err := f.ReadAt(text, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil //nolint:nilerr // reading it says what is wrong
	} else {
		text = text[:n]
	}
	for _, version := range pointerVersions {
		if rest, ok := bytes.CutPrefix(text, version); ok {
			return &Unfetched{&Error{path, "it is a Git LFS pointer" + pointsTo(rest) + ", not the file itself", `run "git lfs pull" in its folder, or download the file itself`}}
		}
	}
	return nil
}

// pointsTo is " to N bytes", or nothing where a pointer does not say how many.
func pointsTo(pointer []byte) string {
	for line := range bytes.Lines(pointer) {
		word, ok := bytes.CutPrefix(line, pointerSize)
		if n, err := strconv.ParseUint(string(bytes.TrimSpace(word)), 10, 63); ok && err == nil {
			return fmt.Sprintf(" to %d bytes", n)
		}
	}
	return ""
}

// OpenFilled is Open for a file that must hold something: an empty one, as a download that was stopped leaves it, is an *Error.
func OpenFilled(path string) (*os.File, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	// Files of /proc say that they have no bytes.
	if n, err := f.ReadAt(make([]byte, 1), 0); n == 0 && errors.Is(err, io.EOF) {
		return nil, errors.Join(Empty(path), f.Close())
	}
	return f, nil
}

// ReadFilled is ReadFile for a file that must hold something; see OpenFilled.
func ReadFilled(path string, most int64) ([]byte, error) {
	content, err := ReadFile(path, most)
	if err == nil && len(content) == 0 {
		return nil, Empty(path)
	}
	return content, err
}

// Empty is the error for a file without a byte where one is needed.
func Empty(path string) error {
	return &Unfetched{&Error{path, "the file is empty", "get it again: a download that was stopped leaves such files"}}
}

// Unfetched is an *Error for a file whose content did not arrive: a Git LFS pointer, or no byte at all.
type Unfetched struct{ refused *Error }

// Error is that of the *Error.
func (e *Unfetched) Error() string { return e.refused.Error() }

// Unwrap gives the *Error.
func (e *Unfetched) Unwrap() error { return e.refused }

// Package untrusted opens untrusted files, which may be pipes, links out of their folder or larger than they state, and multiplies
// untrusted sizes with a check for overflow.
package untrusted

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/bits"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/printable"
)

// Error says why a path is not read. It counts as bad input.
type Error struct {
	Path string
	Text string // what it is
	Fix  string // what to do
}

// Error returns "PATH: what it is; fix", with what would act on a terminal escaped.
func (e *Error) Error() string { return printable.Line(e.Path+": "+e.Text) + "; " + e.Fix }

// BadInput reports that the file is at fault.
func (e *Error) BadInput() bool { return true }

// Reason is an error of opening a file without the path, for messages that name the file already.
func Reason(err error) error {
	if refused := new(Error); errors.As(err, &refused) {
		return errors.New(refused.Text)
	}
	if failed := new(fs.PathError); errors.As(err, &failed) {
		return failed.Err
	}
	return err
}

// Open opens a regular file for reading. A pipe, device, socket or folder is an *Error, and opening never waits: it is asked what
// it is without waiting for a writer.
func Open(path string) (*os.File, error) { return open(path, 0) }

// OpenNoLink is Open for files of a folder that others may have filled: the last part of path must not be a link.
func OpenNoLink(path string) (*os.File, error) {
	if err := NoLink(path); err != nil {
		return nil, err
	}
	return open(path, noFollow)
}

func open(path string, flags int) (*os.File, error) {
	// A stat first: opening some devices acts on them. The second one asks the file that was opened, in case it was exchanged.
	stat, err := os.Stat(path)
	if errors.Is(err, syscall.ELOOP) {
		return nil, &Error{path, "its links lead in a circle", "put the file itself there"}
	}
	if errors.Is(err, fs.ErrNotExist) && NoLink(path) != nil {
		return nil, &Error{path, "it is a link to nothing", "put the file itself there"}
	}
	if err != nil {
		return nil, printed(err)
	}
	if err := regular(path, stat); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|nonBlocking|flags, 0)
	if err != nil {
		return nil, printed(err)
	}
	if stat, err = f.Stat(); err == nil {
		err = regular(path, stat)
	}
	if err == nil {
		err = notPointer(path, f, stat.Size())
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// printed makes the path in an error of the system one that may be shown.
func printed(err error) error {
	if at := new(fs.PathError); errors.As(err, &at) {
		at.Path = printable.Line(at.Path)
	}
	return err
}

func regular(path string, stat fs.FileInfo) error {
	if mode := stat.Mode(); !mode.IsRegular() {
		return &Error{path, "it is " + Kind(mode) + ", not a file", "name a regular file"}
	}
	return nil
}

// Kind names what a path is: "a folder", "a pipe", "a link", "a device", "a socket", "a file".
func Kind(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a folder"
	case mode&fs.ModeNamedPipe != 0:
		return "a pipe"
	case mode&fs.ModeSymlink != 0:
		return "a link"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	case mode.IsRegular():
		return "a file"
	}
	return "no regular file"
}

// NoLink returns an *Error if path itself is a link. A path that is missing is fine.
func NoLink(path string) error {
	if stat, err := os.Lstat(path); err == nil && stat.Mode()&fs.ModeSymlink != 0 {
		return &Error{path, "it is a link", "put the file itself there"}
	}
	return nil
}

// ReadFile returns the content of a regular file of at most most bytes.
func ReadFile(path string, most int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	return read(f, path, most)
}

// ReadFileNoLink is ReadFile for a path whose last part must not be a link.
func ReadFileNoLink(path string, most int64) ([]byte, error) {
	f, err := OpenNoLink(path)
	if err != nil {
		return nil, err
	}
	return read(f, path, most)
}

func read(f *os.File, path string, most int64) (content []byte, err error) {
	defer func() { err = errors.Join(err, f.Close()) }()
	stat, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if stat.Size() > most {
		return nil, tooLarge(path, most)
	}
	// Files of /proc and files that grow say less than they hold; the others are read into one piece of their size.
	b := bytes.NewBuffer(make([]byte, 0, stat.Size()+bytes.MinRead))
	if _, err = b.ReadFrom(io.LimitReader(f, most+1)); err == nil && int64(b.Len()) > most {
		err = tooLarge(path, most)
	}
	return b.Bytes(), err
}

func tooLarge(path string, most int64) error {
	return &Error{path, "it is larger than " + memory.Size(most), "files of this kind are smaller: name the right one"}
}

// Inside checks that name, a path of slashes from a file of dir, stays in dir, its links followed, and returns the path. The blobs of
// a Hugging Face cache count as inside: there dir is <model>/snapshots/<revision>, or a folder within, and its files are links to
// <model>/blobs. A file that is missing is fine: opening it says so.
func Inside(dir, name string) (string, error) {
	local := filepath.FromSlash(name)
	path := filepath.Join(dir, local)
	if !filepath.IsLocal(local) {
		return "", &Error{name, "it leads out of " + dir, "name files of the same folder"}
	}
	target, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		return path, nil
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "", err
	case err != nil: // a circle of links, a file where a folder should be
		return "", &Error{path, err.Error(), "put the file itself there"}
	}
	root, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", err
	}
	if root, err = filepath.Abs(root); err != nil {
		return "", err
	}
	if target, err = filepath.Abs(target); err != nil {
		return "", err
	}
	if within(root, target) {
		return path, nil
	}
	for at := filepath.Dir(root); at != filepath.Dir(at); at = filepath.Dir(at) {
		if filepath.Base(at) == "snapshots" && filepath.Dir(target) == filepath.Join(filepath.Dir(at), "blobs") {
			return path, nil
		}
	}
	return "", &Error{path, "it is a link to " + target + ", outside its folder", "put the file itself there"}
}

func within(root, target string) bool {
	rel, err := filepath.Rel(root, target)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// Product multiplies sizes that a file gave. ok is false if one is negative or the product exceeds most.
func Product(most int, sizes ...int) (product int, ok bool) {
	product = 1
	zero := false
	for _, s := range sizes {
		if s < 0 {
			return 0, false
		}
		zero = zero || s == 0
	}
	if zero {
		return 0, true
	}
	for _, s := range sizes {
		high, low := bits.Mul64(uint64(product), uint64(s))
		if high != 0 || low > uint64(max(0, most)) {
			return 0, false
		}
		product = int(low)
	}
	return product, product <= most
}

// Bytes is the memory that an array of width bytes an element takes, or an error: what names the array, and an *Error says that its
// sides are negative or their product beyond 2^47 bytes, which no file means; a *memory.Error that the machine has less.
func Bytes(what string, width int, sides ...int) (int64, error) {
	const most = 1 << 47
	bytes, ok := Product(most, append([]int{width}, sides...)...)
	if !ok {
		return 0, &Error{what, fmt.Sprintf("no array has the shape %v", sides), "correct the sizes"}
	}
	return int64(bytes), memory.Need(what, int64(bytes))
}

// MaxElements is more than any array in memory holds; products of sizes from files are held against it first.
const MaxElements = math.MaxInt64 >> 16

package npy

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/untrusted"
	"github.com/ballast-ml/ballast/internal/zipread"
)

// Archive is an open .npz file: a zip archive of arrays with names. Its methods may be called from several goroutines at
// once, Close aside.
//
// Entries that are stored, as numpy.savez writes them, are read in place, once their checksum (CRC-32) was compared. Entries that
// are compressed, as by numpy.savez_compressed, are decompressed as they are read, in order and in little memory, and compared
// when the end is reached; what is read out of order, arrays in Fortran order among them, is held in memory as a whole, up to the
// memory limit. Entries that share bytes, as no writer makes them, are refused.
type Archive struct {
	path   string
	zip    *zipread.Archive
	names  []string
	arrays map[string]*Array
	others []string
	unread []Unreadable
	close  func() error
}

// Unreadable is an array of an archive whose elements are no numbers.
type Unreadable struct {
	Name string
	Err  error // says its type and what to do, an *Error of the kind ErrDType or ErrObject
}

// OpenArchive opens an .npz file and reads the headers of its arrays.
func OpenArchive(path string, opts ...Options) (*Archive, error) {
	file, err := untrusted.OpenFilled(path)
	if err != nil {
		return nil, fmt.Errorf("npz: %w", err)
	}
	stat, err := file.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("npz: %w", err), file.Close())
	}
	a := &Archive{path: path, close: file.Close}
	if err := a.read(file, stat.Size(), oneOf(opts)); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return a, nil
}

// NewArchive is OpenArchive for bytes that are somewhere else.
func NewArchive(r io.ReaderAt, size int64, opts ...Options) (*Archive, error) {
	a := &Archive{}
	if err := a.read(r, size, oneOf(opts)); err != nil {
		return nil, err
	}
	return a, nil
}

// SniffArchive tells whether a zip archive is an .npz file: it holds arrays and nothing else. One that holds arrays beside other things
// can be opened; see Archive.Others.
func SniffArchive(z *zip.Reader) bool {
	for _, f := range z.File {
		if !IsArray(f.Name) {
			return false
		}
	}
	return len(z.File) > 0
}

// IsArray tells whether an entry of an archive is an array, by its name.
func IsArray(entry string) bool { return strings.HasSuffix(entry, ".npy") }

// maxName is more bytes than any name of an array has: those of models have some 50 to 100.
const maxName = 4096

func (a *Archive) read(r io.ReaderAt, size int64, o Options) error {
	z, err := zipread.Open(r, size)
	if err != nil {
		return archived(a.path, err)
	}
	a.zip = z
	entries := z.Entries()
	a.arrays = make(map[string]*Array, len(entries))
	for i := range entries {
		entry := &entries[i]
		if len(entry.Name) > maxName {
			return &Error{File: a.path, Field: cut(entry.Name), Offset: -1, Kind: ErrTooLarge, Text: fmt.Sprintf("a name of %d bytes, at most %d", len(entry.Name), maxName), Fix: fixSaveZ}
		}
		name, ok := strings.CutSuffix(entry.Name, ".npy")
		if !ok {
			a.others = append(a.others, entry.Name)
			continue
		}
		if _, twice := a.arrays[name]; twice {
			return &Error{File: a.path, Field: cut(entry.Name), Offset: -1, Kind: ErrArchive, Text: "name occurs twice", Fix: fixSaveZ}
		}
		array, err := a.array(entry, o)
		if errors.Is(err, ErrDType) || errors.Is(err, ErrObject) { // the others can be read all the same
			a.unread, a.arrays[name] = append(a.unread, Unreadable{name, err}), nil
			continue
		}
		if err != nil {
			return err
		}
		a.names = append(a.names, name)
		a.arrays[name] = array
	}
	if len(a.names) == 0 && len(a.unread) > 0 {
		return a.unread[0].Err
	}
	return nil
}

// array reads the header of one entry.
func (a *Archive) array(entry *zipread.Entry, o Options) (*Array, error) {
	if !entry.Readable() {
		return nil, &Error{
			File: a.path, Field: cut(entry.Name), Offset: -1, Kind: ErrArchive, Fix: fixDownload,
			Text: fmt.Sprintf("the entry is encrypted or packed by method %d, NumPy stores or deflates", entry.Method),
		}
	}
	array := &Array{path: a.path, source: entry}
	h, err := parseHeader(headerOf{entry}, entry.Size, o)
	if err != nil {
		var below *zipread.Error
		if errors.As(err, &below) {
			return nil, archived(a.path, below)
		}
		typed := new(Error)
		if errors.As(err, &typed) {
			typed.File = array.where()
		}
		return nil, err
	}
	array.Shape, array.DType, array.header = h.shape, h.dtype, h
	return array, nil
}

// headerOf reads the header of an array: opening an archive must not read all of it.
type headerOf struct{ *zipread.Entry }

// ReadAt reads bytes of the header.
func (h headerOf) ReadAt(p []byte, at int64) (int, error) { return h.Peek(p, at) }

// Verify reads every entry once, unless it was read already, and compares its checksum (CRC-32) with the archive's. The error names the
// entry that is damaged.
func (a *Archive) Verify(ctx context.Context) error {
	entries := a.zip.Entries()
	for i := range entries {
		if err := entries[i].Verify(ctx); err != nil {
			if ctx.Err() != nil {
				return err
			}
			return archived(a.path, err)
		}
	}
	return nil
}

// Names returns the arrays' names, without ".npy", in the order of the archive.
func (a *Archive) Names() []string { return slices.Clone(a.names) }

// Unread lists the arrays of texts, objects, records and other things that are no numbers, in the order of the archive.
func (a *Archive) Unread() []Unreadable { return slices.Clone(a.unread) }

// Others names entries that are no arrays; they are not read.
func (a *Archive) Others() []string { return slices.Clone(a.others) }

// Array returns an array of the archive, nil if there is none of that name. It is good until the archive is closed and need
// not be closed itself. Its Float32s and the like read all of it, its ReadFloat32s and the like what is asked for.
func (a *Archive) Array(name string) *Array { return a.arrays[name] }

// Compressed tells whether an array is packed, so that it is best read from front to back.
func (a *Archive) Compressed(name string) bool {
	array := a.arrays[name]
	if array == nil {
		return false
	}
	entry, ok := array.source.(*zipread.Entry)
	return ok && entry.Method != zipread.Store
}

// Close closes the file. A second call does nothing.
func (a *Archive) Close() error {
	errs := []error{a.zip.Close()}
	if a.close != nil {
		errs = append(errs, a.close())
	}
	a.close = nil
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("npz: %s: %w", a.path, err)
	}
	return nil
}

// Member is an array of an archive that is written.
type Member struct {
	Name  string // without ".npy"
	DType DType
	Shape []int
	Open  func() (io.Reader, error) // gives the elements, in C order and little endian, when their turn comes
}

// WriteArchive writes an .npz file, as numpy.savez does, or with compressed as numpy.savez_compressed does. The same members
// give the same bytes. Archives and entries of more than 4 GB take the form that Python and NumPy read too.
func WriteArchive(w io.Writer, members []Member, compressed bool) error {
	z := zip.NewWriter(w)
	seen := map[string]bool{}
	for i := range members {
		m := &members[i]
		if seen[m.Name] || m.Name == "" {
			return &Error{Field: cut(m.Name), Offset: -1, Kind: ErrWrite, Text: "a name must not be empty or occur twice", Fix: "rename it"}
		}
		seen[m.Name] = true
		method := zip.Store
		if compressed {
			method = zip.Deflate
		}
		entry, err := z.CreateHeader(&zip.FileHeader{Name: m.Name + ".npy", Method: method, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)})
		if err != nil {
			return fmt.Errorf("npz: %s: %w", cut(m.Name), err)
		}
		if err := m.write(entry); err != nil {
			return err
		}
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("npz: %w", err)
	}
	return nil
}

// WriteArchiveFile writes a file whole or not at all; see WriteArchive.
func WriteArchiveFile(path string, members []Member, compressed bool) error {
	return durable.WriteFile(path, func(w io.Writer) error { return WriteArchive(w, members, compressed) })
}

func (m *Member) write(w io.Writer) error {
	fail := func(text, fix string) error {
		return &Error{Field: cut(m.Name), Offset: -1, Kind: ErrWrite, Text: text, Fix: fix}
	}
	width := m.DType.Size()
	if width == 0 || m.DType == BFloat16 { // of which NumPy reads nothing but two bytes
		return fail(fmt.Sprintf("the format has no type %q", m.DType), "convert it to float32")
	}
	product, ok := untrusted.Product(math.MaxInt64, append([]int{width}, m.Shape...)...)
	if !ok || len(m.Shape) > maxDims {
		return fail(fmt.Sprintf("shape %v", m.Shape), "give dimensions of at least 0 that fit in memory")
	}
	size := int64(product)
	if _, err := w.Write(encodeHeader(m.DType, m.Shape)); err != nil {
		return fmt.Errorf("npz: %s: %w", cut(m.Name), err)
	}
	r, err := m.Open()
	if err != nil {
		return fmt.Errorf("npz: %s: %w", cut(m.Name), err)
	}
	if c, ok := r.(io.Closer); ok {
		defer c.Close()
	}
	n, err := io.Copy(w, io.LimitReader(r, size+1))
	if err != nil {
		return fmt.Errorf("npz: %s: %w", cut(m.Name), err)
	}
	if n != size {
		return fail(fmt.Sprintf("%s %v takes %d bytes, the reader gives %d or more", m.DType, m.Shape, size, n), "give the right shape")
	}
	return nil
}

// fixSaveZ is the advice of errors about archives.
const fixSaveZ = "save the arrays again with numpy.savez"

// ReadRaw puts bytes [at, at+len(dst)) of the array into dst: its elements in C order, little endian.
func (a *Array) ReadRaw(dst []byte, at int64) error {
	size := int64(a.DType.Size())
	if have := a.elements * size; at < 0 || int64(len(dst)) > have || at > have-int64(len(dst)) {
		return &Error{File: a.where(), Offset: -1, Kind: ErrRange, Text: fmt.Sprintf("bytes %d to %d of %d", at, at+int64(len(dst)), have)}
	}
	var buffer []byte
	for len(dst) > 0 {
		first := at / size
		n := min((at+int64(len(dst))+size-1)/size-first, 1<<16)
		raw, err := a.raw(int(first), int(n), &buffer)
		if err != nil {
			return err
		}
		copied := copy(dst, raw[at-first*size:])
		dst, at = dst[copied:], at+int64(copied)
	}
	return nil
}

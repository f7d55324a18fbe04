package npy

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ballast-ml/ballast/internal/durable"
)

// Archive is an open .npz file: a zip archive of arrays with names. Its methods may be called from several goroutines at
// once, Close aside.
//
// Entries that are stored, as numpy.savez writes them, are read in place. Entries that are compressed, as by
// numpy.savez_compressed, are decompressed as they are read: in order without loss, a step back begins again from the
// front.
type Archive struct {
	path   string
	names  []string
	arrays map[string]*Array
	packed map[string]bool
	others []string
	close  func() error
}

// OpenArchive opens an .npz file and reads the headers of its arrays.
func OpenArchive(path string, opts ...Options) (*Archive, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("npz: %w", err)
	}
	stat, err := file.Stat()
	if err == nil && !stat.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file; name an .npz file", path)
	}
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

// SniffArchive tells whether a zip archive is an .npz file: it holds arrays and nothing else.
func SniffArchive(z *zip.Reader) bool {
	for _, f := range z.File {
		if !strings.HasSuffix(f.Name, ".npy") {
			return false
		}
	}
	return len(z.File) > 0
}

func (a *Archive) read(r io.ReaderAt, size int64, o Options) error {
	z, err := zip.NewReader(r, size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) { // names are only names here: nothing is unpacked
		return &Error{File: a.path, Offset: -1, Kind: ErrArchive, Err: err, Mend: mendDownload}
	}
	if n := len(z.File); n > 1<<20 {
		return &Error{File: a.path, Offset: -1, Kind: ErrTooLarge, Text: fmt.Sprintf("%d entries in the archive", n), Mend: mendDownload}
	}
	a.arrays, a.packed = map[string]*Array{}, map[string]bool{}
	for _, entry := range z.File {
		name, ok := strings.CutSuffix(entry.Name, ".npy")
		if !ok {
			a.others = append(a.others, entry.Name)
			continue
		}
		if a.arrays[name] != nil {
			return &Error{File: a.path, Field: cut(entry.Name), Offset: -1, Kind: ErrArchive, Text: "name occurs twice", Mend: mendSaveZ}
		}
		array, err := a.array(r, size, entry, o)
		if err != nil {
			return err
		}
		a.names = append(a.names, name)
		a.arrays[name], a.packed[name] = array, entry.Method != zip.Store
	}
	return nil
}

// array reads the header of one entry.
func (a *Archive) array(r io.ReaderAt, size int64, entry *zip.File, o Options) (*Array, error) {
	fail := func(kind error, text string, err error) error {
		return &Error{File: a.path, Field: cut(entry.Name), Offset: -1, Kind: kind, Text: text, Err: err, Mend: mendDownload}
	}
	if entry.Flags&1 != 0 || (entry.Method != zip.Store && entry.Method != zip.Deflate) {
		return nil, fail(ErrArchive, fmt.Sprintf("the entry is encrypted or packed by method %d, NumPy stores or deflates", entry.Method), nil)
	}
	if entry.UncompressedSize64 > math.MaxInt64 {
		return nil, fail(ErrArchive, fmt.Sprintf("%d bytes", entry.UncompressedSize64), nil)
	}
	length := int64(entry.UncompressedSize64)
	var source io.ReaderAt = &inflater{entry: entry}
	if entry.Method == zip.Store {
		begin, err := entry.DataOffset()
		if err != nil {
			return nil, fail(ErrTruncated, "", err)
		}
		if begin > size || length > size-begin {
			return nil, fail(ErrTruncated, fmt.Sprintf("%d bytes from byte %d on in a file of %d", length, begin, size), nil)
		}
		source = io.NewSectionReader(r, begin, length)
	} else if packed := int64(min(entry.CompressedSize64, math.MaxInt64/1100)); length > 1100*packed+1<<10 {
		// Deflate packs at most 1032 to one: more is a lie that would only show at the end of the data.
		return nil, fail(ErrArchive, fmt.Sprintf("%d bytes of %d packed ones", length, packed), nil)
	}
	h, err := parseHeader(source, length, o)
	if err != nil {
		typed := new(Error)
		if errors.As(err, &typed) {
			typed.File = strings.TrimPrefix(a.path+": "+entry.Name, ": ")
		}
		return nil, err
	}
	return &Array{Shape: h.shape, DType: h.dtype, header: h, path: strings.TrimPrefix(a.path+": "+entry.Name, ": "), source: source}, nil
}

// Names returns the arrays' names, without ".npy", in the order of the archive.
func (a *Archive) Names() []string { return slices.Clone(a.names) }

// Others names entries that are no arrays; they are not read.
func (a *Archive) Others() []string { return slices.Clone(a.others) }

// Array returns an array of the archive, nil if there is none of that name. It is good until the archive is closed and need
// not be closed itself. Its Float32s and the like read all of it, its ReadFloat32s and the like what is asked for.
func (a *Archive) Array(name string) *Array { return a.arrays[name] }

// Compressed tells whether an array is packed, so that it is best read from front to back.
func (a *Archive) Compressed(name string) bool { return a.packed[name] }

// Close closes the file. A second call does nothing.
func (a *Archive) Close() error {
	if a.close == nil {
		return nil
	}
	err := a.close()
	a.close = nil
	if err != nil {
		return fmt.Errorf("npz: %s: %w", a.path, err)
	}
	return nil
}

// inflater reads a compressed entry at any place, in order if it can.
type inflater struct {
	entry *zip.File
	lock  sync.Mutex
	open  io.ReadCloser
	at    int64
}

// ReadAt decompresses up to the bytes that are asked for.
func (i *inflater) ReadAt(p []byte, at int64) (int, error) {
	i.lock.Lock()
	defer i.lock.Unlock()
	if i.open == nil || at < i.at {
		if i.open != nil {
			i.open.Close()
		}
		var err error
		if i.open, err = i.entry.Open(); err != nil {
			i.open = nil
			return 0, err
		}
		i.at = 0
	}
	n, err := io.CopyN(io.Discard, i.open, at-i.at)
	i.at += n
	if err != nil {
		return 0, err
	}
	read, err := io.ReadFull(i.open, p)
	i.at += int64(read)
	return read, err
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
			return &Error{Field: cut(m.Name), Offset: -1, Kind: ErrWrite, Text: "a name must not be empty or occur twice", Mend: "rename it"}
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
	fail := func(text, mend string) error {
		return &Error{Field: cut(m.Name), Offset: -1, Kind: ErrWrite, Text: text, Mend: mend}
	}
	size := int64(m.DType.Size())
	if size == 0 {
		return fail(fmt.Sprintf("the format has no type %q", m.DType), "convert it to float32")
	}
	for _, dim := range m.Shape {
		if dim < 0 || len(m.Shape) > maxDims || (dim > 0 && size > math.MaxInt64/int64(dim)) {
			return fail(fmt.Sprintf("shape %v", m.Shape), "give dimensions of at least 0 that fit in memory")
		}
		size *= int64(dim)
	}
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

// mendSaveZ is the advice of errors about archives.
const mendSaveZ = "save the arrays again with numpy.savez"

// ReadRaw puts bytes [at, at+len(dst)) of the array into dst: its elements in C order, little endian.
func (a *Array) ReadRaw(dst []byte, at int64) error {
	size := int64(a.DType.Size())
	if have := a.elements * size; at < 0 || int64(len(dst)) > have || at > have-int64(len(dst)) {
		return &Error{File: a.path, Offset: -1, Kind: ErrRange, Text: fmt.Sprintf("bytes %d to %d of %d", at, at+int64(len(dst)), have)}
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

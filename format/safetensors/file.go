package safetensors

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"math"

	"github.com/edsrzf/mmap-go"

	"github.com/ballast-ml/ballast/internal/untrusted"
)

// Open maps a file into memory and checks its header. No tensor is read until it is used. Where the system cannot map the
// file, tensors are read from it instead.
//
// The file must not change while it is open. What Bytes and Float32s return may be the mapping itself: it is read-only (a
// write ends the program) and gone after Close.
func Open(path string, opts ...Options) (*File, error) {
	o := oneOf(opts)
	f, err := open(path, !o.Unmapped)
	if err != nil {
		return nil, err
	}
	if err := f.parse(f.reader(), o); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// open opens a file without looking into it.
func open(path string, mapped bool) (*File, error) {
	file, err := untrusted.OpenFilled(path)
	if err != nil {
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	stat, err := file.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("safetensors: %w", err), file.Close())
	}
	f := &File{path: path, size: stat.Size(), source: file, close: file.Close}
	if !mapped || f.size == 0 || f.size > math.MaxInt {
		return f, nil
	}
	view, err := mmap.Map(file, mmap.RDONLY, 0)
	if err != nil {
		return f, nil // some file systems cannot map; reading still works
	}
	f.data, f.size, f.source = view, int64(len(view)), nil
	f.close = view.Unmap
	if err := file.Close(); err != nil {
		return nil, errors.Join(fmt.Errorf("safetensors: %w", err), f.Close())
	}
	return f, nil
}

// reader gives the whole file, mapped or not.
func (f *File) reader() io.ReaderAt {
	if f.data == nil {
		return f.source
	}
	return view(f.data)
}

// view reads from bytes in memory.
type view []byte

// ReadAt copies from the bytes.
func (v view) ReadAt(p []byte, at int64) (int, error) {
	if at < 0 || at > int64(len(v)) {
		return 0, io.ErrUnexpectedEOF
	}
	n := copy(p, v[at:])
	if n < len(p) {
		return n, io.ErrUnexpectedEOF
	}
	return n, nil
}

// Close gives the mapping back. A second call does nothing.
func (f *File) Close() error {
	if f.close == nil {
		return nil
	}
	err := f.close()
	f.close, f.data, f.source = nil, nil, view(nil)
	if err != nil {
		return fmt.Errorf("safetensors: %s: %w", f.path, err)
	}
	return nil
}

// Names returns the tensors' names in the order of their data.
func (f *File) Names() []string {
	out := make([]string, len(f.entries))
	for i := range f.entries {
		out[i] = f.entries[i].name
	}
	return out
}

// All goes through the tensors in the order of their data.
func (f *File) All() iter.Seq[Info] {
	return func(yield func(Info) bool) {
		for i := range f.entries {
			if !yield(f.info(&f.entries[i])) {
				return
			}
		}
	}
}

// Info describes one tensor; ok is false if there is none of that name.
func (f *File) Info(name string) (info Info, ok bool) {
	i, ok := f.byName[name]
	if !ok {
		return Info{}, false
	}
	return f.info(&f.entries[i]), true
}

// info reads the shape, which parse has checked, from the header once more.
func (f *File) info(e *entry) Info {
	out := Info{
		Name: e.name, DType: dtypes[e.dtype].name, Shape: []int{}, Elements: int(e.elements),
		Begin: f.start + e.begin, End: f.start + e.end,
	}
	s := &scanner{src: f.header, pos: int(e.shapeAt)}
	// parse has read the same text without error.
	_ = s.list('[', ']', func() error {
		dim, err := s.integer()
		out.Shape = append(out.Shape, int(dim))
		return err
	})
	return out
}

// Metadata returns a copy of the file's __metadata__, empty if it has none.
func (f *File) Metadata() map[string]string {
	out := make(map[string]string, len(f.meta))
	maps.Copy(out, f.meta)
	return out
}

// Size returns the bytes of all tensors together.
func (f *File) Size() int64 { return f.size - f.start }

// Bytes returns a tensor's bytes as they are in the file: a view where the file is mapped, see Open, a copy elsewhere.
func (f *File) Bytes(name string) ([]byte, error) {
	i, ok := f.byName[name]
	if !ok {
		return nil, f.missing(name)
	}
	return f.bytes(&f.entries[i])
}

func (f *File) bytes(e *entry) ([]byte, error) {
	begin, end := f.start+e.begin, f.start+e.end
	if f.data != nil {
		return f.data[begin:end:end], nil
	}
	out := make([]byte, end-begin)
	if _, err := f.source.ReadAt(out, begin); err != nil {
		return nil, &Error{File: f.path, Tensor: e.name, Field: "data", Offset: begin, Kind: ErrTruncated, Err: err,
			Fix: "the file was closed or has changed: open it again"}
	}
	return out, nil
}

// ReadBytes copies the bytes [at, at+len(dst)) of a tensor, as they are in the file.
func (f *File) ReadBytes(name string, at int64, dst []byte) error {
	i, ok := f.byName[name]
	if !ok {
		return f.missing(name)
	}
	e := &f.entries[i]
	if at < 0 || at > e.end-e.begin || int64(len(dst)) > e.end-e.begin-at {
		return &Error{File: f.path, Tensor: name, Field: "data_offsets", Offset: 8 + int64(e.offsetsAt), Kind: ErrSize,
			Text: fmt.Sprintf("bytes %d to %d of %d", at, at+int64(len(dst)), e.end-e.begin), Fix: "ask for bytes within the tensor: see Info"}
	}
	if _, err := f.reader().ReadAt(dst, f.start+e.begin+at); err != nil {
		return &Error{File: f.path, Tensor: name, Field: "data", Offset: f.start + e.begin + at, Kind: ErrTruncated, Err: err,
			Fix: "the file was closed or has changed: open it again"}
	}
	return nil
}

// missing is the error for a name that the file does not hold.
func (f *File) missing(name string) error {
	return &Error{File: f.path, Tensor: name, Offset: -1, Kind: ErrNoTensor,
		Text: fmt.Sprintf("the file holds %d others", len(f.entries)), Fix: "see Names for what it holds"}
}

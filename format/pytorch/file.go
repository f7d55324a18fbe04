package pytorch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"sync"

	"github.com/edsrzf/mmap-go"

	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/internal/strided"
	"github.com/ballast-ml/ballast/internal/untrusted"
	"github.com/ballast-ml/ballast/internal/zipread"
)

// Options says which part of a file is read and bounds what it may ask for.
type Options struct {
	// Root is the path, with dots, of the dictionary to read: "model_ema". "" finds the state dict, "." is the whole file.
	Root       string
	MaxTensors int // 0 means 1,000,000

	// MaxBytes bounds the bytes of all tensors together, each counted with what it shows: many may be views of one storage, so that
	// a small file could ask for any amount. 0 means 64 MB and 64 times the file's size; layers that share weights have less.
	MaxBytes int64
}

// Info describes a tensor.
type Info struct {
	Name     string
	DType    DType
	Shape    []int // empty for a scalar
	Elements int
	Storage  string // key of the storage; tensors of one key share bytes
	Unread   string // why its values cannot be read, "" where they can: "a sparse tensor"
}

// File is an open checkpoint. Its methods may be called from several goroutines at once, Close aside.
type File struct {
	path      string
	source    io.ReaderAt
	size      int64
	close     func() error
	zip       *zipread.Archive // nil for the old layout
	layout    string
	part      string // of the file, that the object was read from
	bigEndian bool
	budget    int64

	loading sync.Mutex // of quantizers

	lock   sync.Mutex
	mapped mmap.MMap // the file, if tensors with strides were read from the old layout

	root     string
	names    []string
	byName   map[string]*tensor
	beside   []string
	outside  []string // tensors beside root, by their paths
	nameless []string // tensors of root whose names cannot be used, cut
	classes  []string // of objects and names that were passed over
	unused   []string // entries of the archive that no tensor shows
	meta     map[string]string
}

// Open reads what a checkpoint holds; the elements stay in the file until they are asked for. The file must not change
// while it is open.
func Open(path string, opts ...Options) (*File, error) {
	file, err := untrusted.OpenFilled(path)
	if err != nil {
		return nil, fmt.Errorf("pytorch: %w", err)
	}
	stat, err := file.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("pytorch: %w", err), file.Close())
	}
	f := &File{path: path, source: file, size: stat.Size(), close: file.Close}
	if err := f.open(opts); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return f, nil
}

// NewReader is Open for bytes that are somewhere else.
func NewReader(r io.ReaderAt, size int64, opts ...Options) (*File, error) {
	f := &File{source: r, size: size}
	if err := f.open(opts); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *File) open(opts []Options) error {
	o := Options{}
	if len(opts) > 0 {
		o = opts[0]
	}
	if o.MaxTensors == 0 {
		o.MaxTensors = 1_000_000
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 64<<20 + 64*min(f.size, math.MaxInt64>>8)
	}
	f.budget = 20<<20 + 3*f.size // what the machine may allocate, leaving room for the program and for what it does not count
	v, err := f.read()
	if err != nil {
		return err
	}
	return f.flatten(v, o)
}

// Close closes the file. A second call does nothing.
func (f *File) Close() error {
	var errs []error
	if f.zip != nil {
		errs = append(errs, f.zip.Close())
	}
	f.lock.Lock()
	if f.mapped != nil {
		errs = append(errs, f.mapped.Unmap())
	}
	f.mapped = nil
	f.lock.Unlock()
	if f.close != nil {
		errs = append(errs, f.close())
	}
	f.close = nil
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("pytorch: %s: %w", f.path, err)
	}
	return nil
}

// Verify reads every entry of the zip layout once, unless it was read already, and compares its checksum (CRC-32) with the archive's. The
// error names the entry that is damaged. The old layout has no checksums.
func (f *File) Verify(ctx context.Context) error {
	if f.zip == nil {
		return nil
	}
	entries := f.zip.Entries()
	for i := range entries {
		if err := entries[i].Verify(ctx); err != nil {
			if ctx.Err() != nil {
				return err
			}
			return f.archived(err)
		}
	}
	return nil
}

// Names returns the tensors' names in the order of the file.
func (f *File) Names() []string { return slices.Clone(f.names) }

// Root returns the path of the dictionary under which the names are, "" for the whole file.
func (f *File) Root() string { return f.root }

// Beside names what else the file holds beside Root, such as "optimizer" and "epoch". Open it with Options.Root to read it.
func (f *File) Beside() []string { return slices.Clone(f.beside) }

// Outside names the tensors that the file holds beside Root, by their paths: "optimizer.state.0.exp_avg".
func (f *File) Outside() []string { return slices.Clone(f.outside) }

// Nameless are the names, escaped and cut, of tensors that are not read since their names are no text or longer than any tensor's.
func (f *File) Nameless() []string { return slices.Clone(f.nameless) }

// Classes names the classes of objects that hold no tensor of Root and were passed over, each once: "argparse.Namespace".
func (f *File) Classes() []string { return slices.Clone(f.classes) }

// Unused names the storages of the zip layout that no tensor shows.
func (f *File) Unused() []string { return slices.Clone(f.unused) }

// Layout returns "zip" or "old".
func (f *File) Layout() string { return f.layout }

// Metadata returns the numbers and short texts of the file by their paths, such as "epoch": "90".
func (f *File) Metadata() map[string]string { return maps.Clone(f.meta) }

// Info describes one tensor; ok is false if there is none of that name.
func (f *File) Info(name string) (info Info, ok bool) {
	t := f.byName[name]
	if t == nil {
		return Info{}, false
	}
	return Info{Name: name, DType: t.dtype, Shape: slices.Clone(t.shape), Elements: int(t.elements), Storage: t.storage.key, Unread: t.unread}, true
}

// Float32s returns a tensor's values in row-major order, always a copy. One above the memory limit is a *fault.Exhausted: read it in
// stretches.
func (f *File) Float32s(name string) ([]float32, error) {
	info, ok := f.Info(name)
	if !ok {
		return nil, f.missing(name)
	}
	if err := memory.Need(fmt.Sprintf("tensor %s of %s", printable.Quote(name), f.path), 4*int64(info.Elements)); err != nil {
		return nil, fmt.Errorf("pytorch: %w", err)
	}
	out := make([]float32, info.Elements)
	return out, f.ReadFloat32s(name, 0, out)
}

// ReadFloat32s puts elements [at, at+len(dst)) of a tensor, in row-major order, into dst. float64 and whole numbers are
// rounded to the nearest float32, everything narrower is exact, quantised tensors are restored by their scales; complex types, and tensors
// that Info says cannot be read, are an error.
func (f *File) ReadFloat32s(name string, at int, dst []float32) error {
	t := f.byName[name]
	if t == nil {
		return f.missing(name)
	}
	return f.values(name, t, at, dst)
}

// values is ReadFloat32s for a tensor that may have no name of its own; name stands in errors.
func (f *File) values(name string, t *tensor, at int, dst []float32) error {
	if t.unread != "" {
		return f.unreadable(name, t)
	}
	as := t.dtype.Safetensors()
	if t.quantised == nil && (as == "" || as == safetensors.C64) {
		return &Error{File: f.path, Tensor: name, Offset: -1, Kind: ErrDType, Text: fmt.Sprintf("%s has no values as float32", t.dtype), Fix: "read its bytes"}
	}
	if err := f.inside(name, int64(at), int64(len(dst)), t.elements, "elements"); err != nil {
		return err
	}
	if t.quantised != nil {
		if err := f.load(name, t); err != nil {
			return err
		}
	}
	piece := 1 << 16
	if !t.straight {
		piece = 1 << 20 // each piece may look through the whole storage
	}
	size := t.dtype.Size()
	raw := make([]byte, min(len(dst), piece)*size)
	for len(dst) > 0 {
		n := min(len(dst), piece)
		if err := f.gather(name, t, int64(at), raw[:n*size]); err != nil {
			return err
		}
		if t.quantised != nil {
			t.quantised.restore(dst[:n], t.dtype, raw[:n*size], at, t.shape)
		} else if err := safetensors.DecodeFloat32s(dst[:n], as, raw[:n*size]); err != nil {
			return &Error{File: f.path, Tensor: name, Offset: -1, Kind: ErrDType, Err: err}
		}
		at, dst = at+n, dst[n:]
	}
	return nil
}

// unreadable says why a tensor has no values.
func (f *File) unreadable(name string, t *tensor) error {
	return &Error{File: f.path, Tensor: name, Offset: -1, Kind: ErrUnread, Text: t.unread, Fix: fixPlain}
}

// ReadBytes puts bytes [at, at+len(dst)) of a tensor into dst: its elements in row-major order, little endian.
func (f *File) ReadBytes(name string, at int64, dst []byte) error {
	t := f.byName[name]
	if t == nil {
		return f.missing(name)
	}
	if t.unread != "" {
		return f.unreadable(name, t)
	}
	size := int64(t.dtype.Size())
	if err := f.inside(name, at, int64(len(dst)), t.elements*size, "bytes"); err != nil {
		return err
	}
	first, last := at/size, (at+int64(len(dst))+size-1)/size
	if first*size == at && last*size == at+int64(len(dst)) {
		return f.gather(name, t, first, dst)
	}
	whole := make([]byte, (last-first)*size)
	if err := f.gather(name, t, first, whole); err != nil {
		return err
	}
	copy(dst, whole[at-first*size:])
	return nil
}

func (f *File) inside(name string, at, n, have int64, what string) error {
	if at < 0 || n > have || at > have-n {
		return &Error{File: f.path, Tensor: name, Offset: -1, Kind: ErrRange, Text: fmt.Sprintf("%s %d to %d of %d", what, at, at+n, have)}
	}
	return nil
}

// gather reads whole elements from the first-th on, in row-major order and little endian.
func (f *File) gather(name string, t *tensor, first int64, raw []byte) error {
	size := int64(t.dtype.Size())
	if len(raw) == 0 {
		return nil
	}
	begin := t.offset * size // in the storage
	if t.straight {
		if err := f.fetch(name, t.storage, raw, begin+first*size); err != nil {
			return err
		}
	} else if whole, err := f.whole(t.storage); err != nil {
		return err
	} else if whole != nil {
		strided.Copy(whole[begin:], int(size), t.shape, t.strides, first, raw)
	} else {
		fetch := func(raw []byte, at int64) error { return f.fetch(name, t.storage, raw, begin+at) }
		if err := strided.Gather(fetch, int(size), t.shape, t.strides, first, raw); err != nil {
			return err
		}
	}
	if t.storage.raw == nil && f.bigEndian || t.storage.swapped {
		part := t.dtype.part()
		for i := 0; i < len(raw); i += part {
			slices.Reverse(raw[i : i+part])
		}
	}
	t.applyMarks(raw)
	return nil
}

// part is the size of the numbers that an element is made of: complex ones hold two.
func (d DType) part() int {
	switch d {
	case "complex32", "complex64", "complex128":
		return d.Size() / 2
	}
	return d.Size()
}

// whole returns a storage's bytes for reading at any place; nil where the file cannot be mapped.
func (f *File) whole(s *storage) ([]byte, error) {
	if s.raw != nil {
		return s.raw, nil
	}
	if s.entry != nil {
		whole, err := s.entry.Whole()
		if err != nil {
			return nil, f.archived(err)
		}
		return whole, nil
	}
	file, ok := f.source.(*os.File)
	if !ok || f.close == nil || f.size > math.MaxInt {
		return nil, nil
	}
	f.lock.Lock()
	defer f.lock.Unlock()
	if f.mapped == nil {
		mapped, err := mmap.Map(file, mmap.RDONLY, 0)
		if err != nil || int64(len(mapped)) < f.size {
			return nil, nil // some file systems cannot map; reading still works
		}
		f.mapped = mapped
	}
	return f.mapped[s.at : s.at+s.bytes()], nil
}

// fetch reads bytes of a storage.
func (f *File) fetch(name string, s *storage, raw []byte, at int64) error {
	if s.raw != nil {
		copy(raw, s.raw[at:])
		return nil
	}
	if s.entry != nil {
		if _, err := s.entry.ReadAt(raw, at); err != nil {
			return f.archived(err)
		}
		return nil
	}
	if n, err := f.source.ReadAt(raw, s.at+at); n < len(raw) {
		return &Error{File: f.path, Tensor: name, Offset: s.at + at, Kind: ErrTruncated, Err: err, Fix: "the file was closed or has changed: open it again"}
	}
	return nil
}

func (f *File) missing(name string) error {
	return &Error{File: f.path, Tensor: name, Offset: -1, Kind: ErrNoTensor, Text: fmt.Sprintf("the file holds %d others", len(f.names)), Fix: "see Names for what it holds"}
}

package gguf

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/ballast-ml/ballast/internal/untrusted"
)

// Limits bounds what a file may ask for. A field that is 0 takes the value given here.
type Limits struct {
	MaxHeader   int64 // bytes of all that comes before the data; 1 GiB
	MaxTensors  int   // tensors in one file; 1,000,000
	MaxMetadata int   // entries of the metadata; 500,000
	MaxString   int64 // bytes of a text; 64 Mi, as in the reference
	MaxArray    int64 // elements of an array; 64 Mi, as in the reference
}

// Options says how strictly a file is read.
type Options struct {
	Lenient bool // accept texts that are not UTF-8 as values; names must be in any case
	Limits  Limits
}

// NewOptions returns the defaults: strict, with the limits that Limits names.
func NewOptions() Options {
	return Options{Limits: Limits{MaxHeader: 1 << 30, MaxTensors: 1_000_000, MaxMetadata: 500_000, MaxString: 64 << 20, MaxArray: 64 << 20}}
}

// oneOf returns the options of a call that may have none, with every limit set.
func oneOf(opts []Options) Options {
	def := NewOptions()
	if len(opts) == 0 {
		return def
	}
	o, d := opts[0], def.Limits
	l := &o.Limits
	l.MaxHeader, l.MaxTensors, l.MaxMetadata = cmp.Or(l.MaxHeader, d.MaxHeader), cmp.Or(l.MaxTensors, d.MaxTensors), cmp.Or(l.MaxMetadata, d.MaxMetadata)
	l.MaxString, l.MaxArray = cmp.Or(l.MaxString, d.MaxString), cmp.Or(l.MaxArray, d.MaxArray)
	return o
}

// File is an open file. Its methods may be called from several goroutines at once, Close aside.
type File struct {
	path      string
	version   uint32
	alignment int64
	head      []byte // all before the data; names are views of it
	tensors   []entry
	byName    map[string]int32
	values    []valueEntry
	byKey     map[string]int32
	start     int64 // where the data begin
	size      int64 // of the whole file

	source io.ReaderAt
	close  func() error
}

// entry is what is kept for a tensor. Its dimensions stay in the header.
type entry struct {
	name   string
	begin  int64 // in the data
	at     int64 // of the dimensions, in the header
	typ    Type
	dims   uint8
	length int64 // bytes
}

// Info describes a tensor.
type Info struct {
	Name       string
	Type       Type
	Shape      []int // row-major, slowest dimension first: the reverse of the file's order; empty for a scalar
	Elements   int   // product of Shape
	Begin, End int64 // bytes in the file, [Begin, End)
}

// Open opens a file and checks all that comes before its data. Tensors are read from it when they are asked for; it is not mapped, so that
// no more is in memory than the header and what the caller holds. The file must not change while it is open.
func Open(path string, opts ...Options) (*File, error) {
	file, err := untrusted.OpenFilled(path)
	if err != nil {
		return nil, fmt.Errorf("gguf: %w", err)
	}
	stat, err := file.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("gguf: %w", err), file.Close())
	}
	f := &File{path: path, size: stat.Size(), source: file, close: file.Close}
	if err := f.load(oneOf(opts)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// NewFile reads from what holds a file of size bytes. Close does not close it.
func NewFile(r io.ReaderAt, size int64, opts ...Options) (*File, error) {
	f := &File{size: size, source: r}
	if err := f.load(oneOf(opts)); err != nil {
		return nil, err
	}
	return f, nil
}

// Parse reads a file that is in memory. The File keeps data, which must not change.
func Parse(data []byte, opts ...Options) (*File, error) {
	f := &File{size: int64(len(data)), source: bytes.NewReader(data), head: data}
	if err := f.parse(oneOf(opts)); err != nil {
		return nil, err
	}
	return f, nil
}

// firstRead is how much of a file is read at first; more follows if the header is longer.
const firstRead = 256 << 10

// load reads as much of the file as the header takes. How much that is shows only in the reading, so it begins anew with four times as
// much when it comes to the end of what it has.
func (f *File) load(o Options) error {
	for have := int64(firstRead); ; have *= 4 {
		have = min(have, f.size, max(o.Limits.MaxHeader, 0))
		if err := f.read(have); err != nil {
			return err
		}
		err := f.parse(o)
		var s short
		if !errors.As(err, &s) {
			if err != nil {
				return err
			}
			break
		}
		if have >= o.Limits.MaxHeader {
			return &Error{File: f.path, Field: "header", Offset: have, Kind: ErrLimit, Text: fmt.Sprintf("it takes %d bytes or more, at most %d", int64(s), o.Limits.MaxHeader), Fix: fixLimit}
		}
		have = max(have, int64(s)/4) // so that a long text does not cost several rounds
	}
	if int64(len(f.head)) <= f.start+firstRead {
		return nil
	}
	if err := f.read(f.start); err != nil { // let go of what is no header
		return err
	}
	return f.parse(o)
}

// read fills the header with the first n bytes of the file.
func (f *File) read(n int64) error {
	f.head, f.values, f.byKey, f.tensors, f.byName = nil, nil, nil, nil, nil // what was read before is not kept beside it
	f.head = make([]byte, n)
	if _, err := io.ReadFull(io.NewSectionReader(f.source, 0, n), f.head); err != nil {
		return &Error{File: f.path, Field: "header", Offset: 0, Kind: ErrTruncated, Err: err, Fix: fixDownload}
	}
	return nil
}

// Close closes the file. A second call does nothing.
func (f *File) Close() error {
	if f.close == nil {
		return nil
	}
	err := f.close()
	f.close = nil
	if err != nil {
		return fmt.Errorf("gguf: %w", err)
	}
	return nil
}

// Path is the path of the file, "" if it was not opened by one.
func (f *File) Path() string { return f.path }

// Version is the version of the format, 2 or 3.
func (f *File) Version() int { return int(f.version) }

// Alignment is what the places of tensors are multiples of, in bytes.
func (f *File) Alignment() int { return int(f.alignment) }

// Names lists the tensors in the order of the file.
func (f *File) Names() []string {
	out := make([]string, len(f.tensors))
	for i := range f.tensors {
		out[i] = f.tensors[i].name
	}
	return out
}

// Info describes a tensor; ok is false if there is none of that name.
func (f *File) Info(name string) (info Info, ok bool) {
	i, ok := f.byName[name]
	if !ok {
		return Info{}, false
	}
	e := &f.tensors[i]
	info = Info{Name: e.name, Type: e.typ, Shape: make([]int, e.dims), Elements: 1, Begin: f.start + e.begin, End: f.start + e.begin + e.length}
	for i := range info.Shape {
		info.Shape[i] = int(u64(f.head[e.at+8*int64(i):]))
		info.Elements *= info.Shape[i]
	}
	slices.Reverse(info.Shape)
	return info, true
}

// ReadBytes copies the bytes [at, at+len(dst)) of a tensor, as they are in the file.
func (f *File) ReadBytes(name string, at int64, dst []byte) error {
	i, ok := f.byName[name]
	if !ok {
		return f.missing(name)
	}
	return f.readEntry(&f.tensors[i], at, dst)
}

func (f *File) readEntry(e *entry, at int64, dst []byte) error {
	if at < 0 || at > e.length || int64(len(dst)) > e.length-at {
		return &Error{File: f.path, Tensor: e.name, Offset: -1, Kind: ErrRange, Text: fmt.Sprintf("bytes %d to %d of %d", at, at+int64(len(dst)), e.length), Fix: fixRange}
	}
	if len(dst) == 0 {
		return nil
	}
	if n, err := f.source.ReadAt(dst, f.start+e.begin+at); n < len(dst) {
		return &Error{File: f.path, Tensor: e.name, Field: "data", Offset: f.start + e.begin + at, Kind: ErrTruncated, Err: err,
			Fix: "the file was closed or has changed: open it again"}
	}
	return nil
}

// missing is the error for a name that the file does not hold.
func (f *File) missing(name string) error {
	return &Error{File: f.path, Tensor: name, Offset: -1, Kind: ErrNoTensor,
		Text: fmt.Sprintf("the file holds %d others", len(f.tensors)), Fix: "see Names for what it holds"}
}

package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"slices"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/ballast-ml/ballast/format"
	"github.com/ballast-ml/ballast/internal/printable"
)

// Limits bounds what a file may ask for. A field that is 0 takes the value given here.
type Limits struct {
	MaxHeader   int64 // bytes of the header; 100,000,000, as in the reference
	MaxTensors  int   // tensors in one file or index; 2,000,000
	MaxMetadata int   // entries of __metadata__; 100,000
	MaxIndex    int64 // bytes of the index of a sharded model; 100,000,000
}

// Options says how strictly a file is read.
type Options struct {
	Lenient  bool // accept white space before the header's '{', as the reference reader does
	Unmapped bool // read tensors from the file in place of mapping it, so that the memory used is what the caller asks for
	Limits   Limits
}

// NewOptions returns the defaults: strict, with the limits that Limits names.
func NewOptions() Options {
	return Options{Limits: Limits{MaxHeader: 100_000_000, MaxTensors: 2_000_000, MaxMetadata: 100_000, MaxIndex: 100_000_000}}
}

// maxDims bounds the dimensions of a tensor: NumPy and PyTorch have at most 64.
const maxDims = 64

var errDims = fmt.Errorf("more than %d dimensions", maxDims)

// oneOf returns the options of a call that may have none, with every limit set.
func oneOf(opts []Options) Options {
	def := NewOptions()
	if len(opts) == 0 {
		return def
	}
	o := opts[0]
	o.Limits.MaxHeader = cmp.Or(o.Limits.MaxHeader, def.Limits.MaxHeader)
	o.Limits.MaxTensors = cmp.Or(o.Limits.MaxTensors, def.Limits.MaxTensors)
	o.Limits.MaxMetadata = cmp.Or(o.Limits.MaxMetadata, def.Limits.MaxMetadata)
	o.Limits.MaxIndex = cmp.Or(o.Limits.MaxIndex, def.Limits.MaxIndex)
	return o
}

// File is an open file. Its methods may be called from several goroutines at once, Close aside.
type File struct {
	path    string
	header  string  // the header's text; names and shapes are read from it
	entries []entry // in the order of the data
	byName  map[string]int32
	meta    map[string]string
	start   int64 // where the data begin, 8+N
	size    int64 // of the whole file

	data   []byte      // the whole file, mapped or given; nil if it is read through source
	source io.ReaderAt // only if data is nil
	close  func() error
}

// entry is what is kept for a tensor. The shape stays text, so that a long one costs no memory until it is asked for.
type entry struct {
	name       string
	begin, end int64 // in the data
	elements   int64
	nameAt     int32 // bytes in the header
	shapeAt    int32
	offsetsAt  int32
	dtypeAt    int32
	dtype      uint8 // index in dtypes
}

// Info describes a tensor.
type Info struct {
	Name       string
	DType      DType
	Shape      []int // empty for a scalar
	Elements   int   // product of Shape
	Begin, End int64 // bytes in the file, [Begin, End)
}

// Parse reads a file that is in memory. The File keeps data and must be the only one to use it.
func Parse(data []byte, opts ...Options) (*File, error) {
	f := &File{data: data, size: int64(len(data))}
	if err := f.parse(bytes.NewReader(data), oneOf(opts)); err != nil {
		return nil, err
	}
	return f, nil
}

// parse reads the header from r and checks all that the format demands, in the reference's order.
func (f *File) parse(r io.ReaderAt, o Options) error {
	n, err := f.headerLength(r, o)
	if err != nil {
		return err
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(io.NewSectionReader(r, 8, n), text); err != nil {
		return &Error{File: f.path, Field: "header", Offset: 8, Kind: ErrTruncated, Err: err, Fix: fixDownload}
	}
	if !utf8.Valid(text) {
		at := 0
		for r, w := rune(0), 0; at < len(text); at += w {
			if r, w = utf8.DecodeRune(text[at:]); r == utf8.RuneError && w == 1 {
				break
			}
		}
		return &Error{File: f.path, Field: "header", Offset: 8 + int64(at), Kind: ErrUTF8, Fix: fixDownload}
	}
	f.header, f.start = unsafe.String(unsafe.SliceData(text), len(text)), 8+n // text does not change any more
	if err := f.parseHeader(o); err != nil {
		return err
	}
	return f.checkLayout()
}

// headerLength reads N and checks it before anything is allocated for it.
func (f *File) headerLength(r io.ReaderAt, o Options) (int64, error) {
	fail := func(kind *format.Kind, text, fix string) (int64, error) {
		return 0, &Error{File: f.path, Field: "header length", Offset: 0, Kind: kind, Text: text, Fix: fix}
	}
	if f.size < 8 {
		return fail(ErrHeaderTooSmall, fmt.Sprintf("%d bytes", f.size), fixDownload)
	}
	var first [8]byte
	if _, err := r.ReadAt(first[:], 0); err != nil {
		return 0, &Error{File: f.path, Field: "header length", Offset: 0, Kind: ErrTruncated, Err: err, Fix: fixDownload}
	}
	n := binary.LittleEndian.Uint64(first[:])
	// The entries hold places in the header as 32-bit numbers.
	if n > uint64(max(o.Limits.MaxHeader, 0)) || n > math.MaxInt32 {
		return fail(ErrHeaderTooLarge, fmt.Sprintf("%d bytes, at most %d", n, o.Limits.MaxHeader),
			"this is not a safetensors file or it is damaged: get it again")
	}
	if int64(n) > f.size-8 {
		return fail(ErrHeaderLength, fmt.Sprintf("%d bytes in a file of %d", n, f.size), fixDownload)
	}
	return int64(n), nil
}

// parseHeader reads the JSON text into entries, names and metadata.
func (f *File) parseHeader(o Options) error {
	s := &scanner{src: f.header}
	if !strings.HasPrefix(f.header, "{") && (!o.Lenient || s.peek() != '{') && f.header != "" {
		return &Error{File: f.path, Field: "header", Offset: 8, Kind: ErrHeaderStart,
			Text: fmt.Sprintf("got %q", f.header[0]), Fix: "read with Options.Lenient if it is white space, else get the file again"}
	}
	// An entry takes at least 49 bytes of text, which bounds what a header of many words "dtype" can ask for.
	guess := min(strings.Count(f.header, `"dtype"`), len(f.header)/49+1, o.Limits.MaxTensors)
	f.entries = make([]entry, 0, guess)
	f.byName = make(map[string]int32, guess)
	err := s.object(func(key string, at int) error { return f.member(s, key, at, o) })
	if err == nil {
		err = s.end()
	}
	if typed := new(Error); err == nil || errors.As(err, &typed) {
		return err
	}
	return &Error{File: f.path, Field: "header", Offset: 8 + int64(s.pos), Kind: ErrHeader, Text: err.Error(), Fix: fixDownload}
}

// member reads one member of the header: a tensor or the metadata.
func (f *File) member(s *scanner, key string, at int, o Options) error {
	if key == "__metadata__" {
		return f.metadata(s, at, o)
	}
	if _, twice := f.byName[key]; twice {
		return &Error{File: f.path, Tensor: key, Field: "name", Offset: 8 + int64(at), Kind: ErrDuplicate, Fix: fixRewrite}
	}
	if len(f.entries) >= o.Limits.MaxTensors {
		return &Error{File: f.path, Tensor: key, Field: "name", Offset: 8 + int64(at), Kind: ErrLimit,
			Text: fmt.Sprintf("more than %d tensors", o.Limits.MaxTensors), Fix: fixLimit}
	}
	e := entry{name: key, nameAt: int32(at)}
	field := "entry"
	if err := f.entry(s, &e, &field); err != nil {
		kind := ErrHeader
		if errors.Is(err, errBig) {
			kind = ErrOverflow
		} else if errors.Is(err, errDims) {
			kind = ErrLimit
		}
		return &Error{File: f.path, Tensor: key, Field: field, Offset: 8 + int64(s.pos), Kind: kind, Text: err.Error(), Fix: fixRewrite}
	}
	f.byName[key] = int32(len(f.entries))
	f.entries = append(f.entries, e)
	return nil
}

// entry reads {"dtype": ..., "shape": ..., "data_offsets": ...}. Other members are passed over, as the reference does.
// field is set to the one being read.
func (f *File) entry(s *scanner, e *entry, field *string) error {
	e.dtypeAt, e.shapeAt, e.offsetsAt = -1, -1, -1
	once := func(at *int32) error {
		if *at >= 0 {
			return errors.New("field occurs twice")
		}
		s.space()
		*at = int32(s.pos)
		return nil
	}
	overflow := error(nil)
	err := s.object(func(key string, _ int) error {
		switch key {
		case "dtype":
			*field = key
			if err := once(&e.dtypeAt); err != nil {
				return err
			}
			word, err := s.str()
			if err != nil {
				return err
			}
			i := dtypeIndex(word)
			if i < 0 {
				return fmt.Errorf("unknown type %s", printable.Quote(word))
			}
			e.dtype = uint8(i)
		case "shape":
			*field = key
			if err := once(&e.shapeAt); err != nil {
				return err
			}
			e.elements = 1
			dims := 0
			return s.list('[', ']', func() error {
				if dims++; dims > maxDims {
					return errDims
				}
				dim, err := s.integer()
				if err != nil {
					return err
				}
				high, low := bits.Mul64(uint64(e.elements), uint64(dim))
				if high != 0 || low > math.MaxInt64 || dim > math.MaxInt {
					overflow, low = errBig, 1
				}
				e.elements = int64(low)
				return nil
			})
		case "data_offsets":
			*field = key
			if err := once(&e.offsetsAt); err != nil {
				return err
			}
			return s.pair(&e.begin, &e.end)
		default:
			return s.skip(1)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if e.dtypeAt < 0 || e.shapeAt < 0 || e.offsetsAt < 0 {
		*field = "entry"
		return errors.New("want dtype, shape and data_offsets, one is missing")
	}
	if overflow != nil {
		*field = "shape"
		s.pos = int(e.shapeAt)
		return fmt.Errorf("%w: product of the dimensions", overflow)
	}
	return nil
}

// pair reads [begin, end].
func (s *scanner) pair(begin, end *int64) error {
	i := 0
	err := s.list('[', ']', func() error {
		v, err := s.integer()
		switch i++; i {
		case 1:
			*begin = v
		case 2:
			*end = v
		default:
			return errors.New("want two numbers, got more")
		}
		return err
	})
	if err == nil && i != 2 {
		return fmt.Errorf("want two numbers, got %d", i)
	}
	return err
}

// metadata reads the member __metadata__.
func (f *File) metadata(s *scanner, at int, o Options) error {
	fail := func(kind *format.Kind, text, fix string) error {
		return &Error{File: f.path, Field: "__metadata__", Offset: 8 + int64(s.pos), Kind: kind, Text: text, Fix: fix}
	}
	if f.meta != nil {
		s.pos = at
		return fail(ErrDuplicate, "", fixRewrite)
	}
	f.meta = map[string]string{}
	err := s.object(func(key string, _ int) error {
		if _, twice := f.meta[key]; twice {
			return fail(ErrDuplicate, "key "+printable.Quote(key), fixRewrite)
		}
		if len(f.meta) >= o.Limits.MaxMetadata {
			return fail(ErrLimit, fmt.Sprintf("more than %d entries", o.Limits.MaxMetadata), fixLimit)
		}
		value, err := s.str()
		if err != nil {
			return fail(ErrHeader, fmt.Sprintf("key %s: %v", printable.Quote(key), err), "values must be strings: write the file again")
		}
		f.meta[key] = value
		return nil
	})
	if typed := new(Error); err == nil || errors.As(err, &typed) {
		return err
	}
	return fail(ErrHeader, err.Error(), fixRewrite)
}

// checkLayout sorts the entries by their place and checks that they fill the data exactly.
func (f *File) checkLayout() error {
	inOrder := func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end))
	}
	if !slices.IsSortedFunc(f.entries, inOrder) {
		slices.SortStableFunc(f.entries, inOrder)
		for i := range f.entries {
			f.byName[f.entries[i].name] = int32(i)
		}
	}
	at := int64(0) // where the next tensor must begin
	for i := range f.entries {
		e := &f.entries[i]
		if err := f.checkEntry(e, at, i); err != nil {
			return err
		}
		at = e.end
	}
	have := f.size - f.start
	switch {
	case at > have:
		last := f.entries[len(f.entries)-1]
		return &Error{File: f.path, Tensor: last.name, Field: "data_offsets", Offset: f.size, Kind: ErrTruncated,
			Text: fmt.Sprintf("%d bytes of data, want %d", have, at), Fix: fixDownload}
	case at < have:
		return &Error{File: f.path, Field: "data", Offset: f.start + at, Kind: ErrTrailing,
			Text: fmt.Sprintf("%d bytes", have-at), Fix: "do not trust the file: write it again from its tensors"}
	}
	return nil
}

// checkEntry checks the i-th tensor, which must begin at byte at of the data.
func (f *File) checkEntry(e *entry, at int64, i int) error {
	fail := func(field string, where int32, kind *format.Kind, format string, args ...any) error {
		return &Error{File: f.path, Tensor: e.name, Field: field, Offset: 8 + int64(where), Kind: kind,
			Text: fmt.Sprintf(format, args...), Fix: fixRewrite}
	}
	switch {
	case e.begin < at:
		return fail("data_offsets", e.offsetsAt, ErrOverlap, "[%d, %d] begins inside tensor %s, which ends at %d",
			e.begin, e.end, printable.Quote(f.entries[i-1].name), at)
	case e.begin > at:
		return fail("data_offsets", e.offsetsAt, ErrGap, "[%d, %d] should begin at %d", e.begin, e.end, at)
	case e.end < e.begin:
		return fail("data_offsets", e.offsetsAt, ErrOffsets, "[%d, %d]", e.begin, e.end)
	}
	d := dtypes[e.dtype]
	high, size := bits.Mul64(uint64(e.elements), uint64(d.bits))
	if high != 0 || size > math.MaxInt64 {
		return fail("shape", e.shapeAt, ErrOverflow, "%d elements of %d bits", e.elements, d.bits)
	}
	if size%8 != 0 {
		return fail("shape", e.shapeAt, ErrMisaligned, "%d elements of %d bits", e.elements, d.bits)
	}
	if int64(size/8) != e.end-e.begin {
		return fail("data_offsets", e.offsetsAt, ErrSize, "[%d, %d] holds %d bytes, %d elements of %s take %d",
			e.begin, e.end, e.end-e.begin, e.elements, d.name, size/8)
	}
	return nil
}

package npy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/ballast-ml/ballast/format"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// DType is the type of an array's elements, in NumPy's words.
type DType string

// The types that are read and written.
const (
	Bool    DType = "bool"
	Int8    DType = "int8"
	Int16   DType = "int16"
	Int32   DType = "int32"
	Int64   DType = "int64"
	Uint8   DType = "uint8"
	Uint16  DType = "uint16"
	Uint32  DType = "uint32"
	Uint64  DType = "uint64"
	Float16 DType = "float16"
	Float32 DType = "float32"
	Float64 DType = "float64"

	BFloat16   DType = "bfloat16" // "V2" in files, two bytes without a name: NumPy has no such type, and JAX's arrays are saved so
	Complex64  DType = "complex64"
	Complex128 DType = "complex128"
)

// codes gives each type its letter and size in a header's descr.
var codes = []struct {
	dtype DType
	code  string
	size  int
}{
	{Bool, "b1", 1},
	{Int8, "i1", 1},
	{Int16, "i2", 2},
	{Int32, "i4", 4},
	{Int64, "i8", 8},
	{Uint8, "u1", 1},
	{Uint16, "u2", 2},
	{Uint32, "u4", 4},
	{Uint64, "u8", 8},
	{Float16, "f2", 2},
	{Float32, "f4", 4},
	{Float64, "f8", 8},
	{BFloat16, "V2", 2},
	{Complex64, "c8", 8},
	{Complex128, "c16", 16},
}

// Size returns the bytes of one element, 0 for an unknown type.
func (d DType) Size() int {
	for _, c := range codes {
		if c.dtype == d {
			return c.size
		}
	}
	return 0
}

// part is the size of the numbers that an element is made of: complex ones hold two.
func (d DType) part() int {
	if d == Complex64 || d == Complex128 {
		return d.Size() / 2
	}
	return d.Size()
}

const magic = "\x93NUMPY"

// maxDims is NumPy's own bound on the number of dimensions.
const maxDims = 64

// header is what the first bytes of a file say.
type header struct {
	dtype     DType
	bigEndian bool
	fortran   bool
	shape     []int
	elements  int64
	start     int64 // where the elements begin
}

// parseHeader reads and checks the header of a file of the given size, and that the elements fill the rest of it.
func parseHeader(r io.ReaderAt, size int64, o Options) (h header, err error) {
	fail := func(field string, at int64, kind *format.Kind, text, fix string) (header, error) {
		return header{}, &Error{Field: field, Offset: at, Kind: kind, Text: text, Fix: fix}
	}
	var first [12]byte
	n, err := r.ReadAt(first[:min(size, 12)], 0)
	if err != nil && int64(n) < min(size, 12) {
		return header{}, &Error{Field: "magic", Offset: 0, Kind: ErrTruncated, Err: err, Fix: fixDownload}
	}
	if n < 6 || string(first[:6]) != magic {
		return fail("magic", 0, ErrMagic, "got "+cut(string(first[:min(n, 6)])), "name a file made by numpy.save")
	}
	if n < 10 {
		return fail("header length", 8, ErrTruncated, fmt.Sprintf("%d bytes", size), fixDownload)
	}
	length, begin := int64(binary.LittleEndian.Uint16(first[8:])), int64(10)
	major, minor := first[6], first[7]
	if major < 1 || major > 3 || minor != 0 {
		return fail("version", 6, ErrVersion, fmt.Sprintf("%d.%d, want 1.0, 2.0 or 3.0", major, minor), fixSave)
	}
	if major > 1 {
		if n < 12 {
			return fail("header length", 8, ErrTruncated, fmt.Sprintf("%d bytes", size), fixDownload)
		}
		length, begin = int64(binary.LittleEndian.Uint32(first[8:])), 12
	}
	if length > o.MaxHeader {
		return fail("header length", 8, ErrTooLarge, fmt.Sprintf("%d bytes, at most %d", length, o.MaxHeader), fixSave)
	}
	if length > size-begin {
		return fail("header length", 8, ErrTruncated, fmt.Sprintf("header of %d bytes in a file of %d", length, size), fixDownload)
	}
	text := make([]byte, length)
	if _, err := r.ReadAt(text, begin); err != nil {
		return header{}, &Error{Field: "header", Offset: begin, Kind: ErrTruncated, Err: err, Fix: fixDownload}
	}
	h.start = begin + length
	p := &literal{src: string(text), base: begin, utf8: major == 3}
	if err := p.header(&h); err != nil {
		return header{}, err
	}
	return h, h.fits(size)
}

// fits checks the number of elements and the length of the file. As in NumPy the dimensions must have a product even where one of
// them is 0, so that every number of rows, and of elements in a row, is one.
func (h *header) fits(size int64) error {
	product, ok := untrusted.Product(math.MaxInt64/8, slices.DeleteFunc(slices.Clone(h.shape), func(dim int) bool { return dim == 0 })...)
	if !ok {
		return &Error{Field: "shape", Offset: -1, Kind: ErrOverflow, Text: fmt.Sprint(h.shape), Fix: fixSave}
	}
	if h.elements = int64(product); slices.Contains(h.shape, 0) {
		h.elements = 0
	}
	want, have := h.elements*int64(h.dtype.Size()), size-h.start
	text := fmt.Sprintf("%v of %s takes %d bytes, the file has %d", h.shape, h.dtype, want, have)
	switch {
	case have < want:
		return &Error{Field: "data", Offset: size, Kind: ErrTruncated, Text: text, Fix: fixDownload}
	case have > want:
		return &Error{Field: "data", Offset: h.start + want, Kind: ErrTrailing, Text: text, Fix: "save one array a file"}
	}
	return nil
}

// literal reads the Python dictionary of a header, and no other Python.
type literal struct {
	src  string
	pos  int
	base int64 // byte of the file where src begins
	utf8 bool
}

// header reads {'descr': ..., 'fortran_order': ..., 'shape': ...}, each key once, in any order.
func (p *literal) header(h *header) error {
	field := "header"
	err := p.dict(h, &field)
	if typed := new(Error); err == nil || errors.As(err, &typed) {
		return err
	}
	return p.fail(field, ErrHeader, err.Error(), fixSave)
}

func (p *literal) fail(field string, kind *format.Kind, text, fix string) error {
	return &Error{Field: field, Offset: p.base + int64(p.pos), Kind: kind, Text: text, Fix: fix}
}

func (p *literal) dict(h *header, field *string) error {
	if p.utf8 && !utf8.ValidString(p.src) {
		return errors.New("not UTF-8")
	}
	if err := p.expect('{'); err != nil {
		return err
	}
	var seen []string
	for p.peek() != '}' {
		key, err := p.str()
		if err != nil {
			return err
		}
		if slices.Contains(seen, key) {
			return fmt.Errorf("key %s occurs twice", cut(key))
		}
		seen = append(seen, key)
		if err := p.expect(':'); err != nil {
			return err
		}
		*field = key
		switch key {
		case "descr":
			err = p.descr(h)
		case "fortran_order":
			h.fortran, err = p.boolean()
		case "shape":
			h.shape, err = p.tuple()
		default:
			*field = "header"
			err = fmt.Errorf("unknown key %s", cut(key))
		}
		if err != nil {
			return err
		}
		*field = "header"
		if p.peek() != ',' {
			break
		}
		p.pos++
	}
	if err := p.expect('}'); err != nil {
		return err
	}
	if len(seen) != 3 {
		return fmt.Errorf("want the keys descr, fortran_order and shape, got %q", seen)
	}
	if p.peek() != 0 || p.pos < len(p.src) {
		return p.want("the end of the header")
	}
	return nil
}

// peek returns the next byte that is not white space, 0 at the end.
func (p *literal) peek() byte {
	for p.pos < len(p.src) && strings.IndexByte(" \t\n\r\f", p.src[p.pos]) >= 0 {
		p.pos++
	}
	if p.pos == len(p.src) {
		return 0
	}
	return p.src[p.pos]
}

func (p *literal) want(what string) error {
	if p.peek(); p.pos == len(p.src) {
		return fmt.Errorf("want %s, got the end of the header", what)
	}
	return fmt.Errorf("want %s, got %s", what, cut(p.src[p.pos:p.pos+1]))
}

func (p *literal) expect(c byte) error {
	if p.peek() != c {
		return p.want(strconv.QuoteRune(rune(c)))
	}
	p.pos++
	return nil
}

// str reads a string in single or double quotes. NumPy writes no escapes here.
func (p *literal) str() (string, error) {
	quote := p.peek()
	if quote != '\'' && quote != '"' {
		return "", p.want("a string")
	}
	p.pos++
	n := strings.IndexByte(p.src[p.pos:], quote)
	if n < 0 {
		return "", errors.New("string does not end")
	}
	text := p.src[p.pos : p.pos+n]
	if strings.ContainsAny(text, "\\\n\r\x00") {
		return "", fmt.Errorf("escape or control character in the string %s", cut(text))
	}
	p.pos += n + 1
	return text, nil
}

// descr reads the type of the elements, such as '<f4'.
func (p *literal) descr(h *header) error {
	if c := p.peek(); c == '[' || c == '(' {
		return p.fail("descr", ErrDType, "records or sub-arrays", "save each column as a plain array")
	}
	at := p.pos
	text, err := p.str()
	if err != nil {
		return err
	}
	p.pos = at
	defer func() { p.pos += len(text) + 2 }()
	if len(text) > 1 && strings.ContainsRune("<>|=", rune(text[0])) && text[1] == 'O' {
		return p.fail("descr", ErrObject, cut(text), "save it as numbers: numpy.save(file, array.astype(numpy.float32))")
	}
	for _, c := range codes {
		if len(text) < 3 || text[1:] != c.code || !strings.ContainsRune("<>|", rune(text[0])) || (text[0] == '|' && c.size > 1 && c.dtype != BFloat16) {
			continue
		}
		h.dtype, h.bigEndian = c.dtype, text[0] == '>' && c.size > 1
		return nil
	}
	return p.fail("descr", ErrDType, cut(text), "save it as bool, an integer, float16, float32 or float64: array.astype(numpy.float32)")
}

func (p *literal) boolean() (bool, error) {
	p.peek()
	for _, word := range []string{"True", "False"} {
		if strings.HasPrefix(p.src[p.pos:], word) {
			p.pos += len(word)
			return word == "True", nil
		}
	}
	return false, p.want("True or False")
}

// tuple reads the shape: (), (3,), (3, 4) or (3, 4, ).
func (p *literal) tuple() ([]int, error) {
	if err := p.expect('('); err != nil {
		return nil, err
	}
	shape, comma := []int{}, false
	for p.peek() != ')' {
		dim, err := p.integer()
		if err != nil {
			return nil, err
		}
		if len(shape) == maxDims {
			return nil, p.fail("shape", ErrShape, fmt.Sprintf("more than %d dimensions", maxDims), fixSave)
		}
		shape = append(shape, dim)
		if comma = p.peek() == ','; !comma {
			break
		}
		p.pos++
	}
	if err := p.expect(')'); err != nil {
		return nil, err
	}
	if len(shape) == 1 && !comma {
		return nil, errors.New("(n) is not a tuple; (n,) is")
	}
	return shape, nil
}

func (p *literal) integer() (int, error) {
	if p.peek() == '-' {
		return 0, p.fail("shape", ErrShape, "negative dimension", fixSave)
	}
	begin := p.pos
	for p.pos < len(p.src) && p.src[p.pos] >= '0' && p.src[p.pos] <= '9' {
		p.pos++
	}
	text := p.src[begin:p.pos]
	if text == "" || (len(text) > 1 && text[0] == '0') {
		p.pos = begin
		return 0, p.want("a whole number without leading zeros")
	}
	v, err := strconv.Atoi(text)
	if err != nil {
		p.pos = begin
		return 0, p.fail("shape", ErrOverflow, cut(text), fixSave)
	}
	return v, nil
}

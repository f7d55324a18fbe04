package npy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

// file makes a version 1.0 file of a header and data.
func file(header string, data ...byte) []byte {
	b := append([]byte(magic), 1, 0)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(header)))
	return append(append(b, header...), data...)
}

func dict(descr, fortran, shape string) string {
	return fmt.Sprintf("{'descr': '%s', 'fortran_order': %s, 'shape': %s, }\n", descr, fortran, shape)
}

// numpySaved is what numpy.save writes for numpy.arange(3, dtype='<i2').
var numpySaved = append([]byte("\x93NUMPY\x01\x00\x76\x00{'descr': '<i2', 'fortran_order': False, 'shape': (3,), }"+
	strings.Repeat(" ", 60)+"\n"), 0, 0, 1, 0, 2, 0)

func TestWriteAsNumPy(t *testing.T) {
	var b bytes.Buffer
	if err := Write(&b, []int{3}, []int16{0, 1, 2}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), numpySaved) {
		t.Errorf("want %q,\n got %q", numpySaved, b.Bytes())
	}
}

func TestDTypes(t *testing.T) {
	cases := []struct {
		descr string
		data  []byte
		dtype DType
		want  float64
	}{
		{"|b1", []byte{7}, Bool, 1},
		{"|i1", []byte{0xff}, Int8, -1},
		{"|u1", []byte{0xff}, Uint8, 255},
		{"<i2", []byte{0xfe, 0xff}, Int16, -2},
		{">i2", []byte{0xff, 0xfe}, Int16, -2},
		{"<u2", []byte{0xfe, 0xff}, Uint16, 65534},
		{"<i4", []byte{0, 0, 0, 0x80}, Int32, -1 << 31},
		{"<u4", []byte{0, 0, 0, 0x80}, Uint32, 1 << 31},
		{"<i8", []byte{0, 0, 0, 0, 0, 0, 0, 0x80}, Int64, -1 << 63},
		{">u8", []byte{0x40, 0, 0, 0, 0, 0, 0, 0}, Uint64, 1 << 62},
		{"<f2", []byte{0, 0xc2}, Float16, -3},
		{">f4", []byte{0x40, 0x40, 0, 0}, Float32, 3},
		{"<f4", []byte{0, 0, 0x40, 0x40}, Float32, 3},
		{"<f8", []byte{0, 0, 0, 0, 0, 0, 0xf8, 0x3f}, Float64, 1.5},
		{">f8", []byte{0x3f, 0xf8, 0, 0, 0, 0, 0, 0}, Float64, 1.5},
	}
	for _, c := range cases {
		a, err := Parse(file(dict(c.descr, "False", "(1,)"), c.data...))
		if err != nil {
			t.Errorf("%s: %v", c.descr, err)
			continue
		}
		wide, err1 := a.Float64s()
		narrow, err2 := a.Float32s()
		if err := errors.Join(err1, err2); err != nil || a.DType != c.dtype || wide[0] != c.want || narrow[0] != float32(c.want) {
			t.Errorf("%s: want %s %v, got %s %v %v (%v)", c.descr, c.dtype, c.want, a.DType, wide, narrow, err)
		}
		whole, err := a.Int64s()
		if exact := c.want == math.Trunc(c.want); exact != (err == nil) || (exact && float64(whole[0]) != c.want) {
			t.Errorf("%s: int64 of %v: %v %v", c.descr, c.want, whole, err)
		}
	}
	a, err := Parse(file(dict("<u8", "False", "(2,)"), append(make([]byte, 8), bytes.Repeat([]byte{255}, 8)...)...))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Int64s(); !errors.Is(err, ErrConvert) || !strings.Contains(err.Error(), "element 1") {
		t.Errorf("2^64-1 as int64: %v", err)
	}
}

func TestVersionsAndOrder(t *testing.T) {
	header := "{'shape': (2, 3), 'fortran_order': True, 'descr': \"<f4\"}"
	columns := []float32{0, 3, 1, 4, 2, 5} // of [[0 1 2] [3 4 5]]
	for version := range 3 {
		b := append([]byte(magic), byte(version+1), 0)
		if version == 0 {
			b = binary.LittleEndian.AppendUint16(b, uint16(len(header)))
		} else {
			b = binary.LittleEndian.AppendUint32(b, uint32(len(header)))
		}
		b = append(b, header...)
		for _, v := range columns {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
		a, err := Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		got, err := a.Float32s()
		if want := []float32{0, 1, 2, 3, 4, 5}; err != nil || !slices.Equal(got, want) || !a.Fortran() {
			t.Errorf("version %d: want %v, got %v (%v)", version+1, want, got, err)
		}
		row := make([]float64, 3)
		if err := a.ReadFloat64s(row, 3); err != nil || !slices.Equal(row, []float64{3, 4, 5}) {
			t.Errorf("row 1: %v (%v)", row, err)
		}
		if a.Rows() != 2 || a.RowLen() != 3 || a.Len() != 6 {
			t.Errorf("got %d rows of %d, %d elements", a.Rows(), a.RowLen(), a.Len())
		}
	}
}

func TestErrors(t *testing.T) {
	cases := []struct {
		name string
		file []byte
		kind error
		text string
	}{
		{"empty", nil, ErrMagic, `npy: magic: byte 0: not an .npy file: got ""; name a file made by numpy.save`},
		{"zip", []byte("PK\x03\x04 and more"), ErrMagic, "got \"PK"},
		{"only magic", []byte(magic), ErrTruncated, "header length"},
		{"version", append([]byte(magic), 4, 0, 0, 0, 0, 0, 0, 0), ErrVersion, "4.0, want 1.0, 2.0 or 3.0"},
		{"huge header", append([]byte(magic), 2, 0, 255, 255, 255, 255), ErrTooLarge, "4294967295 bytes, at most 65536"},
		{"header cut", file(dict("<f4", "False", "()"))[:30], ErrTruncated, "in a file of 30"},
		{"objects", file(dict("|O", "False", "(1,)"), 1), ErrObject, "byte 20: array of Python objects"},
		{"record", file("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", 0, 0, 0, 0), ErrDType, "save each column"},
		{"text", file(dict("<U3", "False", "(1,)"), 0), ErrDType, `"<U3"`},
		{"wide complex", file(dict("<c32", "False", "(1,)"), 0), ErrDType, `"<c32"`},
		{"no byte order", file(dict("|f4", "False", "(1,)"), 0, 0, 0, 0), ErrDType, `"|f4"`},
		{"negative", file(dict("<f4", "False", "(-1,)")), ErrShape, "negative dimension"},
		{"float", file(dict("<f4", "False", "(1.0,)")), ErrHeader, "shape"},
		{"no tuple", file(dict("<f4", "False", "(1)"), 0, 0, 0, 0), ErrHeader, "(n) is not a tuple"},
		{"list", file(dict("<f4", "False", "[1]"), 0, 0, 0, 0), ErrHeader, "want '('"},
		{"overflow", file(dict("<f4", "False", "(4294967296, 4294967296)")), ErrOverflow, "4294967296"},
		{"dimension overflow", file(dict("<f4", "False", "(18446744073709551616,)")), ErrOverflow, "18446744073709551616"},
		{"truncated", file(dict("<f4", "False", "(2,)"), 0, 0, 0, 0), ErrTruncated, "[2] of float32 takes 8 bytes, the file has 4"},
		{"trailing", file(dict("<f4", "False", "(1,)"), 0, 0, 0, 0, 0), ErrTrailing, "takes 4 bytes, the file has 5; save one array a file"},
		{"order", file(dict("<f4", "0", "(1,)"), 0, 0, 0, 0), ErrHeader, "fortran_order: byte 44: header is not of the right form: want True or False"},
		{"key twice", file("{'shape': (), 'shape': (), 'descr': '<f4'}"), ErrHeader, "occurs twice"},
		{"key missing", file("{'shape': (), 'descr': '<f4'}"), ErrHeader, "want the keys"},
		{"other key", file("{'x': 1}"), ErrHeader, `unknown key "x"`},
		{"code", file("{'descr': __import__('os'), }"), ErrHeader, "want a string"},
		{"text after", file(strings.TrimSpace(dict("|u1", "False", "()"))+"x", 0), ErrHeader, "want the end of the header"},
		{"many dimensions", file(dict("|u1", "False", "("+strings.Repeat("1,", 65)+")"), 0), ErrShape, "more than 64"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse(c.file)
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("want %v with %q, got %v", c.kind, c.text, err)
			}
			var typed *Error
			if !errors.As(err, &typed) || !typed.BadInput() {
				t.Errorf("want bad input, got %v", err)
			}
		})
	}
	path := filepath.Join(t.TempDir(), "logits.npy")
	if err := os.WriteFile(path, file(dict("<f4", "False", "(2,)")), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); !errors.Is(err, ErrTruncated) || !strings.HasPrefix(err.Error(), "npy: "+path+": data: byte ") {
		t.Errorf("want the file named, got %v", err)
	}
	if _, err := Open(filepath.Dir(path)); err == nil || !strings.Contains(err.Error(), "it is a folder, not a file") {
		t.Errorf("a folder: %v", err)
	}
}

func TestWriteRefuses(t *testing.T) {
	for _, shape := range [][]int{{2}, {-1, -1}, {}, {math.MaxInt, 2}} {
		if err := Write(new(bytes.Buffer), shape, make([]float32, 3)); !errors.Is(err, ErrWrite) {
			t.Errorf("%v: %v", shape, err)
		}
	}
}

// A mapped float32 file is seen in place; the same file without a mapping gives the same values.
func TestOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.npy")
	want := make([]float32, 1<<19+3)
	for i := range want {
		want[i] = float32(i)
	}
	if err := WriteFile(path, []int{len(want)}, want); err != nil {
		t.Fatal(err)
	}
	a, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := a.Float32s()
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("values differ (%v)", err)
	}
	if littleEndian && unsafe.Pointer(&got[0]) != unsafe.Pointer(&a.data[0]) {
		t.Error("the values were copied")
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	read := *a
	read.data, read.source, read.close = nil, f, f.Close
	if got, err := read.Float64s(); err != nil || got[1<<19] != 1<<19 {
		t.Errorf("read: %v", err)
	}
	if err := read.ReadFloat64s(make([]float64, 2), a.Len()-1); !errors.Is(err, ErrRange) {
		t.Errorf("want ErrRange, got %v", err)
	}
	if err := errors.Join(a.Close(), a.Close(), read.Close()); err != nil {
		t.Error(err)
	}
	if err := read.ReadFloat32s(make([]float32, 1), 0); err == nil {
		t.Error("a closed array gave values")
	}
}

// Streaming a large array takes memory for the piece, not for the array.
func TestStreamingMemory(t *testing.T) {
	const rows, columns = 100_000, 10
	var b bytes.Buffer
	if err := Write(&b, []int{rows, columns}, make([]float32, rows*columns)); err != nil {
		t.Fatal(err)
	}
	a, err := Parse(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	piece := make([]float64, 1000*columns)
	for i := 0; i < rows; i += 1000 {
		if err := a.ReadFloat64s(piece, i*columns); err != nil {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if spent := after.TotalAlloc - before.TotalAlloc; spent > 1<<20 {
		t.Errorf("%d bytes", spent)
	}
}

func roundTrip[T Element](t *rapid.T, values *rapid.Generator[T]) (*Array, []T) {
	shape := rapid.SliceOfN(rapid.IntRange(0, 4), 0, 4).Draw(t, "shape")
	n := 1
	for _, dim := range shape {
		n *= dim
	}
	want := rapid.SliceOfN(values, n, n).Draw(t, "values")
	var b bytes.Buffer
	if err := Write(&b, shape, want); err != nil {
		t.Fatal(err)
	}
	if (b.Len()-n*int(unsafe.Sizeof(*new(T))))%64 != 0 {
		t.Fatal("the elements do not begin at a multiple of 64")
	}
	a, err := Parse(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(a.Shape, shape) || a.DType != dtypeOf[T]() {
		t.Fatalf("want %v, got %v of %s", shape, a.Shape, a.DType)
	}
	return a, want
}

// Whatever is written is read bit for bit.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bits := rapid.Map(rapid.Uint32(), math.Float32frombits) // every NaN too
		a, want := roundTrip(t, bits)
		got, err := a.Float32s()
		if err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
				t.Fatalf("want %x, got %x", want, got)
			}
		}
		b, wide := roundTrip(t, rapid.Float64())
		if got, err := b.Float64s(); err != nil || !slices.Equal(got, wide) {
			t.Fatalf("want %v, got %v (%v)", wide, got, err)
		}
		c, whole := roundTrip(t, rapid.Int64())
		if got, err := c.Int64s(); err != nil || !slices.Equal(got, whole) {
			t.Fatalf("want %v, got %v (%v)", whole, got, err)
		}
		d, bytes := roundTrip(t, rapid.Uint8())
		if got, err := d.Int64s(); err != nil || len(got) != len(bytes) || (len(got) > 0 && got[0] != int64(bytes[0])) {
			t.Fatalf("want %v, got %v (%v)", bytes, got, err)
		}
		e, truth := roundTrip(t, rapid.Bool())
		if got, err := e.Float64s(); err != nil || (len(got) > 0 && (got[0] == 1) != truth[0]) {
			t.Fatalf("want %v, got %v (%v)", truth, got, err)
		}
	})
}

// FuzzParse reads anything: no panic, and the values of what is accepted survive a round trip.
func FuzzParse(f *testing.F) {
	f.Add(numpySaved)
	f.Add(file(dict("<f4", "True", "(2, 1)"), make([]byte, 8)...))
	f.Add(file(dict(">f8", "False", "()"), make([]byte, 8)...))
	f.Add(file(dict("<f2", "True", "(1, 2, 2)"), make([]byte, 8)...))
	f.Add(file(dict("|O", "False", "(1,)"), 1))
	f.Add(file(dict("<u8", "False", "(0, 9223372036854775807)")))
	f.Add(append([]byte(magic), 2, 0, 255, 255, 255, 255))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := Parse(data)
		if err != nil {
			if typed := new(Error); !errors.As(err, &typed) {
				t.Fatalf("want *Error, got %T", err)
			}
			return
		}
		want, err := a.Float64s()
		if err != nil {
			t.Fatal(err)
		}
		_, _ = a.Int64s() // may refuse, must not panic
		if _, err := a.Float32s(); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := Write(&b, a.Shape, want); err != nil {
			t.Fatal(err)
		}
		again, err := Parse(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		got, err := again.Float64s()
		if err != nil || !slices.Equal(again.Shape, a.Shape) {
			t.Fatalf("want %v, got %v (%v)", a.Shape, again.Shape, err)
		}
		for i := range want {
			if math.Float64bits(got[i]) != math.Float64bits(want[i]) {
				t.Fatalf("want %v, got %v", want, got)
			}
		}
	})
}

func BenchmarkReadFloat64s(b *testing.B) {
	var buffer bytes.Buffer
	if err := Write(&buffer, []int{100_000, 10}, make([]float32, 1_000_000)); err != nil {
		b.Fatal(err)
	}
	a, err := Parse(buffer.Bytes())
	if err != nil {
		b.Fatal(err)
	}
	dst := make([]float64, 10_000)
	b.SetBytes(4 * 1_000_000)
	for b.Loop() {
		for i := 0; i < 1_000_000; i += len(dst) {
			if err := a.ReadFloat64s(dst, i); err != nil {
				b.Fatal(err)
			}
		}
	}
}

package gguf

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// allValues has a value of every type.
var allValues = []KeyValue{
	{"general.architecture", "test"}, {"u8", uint8(200)}, {"i8", int8(-5)}, {"u16", uint16(65535)}, {"i16", int16(-300)}, {"u32", uint32(1 << 31)}, {"i32", int32(-70000)},
	{"u64", uint64(1 << 63)}, {"i64", int64(-1 << 40)}, {"f32", float32(1.5)}, {"f64", 0.1}, {"bool", true}, {"text", "é"},
	{"u8s", []uint8{1, 2}}, {"i8s", []int8{-1}}, {"u16s", []uint16{1}}, {"i16s", []int16{-1}}, {"u32s", []uint32{7}}, {"i32s", []int32{1, -2, 3}}, {"u64s", []uint64{math.MaxUint64}},
	{"i64s", []int64{-9}}, {"f32s", []float32{}}, {"f64s", []float64{0.5}}, {"bools", []bool{true, false}}, {"texts", []string{"a", "bé", ""}},
}

func written(t testing.TB, metadata []KeyValue, tensors ...Tensor) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, metadata, tensors); err != nil {
		t.Fatal(err)
	}
	if size, err := FileSize(metadata, tensors); err != nil || size != int64(b.Len()) {
		t.Fatalf("FileSize says %d (%v), it is %d", size, err, b.Len())
	}
	return b.Bytes()
}

// TestRoundTrip: what is written comes back, and writing that gives the same bytes.
func TestRoundTrip(t *testing.T) {
	var tensors []Tensor
	for _, typ := range Types() {
		elements, size := typ.Block()
		data := make([]byte, 6*size)
		for i := range data {
			data[i] = byte(7*i + int(typ))
		}
		tensors = append(tensors, Tensor{Name: "t." + typ.String(), Type: typ, Shape: []int{3, 1, 2 * elements}, Open: func() (io.Reader, error) { return bytes.NewReader(data), nil }})
	}
	tensors = append(tensors, Tensor{Name: "scalar", Type: F32, Data: []byte{0, 0, 128, 63}}, Tensor{Name: "none", Type: F16, Shape: []int{0, 5}})
	path := filepath.Join(t.TempDir(), "x.gguf")
	if err := WriteFile(path, allValues, tensors); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // it is read
	if got := f.Metadata(); !reflect.DeepEqual(got, allValues) {
		t.Errorf("metadata %v", got)
	}
	var again []Tensor
	for _, name := range f.Names() {
		info, _ := f.Info(name)
		data := make([]byte, info.End-info.Begin)
		if err := f.ReadBytes(name, 0, data); err != nil {
			t.Fatal(err)
		}
		again = append(again, Tensor{Name: name, Type: info.Type, Shape: info.Shape, Data: data})
	}
	if want := len(Types()) + 2; len(again) != want || !slices.Equal(again[0].Shape, []int{3, 1, 2}) {
		t.Errorf("%d tensors, the first %v", len(again), again[0].Shape)
	}
	raw, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(raw, written(t, f.Metadata(), again...)) {
		t.Errorf("other bytes the second time (%v)", err)
	}
}

// TestStretches: any stretch of a tensor reads the same values as the whole.
func TestStretches(t *testing.T) {
	for _, typ := range []Type{F32, F16, Q8_0, Q4_K, I64} {
		elements, size := typ.Block()
		n := 2100 * elements // more than a piece that is read at a time, for all but the smallest
		data := make([]byte, n/elements*size)
		for i := range data {
			data[i] = byte(i*i>>3) & 0x3b // scales are finite
		}
		f, err := Parse(written(t, nil, Tensor{Name: "a", Type: typ, Shape: []int{n}, Data: data}))
		if err != nil {
			t.Fatal(err)
		}
		whole := make([]float32, n)
		if err := f.ReadFloat32s("a", 0, whole); err != nil {
			t.Fatal(err)
		}
		rapid.Check(t, func(t *rapid.T) {
			at := rapid.IntRange(0, n).Draw(t, "at")
			part := make([]float32, rapid.IntRange(0, n-at).Draw(t, "len"))
			if err := f.ReadFloat32s("a", at, part); err != nil || !slices.Equal(part, whole[at:at+len(part)]) {
				t.Fatalf("%s: %d values from %d differ (%v)", typ, len(part), at, err)
			}
		})
		for _, c := range [][2]int{{-1, 0}, {n, 1}, {n + 1, 0}, {0, n + 1}} {
			if err := f.ReadFloat32s("a", c[0], make([]float32, c[1])); !errors.Is(err, ErrRange) {
				t.Errorf("%v: %v", c, err)
			}
		}
	}
}

// TestAccessors: whole numbers are read whatever their type.
func TestAccessors(t *testing.T) {
	f, err := Parse(written(t, allValues))
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]int64{"u8": 200, "i8": -5, "u16": 65535, "i16": -300, "u32": 1 << 31, "i32": -70000, "i64": -1 << 40} {
		if got, err := f.Int(key); err != nil || got != want {
			t.Errorf("%s is %d (%v)", key, got, err)
		}
		if got, err := f.Float(key); err != nil || got != float64(want) {
			t.Errorf("%s is %v (%v)", key, got, err)
		}
	}
	for key, want := range map[string]float64{"f32": 1.5, "f64": 0.1, "u64": 1 << 63} {
		if got, err := f.Float(key); err != nil || got != want {
			t.Errorf("%s is %v (%v)", key, got, err)
		}
	}
	for key, want := range map[string][]int64{"u8s": {1, 2}, "i8s": {-1}, "u16s": {1}, "i16s": {-1}, "u32s": {7}, "i32s": {1, -2, 3}, "i64s": {-9}} {
		if got, err := f.Ints(key); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s is %v (%v)", key, got, err)
		}
	}
	text, err1 := f.Text("text")
	yes, err2 := f.Bool("bool")
	list, err3 := f.Texts("texts")
	if text != "é" || !yes || !slices.Equal(list, []string{"a", "bé", ""}) || errors.Join(err1, err2, err3) != nil {
		t.Errorf("%q %v %q %v", text, yes, list, errors.Join(err1, err2, err3))
	}
	for name, read := range map[string]func() error{
		`gguf: key "none": no such value: the file holds 25 others; see Keys for what it holds`: func() error { _, err := f.Int("none"); return err },
		`it is u64, not a whole number below 2^63; read it with Value`:                          func() error { _, err := f.Int("u64"); return err },
		`it is array of u64, not an array of whole numbers below 2^63`:                          func() error { _, err := f.Ints("u64s"); return err },
		`it is array of string, not an array of whole numbers`:                                  func() error { _, err := f.Ints("texts"); return err },
		`it is string, not a number`:                                                            func() error { _, err := f.Float("text"); return err },
		`it is u8, not a text`:                                                                  func() error { _, err := f.Text("u8"); return err },
		`it is u8, not a truth value`:                                                           func() error { _, err := f.Bool("u8"); return err },
		`it is string, not an array of texts`:                                                   func() error { _, err := f.Texts("text"); return err },
	} {
		wantError(t, read(), ErrKey, name)
	}
}

func wantError(t *testing.T, err, kind error, text string) {
	t.Helper()
	var typed *Error
	if !errors.As(err, &typed) || !errors.Is(err, kind) || !bytes.Contains([]byte(err.Error()), []byte(text)) {
		t.Errorf("want %q, got %v", text, err)
	}
}

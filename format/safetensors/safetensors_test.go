package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// raw makes a file of a header and n bytes of data.
func raw(header string, n int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, n)...)
}

func TestErrors(t *testing.T) {
	entry := func(dtype, shape, offsets string) string {
		return `{"a":{"dtype":"` + dtype + `","shape":` + shape + `,"data_offsets":` + offsets + `}}`
	}
	cases := []struct {
		name string
		file []byte
		kind error
		text string
	}{
		{"overlap", raw(`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}`, 6), ErrOverlap,
			`safetensors: tensor "b": data_offsets: byte 106: tensors overlap: [2, 6] begins inside tensor "a", which ends at 4; the program that wrote it is at fault: write it again with a current safetensors library`},
		{"offsets backwards", raw(entry("U8", "[0]", "[0,0]")[:len(entry("U8", "[0]", "[0,0]"))-1]+`,"b":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"c":{"dtype":"U8","shape":[1],"data_offsets":[5,4]}}`, 5), ErrGap, `tensor "c"`},
		{"end before begin", raw(`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[4,2]}}`, 4), ErrOffsets, "[4, 2]"},
		{"float number", raw(entry("U8", "[1.0]", "[0,1]"), 1), ErrHeader, "want a whole number of at least 0, got 1.0"},
		{"exponent", raw(entry("U8", "[1e0]", "[0,1]"), 1), ErrHeader, "got 1e0"},
		{"leading zero", raw(entry("U8", "[01]", "[0,1]"), 1), ErrHeader, "got 01"},
		{"2^63", raw(entry("U8", "[9223372036854775808]", "[0,1]"), 1), ErrOverflow, "9223372036854775808"},
		{"2^64", raw(entry("U8", "[18446744073709551616]", "[0,1]"), 1), ErrHeader, "below 2^63"},
		{"bits overflow", raw(entry("F64", "[2305843009213693952]", "[0,0]"), 0), ErrOverflow, "2305843009213693952 elements of 64 bits"},
		{"one offset", raw(entry("U8", "[1]", "[0]"), 1), ErrHeader, "want two numbers, got 1"},
		{"three offsets", raw(entry("U8", "[1]", "[0,1,2]"), 1), ErrHeader, "want two numbers, got more"},
		{"missing shape", raw(`{"a":{"dtype":"U8","data_offsets":[0,0]}}`, 0), ErrHeader, "one is missing"},
		{"field twice", raw(`{"a":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}}`, 0), ErrHeader, `field occurs twice`},
		{"escaped duplicate", raw(`{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"\u0061":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`, 0), ErrDuplicate, `tensor "a": name: byte 61`},
		{"metadata twice", raw(`{"__metadata__":{},"__metadata__":{}}`, 0), ErrDuplicate, "__metadata__"},
		{"metadata key twice", raw(`{"__metadata__":{"k":"1","\u006b":"2"}}`, 0), ErrDuplicate, `key "k"`},
		{"text after", raw(`{} x`, 0), ErrHeader, `want the end, got 'x'`},
		{"zero after", raw("{}\x00", 0), ErrHeader, "want the end"},
		{"deep", raw(`{"a":{"extra":`+strings.Repeat("[", 1000)+strings.Repeat("]", 1000)+`}}`, 0), ErrHeader, "nested more than 64 deep"},
		{"lone surrogate", raw(`{"\ud800":{}}`, 0), ErrHeader, "lone surrogate"},
		{"control", raw("{\"\n\":{}}", 0), ErrHeader, "control character"},
		{"trailing comma", raw(`{"__metadata__":{},}`, 0), ErrHeader, "want a string"},
		{"array", raw(`[]`, 0), ErrHeaderStart, "got '['"},
		{"no header", raw(``, 0), ErrHeader, "want '{'"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse(c.file)
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("want %v with %q, got %v", c.kind, c.text, err)
			}
		})
	}
}

func TestFileNamesItself(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cut.safetensors")
	if err := os.WriteFile(path, raw(`{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}`, 10), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(path)
	want := "safetensors: " + path + `: tensor "w": data_offsets: byte 73: file ends before its data: 10 bytes of data, want 16; the file is damaged or cut short: get it again`
	if err == nil || err.Error() != want {
		t.Errorf("want %s, got %v", want, err)
	}
	if _, err := Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), "it is a folder, not a file") {
		t.Errorf("a folder: got %v", err)
	}
	if _, err := Open(path + "x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: got %v", err)
	}
}

func TestOptions(t *testing.T) {
	blank := raw("\t\n{}\r ", 0)
	if _, err := Parse(blank, Options{Lenient: true}); err != nil {
		t.Errorf("lenient: %v", err)
	}
	if _, err := Parse(raw("  x", 0), Options{Lenient: true}); !errors.Is(err, ErrHeaderStart) {
		t.Errorf("lenient, no JSON: %v", err)
	}
	two := raw(`{"__metadata__":{"a":"","b":""},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"b":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`, 0)
	for _, c := range []struct {
		limits Limits
		kind   error
	}{
		{Limits{}, nil},
		{Limits{MaxTensors: 1}, ErrLimit},
		{Limits{MaxMetadata: 1}, ErrLimit},
		{Limits{MaxHeader: 10}, ErrHeaderTooLarge},
	} {
		if _, err := Parse(two, Options{Limits: c.limits}); !errors.Is(err, c.kind) {
			t.Errorf("%+v: got %v", c.limits, err)
		}
	}
}

// Whatever the bytes say, reading allocates at most 64 MB and four times the file's size.
func TestAllocation(t *testing.T) {
	repeat := func(n int, item func(i int) string) string {
		var b strings.Builder
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(item(i))
		}
		return b.String()
	}
	const n = 200_000
	files := map[string][]byte{
		"many tensors": raw("{"+repeat(n, func(i int) string {
			return fmt.Sprintf(`"%d":{"dtype":"U8","shape":[],"data_offsets":[%d,%d]}`, i, i, i+1)
		})+"}", n),
		"escaped names": raw("{"+repeat(n, func(i int) string {
			return fmt.Sprintf(`"\u0061%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`, i)
		})+"}", 0),
		"many dimensions": raw(`{"a":{"dtype":"U8","shape":[`+repeat(5_000_000, func(int) string { return "0" })+`],"data_offsets":[0,0]}}`, 0),
		"metadata":        raw(`{"__metadata__":{`+repeat(99_999, func(i int) string { return fmt.Sprintf(`"%d":""`, i) })+`}}`, 0),
		"words":           raw(`{"__metadata__":{`+repeat(99_999, func(i int) string { return fmt.Sprintf(`"%d":"dtype"`, i) })+`}}`, 0),
		"nested":          raw(`{"a":{"x":`+strings.Repeat("[[],", 1_000_000), 0),
	}
	for name, file := range files {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f, err := Parse(file)
		runtime.ReadMemStats(&after)
		spent := after.TotalAlloc - before.TotalAlloc
		t.Logf("%s: %.2f x %d bytes (%v)", name, float64(spent)/float64(len(file)), len(file), err)
		if spent > 4*uint64(len(file))+24<<20 { // below the 64 MB, which these files are too small to reach
			t.Errorf("%s: %d bytes for a file of %d", name, spent, len(file))
		}
		runtime.KeepAlive(f)
	}
}

func TestConversions(t *testing.T) {
	le := binary.LittleEndian
	half := le.AppendUint16(le.AppendUint16(le.AppendUint16(le.AppendUint16(nil, 0x0001), 0x03ff), 0xfc00), 0x7bff)
	cases := []struct {
		dtype DType
		data  []byte
		want  []float64
	}{
		{F16, half, []float64{0x1p-24, 1023 * 0x1p-24, math.Inf(-1), 65504}},
		{F8E4M3FNUZ, []byte{0x40, 0x7f, 0x01, 0x00}, []float64{1, 240, 0x1p-10, 0}},
		{F8E5M2FNUZ, []byte{0x40, 0x7f, 0x01}, []float64{1, 57344, 0x1p-17}},
		{F8E5M2, []byte{0x7c, 0xfc}, []float64{math.Inf(1), math.Inf(-1)}},
		{F8E8M0, []byte{127, 0, 254}, []float64{1, 0x1p-127, 0x1p127}},
		{Bool, []byte{0, 1, 7}, []float64{0, 1, 1}},
		{I8, []byte{0x80}, []float64{-128}},
		{I16, []byte{0, 0x80}, []float64{-32768}},
		{U16, []byte{0, 0x80}, []float64{32768}},
		{U32, []byte{0, 0, 0, 0x80}, []float64{1 << 31}},
		{U64, []byte{0, 0, 0, 0, 0, 0, 0, 0x80}, []float64{1 << 63}},
		{F64, le.AppendUint64(nil, math.Float64bits(math.Pi)), []float64{math.Pi}},
	}
	for _, c := range cases {
		f := roundTrip(t, []Tensor{{Name: "x", DType: c.dtype, Shape: []int{len(c.want)}, Data: c.data}}, nil)
		got, err := f.Float64s("x")
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: want %v, got %v (%v)", c.dtype, c.want, got, err)
		}
		narrow := make([]float32, len(c.want))
		if err := f.ReadFloat32s("x", narrow); err != nil || narrow[0] != float32(c.want[0]) {
			t.Errorf("%s: want %v, got %v (%v)", c.dtype, c.want, narrow, err)
		}
	}
	for dtype, b := range map[DType]byte{F8E4M3: 0x7f, F8E5M2: 0x7d, F8E8M0: 255, F8E4M3FNUZ: 128, F8E5M2FNUZ: 128} {
		if v := fromF8(dtype, b); !math.IsNaN(v) {
			t.Errorf("%s %#x: want NaN, got %v", dtype, b, v)
		}
	}
	f := roundTrip(t, []Tensor{
		{Name: "c", DType: C64, Shape: []int{1}, Data: make([]byte, 8)},
		{Name: "u", DType: U64, Shape: []int{1}, Data: bytes.Repeat([]byte{255}, 8)},
		FromInt64s("i", []int{2}, []int64{math.MinInt64, math.MaxInt64}),
		FromFloat32s("f", nil, []float32{1}),
	}, nil)
	if v, err := f.Int64s("i"); err != nil || v[0] != math.MinInt64 || v[1] != math.MaxInt64 {
		t.Errorf("Int64s: %v %v", v, err)
	}
	_, err1 := f.Float64s("c")
	_, err2 := f.Int64s("u")
	_, err3 := f.Int64s("f")
	err4 := f.ReadFloat32s("f", make([]float32, 2))
	for i, err := range []error{err1, err2, err3, err4} {
		if !errors.Is(err, ErrDType) {
			t.Errorf("%d: want ErrDType, got %v", i, err)
		}
	}
	if _, err := f.Bytes("none"); !errors.Is(err, ErrNoTensor) {
		t.Errorf("want ErrNoTensor, got %v", err)
	}
}

// roundTrip writes and reads.
func roundTrip(t interface{ Fatal(args ...any) }, tensors []Tensor, metadata map[string]string) *File {
	var b bytes.Buffer
	if err := Write(&b, tensors, metadata); err != nil {
		t.Fatal(err)
	}
	if b.Len()%8 != 0 && len(tensors) == 0 {
		t.Fatal("the header is not filled to 8 bytes")
	}
	f, err := Parse(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A float32 tensor that is aligned is seen in place, one that is not is copied, and both have the same values.
func TestViews(t *testing.T) {
	want := []float32{1, -2, 3.5}
	f := roundTrip(t, []Tensor{FromFloat32s("x", []int{3}, want)}, nil)
	for shift := range 4 {
		moved := make([]byte, len(f.data)+8)
		for uintptrOf(moved)%8 != uintptr(shift) {
			moved = moved[1:]
		}
		moved = append(moved[:0], f.data...)
		g, err := Parse(moved)
		if err != nil {
			t.Fatal(err)
		}
		got, err := g.Float32s("x")
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("want %v, got %v (%v)", want, got, err)
		}
		b, err := g.Bytes("x")
		if err != nil {
			t.Fatal(err)
		}
		b[3] ^= 0x80 // the sign of the first value
		if shared := got[0] == -1; shared != (shift == 0 && littleEndian) {
			t.Errorf("shift %d: shared %v", shift, shared)
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	cases := map[string]Tensor{
		"data":                    {Name: "a", DType: U8, Shape: []int{2}, Data: []byte{1}},
		"shape":                   {Name: "a", DType: U8, Shape: []int{-1}},
		"shape: tensor":           {Name: "a", DType: U8, Shape: []int{math.MaxInt, 2}},
		"the format has no":       {Name: "a", DType: "F31", Shape: []int{0}},
		"no whole number":         {Name: "a", DType: F4, Shape: []int{3}, Data: []byte{1, 2}},
		"__metadata__":            {Name: "__metadata__", DType: U8, Shape: []int{0}},
		"must be UTF-8":           {Name: "\xff", DType: U8, Shape: []int{0}},
		"gave 1 bytes, want 2":    {Name: "a", DType: U8, Shape: []int{2}, Open: opens(strings.NewReader("x"))},
		"more than 2 bytes":       {Name: "a", DType: U8, Shape: []int{2}, Open: opens(strings.NewReader("xyz"))},
		iotest.ErrTimeout.Error(): {Name: "a", DType: U8, Shape: []int{2}, Open: opens(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("xyz"))))},
	}
	for want, tensor := range cases {
		err := Write(io.Discard, []Tensor{tensor}, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	twice := []Tensor{{Name: "a", DType: U8, Shape: []int{0}}, {Name: "a", DType: F32, Shape: []int{0}}}
	if err := Write(io.Discard, twice, nil); !errors.Is(err, ErrTensor) || !strings.Contains(err.Error(), "occurs twice") {
		t.Errorf("twice: %v", err)
	}
	if err := Write(io.Discard, nil, map[string]string{"k": "\xff"}); !errors.Is(err, ErrTensor) {
		t.Errorf("metadata: %v", err)
	}
}

func opens(r io.Reader) func() (io.Reader, error) {
	return func() (io.Reader, error) { return r, nil }
}

// Whatever is written is read bit for bit, in memory and through a file.
func TestRoundTrip(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfDistinct(rapid.String().Filter(func(s string) bool { return s != "__metadata__" }), rapid.ID[string]).Draw(t, "names")
		tensors := make([]Tensor, len(names))
		for i, name := range names {
			dtype := rapid.SampledFrom(DTypes()).Draw(t, "dtype")
			shape := append(rapid.SliceOfN(rapid.IntRange(0, 3), 0, 3).Draw(t, "shape"), 4) // 4 makes every type whole bytes
			tensors[i] = Tensor{Name: name, DType: dtype, Shape: shape}
			size, err := tensors[i].size()
			if err != nil {
				t.Fatal(err)
			}
			data := rapid.SliceOfN(rapid.Byte(), int(size), int(size)).Draw(t, "data")
			if rapid.Bool().Draw(t, "streamed") {
				tensors[i].Open = func() (io.Reader, error) { return bytes.NewReader(data), nil }
			}
			tensors[i].Data = data
		}
		metadata := rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "metadata")
		path := filepath.Join(dir, "x.safetensors")
		if err := WriteFile(path, tensors, metadata); err != nil {
			t.Fatal(err)
		}
		mapped, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []*File{roundTrip(t, tensors, metadata), mapped} {
			same(t, f, tensors, metadata)
		}
		if err := mapped.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// same compares a file with what was written.
func same(t interface{ Fatalf(string, ...any) }, f *File, tensors []Tensor, metadata map[string]string) {
	if len(f.Names()) != len(tensors) {
		t.Fatalf("want %d tensors, got %v", len(tensors), f.Names())
	}
	if got := f.Metadata(); len(got)+len(metadata) > 0 && !cmp.Equal(metadata, got) {
		t.Fatalf("metadata: %s", cmp.Diff(metadata, got))
	}
	for _, want := range tensors {
		info, ok := f.Info(want.Name)
		got, err := f.Bytes(want.Name)
		if !ok || err != nil || info.DType != want.DType || !slices.Equal(info.Shape, want.Shape) || !bytes.Equal(got, want.Data) {
			t.Fatalf("%q: want %+v, got %+v %v (%v)", want.Name, want, info, got, err)
		}
	}
}

// FuzzParse reads anything. What it accepts is written and read again, with the same tensors.
func FuzzParse(f *testing.F) {
	for _, g := range goldens(f) {
		if g.Inputs.File != nil {
			f.Add(*g.Inputs.File, false)
		}
		if g.Outputs.File != nil {
			f.Add(g.Outputs.File, true)
		}
		for _, shard := range g.Inputs.Files {
			f.Add(shard, false)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, lenient bool) {
		file, err := Parse(data, Options{Lenient: lenient})
		if err != nil {
			if typed := new(Error); !errors.As(err, &typed) || err.Error() == "" {
				t.Fatalf("want *Error, got %T", err)
			}
			return
		}
		var tensors []Tensor
		for info := range file.All() {
			raw, err := file.Bytes(info.Name)
			if err != nil {
				t.Fatal(err)
			}
			tensors = append(tensors, Tensor{Name: info.Name, DType: info.DType, Shape: info.Shape, Data: raw})
			// Values are read without fear, whatever they are.
			_, _ = file.Float64s(info.Name)
			_, _ = file.Float32s(info.Name)
			_, _ = file.Int64s(info.Name)
		}
		same(t, roundTrip(t, tensors, file.Metadata()), tensors, file.Metadata())
	})
}

func BenchmarkOpenHeader10000(b *testing.B) {
	tensors := make([]Tensor, 10_000)
	for i := range tensors {
		tensors[i] = FromFloat32s(fmt.Sprintf("model.layers.%d.self_attn.q_proj.weight", i), []int{1, 1}, []float32{1})
	}
	var file bytes.Buffer
	if err := Write(&file, tensors, nil); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		f, err := Parse(file.Bytes())
		if err != nil || len(f.entries) != len(tensors) {
			b.Fatal(err)
		}
	}
}

// uintptrOf tells where a slice's array lies.
func uintptrOf(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

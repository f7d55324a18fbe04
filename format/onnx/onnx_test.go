package onnx

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// msg builds messages: a number is a varint, text and bytes a field of bytes.
func msg(pairs ...any) []byte {
	var b []byte
	for i := 0; i < len(pairs); i += 2 {
		num := protowire.Number(pairs[i].(int))
		switch v := pairs[i+1].(type) {
		case int:
			b = protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), uint64(v))
		case string:
			b = protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), v)
		case []byte:
			b = protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), v)
		}
	}
	return b
}

func graphOf(pairs ...any) []byte { return msg(1, 7, 7, msg(pairs...), 8, msg(2, 13)) }

var (
	inX  = msg(1, "x")
	relu = msg(1, "x", 2, "y", 4, "Relu")
)

func tensorOf(name string, pairs ...any) []byte { return msg(append([]any{8, name}, pairs...)...) }

func TestRefused(t *testing.T) {
	nested := msg(1, msg(2, "y", 4, "If"))
	for range 40 {
		nested = msg(1, msg(2, "y", 4, "If", 5, msg(1, "then_branch", 6, nested)))
	}
	for name, c := range map[string]struct {
		data []byte
		want error
	}{
		"empty":             {nil, ErrProto},
		"cut off":           {graphOf(11, inX, 1, relu)[:9], ErrProto},
		"text as number":    {msg(7, 4), ErrProto},
		"not UTF-8":         {msg(2, "\xff"), ErrProto},
		"cycle":             {graphOf(11, inX, 1, msg(1, "z", 2, "y", 4, "Relu"), 1, msg(1, "y", 2, "z", 4, "Relu")), ErrOrder},
		"itself":            {graphOf(1, msg(1, "y", 2, "y", 4, "Relu")), ErrOrder},
		"missing input":     {graphOf(1, relu), ErrMissing},
		"missing output":    {graphOf(12, msg(1, "q")), ErrMissing},
		"value twice":       {graphOf(11, inX, 1, relu, 1, relu), ErrDuplicate},
		"initialiser twice": {graphOf(5, tensorOf("w", 1, 0, 2, 1), 5, tensorOf("w", 1, 0, 2, 1)), ErrDuplicate},
		"no operator":       {graphOf(11, inX, 1, msg(1, "x", 2, "y")), ErrGraph},
		"negative":          {graphOf(5, tensorOf("w", 1, -1, 2, 1)), ErrShape},
		"overflow":          {graphOf(5, tensorOf("w", 1, 1<<40, 1, 1<<40, 2, 1)), ErrShape},
		"short raw":         {graphOf(5, tensorOf("w", 1, 2, 2, 1, 9, []byte("1234567"))), ErrSize},
		"long ints":         {graphOf(5, tensorOf("w", 1, 1, 2, 7, 7, []byte{1, 2})), ErrSize},
		"wrong field":       {graphOf(5, tensorOf("w", 1, 1, 2, 1, 7, []byte{1})), ErrSize},
		"type":              {graphOf(5, tensorOf("w", 1, 1, 2, 99, 9, "1")), ErrDType},
		"bool 2":            {graphOf(5, tensorOf("w", 1, 1, 2, 9, 5, []byte{2})), ErrSize},
		"deep":              {msg(7, nested), ErrLimit},
		"path ..":           {graphOf(5, tensorOf("w", 1, 1, 2, 1, 14, 1, 13, msg(1, "location", 2, "a/../../b"))), ErrPath},
		"path absolute":     {graphOf(5, tensorOf("w", 1, 1, 2, 1, 14, 1, 13, msg(1, "location", 2, "/etc/passwd"))), ErrPath},
		"path drive":        {graphOf(5, tensorOf("w", 1, 1, 2, 1, 14, 1, 13, msg(1, "location", 2, `C:\x`))), ErrPath},
		"path backslash":    {graphOf(5, tensorOf("w", 1, 1, 2, 1, 14, 1, 13, msg(1, "location", 2, `..\x`))), ErrPath},
		"external, no file": {graphOf(5, tensorOf("w", 1, 1, 2, 1, 14, 1, 13, msg(1, "location", 2, "w.bin"))), ErrExternal},
	} {
		m, err := Parse(c.data)
		var e *Error
		if !errors.Is(err, c.want) || !errors.As(err, &e) || !e.BadInput() || m != nil {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestExternal(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "m.onnx")
	write := func(name string, data []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	model := func(entries ...any) {
		write("m.onnx", graphOf(5, tensorOf("w", append([]any{1, 2, 2, 1, 14, 1}, entries...)...)))
	}
	write("w.bin", []byte("....\x00\x00\x80\x3f\x00\x00\x00\x40"))
	model(13, msg(1, "location", 2, "w.bin"), 13, msg(1, "offset", 2, "4"), 13, msg(1, "length", 2, "8"))
	m, err := Open(file)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]float32, 2)
	if err := m.Graph.Initializers[0].Float32s(0, got); err != nil || got[0] != 1 || got[1] != 2 {
		t.Fatalf("%v %v", got, err)
	}
	model(13, msg(1, "location", 2, "w.bin"), 13, msg(1, "offset", 2, "8"))
	if _, err := Open(file); !errors.Is(err, ErrSize) {
		t.Errorf("beyond the end: %v", err)
	}
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, make([]byte, 8), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	model(13, msg(1, "location", 2, "link"))
	if _, err := Open(file); !errors.Is(err, ErrPath) {
		t.Errorf("a link that leads out: %v", err)
	}
}

func TestSparse(t *testing.T) {
	values := tensorOf("w", 1, 2, 2, 2, 9, []byte{7, 9})
	for _, indices := range [][]byte{tensorOf("", 1, 2, 2, 7, 7, []byte{1, 5}), tensorOf("", 1, 2, 1, 2, 2, 7, 7, []byte{0, 1, 1, 2})} {
		m, err := Parse(graphOf(15, msg(1, values, 2, indices, 3, 2, 3, 3)))
		if err != nil || string(m.Graph.Initializers[0].Raw) != "\x00\x07\x00\x00\x00\x09" {
			t.Errorf("%v %v", m, err)
		}
	}
}

func TestSmallFloats(t *testing.T) {
	for d, c := range map[DataType]struct {
		raw  []byte
		want float32
	}{
		Float16: {[]byte{0x01, 0x00}, 5.9604645e-8}, BFloat16: {[]byte{0x80, 0x3f}, 1}, Float8E4M3: {[]byte{0x7e}, 448}, Float8E5M2: {[]byte{0x7b}, 57344},
		Float8E4Z: {[]byte{0x7f}, 240}, Float8E5Z: {[]byte{0xff}, -57344},
	} {
		var got [1]float32
		if err := Float32sOf(d, c.raw, got[:]); err != nil || got[0] != c.want {
			t.Errorf("%s % x is %v (%v), want %v", d, c.raw, got[0], err, c.want)
		}
	}
}

// Elements of less than a byte are read at any place, in the file and beside it; the last byte may be half used.
func TestNarrow(t *testing.T) {
	dir := t.TempDir()
	raw := []byte{0x10, 0x98, 0x7f, 0x0d}
	for d, want := range map[DataType][]float32{
		Uint4:  {0, 1, 8, 9, 15, 7, 13},
		Int4:   {0, 1, -8, -7, -1, 7, -3},
		Float4: {0, 0.5, 0, -0.5, -6, 6, -3},
		Uint2:  {0, 0, 1, 0, 0, 2, 1, 2, 3, 3, 3, 1, 1, 3},
		Int2:   {0, 0, 1, 0, 0, -2, 1, -2, -1, -1, -1, 1, 1, -1},
	} {
		within := tensorOf("w", 1, len(want), 2, int(d), 9, raw)
		beside := tensorOf("w", 1, len(want), 2, int(d), 14, 1, 13, msg(1, "location", 2, "w.bin"), 13, msg(1, "offset", 2, "3"))
		for _, tensor := range [][]byte{within, beside} {
			path := filepath.Join(dir, "m.onnx")
			if err := errors.Join(os.WriteFile(path, graphOf(5, tensor), 0o600), os.WriteFile(filepath.Join(dir, "w.bin"), append([]byte("abc"), raw...), 0o600)); err != nil {
				t.Fatal(err)
			}
			m, err := Open(path)
			if err != nil {
				t.Fatalf("%s: %v", d, err)
			}
			w := m.Graph.Initializers[0]
			for at := range len(want) + 1 {
				got := make([]float32, len(want)-at)
				if err := w.Float32s(at, got); err != nil || !slices.Equal(got, want[at:]) {
					t.Errorf("%s from %d: %v (%v), want %v", d, at, got, err, want[at:])
				}
			}
			if err := w.Float32s(1, make([]float32, len(want))); !errors.Is(err, ErrRange) {
				t.Errorf("%s beyond its end: %v", d, err)
			}
		}
	}
	long := &Tensor{Type: Int4, Elements: 300_001, Raw: bytes.Repeat([]byte{0xf1}, 150_001)}
	got := make([]float32, long.Elements-1)
	if err := long.Float32s(1, got); err != nil || got[0] != -1 || got[299_999] != 1 || got[131_070] != -1 || got[262_141] != 1 {
		t.Errorf("more than a piece: %v, %v ... %v", err, got[:4], got[299_998:])
	}
}

func FuzzParse(f *testing.F) {
	f.Add(graphOf(11, inX, 1, relu, 12, msg(1, "y")))
	f.Add(graphOf(5, tensorOf("w", 1, 2, 2, 7, 7, []byte{1, 2})))
	f.Add(graphOf(15, msg(1, tensorOf("w", 1, 1, 2, 2, 9, []byte{7}), 2, tensorOf("", 1, 1, 2, 7, 7, []byte{0}), 3, 3)))
	f.Add(graphOf(1, msg(2, "y", 4, "If", 5, msg(1, "then_branch", 6, msg(1, msg(2, "q", 4, "Constant"))))))
	f.Fuzz(func(t *testing.T, data []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		m, err := Parse(data)
		runtime.ReadMemStats(&after)
		if live := int64(after.HeapAlloc) - int64(before.HeapAlloc); live > 64<<20+4*int64(len(data)) {
			t.Errorf("%d bytes take %d", len(data), live)
		}
		var e *Error
		if err != nil && (!errors.As(err, &e) || !e.BadInput()) {
			t.Errorf("%v", err)
		}
		runtime.KeepAlive(m)
		if _, err := ParseTensor(data); err != nil && (!errors.As(err, &e) || !e.BadInput()) {
			t.Errorf("%v", err)
		}
	})
}

// External data is read when it is asked for: sixty tensors over one file of 50 MB take nothing before, and a piece at a time then.
func TestExternalIsNotHeld(t *testing.T) {
	dir := t.TempDir()
	const size, tensors = 50_000_000, 60
	var graph []any
	for i := range tensors {
		graph = append(graph, 5, tensorOf(string(rune('A'+i)), 1, size-tensors, 2, 2, 14, 1, 13, msg(1, "location", 2, "w.bin"), 13, msg(1, "offset", 2, strconv.Itoa(i))))
	}
	data := filepath.Join(dir, "w.bin")
	err := errors.Join(os.WriteFile(filepath.Join(dir, "m.onnx"), graphOf(graph...), 0o600), os.WriteFile(data, nil, 0o600), os.Truncate(data, size))
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	m, err := Open(filepath.Join(dir, "m.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	values := make([]float32, 1<<20)
	for _, w := range m.Graph.Initializers {
		if err := w.Float32s(size-tensors-len(values), values); err != nil || w.Raw != nil {
			t.Fatalf("%d bytes are held, %v", len(w.Raw), err)
		}
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 32<<20 {
		t.Errorf("it allocated %d MB", grown>>20)
	}
	// What is gone, or shorter, when it is asked for is said.
	if err := os.Truncate(data, 1000); err != nil {
		t.Fatal(err)
	}
	if err := m.Graph.Initializers[0].Float32s(0, values); !errors.Is(err, ErrExternal) {
		t.Errorf("a file that was cut: %v", err)
	}
}

// Integers that int64 does not hold are not another integer.
func TestIntsAreExact(t *testing.T) {
	w := &Tensor{Name: "w", Type: Uint64, Dims: []int{1}, Elements: 1, Raw: []byte{1, 0, 0, 0, 0, 0, 0, 0x80}}
	if v, err := w.Ints(); !errors.Is(err, ErrRange) {
		t.Errorf("got %v, %v", v, err)
	}
}

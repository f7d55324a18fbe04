package gguf

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"runtime"
	"testing"
)

// liveLimit is how much may be live for a file of size bytes.
func liveLimit(size int) int64 { return 64<<20 + 4*int64(size) }

// live is the memory in use, after a collection if before it is more than limit.
func live(before uint64, limit int64) int64 {
	var m runtime.MemStats
	for range 2 {
		runtime.ReadMemStats(&m)
		if int64(m.HeapAlloc)-int64(before) <= limit {
			break
		}
		runtime.GC()
	}
	return int64(m.HeapAlloc) - int64(before)
}

// TestMemory: files that have as many small entries as they can stay within the bound, in memory and from a reader.
func TestMemory(t *testing.T) {
	const tensors, values, texts = 700_000, 300_000, 1 << 20
	name := func(i int) string { // short and different
		return string([]byte{byte(i & 127), byte(i >> 7 & 127), byte(i >> 14 & 127)})
	}
	entries := file(3, tensors, values)
	for i := range values {
		entries = entries.key(name(i), Uint8).bytes(1)
	}
	for i := range tensors {
		entries = entries.tensor(name(i), []uint64{0}, uint32(I8), 0) // without data
	}
	empty := file(3, 0, 1).key("k", Array).u32(uint32(String)).u64(texts).u64(make([]uint64, texts)...)
	for name, data := range map[string]raw{"entries": entries, "empty texts": empty} {
		for _, read := range []func() (*File, error){
			func() (*File, error) { return Parse(data) },
			func() (*File, error) { return NewFile(bytes.NewReader(data), int64(len(data))) },
		} {
			var before runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			f, err := read()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			list, _ := f.Value("k")
			limit := liveLimit(len(data))
			if used := live(before.HeapAlloc, limit); used > limit {
				t.Errorf("%s: %d bytes take %d", name, len(data), used)
			} else {
				t.Logf("%s: %d bytes take %d, at most %d", name, len(data), used, limit)
			}
			runtime.KeepAlive(list)
			runtime.KeepAlive(f)
		}
	}
}

// seeds are files of all kinds, good and bad.
func seeds(tb testing.TB) [][]byte {
	var out [][]byte
	for _, c := range badFiles {
		out = append(out, c.data)
	}
	var tensors []Tensor
	for _, typ := range Types() {
		elements, size := typ.Block()
		tensors = append(tensors, Tensor{Name: typ.String(), Type: typ, Shape: []int{2, elements}, Data: bytes.Repeat([]byte{0x39}, 2*size)})
	}
	return append(out, written(tb, allValues, tensors...), written(tb, []KeyValue{{AlignmentKey, uint32(64)}}, tensors[:3]...),
		file(2, 1, 0).tensor("w", []uint64{1}, 0, 0).data(4), file(3, 1, 0).tensor("w", []uint64{0, 7}, 0, 0))
}

// FuzzParse reads anything, within the bound of memory. What it accepts is written and read again, with the same tensors and values.
func FuzzParse(f *testing.F) {
	for _, data := range seeds(f) {
		f.Add([]byte(data), false)
	}
	f.Fuzz(func(t *testing.T, data []byte, lenient bool) {
		var before runtime.MemStats
		runtime.ReadMemStats(&before)
		limit := liveLimit(len(data))
		o := Options{Lenient: lenient}
		file, err := Parse(data, o)
		if used := live(before.HeapAlloc, limit); used > limit {
			t.Fatalf("a file of %d bytes takes %d", len(data), used)
		}
		second, err2 := NewFile(bytes.NewReader(data), int64(len(data)), o)
		if (err == nil) != (err2 == nil) || err != nil && err.Error() != err2.Error() {
			t.Fatalf("in memory %v, from a reader %v", err, err2)
		}
		if err != nil {
			if typed := new(Error); !errors.As(err, &typed) || !typed.BadInput() {
				t.Fatalf("want *Error, got %T", err)
			}
			return
		}
		metadata := file.Metadata()
		if used := live(before.HeapAlloc, limit); used > limit {
			t.Fatalf("a file of %d bytes and its metadata take %d", len(data), used)
		}
		for _, key := range file.Keys() {
			_ = file.Print(key)
		}
		var tensors []Tensor
		for _, name := range file.Names() {
			info, _ := file.Info(name)
			raw := make([]byte, info.End-info.Begin)
			if err := second.ReadBytes(name, 0, raw); err != nil {
				t.Fatal(err)
			}
			tensors = append(tensors, Tensor{Name: name, Type: info.Type, Shape: info.Shape, Data: raw})
			if err := file.ReadFloat32s(name, 0, make([]float32, min(info.Elements, 1000))); err != nil && !errors.Is(err, ErrDecode) {
				t.Fatal(err)
			}
		}
		for i := range metadata {
			if metadata[i].Key == AlignmentKey { // the writer wants its usual type
				metadata[i].Value = uint32(file.Alignment())
			}
		}
		var out bytes.Buffer
		if err := Write(&out, metadata, tensors); err != nil {
			t.Fatal(err)
		}
		again, err := Parse(out.Bytes(), o)
		if err != nil {
			t.Fatal(err)
		}
		if got := again.Metadata(); !sameValues(got, metadata) {
			t.Fatalf("metadata %v, want %v", got, metadata)
		}
		for _, want := range tensors {
			info, ok := again.Info(want.Name)
			raw := make([]byte, info.End-info.Begin)
			if err := again.ReadBytes(want.Name, 0, raw); err != nil || !ok || info.Type != want.Type || !reflect.DeepEqual(info.Shape, want.Shape) || !bytes.Equal(raw, want.Data) {
				t.Fatalf("%q: %+v, want %+v (%v)", want.Name, info, want, err)
			}
		}
	})
}

// sameValues compares metadata by what is written of them, since NaN differs from itself.
func sameValues(a, b []KeyValue) bool {
	x, err := encodeHeader(a, nil, defaultAlignment)
	y, err2 := encodeHeader(b, nil, defaultAlignment)
	return err == nil && err2 == nil && bytes.Equal(x, y)
}

// FuzzDecode decodes any bytes as any type, and encodes what is finite again: the error stays within a step of the block.
func FuzzDecode(f *testing.F) {
	for _, typ := range Types() {
		_, size := typ.Block()
		f.Add(uint32(typ), bytes.Repeat([]byte{0x2e, 0x91}, size))
	}
	f.Fuzz(func(t *testing.T, number uint32, data []byte) {
		typ := Type(number % uint32(len(types)))
		elements, size := typ.Block()
		if elements == 0 || len(data) < size {
			return
		}
		n := min(len(data)/size, 64)
		x := make([]float32, n*elements)
		if err := Decode(typ, x, data[:n*size]); err != nil {
			if typ.CanDecode() {
				t.Fatal(err)
			}
			return
		}
		if _, ok := plain[typ]; ok && plain[typ].decode != nil {
			checkDecode(t, typ, data[:n*size])
		}
		for i, v := range x {
			if !(math.Abs(float64(v)) <= 60000) {
				x[i] = 0
			}
		}
		for _, to := range Types() {
			if per, _ := to.Block(); to.CanEncode() && len(x)%per == 0 {
				checkKernels(t, to, x)
				checkError(t, to, x)
			}
		}
	})
}

// checkError encodes and decodes, and compares with what the bits of a type allow.
func checkError(t failer, typ Type, x []float32) {
	t.Helper()
	elements, size := typ.Block()
	packed, y := make([]byte, len(x)/elements*size), make([]float32, len(x))
	if err := Encode(typ, packed, x); err != nil {
		t.Fatal(err)
	}
	if err := Decode(typ, y, packed); err != nil {
		t.Fatal(err)
	}
	for b := 0; b < len(x); b += elements {
		least, most := extremes(x[b : b+elements])
		reach := max(float64(most), -float64(least))
		// What a scale loses as an IEEE half: a part of 2^-11, or a step of 2^-25 between subnormal ones, for each of its multiples.
		steps, spread := errorOf(typ, reach, float64(most)-float64(least))
		bound := spread + reach*0x1p-9 + steps*0x1p-25
		for i := b; i < b+elements; i++ {
			if diff := math.Abs(float64(x[i]) - float64(y[i])); !(diff <= bound) {
				t.Fatalf("%s: value %d is %v, of %v: off by %v, at most %v", typ, i, y[i], x[i], diff, bound)
			}
		}
	}
}

// errorOf is the largest multiple of a scale, and how far values may be off for a block that reaches to reach and spans span.
func errorOf(typ Type, reach, span float64) (steps, off float64) {
	switch typ {
	case Q8_0:
		return 127, reach / 127 / 2
	case Q4_0:
		return 8, reach / 8 // the other sign ends at 7
	case Q5_0:
		return 16, reach / 16
	case Q4_1:
		return 16, span / 15 / 2
	case Q5_1:
		return 32, span / 31 / 2
	case Q4_K: // a group's least squares may leave a far value out; scales and minimums are rounded to 63rds of the largest
		return 63 * 16, (span+reach)*0.2 + reach/63
	case Q5_K:
		return 63 * 32, (span+reach)*0.12 + reach/63
	case Q6_K:
		return 128 * 32, reach / 8
	case IQ4_NL:
		return 127, reach / 4
	case F16:
		return 1, 0
	case BF16:
		return 0, reach/256 + 0x1p-134
	}
	return 0, 0
}

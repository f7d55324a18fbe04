package gguf

import (
	"bytes"
	"math"
	"testing"

	"pgregory.net/rapid"
)

// plain are the kernels without vector instructions, of the types that have others.
var plain = map[Type]struct {
	encode func(dst []byte, src []float32)
	decode func(dst []float32, src []byte)
}{
	F16: {nil, decodeF16Plain}, Q4_0: {encodeQ40Plain, nil}, Q8_0: {encodeQ80Plain, nil}, Q4_K: {encodeQ4KPlain, decodeQ4KPlain}, Q5_K: {encodeQ5KPlain, nil}, Q6_K: {encodeQ6KPlain, nil},
}

// failer is what testing.TB and *rapid.T have in common.
type failer interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// checkKernels compares bits with those of the plain code.
func checkKernels(t failer, typ Type, x []float32) {
	t.Helper()
	elements, size := typ.Block()
	got := make([]byte, len(x)/elements*size)
	if err := Encode(typ, got, x); err != nil {
		t.Fatal(err)
	}
	p := plain[typ]
	if p.encode != nil {
		want := make([]byte, len(got))
		if p.encode(want, x); !bytes.Equal(got, want) {
			for i := range got {
				if got[i] != want[i] {
					t.Fatalf("%s: byte %d of block %d is %#02x, want %#02x of %v", typ, i%size, i/size, got[i], want[i], x[i/size*elements:][:elements])
				}
			}
		}
	}
	if p.decode != nil {
		checkDecode(t, typ, got)
	}
}

func checkDecode(t failer, typ Type, src []byte) {
	t.Helper()
	elements, size := typ.Block()
	y, z := make([]float32, len(src)/size*elements), make([]float32, len(src)/size*elements)
	plain[typ].decode(y, src)
	if err := Decode(typ, z, src); err != nil {
		t.Fatal(err)
	}
	for i := range y {
		if math.Float32bits(y[i]) != math.Float32bits(z[i]) && (y[i] == y[i] || z[i] == z[i]) {
			t.Fatalf("%s: value %d is %v, want %v", typ, i, z[i], y[i])
		}
	}
}

// values draws blocks of all magnitudes, among them zeros, equal values, halves of steps and values on one side of zero.
func valuesOf(t *rapid.T, n int, most float32) []float32 {
	r := rapid.SliceOfN(rapid.Uint32(), 8, 8).Draw(t, "seed")
	next := func() uint32 {
		r[0] = r[0]*1664525 + 1013904223
		r[1] ^= r[1]<<13 ^ r[0]
		r[1] ^= r[1]>>17 ^ r[1]<<5
		return r[1] ^ r[0]>>7
	}
	x := make([]float32, n)
	for g := 0; g < n; g += 16 {
		kind, scale := next()%8, math.Ldexp(1, int(next()%150)-130)
		if next()%2 == 0 {
			scale = 1
		}
		for i := g; i < min(g+16, n); i++ {
			v := float64(int32(next())) / (1 << 31)
			switch kind {
			case 0:
				v = 0
			case 1:
				v = math.Abs(v)
			case 2:
				v = -math.Abs(v)
			case 3:
				v = math.Round(v*16) / 16
			case 4:
				v = 0.7
			case 5:
				v *= v * v * v * v
			case 6:
				v = math.Round(v*127) / 254
			}
			x[i] = max(min(float32(v*scale), most), -most)
		}
	}
	return x
}

// TestKernels: vector instructions give the bits of the plain code.
func TestKernels(t *testing.T) {
	for typ, p := range plain {
		elements, size := typ.Block()
		rapid.Check(t, func(t *rapid.T) {
			if p.encode != nil {
				checkKernels(t, typ, valuesOf(t, 256*rapid.IntRange(0, 5).Draw(t, "blocks"), typ.largest()))
			}
			if p.decode != nil {
				n := rapid.IntRange(0, 9).Draw(t, "n")
				if elements == 1 {
					n *= 7
				}
				checkDecode(t, typ, rapid.SliceOfN(rapid.Byte(), n*size, n*size).Draw(t, "bytes"))
			}
		})
	}
}

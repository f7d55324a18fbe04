package gguf

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// waves are values that reach both ends of blocks, a little uneven.
func waves(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(i*i%97-45)/64 + float32(i%7)/1024
	}
	return x
}

// TestEncodeBits: blocks as the reference quantisers give them.
func TestEncodeBits(t *testing.T) {
	for typ, want := range map[Type]string{
		Q8_0:   "6f1e90939aa7b8cfeb0a2f5a98cc064495dd2b7de33faf147ffe73fc7b0da432d46b",
		Q4_0:   "62ae5f0fae4edd7b098715820f7be854bf1a",
		Q4_1:   "672ea0b9a0f051b12384f678ea7df08417ab40e5",
		Q5_0:   "62aa7fcc9452be0e4d8ba9d6030f2a151de7cfa76d24",
		Q5_1:   "332aa0b980236bad40f0b1734518fce0d5eae1083f5791ca",
		IQ4_NL: "3c9e4f0faf3eed6c0a8704820f7ce743cf1b",
		Q4_K:   "crc d50fb6fc",
		Q5_K:   "crc c2c672cb",
		Q6_K:   "crc 412a69ef",
	} {
		elements, size := typ.Block()
		raw := make([]byte, size)
		if err := Encode(typ, raw, waves(elements)); err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(raw); got != want && fmt.Sprintf("crc %08x", crc32.ChecksumIEEE(raw)) != want {
			t.Errorf("%s: %s, want %s", typ, got, want)
		}
	}
}

// TestNearestIQ4: the table finds what looking at every code finds.
func TestNearestIQ4(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Float32Range(-140, 140).Draw(t, "v")
		if rapid.Bool().Draw(t, "near a code or a middle") {
			i := rapid.IntRange(0, 14).Draw(t, "code")
			v = []float32{codesIQ4[i], codesIQ4[i+1], (codesIQ4[i] + codesIQ4[i+1]) / 2}[rapid.IntRange(0, 2).Draw(t, "which")]
			v = []float32{v, math.Nextafter32(v, -200), math.Nextafter32(v, 200)}[rapid.IntRange(0, 2).Draw(t, "beside")]
		}
		best := 0
		for code, c := range codesIQ4 {
			if math.Abs(float64(c)-float64(v)) <= math.Abs(float64(codesIQ4[best])-float64(v)) {
				best = code
			}
		}
		if got := nearestIQ4(v); got != best {
			t.Fatalf("%v is code %d, want %d", v, got, best)
		}
	})
}

// TestEncodeErrors: what comes back is as near as the bits of a type allow, for values of all sorts.
func TestEncodeErrors(t *testing.T) {
	for _, typ := range Types() {
		if !typ.CanEncode() {
			continue
		}
		rapid.Check(t, func(t *rapid.T) { checkError(t, typ, valuesOf(t, 512, 60000)) })
	}
}

// TestRounding: halves are rounded to the nearest, to even between two, and all come back as they are.
func TestRounding(t *testing.T) {
	for h := range 1 << 16 {
		raw := []byte{byte(h), byte(h >> 8)}
		v := half(raw)
		if got := halfBits(math.Float32bits(v)); int(got) != h && !(v != v && got&0x7e00 == 0x7e00) {
			t.Fatalf("%#04x is %v and becomes %#04x", h, v, got)
		}
		if h&0x7fff >= 0x7c00 || h&0x7fff == 0 {
			continue
		}
		next := half([]byte{byte(h - 1), byte((h - 1) >> 8)}) // nearer to zero
		middle := (v + next) / 2
		even := h &^ 1
		if h&1 == 1 {
			even = h - 1
		}
		below, above := math.Nextafter32(middle, next), math.Nextafter32(middle, 2*v)
		for x, want := range map[float32]int{middle: even, below: h - 1, above: h} {
			if got := halfBits(math.Float32bits(x)); int(got) != want {
				t.Fatalf("%v becomes %#04x, want %#04x", x, got, want)
			}
		}
	}
}

// oracles say what element i of a block is, in float64, straight from the descriptions of the formats.
var oracles = map[Type]func(b []byte, i int) float64{
	Q4_0: func(b []byte, i int) float64 { return h(b) * (nibble(b[2:], i) - 8) },
	Q4_1: func(b []byte, i int) float64 { return h(b)*nibble(b[4:], i) + h(b[2:]) },
	Q5_0: func(b []byte, i int) float64 { return h(b) * (nibble(b[6:], i) + 16*bit(b[2:], i) - 16) },
	Q5_1: func(b []byte, i int) float64 { return h(b)*(nibble(b[8:], i)+16*bit(b[4:], i)) + h(b[2:]) },
	Q8_0: func(b []byte, i int) float64 { return h(b) * float64(int8(b[2+i])) },
	Q8_1: func(b []byte, i int) float64 { return h(b) * float64(int8(b[4+i])) },
	Q2_K: func(b []byte, i int) float64 {
		s := b[i/16]
		q := b[16+i/128*32+i%32] >> (i % 128 / 32 * 2) & 3
		return h(b[80:])*float64(s&15)*float64(q) - h(b[82:])*float64(s>>4)
	},
	Q3_K: func(b []byte, i int) float64 {
		g := i / 16
		s := b[96+g%8] >> (g / 8 * 4) & 15
		s |= b[104+g%4] >> (g / 4 * 2) & 3 << 4
		q := float64(b[32+i/128*32+i%32] >> (i % 128 / 32 * 2) & 3)
		return h(b[108:]) * (float64(s) - 32) * (q - 4*(1-float64(b[i%32]>>(i/32)&1)))
	},
	Q4_K: func(b []byte, i int) float64 {
		sc, mn := scaleMin(b[4:16], i/32)
		return h(b)*float64(sc)*float64(b[16+i/64*32+i%32]>>(i/32%2*4)&15) - h(b[2:])*float64(mn)
	},
	Q5_K: func(b []byte, i int) float64 {
		sc, mn := scaleMin(b[4:16], i/32)
		q := float64(b[48+i/64*32+i%32]>>(i/32%2*4)&15) + 16*float64(b[16+i%32]>>(i/32)&1)
		return h(b)*float64(sc)*q - h(b[2:])*float64(mn)
	},
	Q6_K: func(b []byte, i int) float64 {
		k := i % 128 / 32
		q := b[i/128*64+k%2*32+i%32]>>(k/2*4)&15 | b[128+i/128*32+i%32]>>(k*2)&3<<4
		return h(b[208:]) * float64(int8(b[192+i/16])) * (float64(q) - 32)
	},
	Q8_K: func(b []byte, i int) float64 {
		return float64(math.Float32frombits(u32(b))) * float64(int8(b[4+i]))
	},
	IQ4_NL: func(b []byte, i int) float64 { return h(b) * float64(codesIQ4[int(nibble(b[2:], i))]) },
	IQ4_XS: func(b []byte, i int) float64 {
		g := i / 32
		s := int(b[4+g/2]>>(g%2*4)&15) | int(u16(b[2:])>>(2*g)&3)<<4
		return h(b) * float64(s-32) * float64(codesIQ4[int(nibble(b[8+16*g:], i%32))])
	},
	MXFP4: func(b []byte, i int) float64 {
		q := int(nibble(b[1:], i))
		v := []float64{0, 0.5, 1, 1.5, 2, 3, 4, 6}[q%8] * math.Ldexp(1, int(b[0])-127)
		return v * float64(1-q/8*2)
	},
	TQ2_0: func(b []byte, i int) float64 {
		return h(b[64:]) * (float64(b[i/128*32+i%32]>>(i%128/32*2)&3) - 1)
	},
	TQ1_0: func(b []byte, i int) float64 {
		at, digit := i%32, i/32
		switch {
		case i >= 240:
			at, digit = 48+(i-240)%4, (i-240)/4
		case i >= 160:
			at, digit = 32+(i-160)%16, (i-160)/16
		}
		q := b[at]
		for range digit {
			q *= 3
		}
		return h(b[52:]) * float64(int(q)*3/256-1)
	},
	IQ2_XXS: func(b []byte, i int) float64 {
		group := b[2+i/32*8:]
		bits := u32(group[4:])
		return h(b) * (0.5 + float64(bits>>28)) / 4 * point(gridIQ2XXS, 8, int(group[i%32/8]), i, 8, 25, 43) * sign7(bits>>(i%32/8*7), i%8)
	},
	IQ2_XS: func(b []byte, i int) float64 {
		code := uint32(u16(b[2+i/8*2:]))
		return h(b) * (0.5 + float64(b[66+i/32]>>(i%32/16*4)&15)) / 4 * point(gridIQ2XS, 8, int(code%512), i, 8, 25, 43) * sign7(code>>9, i%8)
	},
	IQ2_S: func(b []byte, i int) float64 {
		code := int(b[2+i/8]) + 256*int(b[66+i/32]>>(i%32/8*2)&3)
		return h(b) * (0.5 + float64(b[74+i/32]>>(i%32/16*4)&15)) / 4 * point(gridIQ2S, 8, code, i, 8, 25, 43) * float64(1-2*int(b[34+i/8]>>(i%8)&1))
	},
	IQ3_XXS: func(b []byte, i int) float64 {
		bits := u32(b[66+i/32*4:])
		return h(b) * (0.5 + float64(bits>>28)) / 2 * point(gridIQ3XXS, 4, int(b[2+i/4]), i, 4, 12, 20, 28, 36, 44, 52, 62) * sign7(bits>>(i%32/8*7), i%8)
	},
	IQ3_S: func(b []byte, i int) float64 {
		code := int(b[2+i/4]) + 256*int(b[66+i/32]>>(i%32/4)&1)
		return h(b) * float64(1+2*int(b[106+i/64]>>(i%64/32*4)&15)) * point(gridIQ3S, 4, code, i, 1, 3, 5, 7, 9, 11, 13, 15) * float64(1-2*int(b[74+i/8]>>(i%8)&1))
	},
	IQ1_S: func(b []byte, i int) float64 {
		bits := int(u16(b[34+i/32*2:]))
		return h(b) * float64(2*(bits>>12&7)+1) * (point(gridIQ1S, 8, int(b[2+i/8])+256*(bits>>(i%32/8*3)&7), i, -1, 0, 1) + 0.125 - float64(bits>>15)/4)
	},
	IQ1_M: func(b []byte, i int) float64 {
		bits, whole := int(b[32+i/16]>>(i%16/8*4)&15), []byte{0, 0}
		for n := range 4 {
			whole[n/2] |= b[49+2*n] >> 4 << (n % 2 * 4)
		}
		scale := float64(2*(int(u16(b[48+i/64*2:]))>>(i%64/16*3)&7) + 1)
		return h(whole) * scale * (point(gridIQ1S, 8, int(b[i/8])+256*(bits&7), i, -1, 0, 1) + 0.125 - float64(bits>>3)/4)
	},
}

// point is a coordinate of a point of a grid.
func point(digits string, width, code, i int, values ...float64) float64 {
	return values[digits[width*code+i%width]-'0']
}

// sign7 is a sign of seven bits: the eighth makes their number even.
func sign7(bits uint32, i int) float64 {
	n := 0
	for k := range 7 {
		n += int(bits >> k & 1)
	}
	if i < 7 {
		n = int(bits >> i & 1)
	}
	return float64(1 - n%2*2)
}

func h(b []byte) float64 { return float64(half(b)) }

// nibble is element i of a block of 32: the low halves come first.
func nibble(b []byte, i int) float64 { return float64(b[i%16] >> (i / 16 * 4) & 15) }

func bit(b []byte, i int) float64 { return float64(u32(b) >> i & 1) }

// TestDecode: every type of blocks gives what its description says, for any bytes.
func TestDecode(t *testing.T) {
	for _, typ := range Types() {
		elements, size := typ.Block()
		oracle := oracles[typ]
		if elements == 1 {
			continue
		}
		if (oracle == nil) == typ.CanDecode() {
			t.Errorf("%s has no test", typ)
			continue
		}
		if oracle == nil {
			continue
		}
		rapid.Check(t, func(t *rapid.T) {
			raw := rapid.SliceOfN(rapid.Byte(), 2*size, 2*size).Draw(t, "bytes")
			y := make([]float32, 2*elements)
			if err := Decode(typ, y, raw); err != nil {
				t.Fatal(err)
			}
			for i, v := range y {
				want := oracle(raw[i/elements*size:], i%elements)
				scale := max(math.Abs(want), 128*64*math.Abs(h(raw[i/elements*size:])), 128*64*math.Abs(h(raw[i/elements*size+2:])))
				if typ != Q4_K && typ != Q5_K && typ != Q4_1 && typ != Q5_1 && typ != Q2_K {
					scale = math.Abs(want) // nothing is taken away from it
				}
				if typ == Q2_K {
					scale = max(math.Abs(want), 64*math.Abs(h(raw[i/elements*size+80:])), 64*math.Abs(h(raw[i/elements*size+82:])))
				}
				if want == want && !math.IsInf(want, 0) && math.Abs(want) < math.MaxFloat32 && !(math.Abs(float64(v)-want) <= scale*0x1p-22+0x1p-149) {
					t.Fatalf("%s: element %d is %v, want %v", typ, i, v, want)
				}
			}
		})
	}
}

// TestDequantised: the values are those that package gguf gives for the same bytes, to the bit; bench/peers/gguf_tables.py wrote them.
func TestDequantised(t *testing.T) {
	text, err := os.ReadFile("testdata/dequantised.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Types map[string]struct{ Bytes, Values []byte }
	}
	if err := json.Unmarshal(text, &file); err != nil || len(file.Types) != 22 {
		t.Fatal(len(file.Types), err)
	}
	for name, c := range file.Types {
		typ, err := ParseType(name)
		if err != nil {
			t.Fatal(err)
		}
		want := make([]float32, len(c.Values)/4)
		decodeF32(want, c.Values)
		got := make([]float32, len(want))
		if err := Decode(typ, got, c.Bytes); err != nil {
			t.Fatal(err)
		}
		for i, v := range got {
			if v != want[i] {
				t.Errorf("%s: element %d is %v, want %v", name, i, v, want[i])
				break
			}
		}
	}
}

// TestPlainTypes: types of single elements.
func TestPlainTypes(t *testing.T) {
	for typ, c := range map[Type]struct {
		raw  string
		want []float32
	}{
		F32: {"0000803f000080ff", []float32{1, float32(math.Inf(-1))}}, F16: {"003c00c001000204ff7b", []float32{1, -2, 0x1p-24, 0x1p-14 + 0x1p-23, 65504}}, BF16: {"803f20c0", []float32{1, -2.5}},
		F64: {"9a9999999999b93f", []float32{0.1}}, I8: {"80ff7f", []float32{-128, -1, 127}}, I16: {"0080ffff", []float32{-32768, -1}}, I32: {"00000080ffffffff", []float32{-1 << 31, -1}},
		I64: {"0000000000000080ffffffffffffffff", []float32{-1 << 63, -1}},
	} {
		raw, err := hex.DecodeString(c.raw)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]float32, len(c.want))
		if err := Decode(typ, got, raw); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v (%v)", typ, got, c.want, err)
		}
		if !typ.CanEncode() || typ == F64 {
			continue
		}
		back := make([]byte, len(raw))
		if err := Encode(typ, back, got); err != nil || hex.EncodeToString(back) != c.raw {
			t.Errorf("%s: %x, want %s (%v)", typ, back, c.raw, err)
		}
	}
}

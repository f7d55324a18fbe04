package weights

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"
)

// TestLoops compares the loops that this machine uses with the plain ones, on all lengths to 70 and on numbers that overflow.
func TestLoops(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for n := range 70 {
		for _, special := range []bool{false, true} {
			values := make([]float32, n)
			for i := range values {
				values[i] = math.Float32frombits(r.Uint32())
				if !special || i%3 > 0 {
					values[i] = float32(r.NormFloat64())
				} else if i%6 == 0 {
					values[i] = math.MaxFloat32
				}
			}
			if got, want := AllFinite(values), allFinitePlain(values); got != want {
				t.Errorf("AllFinite of %v is %v", values, got)
			}
			a, b := make([]byte, 2*n), make([]byte, 2*n)
			if p, q := roundBF16(a, values), roundBF16Plain(b, values); p != q || string(a) != string(b) {
				t.Errorf("roundBF16 of %v differs: %d and %d overflow", values, p, q)
			}
			if p, q := roundFiniteBF16(a, values), roundFiniteBF16Plain(b, values); p&^7 != q&^7 || string(a[:2*p]) != string(b[:2*p]) {
				t.Errorf("of %v %d and %d are rounded", values, p, q)
			}
			roundBF16Plain(a, values)
			x, y := make([]float32, n), make([]float32, n)
			decodeBF16(x, a)
			decodeBF16Plain(y, a)
			for i := range x {
				if math.Float32bits(x[i]) != math.Float32bits(y[i]) {
					t.Errorf("element %d is %v, want %v", i, x[i], y[i])
				}
			}
		}
	}
}

// TestHalves widens and rounds all halves and brings each back.
func TestHalves(t *testing.T) {
	raw, back, value := make([]byte, 2), make([]byte, 2), make([]float32, 1)
	for h := range 1 << 16 {
		binary.LittleEndian.PutUint16(raw, uint16(h))
		Decode(value, "F16", raw)
		sign := 1 - 2*float64(h>>15)
		exponent, fraction := h>>10&31, float64(h&1023)
		want := sign * math.Ldexp(1024+fraction, exponent-25)
		switch {
		case exponent == 0:
			want = sign * math.Ldexp(fraction, -24)
		case exponent == 31 && fraction == 0:
			want = math.Inf(int(sign))
		case exponent == 31:
			want = math.NaN()
		}
		if float64(value[0]) != want && !(math.IsNaN(want) && math.IsNaN(float64(value[0]))) {
			t.Fatalf("half %#x is %v, want %v", h, value[0], want)
		}
		if math.IsNaN(want) {
			continue
		}
		if _, err := Round(back, "F16", value); err != nil || string(back) != string(raw) {
			t.Fatalf("half %#x comes back as %x, %v", h, back, err)
		}
	}
}

package modelformats

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/papers/paper/papertest"
)

func TestGolden(t *testing.T) {
	papertest.Golden(t, "model-formats", func(*engine.Engine) []golden.Kind { return roundingKinds() }, onnxKinds)
}

// roundingKinds tests the rounding of values to narrower types.
func roundingKinds() []golden.Kind {
	return []golden.Kind{{
		Name:  "bfloat16",
		Match: func(c *golden.Case) bool { return c.Has("inputs.f32_bits", "outputs.bf16_bits") },
		Run:   goldenBF16,
	}}
}

func goldenBF16(t golden.T, c *golden.Case) {
	c.Params(&struct{}{})
	bits, want := c.Tensor("inputs.f32_bits"), c.Tensor("outputs.bf16_bits")
	if len(bits.Data) != len(want.Data) {
		t.Fatalf("%d values in, %d out", len(bits.Data), len(want.Data))
	}
	values := make([]float32, len(bits.Data))
	for i, b := range bits.Data {
		values[i] = math.Float32frombits(uint32(b))
	}
	if c.Has("inputs.f32") { // the same values as numbers
		var numbers []json.RawMessage
		c.Decode("inputs.f32", &numbers)
		for i, raw := range numbers {
			v, err := golden.Number(raw)
			if err != nil || i >= len(values) {
				t.Fatalf("inputs.f32[%d] is %s (%v)", i, raw, err)
			}
			if float32(v) != values[i] && (v == v || values[i] == values[i]) {
				t.Errorf("value %d is %v, its bits are %v", i, v, values[i])
			}
		}
	}
	raw := make([]byte, 2*len(values))
	if _, err := weights.Round(raw, "BF16", values); err != nil {
		t.Fatalf("%v", err)
	}
	// Bits are right or wrong: the tolerance of the file does not apply.
	for i, w := range want.Data {
		if got := uint16(raw[2*i]) | uint16(raw[2*i+1])<<8; got != uint16(w) {
			t.Errorf("bf16_bits[%d] of %v is %#04x, want %#04x", i, values[i], got, uint16(w))
		}
	}
	c.Compared("bf16_bits")
	// The rule in words, for every NaN whose top bits differ.
	for top := range uint32(1 << 7) {
		for _, low := range []uint32{0, 1, 0xffff} {
			for _, sign := range []uint32{0, 1 << 31} {
				b := sign | 0x7f800000 | top<<16 | low
				if v := math.Float32frombits(b); v != v {
					if got := weights.BF16(v); got != uint16(b>>16)|0x40 {
						t.Errorf("NaN %#08x is %#04x, want its sign and top bits with the quiet bit", b, got)
					}
				}
			}
		}
	}
	c.Compared("nan_rule")
}

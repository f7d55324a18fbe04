package weights

import (
	"math"
	"reflect"
	"strings"
	"testing"
)

// Values of GGUF go through text and come back with their types.
func TestCarry(t *testing.T) {
	for _, v := range []any{uint8(7), int8(-7), uint16(7), int16(-7), uint32(7), int32(-7), uint64(math.MaxUint64), int64(math.MinInt64), float32(0.1), 0.1, true, "a \"b\" é\x00",
		math.Inf(-1), float32(math.Inf(1)), []uint8{1}, []int8{-1}, []uint16{1}, []int16{-1}, []uint32{1}, []int32{1, -2}, []uint64{1}, []int64{-1}, []float32{0.1, 2}, []float64{0.1}, []bool{true, false},
		[]string{"a", ""}, []string{}} {
		text, ok := Carry(v)
		if got := Uncarry(text); !ok || !reflect.DeepEqual(got, v) {
			t.Errorf("%T %v becomes %s and %T %v", v, v, text, got, got)
		}
	}
	if text, ok := Carry("\xff"); ok {
		t.Errorf("what is not UTF-8 is carried as %s", text)
	}
	for _, text := range []string{"", "x", `{"type":"u8","value":300}`, `{"type":"array of u8","value":[1,"x"]}`, `{"type":"array of array","value":[]}`, `{"type":"u32","value":-1}`} {
		if v := Uncarry(text); v != nil {
			t.Errorf("%s is %v", text, v)
		}
	}
}

// Arrays longer than any model has are not carried, neither way.
func TestCarryRefusesLongArrays(t *testing.T) {
	if _, ok := Carry(make([]uint8, maxCarried)); !ok {
		t.Error("the longest array is not carried")
	}
	if _, ok := Carry(make([]uint8, maxCarried+1)); ok {
		t.Error("a longer array is carried")
	}
	if v := Uncarry(`{"type":"array of u8","value":[` + strings.Repeat("1,", maxCarried) + `1]}`); v != nil {
		t.Error("a longer array comes back")
	}
}

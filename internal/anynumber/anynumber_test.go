package anynumber_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/ballast-ml/ballast/internal/anynumber"
)

type base struct {
	A float64 `json:"a"`
	B float64 `json:"b,omitempty"`
}

type all struct {
	base
	*Lent
	A     string             `json:"a"`
	F     float32            `json:"f"`
	L     []float64          `json:"l"`
	None  []float64          `json:"none"`
	Left  []float64          `json:"left,omitempty"`
	M     map[string]float64 `json:"m"`
	When  time.Time          `json:"when"`
	Zero  time.Time          `json:"zero,omitzero"`
	Raw   json.RawMessage    `json:"raw"`
	Bytes []byte             `json:"bytes"`
	P     *float64           `json:"p"`
	Any   any                `json:"any"`
	Text  string             `json:"text"`
	Skip  float64            `json:"-"`
	inner float64
	Plain int
	Pair  [2]float64 `json:"pair"`
}

// Lent lends its field.
type Lent struct {
	Given float64 `json:"given"`
}

func value(f float64) all {
	return all{
		base: base{A: 1}, Lent: &Lent{Given: f}, A: "a", F: float32(f), L: []float64{1, f}, M: map[string]float64{"z": f, "y": 2}, When: time.Unix(0, 0).UTC(), Raw: json.RawMessage(`{"x":1}`),
		Bytes: []byte("ab"), P: &f, Any: []any{f, "t", nil, map[string]any{"k": f}}, Text: "<&>", inner: 1, Pair: [2]float64{f, 0},
	}
}

func TestMarshal(t *testing.T) {
	// Without such floats it is encoding/json, and the walk that takes its place writes the same.
	want, err := json.Marshal(value(0.5))
	if err != nil {
		t.Fatal(err)
	}
	for f, name := range map[float64]string{math.Inf(1): `"Infinity"`, math.Inf(-1): `"-Infinity"`, math.NaN(): `"NaN"`} {
		got, err := anynumber.Marshal(value(f))
		if err != nil {
			t.Fatal(err)
		}
		expected := string(replaced(t, want, name))
		if string(got) != expected {
			t.Errorf("got  %s\nwant %s", got, expected)
		}
	}
	if got, err := anynumber.Marshal(value(0.5)); err != nil || string(got) != string(want) {
		t.Errorf("got %s, %v", got, err)
	}
	if _, err := anynumber.Marshal(map[string]any{"f": func() {}}); err == nil {
		t.Error("a function was written")
	}
}

// replaced puts another value where a number is 0.5.
func replaced(t *testing.T, text []byte, name string) []byte {
	t.Helper()
	out := []byte{}
	for i := 0; i < len(text); i++ {
		if i+3 <= len(text) && string(text[i:i+3]) == "0.5" {
			out, i = append(out, name...), i+2
			continue
		}
		out = append(out, text[i])
	}
	return out
}

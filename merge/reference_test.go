package merge_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/merge"
)

// TestReference compares methods with numbers that bench/peers/merge_reference.py has computed from their formulas in float64: each value within
// one step of float32.
func TestReference(t *testing.T) {
	decode := map[string]func(parameters json.RawMessage) (merge.Method, error){
		"sce":          decoder(merge.NewSCE()),
		"ram":          decoder(merge.NewRAM()),
		"ramplus_tl":   decoder(merge.NewRAMPlus()),
		"arcee_fusion": decoder(merge.NewArceeFusion()),
	}
	for name, method := range decode {
		text, err := os.ReadFile(filepath.Join("testdata", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var cases []struct {
			Parameters json.RawMessage `json:"parameters"`
			Shape      []int           `json:"shape"`
			Base       []float32       `json:"base"`
			Models     [][]float32     `json:"models"`
			Merged     []float64       `json:"merged"`
		}
		if err := json.Unmarshal(text, &cases); err != nil || len(cases) < 5 {
			t.Fatalf("%s: %d cases, %v", name, len(cases), err)
		}

		for i, c := range cases {
			m, err := method(c.Parameters)
			if err != nil {
				t.Fatal(err)
			}
			got, err := merge.Values(m, merge.Target{Name: "w", Shape: c.Shape}, c.Base, c.Models)
			if err != nil {
				t.Fatalf("%s %d: %v", name, i, err)
			}
			for k, want := range c.Merged {
				if e := math.Abs(float64(got[k]) - want); !(e <= math.Abs(want)*math.Pow(2, -23)) {
					t.Errorf("%s %d %s: element %d is %v, want %v", name, i, c.Parameters, k, got[k], want)
				}
			}
		}
	}
}

// decoder reads parameters onto the defaults of a method.
func decoder[M merge.Method](m M) func(json.RawMessage) (merge.Method, error) {
	return func(parameters json.RawMessage) (merge.Method, error) {
		out := m
		err := strict.Decode(parameters, &out)
		return out, err
	}
}

package strict_test

import (
	"math"
	"testing"

	"github.com/ballast-ml/ballast/internal/strict"
)

func TestNumber(t *testing.T) {
	for text, want := range map[string]any{
		"0": int64(0), "1_000": int64(1000), "+1": int64(1), "-7": int64(-7), "007": int64(7), "010": int64(10), "08": int64(8), "0x10": int64(16), "0o17": int64(15),
		"0b101": int64(5), "-0x10": int64(-16), "9223372036854775807": int64(math.MaxInt64), "18446744073709551615": uint64(math.MaxUint64),
		"99999999999999999999": 1e20, "1.5": 1.5, ".5": 0.5, "5.": 5.0, "1e-3": 1e-3, "1E3": 1e3, "-.5e2": -50.0, "1_0.2_5": 10.25, ".inf": math.Inf(1), "-.INF": math.Inf(-1),
	} {
		if got, ok := strict.Number(text); !ok || got != want {
			t.Errorf("%s is read as %v (%T), want %v", text, got, got, want)
		}
	}
	for _, text := range []string{"", ".", "+", "-", "e5", "1e", "1.2.3", "2024-01-01", "12:30", "0x", "0xg", "_1", "1e400", "inf", "nan", "yes", "1a", "--1"} {
		if got, ok := strict.Number(text); ok {
			t.Errorf("%q is read as the number %v", text, got)
		}
	}
	if got, ok := strict.Number(".NaN"); !ok || !math.IsNaN(got.(float64)) {
		t.Errorf(".NaN is read as %v", got)
	}
}

// TestSettingsKeepText: a plain scalar is its text where text is wanted, whatever it looks like, and a number where one is wanted.
func TestSettingsKeepText(t *testing.T) {
	type under struct {
		Name string  `json:"name"`
		Rate float64 `json:"rate"`
	}
	for _, text := range []string{"1.10", "007", "0x10", "1_000", "67217e15", "+1", ".5", "true", "False", ".inf", "2024-01-01", "1e400", "010"} {
		var got struct {
			Name  string            `json:"name"`
			List  []string          `json:"list"`
			Table map[string]string `json:"table"`
			Under *under            `json:"under"`
			under
		}
		doc := "name: " + text + "\nlist: [a, " + text + "]\ntable: {k: " + text + "}\nunder:\n  name: &x " + text + "\n"
		if err := strict.DecodeYAML([]byte(doc), &got); err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got.Name != text || got.List[1] != text || got.Table["k"] != text || got.Under.Name != text {
			t.Errorf("%s is read as %+v, %+v", text, got, got.Under)
		}
	}

	var got under
	for text, want := range map[string]float64{"010": 10, "08": 8, "1_000": 1000, "0x10": 16, ".5": 0.5, "+1": 1, "1e-3": 1e-3, "inf": math.Inf(1), "-.inf": math.Inf(-1)} {
		if err := strict.DecodeYAML([]byte("rate: "+text), &got); err != nil || got.Rate != want {
			t.Errorf("rate: %s is read as %v (%v), want %v", text, got.Rate, err, want)
		}
	}
	for doc, want := range map[string]string{
		"name: \"\\0word:5\"": "\x00word:5", "name: \"\\0text:5\"": "\x00text:5", "name: '5'": "5", "name: !!str 5": "5", "name: yes": "yes",
	} {
		if err := strict.DecodeYAML([]byte(doc), &got); err != nil || got.Name != want {
			t.Errorf("%q is read as %q (%v), want %q", doc, got.Name, err, want)
		}
	}
	m, err := strict.YAML([]byte("a: 1.10\nb: [010, true]\n"))
	if err != nil || m["a"] != 1.10 || m["b"].([]any)[0] != int64(10) || m["b"].([]any)[1] != true {
		t.Errorf("YAML gives %v, %v", m, err)
	}
}

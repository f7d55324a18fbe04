package hf

import (
	"encoding/json"
	"strings"
	"testing"
)

// Every place where Python writes a number may hold one that JSON has none for; within a string the words are text.
func TestPythonNumbers(t *testing.T) {
	for text, changed := range map[string]bool{
		`{"a": Infinity}`: true, `{"a": -Infinity, "b": 1}`: true, `{"a":NaN}`: true, `[NaN,Infinity,-Infinity]`: true,
		`{"a": {"b": [0.0, Infinity]}}`: true, "{\n  \"a\": NaN\n}\n": true, `{"Infinity": "NaN", "b": "say \"NaN\" or -Infinity"}`: false,
		`{"a": -1.5, "b": null}`: false, `{"a": "\\", "b": NaN}`: true, `{}`: false,
	} {
		standard := Standard([]byte(text))
		if !json.Valid(standard) {
			t.Errorf("%s becomes %s", text, standard)
		}
		if (string(standard) != text) != changed {
			t.Errorf("%s becomes %s", text, standard)
		}
		if back := string(Restore(standard)); back != text {
			t.Errorf("%s comes back as %s", text, back)
		}
	}

	c, err := ParseConfig([]byte(`{"model_type": "mamba2", "time_step_limit": [0.0, Infinity], "x": NaN, "torch_dtype": "float32"}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(c.Keys["time_step_limit"]); got != "[0.0, Infinity]" || c.DType != "float32" {
		t.Errorf("got %s, %s", got, c.DType)
	}
	// A number that the network needs must be one.
	_, err = ParseConfig([]byte(`{"model_type": "llama", "hidden_size": 8, "num_attention_heads": 2, "rope_theta": Infinity}`))
	if err == nil || !strings.Contains(err.Error(), "rope_theta") {
		t.Errorf("got %v", err)
	}
	if _, err := ParseConfig([]byte(`{"model_type": Infinities}`)); err == nil {
		t.Error("a word beyond Infinity is read")
	}
}

// A member goes with its comma, wherever it stands; all else stays byte for byte.
func TestWithoutKeys(t *testing.T) {
	for text, want := range map[string]string{
		`{"a": 1, "q": {"b": 2}, "c": 3}`:                   `{"a": 1, "c": 3}`,
		`{"q": 1, "c": 3}`:                                  `{ "c": 3}`,
		"{\n  \"a\": NaN,\n  \"q\": [1, 2]\n}\n":            "{\n  \"a\": NaN\n}\n",
		`{"q": 1}`:                                          `{}`,
		`{"text": {"q": {}, "n": -Infinity}, "x": "q, \""}`: `{"text": { "n": -Infinity}, "x": "q, \""}`,
		`{"a": [{"q": 1}], "b": "q"}`:                       `{"a": [{"q": 1}], "b": "q"}`,
		`[1, 2]`:                                            `[1, 2]`,
		`{"a": 1`:                                           `{"a": 1`,
	} {
		if got := string(WithoutKeys([]byte(text), "q")); got != want {
			t.Errorf("%s becomes %s, want %s", text, got, want)
		}
	}
}

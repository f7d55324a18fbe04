package hf

import (
	"slices"
	"testing"
)

func TestTyped(t *testing.T) {
	for name, c := range map[string]struct {
		text, dtype, want string
		dropped           []string
	}{
		"newer key":      {`{"dtype": "float32", "eps": 1e-12}`, "float16", "{\n  \"dtype\": \"float16\",\n  \"eps\": 1e-12\n}\n", nil},
		"older key":      {`{"torch_dtype": "bfloat16"}`, "float32", "{\n  \"torch_dtype\": \"float32\"\n}\n", nil},
		"no key":         {`{"model_type": "bert"}`, "float32", `{"model_type": "bert"}`, nil},
		"null":           {`{"dtype": null}`, "float32", `{"dtype": null}`, nil},
		"the same":       {`{ "dtype":"float16" }`, "float16", `{ "dtype":"float16" }`, nil},
		"left as it is":  {`{"dtype": "float16"}`, "", `{"dtype": "float16"}`, nil},
		"Python's words": {`{"dtype": "float32", "most": Infinity}`, "float64", "{\n  \"dtype\": \"float64\",\n  \"most\": Infinity\n}\n", nil},
		"parts": {`{"text_config": {"dtype": "bfloat16"}, "id2label": {"dtype": "bfloat16"}}`, "float32",
			"{\n  \"id2label\": {\n    \"dtype\": \"bfloat16\"\n  },\n  \"text_config\": {\n    \"dtype\": \"float32\"\n  }\n}\n", nil},
		"quantised": {`{"quantization_config": {"quant_method": "fp8"}, "a_config": {"compression_config": {}, "x": 1}}`, "", "{\n  \"a_config\": {\n    \"x\": 1\n  }\n}\n",
			[]string{"a_config.compression_config", "quantization_config"}},
	} {
		got, dropped, err := Typed([]byte(c.text), c.dtype)
		if err != nil || string(got) != c.want || !slices.Equal(dropped, c.dropped) {
			t.Errorf("%s: got %s, without %v (%v), want %s", name, got, dropped, err, c.want)
		}
	}
	for _, text := range []string{"[]", "{", ""} {
		if _, _, err := Typed([]byte(text), "float16"); err == nil {
			t.Errorf("%q is taken for a config", text)
		}
	}
}

package gguf

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/ballast-ml/ballast/format/gguf"
	"github.com/ballast-ml/ballast/internal/golden"
)

func TestGolden(t *testing.T) { golden.Run(t, "gguf", kinds()...) }

// kinds tests the reader of GGUF, and the writer by what it makes of a file that was read.
func kinds() []golden.Kind {
	return []golden.Kind{{
		Name:  "GGUF",
		Match: func(c *golden.Case) bool { return c.Has("inputs.file_base64") },
		Run:   goldenGGUF,
	}}
}

func goldenGGUF(t golden.T, c *golden.Case) {
	p := struct {
		Format string `json:"format"`
	}{}
	c.Params(&p)
	if p.Format != "gguf" {
		t.Fatalf("format is %q", p.Format)
	}
	var content []byte
	c.Decode("inputs.file_base64", &content)
	f, err := gguf.Parse(content)
	verdict := "ok"
	if err != nil {
		verdict = "error"
		var typed *gguf.Error
		if !errors.As(err, &typed) || !typed.BadInput() {
			t.Errorf("the error has no type: %v", err)
		}
	}
	c.GotJSON("expect", verdict)
	c.Compared("reason") // words for people
	if err != nil {
		return
	}
	c.GotJSON("version", f.Version())
	metadata := map[string]any{}
	for key, value := range f.All() {
		info, _ := f.ValueInfo(key)
		typ := info.Type.String()
		if info.Type == gguf.Array {
			typ = "array<" + info.Elem.String() + ">"
		}
		metadata[key] = map[string]any{"type": typ, "value": goldenValue(value)}
	}
	c.GotJSON("metadata", metadata)
	compareGGUF(t, c, f)
}

// compareGGUF compares tensors whose values may be NaN or infinite, which JSON cannot hold.
func compareGGUF(t golden.T, c *golden.Case, f *gguf.File) {
	var want map[string]struct {
		Type   string            `json:"type"`
		Dims   []int             `json:"gguf_dims"`
		Shape  []int             `json:"row_major_shape"`
		Values []json.RawMessage `json:"values_row_major"`
	}
	c.Decode("outputs.tensors", &want)
	c.Compared("tensors")
	if len(want) != len(f.Names()) {
		t.Errorf("tensors %v, want %d", f.Names(), len(want))
	}
	for name, w := range want {
		info, ok := f.Info(name)
		dims := slices.Clone(info.Shape)
		slices.Reverse(dims)
		if !ok || info.Type.String() != w.Type || !slices.Equal(info.Shape, w.Shape) || !slices.Equal(dims, w.Dims) || info.Elements != len(w.Values) {
			t.Errorf("tensor %s is %s %v, want %s %v of %d values", name, info.Type, info.Shape, w.Type, w.Shape, len(w.Values))
			continue
		}
		values := make([]float32, info.Elements)
		if err := f.ReadFloat32s(name, 0, values); err != nil {
			t.Fatalf("%v", err)
		}
		for i, raw := range w.Values {
			v, err := golden.Number(raw)
			if err != nil || !c.Near(float64(values[i]), v) {
				t.Errorf("tensor %s[%d] is %v, want %s", name, i, values[i], raw)
			}
		}
	}
}

// goldenValue writes whole numbers of 64 bits as text, as the cases do.
func goldenValue(v any) any {
	switch v := v.(type) {
	case uint64:
		return strconv.FormatUint(v, 10)
	case int64:
		return strconv.FormatInt(v, 10)
	case []uint64:
		return texts(v)
	case []int64:
		return texts(v)
	case []uint8: // which JSON would write as text
		out := make([]int, len(v))
		for i := range v {
			out[i] = int(v[i])
		}
		return out
	case float32:
		return jsonFloats([]float32{v})[0]
	case []float32:
		return jsonFloats(v)
	case float64:
		return jsonFloats([]float64{v})[0]
	case []float64:
		return jsonFloats(v)
	}
	return v
}

func texts[T any](v []T) []string {
	out := make([]string, len(v))
	for i := range v {
		out[i] = fmt.Sprint(v[i])
	}
	return out
}

// jsonFloats writes what JSON has no numbers for as text.
func jsonFloats[F float32 | float64](v []F) []any {
	out := make([]any, len(v))
	for i, x := range v {
		if out[i] = float64(x); x-x != 0 {
			out[i] = fmt.Sprint(x)
		}
	}
	return out
}

package safetensors

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/internal/golden"
)

func TestGolden(t *testing.T) { golden.Run(t, "safetensors", kinds()...) }

// kinds tests the reader and the writer of safetensors.
func kinds() []golden.Kind {
	return []golden.Kind{
		{Name: "one file", Match: func(c *golden.Case) bool { return c.Has("inputs.file_base64") }, Run: goldenTensorFile},
		{Name: "shards", Match: func(c *golden.Case) bool { return c.Has("inputs.index_json") }, Run: goldenShards},
		{Name: "writer", Match: func(c *golden.Case) bool { return c.Has("inputs.tensors") }, Run: goldenTensorWriter},
	}
}

type formatParams struct {
	Format string `json:"format"`
}

func goldenTensorFile(t golden.T, c *golden.Case) {
	p := formatParams{}
	c.Params(&p)
	if p.Format != "safetensors" {
		t.Fatalf("format is %q", p.Format)
	}
	var content []byte
	c.Decode("inputs.file_base64", &content)
	f, err := safetensors.Parse(content)
	verdict, reference := "ok", "ok"
	if err != nil {
		verdict = "error"
		var typed *safetensors.Error
		if !errors.As(err, &typed) {
			t.Errorf("the error has no type: %v", err)
		} else {
			reference = safetensors.Reference(typed)
		}
	}
	c.GotJSON("expect", verdict)
	c.GotJSON("reference_verdict", reference)
	c.Compared("reason") // words for people
	c.Compared("policy")
	if err != nil {
		return
	}
	got := map[string]any{}
	for _, name := range f.Names() {
		info, _ := f.Info(name)
		values, err := f.Float64s(name)
		if err != nil {
			t.Fatalf("%v", err)
		}
		got[name] = map[string]any{"dtype": info.DType, "shape": append([]int{}, info.Shape...), "values": values}
	}
	compareTensors(t, c, got)
	c.GotJSON("metadata", f.Metadata())
}

// compareTensors compares tensors whose values may be NaN or infinite, which JSON cannot hold.
func compareTensors(t golden.T, c *golden.Case, got map[string]any) {
	var want map[string]struct {
		DType  string            `json:"dtype"`
		Shape  []int             `json:"shape"`
		Values []json.RawMessage `json:"values"`
	}
	c.Decode("outputs.tensors", &want)
	c.Compared("tensors")
	if len(want) != len(got) {
		t.Errorf("%d tensors, want %d", len(got), len(want))
	}
	for name, w := range want {
		g, ok := got[name].(map[string]any)
		if !ok {
			t.Errorf("tensor %s is missing", name)
			continue
		}
		values := g["values"].([]float64)
		head, err := json.Marshal([]any{g["dtype"], g["shape"]})
		wantHead, err2 := json.Marshal([]any{w.DType, w.Shape})
		if err != nil || err2 != nil || string(head) != string(wantHead) || len(values) != len(w.Values) {
			t.Errorf("tensor %s is %s with %d values, want %s with %d", name, head, len(values), wantHead, len(w.Values))
			continue
		}
		for i, raw := range w.Values {
			v, err := golden.Number(raw)
			if err != nil || !c.Near(values[i], v) {
				t.Errorf("tensor %s[%d] is %v, want %s", name, i, values[i], raw)
			}
		}
	}
}

func goldenShards(t golden.T, c *golden.Case) {
	p := formatParams{}
	c.Params(&p)
	if p.Format != "safetensors-sharded" {
		t.Fatalf("format is %q", p.Format)
	}
	dir, err := os.MkdirTemp("", "ballast-golden-")
	if err != nil {
		t.Fatalf("%v", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a folder for temporary files
	var index string
	files := map[string][]byte{}
	c.Decode("inputs.index_json", &index)
	c.Decode("inputs.files_base64", &files)
	files["model.safetensors.index.json"] = []byte(index)
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), content, 0o644); err != nil {
			t.Fatalf("%v", err)
		}
	}
	got := map[string]any{"verdict": "ok"}
	m, err := safetensors.OpenSharded(dir)
	if err != nil {
		got["verdict"] = "error"
	} else {
		tensors := map[string][]float64{}
		for _, name := range m.Names() {
			if tensors[name], err = m.Float64s(name); err != nil {
				t.Fatalf("%v", err)
			}
		}
		got["tensors"] = tensors
		for _, w := range m.Warnings {
			got["warning"] = w.Field
		}
		if err := m.Close(); err != nil {
			t.Errorf("%v", err)
		}
	}
	c.GotJSON("expect", got)
	c.Compared("reason")
}

func goldenTensorWriter(t golden.T, c *golden.Case) {
	c.Params(&formatParams{})
	var in map[string]struct {
		DType safetensors.DType `json:"dtype"`
		Shape []int             `json:"shape"`
		Hex   string            `json:"hex"`
	}
	var metadata map[string]string
	c.Decode("inputs.tensors", &in)
	c.Decode("inputs.metadata", &metadata)
	var list []safetensors.Tensor
	for name, tensor := range in { // in any order: the writer orders them
		data, err := hex.DecodeString(tensor.Hex)
		if err != nil {
			t.Fatalf("%v", err)
		}
		list = append(list, safetensors.Tensor{Name: name, DType: tensor.DType, Shape: tensor.Shape, Data: data})
	}
	var file bytes.Buffer
	if err := safetensors.Write(&file, list, metadata); err != nil {
		t.Fatalf("%v", err)
	}
	c.GotJSON("file_base64", base64.StdEncoding.EncodeToString(file.Bytes()))
}

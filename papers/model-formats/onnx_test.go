package modelformats

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/onnxrun"
)

// onnxKinds runs models that files hold, or sees them refused.
func onnxKinds(e *engine.Engine) []golden.Kind {
	is := func(c *golden.Case) bool {
		var format string
		if !c.Has("params.format", "inputs.file_base64") {
			return false
		}
		c.Decode("params.format", &format)
		return format == "onnx"
	}
	return []golden.Kind{{
		Name:  "onnx refused",
		Match: func(c *golden.Case) bool { return is(c) && c.Has("outputs.expect") },
		Run:   onnxRefused,
	}, {
		Name:  "onnx run",
		Match: func(c *golden.Case) bool { return is(c) && !c.Has("outputs.expect") },
		Run:   func(t golden.T, c *golden.Case) { onnxRun(t, c, e) },
	}}
}

func onnxModel(t golden.T, c *golden.Case) (*onnx.Model, error) {
	c.Params(&struct {
		Format string `json:"format"`
		Opset  int    `json:"opset"`
	}{})
	var text string
	c.Decode("inputs.file_base64", &text)
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatalf("%v", err)
	}
	dir, err := os.MkdirTemp("", "onnx")
	if err != nil {
		t.Fatalf("%v", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	path := filepath.Join(dir, "model.onnx")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatalf("%v", err)
	}
	return onnx.Open(path)
}

func onnxRefused(t golden.T, c *golden.Case) {
	var expect, reason string
	c.Decode("outputs.expect", &expect)
	if c.Has("outputs.reason") {
		c.Decode("outputs.reason", &reason)
	}
	_, err := onnxModel(t, c)
	var bad interface{ BadInput() bool }
	if expect == "error" && (!errors.As(err, &bad) || !bad.BadInput()) || expect != "error" && err != nil {
		t.Errorf("got %v, want %s: %s", err, expect, reason)
	}
	c.Compared("expect")
	c.Compared("reason")
}

func onnxRun(t golden.T, c *golden.Case, e *engine.Engine) {
	m, err := onnxModel(t, c)
	if err != nil {
		t.Fatalf("%v", err)
	}
	net, err := onnxrun.New(m)
	if err != nil {
		t.Fatalf("%v", err)
	}
	inputs := map[string]*tensors.Tensor{}
	for _, v := range net.Inputs() {
		key := "inputs." + v.Name
		if !c.Has(key) {
			key += "_nchw"
		}
		x := c.Tensor(key)
		values := make([]float32, len(x.Data))
		for i, d := range x.Data {
			values[i] = float32(d)
		}
		inputs[v.Name] = tensors.FromFlatDataAndDimensions(values, x.Shape...)
	}
	outputs, err := net.Run(e, inputs)
	if err != nil {
		t.Fatalf("%v", err)
	}
	for name, y := range outputs {
		flat := tensors.MustCopyFlatData[float32](y)
		wide := make([]float64, len(flat))
		for i, v := range flat {
			wide[i] = float64(v)
		}
		c.Got(name, y.Shape().Dimensions, wide)
	}
}

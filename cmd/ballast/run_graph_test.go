package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/ballast-ml/ballast/format/npy"
)

// An ONNX graph that others wrote gives the outputs that they measured.
func TestRunGraph(t *testing.T) {
	for _, name := range []string{"onnx_mlp"} {
		text, err := os.ReadFile("../../papers/model-formats/testdata/golden/model-formats/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		type array struct {
			Shape []int
			Data  []float32
		}
		var c struct {
			Inputs struct {
				File []byte `json:"file_base64"`
				X    array
			}
			Outputs struct{ Y array }
		}
		if err := json.Unmarshal(text, &c); err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		model, x, y := filepath.Join(dir, "m.onnx"), filepath.Join(dir, "x.npy"), filepath.Join(dir, "y.npz")
		if err := os.WriteFile(model, c.Inputs.File, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := npy.WriteFile(x, c.Inputs.X.Shape, c.Inputs.X.Data); err != nil {
			t.Fatal(err)
		}
		var out, errs bytes.Buffer
		run := func(args ...string) int {
			a := &app{out: &out, err: &errs}
			root := newRoot(a)
			root.SetArgs(args)
			return exitCode(t.Context(), a, root.ExecuteContext(t.Context()))
		}
		if code := run("run", model, "--input", x, "--output", y, "--engine", "go"); code != 0 {
			t.Fatalf("%s: exit code %d: %s", name, code, errs.String())
		}
		a, err := npy.OpenArchive(y)
		if err != nil {
			t.Fatal(err)
		}
		got, err := a.Array(a.Names()[0]).Float32s()
		if err != nil || len(got) != len(c.Outputs.Y.Data) {
			t.Fatalf("%s: %v (%v)", name, got, err)
		}
		for i, want := range c.Outputs.Y.Data {
			if math.Abs(float64(got[i]-want)) > 1e-5 {
				t.Errorf("%s: y[%d] is %v, want %v", name, i, got[i], want)
			}
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		if code := run("inspect", model); code != 0 || !bytes.Contains(out.Bytes(), []byte("kind          onnx")) || !bytes.Contains(out.Bytes(), []byte("runs          yes")) {
			t.Errorf("%s: %d %s%s", name, code, out.String(), errs.String())
		}
		if code := run("run", model, "--input", "z="+x, "--output", y, "--overwrite", "--engine", "go"); code != exitBadInput {
			t.Errorf("%s: exit code %d: %s", name, code, errs.String())
		}
	}
}

package onnxrun

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/internal/onnxtest"
)

// sampled is how many models of ONNX's node tests pass by for each one that is run on every engine: XLA takes a tenth of a second
// to compile a model.
const sampled = 10

// TestEngines holds engines against each other: what the Go engine computes as ONNX's own tests have it, each engine does.
func TestEngines(t *testing.T) {
	root := needTestdata(t)
	host, err := engine.Open(engine.KindGo)
	if err != nil {
		t.Fatal(err)
	}
	var dirs []string
	for group, step := range map[string]int{"node": sampled, "pytorch-operator": 1} {
		files, err := filepath.Glob(filepath.Join(root, group, "*", "model.onnx"))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(files); i += step {
			if dir := filepath.Dir(files[i]); runCase(t, host, dir) == nil {
				dirs = append(dirs, dir)
			}
		}
	}
	if len(dirs) < 50 {
		t.Fatalf("%d models pass on the Go engine", len(dirs))
	}
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		wrong := 0
		for _, dir := range dirs {
			if err := runCase(t, e, dir); err != nil {
				t.Errorf("%s: %.300v", filepath.Base(dir), err)
				wrong++
			}
		}
		t.Logf("%d of %d", len(dirs)-wrong, len(dirs))
	})
}

// Values without elements keep their shapes, whatever the engine makes of empty constants.
func TestEmpty(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		o, err := graphOf(t, onnxtest.Model{
			Opset: 13,
			Tensors: []onnxtest.Tensor{
				onnxtest.Ints("start", []int{1}, 9), onnxtest.Ints("end", []int{1}, 20), onnxtest.Ints("axis", []int{1}, 0), onnxtest.Floats("none", []int{0, 3}),
			},
			Inputs:  []onnxtest.Value{{Name: "x", Type: onnxtest.Float, Shape: []any{"n", "m"}}},
			Outputs: []onnxtest.Value{{Name: "y", Type: onnxtest.Float}, {Name: "z", Type: onnxtest.Float}},
			Nodes: []onnxtest.Node{
				{Op: "Slice", Inputs: []string{"x", "start", "end", "axis"}, Outputs: []string{"y"}},
				{Op: "Concat", Inputs: []string{"y", "none"}, Outputs: []string{"z"}, Attributes: map[string]any{"axis": 1}},
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		out, err := o.Run(e, map[string]*tensors.Tensor{"x": tensors.FromFlatDataAndDimensions(arange(10), 5, 2)})
		if err != nil {
			t.Fatal(err)
		}
		if y, z := out["y"].Shape().Dimensions, out["z"].Shape().Dimensions; !slices.Equal(y, []int{0, 2}) || !slices.Equal(z, []int{0, 5}) {
			t.Errorf("shapes %v and %v, want [0 2] and [0 5]", y, z)
		}
	})
}

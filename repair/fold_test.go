package repair_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/internal/onnxtest"
	"github.com/ballast-ml/ballast/repair"
)

// behind is a model of one input with some nodes and a norm behind the value h.
func behind(t *testing.T, dims []any, channels int, tensors []onnxtest.Tensor, nodes ...onnxtest.Node) *onnx.Model {
	t.Helper()
	node, weights := norm("n", "h", "y", channels, 80)
	return open(t, onnxtest.Model{
		Opset: 17, Nodes: append(nodes, node), Tensors: append(tensors, weights...),
		Inputs:  []onnxtest.Value{{Name: "x", Type: onnxtest.Float, Shape: dims}},
		Outputs: []onnxtest.Value{{Name: "y", Type: onnxtest.Float, Shape: nil}},
	})
}

// Every layer that a norm can be folded into gives the same answers without it, and nothing of the norm is left.
func TestFold(t *testing.T) {
	weights := func(name string, dims ...int) onnxtest.Tensor {
		n := 1
		for _, d := range dims {
			n *= d
		}
		return onnxtest.Floats(name, dims, random(n, 0, 0.5, uint64(n))...)
	}
	node := func(op string, inputs []string, out string, attributes map[string]any) onnxtest.Node {
		return onnxtest.Node{Op: op, Inputs: inputs, Outputs: []string{out}, Attributes: attributes}
	}
	image, flat := []any{"n", 4, 5, 5}, []any{"n", 6}
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		for name, c := range map[string]struct {
			m    *onnx.Model
			left string // last operator
		}{
			"Conv":                  {behind(t, image, 3, []onnxtest.Tensor{weights("w", 3, 4, 3, 3)}, node("Conv", []string{"x", "w"}, "h", nil)), "Conv"},
			"Conv with a bias":      {behind(t, image, 3, []onnxtest.Tensor{weights("w", 3, 4, 3, 3), weights("b", 3)}, node("Conv", []string{"x", "w", "b"}, "h", nil)), "Conv"},
			"Conv of groups":        {behind(t, image, 8, []onnxtest.Tensor{weights("w", 8, 2, 3, 3)}, node("Conv", []string{"x", "w"}, "h", map[string]any{"group": 2})), "Conv"},
			"ConvTranspose":         {behind(t, image, 3, []onnxtest.Tensor{weights("w", 4, 3, 2, 2)}, node("ConvTranspose", []string{"x", "w"}, "h", nil)), "ConvTranspose"},
			"ConvTranspose, groups": {behind(t, image, 6, []onnxtest.Tensor{weights("w", 4, 3, 2, 2), weights("b", 6)}, node("ConvTranspose", []string{"x", "w", "b"}, "h", map[string]any{"group": 2})), "ConvTranspose"},
			"Gemm":                  {behind(t, flat, 3, []onnxtest.Tensor{weights("w", 6, 3)}, node("Gemm", []string{"x", "w"}, "h", map[string]any{"alpha": float32(0.5)})), "Gemm"},
			"Gemm, transposed":      {behind(t, flat, 3, []onnxtest.Tensor{weights("w", 3, 6), weights("b", 3)}, node("Gemm", []string{"x", "w", "b"}, "h", map[string]any{"transB": 1, "beta": float32(3)})), "Gemm"},
			"Gemm, one bias":        {behind(t, flat, 3, []onnxtest.Tensor{weights("w", 6, 3), weights("b", 1)}, node("Gemm", []string{"x", "w", "b"}, "h", nil)), "Gemm"},
			"MatMul":                {behind(t, flat, 3, []onnxtest.Tensor{weights("w", 6, 3)}, node("MatMul", []string{"x", "w"}, "h", nil)), "Add"},
			"MatMul and Add":        {behind(t, flat, 3, []onnxtest.Tensor{weights("w", 6, 3), weights("b", 3)}, node("MatMul", []string{"x", "w"}, "g", nil), node("Add", []string{"b", "g"}, "h", nil)), "Add"},
			"Identity of weights":   {behind(t, flat, 3, []onnxtest.Tensor{weights("w", 6, 3)}, node("Identity", []string{"w"}, "v", nil), node("Gemm", []string{"x", "v"}, "h", nil)), "Gemm"},
		} {
			found, err := repair.Fold(c.m)
			if err != nil || len(found.Folded) != 1 || len(found.Left) != 0 {
				t.Errorf("%s: %+v %v", name, found, err)
				continue
			}
			folded := changed(t, c.m, found.Edit)
			last := folded.Graph.Nodes[len(folded.Graph.Nodes)-1]
			ours := slices.ContainsFunc(folded.Graph.Initializers, func(w *onnx.Tensor) bool { return strings.HasPrefix(w.Name, "n.") })
			if last.Op != c.left || last.Outputs[0] != "y" || ours || folded.Metadata[repair.FoldKey] != "1" {
				t.Errorf("%s: it ends in %v", name, last)
			}
			same, err := repair.CompareRandom(t.Context(), e, c.m, folded, 5, 1)
			if err != nil || same.LargestChange > 1e-5*same.LargestOutput || same.LargestOutput < 0.1 {
				t.Errorf("%s: %+v %v", name, same, err)
			}
			if err := same.Same(c.m); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// Weights that two layers share become those of each; the network that was exported and its norms behind each other stay right.
func TestFoldShared(t *testing.T) {
	n1, w1 := norm("n1", "h1", "y1", 3, 10)
	n2, w2 := norm("n2", "h2", "y2", 3, 20)
	m := open(t, onnxtest.Model{
		Opset: 17, Tensors: append(append([]onnxtest.Tensor{onnxtest.Floats("w", []int{3, 3}, random(9, 0, 1, 1)...), onnxtest.Floats("b", []int{3}, 1, 2, 3)}, w1...), w2...),
		Nodes: []onnxtest.Node{
			{Op: "Gemm", Inputs: []string{"x", "w", "b"}, Outputs: []string{"h1"}}, n1, {Op: "Gemm", Inputs: []string{"y1", "w", "b"}, Outputs: []string{"h2"}}, n2,
			{Op: "Add", Inputs: []string{"y2", "b"}, Outputs: []string{"y"}},
		},
		Inputs: []onnxtest.Value{{Name: "x", Type: onnxtest.Float, Shape: []any{4, 3}}}, Outputs: []onnxtest.Value{{Name: "y", Type: onnxtest.Float, Shape: []any{4, 3}}},
	})
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		found, err := repair.Fold(m)
		if err != nil || len(found.Folded) != 2 {
			t.Fatalf("%+v %v", found, err)
		}
		folded := changed(t, m, found.Edit)
		same, err := repair.CompareRandom(t.Context(), e, m, folded, 4, 1)
		if err != nil || same.LargestChange > 1e-5*same.LargestOutput || same.Examples != 4 {
			t.Errorf("%+v %v", same, err)
		}
		// What is not the same is said.
		broken := *folded
		graph := *folded.Graph
		graph.Initializers = slices.Clone(graph.Initializers)
		for i, w := range graph.Initializers {
			if w.Name == "b" {
				one := *w
				one.Raw = make([]byte, len(w.Raw))
				graph.Initializers[i] = &one
			}
		}
		broken.Graph = &graph
		worse, err := repair.CompareRandom(t.Context(), e, m, &broken, 4, 1)
		if err != nil || worse.Same(m) == nil {
			t.Errorf("%+v %v", worse, err)
		}
	})
}

// Half precision is folded in float64 and rounded once.
func TestFoldHalf(t *testing.T) {
	half := func(name string, dims []int, bits ...uint16) onnxtest.Tensor {
		var raw []byte
		for _, b := range bits {
			raw = append(raw, byte(b), byte(b>>8))
		}
		return onnxtest.Tensor{Name: name, Type: onnxtest.Float16, Shape: dims, Raw: raw}
	}
	one, two := []int{2, 2}, []int{2}
	m := open(t, onnxtest.Model{
		Opset: 17,
		Tensors: []onnxtest.Tensor{
			half("w", one, 0x3c00, 0x4000, 0x4200, 0x4400), half("s", two, 0x3c00, 0x4000), half("b", two, 0, 0x3c00), half("m", two, 0x3c00, 0), half("v", two, 0x4400, 0x3c00),
		},
		Nodes: []onnxtest.Node{
			{Op: "Gemm", Inputs: []string{"x", "w"}, Outputs: []string{"h"}},
			{Op: "BatchNormalization", Inputs: []string{"h", "s", "b", "m", "v"}, Outputs: []string{"y"}, Attributes: map[string]any{"epsilon": float32(0)}},
		},
		Inputs: []onnxtest.Value{{Name: "x", Type: onnxtest.Float16, Shape: []any{"n", 2}}}, Outputs: []onnxtest.Value{{Name: "y", Type: onnxtest.Float16, Shape: []any{"n", 2}}},
	})
	found, err := repair.Fold(m)
	if err != nil {
		t.Fatal(err)
	}
	folded := changed(t, m, found.Edit).Graph
	for name, want := range map[string][]float32{"w": {0.5, 4, 1.5, 8}, "ballast_folded/bias": {-0.5, 1}} {
		i := slices.IndexFunc(folded.Initializers, func(w *onnx.Tensor) bool { return w.Name == name })
		if i < 0 {
			t.Fatalf("there is no %s", name)
		}
		got := make([]float32, len(want))
		if err := folded.Initializers[i].Float32s(0, got); err != nil || !slices.Equal(got, want) || folded.Initializers[i].Type != onnx.Float16 {
			t.Errorf("%s is %v (%v)", name, got, err)
		}
	}
}

func TestFoldLeaves(t *testing.T) {
	gemm := onnxtest.Node{Op: "Gemm", Inputs: []string{"x", "w"}, Outputs: []string{"h"}}
	flat := []any{"n", 3}
	w := onnxtest.Floats("w", []int{3, 3}, random(9, 0, 1, 1)...)
	for want, m := range map[string]*onnx.Model{
		"no Conv, ConvTranspose, Gemm or MatMul comes before it": behind(t, flat, 3, nil, onnxtest.Node{Op: "Relu", Inputs: []string{"x"}, Outputs: []string{"h"}}),
		"what comes to it is taken elsewhere too":                behind(t, flat, 3, []onnxtest.Tensor{w}, gemm, onnxtest.Node{Op: "Relu", Inputs: []string{"h"}, Outputs: []string{"q"}}),
		"are not constants of the model":                         behind(t, flat, 3, nil, onnxtest.Node{Op: "Gemm", Inputs: []string{"x", "x"}, Outputs: []string{"h"}}),
		"is not one number for each channel": behind(t, flat, 3, []onnxtest.Tensor{w, onnxtest.Floats("b", []int{4, 3}, random(12, 0, 1, 1)...)},
			onnxtest.Node{Op: "Gemm", Inputs: []string{"x", "w", "b"}, Outputs: []string{"h"}}),
		"has another number of channels": behind(t, flat, 4, []onnxtest.Tensor{w}, gemm),
	} {
		found, err := repair.Fold(m)
		if err == nil || !strings.Contains(err.Error(), want) || len(found.Left) != 1 {
			t.Errorf("%+v %v, want %q", found, err, want)
		}
	}
	plain := open(t, onnxtest.Model{
		Opset: 17, Nodes: []onnxtest.Node{{Op: "Relu", Inputs: []string{"x"}, Outputs: []string{"y"}}},
		Inputs: []onnxtest.Value{{Name: "x", Type: onnxtest.Float, Shape: flat}}, Outputs: []onnxtest.Value{{Name: "y", Type: onnxtest.Float, Shape: flat}},
	})
	if _, err := repair.Fold(plain); err == nil || !strings.Contains(err.Error(), "it was exported without, or folded before") {
		t.Error(err)
	}
	// A norm that can be folded is, beside one that cannot.
	n2, w2 := norm("m", "y", "z", 3, 90)
	node, weights := norm("n", "h", "y", 3, 80)
	m := open(t, onnxtest.Model{
		Opset: 17, Nodes: []onnxtest.Node{gemm, node, n2}, Tensors: append(append([]onnxtest.Tensor{w}, weights...), w2...),
		Inputs: []onnxtest.Value{{Name: "x", Type: onnxtest.Float, Shape: flat}}, Outputs: []onnxtest.Value{{Name: "z", Type: onnxtest.Float, Shape: flat}},
	})
	found, err := repair.Fold(m)
	if err != nil || len(found.Folded) != 1 || len(found.Left) != 1 || len(changed(t, m, found.Edit).Graph.Nodes) != 2 {
		t.Errorf("%+v %v", found, err)
	}
}

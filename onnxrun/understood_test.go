package onnxrun

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/internal/onnxtest"
)

// single is a model of one node, x to y.
func single(op string, attributes map[string]any, outputs ...string) onnxtest.Model {
	domain := ""
	if at := strings.LastIndexByte(op, '.'); at > 0 {
		domain, op = op[:at], op[at+1:]
	}
	m := onnxtest.Model{
		Opset: 23, Inputs: []onnxtest.Value{{Name: "x", Type: onnxtest.Float, Shape: []any{"n", "m"}}},
		Nodes: []onnxtest.Node{{Op: op, Domain: domain, Inputs: []string{"x"}, Outputs: outputs,
			Attributes: attributes}},
	}
	for _, name := range outputs {
		m.Outputs = append(m.Outputs, onnxtest.Value{Name: name, Type: onnxtest.Float})
	}
	return m
}

// An attribute that an operator does not know is refused by name before anything runs, for every operator that lists its own.
func TestUnknownAttributes(t *testing.T) {
	walked := 0
	for _, name := range slices.Sorted(maps.Keys(operators())) {
		op := operators()[name]
		if op.reads == nil {
			continue
		}
		walked++
		_, err := graphOf(t, single(name, map[string]any{"no_such_thing": 1}, "y"))
		var bad interface{ BadInput() bool }
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), "no_such_thing") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if walked < 70 {
		t.Errorf("%d operators list their attributes", walked)
	}
}

// What an attribute asks for and nobody does is refused by name as well.
func TestRefusedValues(t *testing.T) {
	for name, c := range map[string]struct {
		model onnxtest.Model
		want  string
	}{
		"strings as labels": {single("ai.onnx.ml.LinearClassifier",
			map[string]any{"classlabels_strings": []string{"cat", "dog"}, "coefficients": []float32{1}}, "y", "z"),
			"classlabels_strings"},
		"transform": {single("ai.onnx.ml.LinearRegressor", map[string]any{"post_transform": "SQUARE"}, "y"),
			"SQUARE"},
		"aggregate": {single("ai.onnx.ml.TreeEnsembleRegressor", map[string]any{"aggregate_function": "MEDIAN"},
			"y"), "MEDIAN"},
		"kernel": {single("ai.onnx.ml.SVMRegressor", map[string]any{"kernel_type": "COSINE"}, "y"),
			"COSINE"},
		"norm": {single("ai.onnx.ml.Normalizer", map[string]any{"norm": "L3"}, "y"), "L3"},
		"words": {single("TfIdfVectorizer", map[string]any{"pool_strings": []string{"a"}}, "y"),
			"pool_strings"},
		"no seed":      {single("RandomNormalLike", nil, "y"), "seed"},
		"Bernoulli":    {single("Bernoulli", nil, "y"), "seed"},
		"inverse half": {single("DFT", map[string]any{"inverse": 1, "onesided": 1}, "y"), "onesided"},
		"share buffer": {single("com.microsoft.Attention", map[string]any{"past_present_share_buffer": 1,
			"num_heads": 1}, "y"), "past_present_share_buffer"},
		"prepacked": {single("com.microsoft.MatMulNBits", map[string]any{"weight_prepacked": 1}, "y"),
			"weight_prepacked"},
		"activation": {single("com.microsoft.FusedConv", map[string]any{"activation": "Snake"}, "y"), "Snake"},
		"channels": {single("com.microsoft.QLinearConv", map[string]any{"channels_last": 1}, "y"),
			"channels_last"},
	} {
		_, err := graphOf(t, c.model)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "node of \"y\"") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Numbers that are drawn from a seed are the same at every run and on every engine, and lie where they should.
func TestDrawn(t *testing.T) {
	seen := map[string][]float32{}
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		x := tensors.FromFlatDataAndDimensions(slices.Repeat([]float32{0.25}, 600), 20, 30)
		for name, m := range map[string]onnxtest.Model{
			"RandomUniformLike": single("RandomUniformLike", map[string]any{"seed": float32(3), "low": float32(2),
				"high": float32(4)}, "y"),
			"RandomNormalLike": single("RandomNormalLike", map[string]any{"seed": float32(3), "mean": float32(5),
				"scale": float32(2)}, "y"),
			"Bernoulli": single("Bernoulli", map[string]any{"seed": float32(3)}, "y"),
		} {
			g, err := graphOf(t, m)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				out, err := g.Run(e, map[string]*tensors.Tensor{"x": x})
				if err != nil {
					t.Fatal(err)
				}
				y := tensors.MustCopyFlatData[float32](out["y"])
				mean := float32(0)
				for _, v := range y {
					mean += v / 600
				}
				want := map[string][2]float32{"RandomUniformLike": {2.9, 3.1}, "RandomNormalLike": {4.75, 5.25},
					"Bernoulli": {0.19, 0.31}}[name]
				if mean < want[0] || mean > want[1] {
					t.Errorf("%s: the mean is %v, want %v", name, mean, want)
				}
				for i, old := range seen[name] {
					if d := old - y[i]; d > 1e-4 || d < -1e-4 {
						t.Fatalf("%s: element %d is %v, then %v", name, i, old, y[i])
					}
				}
				seen[name] = y
			}
		}
	})
}

// A graph that is cut keeps its stages and programs, and takes other values and shapes in later runs.
func TestCutsAgain(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		g, err := graphOf(t, onnxtest.Model{
			Opset: 18, Tensors: []onnxtest.Tensor{onnxtest.Floats("two", nil, 2)},
			Inputs:  []onnxtest.Value{{Name: "x", Type: onnxtest.Float, Shape: []any{"n"}}},
			Outputs: []onnxtest.Value{{Name: "y", Type: onnxtest.Float}, {Name: "x", Type: onnxtest.Float}},
			Nodes: []onnxtest.Node{
				{Op: "Greater", Inputs: []string{"x", "two"}, Outputs: []string{"m"}},
				{Op: "Compress", Inputs: []string{"x", "m"}, Outputs: []string{"r"}},
				{Op: "Mul", Inputs: []string{"r", "two"}, Outputs: []string{"y"}},
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct{ x, want []float32 }{
			{[]float32{1, 3, 2, 5}, []float32{6, 10}}, {[]float32{4, 3, 2, 1}, []float32{8, 6}}, {[]float32{1, 2},
				[]float32{}}, {[]float32{9}, []float32{18}},
		} {
			out, err := g.Run(e, map[string]*tensors.Tensor{"x": tensors.FromValue(c.x)})
			if err != nil {
				t.Fatal(err)
			}
			if y := tensors.MustCopyFlatData[float32](out["y"]); !slices.Equal(y, c.want) ||
				!slices.Equal(tensors.MustCopyFlatData[float32](out["x"]), c.x) {
				t.Errorf("%v gives %v, want %v", c.x, y, c.want)
			}
		}
		if len(g.stages) != 3 {
			t.Errorf("%d stages, want a program, a node on the host and a program", len(g.stages))
		}
	})
}

// No rows are no reason to fail: outputs have none either, and their other sizes.
func TestNoRows(t *testing.T) {
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, k := range peerCases(t) {
		family, _, _ := strings.Cut(k.name, "/")
		if family != "linear" && family != "trees" || k.in[0].Shape().Rank() != 2 || len(k.in) > 1 {
			continue
		}
		m, err := onnx.Parse(k.model)
		if err != nil {
			t.Fatal(err)
		}
		m.Graph.Inputs[0].Rank, m.Graph.Inputs[0].Dims = -1, nil
		g, err := New(m)
		if err != nil {
			t.Fatal(err)
		}
		x := tensors.FromShape(shapes.Make(k.in[0].DType(), 0, k.in[0].Shape().Dimensions[1]))
		out, err := g.Run(e, map[string]*tensors.Tensor{g.Inputs()[0].Name: x})
		if err != nil {
			t.Errorf("%s: %v", k.name, err)
			continue
		}
		ran++
		for i, v := range g.Outputs() {
			want := slices.Clone(k.out[i].Shape().Dimensions)
			want[0] = 0
			if got := out[v.Name].Shape().Dimensions; !slices.Equal(got, want) {
				t.Errorf("%s: %s is %v, want %v", k.name, v.Name, got, want)
			}
		}
	}
	if ran < 100 {
		t.Errorf("%d cases ran", ran)
	}
}

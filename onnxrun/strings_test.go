package onnxrun

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/internal/onnxtest"
)

// A classifier whose labels are strings gives its scores: the labels, and what is made of them alone, are left out by name.
func TestLabelsAreLeftOut(t *testing.T) {
	text := func(name string) onnxtest.Value { return onnxtest.Value{Name: name, Type: onnxtest.String} }
	floats := func(name string) onnxtest.Value { return onnxtest.Value{Name: name, Type: onnxtest.Float} }
	classifier := onnxtest.Node{
		Op: "LinearClassifier", Domain: "ai.onnx.ml", Inputs: []string{"x"}, Outputs: []string{"l", "s"},
		Attributes: map[string]any{"classlabels_strings": []string{"cat", "dog"}, "coefficients": []float32{1, 0, 0, 1}, "intercepts": []float32{0, 0}},
	}
	same := onnxtest.Node{Op: "Identity", Inputs: []string{"l"}, Outputs: []string{"label"}}
	m := onnxtest.Model{
		Opset: 18, Inputs: []onnxtest.Value{{Name: "x", Type: onnxtest.Float, Shape: []any{"n", 2}}, text("unused")},
		Tensors: []onnxtest.Tensor{{Name: "classes", Type: onnxtest.String, Shape: []int{0}}},
		Outputs: []onnxtest.Value{text("label"), floats("s")}, Nodes: []onnxtest.Node{classifier, same},
	}

	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		g, err := graphOf(t, m)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(g.LeftOut, []string{"label"}) || !slices.Equal(LeftOut(modelOf(t, m)), g.LeftOut) ||
			!slices.Equal(ClassLabels(modelOf(t, m)), []string{"cat", "dog"}) {
			t.Errorf("left out: %v; labels %v", g.LeftOut, ClassLabels(modelOf(t, m)))
		}
		out, err := g.Run(e, map[string]*tensors.Tensor{"x": tensors.FromFlatDataAndDimensions([]float32{3, 4}, 1, 2)})
		if err != nil {
			t.Fatal(err)
		}
		if s := tensors.MustCopyFlatData[float32](out["s"]); len(out) != 1 || !slices.Equal(s, []float32{3, 4}) {
			t.Errorf("%v", out)
		}
	})

	// Where nothing but strings is given, and where other nodes need them, the model is refused at the node that has them.
	m.Outputs = m.Outputs[:1]
	if _, err := graphOf(t, m); !fault.IsInput(err) || !strings.Contains(err.Error(), "classes: the engines have no type STRING") {
		t.Errorf("labels alone: %v", err)
	}
	m.Inputs = m.Inputs[:1]
	m.Tensors = nil
	if _, err := graphOf(t, m); !fault.IsInput(err) || !strings.Contains(err.Error(), `node of "l" (LinearClassifier): classlabels_strings`) {
		t.Errorf("labels alone: %v", err)
	}
}

// modelOf is a model as a file holds it.
func modelOf(t *testing.T, m onnxtest.Model) *onnx.Model {
	t.Helper()
	is, err := onnx.Parse(m.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return is
}

// What is not a tensor of numbers is refused by name before anything runs, with its place.
func TestNoTensors(t *testing.T) {
	y := []onnxtest.Value{{Name: "y", Type: onnxtest.Float}}
	same := []onnxtest.Node{{Op: "Identity", Inputs: []string{"x"}, Outputs: []string{"y"}}}
	constant := func(attributes map[string]any) onnxtest.Model {
		nodes := []onnxtest.Node{{Op: "Constant", Outputs: []string{"c"}, Attributes: attributes}, {Op: "Identity", Inputs: []string{"c"}, Outputs: []string{"y"}}}
		return onnxtest.Model{Opset: 18, Outputs: y, Nodes: nodes}
	}
	of := func(v onnxtest.Value) onnxtest.Model {
		return onnxtest.Model{Opset: 18, Inputs: []onnxtest.Value{v}, Outputs: y, Nodes: same}
	}
	for want, m := range map[string]onnxtest.Model{
		"input x: it is of the kind sequence":       of(onnxtest.Value{Name: "x", Other: 4}),
		"input x: it is of the kind map":            of(onnxtest.Value{Name: "x", Other: 5}),
		"input x: it is of the kind sparse tensor":  of(onnxtest.Value{Name: "x", Other: 8}),
		"input x: it is of the kind optional":       of(onnxtest.Value{Name: "x", Other: 9}),
		"input x: the engines have no type STRING":  of(onnxtest.Value{Name: "x", Type: onnxtest.String}),
		`node of "c" (Constant): attribute value_s`: constant(map[string]any{"value_strings": []string{"a"}}),
		`node of "c" (Constant): the engines have`:  constant(map[string]any{"value": onnxtest.Tensor{Name: "c", Type: onnxtest.String, Shape: []int{0}}}),
		`node of "y" (Cast): attribute to: the engi`: {
			Opset: 18, Inputs: []onnxtest.Value{{Name: "x", Type: onnxtest.Float}}, Outputs: y,
			Nodes: []onnxtest.Node{{Op: "Cast", Inputs: []string{"x"}, Outputs: []string{"y"}, Attributes: map[string]any{"to": 8}}},
		},
	} {
		if err := Check(modelOf(t, m)); !fault.IsInput(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}

	m := onnxtest.Model{Opset: 18, Inputs: []onnxtest.Value{{Name: "x", Type: onnxtest.Float}}, Outputs: y, Nodes: []onnxtest.Node{
		{Op: "SequenceConstruct", Inputs: []string{"x"}, Outputs: []string{"s"}}, {Op: "SequenceConstruct", Inputs: []string{"x"}, Outputs: []string{"r"}},
		{Op: "SequenceAt", Name: "first", Inputs: []string{"s", "x"}, Outputs: []string{"y"}},
	}}
	var lacks *UnsupportedError
	err := Check(modelOf(t, m))
	if !errors.As(err, &lacks) || !slices.Equal(lacks.Nodes, []string{`node of "s" (SequenceConstruct)`, `node "first" (SequenceAt)`}) ||
		!strings.HasSuffix(err.Error(), `; they are at node of "s" (SequenceConstruct), node "first" (SequenceAt)`) {
		t.Errorf("sequences: %v", err)
	}
}

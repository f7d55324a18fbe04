package onnxrun

import (
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/internal/onnxtest"
)

// graphOf prepares a model.
func graphOf(t *testing.T, m onnxtest.Model) (*Graph, error) {
	t.Helper()
	return New(read(t, m))
}

func read(t *testing.T, m onnxtest.Model) *onnx.Model {
	t.Helper()
	p, err := onnx.Parse(m.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	p.Path = "m.onnx"
	return p
}

// affine is y = relu(x w + b) for x [n, 3], with y [n, 2].
var affine = onnxtest.Model{
	Opset:   13,
	Tensors: []onnxtest.Tensor{onnxtest.Floats("w", []int{3, 2}, 1, -1, 2, 0, 0, 3), onnxtest.Floats("b", []int{2}, 0.5, -0.5)},
	Inputs:  []onnxtest.Value{{Name: "input_ids", Type: onnxtest.Float, Shape: []any{"n", 3}}},
	Outputs: []onnxtest.Value{{Name: "y", Type: onnxtest.Float, Shape: []any{"n", 2}}},
	Nodes: []onnxtest.Node{
		{Op: "Gemm", Name: "dense", Inputs: []string{"input_ids", "w", "b"}, Outputs: []string{"h"}},
		{Op: "Relu", Inputs: []string{"h"}, Outputs: []string{"y"}},
	},
}

// regrouped flattens x [n, time, 4] to [n * time, 4] by shapes that are computed from that of x, and puts it back after a product.
var regrouped = onnxtest.Model{
	Opset: 13,
	Tensors: []onnxtest.Tensor{
		onnxtest.Floats("w", []int{4, 2}, 1, 0, 0, 1, 1, 0, 0, 1),
		onnxtest.Ints("first", []int{2}, 0, 1), onnxtest.Ints("flat", []int{2}, -1, 4), onnxtest.Ints("two", []int{1}, 2),
	},
	Inputs:  []onnxtest.Value{{Name: "x", Type: onnxtest.Float, Shape: []any{"n", "time", 4}}},
	Outputs: []onnxtest.Value{{Name: "y", Type: onnxtest.Float, Shape: []any{"n", "time", 2}}},
	Nodes: []onnxtest.Node{
		{Op: "Shape", Inputs: []string{"x"}, Outputs: []string{"shape"}},
		{Op: "Gather", Inputs: []string{"shape", "first"}, Outputs: []string{"outer"}},
		{Op: "Concat", Inputs: []string{"outer", "two"}, Outputs: []string{"after"}, Attributes: map[string]any{"axis": 0}},
		{Op: "Reshape", Inputs: []string{"x", "flat"}, Outputs: []string{"rows"}},
		{Op: "MatMul", Inputs: []string{"rows", "w"}, Outputs: []string{"sums"}},
		{Op: "Reshape", Inputs: []string{"sums", "after"}, Outputs: []string{"y"}},
	},
}

// arange is 0, 1, ... n-1.
func arange(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(i)
	}
	return v
}

// Each shape builds a program of its own; an earlier shape that comes again still gives its own values.
func TestShapesVary(t *testing.T) {
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		t.Fatal(err)
	}
	o, err := graphOf(t, regrouped)
	if err != nil {
		t.Fatal(err)
	}
	check := func(n, time int) error {
		x := arange(n * time * 4)
		out, err := o.Run(e, map[string]*tensors.Tensor{"x": tensors.FromFlatDataAndDimensions(x, n, time, 4)})
		if err != nil {
			return err
		}
		if got := out["y"].Shape().Dimensions; !slices.Equal(got, []int{n, time, 2}) {
			t.Errorf("%d, %d: the shape is %v", n, time, got)
			return nil
		}
		y := tensors.MustCopyFlatData[float32](out["y"])
		for i := range n * time {
			if y[2*i] != x[4*i]+x[4*i+2] || y[2*i+1] != x[4*i+1]+x[4*i+3] {
				t.Errorf("%d, %d: row %d is %v", n, time, i, y[2*i:2*i+2])
			}
		}
		return nil
	}
	for _, s := range [][2]int{{1, 1}, {2, 3}, {5, 2}, {3, 2}, {2, 3}, {1, 1}} {
		if err := check(s[0], s[1]); err != nil {
			t.Error(err)
		}
	}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if err := check(1+i%3, 2); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// An input whose values are a shape may change from call to call.
func TestShapeAsInput(t *testing.T) {
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		t.Fatal(err)
	}
	o, err := graphOf(t, onnxtest.Model{
		Opset: 13,
		Inputs: []onnxtest.Value{
			{Name: "x", Type: onnxtest.Float, Shape: []any{"n"}}, {Name: "to", Type: onnxtest.Int64, Shape: []any{"rank"}},
		},
		Outputs: []onnxtest.Value{{Name: "y", Type: onnxtest.Float}},
		Nodes:   []onnxtest.Node{{Op: "Reshape", Inputs: []string{"x", "to"}, Outputs: []string{"y"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		to   []int64
		want []int
	}{{[]int64{2, 3}, []int{2, 3}}, {[]int64{3, -1}, []int{3, 2}}, {[]int64{6}, []int{6}}, {[]int64{2, 3}, []int{2, 3}}} {
		out, err := o.Run(e, map[string]*tensors.Tensor{"x": tensors.FromValue(arange(6)), "to": tensors.FromValue(c.to)})
		if err != nil {
			t.Fatal(err)
		}
		if got := out["y"].Shape().Dimensions; !slices.Equal(got, c.want) || !slices.Equal(tensors.MustCopyFlatData[float32](out["y"]), arange(6)) {
			t.Errorf("%v gives %v, want %v", c.to, got, c.want)
		}
	}
	_, err = o.Run(e, map[string]*tensors.Tensor{"x": tensors.FromValue(arange(6)), "to": tensors.FromValue([]int64{4, 2})})
	if err == nil || !strings.Contains(err.Error(), `m.onnx: node of "y" (Reshape): `) {
		t.Errorf("6 elements as 4 x 2: %v", err)
	}
}

// What is wrong with a call or a model is said with its place, and is bad input.
func TestErrors(t *testing.T) {
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		t.Fatal(err)
	}
	o, err := graphOf(t, affine)
	if err != nil {
		t.Fatal(err)
	}
	right := tensors.FromFlatDataAndDimensions(arange(6), 2, 3)
	for name, c := range map[string]struct {
		inputs map[string]*tensors.Tensor
		want   string
	}{
		"none":     {nil, "m.onnx: input input_ids: it is missing; give input_ids as the model declares them"},
		"name":     {map[string]*tensors.Tensor{"inputs_id": right}, "m.onnx: input inputs_id: the model has none of that name; give input_ids (did you mean input_ids?)"},
		"one more": {map[string]*tensors.Tensor{"input_ids": right, "q": right}, "m.onnx: input q: the model has none of that name; give input_ids"},
		"type":     {map[string]*tensors.Tensor{"input_ids": tensors.FromValue([][]int64{{1, 2, 3}})}, "m.onnx: input input_ids: it is Int64, the model takes Float32; give input_ids as the model declares them"},
		"rank":     {map[string]*tensors.Tensor{"input_ids": tensors.FromValue(arange(3))}, "m.onnx: input input_ids: its shape is [3], the model takes 2 dimensions; give input_ids as the model declares them"},
		"size":     {map[string]*tensors.Tensor{"input_ids": tensors.FromFlatDataAndDimensions(arange(8), 2, 4)}, "m.onnx: input input_ids: its shape is [2 4], the model takes 3 in place 1; give input_ids as the model declares them"},
	} {
		_, err := o.Run(e, c.inputs)
		var bad interface{ BadInput() bool }
		if err == nil || err.Error() != c.want || !errors.As(err, &bad) || !bad.BadInput() {
			t.Errorf("%s: %v\nwant %s", name, err, c.want)
		}
	}
	// Failed calls leave it as it was.
	out, err := o.Run(e, map[string]*tensors.Tensor{"input_ids": right})
	if err != nil {
		t.Fatal(err)
	}
	if got := tensors.MustCopyFlatData[float32](out["y"]); !slices.Equal(got, []float32{2.5, 5.5, 11.5, 11.5}) {
		t.Errorf("y is %v", got)
	}
	// Dimensions that the model leaves open, and that do not fit each other.
	loose := affine
	loose.Inputs = []onnxtest.Value{{Name: "input_ids", Type: onnxtest.Float, Shape: []any{"n", "m"}}}
	if o, err = graphOf(t, loose); err != nil {
		t.Fatal(err)
	}
	_, err = o.Run(e, map[string]*tensors.Tensor{"input_ids": tensors.FromFlatDataAndDimensions(arange(8), 2, 4)})
	if err == nil || !strings.HasPrefix(err.Error(), `m.onnx: node "dense" (Gemm): `) || !strings.HasSuffix(err.Error(), "; check the shapes of the inputs") ||
		strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "Exec") {
		t.Errorf("shapes that do not fit: %v", err)
	}
	if _, err = o.Run(e, map[string]*tensors.Tensor{"input_ids": right}); err != nil {
		t.Errorf("after a shape that did not fit: %v", err)
	}
}

// All operators that are not supported are named, each once, with their domains.
func TestUnsupported(t *testing.T) {
	m := affine
	m.Nodes = append(slices.Clone(affine.Nodes),
		onnxtest.Node{Op: "SequenceAt", Inputs: []string{"h"}, Outputs: []string{"u"}},
		onnxtest.Node{Op: "SequenceAt", Inputs: []string{"h"}, Outputs: []string{"v"}},
		onnxtest.Node{Op: "Magic", Domain: "org.example", Inputs: []string{"h"}, Outputs: []string{"z"}},
		onnxtest.Node{Op: "Relu", Domain: "org.example", Inputs: []string{"h"}, Outputs: []string{"r"}})
	_, err := graphOf(t, m)
	var u *UnsupportedError
	if !errors.As(err, &u) || !slices.Equal(u.Ops, []string{"SequenceAt", "org.example.Magic", "org.example.Relu"}) || !u.BadInput() || u.File != "m.onnx" {
		t.Fatalf("%v", err)
	}
	for _, op := range u.Ops {
		if !strings.Contains(u.Error(), op) {
			t.Errorf("%v does not name %s", u, op)
		}
	}
}

// An infinite value is no nearer to a finite one than to any other.
func TestNearly(t *testing.T) {
	inf := float32(math.Inf(1))
	for _, c := range []struct {
		got, want float32
		ok        bool
	}{{inf, inf, true}, {1, inf, false}, {-inf, inf, false}, {inf, 1, false}, {1, 1.0009, true}, {1, 1.01, false}} {
		if err := nearly(tensors.FromValue([]float32{c.got}), tensors.FromValue([]float32{c.want})); (err == nil) != c.ok {
			t.Errorf("%v for %v: %v", c.got, c.want, err)
		}
	}
}

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	ot "github.com/ballast-ml/ballast/internal/onnxtest"

	"github.com/ballast-ml/ballast/format/npy"
)

// galleryONNX are ONNX graphs.
func galleryONNX() (list []hostile) {
	for _, c := range onnxNodes() {
		list = append(list, c.run())
	}
	list = append(list, onnxLoops()...)
	list = append(list, onnxContainers()...)
	return append(list, onnxExternal()...)
}

const (
	far  = 1 << 40       // more than 32 bits count, and more than any memory has
	wide = math.MaxInt32 // what 32 bits count
)

// nodeCase is one node on x, float32 of the shape xs, beside constants.
type nodeCase struct {
	kind, name, op string
	xs             []int       // [2] if it is nil
	with           []ot.Tensor // the inputs after x
	without        bool        // x is not an input of the node
	attributes     map[string]any
	outputs        int // 1 if it is 0
	opset          int // 18 if it is 0
	want           string
	exit           []int
}

var (
	memoryOrInput = []int{exitExhausted, exitBadInput}
	right         = []int{exitOK}
)

func (c nodeCase) run() hostile {
	if c.xs == nil {
		c.xs = []int{2}
	}
	if c.opset == 0 {
		c.opset = 18
	}
	var declared []any
	n := 1
	for _, d := range c.xs {
		declared = append(declared, d)
		n *= d
	}
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(i)
	}
	node := ot.Node{Op: c.op, Outputs: []string{"y"}, Attributes: c.attributes}
	if !c.without {
		node.Inputs = []string{"x"}
	}
	for _, t := range c.with {
		node.Inputs = append(node.Inputs, t.Name)
	}
	for i := 1; i < c.outputs; i++ {
		node.Outputs = append(node.Outputs, fmt.Sprint("y", i))
	}
	var stored []ot.Tensor // one without a name is an input that is left out
	for _, t := range c.with {
		if t.Name != "" {
			stored = append(stored, t)
		}
	}
	m := ot.Model{
		Opset: c.opset, Tensors: stored, Nodes: []ot.Node{node},
		Inputs: []ot.Value{{Name: "x", Type: ot.Float, Shape: declared}}, Outputs: []ot.Value{{Name: "y", Type: ot.Float}},
	}
	want := c.want
	if want == "" {
		want = `m\.onnx: node of "y" \(` + c.op + `\): `
	}
	h := runONNX(c.kind, c.name, m, map[string]array{"x": {c.xs, x}}, want)
	if c.exit != nil {
		h.exit = c.exit
	}
	return h
}

type array struct {
	shape  []int
	values []float32
}

// runONNX runs a model on arrays, on every engine.
func runONNX(kind, name string, m ot.Model, inputs map[string]array, want string) hostile {
	run := []string{"run", "m.onnx", "--output", "y.npz"}
	for in := range maps.Keys(inputs) {
		run = append(run, "--input", in+"="+in+".npy")
	}
	return hostile{
		kind: kind, name: "onnx-" + name, run: run, want: want, engine: true, writes: true,
		files: func(dir string) error {
			err := put(filepath.Join(dir, "m.onnx"), m.Bytes())
			for in, a := range inputs {
				err = errors.Join(err, npy.WriteFile(filepath.Join(dir, in+".npy"), a.shape, a.values))
			}
			return err
		},
	}
}

// named is with the right result: an answer of that shape.
func (c nodeCase) gives(shape string) nodeCase {
	c.want, c.exit = regexpOf(shape), right
	return c
}

func regexpOf(text string) string { return strings.NewReplacer("[", `\[`, "]", `\]`).Replace(text) }

// onnxNodes are nodes that ask for more than any machine has, or for what has no answer.
func onnxNodes() []nodeCase {
	ints := func(name string, v ...int64) ot.Tensor { return ot.Ints(name, []int{len(v)}, v...) }
	one := func(name string, v int64) ot.Tensor { return ot.Ints(name, nil, v) }
	floats := func(name string, v ...float32) ot.Tensor { return ot.Floats(name, []int{len(v)}, v...) }
	image := []int{1, 1, 4, 4}
	kernel := func(v ...int) map[string]any { return map[string]any{"kernel_shape": v} }
	with := func(m map[string]any, name string, v any) map[string]any {
		m = maps.Clone(m)
		m[name] = v
		return m
	}
	const size, index, wrong = "overflow", "index", "no-answer"
	list := []nodeCase{
		// Sizes: no memory holds them, or their product wraps.
		{kind: size, name: "constantofshape-large", op: "ConstantOfShape", without: true, with: []ot.Tensor{ints("s", 200000, 200000)}, exit: memoryOrInput},
		{kind: size, name: "constantofshape-wraps", op: "ConstantOfShape", without: true, with: []ot.Tensor{ints("s", 1<<32, 1<<32, 1<<32)}},
		{kind: size, name: "constantofshape-wraps-to-0", op: "ConstantOfShape", without: true, with: []ot.Tensor{ints("s", 1<<62, 4)}},
		{kind: size, name: "constantofshape-negative", op: "ConstantOfShape", without: true, with: []ot.Tensor{ints("s", -4, 4)}},
		{kind: size, name: "constantofshape-from-nothing", op: "ConstantOfShape", without: true, with: []ot.Tensor{ints("s", 40000, 40000)}, exit: memoryOrInput},
		{kind: size, name: "expand", op: "Expand", with: []ot.Tensor{ints("s", 1<<35, 2)}, exit: memoryOrInput},
		{kind: size, name: "expand-wraps", op: "Expand", with: []ot.Tensor{ints("s", 1<<62, 4, 2)}},
		{kind: size, name: "expand-negative", op: "Expand", with: []ot.Tensor{ints("s", -1, 2)}},
		{kind: size, name: "tile", op: "Tile", with: []ot.Tensor{ints("r", far)}, exit: memoryOrInput},
		{kind: size, name: "tile-wraps", op: "Tile", with: []ot.Tensor{ints("r", 1<<63-1)}},
		{kind: size, name: "tile-negative", op: "Tile", with: []ot.Tensor{ints("r", -1)}},
		{kind: size, name: "pad", op: "Pad", with: []ot.Tensor{ints("p", far, far)}, exit: memoryOrInput},
		{kind: size, name: "pad-wraps", op: "Pad", with: []ot.Tensor{ints("p", 1<<63-1, 1<<63-1)}},
		{kind: size, name: "pad-reflect", op: "Pad", with: []ot.Tensor{ints("p", far, 0)}, attributes: map[string]any{"mode": "reflect"}, exit: memoryOrInput},
		{kind: size, name: "pad-reflect-table", op: "Pad", with: []ot.Tensor{ints("p", 1<<28, 0)}, attributes: map[string]any{"mode": "reflect"}, exit: memoryOrInput},
		{kind: size, name: "onehot", op: "OneHot", without: true, with: []ot.Tensor{ints("i", 0), one("d", far), floats("v", 0, 1)}, exit: memoryOrInput},
		{kind: size, name: "onehot-negative", op: "OneHot", without: true, with: []ot.Tensor{ints("i", 0), one("d", -1), floats("v", 0, 1)}},
		{kind: size, name: "resize-sizes", op: "Resize", xs: image, with: []ot.Tensor{{}, {}, ints("s", 1, 1, 1<<20, 1<<20)}, exit: memoryOrInput},
		{kind: size, name: "resize-scales", op: "Resize", xs: image, with: []ot.Tensor{{}, floats("s", 1, 1, 1e30, 1)}},
		{kind: size, name: "resize-nan", op: "Resize", xs: image, with: []ot.Tensor{{}, floats("s", 1, 1, float32(math.NaN()), 1)}},
		{kind: size, name: "resize-zero", op: "Resize", xs: image, with: []ot.Tensor{{}, {}, ints("s", 1, 1, 0, 4)}},
		{kind: size, name: "resize-negative", op: "Resize", xs: image, with: []ot.Tensor{{}, {}, ints("s", 1, 1, -4, 4)}},
		{kind: size, name: "upsample", op: "Upsample", xs: image, opset: 9, with: []ot.Tensor{floats("s", 1, 1, 1e9, 1e9)}, exit: memoryOrInput},
		{kind: size, name: "range-long", op: "Range", without: true, with: []ot.Tensor{one("a", 0), one("b", 1<<62), one("c", 1)}},
		{kind: size, name: "range-of-all-integers", op: "Range", without: true, with: []ot.Tensor{one("a", math.MinInt64), one("b", math.MaxInt64), one("c", 1)}},
		{kind: size, name: "range-tiny-steps", op: "Range", without: true, with: []ot.Tensor{ot.Floats("a", nil, 0), ot.Floats("b", nil, 1), ot.Floats("c", nil, 1e-30)}},
		{kind: size, name: "maxpool-kernel", op: "MaxPool", xs: image, attributes: kernel(far, far)},
		{kind: size, name: "maxpool-kernel-and-pads", op: "MaxPool", xs: image, attributes: with(kernel(wide, wide), "pads", []int{wide, wide, wide, wide}), exit: memoryOrInput},
		{kind: size, name: "maxpool-pads", op: "MaxPool", xs: image, attributes: with(kernel(2, 2), "pads", []int{wide, wide, wide, wide}), exit: memoryOrInput},
		{kind: size, name: "averagepool-pads", op: "AveragePool", xs: image, attributes: with(kernel(2, 2), "pads", []int{1 << 17, 1 << 17, 1 << 17, 1 << 17}), exit: memoryOrInput},
		{kind: size, name: "lppool-kernel", op: "LpPool", xs: image, attributes: with(kernel(1<<15, 1<<15), "pads", []int{1 << 15, 1 << 15, 1 << 15, 1 << 15}), exit: memoryOrInput},
		{kind: size, name: "conv-pads", op: "Conv", xs: image, with: []ot.Tensor{ot.Floats("k", []int{1, 1, 1, 1}, 1)}, attributes: map[string]any{"pads": []int{wide, wide, wide, wide}}, exit: memoryOrInput},
		{kind: size, name: "convtranspose-strides", op: "ConvTranspose", xs: image, with: []ot.Tensor{ot.Floats("k", []int{1, 1, 1, 1}, 1)}, attributes: map[string]any{"strides": []int{wide, wide}}, exit: memoryOrInput},
		{kind: size, name: "convtranspose-shape", op: "ConvTranspose", xs: image, with: []ot.Tensor{ot.Floats("k", []int{1, 1, 1, 1}, 1)}, attributes: map[string]any{"output_shape": []int{1 << 24, 1 << 24}}, exit: memoryOrInput},
		{kind: size, name: "depthtospace", op: "DepthToSpace", xs: image, attributes: map[string]any{"blocksize": far}},
		{kind: size, name: "lrn", op: "LRN", xs: image, attributes: map[string]any{"size": far}},
		{kind: size, name: "split-many", op: "Split", attributes: map[string]any{"num_outputs": far}},
		{kind: size, name: "broadcast", op: "Add", xs: []int{1 << 17, 1}, with: []ot.Tensor{ot.Floats("b", []int{1, 1 << 17}, make([]float32, 1<<17)...)}, exit: memoryOrInput},
		{kind: size, name: "matmul", op: "MatMul", xs: []int{1 << 17, 1}, with: []ot.Tensor{ot.Floats("b", []int{1, 1 << 17}, make([]float32, 1<<17)...)}, exit: memoryOrInput},
		{kind: size, name: "einsum", op: "Einsum", xs: []int{1 << 17}, with: []ot.Tensor{ot.Floats("b", []int{1 << 17}, make([]float32, 1<<17)...)}, attributes: map[string]any{"equation": "i,j->ij"}, exit: memoryOrInput},
		{kind: size, name: "scatter-table", op: "ScatterElements", xs: []int{1 << 17}, with: []ot.Tensor{ot.Ints("i", []int{1 << 17}, make([]int64, 1<<17)...), ot.Floats("u", []int{1 << 17}, make([]float32, 1<<17)...)}, exit: memoryOrInput},

		// Indices: 32 bits do not count so far, and the nearest row is another row.
		{kind: index, name: "gather-far", op: "Gather", with: []ot.Tensor{ints("i", far)}},
		{kind: index, name: "gather-wraps-to-0", op: "Gather", with: []ot.Tensor{ints("i", 1<<32)}},
		{kind: index, name: "gather-beyond", op: "Gather", with: []ot.Tensor{ints("i", 2)}},
		{kind: index, name: "gather-before", op: "Gather", with: []ot.Tensor{ints("i", -3)}},
		nodeCase{kind: index, name: "gather-right", op: "Gather", with: []ot.Tensor{ints("i", -2, 1)}}.gives("y float32 [2]"),
		{kind: index, name: "gather-of-nothing", op: "Gather", xs: []int{0, 3}, with: []ot.Tensor{ints("i", 0)}},
		{kind: index, name: "gather-axis", op: "Gather", with: []ot.Tensor{ints("i", 0)}, attributes: map[string]any{"axis": 1 << 32}},
		{kind: index, name: "gatherelements", op: "GatherElements", with: []ot.Tensor{ints("i", far, 0)}},
		{kind: index, name: "gathernd", op: "GatherND", xs: []int{2, 3}, with: []ot.Tensor{ot.Ints("i", []int{1, 2}, 0, 1<<32+1)}},
		{kind: index, name: "gathernd-parts", op: "GatherND", xs: []int{2, 3}, with: []ot.Tensor{ot.Ints("i", []int{1, 3}, 0, 0, 0)}},
		{kind: index, name: "gathernd-batch", op: "GatherND", xs: []int{2, 3}, with: []ot.Tensor{ot.Ints("i", []int{2, 1}, 0, 0)}, attributes: map[string]any{"batch_dims": far}},
		{kind: index, name: "scatterelements", op: "ScatterElements", with: []ot.Tensor{ints("i", 1<<32), floats("u", 9)}},
		{kind: index, name: "scatterelements-add", op: "ScatterElements", with: []ot.Tensor{ints("i", 2), floats("u", 9)}, attributes: map[string]any{"reduction": "add"}},
		{kind: index, name: "scatternd", op: "ScatterND", with: []ot.Tensor{ot.Ints("i", []int{1, 1}, -3), floats("u", 9)}},
		{kind: index, name: "scatternd-updates", op: "ScatterND", with: []ot.Tensor{ot.Ints("i", []int{1, 1}, 0), floats("u", 9, 9)}},
		{kind: index, name: "topk-far", op: "TopK", with: []ot.Tensor{ints("k", 1<<32+1)}, outputs: 2},
		{kind: index, name: "topk-negative", op: "TopK", with: []ot.Tensor{ints("k", -1)}, outputs: 2},
		{kind: index, name: "loss-target", op: "NegativeLogLikelihoodLoss", xs: []int{1, 3}, with: []ot.Tensor{ints("t", 1<<32+1)}},
		nodeCase{kind: index, name: "onehot-beyond-is-off", op: "OneHot", without: true, with: []ot.Tensor{ints("i", 1<<32, 5, -9), one("d", 3), floats("v", 0, 1)}}.gives("y float32 [3 3]"),
		nodeCase{kind: index, name: "slice-far-is-cut", op: "Slice", with: []ot.Tensor{ints("a", -1<<62), ints("b", 1<<62), ints("c", 0), ints("d", 1<<33)}}.gives("y float32 [1]"),
		nodeCase{kind: index, name: "trilu-far", op: "Trilu", xs: []int{2, 2}, with: []ot.Tensor{one("k", 1<<40)}}.gives("y float32 [2 2]"),
		nodeCase{kind: index, name: "eyelike-far", op: "EyeLike", xs: []int{2, 2}, attributes: map[string]any{"k": 1 << 33}}.gives("y float32 [2 2]"),

		// What has no answer.
		{kind: wrong, name: "split-negative", op: "Split", with: []ot.Tensor{ints("s", -3, 5)}, outputs: 2},
		{kind: wrong, name: "split-short", op: "Split", with: []ot.Tensor{ints("s", 1, 0)}, outputs: 2},
		{kind: wrong, name: "split-outputs", op: "Split", with: []ot.Tensor{ints("s", 1, 1)}},
		{kind: wrong, name: "reshape-two-open", op: "Reshape", with: []ot.Tensor{ints("s", -1, -1)}},
		{kind: wrong, name: "reshape-negative", op: "Reshape", with: []ot.Tensor{ints("s", -2, -1)}},
		{kind: wrong, name: "reshape-wraps", op: "Reshape", with: []ot.Tensor{ints("s", 1<<32, 1<<32, 2)}},
		{kind: wrong, name: "reshape-copies-nothing", op: "Reshape", with: []ot.Tensor{ints("s", 2, 0)}},
		{kind: wrong, name: "reshape-uneven", op: "Reshape", xs: []int{5}, with: []ot.Tensor{ints("s", 2, -1)}},
		{kind: wrong, name: "range-step-0", op: "Range", without: true, with: []ot.Tensor{one("a", 0), one("b", 10), one("c", 0)}},
		{kind: wrong, name: "range-float-step-0", op: "Range", without: true, with: []ot.Tensor{ot.Floats("a", nil, 0), ot.Floats("b", nil, 1), ot.Floats("c", nil, 0)}},
		{kind: wrong, name: "range-infinite", op: "Range", without: true, with: []ot.Tensor{ot.Floats("a", nil, 0), ot.Floats("b", nil, float32(math.Inf(1))), ot.Floats("c", nil, 1)}},
		{kind: wrong, name: "range-lists", op: "Range", without: true, with: []ot.Tensor{ints("a"), ints("b", 1, 2), ints("c", 1)}},
		{kind: wrong, name: "slice-step-0", op: "Slice", with: []ot.Tensor{ints("a", 0), ints("b", 2), ints("c", 0), ints("d", 0)}},
		{kind: wrong, name: "slice-lengths", op: "Slice", with: []ot.Tensor{ints("a", 0, 0), ints("b", 2)}},
		{kind: wrong, name: "slice-axis-twice", op: "Slice", xs: []int{2, 3}, with: []ot.Tensor{ints("a", 0, 0), ints("b", 2, 1), ints("c", 1, -1)}},
		{kind: wrong, name: "squeeze-of-2", op: "Squeeze", with: []ot.Tensor{ints("a", 0)}},
		{kind: wrong, name: "unsqueeze-twice", op: "Unsqueeze", with: []ot.Tensor{ints("a", 0, 0)}},
		{kind: wrong, name: "transpose-twice", op: "Transpose", xs: []int{2, 3}, attributes: map[string]any{"perm": []int{0, 0}}},
		{kind: wrong, name: "concat-shapes", op: "Concat", xs: []int{0, 3}, with: []ot.Tensor{ot.Floats("b", []int{2, 2}, 1, 2, 3, 4)}, attributes: map[string]any{"axis": 0}},
		{kind: wrong, name: "flatten-axis", op: "Flatten", attributes: map[string]any{"axis": -9}},
		{kind: wrong, name: "pad-cuts-too-much", op: "Pad", with: []ot.Tensor{ints("p", -2, -2)}},
		{kind: wrong, name: "pad-lengths", op: "Pad", with: []ot.Tensor{ints("p", 1, 1, 1)}},
		{kind: wrong, name: "strides-0", op: "MaxPool", xs: image, attributes: with(kernel(2, 2), "strides", []int{0, 0})},
		{kind: wrong, name: "kernel-negative", op: "MaxPool", xs: image, attributes: kernel(-1, -1)},
		{kind: wrong, name: "kernel-too-large", op: "AveragePool", xs: image, attributes: kernel(9, 9)},
		{kind: wrong, name: "group-0", op: "Conv", xs: image, with: []ot.Tensor{ot.Floats("k", []int{1, 1, 1, 1}, 1)}, attributes: map[string]any{"group": 0}},
		{kind: wrong, name: "blocksize-0", op: "SpaceToDepth", xs: image, attributes: map[string]any{"blocksize": 0}},
		{kind: wrong, name: "constant-without-value", op: "Constant", without: true, attributes: map[string]any{"value": 1}},
		{kind: wrong, name: "reduce-axis-twice", op: "ReduceSum", with: []ot.Tensor{ints("a", 0, 0)}},
		{kind: wrong, name: "cumsum-axis", op: "CumSum", with: []ot.Tensor{one("a", far)}},
		{kind: wrong, name: "argmax-of-nothing", op: "ArgMax", xs: []int{0, 3}},
		{kind: wrong, name: "if-without-branches", op: "If", without: true, with: []ot.Tensor{one("c", 1)}},
		{kind: wrong, name: "loop-without-body", op: "Loop", without: true, with: []ot.Tensor{one("m", 3)}},
		{kind: wrong, name: "lstm-shapes", op: "LSTM", xs: []int{1, 1, 1}, with: []ot.Tensor{ot.Floats("w", []int{1, 3, 1}, 1, 2, 3), ot.Floats("r", []int{1, 3, 1}, 1, 2, 3)}},
		{kind: wrong, name: "missing-input", op: "MatMul"},
		{kind: wrong, name: "cast-to-nothing", op: "Cast", attributes: map[string]any{"to": 99}},
	}
	return list
}

// onnxLoops are loops, which are unrolled, in their ways not to end.
func onnxLoops() []hostile {
	scalar := func(name string, t int) ot.Value { return ot.Value{Name: name, Type: t, Shape: []any{}} }
	pass := func(from, to string) ot.Node {
		return ot.Node{Op: "Identity", Inputs: []string{from}, Outputs: []string{to}}
	}
	x := map[string]array{"x": {[]int{2}, []float32{1, 2}}}
	// whole is a model around nodes that make y from x.
	whole := func(constants []ot.Tensor, nodes ...ot.Node) ot.Model {
		return ot.Model{Opset: 18, Tensors: constants, Nodes: nodes, Inputs: []ot.Value{{Name: "x", Type: ot.Float, Shape: []any{"n"}}}, Outputs: []ot.Value{{Name: "y", Type: ot.Float}}}
	}
	// body is v_out made from v_in, by nodes; the condition is passed on.
	body := func(nodes ...ot.Node) ot.Model {
		return ot.Model{
			Inputs:  []ot.Value{scalar("i", ot.Int64), scalar("on", ot.Bool), {Name: "v_in", Type: ot.Float}},
			Outputs: []ot.Value{scalar("on_out", ot.Bool), {Name: "v_out", Type: ot.Float}},
			Nodes:   append([]ot.Node{pass("on", "on_out")}, nodes...),
		}
	}
	yes := ot.Tensor{Name: "yes", Type: ot.Bool, Raw: []byte{1}}
	loop := func(times int64, start string, b ot.Model) ot.Model {
		return whole([]ot.Tensor{ot.Ints("m", nil, times), yes}, ot.Node{Op: "Loop", Inputs: []string{"m", "yes", start}, Outputs: []string{"y"}, Attributes: map[string]any{"body": b}})
	}
	relu := ot.Node{Op: "Relu", Inputs: []string{"v_in"}, Outputs: []string{"v_out"}}
	inner := body(ot.Node{Op: "Loop", Inputs: []string{"m", "yes", "v_in"}, Outputs: []string{"v_out"}, Attributes: map[string]any{"body": renamed(body(relu), "2")}})
	// count is v: 0, 1, 2 ... while v < limit.
	count := func(limit int64) ot.Model {
		b := ot.Model{
			Inputs:  []ot.Value{scalar("i", ot.Int64), scalar("on", ot.Bool), scalar("v_in", ot.Int64)},
			Outputs: []ot.Value{scalar("on_out", ot.Bool), scalar("v_out", ot.Int64)},
			Nodes: []ot.Node{
				{Op: "Add", Inputs: []string{"v_in", "one"}, Outputs: []string{"v_out"}}, {Op: "Less", Inputs: []string{"v_out", "limit"}, Outputs: []string{"on_out"}},
			},
		}
		return whole([]ot.Tensor{ot.Ints("one", nil, 1), ot.Ints("limit", nil, limit), ot.Ints("v", nil, 0), yes},
			ot.Node{Op: "Loop", Inputs: []string{"", "yes", "v"}, Outputs: []string{"v_last"}, Attributes: map[string]any{"body": b}},
			ot.Node{Op: "Unsqueeze", Inputs: []string{"v_last", "zero"}, Outputs: []string{"s"}},
			ot.Node{Op: "ConstantOfShape", Inputs: []string{"s"}, Outputs: []string{"y"}})
	}
	counted := count(5000)
	counted.Tensors = append(counted.Tensors, ot.Ints("zero", []int{1}, 0))
	scan := func(rows int) hostile {
		b := ot.Model{
			Inputs: []ot.Value{scalar("s", ot.Float), scalar("r", ot.Float)}, Outputs: []ot.Value{scalar("s2", ot.Float)},
			Nodes: []ot.Node{{Op: "Add", Inputs: []string{"s", "r"}, Outputs: []string{"s2"}}},
		}
		m := whole([]ot.Tensor{ot.Floats("start", nil, 0)}, ot.Node{Op: "Scan", Inputs: []string{"start", "x"}, Outputs: []string{"y"}, Attributes: map[string]any{"body": b, "num_scan_inputs": 1}})
		return runONNX("loop", fmt.Sprint("scan-", rows), m, map[string]array{"x": {[]int{rows}, make([]float32, rows)}}, `node of "y" \(Scan\): it takes \d+ steps`)
	}
	forever := loop(math.MaxInt64, "m", body(pass("v_in", "v_out")))
	doubling := loop(60, "x", body(ot.Node{Op: "Concat", Inputs: []string{"v_in", "v_in"}, Outputs: []string{"v_out"}, Attributes: map[string]any{"axis": 0}}))
	list := []hostile{
		runONNX("loop", "loop-of-nodes", loop(1<<30, "x", body(relu)), x, `node of "y" \(Loop\): it takes \d+ steps`),
		runONNX("loop", "loop-in-loop", loop(2000, "x", inner), x, `\(Loop\): it takes \d+ steps`),
		runONNX("loop", "loop-forever", forever, x, `\(Loop\): the model's loops run more than 262144 rounds`),
		runONNX("loop", "loop-doubles", doubling, x, `\(Concat\): (a value of shape|the program holds)`),
		runONNX("loop", "lstm-steps", whole([]ot.Tensor{ot.Floats("w", []int{1, 4, 1}, 1, 2, 3, 4), ot.Floats("r", []int{1, 4, 1}, 1, 2, 3, 4), ot.Ints("to", []int{3}, -1, 1, 1)},
			ot.Node{Op: "Reshape", Inputs: []string{"x", "to"}, Outputs: []string{"rows"}},
			ot.Node{Op: "LSTM", Inputs: []string{"rows", "w", "r"}, Outputs: []string{"y"}, Attributes: map[string]any{"hidden_size": 1}}),
			map[string]array{"x": {[]int{60000}, make([]float32, 60000)}}, `node of "y" \(LSTM\): it takes \d+ steps`),
		scan(200000),
	}
	list[3].exit = memoryOrInput
	answer := runONNX("loop", "while-5000", counted, x, `y float32 \[5000\]`)
	answer.exit = right
	return append(list, answer)
}

// renamed is a body whose values have other names, for use inside another.
func renamed(m ot.Model, suffix string) ot.Model {
	names := func(list []string) (out []string) {
		for _, n := range list {
			out = append(out, n+suffix)
		}
		return out
	}
	var nodes []ot.Node
	for _, n := range m.Nodes {
		n.Inputs, n.Outputs = names(n.Inputs), names(n.Outputs)
		nodes = append(nodes, n)
	}
	values := func(list []ot.Value) (out []ot.Value) {
		for _, v := range list {
			v.Name += suffix
			out = append(out, v)
		}
		return out
	}
	m.Nodes, m.Inputs, m.Outputs = nodes, values(m.Inputs), values(m.Outputs)
	return m
}

// message is the bytes of a protobuf message: field numbers with an int, text, bytes or another message each.
func message(pairs ...any) []byte {
	var m []byte
	for i := 0; i < len(pairs); i += 2 {
		field := protowire.Number(pairs[i].(int))
		switch v := pairs[i+1].(type) {
		case int:
			m = protowire.AppendVarint(protowire.AppendTag(m, field, protowire.VarintType), uint64(v))
		case string:
			m = protowire.AppendString(protowire.AppendTag(m, field, protowire.BytesType), v)
		case []byte:
			m = protowire.AppendBytes(protowire.AppendTag(m, field, protowire.BytesType), v)
		}
	}
	return m
}

// onnxContainers are files that are no model, or one that unfolds.
func onnxContainers() (list []hostile) {
	model := func(graph ...[]byte) []byte {
		var all []byte
		for _, g := range graph {
			all = append(all, g...)
		}
		return message(1, 8, 7, all, 8, message(2, 18))
	}
	tensor := func(pairs ...any) []byte { return message(5, message(append([]any{8, "w"}, pairs...)...)) }
	relu := message(1, message(1, "x", 2, "y", 4, "Relu"))
	x, y := message(11, message(1, "x")), message(12, message(1, "y"))
	nested := func(depth int) []byte {
		inner := relu
		for range depth {
			inner = message(1, message(1, "x", 2, "y", 4, "If", 5, message(1, "then_branch", 6, inner)))
		}
		return inner
	}
	chain := func(n int) (nodes []byte) {
		from := "x"
		for i := range n {
			to := fmt.Sprint("v", i)
			nodes, from = append(nodes, message(1, message(1, from, 2, to, 4, "Relu"))...), to
		}
		return append(nodes, message(12, message(1, from))...)
	}
	whole := model(x, relu, y, tensor(1, 2, 2, 1, 9, "12345678"))
	inspect := []string{"inspect", "m.onnx"}
	check := []string{"convert", "m.onnx", "--to", "safetensors", "--out", "m.safetensors", "--check"}
	run := []string{"run", "m.onnx", "--input", "x.npy", "--output", "y.npz"}
	for _, c := range []struct {
		name string
		data []byte
		want string
		exit []int
	}{
		{"cut-off", whole[:len(whole)-9], "cut off|no graph|not a well-formed", nil},
		{"graph-cut-off", model(x, relu, y)[:20], "cut off|not a well-formed", nil},
		{"length-lies", append(message(1, 8), 0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f, 0), "cut off", nil},
		{"no-graph", message(1, 8, 2, "maker", 8, message(2, 18)), "there is no graph", nil},
		{"two-graphs", message(1, 8, 2, "maker", 7, relu, 7, relu), "second graph|Relu", nil},
		{"group", append(message(1, 8, 2, "maker"), 0x3b, 0x3c), "wire type", nil},
		{"text-as-number", message(1, 8, 2, "maker", 7, 5), "wire type|not", nil},
		{"not-utf8", message(1, 8, 2, "\xff\xfe", 7, relu), "UTF-8", nil},
		{"deep", model(nested(200)), "subgraphs more than", nil},
		{"cycle", model(message(1, message(1, "a", 2, "y", 4, "Relu")), message(1, message(1, "y", 2, "a", 4, "Relu")), y), "cycle", nil},
		{"value-twice", model(x, relu, relu, y), "defined twice", nil},
		{"dims-negative", model(tensor(1, -2, 2, 1)), "negative", nil},
		{"dims-overflow", model(tensor(1, far, 1, far, 2, 1)), "overflow", nil},
		{"dims-overflow-beside-0", model(x, relu, y, tensor(1, far, 1, far, 1, 0, 2, 1)), "", []int{exitOK, exitBadInput}},
		{"dims-many", model(tensor(1, make([]byte, 100), 2, 1)), "dimensions", nil},
		{"dims-cut-off", model(tensor(1, []byte{0xff}, 2, 1)), "cut off", nil},
		{"raw-short", model(tensor(1, 4, 2, 1, 9, "1234")), "4 bytes", nil},
		{"raw-long", model(tensor(1, 1, 2, 1, 9, "123456789")), "9 bytes", nil},
		{"floats-cut-off", model(tensor(1, 1, 2, 1, 4, []byte{1, 2, 3})), "3 bytes|cut off", nil},
		{"ints-too-many", model(tensor(1, 1, 2, 7, 7, make([]byte, 1000))), "more elements|1000", nil},
		{"ints-too-large", model(tensor(1, 1, 2, 3, 5, []byte{0xff, 0x7f})), "INT8", nil},
		{"strings-for-raw", model(tensor(1, 1, 2, 1, 6, "abc")), "strings", nil},
		{"strings-too-few", model(tensor(1, 9, 2, 8, 6, "abc")), "1 strings", nil},
		{"type-unknown", model(tensor(1, 1, 2, 77, 9, "1")), "type 77", nil},
		{"both-data", model(tensor(1, 1, 2, 1, 9, "1234", 4, []byte("1234"))), "both", nil},
		{"sparse-dense", model(message(15, message(1, message(1, 1, 2, 1, 8, "w", 9, "1234"), 2, message(1, 1, 2, 7, 9, make([]byte, 8)), 3, 1<<34))), "unfolds", nil},
		{"sparse-index", model(message(15, message(1, message(1, 1, 2, 1, 8, "w", 9, "1234"), 2, message(1, 1, 2, 7, 9, binary.LittleEndian.AppendUint64(nil, 99)), 3, 2))), "index 99", nil},
		{"attributes-unfold", model(x, message(1, append(message(1, "x", 2, "y", 4, "Relu"), []byte(strings.Repeat(string(message(5, message(1, "a"))), 300))...)), y), "defined twice|256", nil},
		{"nodes-unfold", model([]byte(strings.Repeat(string(message(1, message(4, "R"))), 400000))), "unfolds", nil},
		{"attributes-empty", model(message(1, append(message(4, "R"), []byte(strings.Repeat("\x2a\x00", 1000))...))), "no name", nil},
		{"dimension-far", model(message(11, message(1, "x", 2, message(1, message(1, 1, 2, message(1, message(1, 1<<62)))))), relu, y), "dimension", nil},
	} {
		for i, args := range [][]string{inspect, check, run} {
			h := hostile{kind: "container", name: "onnx-" + c.name + "-" + args[0], run: args, want: c.want, exit: c.exit, writes: i > 0, engine: i == 2}
			h.files = func(dir string) error {
				return errors.Join(put(filepath.Join(dir, "m.onnx"), c.data), npy.WriteFile(filepath.Join(dir, "x.npy"), []int{2}, []float32{1, 2}))
			}
			if i == len(c.name)%3 { // each by one verb
				list = append(list, h)
			}
		}
	}
	long := model(x, chain(50000))
	list = append(list,
		hostile{kind: "container", name: "onnx-long-chain", run: inspect, files: file("m.onnx", long), exit: right, want: "Relu|runs"},
		hostile{kind: "container", name: "onnx-long-chain-converted", run: check, files: file("m.onnx", long), exit: []int{exitOK, exitBadInput}, writes: true},
	)
	many := ot.Model{Opset: 18, Outputs: []ot.Value{{Name: "y", Type: ot.Float}}, Nodes: []ot.Node{{Op: "Relu", Inputs: []string{"x0"}, Outputs: []string{"y"}}}}
	for i := range 3000 {
		many.Inputs = append(many.Inputs, ot.Value{Name: fmt.Sprint("x", i), Type: ot.Float, Shape: []any{"n"}})
	}
	list = append(list, runONNX("container", "inputs-many", many, map[string]array{"x0": {[]int{1}, []float32{1}}}, "it is missing; give x0, .*, and 2980 more"))
	return list
}

// onnxExternal are tensors whose elements lie in other files.
func onnxExternal() []hostile {
	shared := func(n, size, step int) ot.Model {
		m := ot.Model{Opset: 18, Inputs: []ot.Value{{Name: "x", Type: ot.Float, Shape: []any{"n"}}}, Outputs: []ot.Value{{Name: "y", Type: ot.Float}}}
		for i := range n {
			m.Tensors = append(m.Tensors, ot.Tensor{Name: fmt.Sprint("w", i), Type: ot.Uint8, Shape: []int{size}, Location: "w.bin", Offset: i * step})
		}
		m.Nodes = []ot.Node{{Op: "Relu", Inputs: []string{"x"}, Outputs: []string{"y"}}}
		return m
	}
	at := func(name, location string, offset int, exit []int, want string, more func(dir string) error) hostile {
		m := shared(1, 8, 0)
		m.Tensors[0].Location, m.Tensors[0].Offset = location, offset
		return hostile{kind: "external data", name: "onnx-" + name, run: []string{"inspect", "m.onnx"}, exit: exit, want: want, files: func(dir string) error {
			return errors.Join(put(filepath.Join(dir, "m.onnx"), m.Bytes()), put(filepath.Join(dir, "w.bin"), make([]byte, 8)), more(dir))
		}}
	}
	none := func(string) error { return nil }
	// Sparse: it takes no room, and reads as zeros.
	sparse := func(m ot.Model, size int64) func(dir string) error {
		return func(dir string) error {
			w := filepath.Join(dir, "w.bin")
			return errors.Join(put(filepath.Join(dir, "m.onnx"), m.Bytes()), put(w, nil), os.Truncate(w, size), npy.WriteFile(filepath.Join(dir, "x.npy"), []int{2}, []float32{1, 2}))
		}
	}
	list := []hostile{
		{kind: "external data", name: "onnx-one-file-60-times", run: []string{"inspect", "m.onnx"}, exit: right, files: sparse(shared(60, 50_000_000, 0), 50_000_000), memory: 96 << 20},
		{kind: "external data", name: "onnx-one-file-60-times-shifted", run: []string{"inspect", "m.onnx"}, exit: right, files: sparse(shared(60, 49_000_000, 1), 50_000_000), memory: 96 << 20},
		{kind: "external data", name: "onnx-larger-than-memory", run: []string{"inspect", "m.onnx"}, exit: right, files: sparse(shared(1, 1<<40, 0), 1<<40), memory: 96 << 20},
		{kind: "external data", name: "onnx-run-larger-than-memory", run: []string{"run", "m.onnx", "--input", "x.npy", "--output", "y.npz"}, exit: []int{exitExhausted}, want: "the weights needs .* of memory", files: sparse(shared(60, 1<<30, 0), 1<<30), engine: true},
		at("external-beyond", "w.bin", 1, nil, "8 bytes at 1", none),
		at("external-far", "w.bin", math.MaxInt64, nil, "8 bytes at", none),
		at("external-missing", "v.bin", 0, nil, "cannot be read", none),
		at("external-up", "../w.bin", 0, nil, "leaves the model", none),
		at("external-absolute", "/etc/passwd", 0, nil, "leaves the model", none),
		at("external-folder", "d", 0, nil, "folder", func(dir string) error { return os.Mkdir(filepath.Join(dir, "d"), 0o755) }),
		at("external-device", "null", 0, nil, "outside its folder", func(dir string) error { return os.Symlink(os.DevNull, filepath.Join(dir, "null")) }),
		at("external-link-out", "l.bin", 0, nil, "outside its folder", func(dir string) error { return os.Symlink("/etc/passwd", filepath.Join(dir, "l.bin")) }),
		at("external-link-around", "l.bin", 0, nil, "too many links|cannot be read|leaves", func(dir string) error { return os.Symlink("l.bin", filepath.Join(dir, "l.bin")) }),
	}
	// Names that act on a terminal.
	const esc = "\x1b]0;owned\x07\u202e"
	named := ot.Model{
		Opset: 18, Tensors: []ot.Tensor{ot.Floats(esc+"w", []int{1}, 1)}, Inputs: []ot.Value{{Name: esc + "x", Type: ot.Float, Shape: []any{esc + "n"}}}, Outputs: []ot.Value{{Name: "y", Type: ot.Float}},
		Nodes: []ot.Node{{Op: "Relu" + esc, Name: esc, Inputs: []string{esc + "x"}, Outputs: []string{"y"}}},
	}
	failing := named
	failing.Nodes = []ot.Node{{Op: "Reshape", Name: esc, Inputs: []string{esc + "x", esc + "w"}, Outputs: []string{"y"}}}
	list = append(list, onnxPipes(at)...)
	return append(list,
		hostile{kind: "escape", name: "onnx-inspect", run: []string{"inspect", "m.onnx", "--tensors", "*"}, exit: []int{exitOK, exitBadInput}, files: file("m.onnx", named.Bytes())},
		runONNX("escape", "operator", named, map[string]array{"x": {[]int{1}, []float32{1}}}, `operators that are not supported: Relu`),
		runONNX("escape", "input", failing, map[string]array{"x": {[]int{1}, []float32{1}}}, `input x: the model has none of that name`),
	)
}

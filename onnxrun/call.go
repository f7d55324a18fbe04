package onnxrun

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/format/onnx"
)

// call is a node with its inputs while it is built.
type call struct {
	build *builder
	g     *graph.Graph
	n     *onnx.Node
	in    []*value
	scope *scope
	opset int64
	from  []string
	fold  bool

	checks []check             // of a node that is computed at once
	wide   map[int]*graph.Node // inputs of float16 in float32
}

// has tells whether an input is there.
func (c *call) has(i int) bool { return i < len(c.in) && c.in[i] != nil }

// x is an input.
func (c *call) x(i int) *graph.Node {
	if !c.has(i) {
		panic(fmt.Errorf("input %d is missing", i))
	}
	if n := c.wide[i]; n != nil {
		return n
	}
	v := c.in[i]
	if c.fold {
		return constTensor(c.g, v.known)
	}
	return c.build.node(v)
}

// maybe is an input, nil if it is left out.
func (c *call) maybe(i int) *graph.Node {
	if !c.has(i) {
		return nil
	}
	return c.x(i)
}

// known is an input's values, which must not depend on what is computed.
func (c *call) known(i int) *tensors.Tensor {
	if !c.has(i) {
		panic(fmt.Errorf("input %d is missing", i))
	}
	v := c.in[i]
	if v.known == nil && len(v.from) == 0 {
		refuse("input %d, %q, has to be known before the model runs, but holds too much to be computed before", i, c.n.Inputs[i])
	}
	if v.known == nil {
		c.build.need = v.from
		panic(fmt.Errorf("input %d, %q, has to be known before the model runs, but is computed from %q; export the model with fixed shapes",
			i, c.n.Inputs[i], strings.Join(v.from, ", ")))
	}
	return v.known
}

// ints is an input's values as integers.
func (c *call) ints(i int) []int { return tensorInts(c.known(i)) }

// intAt is an input that is one integer.
func (c *call) intAt(i int) int {
	v := c.ints(i)
	need(len(v) == 1, "input %d holds %d numbers, want one", i, len(v))
	return v[0]
}

// floats is an input's values.
func (c *call) floats(i int) []float64 {
	t := c.known(i)
	out := make([]float64, t.Shape().Size())
	if len(out) == 0 {
		return out
	}
	if t.DType() == dtypes.Float64 {
		return tensors.MustCopyFlatData[float64](t)
	}
	if !t.DType().IsFloat() && t.DType() != dtypes.Uint64 { // float32 would round those beyond 2^24
		for i, v := range tensorInts(t) {
			out[i] = float64(v)
		}
		return out
	}
	raw := make([]float32, len(out))
	var kind onnx.DataType
	for k, d := range engineTypes {
		if d == t.DType() {
			kind = k
		}
	}

	err := t.ConstBytes(func(b []byte) {
		if err := onnx.Float32sOf(kind, b, raw); err != nil {
			panic(err)
		}
	})
	if err != nil {
		panic(err)
	}
	for i := range raw {
		out[i] = float64(raw[i])
	}
	return out
}

// floatAt is an input that is one number.
func (c *call) floatAt(i int) float64 {
	v := c.floats(i)
	need(len(v) == 1, "input %d holds %d numbers, want one", i, len(v))
	return v[0]
}

func (c *call) int(name string, otherwise int) int {
	if a := c.n.Attribute(name); a != nil {
		return int(a.Int)
	}
	return otherwise
}

func (c *call) float(name string, otherwise float64) float64 {
	if a := c.n.Attribute(name); a != nil {
		return float64(a.Float)
	}
	return otherwise
}

func (c *call) text(name, otherwise string) string {
	if a := c.n.Attribute(name); a != nil {
		return string(a.Bytes)
	}
	return otherwise
}

func (c *call) list(name string) []int {
	a := c.n.Attribute(name)
	if a == nil {
		return nil
	}
	out := make([]int, len(a.Ints))
	for i, v := range a.Ints {
		out[i] = int(v)
	}
	return out
}

// axes is a list that was an attribute in old versions and is an input in new ones.
func (c *call) axes(name string, input int) []int {
	if c.has(input) {
		return c.ints(input)
	}
	return c.list(name)
}

func tensorInts(t *tensors.Tensor) []int {
	raw := &onnx.Tensor{Elements: t.Shape().Size()}
	for k, d := range engineTypes {
		if d == t.DType() {
			raw.Type = k
		}
	}

	if raw.Elements == 0 {
		return []int{}
	}
	if err := t.ConstBytes(func(b []byte) { raw.Raw = slices.Clone(b) }); err != nil {
		panic(err)
	}
	v, err := raw.Ints()
	if err != nil {
		panic(err)
	}
	out := make([]int, len(v))
	for i := range v {
		need(int64(int(v[i])) == v[i], "%d is more than this machine counts to", v[i])
		out[i] = int(v[i])
	}
	return out
}

func int64s(values []int, dims ...int) *tensors.Tensor {
	t := tensors.FromShape(shapes.Make(dtypes.Int64, dims...))
	if len(values) == 0 {
		return t
	}
	err := t.MutableBytes(func(b []byte) {
		for i, v := range values {
			binary.LittleEndian.PutUint64(b[8*i:], uint64(v))
		}
	})
	if err != nil {
		panic(err)
	}
	return t
}

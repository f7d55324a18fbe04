package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/npy"
	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/internal/untrusted"
	"github.com/ballast-ml/ballast/onnxrun"
)

// openGraph opens an ONNX graph, and checks that it takes the inputs.
func (a *app) openGraph(path string, arrays map[string]*npy.Array) (r runnable, err error) {
	m, err := onnx.Open(path)
	if err != nil {
		return r, err
	}
	graph, err := onnxrun.New(m)
	if err != nil {
		return r, err
	}
	inputs := map[string]*tensors.Tensor{}
	for name, array := range arrays {
		var declared onnx.Value
		for _, v := range graph.Inputs() {
			if v.Name == name || name == "" && len(graph.Inputs()) == 1 {
				name, declared = v.Name, v
				break
			}
		}
		if name == "" {
			return r, &fault.Usage{Err: fmt.Errorf("the graph has %d inputs, %s; give each as NAME=FILE.npy", len(graph.Inputs()), inputNames(graph))}
		}
		if err := graph.CheckShape(declared, array.Shape); err != nil { // before it is read
			return r, err
		}
		if inputs[name], err = graphInput(array, declared.Type); err != nil {
			return r, fmt.Errorf("input %s: %w", printable.Line(name), err)
		}
	}
	for _, v := range graph.Outputs() {
		r.outputs = append(r.outputs, v.Name)
	}
	r.run = func(ctx context.Context) ([]runOutput, error) { return a.runGraph(ctx, m, graph, inputs) }
	return r, nil
}

// runGraph runs the graph of a model.
func (a *app) runGraph(ctx context.Context, m *onnx.Model, graph *onnxrun.Graph, inputs map[string]*tensors.Tensor) ([]runOutput, error) {
	e, err := a.openEngine()
	if err != nil {
		return nil, err
	}
	defer e.Close()
	results, err := graph.RunContext(ctx, e.Backend, inputs)
	if err != nil {
		return nil, err
	}
	a.leftOut(graph, m)
	var outputs []runOutput
	for _, v := range graph.Outputs() {
		if results[v.Name] == nil {
			continue
		}
		o, err := graphOutput(v.Name, results[v.Name])
		if err != nil {
			return nil, err
		}
		outputs = append(outputs, o)
	}
	return outputs, nil
}

// leftOut says which outputs are not written, as they are strings: those of a classifier with names for its classes, mostly.
func (a *app) leftOut(graph *onnxrun.Graph, m *onnx.Model) {
	for _, name := range graph.LeftOut {
		text := "left out: output " + printable.Line(name) + "; its values are strings, which engines do not have"
		if labels := onnxrun.ClassLabels(m); labels != nil {
			const most = 20
			if len(labels) > most {
				labels = append(labels[:most:most], "...")
			}
			text += "; the scores are those of " + printable.Line(strings.Join(labels, ", "))
		}
		a.remark("%s", text)
	}
}

// inputNames is "a, b and c".
func inputNames(graph *onnxrun.Graph) string {
	var names []string
	for i, v := range graph.Inputs() {
		if i == 20 {
			names = append(names, "others")
			break
		}
		names = append(names, printable.Line(v.Name))
	}
	if n := len(names); n > 1 {
		names = append(names[:n-2], names[n-2]+" and "+names[n-1])
	}
	return strings.Join(names, ", ")
}

// graphInput makes a tensor of an array. Numbers are given in the type that the graph declares where it is float32 or int64: arrays of
// other programs come as float64 and int32 as well.
// An array that memory cannot hold is not read.
func graphInput(array *npy.Array, declared onnx.DataType) (*tensors.Tensor, error) {
	const most = 2 * 8 // the numbers as they are read, and as the engine has them, in at most 8 bytes each
	if _, err := untrusted.Bytes("the array", most, array.Shape...); err != nil {
		return nil, err
	}
	switch declared {
	case onnx.Float:
		v, err := array.Float32s()
		if err != nil {
			return nil, err
		}
		return tensors.FromFlatDataAndDimensions(slices.Clone(v), array.Shape...), nil
	case onnx.Int64:
		v, err := array.Int64s()
		if err != nil {
			return nil, err
		}
		return tensors.FromFlatDataAndDimensions(slices.Clone(v), array.Shape...), nil
	}
	for d, t := range graphTypes {
		if t != array.DType {
			continue
		}
		x := tensors.FromShape(shapes.Make(d, array.Shape...))
		raw := make([]byte, array.Len()*array.DType.Size())
		if err := array.ReadRaw(raw, 0); err != nil {
			return nil, err
		}
		if len(raw) == 0 {
			return x, nil
		}
		return x, x.MutableBytes(func(b []byte) { copy(b, raw) })
	}
	return nil, fmt.Errorf("engines have no type %s", array.DType)
}

// graphTypes are the types of tensors in NumPy's words.
var graphTypes = map[dtypes.DType]npy.DType{
	dtypes.Float64: npy.Float64, dtypes.Float32: npy.Float32, dtypes.Float16: npy.Float16, dtypes.Bool: npy.Bool,
	dtypes.Int64: npy.Int64, dtypes.Int32: npy.Int32, dtypes.Int16: npy.Int16, dtypes.Int8: npy.Int8,
	dtypes.Uint64: npy.Uint64, dtypes.Uint32: npy.Uint32, dtypes.Uint16: npy.Uint16, dtypes.Uint8: npy.Uint8,
}

// graphOutput makes an array of a tensor; bfloat16, which NumPy lacks, becomes float32.
func graphOutput(name string, t *tensors.Tensor) (runOutput, error) {
	o := runOutput{Name: name, Shape: append([]int{}, t.Shape().Dimensions...), DType: graphTypes[t.DType()]}
	if t.Shape().Size() > 0 {
		if err := t.ConstBytes(func(b []byte) { o.bytes = bytes.Clone(b) }); err != nil {
			return o, err
		}
	}
	switch {
	case o.DType != "":
		return o, nil
	case t.DType() != dtypes.BFloat16:
		return o, errors.New("output " + name + " has type " + t.DType().String() + ", which NumPy lacks")
	}
	wide := make([]byte, 0, 2*len(o.bytes))
	for i := 0; i < len(o.bytes); i += 2 {
		wide = binary.LittleEndian.AppendUint32(wide, uint32(binary.LittleEndian.Uint16(o.bytes[i:]))<<16)
	}
	o.DType, o.bytes = npy.Float32, wide
	return o, nil
}

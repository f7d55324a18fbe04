package onnxrun

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/internal/printable"
)

// valueTypes are the types of a graph's values by name, as far as the model and the schemas of its operators say them.
type valueTypes struct {
	m     *onnx.Model
	of    map[string]onnx.DataType
	outer *valueTypes
}

// get is the type of a value, 0 if it is not known.
func (v *valueTypes) get(name string) onnx.DataType {
	for ; v != nil && name != ""; v = v.outer {
		if t, ok := v.of[name]; ok {
			return t
		}
	}
	return 0
}

// unlessTypes has an operator refuse nodes for the types of their inputs, before anything runs; a type that is not known is 0. An empty
// text is none.
func (o operator) unlessTypes(reason func(n *onnx.Node, in []onnx.DataType) string) operator {
	o.refusesTypes = reason
	return o
}

// checkTypes refuses the first node of a graph that does not run for the types of its inputs.
func checkTypes(m *onnx.Model, g *onnx.Graph, outer *valueTypes) error {
	v := &valueTypes{m: m, of: map[string]onnx.DataType{}, outer: outer}
	for _, in := range g.Inputs {
		v.of[in.Name] = in.Type
	}
	for _, t := range g.Initializers {
		v.of[t.Name] = t.Type
	}

	for _, n := range g.Nodes {
		in := make([]onnx.DataType, len(n.Inputs))
		for i, name := range n.Inputs {
			in[i] = v.get(name)
		}
		if op := operatorOf(n); op.refusesTypes != nil {
			if text := op.refusesTypes(n, in); text != "" {
				return &fault.Input{File: m.Path, Field: n.String(), Err: errors.New(printable.Line(text)), Fix: "export the model with another type"}
			}
		}
		for i := range n.Attributes {
			if sub := n.Attributes[i].Graph; sub != nil {
				if err := checkTypes(m, sub, v); err != nil {
					return err
				}
			}
		}
		v.node(n, in)
	}
	return nil
}

// node notes the types of a node's outputs.
func (v *valueTypes) node(n *onnx.Node, in []onnx.DataType) {
	s := schemaOf(v.m, n)
	bound := map[string]onnx.DataType{}
	if s != nil {
		for i, t := range in {
			if name := parameterType(s.inputs, i); t != 0 && bound[name] == 0 {
				bound[name] = t
			}
		}
	}

	for i, name := range n.Outputs {
		if name == "" {
			continue
		}
		v.of[name] = 0
		if s == nil || n.Op == "If" || n.Op == "Loop" || n.Op == "Scan" { // whose variables stand for a type of their own at each place
			continue
		}
		kind := parameterType(s.outputs, i)
		v.of[name] = bound[kind]
		if fixed, ok := strings.CutPrefix(kind, "tensor("); ok {
			v.of[name] = schemaTypes[strings.TrimSuffix(fixed, ")")]
		} else if to := n.Attribute("to"); to != nil && i == 0 && (n.Op == "Cast" || n.Op == "BitCast") {
			v.of[name] = onnx.DataType(to.Int)
		} else if t := n.Attribute("value"); t != nil && t.Tensor != nil && (n.Op == "Constant" || n.Op == "ConstantOfShape") {
			v.of[name] = t.Tensor.Type
		}
	}
}

// parameterType is the type of a parameter as a schema says it: a variable, or tensor(...).
func parameterType(parameters []string, i int) string {
	if len(parameters) == 0 {
		return ""
	}
	_, kind, _ := strings.Cut(parameters[min(i, len(parameters)-1)], ":")
	return strings.TrimRight(kind, "?*")
}

// schemaTypes are the engines' types by the names of the table.
var schemaTypes = map[string]onnx.DataType{
	"float": onnx.Float, "double": onnx.Double, "float16": onnx.Float16, "bfloat16": onnx.BFloat16, "bool": onnx.Bool,
	"int8": onnx.Int8, "int16": onnx.Int16, "int32": onnx.Int32, "int64": onnx.Int64,
	"uint8": onnx.Uint8, "uint16": onnx.Uint16, "uint32": onnx.Uint32, "uint64": onnx.Uint64,
}

// isFloats and isInts report on types that are known; a type that is not is neither.
func isFloats(t onnx.DataType) bool {
	d, ok := engineTypes[t]
	return ok && d.IsFloat()
}

func isInts(t onnx.DataType) bool {
	d, ok := engineTypes[t]
	return ok && !d.IsFloat() && d != dtypes.Bool
}

// typeAt is the type of an input, 0 if it is not there.
func typeAt(in []onnx.DataType, i int) onnx.DataType {
	if i < len(in) {
		return in[i]
	}
	return 0
}

// functionOfInts refuses an activation that makes fractions of integers.
func functionOfInts(n *onnx.Node, in []onnx.DataType) string {
	a := n.Attribute("activation")
	if a == nil || !isInts(typeAt(in, 0)) || slices.Contains([]string{"", "Relu"}, string(a.Bytes)) {
		return ""
	}
	return fmt.Sprintf("activation %s of %s is not supported", a.Bytes, in[0])
}

// numbersInCache refuses caches of codes: nothing says here what they stand for.
func numbersInCache(_ *onnx.Node, in []onnx.DataType) string {
	for _, i := range []int{3, 4} {
		if t := typeAt(in, i); isInts(t) {
			return fmt.Sprintf("a cache of %s is not supported", t)
		}
	}
	return ""
}

// scaleOfInput refuses a scale of another type than the input: by the schema the output has the type of the scale, by the inference of
// types that of the input, and the body that defines the operator multiplies both.
func scaleOfInput(_ *onnx.Node, in []onnx.DataType) string {
	x, scale := typeAt(in, 0), typeAt(in, 1)
	if x == 0 || scale == 0 || x == scale {
		return ""
	}
	return fmt.Sprintf("a scale of %s for an input of %s is not supported", scale, x)
}

// ofOneSize refuses to read elements as those of a type of another size.
func ofOneSize(n *onnx.Node, in []onnx.DataType) string {
	to := n.Attribute("to")
	from := engineTypes[typeAt(in, 0)]
	d, ok := engineTypes[onnx.DataType(to.Int)]
	switch {
	case !ok:
		return fmt.Sprintf("the engines have no type %s", onnx.DataType(to.Int))
	case from == dtypes.InvalidDType || from.Size() == d.Size() && (from == dtypes.Bool) == (d == dtypes.Bool):
		return ""
	}
	return fmt.Sprintf("elements of %s cannot be read as %s, which has another size", in[0], onnx.DataType(to.Int))
}

// keysOfInput refuses tables whose keys have another type than the input.
func keysOfInput(n *onnx.Node, in []onnx.DataType) string {
	t := typeAt(in, 0)
	keys := n.Attribute("keys_tensor")
	switch {
	case t == 0:
		return ""
	case keys != nil && keys.Tensor != nil:
		if keys.Tensor.Type != t {
			return fmt.Sprintf("keys_tensor is of %s, the input of %s", keys.Tensor.Type, t)
		}
	case n.Attribute("keys_floats") != nil && !isFloats(t):
		return fmt.Sprintf("keys_floats for an input of %s", t)
	case n.Attribute("keys_floats") == nil && n.Attribute("keys_int64s") != nil && !isInts(t):
		return fmt.Sprintf("keys_int64s for an input of %s", t)
	}
	return ""
}

// replacedOfInput refuses values in place of missing ones that have another type than the input.
func replacedOfInput(n *onnx.Node, in []onnx.DataType) string {
	t := typeAt(in, 0)
	name := "imputed_value_floats"
	if isInts(t) {
		name = "imputed_value_int64s"
	}
	if t == 0 || n.Attribute(name) != nil {
		return ""
	}
	return fmt.Sprintf("%s is missing for an input of %s", name, t)
}

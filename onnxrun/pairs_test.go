package onnxrun

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/format/onnx"
)

// typedCase is a model of one operator on inputs, some of them as tensors of the model, for other types of its variables.
type typedCase struct {
	name   string
	op     string
	opset  int64
	parse  func() *onnx.Model
	inputs []*tensors.Tensor // of the model
	schema schema
}

// typedCases are the cases of all operators on their usual types: of ONNX's schemas in each version, and those beside onnxruntime.
func typedCases(t *testing.T) (all []typedCase) {
	t.Helper()
	parse := func(raw []byte, opset int64) func() *onnx.Model {
		return func() *onnx.Model {
			m, err := onnx.Parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			n := m.Graph.Nodes[0]
			if opset > 0 {
				m.Opsets[n.Domain] = opset
				if n.Domain != "" {
					m.Opsets[""] = 18
				}
			}
			return m
		}
	}
	add := func(k typedCase) {
		m := k.parse()
		if s := schemaOf(m, m.Graph.Nodes[0]); s != nil && len(m.Graph.Nodes) == 1 {
			k.op, k.opset, k.schema = operatorName(m.Graph.Nodes[0]), m.Opsets[m.Graph.Nodes[0].Domain], *s
			all = append(all, k)
		}
	}
	for _, c := range schemaCases(t) {
		if c.Type[0] == "" {
			for _, opset := range c.Opsets {
				add(typedCase{name: c.String(), parse: parse(c.model, opset), inputs: c.in})
			}
		}
	}
	for _, c := range peerCases(t) {
		add(typedCase{name: c.name, parse: parse(c.model, 0), inputs: c.in})
	}
	return all
}

// usual are the types that the variables of a case's inputs have.
func (k *typedCase) usual() map[string]onnx.DataType {
	m := k.parse()
	is := map[string]onnx.DataType{}
	for i, v := range m.Graph.Inputs {
		is[v.Name] = typeOf(k.inputs[i].DType())
	}
	for _, w := range m.Graph.Initializers {
		is[w.Name] = w.Type
	}
	vars := map[string]onnx.DataType{}
	for i, name := range m.Graph.Nodes[0].Inputs {
		if v := parameterType(k.schema.inputs, i); k.schema.types[v] != nil && name != "" {
			vars[v] = is[name]
		}
	}
	return vars
}

// run computes a case with other types of its variables.
func (k *typedCase) run(e *engine.Engine, vars map[string]onnx.DataType) (m *onnx.Model, out []*tensors.Tensor, refused, err error) {
	m = k.parse()
	node := m.Graph.Nodes[0]
	kind := map[string]onnx.DataType{}
	for i, name := range node.Inputs {
		if t, ok := vars[parameterType(k.schema.inputs, i)]; ok {
			kind[name] = t
		}
	}
	inputs := map[string]*tensors.Tensor{}
	for i := range m.Graph.Inputs {
		v := &m.Graph.Inputs[i]
		x := k.inputs[i]
		if t, ok := kind[v.Name]; ok {
			x, v.Type = retyped(x, engineTypes[t]), t
		} else {
			x = ofBytes(x.DType(), bytesIn(x), x.Shape().Dimensions...)
		}
		inputs[v.Name] = x
	}
	for _, w := range m.Graph.Initializers {
		if t, ok := kind[w.Name]; ok && w.Type != t {
			x, err := Tensor(w)
			if err != nil {
				return m, nil, nil, err
			}
			w.Type, w.Raw = t, bytesIn(retyped(x, engineTypes[t]))
		}
	}
	for i := range m.Graph.Outputs {
		m.Graph.Outputs[i].Type = 0
	}
	if refused = Check(m); refused != nil {
		return m, nil, refused, nil
	}
	g, err := New(m)
	if err != nil {
		return m, nil, nil, err
	}
	defer g.forget()
	got, err := g.Run(e, inputs)
	if err != nil {
		return m, nil, nil, err
	}
	for _, v := range g.Outputs() {
		out = append(out, got[v.Name])
	}
	return m, out, nil, nil
}

// retyped are the numbers of x in another type, without their sign where it has none.
func retyped(x *tensors.Tensor, d dtypes.DType) *tensors.Tensor {
	if d == x.DType() {
		return ofBytes(d, bytesIn(x), x.Shape().Dimensions...)
	}
	v := numbersOf(x)
	for i := range v {
		if d.IsUnsigned() {
			v[i] = math.Abs(v[i])
		}
		if d.IsInt() && math.IsNaN(v[i]) {
			v[i] = 1
		}
		if d.IsInt() { // what is not 0 stays so, and what lies beyond the type goes to its end
			v[i] = math.Copysign(math.Ceil(math.Abs(v[i])), v[i])
			top := math.Exp2(float64(8*d.Size()-1)) - 1
			v[i] = math.Max(math.Min(v[i], math.Min(top, 0x1p62)), -math.Min(top, 0x1p62))
		}
	}
	return made(d, v, x.Shape().Dimensions...)
}

// combinations are all bindings of variables to types that a schema allows and the engines know.
func combinations(s *schema, vars map[string]onnx.DataType) (all []map[string]onnx.DataType) {
	all = []map[string]onnx.DataType{{}}
	for _, v := range slices.Sorted(maps.Keys(vars)) {
		var next []map[string]onnx.DataType
		for _, name := range s.types[v] {
			t, ok := schemaTypes[name]
			if !ok {
				continue
			}
			for _, before := range all {
				b := maps.Clone(before)
				b[v] = t
				next = append(next, b)
			}
		}
		if len(next) > 0 {
			all = next
		}
	}
	return all
}

// TestTypePairs gives every operator whose inputs have several variables of types every combination of those that its schema allows: it
// runs, with outputs of the types that the schema says and the numbers that it gives where the variables after the first have their
// usual types; or is refused by name before anything runs. All of them with BALLAST_TEST_WALK=all, else a part; of an engine that
// compiles a part of that.
func TestTypePairs(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		share := pairsShare
		if os.Getenv("BALLAST_TEST_WALK") == "all" {
			share = 1
		}
		if e.Kind != engine.KindGo {
			share *= compiledPairs
		}
		ran, refusals, at := 0, map[string]int{}, 0
		failed := map[string]int{}
		for _, k := range typedCases(t) {
			vars := k.usual()
			list := combinations(&k.schema, vars)
			if len(list) < 2 || slices.Contains(heterogeneous, k.op) {
				continue
			}
			for _, b := range list {
				if at++; at%share != 0 {
					continue
				}
				text := fmt.Sprintf("%s %v", k.name, b)
				m, out, refused, err := k.run(e, b)
				switch {
				case err != nil && k.ofValues(err):
					continue
				case err != nil:
					if failed[k.op]++; failed[k.op] < 12 {
						t.Errorf("%s fails when it runs: %.300v", text, err)
					}
					continue
				case refused != nil:
					if !strings.Contains(refused.Error(), m.Graph.Nodes[0].String()) && !strings.Contains(refused.Error(), k.op) {
						t.Errorf("%s: %v", text, refused)
					}
					refusals[k.op]++
					continue
				}
				ran++
				if err := k.compare(e, b, vars, out); err != nil {
					if failed[k.op]++; failed[k.op] < 12 {
						t.Errorf("%s: %v", text, err)
					}
				}
			}
		}
		t.Logf("%d ran, refused: %v", ran, refusals)
		if ran < 30000/share {
			t.Errorf("%d combinations ran", ran)
		}
	})
}

// heterogeneous are operators whose variables stand for a type of their own at each place.
var heterogeneous = []string{"If", "Loop", "Scan"}

// ofValues reports whether an error is one of the values or shapes of a case, which with another type are wrong.
func (k *typedCase) ofValues(err error) bool {
	return strings.Contains(err.Error(), "no integer is their mean") || k.op == "com.microsoft.MatMulNBits" && strings.Contains(err.Error(), "zero_points")
}

// pairsShare is how many combinations pass by for each that runs where not all do, and compiledPairs how many of those for each that an engine
// compiles.
const (
	pairsShare    = 7
	compiledPairs = 151
)

// compare holds the outputs for a binding against the schema's types, and against those where the variables after the first are usual, if
// both have the same numbers: whole ones stay whole, and floats differ by roundings.
func (k *typedCase) compare(e *engine.Engine, b, usual map[string]onnx.DataType, out []*tensors.Tensor) error {
	m := k.parse()
	for i, x := range out {
		place := slices.Index(m.Graph.Nodes[0].Outputs, m.Graph.Outputs[i].Name)
		if t, ok := b[parameterType(k.schema.outputs, place)]; ok && x.DType() != engineTypes[t] {
			return fmt.Errorf("output %d is %s, want %s", place, x.DType(), t)
		}
	}

	plain := maps.Clone(usual)
	if first := parameterType(k.schema.inputs, 0); b[first] != 0 {
		plain[first] = b[first]
	}
	share := 1e-5
	for v, t := range b {
		from, to := engineTypes[plain[v]], engineTypes[t]
		if from.IsFloat() != to.IsFloat() || !from.IsFloat() && (from.IsUnsigned() != to.IsUnsigned() || from == dtypes.Bool || to == dtypes.Bool || to.Size() < 4) {
			return nil
		}
		for _, t := range []onnx.DataType{t, plain[v]} {
			share = math.Max(share, map[onnx.DataType]float64{onnx.Float16: 4e-3, onnx.BFloat16: 4e-2}[t])
		}
	}
	if maps.Equal(plain, b) {
		return nil
	}
	_, want, refused, err := k.run(e, plain)
	if err != nil || refused != nil {
		return nil // said where that binding comes
	}
	for i, x := range out {
		if x.DType() == want[i].DType() && bytes.Equal(bytesIn(x), bytesIn(want[i])) || !x.DType().IsFloat() && x.DType() != want[i].DType() {
			continue
		}
		if err := loosely(x, want[i], share); err != nil && !(share > 1e-5 && oneApart(x, want[i])) {
			return fmt.Errorf("output %d: %w", i, err)
		}
	}
	return nil
}

// oneApart reports whether integers are the same or next to each other, as where fractions are cut off that are rounded otherwise.
func oneApart(got, want *tensors.Tensor) bool {
	a, b := numbersOf(got), numbersOf(want)
	for i := range b {
		if math.Abs(a[i]-b[i]) > 1 {
			return false
		}
	}
	return got.DType().IsInt() && len(a) == len(b)
}

// GridSample of integers takes what lies between their elements as floats have it, without the fraction; of bools, what is not 0 is true.
func TestGridOfIntegers(t *testing.T) {
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		ran := 0
		for _, k := range typedCases(t) {
			if k.op != "GridSample" {
				continue
			}
			whole := func(v onnx.DataType) []*tensors.Tensor { // of the maps as integers, in type v
				in := k
				in.inputs = slices.Clone(k.inputs)
				in.inputs[0] = retyped(k.inputs[0], dtypes.Int32)
				_, out, refused, err := in.run(e, map[string]onnx.DataType{"T1": v, "T2": typeOf(k.inputs[1].DType())})
				if err != nil || refused != nil {
					t.Fatalf("%s of %s: %v, %v", k.name, v, refused, err)
				}
				return out
			}
			want := numbersOf(whole(onnx.Double)[0])
			for i, got := range numbersOf(whole(onnx.Int16)[0]) {
				if math.Abs(got-math.Trunc(want[i])) > 0 && math.Abs(want[i]-math.Round(want[i])) > 1e-4 {
					t.Errorf("%s: element %d is %v, want %v without its fraction", k.name, i, got, want[i])
				}
			}
			ran++
		}
		if ran < 20 {
			t.Errorf("%d cases ran", ran)
		}
	})
}

package onnxrun

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/format/onnx"
)

// inType is a case with its float32 inputs and initialisers in another type of floats.
func (k *peerCase) inType(t onnx.DataType) (*onnx.Model, []*tensors.Tensor, error) {
	m, err := onnx.Parse(k.model)
	if err != nil {
		return nil, nil, err
	}
	m.Path = "m.onnx"
	d := engineTypes[t]
	change := func(x *tensors.Tensor) *tensors.Tensor {
		return made(d, (&call{in: []*value{{known: x}}}).floats(0), x.Shape().Dimensions...)
	}
	in := make([]*tensors.Tensor, len(k.in))
	for i, x := range k.in {
		in[i] = x
		if x.DType() == dtypes.Float32 {
			in[i], m.Graph.Inputs[i].Type = change(x), t
		}
	}
	for _, w := range m.Graph.Initializers {
		if w.Type != onnx.Float {
			continue
		}
		x, err := Tensor(w)
		if err != nil {
			return nil, nil, err
		}
		w.Type, w.Raw = t, bytesIn(change(x))
	}
	return m, in, nil
}

// loosely compares with what float32 gave.
func loosely(got, want *tensors.Tensor, share float64) error {
	if want.DType() == dtypes.Float32 && !got.DType().IsFloat() {
		return fmt.Errorf("type %s", got.DType())
	}
	if fmt.Sprint(got.Shape().Dimensions) != fmt.Sprint(want.Shape().Dimensions) {
		return fmt.Errorf("shape %s, want %s", got.Shape(), want.Shape())
	}
	read := func(x *tensors.Tensor) []float64 { return (&call{in: []*value{{known: x}}}).floats(0) }
	a, b := read(got), read(want)
	top := 0.0
	for _, v := range b {
		if !math.IsInf(v, 0) && !math.IsNaN(v) {
			top = max(top, math.Abs(v))
		}
	}
	for i := range a {
		if a[i] != b[i] && !(math.IsNaN(a[i]) && math.IsNaN(b[i])) && !(math.Abs(a[i]-b[i]) <= share*top) {
			return fmt.Errorf("element %d is %v, want %v", i, a[i], b[i])
		}
	}
	return nil
}

// Operators of floats take the other types of floats, with their own precision.
func TestOtherFloats(t *testing.T) {
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, k := range peerCases(t) {
		family, _, _ := strings.Cut(k.name, "/")
		if !strings.Contains("attention norms arrange sampling fourier fused", family) || strings.HasPrefix(k.name,
			"fused/bits") || strings.Contains(k.name, "bits_as") ||
			slices.ContainsFunc(k.in, func(x *tensors.Tensor) bool { return x.DType() == dtypes.Float16 }) {
			continue
		}
		for kind, share := range map[onnx.DataType]float64{onnx.Float16: 0.02, onnx.BFloat16: 0.12, onnx.Double: 1e-4} {
			m, in, err := k.inType(kind)
			if err != nil {
				t.Fatal(err)
			}
			g, err := New(m)
			if err != nil {
				t.Errorf("%s as %s: %v", k.name, kind, err)
				continue
			}
			inputs := map[string]*tensors.Tensor{}
			for i, v := range g.Inputs() {
				inputs[v.Name] = in[i]
			}
			out, err := g.Run(e, inputs)
			if err != nil {
				t.Errorf("%s as %s: %v", k.name, kind, err)
				continue
			}
			ran++
			for i, v := range g.Outputs() {
				if err := loosely(out[v.Name], k.out[i], share); err != nil {
					t.Errorf("%s as %s: %s: %v", k.name, kind, v.Name, err)
				}
			}
		}
	}
	if ran < 600 {
		t.Errorf("%d cases ran", ran)
	}
}

// Norms of no examples give none.
func TestEmptyNorms(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		ran := 0
		for _, k := range peerCases(t) {
			if !slices.Contains([]string{"norms/rms_last", "norms/group_21", "norms/skip_plain", "norms/swish", "norms/bias_gelu"}, k.name) {
				continue
			}
			m, err := onnx.Parse(k.model)
			if err != nil {
				t.Fatal(err)
			}
			inputs := map[string]*tensors.Tensor{}
			for i := range m.Graph.Inputs {
				v := &m.Graph.Inputs[i]
				x := k.in[i]
				if d := slices.Clone(x.Shape().Dimensions); len(d) > 2 {
					v.Rank, v.Dims, d[0] = -1, nil, 0
					x = tensors.FromShape(shapes.Make(x.DType(), d...))
				}
				inputs[v.Name] = x
			}
			g, err := New(m)
			if err != nil {
				t.Fatal(err)
			}
			out, err := g.Run(e, inputs)
			if err != nil {
				t.Errorf("%s: %v", k.name, err)
				continue
			}
			ran++
			want := slices.Clone(k.out[0].Shape().Dimensions)
			want[0] = 0
			if got := out[g.Outputs()[0].Name].Shape().Dimensions; !slices.Equal(got, want) {
				t.Errorf("%s: %v, want %v", k.name, got, want)
			}
		}
		if ran < 5 {
			t.Errorf("%d ran", ran)
		}
	})
}

package onnxrun

import (
	"archive/zip"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/format/onnx"
)

// sampledCases is how many cases pass by, without BALLAST_TEST_WALK=all, for each one that is run on a compiling engine as well.
const sampledCases = 12

// peerCase is a model of one operator with inputs and what another runtime gives; bench/peers/onnx_operators.py writes them.
type peerCase struct {
	name  string
	model []byte
	in    []*tensors.Tensor
	out   []*tensors.Tensor
}

// peerCases reads all cases, by name.
func peerCases(t *testing.T) []peerCase {
	t.Helper()
	files, err := filepath.Glob("testdata/cases/*.zip")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files of cases: %v", len(files), err)
	}
	var cases []peerCase
	for _, file := range files {
		entries := map[string][]byte{}
		z, err := zip.OpenReader(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range z.File {
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			if entries[f.Name], err = io.ReadAll(r); err != nil {
				t.Fatal(err)
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}

		family := strings.TrimSuffix(filepath.Base(file), ".zip")
		for _, name := range slices.Sorted(maps.Keys(entries)) {
			name, ok := strings.CutSuffix(name, ".onnx")
			if !ok {
				continue
			}
			list := func(kind string) (out []*tensors.Tensor) {
				for i := 0; ; i++ {
					data, ok := entries[fmt.Sprintf("%s.%s.%d.pb", name, kind, i)]
					if !ok {
						return out
					}
					raw, err := onnx.ParseTensor(data)
					if err != nil {
						t.Fatalf("%s/%s: %v", family, name, err)
					}
					x, err := Tensor(raw)
					if err != nil {
						t.Fatalf("%s/%s: %v", family, name, err)
					}
					out = append(out, x)
				}
			}
			cases = append(cases, peerCase{family + "/" + name, entries[name+".onnx"], list("in"), list("out")})
		}
	}
	return cases
}

// run runs a case and compares.
func (k *peerCase) run(e *engine.Engine) error {
	m, err := onnx.Parse(k.model)
	if err != nil {
		return err
	}
	m.Path = "m.onnx"
	g, err := New(m)
	if err != nil {
		return err
	}
	inputs := map[string]*tensors.Tensor{}
	for i, v := range g.Inputs() {
		inputs[v.Name] = k.in[i]
	}
	out, err := g.Run(e, inputs)
	if err != nil {
		return err
	}
	for i, v := range g.Outputs() {
		if err := agree(out[v.Name], k.out[i]); err != nil {
			return fmt.Errorf("WRONG %s: %w", v.Name, err)
		}
	}
	return nil
}

// agree compares integers exactly, and floats within some roundings of their type, counted from the largest of the tensor.
func agree(got, want *tensors.Tensor) error {
	if !got.Shape().Equal(want.Shape()) {
		return fmt.Errorf("shape %s, want %s", got.Shape(), want.Shape())
	}
	read := func(x *tensors.Tensor) []float64 { return (&call{in: []*value{{known: x}}}).floats(0) }
	a, b := read(got), read(want)
	share := map[dtypes.DType]float64{dtypes.Float64: 1e-9, dtypes.Float32: 2e-5, dtypes.Float16: 4e-3,
		dtypes.BFloat16: 2e-2}[got.DType()]
	top := 0.0
	for _, v := range b {
		if !math.IsInf(v, 0) && !math.IsNaN(v) {
			top = max(top, math.Abs(v))
		}
	}
	for i := range a {
		if a[i] == b[i] || math.IsNaN(a[i]) && math.IsNaN(b[i]) {
			continue
		}
		if math.IsInf(b[i], 0) || !(math.Abs(a[i]-b[i]) <= share*(math.Abs(b[i])+0.1*top)) {
			return fmt.Errorf("element %d is %v, want %v", i, a[i], b[i])
		}
	}
	return nil
}

// TestCases runs every case on the Go engine, and a sample, or all with BALLAST_TEST_WALK=all, on the others.
func TestCases(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		cases := peerCases(t) // for each engine, as a tensor stays where it was used
		step := sampledCases
		if e.Kind == engine.KindGo || os.Getenv("BALLAST_TEST_WALK") == "all" {
			step = 1
		}
		ran := 0
		for i := 0; i < len(cases); i += step {
			ran++
			if err := cases[i].run(e); err != nil {
				t.Errorf("%s: %.300v", cases[i].name, err)
			}
		}
		t.Logf("%d of %d cases", ran, len(cases))
	})
}

package onnxrun

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/npy"
	"github.com/ballast-ml/ballast/format/onnx"
)

// arrayTypes are the engines' types by how NumPy's files name them.
var arrayTypes = map[string]dtypes.DType{
	"|b1": dtypes.Bool, "|i1": dtypes.Int8, "|u1": dtypes.Uint8, "<i2": dtypes.Int16, "<u2": dtypes.Uint16, "<i4": dtypes.Int32, "<i8": dtypes.Int64,
	"<f2": dtypes.Float16, "<f4": dtypes.Float32, "<f8": dtypes.Float64,
}

var describes = regexp.MustCompile(`'descr': '([^']*)'`)

// readArray reads one of NumPy's files.
func readArray(t *testing.T, file string) *tensors.Tensor {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	a, err := npy.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	d, ok := arrayTypes[string(describes.FindSubmatch(data)[1])]
	if !ok {
		t.Fatalf("%s: %s", file, a.DType)
	}
	x := tensors.FromShape(shapes.Make(d, a.Shape...))
	if x.Shape().Size() > 0 {
		err = x.MutableBytes(func(b []byte) { copy(b, data[len(data)-len(b):]) })
	}
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// Graphs on which the product failed once, or that others get wrong, give what is right; want_NAME.npy is output NAME, out_N.npy output N.
// A graph whose index lies beyond its table has no such file: it is refused, and the error names node, index and range.
func TestFaults(t *testing.T) {
	files, err := filepath.Glob("testdata/faults/*/model.onnx")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d graphs: %v", len(files), err)
	}
	beyond := regexp.MustCompile(`node of "y" \([A-Za-z]+\): index -?[0-9]+ of [0-9]+: the indices are`)
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for _, file := range files {
			dir := filepath.Dir(file)
			m, err := onnx.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			o, err := New(m)
			if err != nil {
				t.Fatal(err)
			}
			inputs := map[string]*tensors.Tensor{}
			for _, v := range o.Inputs() {
				name := v.Name
				if _, err := os.Stat(filepath.Join(dir, name+".npy")); err != nil {
					name = "in_" + strings.TrimLeft(name, "xm")
					if name == "in_" {
						name = "in_0"
					}
				}
				inputs[v.Name] = readArray(t, filepath.Join(dir, name+".npy"))
			}

			got, err := o.Run(e, inputs)
			if strings.Contains(dir, "_beyond") {
				if err == nil || !fault.IsInput(err) || !beyond.MatchString(err.Error()) {
					t.Errorf("%s: %v", dir, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", dir, err)
				continue
			}
			compareFault(t, e.Kind == engine.KindGo, dir, o, got)
		}
	})
}

func compareFault(t *testing.T, rounds bool, dir string, o *Graph, got map[string]*tensors.Tensor) {
	t.Helper()
	compared := 0
	for i, v := range o.Outputs() {
		for _, name := range []string{"want_" + v.Name, "out_" + string(rune('0'+i))} {
			file := filepath.Join(dir, name+".npy")
			if _, err := os.Stat(file); err != nil {
				continue
			}
			compared++
			compare := alike
			if filepath.Base(dir) == "layernorm-float16" {
				compare = transformer
			}
			if err := compare(got[v.Name], readArray(t, file)); err != nil {
				t.Errorf("%s: %s: %v", dir, v.Name, err)
			}
		}
	}

	if filepath.Base(dir) == "layernorm-float16" && rounds {
		if err := stepsApart(got[o.Outputs()[0].Name], readArray(t, filepath.Join(dir, "spec_0.npy"))); err != nil {
			t.Errorf("%s: by the specification: %v", dir, err)
		}
	}

	// What onnxruntime gives where the folder holds no file of it.
	said := map[string][]float32{"resize_antialias": {1.25, 0.75}}[filepath.Base(dir)]
	if said != nil {
		compared++
		if err := alike(got["y"], tensors.FromFlatDataAndDimensions(said, 1, 1, 1, 2)); err != nil {
			t.Errorf("%s: %v", dir, err)
		}
	}
	if filepath.Base(dir) == "resize_keepratio" {
		compared++
		if d := got["y"].Shape().Dimensions; d[2] != 4 || d[3] != 8 {
			t.Errorf("%s: %v", dir, d)
		}
	}
	if compared == 0 {
		t.Errorf("%s: nothing to compare", dir)
	}
}

// transformer compares what eighty operators give that each round to 11 bits, for values up to 1.3, with onnxruntime, which computes all but
// the layer norms in float32 and does not round between them. What the specification says is in spec_0.npy: each operator in float64 from the
// float16 numbers before it, its output rounded to float16. An engine that rounds as the types say gives that.
func transformer(got, want *tensors.Tensor) error {
	floats := func(x *tensors.Tensor) []float64 { return (&call{in: []*value{{known: x}}}).floats(0) }
	a, b := floats(got), floats(want)
	for i := range b {
		if !(math.Abs(a[i]-b[i]) <= 2e-3) {
			return fmt.Errorf("element %d is %v, want %v", i, a[i], b[i])
		}
	}
	return nil
}

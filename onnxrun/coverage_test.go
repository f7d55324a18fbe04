package onnxrun

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/format/onnx"
)

var writeDocs = flag.Bool("write-onnx", false, "write the table of docs/onnx.md anew")

// testdata is where "make testdata" puts the models that come with ONNX.
func testdata() string {
	cache, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	for _, dir := range []string{filepath.Join(cache, "ballast-onnx-testdata-1.12.0-2"), "/usr"} {
		dir = filepath.Join(dir, "share/libonnx-testdata/data")
		if _, err := os.Stat(filepath.Join(dir, "node")); err == nil {
			return dir
		}
	}
	return ""
}

func needTestdata(t *testing.T) string {
	t.Helper()
	root := testdata()
	if root == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("the models of ONNX's tests are not here: make testdata")
		}
		t.Skip("the models of ONNX's tests are not here: make testdata")
	}
	return root
}

func readTensors(t *testing.T, pattern string) (out []*tensors.Tensor, err error) {
	t.Helper()
	for i := 0; ; i++ {
		data, err := os.ReadFile(fmt.Sprintf(pattern, i))
		if errors.Is(err, os.ErrNotExist) {
			return out, nil
		}
		if err != nil {
			t.Fatal(err)
		}
		raw, err := onnx.ParseTensor(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(fmt.Sprintf(pattern, i)), err)
		}
		x, err := Tensor(raw)
		if err != nil {
			return nil, err
		}
		out = append(out, x)
	}
}

// runCase runs a model on the inputs it comes with and compares, as ONNX's own runner does: |a-b| <= 1e-7 + 1e-3 |b|.
func runCase(t *testing.T, e *engine.Engine, dir string) error {
	m, err := onnx.Open(filepath.Join(dir, "model.onnx"))
	if err != nil {
		return err
	}
	o, err := New(m)
	if err != nil {
		return err
	}
	in, err := readTensors(t, filepath.Join(dir, "test_data_set_0", "input_%d.pb"))
	if err != nil {
		return err
	}
	want, err := readTensors(t, filepath.Join(dir, "test_data_set_0", "output_%d.pb"))
	if err != nil {
		return err
	}
	inputs := map[string]*tensors.Tensor{}
	for i, v := range o.Inputs() {
		if i < len(in) {
			inputs[v.Name] = bfloats(t, in[i], engineTypes[v.Type])
		}
	}
	got, err := o.Run(e, inputs)
	if err != nil {
		return err
	}
	for i, v := range o.Outputs() {
		if i >= len(want) {
			break
		}
		if err := nearly(got[v.Name], bfloats(t, want[i], got[v.Name].DType())); err != nil {
			return fmt.Errorf("WRONG %s: %w", v.Name, err)
		}
	}
	return nil
}

// bfloats is x as bfloat16 where that is wanted: the files hold such values as the integers of their bits.
func bfloats(t *testing.T, x *tensors.Tensor, d dtypes.DType) *tensors.Tensor {
	t.Helper()
	if d != dtypes.BFloat16 || x.DType() != dtypes.Uint16 {
		return x
	}
	y := tensors.FromShape(shapes.Make(d, x.Shape().Dimensions...))
	err := y.MutableBytes(func(to []byte) {
		if err := x.ConstBytes(func(from []byte) { copy(to, from) }); err != nil {
			t.Fatal(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return y
}

func nearly(got, want *tensors.Tensor) error {
	if !got.Shape().Equal(want.Shape()) {
		return fmt.Errorf("shape %s, want %s", got.Shape(), want.Shape())
	}
	floats := func(x *tensors.Tensor) []float64 {
		c := &call{in: []*value{{known: x}}}
		return c.floats(0)
	}
	a, b := floats(got), floats(want)
	for i := range a {
		if math.IsNaN(a[i]) && math.IsNaN(b[i]) || a[i] == b[i] {
			continue
		}
		// An infinite tolerance would take any number for an infinite one.
		if math.IsInf(b[i], 0) || !(math.Abs(a[i]-b[i]) <= 1e-7+1e-3*math.Abs(b[i])) {
			return fmt.Errorf("element %d is %v, want %v", i, a[i], b[i])
		}
	}
	return nil
}

// TestCoverage runs every model of libonnx-testdata; docs/onnx.md says which pass, and must say so truly.
func TestCoverage(t *testing.T) {
	root := needTestdata(t)
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		t.Fatal(err)
	}
	var table, failures strings.Builder
	total, passed := 0, 0
	for _, group := range []string{"node", "pytorch-converted", "pytorch-operator", "simple"} {
		dirs, err := filepath.Glob(filepath.Join(root, group, "*", "model.onnx"))
		if err != nil {
			t.Fatal(err)
		}
		ok := 0
		var not []string
		reasons := map[string]bool{}
		for _, file := range dirs {
			dir := filepath.Dir(file)
			if err := runCase(t, e, dir); err != nil {
				fmt.Fprintf(&failures, "%s/%s: %.300v\n", group, filepath.Base(dir), err)
				not = append(not, strings.TrimPrefix(filepath.Base(dir), "test_"))
				var u *UnsupportedError
				if errors.As(err, &u) {
					for _, op := range u.Ops {
						reasons[op] = true
					}
				}
				continue
			}
			ok++
		}
		total, passed = total+len(dirs), passed+ok
		fmt.Fprintf(&table, "\n## %s: %d of %d\n", group, ok, len(dirs))
		if len(reasons) > 0 {
			fmt.Fprintf(&table, "\nOperators that are not supported: %s.\n", strings.Join(slices.Sorted(maps.Keys(reasons)), ", "))
		}
		if len(not) > 0 {
			fmt.Fprintf(&table, "\nModels that do not pass: %s.\n", strings.Join(not, ", "))
		}
		t.Logf("%s: %d of %d", group, ok, len(dirs))
	}
	if file := os.Getenv("ONNX_FAILURES"); file != "" {
		if err := os.WriteFile(file, []byte(failures.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const mark = "<!-- written by TestCoverage; go test ./onnxrun -run TestCoverage -write-onnx -->\n"
	doc, err := os.ReadFile("../docs/onnx.md")
	if err != nil {
		t.Fatal(err)
	}
	head, old, _ := strings.Cut(string(doc), mark)
	now := fmt.Sprintf("\n%d of %d models pass. Operators supported: %s.\n%s", passed, total, strings.Join(slices.Sorted(maps.Keys(operators())), ", "), table.String())
	if *writeDocs {
		if err := os.WriteFile("../docs/onnx.md", []byte(head+mark+now), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if old != now {
		t.Errorf("docs/onnx.md says otherwise than what passes; run this test with -write-onnx and read the difference")
	}
}

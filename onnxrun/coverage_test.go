package onnxrun

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
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
	defer o.forget()
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

// groups are the folders of libonnx-testdata.
var groups = []string{"node", "pytorch-converted", "pytorch-operator", "simple"}

// coverage runs every model of a group on an engine, and gives what each that fails says, by its name.
func coverage(t *testing.T, e *engine.Engine, root, group string) (names []string, failures map[string]error) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, group, "*", "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	failures = map[string]error{}
	for _, file := range files {
		dir := filepath.Dir(file)
		name := strings.TrimPrefix(filepath.Base(dir), "test_")
		names = append(names, name)
		if err := runCase(t, e, dir); err != nil {
			failures[name] = err
		}
	}
	return names, failures
}

// reasonsOf lists the operators that are why models fail, and the models.
func reasonsOf(failures map[string]error) string {
	ops := map[string]bool{}
	for _, err := range failures {
		var u *UnsupportedError
		if errors.As(err, &u) {
			for _, op := range u.Ops {
				ops[op] = true
			}
		}
	}
	text := ""
	if len(ops) > 0 {
		text += fmt.Sprintf("\nOperators that are not supported: %s.\n", strings.Join(slices.Sorted(maps.Keys(ops)), ", "))
	}
	if len(failures) > 0 {
		text += fmt.Sprintf("\nModels that do not pass: %s.\n", strings.Join(slices.Sorted(maps.Keys(failures)), ", "))
	}
	return text
}

// oneEngine lists the models that pass on one of two engines, each with what the other says.
func oneEngine(host, other map[string]error) (lines []string) {
	for name, err := range other {
		if host[name] == nil {
			lines = append(lines, fmt.Sprintf("%s passes on the Go engine alone: %s", name, firstLine(err)))
		}
	}
	for name, err := range host {
		if other[name] == nil {
			lines = append(lines, fmt.Sprintf("%s passes on xla:cpu alone: %s", name, firstLine(err)))
		}
	}
	slices.Sort(lines)
	return lines
}

func firstLine(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return fmt.Sprintf("%.200s", text)
}

// compiled matches what docs/onnx.md says of XLA, which is measured only where all is run.
var compiled = regexp.MustCompile(`, (\d+) on xla:cpu`)

// TestCoverage runs every model of libonnx-testdata; docs/onnx.md says which pass, and must say so truly. On XLA all of them take some
// minutes: they run with BALLAST_TEST_WALK=all and for -write-onnx; TestEngines runs a part of them.
func TestCoverage(t *testing.T) {
	root := needTestdata(t)
	host, err := engine.Open(engine.KindGo)
	if err != nil {
		t.Fatal(err)
	}
	var other *engine.Engine
	if *writeDocs || os.Getenv("BALLAST_TEST_WALK") == "all" {
		if other, err = engine.Open(engine.KindCPU); err != nil && (*writeDocs || os.Getenv("CI") != "") {
			t.Fatal(err)
		}
	}

	const mark = "<!-- written by TestCoverage; go test ./onnxrun -run TestCoverage -write-onnx -->\n"
	doc, err := os.ReadFile("../docs/onnx.md")
	if err != nil {
		t.Fatal(err)
	}
	head, old, _ := strings.Cut(string(doc), mark)
	before := compiled.FindAllStringSubmatch(old, -1) // of all, and of each group
	if other == nil && len(before) != len(groups)+1 {
		t.Fatalf("docs/onnx.md says of %d groups what passes on xla:cpu", len(before)-1)
	}

	var table, log strings.Builder
	var alone []string
	total, passed, compiledToo := 0, 0, 0
	for i, group := range groups {
		names, failures := coverage(t, host, root, group)
		for _, name := range slices.Sorted(maps.Keys(failures)) {
			fmt.Fprintf(&log, "go %s/%s: %.300v\n", group, name, failures[name])
		}
		ok, here := len(names)-len(failures), 0
		if other != nil {
			_, there := coverage(t, other, root, group)
			for _, name := range slices.Sorted(maps.Keys(there)) {
				fmt.Fprintf(&log, "xla:cpu %s/%s: %.300v\n", group, name, there[name])
			}
			alone = append(alone, oneEngine(failures, there)...)
			here = len(names) - len(there)
		} else if here, err = strconv.Atoi(before[i+1][1]); err != nil {
			t.Fatal(err)
		}
		total, passed, compiledToo = total+len(names), passed+ok, compiledToo+here
		fmt.Fprintf(&table, "\n## %s: %d of %d on the Go engine, %d on xla:cpu\n%s", group, ok, len(names), here, reasonsOf(failures))
		t.Logf("%s: %d of %d, %d on xla:cpu", group, ok, len(names), here)
	}
	if file := os.Getenv("ONNX_FAILURES"); file != "" {
		if err := os.WriteFile(file, []byte(log.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	only := "Each of them passes on both engines or on none.\n"
	if len(alone) > 0 {
		only = "On one engine alone: " + strings.Join(alone, "; ") + ".\n"
	}
	if other == nil {
		only = oneEngineLine.FindString(old)
	}
	now := fmt.Sprintf("\n%d of %d models pass on the Go engine, %d on xla:cpu. %s\nOperators supported: %s.\n%s", passed, total, compiledToo, only,
		strings.Join(slices.Sorted(maps.Keys(operators())), ", "), table.String())
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

var oneEngineLine = regexp.MustCompile(`(Each of them passes on|On one engine alone: ).*\n`)

package engine_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
)

// TestCompiledProgramsAreKept: the same graph compiles once, gives the same numbers from the cache, and compiles again when
// its file is damaged. One with a convolution is not kept: the plugin cannot serialise a call into oneDNN, and dies.
func TestCompiledProgramsAreKept(t *testing.T) {
	plugin := os.Getenv(enginetest.EnvPlugin)
	if plugin == "" {
		t.Skipf("needs a plugin: set %s", enginetest.EnvPlugin)
	}
	if os.Getenv("BALLAST_TEST_CHILD") == "" { // the plugin in a process of its own, as it is in use
		child := exec.Command(os.Args[0], "-test.run", "^TestCompiledProgramsAreKept$", "-test.v")
		child.Env = append(os.Environ(), "BALLAST_TEST_CHILD=1", engine.EnvCache+"=on")
		if out, err := child.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS: TestCompiledProgramsAreKept") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	dir := home(t)
	e, err := engine.Open("xla:" + plugin)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	x, k := make([]float32, 8*12*12*16), make([]float32, 3*3*16*16)
	for i := range x {
		x[i] = float32(i%17) - 8
	}
	for i := range k {
		k[i] = float32(i%5) - 2
	}
	run := func(convolve bool) (out []float32, compiled, cached int) {
		before := engine.CompiledPrograms()
		exec := graph.MustNewExec(e.Backend, func(x, k *graph.Node) *graph.Node { // a sum and a product
			y := x
			if convolve {
				y = graph.Convolve(x, k).PadSame().Done()
			}
			y = graph.Sub(y, graph.ReduceAndKeep(y, graph.ReduceMean, 0, 1, 2))
			return graph.MatMul(graph.Reshape(y, 8*12*12, 16), graph.Reshape(k, 16, 9*16))
		})
		defer exec.Finalize()
		out = tensors.MustCopyFlatData[float32](exec.MustCall(tensors.FromFlatDataAndDimensions(x, 8, 12, 12, 16), tensors.FromFlatDataAndDimensions(k, 3, 3, 16, 16))[0])
		after := engine.CompiledPrograms()
		return out, after.Compiled - before.Compiled, after.Cached - before.Cached
	}
	want, compiled, cached := run(false)
	if compiled != 1 || cached != 0 {
		t.Fatalf("first: %d compiled, %d cached", compiled, cached)
	}
	got, compiled, cached := run(false)
	if compiled != 0 || cached != 1 || !slices.Equal(got, want) {
		t.Errorf("second: %d compiled, %d cached, equal %v", compiled, cached, slices.Equal(got, want))
	}
	files, err := filepath.Glob(filepath.Join(dir, "programs", "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func() []byte{
		"cut":     func() []byte { return data[:len(data)/2] },
		"changed": func() []byte { d := slices.Clone(data); d[len(d)/2]++; return d },
		"empty":   func() []byte { return nil },
	} {
		if err := os.WriteFile(files[0], damage(), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, compiled, _ := run(false); compiled != 1 || !slices.Equal(got, want) {
			t.Errorf("%s: %d compiled, equal %v", name, compiled, slices.Equal(got, want))
		}
	}
	want, _, _ = run(true)
	if got, compiled, cached := run(true); compiled != 1 || cached != 0 || !slices.Equal(got, want) {
		t.Errorf("convolution: %d compiled, %d cached, equal %v", compiled, cached, slices.Equal(got, want))
	}
}

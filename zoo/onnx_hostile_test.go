package zoo

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/onnxtest"
)

// hostileInputs are what an operator is given in each of its places: none, numbers, shapes and lists that ask for too much.
func hostileInputs() []onnxtest.Tensor {
	const far = 1 << 40
	image := make([]float32, 16)
	return []onnxtest.Tensor{
		onnxtest.Floats("f1", []int{1}, 1), onnxtest.Floats("image", []int{1, 1, 4, 4}, image...), onnxtest.Floats("none", []int{0, 3}),
		onnxtest.Floats("many", []int{4}, 1e30, -1, float32(math.NaN()), float32(math.Inf(1))),
		onnxtest.Ints("far", []int{1}, far), onnxtest.Ints("back", []int{1}, -far), onnxtest.Ints("pair", []int{2}, far, far),
		onnxtest.Ints("lows", []int{2}, math.MinInt64, -1), onnxtest.Ints("four", []int{4}, far, 1, -far, 0), onnxtest.Ints("empty", []int{0}),
		onnxtest.Ints("zero", nil, 0), onnxtest.Ints("deep", []int{1, 2}, 3, far),
	}
}

// hostileAttributes are values for attributes by their names, those that operators read.
func hostileAttributes() []map[string]any {
	const far = 1 << 40
	body := onnxtest.Model{Outputs: []onnxtest.Value{{Name: "x", Type: onnxtest.Float, Shape: []any{2}}}}
	list := []map[string]any{{}}
	for _, name := range []string{
		"axis", "blocksize", "group", "k", "size", "to", "batch_dims", "hidden_size", "num_scan_inputs", "num_outputs", "dtype", "start", "end", "keepdims", "transA", "p",
	} {
		for _, v := range []int{far, -far, math.MinInt64, 0, 7} {
			list = append(list, map[string]any{name: v})
		}
	}
	for _, name := range []string{
		"axes", "perm", "kernel_shape", "strides", "dilations", "pads", "split", "starts", "shape", "paddings", "output_shape", "output_padding", "value_ints", "repeats",
	} {
		for _, v := range [][]int{{far, far}, {-1, -1}, {0, 0}, {3, 3, 3, 3, 3}, {math.MaxInt64}, {math.MinInt64, 1}} {
			attributes := map[string]any{name: v}
			if name != "kernel_shape" {
				attributes["kernel_shape"] = []int{2, 2}
			}
			list = append(list, attributes)
		}
	}
	for _, name := range []string{"mode", "auto_pad", "reduction", "equation", "direction", "coordinate_transformation_mode"} {
		list = append(list, map[string]any{name: "\x1b[2J", "kernel_shape": []int{2, 2}})
	}
	return append(list, map[string]any{"scales": []float32{1e30, float32(math.NaN())}}, map[string]any{"body": body, "then_branch": body, "else_branch": body})
}

var crashed = regexp.MustCompile(`runtime error|nil pointer|goroutine|makeslice|stack trace|\n|\x1b`)

// Every operator is given what it does not expect, as constants of the model and as what a run brings. Whatever it makes of it, there
// is an answer or an error that names the node, no array beyond the limit, and no crash.
func TestONNXHostile(t *testing.T) {
	memory.SetLimit(256 << 20)
	defer memory.SetLimit(0)
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		t.Fatal(err)
	}
	pool := hostileInputs()
	var before, after runtime.MemStats
	ran, refused, tries := 0, 0, 5
	if testing.Short() {
		tries = 2
	}
	for _, op := range slices.Sorted(maps.Keys(onnxOps)) {
		runtime.ReadMemStats(&before)
		for i, attributes := range hostileAttributes() {
			for j := range tries {
				// Which inputs: none to four, each from another place of the pool.
				var names []string
				for k := range (i + j) % 5 {
					names = append(names, pool[(i*5+j*(k+3)+k*k)%len(pool)].Name)
				}
				if j > 0 && len(names) > 0 {
					names[0] = []string{"x", "ids", "image"}[(i+j)%3]
				}
				m := onnxtest.Model{
					Opset: []int{13, 8, 18}[i%3], Tensors: pool,
					Inputs:  []onnxtest.Value{{Name: "x", Type: onnxtest.Float, Shape: []any{1, 1, 4, 4}}, {Name: "ids", Type: onnxtest.Int64, Shape: []any{2}}},
					Outputs: []onnxtest.Value{{Name: "y", Type: onnxtest.Float}},
					Nodes:   []onnxtest.Node{{Op: op, Inputs: names, Outputs: []string{"y", "z"}, Attributes: attributes}},
				}
				o, err := graphOf(t, m)
				if err != nil {
					t.Fatal(err)
				}
				_, err = o.Run(e, map[string]*tensors.Tensor{
					"x": tensors.FromFlatDataAndDimensions(arange(16), 1, 1, 4, 4), "ids": tensors.FromValue([]int64{1 << 33, -5}),
				})
				ran++
				if err == nil {
					continue
				}
				refused++
				var bad interface{ BadInput() bool }
				var short *memory.Error
				what := fmt.Sprintf("%s %v %q", op, names, attributes)
				switch text := err.Error(); {
				case crashed.MatchString(text):
					t.Errorf("%s: %q", what, text)
				case !errors.As(err, &bad) && !errors.As(err, &short):
					t.Errorf("%s: %T is neither bad input nor memory: %v", what, err, err)
				case !strings.Contains(text, "("+op+")"):
					t.Errorf("%s: it does not name the node: %v", what, err)
				}
			}
		}
		runtime.ReadMemStats(&after)
		if grown := (after.TotalAlloc - before.TotalAlloc) >> 20; grown > 1500 {
			t.Errorf("%s allocates %d MB", op, grown)
		}
	}
	t.Logf("%d of %d refused", refused, ran)
}

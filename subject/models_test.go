package subject_test

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/internal/onnxtest"
)

// digits is what the models of these tests are made of: scores of an 8x8 digit are 2 x.m - m.m for the mean image m of each class, which is the
// class whose mean is nearest, times 2.
type digits struct {
	kernel []float32 // [10, 64]
	bias   []float32 // [10]
}

func newDigits(tb testing.TB) digits {
	tb.Helper()
	set, err := data.Open("optdigits", "train")
	if err != nil {
		tb.Fatal(err)
	}
	sums, counts, x := make([]float64, 640), make([]float64, 10), make([]float32, 64)
	for i := range set.Len() {
		if err := set.Read(i, x); err != nil {
			tb.Fatal(err)
		}
		label := int(set.Label(i))
		counts[label]++
		for k, v := range x {
			sums[64*label+k] += float64(v)
		}
	}
	d := digits{make([]float32, 640), make([]float32, 10)}
	for c := range 10 {
		norm := 0.0
		for k := range 64 {
			mean := sums[64*c+k] / counts[c]
			norm += mean * mean
			d.kernel[64*c+k] = float32(4 * mean)
		}
		d.bias[c] = float32(-2 * norm)
	}
	return d
}

// form is how a model of digits is written.
type form struct {
	nhwc     bool
	features bool
	batch    any     // 0: it may vary; else fixed
	end      string  // what stands behind the scores: "", Softmax, LogSoftmax, or exp, which composes it
	unsaid   bool    // the output's shape is not declared
	kind     int     // of the input
	scale    float64 // of what the first layer takes: 1, or 255 for bytes
	channels int     // of the input, the mean of which counts; 0 = 1
	metadata map[string]string
}

// write writes a model into a folder and returns its path.
func (d digits) write(tb testing.TB, path string, f form) string {
	tb.Helper()
	var nodes []onnxtest.Node
	node := func(op string, attributes map[string]any, output string, inputs ...string) {
		nodes = append(nodes, onnxtest.Node{Op: op, Inputs: inputs, Outputs: []string{output}, Attributes: attributes})
	}
	kind := f.kind
	if kind == 0 {
		kind = onnxtest.Float
	}
	batch := f.batch
	if batch == nil {
		batch = "n"
	}
	channels := max(f.channels, 1)
	input := onnxtest.Value{Name: "x", Type: kind, Shape: []any{batch, channels, 8, 8}}
	at := "x"
	if kind != onnxtest.Float {
		node("Cast", map[string]any{"to": onnxtest.Float}, "wide", at)
		at = "wide"
	}
	scale := f.scale
	if scale == 0 {
		scale = 1
	}
	kernel := make([]float32, 640)
	for i, v := range d.kernel {
		kernel[i] = v / float32(scale)
	}
	var tensors []onnxtest.Tensor
	switch {
	case f.features:
		input.Shape = []any{batch, 64}
		tensors = append(tensors, onnxtest.Floats("w", []int{10, 64}, kernel...), onnxtest.Floats("b", []int{10}, d.bias...))
		node("Gemm", map[string]any{"transB": 1}, "scores", at, "w", "b")
	default:
		if f.nhwc {
			input.Shape = []any{batch, 8, 8, channels}
			node("Transpose", map[string]any{"perm": []int{0, 3, 1, 2}}, "moved", at)
			at = "moved"
		}
		var wide []float32
		for c := range 10 {
			for range channels {
				for _, v := range kernel[64*c : 64*c+64] {
					wide = append(wide, v/float32(channels))
				}
			}
		}
		tensors = append(tensors, onnxtest.Floats("w", []int{10, channels, 8, 8}, wide...), onnxtest.Floats("b", []int{10}, d.bias...))
		node("Conv", nil, "map", at, "w", "b")
		node("Flatten", nil, "scores", "map")
	}
	out := "scores"
	switch f.end {
	case "":
	case "exp":
		node("Exp", nil, "e", "scores")
		node("ReduceSum", map[string]any{"keepdims": 1}, "sum", "e", "axes")
		node("Div", nil, "y", "e", "sum")
		tensors = append(tensors, onnxtest.Ints("axes", []int{1}, 1))
		out = "y"
	default:
		node(f.end, map[string]any{"axis": 1}, "y", "scores")
		out = "y"
	}
	output := onnxtest.Value{Name: out, Type: onnxtest.Float, Shape: []any{batch, 10}}
	if f.unsaid {
		output.Shape = []any{batch, "classes"}
	}
	m := onnxtest.Model{Opset: 17, Nodes: nodes, Tensors: tensors, Inputs: []onnxtest.Value{input}, Outputs: []onnxtest.Value{output}, Metadata: f.metadata}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, m.Bytes(), 0o644); err != nil {
		tb.Fatal(err)
	}
	return path
}

// expected are the scores of an example.
func (d digits) expected(x []float32) []float64 {
	out := make([]float64, 10)
	for c := range out {
		out[c] = float64(d.bias[c])
		for k, v := range x {
			out[c] += float64(v) * float64(d.kernel[64*c+k])
		}
	}
	return out
}

// alike are logits up to a constant, which no probability depends on.
func alike(got []float32, want []float64, tolerance float64) bool {
	shift := float64(got[0]) - want[0]
	for i, v := range got {
		if math.Abs(float64(v)-want[i]-shift) > tolerance {
			return false
		}
	}
	return true
}

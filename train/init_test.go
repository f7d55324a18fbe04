package train_test

import (
	"encoding/binary"
	"math"
	"path"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/train"
)

// TestKernelsAsPyTorch: kernels and biases, of the last layer too, begin in (-b, b) with variance b^2/3, b = 1/sqrt(fan-in), and norms as ever.
func TestKernelsAsPyTorch(t *testing.T) {
	r := small(1)
	r.Norm, r.Optimizer, r.Init.Kernels = &norm.Choice{Layer: norm.NewBatch()}, sgd(1e-30), "pytorch"
	first := run(t, r, train.Options{Engine: goEngine(t)}).Bundle

	bounds := map[string]float64{} // by layer
	shapes := map[string][]int{}
	for _, v := range first.Variables() {
		if d := v.Shape().Dimensions; v.Name() == "kernel" {
			bounds[path.Dir(v.Path())] = 1 / math.Sqrt(float64(v.Shape().Size()/d[len(d)-1]))
			shapes[v.Path()] = d
		}
	}
	if len(bounds) < 2 {
		t.Fatalf("the network has %d kernels; a test of the last layer wants another", len(bounds))
	}

	for name, text := range weights(t, first) {
		values, squares, largest := len(text)/4, 0.0, 0.0
		for i := range values {
			v := float64(math.Float32frombits(binary.LittleEndian.Uint32([]byte(text[4*i:]))))
			squares, largest = squares+v*v, max(largest, math.Abs(v))
		}
		b, layer := bounds[path.Dir(name)], strings.HasSuffix(name, "/kernel") || strings.HasSuffix(name, "/bias")
		switch {
		case layer && (largest > b+1e-6 || largest == 0):
			t.Errorf("%s %v: the largest value is %v, want at most %v and not 0", name, shapes[name], largest, b)
		case strings.HasSuffix(name, "/kernel") && math.Abs(squares/float64(values)/(b*b/3)-1) > 6/math.Sqrt(float64(values)):
			t.Errorf("%s %v: the variance is %v, want %v", name, shapes[name], squares/float64(values), b*b/3)
		case strings.HasSuffix(name, "/scale") && largest != 1:
			t.Errorf("%s is not 1", name)
		}
	}
}

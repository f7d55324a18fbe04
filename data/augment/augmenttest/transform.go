// Package augmenttest tests the contract of transforms and mixings on every engine. Your own transforms and mixings can run it too.
package augmenttest

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/data/augment"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/internal/gradcheck"
	"github.com/ballast-ml/ballast/ops"
)

// shape is that of the battery's images: four of 6x5 with three channels.
var shape = []int{4, 6, 5, 3}

// Images are n images of 6x5 with three channels and values from low to high.
func Images(n int, low, high float64) gradcheck.Input {
	r := rand.New(rand.NewPCG(4, 2))
	in := gradcheck.Input{Shape: slices.Concat([]int{n}, shape[1:])}
	for range n * 6 * 5 * 3 {
		in.Data = append(in.Data, low+(high-low)*r.Float64())
	}
	return in
}

// Claim is something a transform or a mixing promises, or how much of a battery it runs.
type Claim func(*claims)

type claims struct{ together, still, onGo bool }

// Together says that the images of a batch share one draw.
func Together() Claim { return func(c *claims) { c.together = true } }

// Still says that a mixing gives the same in every update.
func Still() Claim { return func(c *claims) { c.still = true } }

// OnGo leaves out the other engines: for options of a value that runs there with other ones.
func OnGo() Claim { return func(c *claims) { c.onGo = true } }

func claimed(promises []Claim) (c claims) {
	for _, p := range promises {
		p(&c)
	}
	return c
}

// each runs f on every engine that the claims leave.
func (c claims) each(t *testing.T, f func(t *testing.T, e *engine.Engine)) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		if !c.onGo || e.Kind == engine.KindGo {
			f(t, e)
		}
	})
}

// RunTransform runs the battery on a transform; neutral is the same one with strength 0. On the Go engine, whose programs cost nothing to
// compile:
//
//	neutral        changes no bit
//	shape, dtype   stay, in float32, float64 and bfloat16
//	range          values stay in [0,1], those of images of 0 and 1 too
//	draws          the same key gives the same bits, of 8 other keys at least one other ones
//	alone          an image does not see the others of its batch, unless they are drawn together
//	gradient       of sum(y w) for x against central differences in float64
//	bad shape      is refused with a text that names the transform's package
//
// On every other engine range and draws, and values and gradients in float32 against those of the Go engine.
func RunTransform(t *testing.T, transform, neutral augment.Transform, promises ...Claim) {
	c := claimed(promises)
	if err := transform.Validate(); err != nil {
		t.Fatal(err)
	}
	if err := neutral.Validate(); err != nil {
		t.Fatal(err)
	}
	reference, err := engine.Open(engine.KindGo)
	if err != nil {
		t.Fatal(err)
	}
	want := newTransformed(t, reference, transform)
	c.each(t, func(t *testing.T, e *engine.Engine) {
		f := want
		if e.Kind == engine.KindGo {
			b := transformBench{e: e, transform: transform}
			t.Run("neutral", func(t *testing.T) {
				x := Images(4, 0, 1)
				by := transformBench{e: e, transform: neutral}
				if y, _ := gradcheck.Eval(t, e.Backend, by.apply(t, dtypes.Float64), x, key(1)); !slices.Equal(y, x.Data) {
					t.Error("strength 0 changes the images")
				}
			})
			t.Run("dtype", b.dtype)
			t.Run("gradient", b.gradient)
			t.Run("bad shape", b.badShape)
			if !c.together {
				t.Run("alone", b.alone)
			}
		} else {
			f = newTransformed(t, e, transform)
			t.Run("as on go", func(t *testing.T) { f.compare(t, want) })
		}
		t.Run("range", f.inRange)
		t.Run("draws", f.draws)
	})
}

// transformed is a transform compiled for images of the battery's shape in float32, with the gradient of sum(y w).
type transformed struct{ exec *graph.Exec }

func newTransformed(t *testing.T, e *engine.Engine, by augment.Transform) transformed {
	t.Helper()
	exec, err := graph.NewExec(e.Backend, func(x, key *graph.Node) []*graph.Node {
		y := by.Apply(ops.RandomOf(key), x)
		weights := make([]float32, y.Shape().Size())
		for i := range weights {
			weights[i] = float32(i%7) - 2.5
		}
		w := graph.Reshape(graph.Const(x.Graph(), weights), y.Shape().Dimensions...)
		return []*graph.Node{y, graph.Gradient(graph.ReduceAllSum(graph.Mul(y, w)), x)[0]}
	})
	if err != nil {
		t.Fatal(err)
	}
	return transformed{exec}
}

func (f transformed) call(t *testing.T, x gradcheck.Input, key uint32) (y, gradient []float32) {
	t.Helper()
	narrow := make([]float32, len(x.Data))
	for i, v := range x.Data {
		narrow[i] = float32(v)
	}
	out, err := f.exec.Call(tensors.FromFlatDataAndDimensions(narrow, x.Shape...), []uint32{key, 2})
	if err != nil {
		t.Fatal(err)
	}
	return tensors.MustCopyFlatData[float32](out[0]), tensors.MustCopyFlatData[float32](out[1])
}

func (f transformed) inRange(t *testing.T) {
	for _, x := range []gradcheck.Input{Images(4, 0, 1), Images(4, 0, 0), Images(4, 1, 1)} {
		for number := range uint32(4) {
			y, _ := f.call(t, x, number)
			for i, v := range y {
				if !(v >= 0 && v <= 1) {
					t.Fatalf("value %d is %v", i, v)
				}
			}
		}
	}
}

func (f transformed) draws(t *testing.T) {
	x := Images(4, 0, 1)
	first, _ := f.call(t, x, 1)
	if again, _ := f.call(t, x, 1); !slices.Equal(first, again) {
		t.Error("the same key gives other bits")
	}
	for n := range uint32(8) {
		if other, _ := f.call(t, x, n+2); !slices.Equal(first, other) {
			return
		}
	}
	t.Error("nine keys give the same bits")
}

func (f transformed) compare(t *testing.T, want transformed) {
	for number := range uint32(4) {
		x := Images(4, 0.2, 0.8)
		y, gradient := f.call(t, x, number)
		wantY, wantGradient := want.call(t, x, number)
		for i := range y {
			if math.Abs(float64(y[i]-wantY[i])) > 1e-5 || math.Abs(float64(gradient[i]-wantGradient[i])) > 1e-4 {
				t.Fatalf("key %d: value %d is %v with gradient %v, on go %v with %v",
					number, i, y[i], gradient[i], wantY[i], wantGradient[i])
			}
		}
	}
}

// transformBench is what is tested on the Go engine alone.
type transformBench struct {
	e         *engine.Engine
	transform augment.Transform
}

func (b transformBench) apply(t *testing.T, dtype dtypes.DType) func(x []*graph.Node) *graph.Node {
	return func(x []*graph.Node) *graph.Node {
		key := graph.ConvertDType(x[1], dtypes.Uint32)
		y := b.transform.Apply(ops.RandomOf(key), graph.ConvertDType(x[0], dtype))
		if y.DType() != dtype {
			t.Errorf("%s became %s", dtype, y.DType())
		}
		// Added, so that an input which stays as it is is no output of the graph itself.
		return graph.AddScalar(graph.ConvertDType(y, dtypes.Float64), 0)
	}
}

func (b transformBench) dtype(t *testing.T) {
	for _, dtype := range []dtypes.DType{dtypes.Float32, dtypes.Float64, dtypes.BFloat16} {
		y, dims := gradcheck.Eval(t, b.e.Backend, b.apply(t, dtype), Images(4, 0, 1), key(3))
		if !slices.Equal(dims, shape) {
			t.Fatalf("%s: the shape became %v", dtype, dims)
		}
		for i, v := range y {
			if !(v >= 0 && v <= 1) {
				t.Fatalf("%s: value %d is %v", dtype, i, v)
			}
		}
	}
}

func (b transformBench) gradient(t *testing.T) {
	f := b.apply(t, dtypes.Float64)
	gradcheck.Check(t, b.e.Backend, func(x []*graph.Node) *graph.Node {
		return f([]*graph.Node{x[0], graph.Const(x[0].Graph(), []float64{1, 2})})
	}, Images(2, 0.3, 0.7))
}

func (b transformBench) alone(t *testing.T) {
	x := Images(4, 0, 1)
	first := gradcheck.Input{Shape: slices.Concat([]int{1}, shape[1:]), Data: x.Data[:90]}
	all, _ := gradcheck.Eval(t, b.e.Backend, b.apply(t, dtypes.Float32), x, key(1))
	one, _ := gradcheck.Eval(t, b.e.Backend, b.apply(t, dtypes.Float32), first, key(1))
	if !slices.Equal(all[:90], one) {
		t.Error("the first image changes when others follow it")
	}
}

func (b transformBench) badShape(t *testing.T) {
	flat := gradcheck.Input{Shape: []int{2, 3}, Data: make([]float64, 6)}
	got := gradcheck.Panics(b.e.Backend, b.apply(t, dtypes.Float32), flat, key(1))
	if !strings.Contains(got, "augment: ") || !strings.Contains(got, "want floats [batch, height, width, channels]") {
		t.Errorf("got %q", got)
	}
}

func key(n float64) gradcheck.Input {
	return gradcheck.Input{Shape: []int{2}, Data: []float64{n, 2}}
}

package linear_test

import (
	"encoding/json"
	"fmt"
	"log"
	"math"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/internal/gradcheck"
	"github.com/ballast-ml/ballast/nn/linear"
)

type layer interface {
	Apply(scope *model.Scope, x *graph.Node) *graph.Node
}

// double is a hook that is not linear, so that a lost gradient shows.
func double(_ *model.Scope, kernel *graph.Node) *graph.Node { return graph.Mul(kernel, kernel) }

// TestLayers checks output shapes, variables, and gradients of x, kernel and bias, with and without a hook.
func TestLayers(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for _, c := range []struct {
			layer     layer
			x, y      []int
			variables map[string]string
		}{
			{linear.Dense{Units: 3}, []int{2, 4}, []int{2, 3}, map[string]string{"/l/kernel": "[4 3]", "/l/bias": "[3]"}},
			{linear.Dense{Units: 3, NoBias: true, Kernel: double}, []int{2, 5, 4}, []int{2, 5, 3}, map[string]string{"/l/kernel": "[4 3]"}},
			{linear.Conv2D{Filters: 4, Size: 3, Same: true}, []int{2, 5, 5, 2}, []int{2, 5, 5, 4}, map[string]string{"/l/kernel": "[3 3 2 4]", "/l/bias": "[4]"}},
			{linear.Conv2D{Filters: 4, Size: 3, Stride: 2, Padding: 1, Groups: 2, Kernel: double}, []int{1, 6, 6, 4}, []int{1, 3, 3, 4}, map[string]string{"/l/kernel": "[3 3 2 4]", "/l/bias": "[4]"}},
		} {
			t.Run(fmt.Sprintf("%T %v", c.layer, c.x), func(t *testing.T) {
				store := model.NewStore()
				var y []int
				gradcheck.CheckModel(t, e.Backend, store, func(scope *model.Scope, in []*graph.Node) *graph.Node {
					out := c.layer.Apply(scope.In("l"), in[0])
					y = out.Shape().Dimensions
					return out
				}, gradcheck.Normal(1, c.x...))
				if fmt.Sprint(y) != fmt.Sprint(c.y) {
					t.Errorf("y is %v, want %v", y, c.y)
				}
				got := map[string]string{}
				for v := range store.IterVariables() {
					got[v.Path()] = fmt.Sprint(v.Shape().Dimensions)
				}
				if fmt.Sprint(got) != fmt.Sprint(c.variables) {
					t.Errorf("variables %v, want %v", got, c.variables)
				}
			})
		}
	})
}

// TestDenseValue is a product by hand.
func TestDenseValue(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		store := model.NewStore()
		store.RootScope().VariableWithValue("kernel", [][]float32{{1, 2}, {3, 4}, {5, 6}})
		store.RootScope().VariableWithValue("bias", []float32{10, 20})
		y := model.MustNewExec(e.Backend, store, linear.Dense{Units: 2}.Apply).MustCall([][]float32{{1, 0, 2}})[0]
		if got := fmt.Sprint(y.Value()); got != "[[21 34]]" {
			t.Errorf("got %s, want [[21 34]]", got)
		}
	})
}

// TestNarrow: bfloat16 activations keep float32 weights and give bfloat16.
func TestNarrow(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		store := model.NewStore()
		model.MustNewExec(e.Backend, store, func(scope *model.Scope, x *graph.Node) *graph.Node {
			y := linear.Dense{Units: 2}.Apply(scope, graph.ConvertDType(x, dtypes.BFloat16))
			if y.DType() != dtypes.BFloat16 {
				t.Errorf("y is %s", y.DType())
			}
			return graph.ConvertDType(y, dtypes.Float32)
		}).MustCall([][]float32{{1, 2}})
		if d := store.GetVariable("/kernel").DType(); d != dtypes.Float32 {
			t.Errorf("the kernel is %s", d)
		}
	})
}

func TestRefuses(t *testing.T) {
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	flat := func(_ *model.Scope, kernel *graph.Node) *graph.Node { return graph.Reshape(kernel, -1) }
	for _, c := range []struct {
		layer layer
		x     []int
		want  string
	}{
		{linear.Dense{}, []int{2, 3}, "linear.Dense /l: 0 units on x (Float64)[2, 3]; want at least 1 unit"},
		{linear.Dense{Units: 2}, []int{3}, "want at least 1 unit and x [batch, ..., in]"},
		{linear.Dense{Units: 2, Kernel: flat}, []int{2, 3}, "the kernel hook turned (Float64)[3, 2] into (Float64)[6]; it must keep the shape"},
		{linear.Conv2D{Filters: 2, Size: 3}, []int{2, 3}, "linear.Conv2D /l: 2 filters of side 3 in 1 groups on x (Float64)[2, 3]"},
		{linear.Conv2D{Filters: 2, Size: 3, Groups: 2}, []int{1, 4, 4, 3}, "groups dividing the channels"},
		{
			linear.Conv2D{Filters: 4, Size: 1, Groups: 4, Kernel: linear.NewStandardization().Hook()}, []int{1, 2, 2, 4},
			"linear.Standardization /l: kernel (Float64)[1, 1, 1, 4] has fan-in 1, whose standardised weights are all 0; leave this layer's kernel as it is",
		},
		{linear.Dense{Units: 2, Kernel: linear.NewStandardization().Hook()}, []int{3, 1}, "has fan-in 1"},
	} {
		in := gradcheck.Normal(1, c.x...)
		err := exceptions.TryCatch[error](func() {
			model.MustNewExec(e.Backend, model.NewStore(), func(scope *model.Scope, x *graph.Node) *graph.Node {
				return c.layer.Apply(scope.In("l"), x)
			}).MustCall(tensors.FromFlatDataAndDimensions(in.Data, in.Shape...))
		})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q", c.layer, err, c.want)
		}
	}
}

// TestStandardization: every mode against differences, with the mean and deviation of its kernels, and the same as Values; close weights
// keep their gradient in float32.
func TestStandardization(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for _, mode := range []string{"paper", "unbiased_var", "unbiased_std_plus_eps"} {
			s := linear.Standardization{Mode: mode, Epsilon: 1e-5}
			for _, dims := range [][]int{{3, 3, 2, 4}, {3, 3, 1, 3}, {5, 2}} { // a convolution, a depthwise one, a dense layer
				kernel := gradcheck.Normal(1, dims...)
				f := func(in []*graph.Node) *graph.Node { return s.Apply(in[0]) }
				got, _ := gradcheck.Eval(t, e.Backend, f, kernel)
				gradcheck.Check(t, e.Backend, f, kernel)
				want, err := s.Values(kernel.Data, dims)
				if err != nil {
					t.Fatal(err)
				}
				out := dims[len(dims)-1]
				n := float64(len(got) / out)
				deviation := 1.0
				if mode != "paper" {
					deviation = math.Sqrt((n - 1) / n)
				}
				for c := range out {
					var mean, square float64
					for i := c; i < len(got); i += out {
						if math.Abs(got[i]-want[i]) > 1e-12 {
							t.Fatalf("%s of %v: weight %d is %v in a graph, %v as a value", mode, dims, i, got[i], want[i])
						}
						mean, square = mean+got[i]/n, square+got[i]*got[i]/n
					}
					if math.Abs(mean) > 1e-12 || math.Abs(math.Sqrt(square)-deviation) > 1e-4 {
						t.Errorf("%s of %v: channel %d has mean %v and deviation %v, want 0 and %v", mode, dims, c, mean, math.Sqrt(square), deviation)
					}
				}
			}
		}
		// Two weights a and b: the gradient of their standardised values is ±(g_a - g_b)/2 e/(var + e)^1.5.
		const a, b = -0.5384, -0.4842
		out := graph.MustNewExec(e.Backend, func(kernel, g *graph.Node) *graph.Node {
			return graph.Gradient(graph.ReduceAllSum(graph.Mul(linear.NewStandardization().Apply(kernel), g)), kernel)[0]
		}).MustCall([][]float32{{a}, {b}}, [][]float32{{-2.6}, {-0.172}})[0]
		variance := (a - b) * (a - b) / 4
		want := (-2.6 + 0.172) / 2 * 1e-5 / math.Pow(variance+1e-5, 1.5)
		for i, got := range tensors.MustCopyFlatData[float32](out) {
			if w := want * float64(1-2*i); math.Abs(float64(got)-w) > 5e-5*math.Abs(w) {
				t.Errorf("the gradient of close weight %d is %v, want %v", i, got, w)
			}
		}
	})
	if _, err := linear.NewStandardization().Values([]float64{1, 2}, []int{1, 2}); err == nil || err.Error() != "weight standardisation: kernel [1 2] has fan-in 1, whose standardised weights are all 0" {
		t.Errorf("got %v", err)
	}
}

// TestActivations compares values with the formulas and gradients with central differences.
func TestActivations(t *testing.T) {
	formulas := map[linear.Activation]func(x float64) float64{
		linear.ReLU:     func(x float64) float64 { return max(x, 0) },
		linear.Square:   func(x float64) float64 { return x * x },
		linear.ReLU6:    func(x float64) float64 { return min(max(x, 0), 6) },
		linear.GELU:     func(x float64) float64 { return x / 2 * (1 + math.Erf(x/math.Sqrt2)) },
		linear.SiLU:     func(x float64) float64 { return x / (1 + math.Exp(-x)) },
		linear.Tanh:     math.Tanh,
		linear.Identity: func(x float64) float64 { return x },
	}
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		x := gradcheck.Normal(3, 40)
		x.Data[0] = 9 // where ReLU6 is flat
		for a, formula := range formulas {
			f := func(in []*graph.Node) *graph.Node { return a.Apply(in[0]) }
			got, _ := gradcheck.Eval(t, e.Backend, f, x)
			for i, v := range x.Data {
				if math.Abs(got[i]-formula(v)) > 1e-12 {
					t.Errorf("%s(%v) = %v, want %v", a, v, got[i], formula(v))
				}
			}
			gradcheck.Check(t, e.Backend, f, x)
			got, _ = gradcheck.Eval(t, e.Backend, f, gradcheck.Input{Shape: []int{1}, Data: []float64{math.NaN()}})
			if !math.IsNaN(got[0]) {
				t.Errorf("%s hides a NaN as %v", a, got[0])
			}
		}
	})
	var a linear.Activation
	if err := json.Unmarshal([]byte(`"rellu"`), &a); err == nil || !strings.Contains(err.Error(), "did you mean relu?") {
		t.Errorf("got %v", err)
	}
	if err := json.Unmarshal([]byte(`3`), &a); err == nil || !strings.Contains(err.Error(), "want the name of an activation") {
		t.Errorf("got %v", err)
	}
	if err := json.Unmarshal([]byte(`"silu"`), &a); err != nil || a != linear.SiLU {
		t.Errorf("got %v, %v", a, err)
	}
}

// A hook changes the kernel a layer multiplies with: here it is cut to its signs.
func ExampleConv2D_hook() {
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	conv := linear.Conv2D{Filters: 1, Size: 2, NoBias: true, Kernel: func(_ *model.Scope, kernel *graph.Node) *graph.Node {
		return graph.Sign(kernel)
	}}
	store := model.NewStore()
	store.RootScope().VariableWithValue("kernel", [][][][]float32{{{{0.3}}, {{-0.1}}}, {{{2}}, {{0.5}}}})
	y := model.MustNewExec(e.Backend, store, conv.Apply).MustCall([][][][]float32{{{{1}, {2}}, {{3}, {4}}}})[0]
	fmt.Println(y.Value()) // 1 - 2 + 3 + 4
	// Output:
	// [[[[6]]]]
}

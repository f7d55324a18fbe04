package param_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/nn/param"
)

func draw(seed uint64, scope, name string, n int) []float32 {
	store := model.NewStore()
	param.Seed(store, seed)
	v := param.Variable(store.RootScope().In("%s", scope), name, param.Kernel, dtypes.Float32, param.HeNormal(50), n)
	return tensors.MustCopyFlatData[float32](v.MustValue())
}

// TestFirstValues: keyed by seed and path, not by the order of creation; of the deviation He et al. give.
func TestFirstValues(t *testing.T) {
	one := draw(1, "a", "kernel", 10000)
	for what, other := range map[string][]float32{
		"another seed": draw(2, "a", "kernel", 10000), "another scope": draw(1, "b", "kernel", 10000), "another name": draw(1, "a", "k", 10000),
	} {
		if other[0] == one[0] {
			t.Errorf("%s gives the same values", what)
		}
	}
	store := model.NewStore()
	param.Seed(store, 1)
	param.Variable(store.RootScope(), "before", param.Kernel, dtypes.Float32, param.HeNormal(3), 7)
	again := param.Variable(store.RootScope().In("a"), "kernel", param.Kernel, dtypes.Float32, param.HeNormal(50), 10000)
	sum, square := 0.0, 0.0
	for i, v := range tensors.MustCopyFlatData[float32](again.MustValue()) {
		if v != one[i] {
			t.Fatalf("value %d depends on the order of creation", i)
		}
		sum, square = sum+float64(v), square+float64(v)*float64(v)
	}
	// The mean of 10,000 draws is within 4 standard errors of 0, the deviation within 4 of sqrt(2/50) = 0.2.
	if mean, deviation := sum/10000, math.Sqrt(square/10000); math.Abs(mean) > 4*0.2/100 || math.Abs(deviation-0.2) > 4*0.2/math.Sqrt(20000) {
		t.Errorf("mean %v, deviation %v; want 0 and 0.2", mean, deviation)
	}
}

func TestRoles(t *testing.T) {
	store := model.NewStore()
	root := store.RootScope()
	for _, c := range []struct {
		scope, name string
		role        param.Role
		dims        []int
		want        param.Role
	}{
		{"a", "kernel", param.Kernel, []int{2, 2}, param.Kernel},
		{"a", "bias", param.Affine, []int{2}, param.Affine},
		{"a", "scale", param.Affine, []int{2, 2}, param.Affine},
		{"a", "offset", param.Affine, []int{2}, param.Affine},
		{"a", "mean", param.Statistic, []int{2}, param.Statistic},
		{"a", "variance", param.Statistic, []int{2}, param.Statistic},
		{"a", "memory", param.Statistic, []int{2, 2}, param.Statistic},
		{"a", "position", param.Kernel, []int{2, 2}, param.Kernel},
		{"output", "kernel", param.Kernel, []int{2, 2}, param.Output},
		{"output", "bias", param.Affine, []int{2}, param.Output},
	} {
		v := param.Variable(root.At("%s", c.scope), c.name, c.role, dtypes.Float32, param.Constant(1), c.dims...)
		if got := param.Of(v); got != c.want {
			t.Errorf("%s is %s, want %s", v.Path(), got, c.want)
		}
		if v.Trainable == (c.role == param.Statistic) {
			t.Errorf("%s: trainable is %v", v.Path(), v.Trainable)
		}
	}
}

func TestOtherShape(t *testing.T) {
	store := model.NewStore()
	store.RootScope().VariableWithValue("kernel", []float32{1, 2})
	err := exceptions.TryCatch[error](func() {
		param.Variable(store.RootScope(), "kernel", param.Kernel, dtypes.Float32, param.Constant(0), 3)
	})
	if err == nil || !strings.Contains(err.Error(), "param: variable /kernel is (Float32)[2], the layer needs (Float32)[3]; the weights belong to another network") {
		t.Errorf("got %v", err)
	}
}

func ExampleVariable() {
	store := model.NewStore()
	param.Seed(store, 7)
	v := param.Variable(store.RootScope().In("layer_1"), "bias", param.Affine, dtypes.Float32, param.Constant(0), 3)
	fmt.Println(v.Path(), param.Of(v), v.MustValue().Value())
	// Output:
	// /layer_1/bias affine [0 0 0]
}

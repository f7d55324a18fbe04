package checkpoint_test

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/format/weights/weightstest"
	"github.com/ballast-ml/ballast/merge/checkpoint"
)

func TestDiff(t *testing.T) {
	long := make([]float32, 40_000) // more than a block
	for i := range long {
		long[i] = float32(i % 7)
	}
	a := weights.Set{
		{Name: "long", Shape: []int{40_000}, Values: long},
		{Name: "moved", Shape: []int{2, 2}, Values: []float32{3, 0, 0, 4}},
		{Name: "shape", Shape: []int{2}, Values: []float32{1, 2}},
		{Name: "only a", Shape: []int{1}, Values: []float32{1}},
	}
	b := weights.Set{
		{Name: "long", Shape: []int{40_000}, Values: slices.Clone(long)},
		{Name: "moved", Shape: []int{2, 2}, Values: []float32{3, 0, 4, 0}},
		{Name: "shape", Shape: []int{1, 2}, Values: []float32{1, 2}},
		{Name: "only b", Shape: []int{1}, Values: []float32{1}},
	}
	b[0].Values[39_999] += 2
	first, second := weightstest.Written(t, a, "F32", 1), weightstest.Written(t, b, "F32", 1)
	d, err := checkpoint.Diff(context.Background(), first, second)
	if err != nil {
		t.Fatal(err)
	}
	if d.Equal != 1 || !slices.Equal(d.First, []string{"only a"}) || !slices.Equal(d.Second, []string{"only b"}) || !slices.Equal(d.Shapes, []string{"shape: [2] and [1 2]"}) {
		t.Errorf("got %+v", d)
	}
	at := func(name string) checkpoint.TensorDiff {
		return d.Tensors[slices.IndexFunc(d.Tensors, func(x checkpoint.TensorDiff) bool { return x.Name == name })]
	}
	if x := at("long"); x.Largest != 2 || math.Abs(x.Mean-2.0/40_000) > 1e-12 || x.Cosine > 1-1e-9 || x.Cosine < 0.999 {
		t.Errorf("long: %+v", x)
	}
	if x := at("moved"); x.Largest != 4 || x.Mean != 2 || math.Abs(x.Cosine-9.0/25) > 1e-12 {
		t.Errorf("moved: %+v", x)
	}
	if x := at("counter"); x.Largest != 0 || x.Cosine != 1 {
		t.Errorf("counter: %+v", x)
	}
	b[1].Values[2] = float32(math.NaN())
	if _, err := checkpoint.Diff(context.Background(), first, weightstest.Written(t, b, "F32", 1)); err == nil || !strings.Contains(err.Error(), "moved: element 2 is NaN, in "+first+" 0") {
		t.Errorf("got %v", err)
	}
	if _, err := checkpoint.Diff(context.Background(), first, "none"); err == nil || !strings.Contains(err.Error(), "none: there is no such file or folder") {
		t.Errorf("got %v", err)
	}
}

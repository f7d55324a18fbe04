package modelsoups

import (
	"math"
	"slices"
	"testing"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/merge/tuned"
)

// TestNoisy: the noise of an epoch is always the same, another epoch and another seed have other noise, and it is as wide as it says.
func TestNoisy(t *testing.T) {
	x := tuned.Examples{X: make([]float32, 64*200), Labels: make([]int32, 200), Size: 64}
	for i := range x.X {
		x.X[i] = float32(i%17)/16 - 0.3
	}
	still, err := digits(x)
	if err != nil {
		t.Fatal(err)
	}
	read := func(seed uint64, epoch int) []float32 {
		t.Helper()
		all, err := tuned.Read(data.Fresh(noisy{Dataset: still, sigma: 0.3, seed: seed}).At(epoch))
		if err != nil {
			t.Fatal(err)
		}
		return all.X
	}
	first := read(1, 0)
	if !slices.Equal(first, read(1, 0)) || slices.Equal(first, read(1, 1)) || slices.Equal(first, read(2, 0)) {
		t.Error("noise does not go by seed and epoch")
	}

	sum, squares, along := 0.0, 0.0, 0.0
	next := read(1, 1)
	for i, v := range first {
		noise := float64(v - x.X[i])
		sum += noise
		squares += noise * noise
		along += noise * float64(next[i]-x.X[i])
	}
	n := float64(len(first))
	if std := math.Sqrt(squares / n); math.Abs(std-0.3) > 0.006 || math.Abs(sum/n) > 0.011 || math.Abs(along/n) > 0.0033 {
		t.Errorf("deviation %v, mean %v, product with the next epoch %v; want 0.3, 0 and 0", std, sum/n, along/n)
	}
}

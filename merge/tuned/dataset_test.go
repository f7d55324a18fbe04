package tuned_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/merge/tuned"
)

// TestDataset: examples that are read from a set made of examples are these, and what does not fit is refused.
func TestDataset(t *testing.T) {
	x := tuned.Examples{X: []float32{1, -2, 3, 4, 5, 60}, Labels: []int32{0, 2, 1}, Size: 2}
	set, err := x.Dataset("three", []int{1, 2, 1}, 3)
	if err != nil {
		t.Fatal(err)
	}
	back, err := tuned.Read(set)
	if err != nil || !slices.Equal(back.X, x.X) || !slices.Equal(back.Labels, x.Labels) || back.Size != 2 {
		t.Errorf("read back: %+v, %v", back, err)
	}
	if info := set.Info(); info.Name != "three" || info.Examples != 3 || !slices.Equal(info.Shape, []int{1, 2, 1}) || !slices.Equal(info.Classes, []string{"0", "1", "2"}) {
		t.Errorf("info is %+v", info)
	}
	other := x
	other.X = slices.Clone(x.X)
	other.X[3] = 4.5
	changed, err := other.Dataset("three", []int{1, 2, 1}, 3)
	if err != nil || changed.Info().Checksum == set.Info().Checksum {
		t.Errorf("another value, the same checksum %s (%v)", changed.Info().Checksum, err)
	}

	if _, err := x.Dataset("three", []int{3}, 3); err == nil || !strings.Contains(err.Error(), "6 values for 3 examples of shape [3]; want 3 each") {
		t.Errorf("another shape: %v", err)
	}
	if _, err := x.Dataset("three", []int{2}, 2); err == nil || !strings.Contains(err.Error(), "the label of example 1 is 2, there are 2 classes") {
		t.Errorf("fewer classes: %v", err)
	}
}

package weights_test

import (
	"slices"
	"testing"

	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/format/weights/weightstest"
)

// Load leaves whole numbers out, and sorts numbers in names as numbers.
func TestLoad(t *testing.T) {
	set := weightstest.Blank()
	set[0].Name, set[1].Name, set[2].Name = "layer_10/kernel", "layer_9/kernel", "layer_2/bias"
	set[1].Values[3] = 1.5

	got, err := weights.Load(weightstest.Written(t, set, "BF16", 7))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"layer_2/bias", "layer_9/kernel", "layer_10/kernel"}; !slices.Equal(got.Names(), want) {
		t.Errorf("tensors %v, want %v", got.Names(), want)
	}
	for _, want := range set {
		if tensor, ok := got.Find(want.Name); !ok || !slices.Equal(tensor.Values, want.Values) || !slices.Equal(tensor.Shape, want.Shape) {
			t.Errorf("%s is %v, want %v", want.Name, tensor, want)
		}
	}

	if _, err := weights.Load(t.TempDir()); err == nil {
		t.Error("an empty folder was loaded")
	}
}

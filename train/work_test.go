package train_test

import (
	"testing"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/train"
	"github.com/ballast-ml/ballast/zoo"
)

// TestWork counts the products of a run by hand: optdigits has 1280 training and 517 test examples of 64 values in 10 classes.
func TestWork(t *testing.T) {
	r := train.NewRecipe()
	mlp := zoo.NewMLP()
	mlp.Hidden, mlp.Norm = []int{8}, norm.Choice{Layer: norm.Identity{}}
	r.Network, r.BatchSize, r.Epochs = zoo.Choice{Network: mlp}, 64, 3
	w, err := r.Work(train.Options{})
	if err != nil {
		t.Fatal(err)
	}
	const each = 64*8 + 8*10
	updates := 3 * (1280 / 64)
	want := engine.Work{Weights: each + 8 + 10, Updates: updates, Examples: 64 * updates, MultiplyAdds: each * float64(3*64*updates+517)}
	if w != want {
		t.Errorf("got %+v, want %+v", w, want)
	}
	if r.Data.Source = nil; r.Validate() == nil {
		t.Error("a recipe without data is right")
	}
	if train.EngineOf(t.TempDir()) != "" {
		t.Error("an empty folder has an engine")
	}
}

// TestCheckMeasure refuses what no run of a plain recipe measures.
func TestCheckMeasure(t *testing.T) {
	r := train.NewRecipe()
	for name, ok := range map[string]bool{"accuracy": true, "nll": true, "loss": true, "validation_accuracy": true, "precision": false, "beauty": false} {
		if err := r.CheckMeasure(name); (err == nil) != ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

package bundle_test

import (
	"testing"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/zoo"
)

// TestCost counts by hand: a product of [1, k] and [k, n] takes k n multiply-adds, a convolution one product for each place.
func TestCost(t *testing.T) {
	labels := []string{"a", "b", "c"}
	mlp := zoo.NewMLP()
	mlp.Hidden, mlp.Classes, mlp.Norm = []int{5, 7}, 3, norm.Choice{Layer: norm.Identity{}}
	m := bundle.NewManifest(zoo.Choice{Network: mlp}, []int{4}, labels)
	c, err := m.Cost()
	if err != nil || c.MultiplyAdds != 4*5+5*7+7*3 || c.Weights != 4*5+5+5*7+7+7*3+3 {
		t.Errorf("mlp: %+v, %v", c, err)
	}

	cnn := zoo.NewCNN()
	cnn.Filters, cnn.Dense, cnn.Classes, cnn.Norm = []int{4}, 6, 3, norm.Choice{Layer: norm.Identity{}}
	m = bundle.NewManifest(zoo.Choice{Network: cnn}, []int{8, 8, 1}, labels)
	if c, err = m.Cost(); err != nil {
		t.Fatal(err)
	}
	places := 8.0 * 8
	if least := places * 9 * 1 * 4; c.MultiplyAdds < least || c.MultiplyAdds > 8*least {
		t.Errorf("cnn: %+v; its convolution alone has %v", c, least)
	}

	m.InputShape = nil
	if _, err := m.Cost(); err == nil {
		t.Error("a manifest without an input has a cost")
	}
}

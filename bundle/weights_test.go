package bundle_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/zoo"
)

func TestWeightsComeAndGo(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		network := zoo.NewMLP()
		network.Hidden, network.Norm.Layer = []int{5}, norm.NewBatch()
		seeded := func(seed uint64) *bundle.Bundle {
			b := &bundle.Bundle{Manifest: bundle.NewManifest(zoo.Choice{Network: network}, []int{8, 8, 1}, classes), Store: model.NewStore()}
			param.Seed(b.Store, seed)
			if err := b.Declare(e.Backend); err != nil {
				t.Fatal(err)
			}
			return b
		}
		a, b := seeded(1), seeded(2)
		wa, err := a.Weights()
		if err != nil {
			t.Fatal(err)
		}
		wb, err := b.Weights()
		if err != nil {
			t.Fatal(err)
		}
		if wa.Checksum() == wb.Checksum() || wa[0].Name != "model/layer_1/kernel" {
			t.Fatalf("%v", wa.Names())
		}
		c, err := b.Clone(e.Backend)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.SetWeights(wa); err != nil {
			t.Fatal(err)
		}
		again, err := b.Weights()
		if err != nil {
			t.Fatal(err)
		}
		copied, err := c.Weights()
		if err != nil {
			t.Fatal(err)
		}
		if again.Checksum() != wa.Checksum() || copied.Checksum() != wb.Checksum() {
			t.Error("weights differ after SetWeights, or the clone moved with its model")
		}

		other := wa.ZerosLike()
		other[1].Shape = []int{6}
		bad := new(fault.Input)
		if err := b.SetWeights(other); !errors.As(err, &bad) || !strings.Contains(err.Error(), "[6]") {
			t.Errorf("got %v", err)
		}
		if err := b.SetWeights(slices.Concat(wa, wa[:1])); !errors.As(err, &bad) {
			t.Errorf("got %v", err)
		}
		if again, err = b.Weights(); err != nil || again.Checksum() != wa.Checksum() {
			t.Error("weights that were refused have changed the model", err)
		}
	})
}

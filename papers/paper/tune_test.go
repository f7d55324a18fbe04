package paper_test

import (
	"testing"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/papers/paper"
	"github.com/ballast-ml/ballast/train"
	"github.com/ballast-ml/ballast/zoo"
)

// TestTune: whatever went through a loop before, a training from the first weights of a seed ends as a run of that seed does, to the bit,
// and one from other weights begins there. One program serves all.
func TestTune(t *testing.T) {
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		all, err := data.Open("optdigits", "train")
		if err != nil {
			t.Fatal(err)
		}
		some := data.Subset(all, data.Order(all.Len(), 1, 0)[:40])
		few := data.Subset(all, data.Order(all.Len(), 2, 0)[:25])
		network := zoo.MLP{Hidden: []int{8}, Classes: 10, Norm: norm.Choice{Layer: norm.Identity{}}, Activation: linear.ReLU}
		r := paper.TuneRecipe("optdigits", network, paper.PlainAdamW(0.01, 0.1), 10)
		loop, err := train.Open(t.Context(), r, train.Options{Engine: enginetest.Programs(t, e, 1), Data: some})
		if err != nil {
			t.Fatal(err)
		}
		defer loop.Close()

		tune := paper.Tune{Seed: 7, Data: some, Rate: 0.003, Updates: 9}
		base, err := tune.Run(t.Context(), loop)
		if err != nil {
			t.Fatal(err)
		}
		on, err := paper.Tune{Seed: 3, Start: base, Data: few, Rate: 0.001, Updates: 5}.Run(t.Context(), loop)
		if err != nil {
			t.Fatal(err)
		}
		still, err := paper.Tune{Seed: 4, Start: base, Data: few, Rate: 0, Updates: 5}.Run(t.Context(), loop)
		if err != nil {
			t.Fatal(err)
		}
		again, err := tune.Run(t.Context(), loop)
		if err != nil {
			t.Fatal(err)
		}

		r.Seed, r.Steps = 7, 9
		r.Optimizer.Optimizer = paper.PlainAdamW(0.003, 0.1)
		want, err := train.Run(t.Context(), r, train.Options{Engine: e, Data: some})
		if err != nil {
			t.Fatal(err)
		}
		defer want.Bundle.Store.Finalize()
		end, err := want.Bundle.Weights()
		if err != nil {
			t.Fatal(err)
		}
		if base.Checksum() != end.Checksum() || again.Checksum() != end.Checksum() {
			t.Error("a training of the loop does not end as a run does")
		}
		if on.Checksum() == base.Checksum() || still.Checksum() != base.Checksum() {
			t.Error("a training from other weights does not begin there, or does not move")
		}
	})
}

package batchformer

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/lab"
	"github.com/ballast-ml/ballast/papers/paper"
	"github.com/ballast-ml/ballast/train"
)

// TestReach: with the layer a loss of the first example gives a gradient to every example of the batch, without it to the first alone,
// exactly.
func TestReach(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for _, layer := range []bool{true, false} {
			got, err := reach{Batch: 7, Layer: layer}.gradients(e, 3)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range got {
				if want := layer || i == 0; (v > 0) != want {
					t.Errorf("layer %v: the gradient of example %d is %v", layer, i, v)
				}
			}
		}
	})
}

// TestLeftOut: what was trained with the layer is a model without it, whose answers do not depend on what else is asked.
func TestLeftOut(t *testing.T) {
	base, _, err := Paper.Parts()
	if err != nil {
		t.Fatal(err)
	}
	recipe, err := lab.Recipe(base, "steps=5", "test=")
	if err != nil {
		t.Fatal(err)
	}
	set, err := data.Open("optdigits", "test")
	if err != nil {
		t.Fatal(err)
	}
	const examples = 9
	x := make([]float32, examples*set.Info().Size())
	for i := range examples {
		if err := set.Read(i, x[i*set.Info().Size():(i+1)*set.Info().Size()]); err != nil {
			t.Fatal(err)
		}
	}

	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		trained, err := train.Run(context.Background(), recipe, train.Options{Engine: e})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range trained.Bundle.Variables() {
			if !strings.HasPrefix(v.Path(), "/model/") {
				t.Errorf("the model has the variable %s", v.Path())
			}
		}
		answers := func(batch int) []float32 {
			f, err := trained.Bundle.NewForward(e, batch)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			logits, err := f.Logits(x, examples)
			if err != nil {
				t.Fatal(err)
			}
			return logits
		}
		together := answers(examples)
		for i, alone := range answers(1) {
			if math.Abs(float64(alone-together[i])) > 1e-5*(1+math.Abs(float64(alone))) {
				t.Errorf("answer %d: %v alone, %v in a batch", i, alone, together[i])
			}
		}
		if slices.Max(together) == slices.Min(together) {
			t.Error("all answers are the same")
		}
	})
}

// TestClaims: the claims decide as the card says.
func TestClaims(t *testing.T) {
	measured := func(base, with, separate, baseFew, few float64) paper.Measured {
		return paper.Measured{
			"base":        {"balanced": {base}, "few": {baseFew}},
			"batchformer": {"balanced": {with}, "few": {few}},
			"separate":    {"balanced": {separate}},
		}
	}
	for _, c := range []struct {
		measured         paper.Measured
		longTail, gained bool
	}{
		{measured(0.88, 0.89, 0.885, 0.8, 0.81), true, true},
		{measured(0.88, 0.882, 0.881, 0.8, 0.8), true, false}, // too little is gained
		{measured(0.88, 0.89, 0.895, 0.8, 0.81), true, false}, // two heads are better
		{measured(0.88, 0.877, 0.87, 0.8, 0.81), false, false},
		{measured(0.88, 0.89, 0.885, 0.8, 0.79), false, true}, // the rare classes lose
	} {
		for i, want := range []bool{c.longTail, c.gained} {
			if got := paper.Judge(Paper.Claims[i], c.measured); got.MeansHold != want {
				t.Errorf("%s of %v: held is %v", Paper.Claims[i].Name, c.measured, got.MeansHold)
			}
		}
	}
}

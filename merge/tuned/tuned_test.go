package tuned_test

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/merge/soup"
	"github.com/ballast-ml/ballast/merge/tuned"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/zoo"
)

func digits(t *testing.T, e *engine.Engine, seed uint64, layer norm.Layer) *bundle.Bundle {
	t.Helper()
	network := zoo.NewMLP()
	network.Hidden, network.Norm.Layer = []int{5}, layer
	b := &bundle.Bundle{Manifest: bundle.NewManifest(zoo.Choice{Network: network}, []int{8, 8, 1}, strings.Split("0123456789", "")), Store: model.NewStore()}
	param.Seed(b.Store, seed)
	if err := b.Declare(e.Backend); err != nil {
		t.Fatal(err)
	}
	return b
}

func optdigits(t *testing.T) data.Dataset {
	t.Helper()
	ds, err := data.Open("optdigits", "train")
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

// TestGradient holds the gradient against differences of the loss.
func TestGradient(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		b := digits(t, e, 3, norm.Identity{})
		x, err := tuned.Read(data.Subset(optdigits(t), data.Order(1000, 1, 0)[:40]))
		if err != nil {
			t.Fatal(err)
		}
		objective, err := tuned.NewCrossEntropy(b, e)
		if err != nil {
			t.Fatal(err)
		}
		defer objective.Close()
		w, err := b.Weights()
		if err != nil {
			t.Fatal(err)
		}
		const beta = 1.3
		at, err := objective.At(w, beta, tuned.Batch(b, x)...)
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(1, 1))
		direction := w.ZerosLike()
		for i := range direction {
			for j := range direction[i].Values {
				direction[i].Values[j] = float32(r.NormFloat64())
			}
		}
		value := func(h, beta float64) float64 {
			moved := w.Clone()
			for i := range moved {
				for j := range moved[i].Values {
					moved[i].Values[j] += float32(h) * direction[i].Values[j]
				}
			}
			at, err := objective.At(moved, beta, tuned.Batch(b, x)...)
			if err != nil {
				t.Fatal(err)
			}
			return at.Value
		}
		const h = 1e-3
		if got, want := at.Gradient.Dot(direction), (value(h, beta)-value(-h, beta))/(2*h); math.Abs(got-want) > 2e-2*math.Max(1, math.Abs(want)) {
			t.Errorf("along a direction: %v, difference %v", got, want)
		}
		if got, want := at.Beta, (value(0, beta+h)-value(0, beta-h))/(2*h); math.Abs(got-want) > 2e-3*math.Max(1, math.Abs(want)) {
			t.Errorf("in beta: %v, difference %v", got, want)
		}
	})
}

func TestScoreAndSoup(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		b := digits(t, e, 3, norm.Identity{})
		x, err := tuned.Read(data.Subset(optdigits(t), data.Order(1000, 1, 0)[:300]))
		if err != nil {
			t.Fatal(err)
		}
		scorer, err := tuned.NewScorer(b, e, x)
		if err != nil {
			t.Fatal(err)
		}
		defer scorer.Close()
		w, err := b.Weights()
		if err != nil {
			t.Fatal(err)
		}
		logits, err := scorer.Logits(w)
		if err != nil {
			t.Fatal(err)
		}
		accuracy, err := scorer.Accuracy(w)
		if err != nil || len(logits) != 3000 || accuracy != tuned.Accuracy(logits, x.Labels) {
			t.Errorf("%d logits, accuracy %v, %v", len(logits), accuracy, err)
		}
		objective, err := tuned.NewCrossEntropy(b, e)
		if err != nil {
			t.Fatal(err)
		}
		defer objective.Close()
		other := digits(t, e, 4, norm.Identity{})
		v, err := other.Weights()
		if err != nil {
			t.Fatal(err)
		}
		method := soup.NewLearned()
		method.Epochs = 12
		if _, batches := objective.SoupLoss(x, 128, 1); batches != 3 {
			t.Errorf("%d batches of 128, want 3", batches)
		}
		lossOf, batches := objective.SoupLoss(x, 300, 1)
		fit, err := method.Fit([]weights.Set{w, v}, nil, lossOf, batches)
		if err != nil {
			t.Fatal(err)
		}
		if batches != 1 || len(fit.Losses) != 12 || !(fit.Losses[11] < fit.Losses[0]) {
			t.Errorf("%d batches, losses %v", batches, fit.Losses)
		}
	})
}

// TestRecalibrate: one batch gives the statistics of the batch, whatever they were; the mean over batches has no memory.
func TestRecalibrate(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		b := digits(t, e, 3, norm.NewBatch())
		w, err := b.Weights()
		if err != nil {
			t.Fatal(err)
		}
		ds := data.Subset(optdigits(t), data.Order(1000, 1, 0)[:96])
		got, err := tuned.Recalibrate(context.Background(), b, e, w, ds, 32, 0)
		if err != nil {
			t.Fatal(err)
		}
		x, err := tuned.Read(ds)
		if err != nil {
			t.Fatal(err)
		}
		kernel, _ := w.Find("model/layer_1/kernel")
		bias, _ := w.Find("model/layer_1/bias")
		for unit := range 5 {
			var mean, variance float64
			for part := range 3 {
				var sum, square float64
				for i := part * 32; i < (part+1)*32; i++ {
					v := 0.0
					if bias.Values != nil {
						v = float64(bias.Values[unit])
					}
					for k := range 64 {
						v += float64(x.X[i*64+k]) * float64(kernel.Values[k*5+unit])
					}
					sum, square = sum+v, square+v*v
				}
				m := sum / 32
				mean, variance = mean+m/3, variance+(square-32*m*m)/31/3
			}
			gm, _ := got.Find("model/layer_1/norm/mean")
			gv, _ := got.Find("model/layer_1/norm/variance")
			if math.Abs(float64(gm.Values[unit])-mean) > 1e-4 || math.Abs(float64(gv.Values[unit])-variance) > 1e-3 {
				t.Errorf("unit %d: %v, %v; want %v, %v", unit, gm.Values[unit], gv.Values[unit], mean, variance)
			}
		}
		for i, t2 := range got {
			if !weights.IsStatistic(t2.Name) && (weights.Set{t2}).Checksum() != (weights.Set{w[i]}).Checksum() {
				t.Errorf("%s changed", t2.Name)
			}
		}
		if _, err := tuned.Recalibrate(context.Background(), digits(t, e, 1, norm.Identity{}), e, w, ds, 32, 0); err == nil || !strings.Contains(err.Error(), "identity has no statistics") {
			t.Errorf("got %v", err)
		}
	})
}

package train_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/data/augment"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/train"
	"github.com/ballast-ml/ballast/zoo"
)

// spread is a recipe whose batch four devices can share.
func spread() train.Recipe {
	r := train.NewRecipe()
	r.Steps, r.BatchSize, r.LogEvery, r.EvaluateEvery, r.Prepare, r.Test = 50, 32, 1, 0, subset(600), ""
	r.Rules, r.Average.Decay = []optim.RuleChoice{{Rule: optim.NewClipNorm()}}, 0.9
	r.Optimizer = sgd(0.01) // at 0.1 the rounding of one step grows a hundredfold in twenty
	return r
}

// losses is a sink that keeps the loss of each step.
type losses map[int]float64

func (l losses) Log(step int, values map[string]float64) error {
	if v, ok := values["loss"]; ok {
		l[step] = v
	}
	return nil
}

func (losses) Rewind(int) error { return nil }

// TestDevices: four devices compute what one does, within 1e-5 over 50 steps.
func TestDevices(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		if e.Kind == engine.KindGo {
			_, err := train.Run(t.Context(), spread(), train.Options{Engine: e, Devices: 2})
			if err == nil || !strings.Contains(err.Error(), "2 devices; engine go has 1") {
				t.Errorf("got %v", err)
			}
			return
		}
		for name, change := range map[string]func(r *train.Recipe, o *train.Options){
			"batch norm": func(*train.Recipe, *train.Options) {},
			"ghost":      func(r *train.Recipe, _ *train.Options) { r.Norm = &norm.Choice{Layer: norm.NewGhost(4)} },
			"layer, adamw": func(r *train.Recipe, _ *train.Options) {
				r.Norm, r.Optimizer = &norm.Choice{Layer: norm.NewLayerNorm(-1)}, adamw(1e-3)
			},
			"micro-batches": func(r *train.Recipe, _ *train.Options) { r.Accumulate = 2 },
			"weights, noise, a last batch": func(r *train.Recipe, o *train.Options) {
				r.Prepare, r.DropLast, r.Weigh.GradientNoise = nil, false, 0.5
				o.Weights = make([]float32, 1280)
				for i := range o.Weights {
					o.Weights[i] = float32(i%3) / 2
				}
				r.BatchSize = 48 // 1280 = 26 x 48 + 32
			},
			"a text, dropout": func(r *train.Recipe, o *train.Options) {
				*r = reader(50)
				n := r.Network.Network.(zoo.Decoder)
				n.Dropout = 0.1
				r.Network.Network, r.BatchSize, r.DropLast, r.Test, r.Optimizer = n, 8, true, "", sgd(0.01)
				o.Data = newText()
			},
			"from the host": func(_ *train.Recipe, o *train.Options) { o.DeviceBytes = 1 },
			"two streams": func(r *train.Recipe, _ *train.Options) {
				of := twoStreams(r.Steps)
				r.Network, r.Objective, r.Streams, r.Views = of.Network, of.Objective, of.Streams, nil
				s := r.Streams["unlabeled"]
				s.Views = []augment.View{{}, {}} // nothing random, which several devices refuse
				r.Streams["unlabeled"] = s
			},
		} {
			t.Run(name, func(t *testing.T) {
				r, o := spread(), train.Options{Engine: e, Devices: 4}
				change(&r, &o)
				many, one := losses{}, losses{}
				o.Sink = many
				got := run(t, r, o)
				o.Devices, o.Sink = 1, one
				want := run(t, r, o)
				if len(one) != 50 || len(many) != 50 {
					t.Fatalf("%d and %d losses, want 50", len(one), len(many))
				}
				for step, loss := range one {
					if !(math.Abs(loss-many[step]) <= 1e-5) {
						t.Errorf("loss of step %d is %v, want %v", step, many[step], loss)
					}
				}
				within(t, got.Bundle.Store, want.Bundle.Store, 1e-5)
			})
		}

		t.Run("apart", func(t *testing.T) { // each device a ghost batch
			r := spread()
			r.SyncNorm = false
			got := run(t, r, train.Options{Engine: e, Devices: 4})
			r.Norm = &norm.Choice{Layer: norm.NewGhost(8)}
			within(t, got.Bundle.Store, run(t, r, train.Options{Engine: e}).Bundle.Store, 1e-5)
		})
		t.Run("resume", func(t *testing.T) { // from 4 to 1 and back
			r, dir := spread(), t.TempDir()
			r.Checkpoint.EverySteps = 5
			for _, part := range []struct{ until, devices int }{{15, 4}, {30, 1}, {50, 4}} {
				ctx, cancel := context.WithCancel(t.Context())
				o := train.Options{Engine: e, Dir: dir, Resume: true, Devices: part.devices, Sink: stopAt{part.until, cancel}}
				if part.until == 50 {
					o.Sink = nil
					within(t, run(t, r, o).Bundle.Store, run(t, r, train.Options{Engine: e}).Bundle.Store, 1e-5)
				} else if _, err := train.Run(ctx, r, o); err == nil || ctx.Err() == nil {
					t.Fatalf("not stopped: %v", err)
				}
				cancel()
			}
		})
		for want, change := range map[string]func(r *train.Recipe, o *train.Options){
			"5 devices; engine":         func(_ *train.Recipe, o *train.Options) { o.Devices = 5 },
			"do not divide the 32 exam": func(_ *train.Recipe, o *train.Options) { o.Devices = 3 },
			"use drop_last: true":       func(r *train.Recipe, _ *train.Options) { r.DropLast, r.Prepare = false, subset(610) },
			"groups of 16 do not lie":   func(r *train.Recipe, _ *train.Options) { r.Norm = &norm.Choice{Layer: norm.NewGhost(16)} },
		} {
			r, o := spread(), train.Options{Engine: e, Devices: 4}
			change(&r, &o)
			if _, err := train.Run(t.Context(), r, o); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
		}
	})
}

// stopAt cancels a run at a step.
type stopAt struct {
	step   int
	cancel func()
}

func (s stopAt) Log(step int, _ map[string]float64) error {
	if step == s.step {
		s.cancel()
	}
	return nil
}

func (stopAt) Rewind(int) error { return nil }

func within(t *testing.T, got, want *model.Store, tolerance float64) {
	t.Helper()
	n := 0
	for v := range want.IterVariables() {
		if !strings.HasPrefix(v.Path(), "/model/") {
			continue
		}
		n++
		a, b := tensors.MustCopyFlatData[float32](got.GetVariable(v.Path()).MustValue()), tensors.MustCopyFlatData[float32](v.MustValue())
		for i := range b {
			if !(math.Abs(float64(a[i]-b[i])) <= tolerance*max(1, math.Abs(float64(b[i])))) {
				t.Errorf("%s: element %d is %v, want %v", v.Path(), i, a[i], b[i])
				break
			}
		}
	}
	if n == 0 {
		t.Error("nothing compared")
	}
}

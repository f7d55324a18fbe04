package train_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/train"
	"github.com/ballast-ml/ballast/train/objective"
	"github.com/ballast-ml/ballast/zoo"
)

// small is a recipe that takes about a second: an MLP on optdigits.
func small(steps int) train.Recipe {
	r := train.NewRecipe()
	network := zoo.NewMLP()
	network.Hidden = []int{32}
	r.Network = zoo.Choice{Network: network}
	r.Steps, r.LogEvery, r.BatchSize, r.Optimizer = steps, 10, 64, sgd(0.05)
	r.Checkpoint.EverySeconds = 0
	return r
}

// journal is a sink that keeps everything in memory.
type journal map[int]map[string]float64

func (j journal) Log(step int, values map[string]float64) error {
	if j[step] == nil {
		j[step] = map[string]float64{}
	}
	maps.Copy(j[step], values)
	return nil
}

func (j journal) Rewind(step int) error {
	maps.DeleteFunc(j, func(s int, _ map[string]float64) bool { return s > step })
	return nil
}

// weights are the bytes of every variable of a bundle, by path.
func weights(t *testing.T, b *bundle.Bundle) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, v := range b.Variables() {
		if err := v.MustValue().ConstBytes(func(data []byte) { all[v.Path()] = string(data) }); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func run(t *testing.T, r train.Recipe, o train.Options) *train.Result {
	t.Helper()
	result, err := train.Run(t.Context(), r, o)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestRunLearnsDigits(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		r := small(200)
		j := journal{}
		var last train.Progress
		result := run(t, r, train.Options{Engine: e, Sink: j, Progress: func(p train.Progress) { last = p }})
		if result.Metrics["accuracy"] < 0.93 || !(result.Metrics["nll"] < 0.4) {
			t.Errorf("accuracy %v, nll %v after 200 steps; want at least 0.93 and below 0.4", result.Metrics["accuracy"], result.Metrics["nll"])
		}
		if last.Step != 200 || last.Steps != 200 || !(last.ExamplesRate > 0) || last.Left != 0 {
			t.Errorf("last progress is %+v", last)
		}
		if len(j) != 20 || !(j[200]["loss"] < j[10]["loss"]) {
			t.Errorf("logged %d steps, loss %v to %v; want 20 and falling", len(j), j[10]["loss"], j[200]["loss"])
		}
	})
}

// everything that has state of its own, at once.
func elaborate(steps int) train.Recipe {
	r := small(steps)
	r.Norm = &norm.Choice{Layer: norm.NewBatch()}
	r.LogEvery = 9 // an epoch has 18 updates: some logs are just before a validation
	r.Average.Decay = 0.9
	r.Accumulate = 2
	r.Rules = []optim.RuleChoice{{Rule: optim.NewClipNorm()}}
	r.Weigh.GradientNoise = 0.5
	r.Validation.Fraction = 0.1
	r.Watch = []optim.WatcherChoice{{Watcher: optim.Distance{Points: 5, From: 2, Variables: "first"}}}
	r.Schedule.WarmupSteps = 5
	r.Optimizer = adamw(0.003)
	return r
}

// partly trains the norms and one weight of each unit.
func partly(steps int) train.Recipe {
	r := elaborate(steps)
	r.Freeze, r.Init.Norms = train.Freeze{Train: []string{"bn"}, RandomPerChannel: 1, Seed: 5}, "uniform"
	return r
}

// subset keeps some of the examples; smoothed is the cross-entropy with smoothed labels.
func subset(n int) data.Steps { return data.Steps{{Preparation: data.Keep{Examples: n}}} }

func smoothed(share float64) objective.Choice {
	return objective.Choice{Objective: objective.Supervised{Loss: loss.Choice{Loss: loss.CrossEntropy{Smoothing: share}}}}
}

// sgd and adamw are the default optimizers at another rate.
func sgd(lr float64) optim.Choice {
	o := optim.NewSGD()
	o.LR = lr
	return optim.Choice{Optimizer: o}
}

func adamw(lr float64) optim.Choice {
	o := optim.NewAdamW()
	o.LR = lr
	return optim.Choice{Optimizer: o}
}

func normed(steps int, n norm.Layer) train.Recipe {
	r := small(steps)
	r.Norm = &norm.Choice{Layer: n}
	return r
}

func shortPower() norm.Layer {
	n := norm.NewPower("running")
	n.Warmup = 25
	return n
}

func shortUnified() norm.Layer {
	n := norm.NewUnified()
	n.Warmup, n.Floor, n.Filter = 15, 20, true
	return n
}

func TestSameSeedSameBitsOtherSeedOthers(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		r := elaborate(30)
		a, b := run(t, r, train.Options{Engine: e}), run(t, r, train.Options{Engine: e})
		if !maps.Equal(weights(t, a.Bundle), weights(t, b.Bundle)) || !maps.Equal(a.Metrics, b.Metrics) {
			t.Error("two runs of one recipe differ")
		}
		r.Seed = 2
		if c := run(t, r, train.Options{Engine: e}); maps.Equal(weights(t, a.Bundle), weights(t, c.Bundle)) {
			t.Error("another seed gives the same weights")
		}
	})
}

func TestResumeIsBitForBit(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for name, r := range map[string]train.Recipe{
			"plain": small(40), "elaborate": elaborate(47), "frozen": partly(30), "two streams": twoStreams(35), "vectors": vectors(t),
			"in the warm-up of power norm": normed(40, shortPower()), "in the warm-up of unified norm": normed(40, shortUnified()),
		} {
			t.Run(name, func(t *testing.T) {
				whole := journal{}
				want := run(t, r, train.Options{Engine: e, Sink: whole})
				dir, cut := t.TempDir(), journal{}
				every := r.LogEvery
				if e.Kind != engine.KindGo { // which compiles at each beginning: two are stopped, early and late
					every = (r.Steps/r.LogEvery + 1) / 2 * r.LogEvery
				}
				for stop := r.LogEvery; stop < r.Steps; stop += every {
					ctx, cancel := context.WithCancelCause(t.Context())
					reason := fmt.Errorf("enough at %d", stop)
					sink := stopper{journal: cut, at: stop, cancel: func() { cancel(reason) }}
					_, err := train.Run(ctx, r, train.Options{Engine: e, Dir: dir, Resume: true, Sink: sink})
					cancel(nil)
					if err != nil && !strings.Contains(err.Error(), reason.Error()) {
						t.Fatal(err)
					}
				}
				got := run(t, r, train.Options{Engine: e, Dir: dir, Resume: true, Sink: cut})
				if !got.Resumed {
					t.Error("the last run did not go on from a checkpoint")
				}
				if !maps.Equal(weights(t, want.Bundle), weights(t, got.Bundle)) {
					t.Error("weights differ from those of the run that was not interrupted")
				}
				if !maps.Equal(want.Metrics, got.Metrics) || !reflect.DeepEqual(want.Watched, got.Watched) {
					t.Errorf("metrics %v, want %v", got.Metrics, want.Metrics)
				}
				if !maps.EqualFunc(whole, cut, maps.Equal[map[string]float64]) {
					t.Error("logged values differ from those of the run that was not interrupted")
				}
			})
		}
	})
}

// stopper cancels the run when a step is logged.
type stopper struct {
	journal
	at     int
	cancel func()
}

func (s stopper) Log(step int, values map[string]float64) error {
	if step == s.at {
		s.cancel()
	}
	return s.journal.Log(step, values)
}

// TestDropoutIsBitForBit: what layers draw depends on seed and update: a run that is cut draws what it would have, micro-batches too.
func TestDropoutIsBitForBit(t *testing.T) {
	e := goEngine(t)
	network := zoo.NewViT()
	network.Depth, network.Dim, network.Dropout = 1, 8, 0.2
	r := small(20)
	r.Network, r.Accumulate = zoo.Choice{Network: network}, 2
	want := weights(t, run(t, r, train.Options{Engine: e}).Bundle)

	dir := t.TempDir()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	sink := stopper{journal: journal{}, at: 10, cancel: func() { cancel(errors.New("enough")) }}
	if _, err := train.Run(ctx, r, train.Options{Engine: e, Dir: dir, Sink: sink}); err == nil || !strings.Contains(err.Error(), "enough") {
		t.Fatalf("the run was not cut: %v", err)
	}
	got := run(t, r, train.Options{Engine: e, Dir: dir, Resume: true, Sink: journal{}})
	if !got.Resumed || !maps.Equal(weights(t, got.Bundle), want) {
		t.Errorf("resumed %v; weights differ from those of the run that was not interrupted", got.Resumed)
	}

	network.Dropout = 0
	r.Network = zoo.Choice{Network: network}
	if maps.Equal(weights(t, run(t, r, train.Options{Engine: e}).Bundle), want) {
		t.Error("dropout changes nothing")
	}
}

// TestRefusesOtherTasks: a network whose answers are no logits of classes is refused.
func TestRefusesOtherTasks(t *testing.T) {
	for name, network := range map[string]zoo.Network{"towers": zoo.NewTowers()} {
		r := small(10)
		r.Network = zoo.Choice{Network: network}
		_, err := train.Run(t.Context(), r, train.Options{Engine: goEngine(t)})
		wantError(t, err, fmt.Sprintf("recipe: network %s is for the task %s, and objective supervised trains networks that classify, regress or segment", name, network.Task()))
	}
}

func TestResumeRefusesAnotherRecipe(t *testing.T) {
	e := goEngine(t)
	dir := t.TempDir()
	r := small(10)
	run(t, r, train.Options{Engine: e, Dir: dir})
	r.Optimizer = sgd(0.01)
	_, err := train.Run(t.Context(), r, train.Options{Engine: e, Dir: dir, Resume: true})
	wantError(t, err, "optimizer.lr was 0.05 and is 0.01 now")
	r = small(10)
	_, err = train.Run(t.Context(), r, train.Options{Engine: e, Dir: dir})
	wantError(t, err, "has checkpoints of an earlier run")
}

func TestBrokenCheckpointIsSkipped(t *testing.T) {
	e := goEngine(t)
	dir := t.TempDir()
	r := small(20)
	r.Checkpoint.EverySteps = 10
	want := run(t, r, train.Options{Engine: e, Dir: dir})
	path := filepath.Join(dir, "checkpoints", "step-00000020", bundle.WeightsFile)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)-1] ^= 1
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	var remarks []string
	got := run(t, r, train.Options{Engine: e, Dir: dir, Resume: true, Remark: func(s string) { remarks = append(remarks, s) }})
	if got.From != 10 || len(remarks) != 1 || !strings.Contains(remarks[0], "step-00000020 is broken (model.safetensors does not match") {
		t.Errorf("went on from %d with remarks %q; want 10 and one about the checkpoint of step 20", got.From, remarks)
	}
	if !maps.Equal(weights(t, want.Bundle), weights(t, got.Bundle)) {
		t.Error("weights differ")
	}
}

func TestDivergedRunKeepsGoodCheckpoint(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		dir := t.TempDir()
		r := small(100)
		r.Norm = &norm.Choice{Layer: norm.Identity{}}
		r.Schedule.Name = "constant"
		r.Optimizer = sgd(1e30)
		r.Schedule.WarmupSteps = 0
		r.Checkpoint.EverySteps = 1
		_, err := train.Run(t.Context(), r, train.Options{Engine: e, Dir: dir})
		wantError(t, err, "is not finite")
		entries, err := os.ReadDir(filepath.Join(dir, "checkpoints"))
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			if entry.IsDir() && !allFinite(t, filepath.Join(dir, "checkpoints", entry.Name(), "state.json")) {
				t.Errorf("%s holds values that are not finite", entry.Name())
			}
		}
	})
}

func allFinite(t *testing.T, path string) bool {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var state struct{ Metrics map[string]float64 }
	if err := json.Unmarshal(raw, &state); err != nil {
		t.Fatal(err)
	}
	for _, v := range state.Metrics {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return false
		}
	}
	return true
}

func TestAccumulationEqualsTheBigBatch(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		r := small(10)
		r.Norm = &norm.Choice{Layer: norm.Identity{}}
		whole := run(t, r, train.Options{Engine: e})
		r.Accumulate = 4
		parts := run(t, r, train.Options{Engine: e})
		for i, v := range whole.Bundle.Variables() {
			w := parts.Bundle.Variables()[i].MustValue()
			if !v.MustValue().InDelta(w, 1e-6) {
				t.Errorf("%s differs by more than 1e-6", v.Path())
			}
		}
	})
}

func TestHostFeedEqualsDeviceFeed(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		r := elaborate(25)
		device := run(t, r, train.Options{Engine: e})
		host := run(t, r, train.Options{Engine: e, DeviceBytes: 1})
		for i, v := range device.Bundle.Variables() {
			if !v.MustValue().InDelta(host.Bundle.Variables()[i].MustValue(), 1e-5) {
				t.Errorf("%s differs by more than 1e-5", v.Path())
			}
		}
	})
}

func TestLastBatchIsKeptWhenAsked(t *testing.T) {
	e := goEngine(t)
	r := small(0)
	r.Epochs, r.DropLast, r.BatchSize = 1, false, 500
	if got := run(t, r, train.Options{Engine: e}); got.Steps != 3 {
		t.Errorf("1280 examples in batches of 500 took %d steps; want 3", got.Steps)
	}
	r.DropLast = true
	if got := run(t, r, train.Options{Engine: e}); got.Steps != 2 {
		t.Errorf("1280 examples in batches of 500 without the last took %d steps; want 2", got.Steps)
	}
}

func TestLayersSayWhatIsWrong(t *testing.T) {
	r := small(10)
	r.Norm = &norm.Choice{Layer: norm.NewGhost(33)}
	_, err := train.Run(t.Context(), r, train.Options{Engine: goEngine(t)})
	wantError(t, err, "recipe: objective: norm.Ghost")
}

// mislabelled has one label outside the classes.
type mislabelled struct{ data.Dataset }

func (m mislabelled) Label(i int) int32 {
	if i == 7 {
		return 10
	}
	return m.Dataset.Label(i)
}

func TestLabelOutsideTheClasses(t *testing.T) {
	set, err := data.Open("optdigits", "train")
	if err != nil {
		t.Fatal(err)
	}
	_, err = train.Run(t.Context(), small(10), train.Options{Engine: goEngine(t), Data: mislabelled{set}})
	wantError(t, err, "label of example 7: it is 10, there are 10 classes (0 to 9)")
	var bad *fault.Input
	if !errors.As(err, &bad) {
		t.Errorf("error %v is no *fault.Input", err)
	}
}

func TestCancelSavesAndReturnsSoon(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		ctx, cancel := context.WithCancelCause(t.Context())
		reason, dir := errors.New("enough"), t.TempDir()
		var told time.Time
		sink := stopper{journal: journal{}, at: 500, cancel: func() { told = time.Now(); cancel(reason) }}
		_, err := train.Run(ctx, small(1_000_000), train.Options{Engine: e, Dir: dir, Sink: sink})
		if took := time.Since(told); !errors.Is(err, reason) || took > 2*time.Second {
			t.Errorf("returned %v after %v; want the reason within 2 s", err, took)
		}
		if got := latest(t, dir); got != 500 {
			t.Errorf("the newest checkpoint is of step %d; want 500", got)
		}
	})
}

func TestTwoRunsInOneFolder(t *testing.T) {
	e := goEngine(t)
	dir := t.TempDir()
	r := small(20)
	var inner error
	sink := onLog(func() { _, inner = train.Run(t.Context(), r, train.Options{Engine: e, Dir: dir, Resume: true}) })
	run(t, r, train.Options{Engine: e, Dir: dir, Sink: sink})
	wantError(t, inner, fmt.Sprintf("another run (process %d) writes here", os.Getpid()))
}

type onLog func()

func (f onLog) Log(int, map[string]float64) error { f(); return nil }
func (f onLog) Rewind(int) error                  { return nil }

func goEngine(t *testing.T) *engine.Engine {
	t.Helper()
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func wantError(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("error is %v; want one that says %q", err, text)
	}
}

func TestWarnings(t *testing.T) {
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	r := normed(2, norm.Estimated{Rate: 0, Epsilon: 1e-5})
	var remarks []string
	run(t, r, train.Options{Engine: e, Remark: func(s string) { remarks = append(remarks, s) }})
	if len(remarks) != 1 || !strings.Contains(remarks[0], "update_rate is 0") {
		t.Errorf("remarks %q", remarks)
	}
}

package train_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/sample"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/train"
	"github.com/ballast-ml/ballast/train/objective"
	"github.com/ballast-ml/ballast/train/update"
	"github.com/ballast-ml/ballast/zoo"
)

// noisyRecipe trains on wrong labels by an objective.
func noisyRecipe(steps int, o update.Objective) train.Recipe {
	r := small(steps)
	r.Objective = objective.Choice{Objective: o}
	noise := data.NewLabelNoise()
	noise.Rate = 0.4
	r.Prepare = data.Steps{{Preparation: noise}}
	r.Norm = &norm.Choice{Layer: norm.NewBatch()}
	return r
}

func supervised(l loss.Loss) objective.Supervised {
	o := objective.NewSupervised()
	o.Loss = loss.Choice{Loss: l}
	return o
}

func twoNetworks() objective.TwoNetworks {
	o := objective.NewTwoNetworks()
	o.RampSteps, o.Reweight = 30, true
	return o
}

// TestMemoryIsBitForBit: a run that is cut in the middle of a pass, or of a turn, ends with the same weights and the same list of suspects.
func TestMemoryIsBitForBit(t *testing.T) {
	e := goEngine(t)
	for name, o := range map[string]update.Objective{"elr": supervised(loss.NewELR()), "two networks": twoNetworks()} {
		t.Run(name, func(t *testing.T) {
			r := noisyRecipe(70, o)
			whole := run(t, r, train.Options{Engine: e})
			if len(whole.Files) != 1 || whole.Files[0].Name != "suspects.csv" {
				t.Fatalf("the run yields %v", whole.Files)
			}
			lines := strings.Split(string(whole.Files[0].Content), "\n")
			if lines[0] != "index,label,suggested,confidence" || float64(len(lines)-2) != whole.Metrics["suspects"] {
				t.Errorf("%d lines after %q for %v suspects", len(lines)-2, lines[0], whole.Metrics["suspects"])
			}
			if whole.Metrics["suspect_precision"] < 0.5 || whole.Metrics["suspect_recall"] < 0.3 || !(whole.Metrics["suspected"] > 0) {
				t.Errorf("measured %v", whole.Metrics)
			}

			dir := t.TempDir()
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			sink := stopper{journal: journal{}, at: 30, cancel: func() { cancel(errors.New("enough")) }}
			if _, err := train.Run(ctx, r, train.Options{Engine: e, Dir: dir, Sink: sink}); err == nil || !strings.Contains(err.Error(), "enough") {
				t.Fatalf("the run was not cut: %v", err)
			}
			again := run(t, r, train.Options{Engine: e, Dir: dir, Resume: true, Sink: journal{}})
			if !again.Resumed || !maps.Equal(weights(t, again.Bundle), weights(t, whole.Bundle)) {
				t.Errorf("resumed %v; weights differ from those of the run that was not cut", again.Resumed)
			}
			if !maps.Equal(again.Metrics, whole.Metrics) || string(again.Files[0].Content) != string(whole.Files[0].Content) {
				t.Errorf("measured %v and another list of suspects, want %v", again.Metrics, whole.Metrics)
			}
		})
	}
}

// TestTurns: in a pass one network moves, with its average and its memory; the other's average looks on, and collects statistics.
func TestTurns(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		r := noisyRecipe(22, objective.NewTwoNetworks())
		r.Checkpoint.EverySteps, r.Checkpoint.KeepLast = 1, 22
		dir := t.TempDir()
		run(t, r, train.Options{Engine: e, Dir: dir})
		const hidden, mean = "/layer_1/kernel", "/layer_1/norm/mean"
		first, second := "/model/member_1", "/model/member_2"
		at := make([]map[string][]float32, 23)
		for step := 1; step <= 22; step++ {
			at[step] = state(t, dir, step)
		}
		moved := func(path string, from, to int) bool { return !slices.Equal(at[from][path], at[to][path]) }

		// A pass is 20 updates: the first network has the updates 1 to 20.
		for path, want := range map[string][2]bool{
			first + hidden: {true, false}, second + hidden: {false, true}, first + mean: {true, false}, second + mean: {false, true},
			"/average" + first + hidden: {true, false}, "/average" + second + hidden: {false, true},
			"/average" + first + mean: {false, true}, "/average" + second + mean: {true, false},
			"/objective/member_1/targets": {true, false}, "/objective/member_2/targets": {false, true},
		} {
			if got := [2]bool{moved(path, 1, 20), moved(path, 20, 22)}; len(at[1][path]) == 0 || got != want {
				t.Errorf("%s moves in the first pass and in the second: %v, want %v", path, got, want)
			}
		}

		// An average begins where its network does, and forgets as the updates of its own network say.
		if !slices.Equal(at[20]["/average"+second+hidden], at[20][second+hidden]) {
			t.Error("an average does not begin as its network")
		}
		for _, c := range []struct {
			path  string
			step  int
			decay float64
		}{{first + hidden, 2, 1 - 1.0/3}, {second + hidden, 22, 1 - 1.0/3}, {second + hidden, 21, 0.5}} {
			for i, w := range at[c.step][c.path] {
				want := c.decay*float64(at[c.step-1]["/average"+c.path][i]) + (1-c.decay)*float64(w)
				if got := at[c.step]["/average"+c.path][i]; math.Abs(float64(got)-want) > 1e-6 {
					t.Fatalf("value %d of the average of %s after update %d is %v, want %v", i, c.path, c.step, got, want)
				}
			}
		}

		// An update remembers its examples alone: 64 rows of probabilities, (1-beta) of one.
		rows := 0
		table := at[1]["/objective/member_1/targets"]
		for i := 0; i < len(table); i += 10 {
			sum := 0.0
			for _, q := range table[i : i+10] {
				sum += float64(q)
			}
			if sum != 0 {
				rows++
				if math.Abs(sum-0.3) > 1e-5 {
					t.Fatalf("row %d adds up to %v, want 0.3", i/10, sum)
				}
			}
		}
		if rows != 64 {
			t.Errorf("after one update %d examples are remembered, want 64", rows)
		}
	})
}

// state is everything in a checkpoint, by path.
func state(t *testing.T, dir string, step int) map[string][]float32 {
	t.Helper()
	f, err := safetensors.Open(filepath.Join(dir, "checkpoints", fmt.Sprintf("step-%08d", step), "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only read
	all := map[string][]float32{}
	for info := range f.All() {
		raw, err := f.Bytes(info.Name)
		if err != nil {
			t.Fatal(err)
		}
		if info.DType != safetensors.F32 {
			continue // whole numbers
		}
		values := make([]float32, info.Elements)
		for i := range values {
			values[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
		all["/"+info.Name] = values
	}
	return all
}

// TestMemoryRefuses: what the objectives that remember examples do not do.
func TestMemoryRefuses(t *testing.T) {
	e := goEngine(t)
	refused := func(r train.Recipe, want string) {
		t.Helper()
		_, err := train.Run(t.Context(), r, train.Options{Engine: e})
		wantError(t, err, want)
		var usage *fault.Usage
		if !errors.As(err, &usage) {
			t.Errorf("%v is not a usage error", err)
		}
	}

	r := noisyRecipe(30, supervised(loss.NewELR()))
	r.Sampler = sample.Choice{Sampler: sample.NewBalanced()}
	refused(r, "recipe: loss elr keeps a row for each example, and the sampler may draw one twice in an update; use sampler: shuffle")

	two := noisyRecipe(30, twoNetworks())
	r = two
	r.Sampler = sample.Choice{Sampler: sample.NewBalanced()}
	refused(r, "recipe: loss elr of objective two-networks keeps a row for each example, and the sampler may draw one twice")
	r = two
	r.Network = zoo.Choice{Network: zoo.Ensemble{Of: r.Network, Members: 3}}
	refused(r, "recipe: network is an ensemble of 3, and objective two-networks trains one of 2; name the network of one member")
	r.Network = zoo.Choice{Network: zoo.NewTowers()}
	r.Norm = nil
	refused(r, "recipe: network towers is for the task embed, and objective two-networks trains networks that classify; name another")
	r = two
	r.Steps = 20
	refused(r, "recipe: the run has 20 updates, and objective two-networks trains a network for a pass of 20 before the other; use more epochs, an even number")
	for want, change := range map[string]func(*objective.TwoNetworks){
		"recipe: objective.beta is 1; use a share from 0 to below 1":            func(o *objective.TwoNetworks) { o.Beta = 1 },
		"recipe: objective.lambda is -1; use a finite number from 0 on":         func(o *objective.TwoNetworks) { o.Lambda = -1 },
		"recipe: objective.clamp is 0; use a number above 0 and below 0.5":      func(o *objective.TwoNetworks) { o.Clamp = 0 },
		"recipe: objective.coef_step is -1; use 0 for no ramp, or its updates":  func(o *objective.TwoNetworks) { o.RampSteps = -1 },
		"recipe: objective.ema_alpha is 1; use a share from 0 to below 1":       func(o *objective.TwoNetworks) { o.Decay = 1 },
		"recipe: objective.ema_step is -2; use 0 for no ramp, or its updates":   func(o *objective.TwoNetworks) { o.DecayRamp = -2 },
		"recipe: objective.mixup_alpha is -1; use 0 for no mixing, or a finite": func(o *objective.TwoNetworks) { o.MixupAlpha = -1 },
	} {
		o := twoNetworks()
		change(&o)
		refused(noisyRecipe(30, o), want)
	}

	r = two
	r.Average.Decay = 0.9
	_, err := train.Run(t.Context(), r, train.Options{Engine: e})
	wantError(t, err, "the objective averages /model/member_1, and so does the recipe in another way; leave average out of the recipe")

	bad := loss.NewELR()
	bad.Beta = 1.5
	_, err = train.Run(t.Context(), noisyRecipe(30, supervised(bad)), train.Options{Engine: e})
	wantError(t, err, "loss.ELR: beta is 1.5")
	_, err = train.DecodeYAML([]byte("objective: two-network"))
	wantError(t, err, `no objective "two-network" (did you mean two-networks?)`)
	_, err = train.DecodeYAML([]byte("objective: {name: two-networks, lamda: 1}"))
	wantError(t, err, "unknown key lamda (did you mean lambda?)")

	memory.SetLimit(150_000)
	defer memory.SetLimit(0)
	var short *memory.Error
	for want, o := range map[string]update.Objective{
		"the memory of loss elr, a row for each of 1280 examples, needs 153.7 kB of memory, the limit is 150.0 kB":                           supervised(loss.NewELR()),
		"the memory of loss elr of objective two-networks, a row for each of 1280 examples, needs 307.4 kB of memory, the limit is 150.0 kB": twoNetworks(),
	} {
		r := noisyRecipe(30, o)
		network := zoo.NewMLP()
		network.Hidden = []int{2}
		r.Network = zoo.Choice{Network: network}
		_, err := train.Run(t.Context(), r, train.Options{Engine: e})
		wantError(t, err, want)
		if !errors.As(err, &short) {
			t.Errorf("%v does not say that memory is short", err)
		}
	}
}

// TestMemoryOnTwoDevices: elr on two devices is elr on one, and objective two-networks says why it takes one.
func TestMemoryOnTwoDevices(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		if e.Kind == engine.KindGo {
			return // it has one
		}
		_, err := train.Run(t.Context(), noisyRecipe(30, twoNetworks()), train.Options{Engine: e, Devices: 2})
		wantError(t, err, "mixup is drawn at random for the batch, and 2 devices would each draw their own; use one device")

		r := noisyRecipe(25, supervised(loss.NewELR()))
		r.Optimizer = sgd(0.01)
		one := run(t, r, train.Options{Engine: e})
		two := run(t, r, train.Options{Engine: e, Devices: 2})
		if math.Abs(one.Metrics["loss"]-two.Metrics["loss"]) > 1e-5 || one.Metrics["suspects"] != two.Metrics["suspects"] {
			t.Errorf("one device measures %v, two %v", one.Metrics, two.Metrics)
		}
	})
}

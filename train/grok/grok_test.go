package grok_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/train/grok"
)

func TestDataset(t *testing.T) {
	d, err := grok.NewDataset(11, "mul", 0.6, 0.25, 3, 4)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.M) != 121 || d.Train != 72 || d.Corrupted != 18 {
		t.Errorf("%d pairs, %d to train on, %d corrupted", len(d.M), d.Train, d.Corrupted)
	}
	seen := map[[2]int32]bool{}
	for i := range d.M {
		seen[[2]int32{d.M[i], d.N[i]}] = true
		if d.True[i] != d.M[i]*d.N[i]%11 {
			t.Errorf("%d times %d is %d", d.M[i], d.N[i], d.True[i])
		}
		if i >= d.Corrupted && d.Labels[i] != d.True[i] {
			t.Errorf("pair %d is not corrupted, but its label is %d", i, d.Labels[i])
		}
	}
	if len(seen) != 121 {
		t.Errorf("%d different pairs", len(seen))
	}
	other, err := grok.NewDataset(11, "mul", 0.6, 0.25, 3, 5)
	if err != nil || !reflect.DeepEqual(d.M, other.M) || reflect.DeepEqual(d.Labels, other.Labels) {
		t.Errorf("another label seed must change the labels alone (%v)", err)
	}
	for want, make := range map[string]func() (grok.Dataset, error){
		"p is 2; use a prime of at least 3":                         func() (grok.Dataset, error) { return grok.NewDataset(2, "add", 0.5, 0, 1, 1) },
		"the training share is 1.5; use a number from 0 to 1":       func() (grok.Dataset, error) { return grok.NewDataset(5, "add", 1.5, 0, 1, 1) },
		"the share of wrong labels is -1; use a number from 0 to 1": func() (grok.Dataset, error) { return grok.NewDataset(5, "add", 0.5, -1, 1, 1) },
		"leaves no pair of 25 to train on":                          func() (grok.Dataset, error) { return grok.NewDataset(5, "add", 0, 0, 1, 1) },
		`op is "sub"; use add or mul`:                               func() (grok.Dataset, error) { return grok.NewDataset(5, "sub", 0.5, 0, 1, 1) },
	} {
		if _, err := make(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestIPR(t *testing.T) {
	wave := make([]float64, 31)
	for i := range wave {
		wave[i] = 3 * math.Cos(2*math.Pi*4*float64(i)/31+0.7)
	}
	if v, err := grok.IPR(wave, 2); err != nil || math.Abs(v-1) > 1e-12 {
		t.Errorf("a wave has IPR %v (%v), want 1", v, err)
	}
	// Noise over many vectors: 2/(bins+1), bins = 16, but for the constant, whose amplitude is real.
	r := rand.New(rand.NewPCG(1, 1))
	mean, scaled := 0.0, 0.0
	for range 2000 {
		noise := make([]float64, 31)
		for i := range noise {
			noise[i] = r.NormFloat64()
		}
		v, err := grok.IPR(noise, 2)
		if err != nil {
			t.Fatal(err)
		}
		mean += v / 2000
		for i := range noise {
			noise[i] *= 7
		}
		if scaled, err = grok.IPR(noise, 2); err != nil || math.Abs(scaled-v) > 1e-12 {
			t.Fatalf("seven times the noise has IPR %v, not %v", scaled, v)
		}
	}
	if math.Abs(mean-2.0/17) > 0.01 {
		t.Errorf("noise has IPR %v, want about %v", mean, 2.0/17)
	}
	if _, err := grok.IPR(make([]float64, 5), 2); err == nil || !strings.Contains(err.Error(), "a vector of zeros is not defined") {
		t.Errorf("got %v", err)
	}
}

func TestPhases(t *testing.T) {
	for want, s := range map[grok.Phase]grok.Scores{
		grok.FullInversion:    {Train: 0.656, Memorised: 0.016, Corrected: 0.999, Test: 1},
		grok.PartialInversion: {Train: 0.808, Memorised: 0.452, Corrected: 0.564, Test: 1},
		grok.Coexistence:      {Train: 0.990, Memorised: 0.971, Corrected: 0.044, Test: 0.977},
		grok.Memorisation:     {Train: 1, Memorised: 1, Test: 0.02},
		grok.Confusion:        {Train: 0.1, Test: 0.1},
	} {
		if got := grok.PhaseOf(s); got != want {
			t.Errorf("%+v is %s, want %s", s, got, want)
		}
	}
}

// small is a run of seconds that generalises.
func small() grok.Config {
	c := grok.NewConfig()
	c.P, c.Neurons, c.Share, c.Noise, c.Steps, c.Every = 23, 128, 0.7, 0.1, 120, 20
	return c
}

func TestRun(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		r, err := grok.Run(t.Context(), small(), grok.Options{Engine: e})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if r.Final.Test < 0.9 || len(r.History) != 6 {
			t.Errorf("test accuracy %v after %d measurements", r.Final.Test, len(r.History))
		}
		all, err := r.Curve([]float64{0, 1}, false)
		if err != nil || all[0].Scores != r.Final {
			t.Errorf("without pruning %+v, in full %+v (%v)", all[0].Scores, r.Final, err)
		}
		if s := all[1].Scores; s.Test > 0.1 { // logits of 0 answer 0 always
			t.Errorf("without neurons the test accuracy is %v", s.Test)
		}
		low, err := r.Curve([]float64{0.3}, false)
		if err != nil {
			t.Fatal(err)
		}
		high, err := r.Curve([]float64{0.3}, true)
		if err != nil || low[0].Test <= high[0].Test {
			t.Errorf("without low neurons %v, without high ones %v (%v)", low[0].Test, high[0].Test, err)
		}
	})
}

// TestRunResumes: a run that is cut short goes on with the same numbers, in mini-batches with a norm and dropout too.
func TestRunResumes(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		c := small()
		c.P, c.Neurons, c.Steps, c.Every, c.Batch, c.Norm, c.Dropout, c.Decay = 7, 16, 40, 7, 8, "batch", 0.2, 0.1
		want, err := grok.Run(t.Context(), c, grok.Options{Engine: e})
		if err != nil {
			t.Fatal(err)
		}
		defer want.Close()
		dir := t.TempDir()
		enough := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		_, err = grok.Run(ctx, c, grok.Options{Engine: e, Dir: dir, Progress: func(p grok.Point) {
			if p.Step == 21 {
				cancel(enough)
			}
		}})
		if !errors.Is(err, enough) {
			t.Fatal(err)
		}
		got, err := grok.Run(t.Context(), c, grok.Options{Engine: e, Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		defer got.Close()
		if !reflect.DeepEqual(got.History, want.History) || !reflect.DeepEqual(got.IPR, want.IPR) {
			t.Errorf("resumed %+v, in one go %+v", got.History, want.History)
		}
		c.Decay = 3
		if _, err := grok.Run(t.Context(), c, grok.Options{Engine: e, Dir: dir}); err == nil || !strings.Contains(err.Error(), "the recipe's optimizer.weight_decay was 0.1 and is 3 now") {
			t.Errorf("got %v", err)
		}
	})
}

// TestRunRefusesOldFolders: a folder with the state of the loop that runs had before is refused by name, and stays as it is.
func TestRunRefusesOldFolders(t *testing.T) {
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	dir := t.TempDir()
	for name, content := range map[string]string{"run.json": `{"config":{},"history":[],"state":"state-7.safetensors"}`, "state-7.safetensors": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	_, err = grok.Run(t.Context(), small(), grok.Options{Engine: e, Dir: dir})
	var usage *fault.Usage
	if !errors.As(err, &usage) || !strings.Contains(err.Error(), dir+" holds a run of an earlier version") {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("the folder has %v (%v)", left, err)
	}
}

// TestLoss: the trainer's loss is that of all pairs and logits.
func TestLoss(t *testing.T) {
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for _, name := range []string{"mse", "cross-entropy"} {
		c := small()
		c.P, c.Neurons, c.Loss, c.LR, c.Decay, c.Steps, c.Every = 7, 16, name, 1e-30, 0, 1, 1
		r, err := grok.Run(t.Context(), c, grok.Options{Engine: e})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		want := lossByHand(t, r, c)
		if got := r.History[0].Loss; !(math.Abs(got-want) < 1e-5*(1+want)) {
			t.Errorf("%s: the loss is %v, want %v", name, got, want)
		}
	}
}

// lossByHand is the loss of the training pairs by plain loops.
func lossByHand(t *testing.T, r *grok.Result, c grok.Config) float64 {
	t.Helper()
	w, err := r.Bundle.Weights()
	if err != nil || len(w) != 2 {
		t.Fatalf("%d kernels, %v", len(w), err)
	}
	first, second := w[0].Values, w[1].Values
	total := 0.0
	for i := range r.Data.Train {
		logits := make([]float64, c.P)
		for k := range c.Neurons {
			h := float64(first[int(r.Data.M[i])*c.Neurons+k] + first[(c.P+int(r.Data.N[i]))*c.Neurons+k])
			for j := range logits {
				logits[j] += h * h * float64(second[k*c.P+j])
			}
		}
		sum, squares := 0.0, 0.0
		for j, v := range logits {
			sum += math.Exp(v)
			if j == int(r.Data.Labels[i]) {
				v--
			}
			squares += v * v / float64(c.P)
		}
		if c.Loss == "mse" {
			total += squares
		} else {
			total += math.Log(sum) - logits[r.Data.Labels[i]]
		}
	}
	return total / float64(r.Data.Train)
}

func BenchmarkGrok(b *testing.B) {
	e, err := engine.Open("")
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	for b.Loop() {
		c := grok.NewConfig()
		c.Decay = 15
		r, err := grok.Run(b.Context(), c, grok.Options{Engine: e})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(r.Final.Test, "test")
		r.Close()
	}
}

func TestSweep(t *testing.T) {
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	c := small()
	c.P, c.Neurons, c.Steps = 5, 8, 4
	o := grok.Options{Engine: e, Dir: t.TempDir()}
	first, err := grok.Sweep(t.Context(), c, []float64{0.5, 0.8}, []float64{0.1}, []float64{0, 1}, o, nil)
	if err != nil || len(first) != 4 || first[3].Share != 0.8 || first[3].Decay != 1 {
		t.Fatalf("%+v, %v", first, err)
	}
	runs := 0
	o.Progress = func(grok.Point) { runs++ }
	again, err := grok.Sweep(t.Context(), c, []float64{0.5, 0.8}, []float64{0.1}, []float64{0, 1}, o, nil)
	if err != nil || runs > 0 || !reflect.DeepEqual(first, again) {
		t.Errorf("%d measurements on cells that were there; %+v, %v", runs, again, err)
	}
}

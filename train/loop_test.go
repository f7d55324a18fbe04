package train_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/train"
)

// A loop that begins anew with a seed, at another rate, does what a run of that seed and rate does, to the bit.
func TestLoopBeginsAnew(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		r := small(12)
		r.Average.Decay, r.Optimizer = 0.9, adamw(0.003)
		loop, err := train.Open(t.Context(), r, train.Options{Engine: e})
		if err != nil {
			t.Fatal(err)
		}
		defer loop.Close()
		if err := loop.Updates(t.Context(), 5); err != nil {
			t.Fatal(err)
		}

		for _, c := range []struct {
			seed uint64
			lr   float64
		}{{7, 0.003}, {1, 0.01}, {7, 0.003}} {
			if err := loop.Begin(c.seed); err != nil {
				t.Fatal(err)
			}
			if err := loop.Rate(c.lr); err != nil {
				t.Fatal(err)
			}
			if err := loop.Updates(t.Context(), 12); err != nil {
				t.Fatal(err)
			}
			b, err := loop.Bundle()
			if err != nil {
				t.Fatal(err)
			}
			same := r
			same.Seed, same.Optimizer, same.Average.Decay = c.seed, adamw(c.lr), 0
			if !maps.Equal(weights(t, b), weights(t, run(t, same, train.Options{Engine: e}).Bundle)) {
				t.Errorf("seed %d, rate %v: the loop's weights are not those of the run", c.seed, c.lr)
			}
		}
	})
}

// Other weights and other data go into the same programs; what does not fit is refused and changes nothing.
func TestLoopTakesWeightsAndData(t *testing.T) {
	e := goEngine(t)
	r := small(20)
	all, err := data.Open("optdigits", "train")
	if err != nil {
		t.Fatal(err)
	}
	loop, err := train.Open(t.Context(), r, train.Options{Engine: e, Data: data.Subset(all, data.Order(all.Len(), 1, 0)[:600])})
	if err != nil {
		t.Fatal(err)
	}
	defer loop.Close()
	begin, err := loop.Weights()
	if err != nil {
		t.Fatal(err)
	}

	trained := func() []float32 {
		t.Helper()
		if err := loop.Updates(t.Context(), 3); err != nil {
			t.Fatal(err)
		}
		w, err := loop.Weights()
		if err != nil {
			t.Fatal(err)
		}
		return w[0].Values
	}
	first := trained()
	client := data.Subset(all, data.Order(all.Len(), 2, 0)[:130])
	again := func() []float32 {
		t.Helper()
		if err := loop.Begin(r.Seed); err != nil {
			t.Fatal(err)
		}
		if err := loop.Set(begin); err != nil {
			t.Fatal(err)
		}
		return trained()
	}
	if !slices.Equal(again(), first) {
		t.Error("the same weights and data end elsewhere")
	}
	if err := loop.Data(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	other := again()
	if slices.Equal(other, first) {
		t.Error("other data change nothing")
	}
	if !slices.Equal(again(), other) {
		t.Error("the client's updates are not repeatable")
	}
	if err := loop.Data(t.Context(), all); err == nil || !strings.Contains(err.Error(), "the programs are made for at most 600; open the loop with the largest set") {
		t.Errorf("more examples than there is room for: %v", err)
	}
	if err := loop.Set(begin[1:]); err == nil {
		t.Error("a set without a tensor is taken")
	}
}

// Other rates, seeds, weights and clients, larger and smaller ones, go through the programs that there are: one for whole batches and one for
// the last batch of a pass.
func TestLoopCompilesOnce(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		all, err := data.Open("optdigits", "train")
		if err != nil {
			t.Fatal(err)
		}
		order := data.Order(all.Len(), 1, 0)
		r := small(20)
		r.DropLast, r.BatchSize, r.Average.Decay = false, 16, 0.9
		for name, bytes := range map[string]int64{"device": 0, "host": 1} {
			counted := enginetest.Programs(t, e, 2)
			loop, err := train.Open(t.Context(), r, train.Options{Engine: counted, Data: data.Subset(all, order[:40]), DeviceBytes: bytes})
			if err != nil {
				t.Fatal(err)
			}
			for i, lr := range []float64{0.1, 0.02, 0.3} {
				begin, err := loop.Weights()
				if err != nil {
					t.Fatal(err)
				}
				for _, do := range []func() error{
					func() error { return loop.Begin(uint64(i)) },
					func() error { return loop.Rate(lr) },
					func() error { return loop.Set(begin) },
					func() error { return loop.Data(t.Context(), data.Subset(all, order[100:120+10*i])) },
					func() error { return loop.Updates(t.Context(), 7) },
				} {
					if err := do(); err != nil {
						t.Fatalf("%s, client %d: %v", name, i, err)
					}
				}
			}
			loop.Close()
		}
	})
}

package adapt_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/adapt"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/weights"
)

// outsideOf is a bundle seen from outside.
func outsideOf(t *testing.T, m adapt.Model) adapt.Outside {
	t.Helper()
	forward, err := m.Bundle.NewForward(m.Engine, m.Batch)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(forward.Close)
	return adapt.Outside{
		Name: "net", Shape: m.Bundle.Manifest.InputShape, Batch: m.Batch,
		Answer: func(_ context.Context, x []float32, n int) ([]float32, error) { return forward.Logits(x, n) },
	}
}

// places are 0 to n-1.
func places(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

// TestOutside: a method that needs no network answers through the answers of a model as it does with the model itself, in steps of any size.
func TestOutside(t *testing.T) {
	near := adapt.NewLame()
	near.Near = adapt.NearAnswers
	crops := adapt.NewCrops()
	crops.Crop, crops.FilterSize = 5, 3
	for name, method := range map[string]adapt.Method{"lame": near, "crops": crops} {
		t.Run(name, func(t *testing.T) {
			enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
				m := modelOf(t, e)
				inside := start(t, method, m)
				outside, err := adapt.StartOutside(method, outsideOf(t, m))
				if err != nil {
					t.Fatal(err)
				}
				defer outside.Close()
				n := 2*m.Batch + 1
				x := noise(3, 36*n)
				want, err1 := inside.Answer(t.Context(), x, n)
				got, err2 := outside.Answer(t.Context(), x, n)
				if err := errors.Join(err1, err2); err != nil {
					t.Fatal(err)
				}
				differs := func(i int) bool { return math.Abs(float64(got[i]-want[i])) > 1e-5 }
				if len(got) != len(want) || slices.ContainsFunc(places(len(got)), differs) {
					t.Fatalf("from outside it answers %v, with the model %v", got[:6], want[:6])
				}
				if state, err := outside.State(); err != nil || len(state) > 0 || outside.SetState(state) != nil || outside.Reset() != nil {
					t.Errorf("state %v (%v)", state, err)
				}
				if err := outside.SetState(weights.Set{{Name: "a"}}); !fault.IsInput(err) {
					t.Errorf("a state of another adapter: %v", err)
				}
			})
		})
	}
}

// TestOutsideRefused: what changes a network is refused with what it does, and lame where nothing says which examples are near.
func TestOutsideRefused(t *testing.T) {
	m := adapt.Outside{Name: "net", Shape: []int{2}, Batch: 4, Answer: func(context.Context, []float32, int) ([]float32, error) { return nil, nil }}
	for _, k := range adapt.All() {
		if k.Name == "crops" {
			continue
		}
		want := map[string]string{
			"lame": "set near=answers", "heads": "it chooses among heads that the network was trained with", "batch": "it takes other statistics in the network's norms",
			"alpha-bn": "it takes other statistics", "prior": "it takes other statistics", "ema": "it takes other statistics", "unmix": "it takes other statistics",
		}[k.Name]
		if want == "" {
			want = "it trains the network's weights, and net only answers"
		}
		var usage *fault.Usage
		if _, err := adapt.StartOutside(k.New(), m); !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v; want %q", k.Name, err, want)
		}
	}
	if _, err := adapt.StartOutside(adapt.NewCrops(), m); err == nil || !strings.Contains(err.Error(), "choose a model of images") {
		t.Errorf("crops of features: %v", err)
	}
}

package engine_test

import (
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/engine"
)

// TestSmall holds the documented rule at its bounds.
func TestSmall(t *testing.T) {
	small := engine.Work{Weights: 12_000, Updates: 200, MultiplyAdds: 1e9}
	for what, c := range map[string]struct {
		change func(w *engine.Work)
		want   bool
	}{
		"as it is":        {func(*engine.Work) {}, true},
		"at both bounds":  {func(w *engine.Work) { w.MultiplyAdds, w.Updates = engine.SmallMultiplyAdds, engine.SmallUpdates }, true},
		"too much":        {func(w *engine.Work) { w.MultiplyAdds = 1.001 * engine.SmallMultiplyAdds }, false},
		"too many":        {func(w *engine.Work) { w.Updates = engine.SmallUpdates + 1 }, false},
		"not known":       {func(w *engine.Work) { w.MultiplyAdds = 0 }, false},
		"on several":      {func(w *engine.Work) { w.Devices = 2 }, false},
		"passes alone":    {func(w *engine.Work) { w.MultiplyAdds, w.Updates = engine.SmallPasses, 0 }, true},
		"too many passes": {func(w *engine.Work) { w.MultiplyAdds, w.Updates = 1.001*engine.SmallPasses, 0 }, false},
	} {
		w := small
		if c.change(&w); w.Small() != c.want {
			t.Errorf("%s: %+v is small: %v", what, w, w.Small())
		}
	}
	if got := small.String(); got != "12,000 weights x 200 updates" {
		t.Errorf("got %q", got)
	}
	if got := (engine.Work{Weights: 1_234_567, Examples: 50}).String(); got != "1,234,567 weights x 50 examples" {
		t.Errorf("got %q", got)
	}
}

// TestOpenFor: a name and the environment overrule the rule, and without XLA there is nothing to choose.
func TestOpenFor(t *testing.T) {
	small := engine.Work{Weights: 10, Updates: 1, MultiplyAdds: 1}
	t.Setenv(engine.EnvHome, t.TempDir())
	t.Setenv(engine.EnvChoice, "")
	e, err := engine.OpenFor("", small)
	if err != nil || e.Kind != engine.KindGo || strings.Contains(e.Why, "small") {
		t.Errorf("without XLA: %+v, %v; want the automatic choice, with its reason", e, err)
	}
	e, err = engine.OpenFor(engine.KindGo, small)
	if err != nil || e.Why != "asked for by --engine" {
		t.Errorf("by name: %+v, %v", e, err)
	}
	t.Setenv(engine.EnvChoice, "xlaa")
	if _, err := engine.OpenFor("", small); err == nil {
		t.Error("the environment does not count")
	}
	if err := engine.Check("xlaa"); err == nil || !strings.Contains(err.Error(), `did you mean "xla"?`) {
		t.Errorf("got %v", err)
	}
	for _, name := range append(engine.Names(), "", "xla:/x.so") {
		if err := engine.Check(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

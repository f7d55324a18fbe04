package adapt_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/adapt"
	"github.com/ballast-ml/ballast/adapt/adapttest"
	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/nn/norm"
)

// drawn is a data set of images 6x6 in three classes, in the order of their classes.
type drawn struct {
	x []float32
	n int
}

func newDrawn(n int) drawn { return drawn{adapttest.Inputs(1, n, 6, 6, 1), n} }

func (d drawn) Info() data.Info {
	return data.Info{Name: "drawn", Examples: d.n, Shape: []int{6, 6, 1}, Classes: []string{"a", "b", "c"}}
}
func (d drawn) Len() int          { return d.n }
func (d drawn) Label(i int) int32 { return int32(3 * i / d.n) }
func (d drawn) Read(i int, dst []float32) error {
	copy(dst, d.x[36*i:])
	return nil
}

func modelOf(t *testing.T, e *engine.Engine) adapt.Model {
	t.Helper()
	return adapt.Model{Bundle: adapttest.NewBundle(t, e, adapttest.Network(norm.NewBatch()), []int{6, 6, 1}), Engine: e, Batch: 4, Seed: 2}
}

func start(t *testing.T, method adapt.Method, m adapt.Model) adapt.Adapter {
	t.Helper()
	a, err := method.Start(m)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

// killed is the error of a save that the process does not live to see.
var errKilled = errors.New("killed")

// TestKilledAndReopened: a stream that ends behind any save and is taken up from the folder counts and moves as one that was not, to the bit
// of its files.
func TestKilledAndReopened(t *testing.T) {
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		m, set := modelOf(t, e), newDrawn(18)
		for _, k := range adapt.All() {
			if !slices.Contains([]string{"ema", "unmix", "core", "cotta"}, k.Name) { // those of the others are among these
				continue
			}
			whole := filepath.Join(t.TempDir(), "whole")
			run := func(path string, killAt int) {
				t.Helper()
				saved, err := adapt.Open(path)
				if err != nil {
					t.Fatal(err)
				}
				a, err := saved.Start(e)
				if err != nil {
					t.Fatal(err)
				}
				defer a.Close()
				saves := 0
				_, err = adapt.Run(t.Context(), a, adapt.RunOptions{Data: set, Batch: 4, From: saved.Progress, Every: 1, Save: func(p adapt.Progress) error {
					if saves++; saves > killAt {
						return errKilled
					}
					return adapt.SaveState(path, a, p)
				}})
				if killAt < 10 != errors.Is(err, errKilled) {
					t.Fatal(err)
				}
			}
			create := func(path string) {
				t.Helper()
				if err := adapt.Create(path, m.Bundle, adapt.Manifest{Method: adapt.Choice{Method: quick(k)}, Batch: 4, Seed: 2, Engine: e.Kind}); err != nil {
					t.Fatal(err)
				}
			}

			create(whole)
			run(whole, 10)
			want, err := os.ReadFile(filepath.Join(whole, adapt.StateFile))
			if err != nil {
				t.Fatal(err)
			}
			for _, killAt := range []int{0, 3} {
				path := filepath.Join(t.TempDir(), "cut")
				create(path)
				run(path, killAt)
				run(path, 10)
				got, err := os.ReadFile(filepath.Join(path, adapt.StateFile))
				if err != nil || string(got) != string(want) {
					t.Errorf("%s, killed behind save %d: the state is another (%v)", k.Name, killAt, err)
				}
			}
		}
	})
}

// TestRunCounts: answers, labels and the model as it was are counted; an order is followed, and one cut short by its context is saved.
func TestRunCounts(t *testing.T) {
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		m, set := modelOf(t, e), newDrawn(18)
		forward, err := m.Bundle.NewForward(e, 4)
		if err != nil {
			t.Fatal(err)
		}
		defer forward.Close()
		source := adapt.AlphaBN{SourceWeight: 1} // answers as the model does
		a := start(t, source, m)
		p, err := adapt.Run(t.Context(), a, adapt.RunOptions{
			Data: set, Batch: 4, Before: func(_ context.Context, x []float32, n int) ([]float32, error) { return forward.Logits(x, n) },
		})
		if err != nil {
			t.Fatal(err)
		}
		if p.Examples != 18 || p.Labelled != 18 || p.Right != p.RightBefore || !reflect.DeepEqual(p.Answers, p.AnswersBefore) {
			t.Errorf("%+v", p)
		}
		if p.Accuracy() != float64(p.Right)/18 || p.Warning(nil) != "" {
			t.Errorf("accuracy %v, warning %q", p.Accuracy(), p.Warning(nil))
		}

		ctx, cancel := context.WithCancel(t.Context())
		var last adapt.Progress
		_, err = adapt.Run(ctx, a, adapt.RunOptions{
			Data: set, Batch: 4, Order: []int32{3, 2, 1, 0, 5, 6, 7, 8, 9},
			Progress: func(done, total int) {
				if total != 9 {
					t.Errorf("%d of %d", done, total)
				}
				cancel()
			},
			Save: func(p adapt.Progress) error { last = p; return nil },
		})
		if !errors.Is(err, context.Canceled) || last.Examples != 4 {
			t.Errorf("cut short: %v, saved behind %d examples", err, last.Examples)
		}
		if _, err := adapt.Run(t.Context(), a, adapt.RunOptions{Data: set, Batch: 4, From: adapt.Progress{Examples: 3}}); err == nil {
			t.Error("it goes on from within a step")
		}
	})
}

// fixed is an adapter that answers one class from an example on.
type fixed struct {
	adapt.Adapter
	answered, from int
}

func (f *fixed) Answer(ctx context.Context, x []float32, n int) ([]float32, error) {
	y, err := f.Adapter.Answer(ctx, x, n)
	for i := range n {
		class := 1
		if f.answered++; f.answered <= f.from {
			class = f.answered % 3
		}
		y[3*i+class] = 100
	}
	return y, err
}

// TestCollapse: an adapter that gives one class where labels, or the model as it was, do not, is found out; a stream of one class is not.
func TestCollapse(t *testing.T) {
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		m := modelOf(t, e)
		set := newDrawn(240)
		mixed := make([]int32, 240)
		for i := range mixed {
			mixed[i] = int32(i * 7 % 240)
		}
		for _, c := range []struct {
			name  string
			order []int32
			found bool
		}{{"mixed", mixed, true}, {"one class", mixed[:0:0], false}} {
			order := c.order
			if len(order) == 0 {
				for i := 80; i < 160; i++ { // all of class b
					order = append(order, int32(i))
				}
			}
			a := &fixed{Adapter: start(t, adapt.AlphaBN{SourceWeight: 1}, m), from: 40}
			p, err := adapt.Run(t.Context(), a, adapt.RunOptions{Data: set, Batch: 4, Order: order})
			if err != nil {
				t.Fatal(err)
			}
			if (p.Collapse != nil) != c.found {
				t.Fatalf("%s: %+v", c.name, p.Collapse)
			}
			if c.found {
				text := p.Warning([]string{"a", "b", "c"})
				if p.Collapse.Class != 1 || p.Collapse.Examples <= 40 || !strings.Contains(text, "collapsed") || !strings.Contains(text, "the class b") || !strings.Contains(text, "labels") {
					t.Errorf("%+v: %s", p.Collapse, text)
				}
			}
		}
	})
}

// TestCollapseOfTENT: a rate that is far too large collapses TENT, and the run says so.
func TestCollapseOfTENT(t *testing.T) {
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		m := modelOf(t, e)
		tent := adapt.NewTent()
		if err := (&tent.Optimizer).UnmarshalJSON([]byte(`{"name": "adamw", "lr": 0.3, "weight_decay": 0}`)); err != nil {
			t.Fatal(err)
		}
		set := newDrawn(240)
		order := make([]int32, 240)
		for i := range order {
			order[i] = int32(i * 7 % 240)
		}
		p, err := adapt.Run(t.Context(), start(t, tent, m), adapt.RunOptions{Data: set, Batch: 4, Order: order})
		if err != nil {
			t.Fatal(err)
		}
		if p.Collapse == nil {
			t.Errorf("answers %v of TENT at a rate of 0.3 are no collapse", p.Answers)
		}
	})
}

// TestOpenRefuses: folders that are damaged, or do not fit together, are bad input.
func TestOpenRefuses(t *testing.T) {
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		m := modelOf(t, e)
		write := func(name, text string) func(t *testing.T, dir string) {
			return func(t *testing.T, dir string) {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
		for name, c := range map[string]struct {
			damage func(t *testing.T, dir string)
			want   string
		}{
			"no manifest":    {func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, adapt.ManifestFile)) }, "is missing"}, //nolint:errcheck // the test fails then
			"no method":      {write(adapt.ManifestFile, `{"schema_version":1,"batch":4}`), "method is missing"},
			"unknown method": {write(adapt.ManifestFile, `{"schema_version":1,"batch":4,"method":"tend"}`), "did you mean tent"},
			"newer":          {write(adapt.ManifestFile, `{"schema_version":9,"batch":4,"method":"tent"}`), "newer ballast"},
			"no JSON":        {write(adapt.ManifestFile, `{`), ""},
			"cut state":      {write(adapt.StateFile, "12345"), ""},
			"another model": {func(t *testing.T, dir string) {
				b, err := bundle.Open(filepath.Join(dir, adapt.ModelFolder))
				if err != nil {
					t.Fatal(err)
				}
				set, err := b.Weights()
				if err != nil {
					t.Fatal(err)
				}
				set[0].Values[0]++
				if err := errors.Join(b.SetWeights(set), b.Replace(filepath.Join(dir, adapt.ModelFolder))); err != nil {
					t.Fatal(err)
				}
			}, "not those that were adapted"},
		} {
			dir := filepath.Join(t.TempDir(), "a")
			if err := adapt.Create(dir, m.Bundle, adapt.Manifest{Method: adapt.Choice{Method: adapt.NewTent()}, Batch: 4}); err != nil {
				t.Fatal(err)
			}
			c.damage(t, dir)
			if _, err := adapt.Open(dir); !fault.IsInput(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// TestStateOfAnother: the state of another method is bad input when it is given back.
func TestStateOfAnother(t *testing.T) {
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		m := modelOf(t, e)
		dir := filepath.Join(t.TempDir(), "a")
		if err := adapt.Create(dir, m.Bundle, adapt.Manifest{Method: adapt.Choice{Method: adapt.NewTent()}, Batch: 4}); err != nil {
			t.Fatal(err)
		}
		if err := adapt.SaveState(dir, start(t, adapt.NewEMA(), m), adapt.Progress{}); err != nil {
			t.Fatal(err)
		}
		saved, err := adapt.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := saved.Start(e); !fault.IsInput(err) || !strings.Contains(err.Error(), adapt.StateFile) {
			t.Errorf("%v", err)
		}
	})
}

// TestRestRefused: a rest that a norm behind a dense layer cannot take is refused before anything is answered.
func TestRestRefused(t *testing.T) {
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		m := modelOf(t, e)
		a := &refusing{Adapter: start(t, adapt.NewBatch(), m)}
		_, err := adapt.Run(t.Context(), a, adapt.RunOptions{Data: newDrawn(9), Batch: 4})
		if !errors.Is(err, errKilled) || a.asked {
			t.Errorf("%v, asked: %v", err, a.asked)
		}
	})
}

type refusing struct {
	adapt.Adapter
	asked bool
}

func (*refusing) Prepare(int) error { return errKilled }
func (r *refusing) Answer(ctx context.Context, x []float32, n int) ([]float32, error) {
	r.asked = true
	return r.Adapter.Answer(ctx, x, n)
}

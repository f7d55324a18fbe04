package soup_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/format/weights/weightstest"
	"github.com/ballast-ml/ballast/merge/soup"
)

// toZero is the score of being near zero; the best of a family is that of least norm, and means score better than their parts.
func toZero(w weights.Set) (float64, error) { return -w.Norm(), nil }

func TestUniformIsTheMean(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7, 101, 150} {
		models := weightstest.Family(3, n, 0.1)
		soup, err := soup.NewUniform().Merge(models)
		if err != nil {
			t.Fatal(err)
		}
		for k := range soup {
			for j, v := range soup[k].Values {
				mean := 0.0
				for _, m := range models {
					mean += float64(m[k].Values[j])
				}
				mean /= float64(n)
				tolerance := 1e-6
				if n > 100 {
					tolerance = 1.2e-7 * math.Max(1, math.Abs(mean)) // rounded once
				}
				if math.Abs(float64(v)-mean) > tolerance {
					t.Fatalf("%d models: %s[%d] is %v, want %v", n, soup[k].Name, j, v, mean)
				}
			}
		}
		if n == 1 && weightstest.Largest(soup, models[0]) != 0 {
			t.Error("the soup of one model is another one")
		}
	}
}

func TestModelsAreLeftAlone(t *testing.T) {
	models := weightstest.Family(1, 4, 0.1)
	before := []string{}
	for _, m := range models {
		before = append(before, m.Checksum())
	}
	if _, err := soup.NewUniform().Merge(models); err != nil {
		t.Fatal(err)
	}
	if _, err := soup.NewGreedy().Run(soup.InMemory(models, nil), toZero, soup.GreedyOptions{}); err != nil {
		t.Fatal(err)
	}
	for i, m := range models {
		if m.Checksum() != before[i] {
			t.Errorf("model %d changed", i)
		}
	}
}

// TestGreedyProperties: for any scores, the soup is the mean of its ingredients, scores no worse than the best model, and every
// trial was judged by the rule.
func TestGreedyProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(t, "models")
		models := weightstest.Family(rapid.Uint64().Draw(t, "seed"), n, 0.5)
		method := soup.Greedy{
			Strict: rapid.Bool().Draw(t, "strict"), LowerIsBetter: rapid.Bool().Draw(t, "lower"), GivenOrder: rapid.Bool().Draw(t, "given"),
			MaxIngredients: rapid.IntRange(0, 3).Draw(t, "most"),
		}
		// Coarse scores, so that there are ties.
		score := func(w weights.Set) (float64, error) {
			s := math.Round(3 * float64(w[0].Values[0]))
			if method.LowerIsBetter {
				s = -s
			}
			return s, nil
		}
		r, err := method.Run(soup.InMemory(models, nil), score, soup.GreedyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		sign := 1.0
		if method.LowerIsBetter {
			sign = -1
		}
		for _, s := range r.Scores {
			if !method.GivenOrder && sign*r.Score < sign*s {
				t.Fatalf("the soup scores %v, a model %v", r.Score, s)
			}
		}
		if !method.GivenOrder {
			want := []int{}
			for i := range n {
				want = append(want, i)
			}
			slices.SortStableFunc(want, func(a, b int) int {
				switch x, y := sign*r.Scores[a], sign*r.Scores[b]; {
				case x > y:
					return -1
				case x < y:
					return 1
				}
				return 0
			})
			if !slices.Equal(want, r.Order) {
				t.Fatalf("order %v, want %v", r.Order, want)
			}
		}
		var parts []weights.Set
		for _, i := range r.Ingredients {
			parts = append(parts, models[i])
		}
		mean, err := soup.Uniform{}.Merge(parts)
		if err != nil {
			t.Fatal(err)
		}
		if d := weightstest.Largest(mean, r.Weights); d > 1e-5 {
			t.Fatalf("the soup is %v away from the mean of its ingredients", d)
		}
		if method.MaxIngredients > 0 && len(r.Ingredients) > method.MaxIngredients {
			t.Fatalf("%d ingredients", len(r.Ingredients))
		}
		at := r.Scores[r.Order[0]]
		for _, trial := range r.Trials {
			keep := sign*trial.Score > sign*at || trial.Score == at && !method.Strict
			if keep != trial.Kept {
				t.Fatalf("trial %+v against %v", trial, at)
			}
			if trial.Kept {
				at = trial.Score
			}
		}
	})
}

func TestGreedyTakesSuppliedScores(t *testing.T) {
	models := weightstest.Family(5, 3, 0.2)
	calls := 0
	r, err := soup.NewGreedy().Run(soup.InMemory(models, nil), func(weights.Set) (float64, error) {
		calls++
		return 0.5, nil
	}, soup.GreedyOptions{Scores: []float64{0.1, 0.6, 0.3}})
	if err != nil {
		t.Fatal(err)
	}
	if calls != 2 || !slices.Equal(r.Order, []int{1, 2, 0}) || !slices.Equal(r.Ingredients, []int{1}) || r.Score != 0.6 {
		t.Errorf("%d calls, %+v", calls, r)
	}
}

// TestGreedyResumes stops a run at every score in turn; the next one goes on, scores nothing twice and gives the same bits.
func TestGreedyResumes(t *testing.T) {
	models := weightstest.Family(7, 5, 0.6)
	want, err := soup.NewGreedy().Run(soup.InMemory(models, nil), toZero, soup.GreedyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	total := len(models) + len(want.Trials)
	stop := errors.New("stop")
	for at := range total {
		trace := filepath.Join(t.TempDir(), "trace.json")
		calls := 0
		failing := func(w weights.Set) (float64, error) {
			if calls == at {
				return 0, stop
			}
			calls++
			return toZero(w)
		}
		if _, err := soup.NewGreedy().Run(soup.InMemory(models, nil), failing, soup.GreedyOptions{Trace: trace}); !errors.Is(err, stop) {
			t.Fatalf("got %v", err)
		}
		again := 0
		got, err := soup.NewGreedy().Run(soup.InMemory(models, nil), func(w weights.Set) (float64, error) {
			again++
			return toZero(w)
		}, soup.GreedyOptions{Trace: trace})
		if err != nil {
			t.Fatal(err)
		}
		if again != total-at || got.Weights.Checksum() != want.Weights.Checksum() || !slices.Equal(got.Ingredients, want.Ingredients) || !slices.Equal(got.Trials, want.Trials) {
			t.Errorf("stopped at %d: %d more scores, want %d; %+v, want %+v", at, again, total-at, got.Trials, want.Trials)
		}
	}
}

func TestTraceOfSomethingElse(t *testing.T) {
	models := weightstest.Family(7, 3, 0.2)
	trace := filepath.Join(t.TempDir(), "trace.json")
	if _, err := soup.NewGreedy().Run(soup.InMemory(models, nil), toZero, soup.GreedyOptions{Trace: trace}); err != nil {
		t.Fatal(err)
	}
	other := slices.Clone(models)
	other[0] = weightstest.Drawn(rand.New(rand.NewPCG(9, 9)), other[0], 0.1)
	for want, run := range map[string]func() error{
		"options": func() error {
			_, err := soup.Greedy{Strict: true}.Run(soup.InMemory(models, nil), toZero, soup.GreedyOptions{Trace: trace})
			return err
		},
		"other models": func() error {
			_, err := soup.NewGreedy().Run(soup.InMemory(models[:2], nil), toZero, soup.GreedyOptions{Trace: trace})
			return err
		},
		"other weights": func() error {
			_, err := soup.NewGreedy().Run(soup.InMemory([]weights.Set{other[0], other[0], other[0]}, nil), toZero, soup.GreedyOptions{Trace: trace})
			return err
		},
		"other scores": func() error {
			_, err := soup.NewGreedy().Run(soup.InMemory(models, nil), toZero, soup.GreedyOptions{Trace: trace, Scores: []float64{1, 2, 3}})
			return err
		},
	} {
		err := run()
		var bad *fault.Input
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "delete it to begin again") || bad.File != trace {
			t.Errorf("%s: got %v", want, err)
		}
	}
	if err := os.WriteFile(trace, []byte(`{"schema_version": 1, "modles": []}`), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := soup.NewGreedy().Run(soup.InMemory(models, nil), toZero, soup.GreedyOptions{Trace: trace})
	if err == nil || !strings.Contains(err.Error(), "models") {
		t.Errorf("got %v", err)
	}
}

func TestSoupErrors(t *testing.T) {
	models := weightstest.Family(2, 2, 0.1)
	shape, missing, extra, nan := models[0].Clone(), models[0].Clone()[:2], models[0].Clone(), models[0].Clone()
	shape[2].Shape, extra[2].Name = []int{2, 4}, "b/kernal"
	nan[1].Values[3] = float32(math.NaN())
	parallel := models[0].Clone()
	for i := range parallel {
		parallel[i].Name = "module." + parallel[i].Name
	}
	for _, c := range []struct {
		name   string
		second weights.Set
		want   []string
	}{
		{"shape", shape, []string{"second: b/kernel", "[2 4]", "first", "[4 2]"}},
		{"missing", missing, []string{"second: b/kernel", "missing", "[4 2]"}},
		{"extra", extra, []string{"second: b/kernal", "first has no such tensor", `did you mean "b/kernel"?`}},
		{"parallel", parallel, []string{"second: module.a/kernel", "take the prefix module. off"}},
		{"nan", nan, []string{"second: a/bias", "value 3 is NaN"}},
	} {
		in := soup.InMemory([]weights.Set{models[0], c.second}, []string{"first", "second"})
		_, uniform := soup.NewUniform().Run(in)
		_, greedy := soup.NewGreedy().Run(in, toZero, soup.GreedyOptions{})
		_, learned := soup.NewLearned().Fit([]weights.Set{models[0], c.second}, []string{"first", "second"}, quadratic(models[0]), 1)
		for _, err := range []error{uniform, greedy, learned} {
			var bad *fault.Input
			if !errors.As(err, &bad) {
				t.Errorf("%s: got %v", c.name, err)
				continue
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%s: got %q, want %q in it", c.name, err, w)
				}
			}
		}
	}
	empty := soup.InMemory(nil, nil)
	_, uniform := soup.NewUniform().Run(empty)
	_, greedy := soup.NewGreedy().Run(empty, toZero, soup.GreedyOptions{})
	_, learned := soup.NewLearned().Fit(nil, nil, quadratic(models[0]), 1)
	_, none := soup.Ensemble(nil)
	for _, err := range []error{uniform, greedy, learned, none} {
		if err == nil || !strings.Contains(err.Error(), "there is no model") {
			t.Errorf("got %v", err)
		}
	}
	nanScore := func(weights.Set) (float64, error) { return math.NaN(), nil }
	if _, err := soup.NewGreedy().Run(soup.InMemory(models, []string{"first", "second"}), nanScore, soup.GreedyOptions{}); err == nil || !strings.Contains(err.Error(), "score of first is NaN") {
		t.Errorf("got %v", err)
	}
	if _, err := soup.NewGreedy().Run(soup.InMemory(models, nil), toZero, soup.GreedyOptions{Scores: []float64{1}}); err == nil || !strings.Contains(err.Error(), "1 scores for 2 models") {
		t.Errorf("got %v", err)
	}
	bad := soup.NewLearned()
	bad.Share = "tensr"
	if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), `did you mean "tensor"?`) {
		t.Errorf("got %v", err)
	}
}

func TestWarningOfAnotherStart(t *testing.T) {
	one := weightstest.Family(1, 2, 0.05)
	stranger := weightstest.Family(99, 1, 0.05)[0]
	r, err := soup.NewUniform().Run(soup.InMemory([]weights.Set{one[0], one[1], stranger}, []string{"x", "y", "z"}))
	if err != nil || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "z points another way") {
		t.Errorf("%v, %v", r.Warnings, err)
	}
}

// quadratic is the loss (1/2) |w - target|^2 scaled by beta.
func quadratic(target weights.Set) soup.Loss {
	return func(_ int, w weights.Set, beta float64) (soup.LossAt, error) {
		at := soup.LossAt{Gradient: w.Clone()}
		for t := range w {
			for j, v := range w[t].Values {
				d := float64(v) - float64(target[t].Values[j])
				at.Value += beta * d * d / 2
				at.Gradient[t].Values[j] = float32(beta * d)
			}
		}
		at.Beta = at.Value / beta
		return at, nil
	}
}

func TestLearnedSoupGradient(t *testing.T) {
	models, target := weightstest.Family(4, 3, 1), weightstest.Family(5, 1, 1)[0]
	for _, share := range []string{soup.ShareAll, soup.ShareLayer, soup.ShareTensor} {
		method := soup.NewLearned()
		method.Share = share
		rows := map[string]int{soup.ShareAll: 1, soup.ShareLayer: 2, soup.ShareTensor: 3}[share]
		raw := make([][]float64, rows)
		r := rand.New(rand.NewPCG(8, 8))
		for g := range raw {
			raw[g] = []float64{r.NormFloat64(), r.NormFloat64(), r.NormFloat64()}
		}
		value := func() float64 {
			w, err := method.Mix(models, raw)
			if err != nil {
				t.Fatal(err)
			}
			at, err := quadratic(target)(0, w, 1)
			if err != nil {
				t.Fatal(err)
			}
			return at.Value
		}
		mixed, err := method.Mix(models, raw)
		if err != nil {
			t.Fatal(err)
		}
		at, err := quadratic(target)(0, mixed, 1)
		if err != nil {
			t.Fatal(err)
		}
		got, err := method.Gradient(models, raw, at.Gradient)
		if err != nil {
			t.Fatal(err)
		}
		const h = 1e-2
		for g := range raw {
			for m := range raw[g] {
				old := raw[g][m]
				raw[g][m] = old + h
				up := value()
				raw[g][m] = old - h
				down := value()
				raw[g][m] = old
				if slope := (up - down) / (2 * h); math.Abs(slope-got[g][m]) > 1e-3*math.Max(1, math.Abs(slope)) {
					t.Errorf("%s: row %d, model %d: %v, difference %v", share, g, m, got[g][m], slope)
				}
			}
		}
	}
}

func TestLearnedSoupFindsTheMix(t *testing.T) {
	models := weightstest.Family(6, 3, 1)
	method := soup.NewLearned()
	method.Share, method.LR, method.Epochs = soup.ShareAll, 0.1, 300
	target, err := method.Mix(models, [][]float64{{0, 2, 1}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := method.Fit(models, nil, quadratic(target), 1)
	if err != nil {
		t.Fatal(err)
	}
	want := method.Alpha([][]float64{{0, 2, 1}})[0]
	for m := range want {
		if math.Abs(r.Alpha[0][m]-want[m]) > 1e-2 {
			t.Errorf("alpha %v, want %v", r.Alpha[0], want)
			break
		}
	}
	if len(r.Losses) != 300 || r.Losses[299] > r.Losses[0]/100 || weightstest.Largest(r.Weights, target) > 0.05 {
		t.Errorf("the loss went from %v to %v", r.Losses[0], r.Losses[299])
	}
	method.Epochs = 0
	r, err = method.Fit(models, nil, quadratic(target), 1)
	if err != nil || math.Abs(r.Alpha[0][0]-1.0/3) > 1e-12 {
		t.Errorf("%v, %v", r.Alpha, err)
	}
	method.Epochs, method.LearnBeta = 50, true
	if r, err = method.Fit(models, nil, quadratic(target), 1); err != nil || !(r.Beta > 0 && r.Beta < 1) {
		t.Errorf("beta %v, %v: this loss falls with beta", r.Beta, err)
	}
}

func TestBarrier(t *testing.T) {
	a := weightstest.Blank()
	b := weightstest.Blank()
	a[0].Values[0], b[0].Values[0] = -1, 1
	valley := func(w weights.Set) (float64, error) { // 0.9 at both ends, 0.4 in the middle
		return 0.4 + 0.5*math.Abs(float64(w[0].Values[0])), nil
	}
	c, err := soup.Barrier(a, b, valley, 5)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(c.Height-0.5) > 1e-6 || c.At != 0.5 || math.Abs(c.Drop-0.5) > 1e-6 || !strings.Contains(c.Warning(), "different basins") {
		t.Errorf("%+v: %s", c, c.Warning())
	}
	flat, err := soup.Barrier(a, b, func(weights.Set) (float64, error) { return 0.7, nil }, 3)
	if err != nil || flat.Height != 0 || flat.Warning() != "" {
		t.Errorf("%+v, %v", flat, err)
	}
	if _, err := soup.Barrier(a, b, valley, 2); err == nil || !strings.Contains(err.Error(), "at least 3") {
		t.Errorf("got %v", err)
	}
}

func TestSoupVersusEnsembleOfLinearModels(t *testing.T) {
	// Logits linear in the weights: soup and ensemble are the same, and the approximation says so.
	f := [][]float64{{1, -0.5, 0.2, 0.3, 0.9, -1}, {0.5, 0.1, 0.4, -0.2, 0.7, 0.6}}
	logits := func(a float64) ([]float64, error) {
		out := make([]float64, 6)
		for i := range out {
			out[i] = (1-a)*f[0][i] + a*f[1][i]
		}
		return out, nil
	}
	method := soup.NewVersusEnsemble()
	method.Alpha, method.Beta, method.Step = 0.3, 1.7, 0.02
	g, err := method.Measure(logits, []int{2, 0}, 3)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(g.Gap) > 1e-12 || math.Abs(g.Approx) > 1e-6 {
		t.Errorf("%+v", g)
	}
	method.Alpha = 1
	if _, err := method.Measure(logits, []int{2, 0}, 3); err == nil || !strings.Contains(err.Error(), "alpha is 1") {
		t.Errorf("got %v", err)
	}
	method.Alpha = 0.5
	if _, err := method.Measure(logits, []int{2, 3}, 3); err == nil || !strings.Contains(err.Error(), "label 3 of example 1") {
		t.Errorf("got %v", err)
	}
}

func ExampleGreedy() {
	models := soup.InMemory([]weights.Set{
		{{Name: "w", Shape: []int{2}, Values: []float32{1, 0}}},
		{{Name: "w", Shape: []int{2}, Values: []float32{0.5, 0.6}}},
		{{Name: "w", Shape: []int{2}, Values: []float32{9, 9}}},
	}, []string{"a", "b", "c"})
	// The score is a measurement on held-out examples; here it is being near (1, 0.5).
	score := func(w weights.Set) (float64, error) {
		x, y := float64(w[0].Values[0])-1, float64(w[0].Values[1])-0.5
		return -x*x - y*y, nil
	}
	r, err := soup.NewGreedy().Run(models, score, soup.GreedyOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Order, r.Ingredients, r.Weights[0].Values)
	// Output: [0 1 2] [0 1] [0.75 0.3]
}

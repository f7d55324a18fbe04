package evosearch_test

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/train"
	"github.com/ballast-ml/ballast/train/evosearch"
	"github.com/ballast-ml/ballast/zoo"
)

// TestGenomes: what is drawn and mutated is valid, survives JSON, and a mutation changes one node.
func TestGenomes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		perSample := rapid.Bool().Draw(t, "per sample")
		g := evosearch.Random(r, rapid.IntRange(1, 14).Draw(t, "nodes"), perSample)
		m := evosearch.Mutate(r, g, perSample)
		changed := 0
		for i := range g.Nodes {
			if !reflect.DeepEqual(g.Nodes[i], m.Nodes[i]) {
				changed++
			}
		}
		if changed != 1 {
			t.Fatalf("a mutation changed %d nodes", changed)
		}
		for _, g := range []norm.Genome{g, m, evosearch.Canonical(m)} {
			if err := g.Validate(); err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(norm.Choice{Layer: g})
			if err != nil {
				t.Fatal(err)
			}
			var back norm.Choice
			if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(back.Layer, norm.Layer(g)) {
				t.Fatalf("%s came back as %+v (%v)", text, back, err)
			}
			for _, n := range g.Nodes {
				if perSample && strings.HasSuffix(n.Op, ":bwh") {
					t.Fatalf("%s is over the batch", n.Op)
				}
			}
		}
		if c := evosearch.Canonical(m); len(c.ActiveNodes()) != len(c.Nodes) || c.String() != m.String() || c.DependsOnX() != m.DependsOnX() {
			t.Fatalf("the canonical form of %s is %s, %d of %d nodes active", m, c, len(c.ActiveNodes()), len(c.Nodes))
		}
	})
}

// toy scores a genome by its operations alone, in no time.
func toy(_ context.Context, g norm.Genome) (evosearch.Trial, error) {
	t := evosearch.Trial{Nodes: g.Nodes}
	counts := map[string]float64{}
	for _, n := range g.Nodes {
		counts[n.Op]++
	}
	t.Accuracies = []float64{0.3 + 0.05*counts["sigmoid"] + 0.03*counts["std:wh"], 0.3 + 0.05*counts["div"] + 0.03*counts["std:wh"]}
	if counts["exp"] > 1 {
		t.Rejected = "quality"
	}
	return t, nil
}

// TestRun: a search depends on its seed alone, goes on where it was cut short, and evolution beats random search where there is something
// to climb.
func TestRun(t *testing.T) {
	s := evosearch.NewSearch()
	s.Budget, s.Start, s.Round = 200, 50, 8
	want, err := s.Run(t.Context(), evosearch.Options{Try: toy})
	if err != nil {
		t.Fatal(err)
	}
	if len(want.Trials) != 200 || want.Rejected["structural"] == 0 || want.Rejected["quality"] == 0 {
		t.Errorf("%d trials, rejected %v", len(want.Trials), want.Rejected)
	}
	s.Workers = 7
	if got, err := s.Run(t.Context(), evosearch.Options{Try: toy}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("with 7 workers the search found something else (%v)", err)
	}
	random := s
	random.Random = true
	if other, err := random.Run(t.Context(), evosearch.Options{Try: toy}); err != nil || other.BestAccuracy() >= want.BestAccuracy() {
		t.Errorf("random search found %v, evolution %v (%v)", other.BestAccuracy(), want.BestAccuracy(), err)
	}

	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	if _, err = s.Run(ctx, evosearch.Options{Dir: dir, Try: toy, Progress: func(done, _ int, _ float64) {
		if done > 90 {
			cancel()
		}
	}}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	// A crash in the middle of a line.
	path := filepath.Join(dir, "trials.jsonl")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text[:len(text)-10], 0o644); err != nil {
		t.Fatal(err)
	}
	trained := 0
	got, err := s.Run(t.Context(), evosearch.Options{Dir: dir, Try: func(ctx context.Context, g norm.Genome) (evosearch.Trial, error) {
		trained++
		return toy(ctx, g)
	}})
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("resumed, the search found something else (%v)", err)
	}
	if trained == 0 || trained > 115 {
		t.Errorf("%d candidates were trained after the crash, want about 110", trained)
	}
	s.Seed = 2
	if _, err := s.Run(t.Context(), evosearch.Options{Dir: dir, Try: toy}); err == nil || !strings.Contains(err.Error(), "holds trials of another proxy") {
		t.Errorf("got %v", err)
	}
	s.Budget, s.Tournament = 0, 2
	if err := s.Validate(); err == nil || !strings.Contains(err.Error(), "budget is 0; use at least 1") || !strings.Contains(err.Error(), "tournament is 2; use a share from 0 to 1") {
		t.Errorf("got %v", err)
	}
}

// TestTry: the EvoNorm B0 genome trains, one that divides by nothing does not, and neither crashes.
func TestTry(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		s := evosearch.NewSearch()
		s.Proxy.Steps = 60
		try := s.Try(train.Options{Engine: e})
		b0, broken := norm.NewGenome(), norm.NewGenome()
		b0.Nodes = []norm.GenomeNode{
			{Op: "mul", Args: []int{0, 2}}, {Op: "std:wh", Args: []int{0}}, {Op: "add", Args: []int{4, 5}}, {Op: "std:bwh", Args: []int{0}},
			{Op: "max", Args: []int{6, 7}}, {Op: "div", Args: []int{0, 8}},
		}
		broken.Nodes = []norm.GenomeNode{{Op: "div", Args: []int{0, 1}}}
		good, err := try(t.Context(), b0)
		if err != nil || good.Rejected != "" || len(good.Accuracies) != 2 || slices.Min(good.Accuracies) < 0.3 {
			t.Errorf("B0: %+v (%v)", good, err)
		}
		bad, err := try(t.Context(), broken)
		if err != nil || bad.Rejected != "quality" {
			t.Errorf("x / 0: %+v (%v)", bad, err)
		}
	})
}

// TestStability: EvoNorm B0 is stable, exp(exp(x)) is not.
func TestStability(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		network := zoo.NewConvNet()
		network.Filters, network.Strides = []int{4, 4}, []int{2, 1}
		wild := norm.NewGenome()
		wild.Nodes = []norm.GenomeNode{{Op: "exp", Args: []int{0}}, {Op: "exp", Args: []int{4}}}
		for name, c := range map[string]struct {
			layer norm.Layer
			want  bool
		}{"the norm S0": {norm.NewGenome(), true}, "exp(exp(x))": {wild, false}} {
			if got, err := evosearch.StabilityTest(t.Context(), e, network.WithNorm(c.layer), 1); err != nil || got != c.want {
				t.Errorf("%s is stable: %v, want %v (%v)", name, got, c.want, err)
			}
		}
	})
}

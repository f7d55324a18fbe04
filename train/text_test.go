package train_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/nn/mixer"
	"github.com/ballast-ml/ballast/train"
	"github.com/ballast-ml/ballast/train/objective"
	"github.com/ballast-ml/ballast/zoo"
)

const vocabulary, window = 11, 6

// text is a text in windows that overlap, some of them padded.
type text struct {
	tokens []int32
	starts []int32
}

func newText() text {
	t := text{}
	for i := range 61 {
		token := int32(i*i+3*i) % vocabulary
		if i%13 == 12 || i > 50 {
			token = -1
		}
		t.tokens = append(t.tokens, token)
	}
	for from := 0; from+window <= len(t.tokens); from += 3 {
		t.starts = append(t.starts, int32(from))
	}
	return t
}

func (t text) Info() data.Info {
	return data.Info{Name: "text", Part: "train", Examples: len(t.starts), Shape: []int{window}, Classes: slices.Repeat([]string{"token"}, vocabulary), Checksum: "text"}
}
func (t text) Len() int        { return len(t.starts) }
func (t text) Label(int) int32 { return 0 }
func (t text) Stream() []int32 { return t.tokens }
func (t text) Starts() []int32 { return t.starts }
func (t text) Window() int     { return window }

func (t text) Read(i int, dst []float32) error {
	for k := range window {
		dst[k] = float32(t.tokens[int(t.starts[i])+k])
	}
	return nil
}

// reader is a recipe for a text.
func reader(steps int) train.Recipe {
	r := train.NewRecipe()
	n := zoo.NewDecoder()
	n.Context, n.Layers, n.Dim = window, 1, 8
	attention := mixer.NewAttention()
	attention.Heads = 2
	n.Mixer = mixer.Choice{Mixer: attention}
	r.Network = zoo.Choice{Network: n}
	r.Objective = objective.Choice{Objective: objective.NewLanguage()}
	r.Preprocess, r.Steps, r.BatchSize, r.LogEvery, r.Optimizer = "none", steps, 4, 1, sgd(0.1)
	r.DropLast, r.EvaluateEvery, r.Checkpoint.EverySeconds = false, 0, 0
	return r
}

// foretold is what the loss of each example should be, by the model as it is saved.
func foretold(t *testing.T, e *engine.Engine, b *bundle.Bundle, set text) []float64 {
	t.Helper()
	forward, err := b.NewForward(e, set.Len())
	if err != nil {
		t.Fatal(err)
	}
	defer forward.Close()
	x, row := []float32{}, make([]float32, window)
	for i := range set.Len() {
		if err := set.Read(i, row); err != nil {
			t.Fatal(err)
		}
		for _, v := range row {
			x = append(x, max(v, 0))
		}
	}
	logits, err := forward.Logits(x, set.Len())
	if err != nil {
		t.Fatal(err)
	}

	losses := make([]float64, set.Len())
	for i := range losses {
		seen := 0.0
		for k := range window - 1 {
			next := set.tokens[int(set.starts[i])+k+1]
			if next < 0 {
				continue
			}
			of := logits[(i*window+k)*vocabulary : (i*window+k+1)*vocabulary]
			sum := 0.0
			for _, v := range of {
				sum += math.Exp(float64(v))
			}
			losses[i] += math.Log(sum) - float64(of[next])
			seen++
		}
		losses[i] /= max(1, seen)
	}
	return losses
}

// The windows of a text that stay on the device are those of the order of each pass, and the loss is the mean over tokens that count.
func TestTextIsFed(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		set := newText()
		r := reader(10)
		r.Optimizer = sgd(1e-30) // nothing moves, so every loss is known
		j := journal{}
		result := run(t, r, train.Options{Engine: e, Data: set, Test: set, Sink: j})
		losses := foretold(t, e, result.Bundle, set)
		if len(losses)%r.BatchSize == 0 {
			t.Fatalf("%d examples; the last batch is whole, which tests less", len(losses))
		}
		perPass := (len(losses) + r.BatchSize - 1) / r.BatchSize
		for step := 1; step <= r.Steps; step++ {
			order := data.Order(len(losses), r.Seed, (step-1)/perPass)
			from := (step - 1) % perPass * r.BatchSize
			part := order[from:min(from+r.BatchSize, len(order))]
			want := 0.0
			for _, i := range part {
				want += losses[i] / float64(len(part))
			}
			if got := j[step]["loss"]; !(math.Abs(got-want) < 1e-5) {
				t.Errorf("update %d: the loss is %v, want %v", step, got, want)
			}
		}

		// Measured over tokens rather than examples.
		sum, tokens := 0.0, 0.0
		for i, l := range losses {
			counted := 0.0
			for k := range window - 1 {
				if set.tokens[int(set.starts[i])+k+1] >= 0 {
					counted++
				}
			}
			sum, tokens = sum+counted*l, tokens+counted
		}
		if got := result.Metrics["nll"]; !(math.Abs(got-sum/tokens) < 1e-5) {
			t.Errorf("measured %v, want %v", got, sum/tokens)
		}
	})
}

// A language model learns, is saved, and is opened again.
func TestTextIsLearned(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		r := reader(120)
		r.Optimizer = adamw(0.02)
		result := run(t, r, train.Options{Engine: e, Data: newText(), Test: newText()})
		if nll := result.Metrics["nll"]; !(nll < 0.5*math.Log(vocabulary)) {
			t.Errorf("nll %v after training, chance is %v", nll, math.Log(vocabulary))
		}
		dir := t.TempDir() + "/model"
		if err := result.Bundle.Save(dir); err != nil {
			t.Fatal(err)
		}
		opened, err := bundle.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(foretold(t, e, opened, newText()), foretold(t, e, result.Bundle, newText())) {
			t.Error("the opened model answers otherwise")
		}
		forward, err := opened.NewForward(e, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer forward.Close()
		if _, err := forward.Logits([]float32{0, 1, 2, 3, 4, vocabulary}, 1); err == nil || !strings.Contains(err.Error(), "token 5 of example 0 is 11; want a whole number from 0 to 10") {
			t.Errorf("got %v", err)
		}
	})
}

// Another text goes into the same programs.
func TestLoopTakesATextAnew(t *testing.T) {
	e := goEngine(t)
	whole := newText()
	part := text{whole.tokens[:40], whole.starts[:10]}
	loop, err := train.Open(t.Context(), reader(8), train.Options{Engine: e, Data: whole})
	if err != nil {
		t.Fatal(err)
	}
	defer loop.Close()
	if err := loop.Data(t.Context(), part); err != nil {
		t.Fatal(err)
	}
	if err := loop.Updates(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	longer := text{append(slices.Clone(whole.tokens), 1, 2), whole.starts}
	if err := loop.Data(t.Context(), longer); err == nil || !strings.Contains(err.Error(), "the text has 63 tokens, the programs are made for at most 61") {
		t.Errorf("got %v", err)
	}
}

func TestTextRefuses(t *testing.T) {
	e := goEngine(t)
	for want, change := range map[string]func(r *train.Recipe, set *text){
		"preprocess is standardize, and text is a text, whose tokens cannot be; use preprocess: none": func(r *train.Recipe, _ *text) { r.Preprocess = "standardize" },
		"loss cross-entropy compares with labels, the data has tokens": func(r *train.Recipe, _ *text) {
			r.Objective.Objective, r.Network.Network = objective.NewSupervised(), zoo.NewMLP()
		},
		"objective supervised trains networks that classify": func(r *train.Recipe, _ *text) { r.Objective.Objective = objective.NewSupervised() },
		"network mlp is for the task classify, and objective language trains networks that foretell tokens": func(r *train.Recipe, _ *text) {
			r.Network.Network = zoo.NewMLP()
		},
		"token 3: it is 11, there are 11 tokens (0 to 10, and -1 for none)":          func(_ *train.Recipe, set *text) { set.tokens[3] = 11 },
		"start of example 2: it is 56, and a window of 6 ends outside the 61 tokens": func(_ *train.Recipe, set *text) { set.starts[2] = 56 },
		"views has 1 views, which a text does not have; leave views out":             func(r *train.Recipe, _ *text) { r.Views = append(r.Views, nil) },
		"at most 4 of them": func(r *train.Recipe, _ *text) {
			n := r.Network.Network.(zoo.Decoder)
			n.Context = 4
			r.Network.Network = n
		},
	} {
		r, set := reader(2), newText()
		change(&r, &set)
		if _, err := train.Open(t.Context(), r, train.Options{Engine: e, Data: set}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}

	// A text is asked for, and there are classes.
	r := reader(2)
	r.Data, r.Test = train.NewRecipe().Data, ""
	if _, err := train.Open(t.Context(), r, train.Options{Engine: e}); err == nil {
		t.Error("digits are taken for a text")
	}
}

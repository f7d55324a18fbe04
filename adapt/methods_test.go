package adapt_test

import (
	"math"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/adapt"
	"github.com/ballast-ml/ballast/adapt/adapttest"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/gradcheck"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/zoo"
)

// plainSGD is gradient descent and nothing more.
func plainSGD(lr float64) optim.Choice {
	o := optim.NewSGD()
	o.LR, o.Momentum, o.WeightDecay = lr, 0, 0
	return optim.Choice{Optimizer: o}
}

func answers(t *testing.T, a adapt.Adapter, x []float32, n int) []float32 {
	t.Helper()
	y, err := a.Answer(t.Context(), x, n)
	if err != nil {
		t.Fatal(err)
	}
	return y
}

func stateOf(t *testing.T, a adapt.Adapter) weights.Set {
	t.Helper()
	s, err := a.State()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func values(t *testing.T, s weights.Set, name string) []float32 {
	t.Helper()
	v, ok := s.Find(name)
	if !ok {
		t.Fatalf("no %s among %v", name, s.Names())
	}
	return v.Values
}

// entropyOf is the mean entropy of rows of three logits.
func entropyOf(logits []float32) float64 {
	sum := 0.0
	for i := 0; i < len(logits); i += 3 {
		total := 0.0
		for _, v := range logits[i : i+3] {
			total += math.Exp(float64(v))
		}
		for _, v := range logits[i : i+3] {
			p := math.Exp(float64(v)) / total
			sum -= p * math.Log(p)
		}
	}
	return sum / float64(len(logits)/3)
}

// TestTentDescends: steps of TENT on one batch make its answers surer, moving scales and offsets and nothing else; the first answer is that
// of before any step.
func TestTentDescends(t *testing.T) {
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		m := modelOf(t, e)
		tent := adapt.NewTent()
		tent.Optimizer = plainSGD(0.05)
		x := adapttest.Inputs(3, 4, 6, 6, 1)
		a := start(t, tent, m)
		first := answers(t, a, x, 4)
		if plain := answers(t, start(t, adapt.NewBatch(), m), x, 4); !equal(first, plain) {
			t.Error("the first answer is not that of the batch's statistics")
		}
		before := entropyOf(first)
		for range 5 {
			after := entropyOf(answers(t, a, x, 4))
			if after > before+1e-6 {
				t.Errorf("the entropy goes from %v to %v", before, after)
			}
			before = after
		}
		for _, name := range stateOf(t, a).Names() {
			if !strings.HasSuffix(name, "/norm/scale") && !strings.HasSuffix(name, "/norm/offset") && name != "adapt/optimizer/updates" {
				t.Errorf("%s moves", name)
			}
		}
	})
}

func equal(a, b []float32) bool { return near32(a, b, 0) }

func near32(a, b []float32, most float64) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !(math.Abs(float64(a[i])-float64(b[i])) <= most) {
			return false
		}
	}
	return true
}

// TestTentOfOtherNorms: a network whose norms collect nothing is trained with its own statistics, single examples too.
func TestTentOfOtherNorms(t *testing.T) {
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		b := adapttest.NewBundle(t, e, adapttest.Network(norm.Group{Groups: 1, Epsilon: 1e-5}), []int{6, 6, 1})
		a := start(t, adapt.NewTent(), adapt.Model{Bundle: b, Engine: e, Batch: 1})
		begun := stateOf(t, a).Checksum()
		answers(t, a, adapttest.Inputs(3, 2, 6, 6, 1), 2)
		if stateOf(t, a).Checksum() == begun {
			t.Error("nothing has moved")
		}
	})
}

// TestLossesRefuseOtherTasks: the methods that need logits refuse answers that are none.
func TestLossesRefuseOtherTasks(t *testing.T) {
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		net := zoo.NewEmbedder()
		b := adapttest.NewBundle(t, e, adapttest.Network(norm.NewBatch()), []int{6, 6, 1})
		b.Manifest.Network.Network, b.Manifest.Labels, b.Manifest.Task = net, nil, zoo.Embed
		for _, method := range []adapt.Method{adapt.NewTent(), adapt.NewCore(), adapt.NewCotta()} {
			if a, err := method.Start(adapt.Model{Bundle: b, Engine: e, Batch: 4}); err == nil {
				a.Close()
				t.Errorf("%s starts on a model that embeds", adapt.Name(method))
			}
		}
	})
}

// TestLossGradients: entropy and both forms of the class correlation against central differences.
func TestLossGradients(t *testing.T) {
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		warm := adapt.NewCore()
		warm.Temperature = 2.5
		instance := adapt.NewCore()
		instance.Form = adapt.CoreInstance
		x := gradcheck.Normal(4, 5, 3)
		for _, loss := range []func(logits *graph.Node) *graph.Node{
			adapt.Entropy,
			func(l *graph.Node) *graph.Node { loss, _ := warm.Loss(l); return loss },
			func(l *graph.Node) *graph.Node { loss, _ := instance.Loss(l); return loss },
		} {
			gradcheck.Check(t, e.Backend, func(x []*graph.Node) *graph.Node { return loss(x[0]) }, x)
		}
	})
}

// TestCoreCorrelation holds the loss against a plain loop, with a class that no example has.
func TestCoreCorrelation(t *testing.T) {
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		core := adapt.NewCore()
		logits := []float64{3, 1, -400, 0, 2, -400}
		out := graph.MustNewExec(e.Backend, func(x *graph.Node) []*graph.Node {
			loss, m := core.Loss(x)
			return []*graph.Node{loss, m}
		}).MustCall(tensors.FromFlatDataAndDimensions(logits, 2, 3))
		p := func(i int) [2]float64 {
			a := 1 / (1 + math.Exp(logits[3*i+1]-logits[3*i]))
			return [2]float64{a, 1 - a}
		}
		a, b := p(0), p(1)
		cross := a[0]*a[1] + b[0]*b[1]
		want := (cross/(cross+a[0]*a[0]+b[0]*b[0]) + cross/(cross+a[1]*a[1]+b[1]*b[1])) / 3
		if got := tensors.ToScalar[float64](out[0]); math.Abs(got-want) > 1e-12 {
			t.Errorf("the loss is %v; want %v", got, want)
		}
	})
}

// TestCoreGuard: a batch answered as one class for so many steps in a row holds the weights; another one lets them go.
func TestCoreGuard(t *testing.T) {
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		m := modelOf(t, e)
		for _, v := range m.Bundle.Variables() { // the model is sure of class 1, whatever it sees
			if strings.HasSuffix(v.Path(), "output/bias") {
				if err := v.SetValue(tensors.FromFlatDataAndDimensions([]float32{0, 6, 0}, 3)); err != nil {
					t.Fatal(err)
				}
			}
		}
		core := adapt.NewCore()
		core.Guard = 3
		a := start(t, core, m)
		last := stateOf(t, a)
		for step := 1; step <= 5; step++ {
			answers(t, a, adapttest.Inputs(uint64(step), 4, 6, 6, 1), 4)
			now := stateOf(t, a)
			moved := !equal(values(t, now, "model/layer_1/norm/scale"), values(t, last, "model/layer_1/norm/scale")) ||
				!equal(values(t, now, "adapt/optimizer/updates"), values(t, last, "adapt/optimizer/updates"))
			if moved != (step < 3) {
				t.Errorf("step %d: moved is %v", step, moved)
			}
			if streak := values(t, now, "adapt/streak")[0]; streak != float32(step) {
				t.Errorf("step %d: the streak is %v", step, streak)
			}
			last = now
		}

		core.Guard = 0
		if _, ok := stateOf(t, start(t, core, m)).Find("adapt/streak"); ok {
			t.Error("without a guard steps are counted")
		}
	})
}

// TestCottaWeights: with everything restored the student is the source, with no memory the teacher is the student, and the answers are the
// teacher's; views that change nothing are the teacher's answers too.
func TestCottaWeights(t *testing.T) {
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		m := modelOf(t, e)
		x := adapttest.Inputs(3, 4, 6, 6, 1)
		cotta := adapt.NewCotta()
		cotta.Views, cotta.Threshold = 0, 0

		restored := cotta
		restored.Restore = 1
		a := start(t, restored, m)
		begun := stateOf(t, a)
		first := answers(t, a, x, 4)
		if plain := answers(t, start(t, adapt.NewBatch(), m), x, 4); !near32(first, plain, 1e-6) {
			t.Error("the first answer is not that of the model with the batch's statistics")
		}
		after := stateOf(t, a)
		const kernel = "model/layer_1/kernel"
		if !equal(values(t, after, kernel), values(t, begun, kernel)) {
			t.Error("restored weights are not the source's")
		}
		if equal(values(t, after, "adapt/teacher/"+kernel), values(t, begun, "adapt/teacher/"+kernel)) {
			t.Error("the teacher has not moved")
		}

		forgetful := cotta
		forgetful.Restore, forgetful.Momentum = 0, 0
		a = start(t, forgetful, m)
		answers(t, a, x, 4)
		after = stateOf(t, a)
		if !equal(values(t, after, "adapt/teacher/"+kernel), values(t, after, kernel)) || equal(values(t, after, kernel), values(t, begun, kernel)) {
			t.Error("a teacher without memory is not the student")
		}

		viewed := cotta
		viewed.Views, viewed.Threshold, viewed.Augment = 3, 1, nil
		if !near32(answers(t, start(t, viewed, m), x, 4), first, 1e-5) {
			t.Error("views that change nothing have other answers")
		}
		viewed.Augment = adapt.NewCotta().Augment
		if near32(answers(t, start(t, viewed, m), x, 4), first, 1e-5) {
			t.Error("changed views have the same answers")
		}
	})
}

// TestUnMixWarns: what un-mixed statistics cannot do well is said.
func TestUnMixWarns(t *testing.T) {
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		one := adapt.NewUnMix()
		one.K = 1
		a := start(t, one, modelOf(t, e))
		if w, ok := a.(adapt.Warner); !ok || len(w.Warnings()) != 1 || !strings.Contains(w.Warnings()[0], "instance normalisation") {
			t.Errorf("%v", w.Warnings())
		}
		if w := start(t, adapt.NewUnMix(), modelOf(t, e)).(adapt.Warner); len(w.Warnings()) != 0 {
			t.Errorf("%v", w.Warnings())
		}
	})
}

// TestBadStatistics: running statistics that are no numbers are bad input.
func TestBadStatistics(t *testing.T) {
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		m := modelOf(t, e)
		for _, v := range m.Bundle.Variables() {
			if v.Name() == "mean" {
				if err := v.SetValue(tensors.FromFlatDataAndDimensions(append(make([]float32, v.Shape().Size()-1), float32(math.NaN())), v.Shape().Dimensions...)); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, method := range []adapt.Method{adapt.NewAlphaBN(), adapt.NewTent()} {
			if _, err := method.Start(m); err == nil || !strings.Contains(err.Error(), "channel 3 of the running statistics is NaN") {
				t.Errorf("%s: %v", adapt.Name(method), err)
			}
		}
	})
}

// TestOptionsRefused: options without a meaning are refused by name, by Start and when they are read.
func TestOptionsRefused(t *testing.T) {
	for text, want := range map[string]string{
		`{"name": "alpha-bn", "source_weight": -1}`:                     "source_weight is -1",
		`{"name": "prior", "strength": -2}`:                             "strength is -2",
		`{"name": "ema", "momentum": 0}`:                                "momentum is 0",
		`{"name": "unmix", "k": 0}`:                                     "k is 0",
		`{"name": "core", "form": "bach"}`:                              `form is "bach"`,
		`{"name": "core", "temperature": 0}`:                            "temperature is 0",
		`{"name": "core", "guard": -1}`:                                 "guard is -1",
		`{"name": "cotta", "restore": 2}`:                               "restore is 2",
		`{"name": "cotta", "views": -1}`:                                "views is -1",
		`{"name": "tent", "optimizer": {"name": "sgd", "lr": -1}}`:      "optimizer.lr is -1",
		`{"name": "tent", "statistics": {"name": "mixed", "sorce": 1}}`: "source_weight",
		`{"name": "tent", "statistics": "bach"}`:                        "did you mean batch",
		`{"name": "cotta", "augment": [{"name": "noise", "std": -1}]}`:  "std is -1",
		`{"name": "tend"}`:                                              "did you mean tent",
	} {
		var c adapt.Choice
		if err := c.UnmarshalJSON([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v does not say %q", text, err, want)
		}
	}
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		bad := adapt.NewCore()
		bad.Temperature = -1
		for _, method := range []adapt.Method{adapt.AlphaBN{SourceWeight: 2}, adapt.UnMix{}, adapt.EMA{}, adapt.Tent{}, adapt.Core{}, adapt.Cotta{}, bad, adapt.Prior{Strength: -1}} {
			if _, err := method.Start(modelOf(t, e)); err == nil || !strings.HasPrefix(err.Error(), "adapt "+adapt.Name(method)+": ") {
				t.Errorf("%+v: %v", method, err)
			}
		}
	})
}

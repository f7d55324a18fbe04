package train_test

import (
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/train"
	"github.com/ballast-ml/ballast/zoo"
)

// contrastive is a recipe for vectors of digits: five classes with six examples an update.
func contrastive(t *testing.T, more string) train.Recipe {
	t.Helper()
	r, err := train.DecodeYAML([]byte(`
data: {name: unseen, train: first}
preprocess: none
network: {name: mlp, hidden: [24, 16]}
sampler: {name: pk, classes: 5, members: 6}
batch_size: 30
steps: 20
log_every: 5
evaluate_every: 0
optimizer: {name: adamw, lr: 0.003}
checkpoint: {every_seconds: 0}
` + more))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// vectors is a recipe with all that the objective keeps and draws: proxies, mixed examples, views.
func vectors(t *testing.T) train.Recipe {
	r := contrastive(t, `
views: [[], [noise]]
objective: {name: contrastive, loss: proxy-anchor, mix: pairs, level: feature, extra: [{loss: tcm}]}`)
	r.Steps, r.LogEvery = 15, 7
	return r
}

// TestContrastive: vectors of digits find their like, and the model says what it answers with.
func TestContrastive(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		r := contrastive(t, "objective: {name: contrastive, dim: 12, extra: [{loss: tcm}]}")
		r.Data, r.Steps = train.NewRecipe().Data, 150
		result := run(t, r, train.Options{Engine: e})
		if got := result.Metrics["recall_at_1"]; !(got > 0.8) {
			t.Errorf("recall@1 is %v; want more than 0.8", got)
		}
		for _, name := range []string{"loss_multi-similarity", "loss_tcm", "tcm_positives", "tcm_negatives"} {
			if v, ok := result.Metrics[name]; !ok || !(v >= 0) {
				t.Errorf("%s is %v, %v", name, v, ok)
			}
		}

		dir := filepath.Join(t.TempDir(), "model")
		if err := result.Bundle.Save(dir); err != nil {
			t.Fatal(err)
		}
		b, err := bundle.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Store.Finalize()
		if m := b.Manifest; m.Task != zoo.Embed || len(m.Labels) != 0 || m.Network.Outputs() != 12 {
			t.Errorf("the manifest has task %q, labels %v, %d outputs; want embed, none, 12", m.Task, m.Labels, m.Network.Outputs())
		}
		if got, want := weights(t, b), weights(t, run(t, r, train.Options{Engine: e}).Bundle); !maps.Equal(got, want) {
			t.Error("a second run ends with other weights")
		}
	})
}

// TestContrastiveMixes: with weight 0 the mixed examples change nothing, norms' statistics among it, and with weight 1 something, at
// every level and for every loss that takes them.
func TestContrastiveMixes(t *testing.T) {
	e := goEngine(t)
	flat := func(r train.Recipe) []float64 {
		var all []float64
		for _, v := range run(t, r, train.Options{Engine: e}).Bundle.Variables() {
			v.MustValue().MustConstFlatData(func(flat any) {
				for _, x := range flat.([]float32) {
					all = append(all, float64(x))
				}
			})
		}
		return all
	}
	apart := func(a, b []float64) (most float64) {
		for i := range a {
			most = max(most, math.Abs(a[i]-b[i]))
		}
		return most
	}
	for _, c := range []struct{ loss, mix string }{
		{"multi-similarity", "mix: pairs, level: input"},
		{"multi-similarity", "mix: pairs, level: feature"},
		{"contrastive", "mix: {name: pairs, kind: ancneg}, level: feature, after: layer_1"},
		{"lifted", "mix: {name: pairs, kind: posneg}, level: embedding"},
		{"proxy-anchor", "mix: {name: mixup, alpha: 1}, level: embedding"},
	} {
		t.Run(c.loss+" "+c.mix, func(t *testing.T) {
			with := func(text string) []float64 {
				r := contrastive(t, fmt.Sprintf("objective: {name: contrastive, loss: %s%s}\ntest: ''", c.loss, text))
				r.Steps = 3
				return flat(r)
			}
			plain := with("")
			if d := apart(plain, with(", weight: 0, "+c.mix)); d > 1e-6 {
				t.Errorf("mixed examples with weight 0 move the weights by %v", d)
			}
			if d := apart(plain, with(", weight: 1, "+c.mix)); d < 1e-5 {
				t.Errorf("mixed examples with weight 1 move the weights by %v alone", d)
			}
		})
	}
}

// TestContrastiveViews: losses of views run, and a batch of one class is no error.
func TestContrastiveViews(t *testing.T) {
	e := goEngine(t)
	for name, more := range map[string]string{
		"ntxent":               "views: [[{name: noise}], [{name: noise}]]\nsampler: shuffle\nobjective: {name: contrastive, loss: ntxent}",
		"supcon of two views":  "views: [[{name: noise}], [{name: noise}]]\nobjective: {name: contrastive, loss: supcon, extra: [{loss: tcm, weight: 0.5}, {loss: tcm}]}",
		"mixed, two views":     "views: [[], [{name: noise}]]\nobjective: {name: contrastive, mix: pairs}",
		"one class":            "sampler: {name: pk, classes: 1, members: 30}\nobjective: {name: contrastive, extra: [{loss: tcm}]}",
		"one class, mixed":     "sampler: {name: pk, classes: 1, members: 30}\nobjective: {name: contrastive, mix: pairs}",
		"members without like": "sampler: {name: pk, classes: 5, members: 1}\nbatch_size: 5\nobjective: {name: contrastive, mix: pairs}",
	} {
		t.Run(name, func(t *testing.T) {
			r := contrastive(t, "")
			changed, err := train.DecodeYAML([]byte(more))
			if err != nil {
				t.Fatal(err)
			}
			r.Objective, r.Views, r.Steps = changed.Objective, changed.Views, 3
			if strings.Contains(more, "sampler") {
				r.Sampler = changed.Sampler
			}
			if strings.Contains(more, "batch_size") {
				r.BatchSize = changed.BatchSize
			}
			if loss := run(t, r, train.Options{Engine: e}).Metrics["loss"]; math.IsNaN(loss) {
				t.Error("the loss is not a number")
			}
		})
	}
}

// TestContrastiveDevices: four devices take the loss of the whole batch.
func TestContrastiveDevices(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		if e.Kind == engine.KindGo {
			return // it has one device
		}
		r := contrastive(t, "objective: {name: contrastive, loss: proxy-anchor, extra: [{loss: tcm}]}\ntest: ''")
		r.BatchSize, r.Steps, r.LogEvery = 40, 5, 1
		changed, err := train.DecodeYAML([]byte("sampler: {name: pk, classes: 5, members: 8}"))
		if err != nil {
			t.Fatal(err)
		}
		r.Sampler = changed.Sampler
		many, one := losses{}, losses{}
		run(t, r, train.Options{Engine: e, Devices: 4, Sink: many})
		run(t, r, train.Options{Engine: e, Sink: one})
		for step, want := range one {
			if !(math.Abs(many[step]-want) <= 1e-5*max(1, math.Abs(want))) {
				t.Errorf("loss of step %d is %v on four devices, %v on one", step, many[step], want)
			}
		}
		r.Objective = contrastive(t, "objective: {name: contrastive, mix: pairs}").Objective
		_, err = train.Run(t.Context(), r, train.Options{Engine: e, Devices: 4})
		if err == nil || !strings.Contains(err.Error(), "objective.mix is pairs, which draws from the whole batch, and 4 devices would each draw their own; use one device") {
			t.Errorf("mixing on four devices: %v", err)
		}
	})
}

// TestContrastiveRefuses: what cannot be done, and the text that says so.
func TestContrastiveRefuses(t *testing.T) {
	e := goEngine(t)
	for more, want := range map[string]string{
		"objective: {name: contrastve}":                                               `no objective "contrastve" (did you mean contrastive?)`,
		"objective: {name: contrastive, loss: suppcon}":                               `no batch loss "suppcon" (did you mean supcon?)`,
		"objective: {name: contrastive, loss: elr}":                                   `no batch loss "elr"; it gives a value for each example`,
		"objective: {name: contrastive, loss: ntxent}":                                "loss ntxent compares views of an example, and the recipe draws 1; use two or more",
		"objective: {name: contrastive, extra: [{loss: tcm}]}\naccumulate: 2":         "multi-similarity is a loss of a whole batch, which accumulate=2 would cut into parts; use accumulate: 1",
		"objective: {name: contrastive, extra: [{weight: 1}]}":                        "loss is missing; name one, for example {loss: tcm}",
		"objective: {name: contrastive, extra: [{loss: tcm, weight: -1}]}":            "objective.extra.0.weight is -1; use a finite number from 0",
		"objective: {name: contrastive, level: pixel}":                                `objective.level is "pixel"; use input, feature or embedding`,
		"objective: {name: contrastive, weight: -1}":                                  "objective.weight is -1; use a finite number from 0",
		"objective: {name: contrastive, after: layer_1}":                              "objective.after is layer_1, and the level is embedding; use level: feature",
		"objective: {name: contrastive, loss: supcon, mix: pairs}":                    "objective.mix is pairs, and loss supcon has no place for mixed examples; use contrastive, contrastive-cosine",
		"objective: {name: contrastive, mix: transmix}":                               "objective.mix is transmix, whose targets come from attention; use pairs",
		"objective: {name: contrastive, mix: {name: pairs, alpha: 0}}":                "alpha is 0",
		"objective: {name: contrastive, mix: pair}":                                   `no mixing "pair" (did you mean pairs?)`,
		"objective: {name: contrastive, mix: pairs, level: feature, after: layer_3}":  `objective.after: no layer "layer_3"; did you mean "layer_1"?`,
		"objective: {name: contrastive, mix: pairs, level: feature, after: stem}":     `objective.after: no layer "stem"; there are layer_1, layer_2`,
		"objective: {name: contrastive, dim: 1}":                                      "embedder: outputs is 1; use at least 2",
		"objective: {name: contrastive, extra: [{loss: {name: tcm, margin_pos: 2}}]}": "loss.TCM: margins are 2 and 0.5",
	} {
		r, err := decode(more)
		if err == nil {
			_, err = train.Run(t.Context(), r, train.Options{Engine: e})
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s:\n got  %v\n want %s", more, err, want)
		}
	}
}

// TestContrastiveFewMembers: a class with fewer examples than an update takes of each.
func TestContrastiveFewMembers(t *testing.T) {
	r, err := train.DecodeYAML([]byte(`
prepare: [{name: subset, examples: 60}]
network: {name: mlp, hidden: [8]}
sampler: {name: pk, classes: 5, members: 7}
batch_size: 35
steps: 3
objective: {name: contrastive, extra: [{loss: tcm}]}`))
	if err == nil {
		_, err = train.Run(t.Context(), r, train.Options{Engine: goEngine(t)})
	}
	wantError(t, err, "class 0 has 6 examples, an update takes 7 of each; lower members, or leave the class out")
}

// decode is the recipe of contrastive with more keys, or what is wrong with them.
func decode(more string) (train.Recipe, error) {
	return train.DecodeYAML([]byte(`
data: {name: unseen, train: first}
preprocess: none
network: {name: mlp, hidden: [24, 16]}
sampler: {name: pk, classes: 5, members: 6}
batch_size: 30
steps: 3
` + more))
}

// TestContrastiveWarns of margins that contradict each other.
func TestContrastiveWarns(t *testing.T) {
	e := goEngine(t)
	var said []string
	r := contrastive(t, "objective: {name: contrastive, extra: [{loss: {name: tcm, margin_neg: 0.95}}]}")
	r.Steps = 1
	run(t, r, train.Options{Engine: e, Remark: func(text string) { said = append(said, text) }})
	if all := strings.Join(said, "\n"); !strings.Contains(all, "loss tcm: margin_neg is 0.95 and margin_pos 0.9") {
		t.Errorf("said %q", all)
	}
}

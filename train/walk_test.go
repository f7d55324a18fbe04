package train_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/augment"
	"github.com/ballast-ml/ballast/data/sample"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/format/npy"
	"github.com/ballast-ml/ballast/internal/choice"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/train"
)

// walked are recipes of three updates, of seven in a pass, for the objectives and what changes how they weigh examples.
var walked = map[string]string{
	"supervised":         "objective: {name: supervised}",
	"supervised, extra":  "objective: {name: supervised, extra: [{loss: tcm}]}",
	"supervised, mixup":  "objective: {name: supervised, mix: mixup}",
	"supervised, former": "objective: {name: supervised, between: batchformer}\nnetwork: {hidden: [8]}",
	"contrastive":        "objective: {name: contrastive, dim: 4}",
	"two-networks":       "objective: {name: two-networks}\nsteps: 8",
	"semi": "objective: {name: semi, threshold: 0.15}\n" +
		"streams: {unlabeled: {batch: 6, prepare: [{name: subset, examples: 50}], views: [[], [{name: shift, pixels: 1}]]}}",
	"language": "objective: {name: language}\ndata: {name: go-source, packages: [sort], context: 8, stride: 16}\nnetwork: {name: decoder, context: 8, layers: 1, dim: 8}\nnorm: null",
	"inpaint": "objective: {name: inpaint, loss: {gan_weight: 0}}\ndata: {name: holes, side: 12, patches: 60, held: 4}\n" +
		"network: {name: inpainter, base: 2, blocks: 1, norm: instance}\nnorm: null",
}

// averaged are those whose networks have running statistics, which an average can take in several ways.
var averaged = map[string]bool{"supervised": true, "supervised, extra": true, "supervised, mixup": true, "supervised, former": true,
	"contrastive": true, "two-networks": true, "semi": true}

const walkedBase = `
network: {name: mlp, hidden: [6]}
norm: batch
preprocess: none
prepare: [{name: subset, examples: 60}]
batch_size: 8
steps: 3
test: ""
evaluate_every: 0
checkpoint: {every_seconds: 0}
optimizer: {lr: 0.05}
`

// change is a key of a recipe with two values, each as what is laid over the recipe.
type change struct{ key, before, after string }

// changes are the keys of weigh, rules, average, schedule and watch, and what depends on them.
var changes = []change{
	{"weigh.examples", "", "weigh: {examples: FILE}"},
	{"weigh.gradient_noise", "", "weigh: {gradient_noise: 0.5}"},
	{"weigh.gradient_noise", "", "weigh: {gradient_noise: -1}"},
	{"average.decay", "", "average: {decay: 0.5}"},
	{"sampler.classes and members", "sampler: {name: pk, classes: 4, members: 2}", "sampler: {name: pk, classes: 2, members: 4}"},
	{"sampler.ways and shots", "sampler: {name: episode, ways: 2, shots: 2, queries: 2}", "sampler: {name: episode, ways: 4, shots: 1, queries: 1}"},
	{"sampler.unknown", "sampler: {name: episode, ways: 4, shots: 1, queries: 1}", "sampler: {name: episode, ways: 2, shots: 1, queries: 1, unknown: 4}"},
	{"average.statistics", "average: {decay: 0.5}", "average: {decay: 0.5, statistics: copy}"},
	{"average.statistics", "average: {decay: 0.5, statistics: copy}", "average: {decay: 0.5, statistics: own}"},
	{"average.statistics", "", "average: {statistics: copy}"},
	{"average.statistics", "", "average: {statistics: own}"},
	{"schedule.name", "", "schedule: {name: constant}"},
	{"schedule.name", "", "schedule: {name: cosine-7-16}"},
	{"schedule.warmup_steps", "", "schedule: {warmup_steps: 2}"},
	{"schedule.warmup_epochs", "", "schedule: {warmup_epochs: 0.3}"},
	{"schedule.milestones", "", "schedule: {milestones: [0.1]}"},
	{"schedule.milestones", "schedule: {name: constant}", "schedule: {name: step, milestones: [0.1]}"},
	{"schedule.factor", "", "schedule: {factor: 0.5}"},
	{"schedule.factor", "schedule: {name: step, milestones: [0.1]}", "schedule: {name: step, milestones: [0.1], factor: 0.5}"},
	{"schedule.final", "", "schedule: {final: 0.5}"},
	{"schedule.final", "schedule: {name: constant}", "schedule: {name: constant, final: 0.5}"},
	{"schedule.large_batch.rule", "", "schedule: {large_batch: {rule: sqrt}}"},
	{"schedule.large_batch.small_batch", "schedule: {large_batch: {rule: linear}}", "schedule: {large_batch: {rule: linear, small_batch: 4}}"},
	{"schedule.large_batch.small_batch", "weigh: {gradient_noise: -1}", "weigh: {gradient_noise: -1}\nschedule: {large_batch: {small_batch: 4}}"},
	{"schedule.large_batch.small_batch", "", "schedule: {large_batch: {small_batch: 4}}"},
	{"schedule.large_batch.regime_adaptation", "schedule: {name: step, milestones: [0.1], large_batch: {small_batch: 2, rule: sqrt}}",
		"schedule: {name: step, milestones: [0.1], large_batch: {small_batch: 2, rule: sqrt, regime_adaptation: true}}"},
	{"watch", "", "watch: [{name: distance, from: 1}]"},
	{"watch.points", "watch: [{name: distance, from: 1, points: 3}]", "watch: [{name: distance, from: 1, points: 40}]\nsteps: 9"},
	{"watch.from", "watch: [{name: distance, from: 1}]", "watch: [{name: distance, from: 2}]"},
	{"watch.from", "", "watch: [{name: distance}]"},
	{"watch.variables", "watch: [{name: distance, from: 1}]", "watch: [{name: distance, from: 1, variables: all}]"},
	{"views", "views: [[{name: noise}]]", "views: [[{name: noise}], [{name: noise}]]"},
	{"streams", "", "streams: {spare: {batch: 4}}"},
	{"streams.unlabeled.part", "streams: {unlabeled: {part: train}}", "streams: {unlabeled: {part: test}}"},
	{"streams.unlabeled.batch", "streams: {unlabeled: {batch: 6}}", "streams: {unlabeled: {batch: 8}}"},
	{"streams.unlabeled.sampler", "streams: {unlabeled: {batch: 6}}", "streams: {unlabeled: {batch: 6, sampler: balanced}}"},
	{"streams.unlabeled.views", "streams: {unlabeled: {batch: 6}}", "streams: {unlabeled: {batch: 6, views: [[], [noise], [noise]]}}"},
}

// keyed are other values for the keys of what is chosen by name. A text with a name and a colon is laid over the options in both.
var keyed = map[string]string{
	"rule clip-norm most": "0.001", "rule clip-value most": "0.0001",

	"view flip probability": "1", "view flip axis": "vertical", "view shift pixels": "2", "view shift fill": "0.5",
	"view crop smallest": "0.7", "view crop aspect": "3", "view rotate degrees": "60", "view noise std": "0.3",
	"view blur least": "1", "view blur most": "4", "view blur probability": "1", "view cutout size": "3", "view cutout fill": "0.5",
	"view colour brightness": "0.8", "view colour contrast": "0.8", "view colour saturation": "0.8", "view colour hue": "0.3", "view colour grey": "0.9",
	"view colour probability": "0.1", "view flip together": "true", "view shift together": "true", "view crop together": "true", "view rotate together": "true",
	"view noise together": "true", "view blur together": "true", "view cutout together": "true", "view colour together": "true",

	"sampler shuffle pad": "true", "sampler pk classes": "2", "sampler pk members": "4", "sampler mixture shares": "[3, 1]", "sampler episode ways": "4",
	"sampler episode shots": "3", "sampler episode queries": "3", "sampler episode unknown": "1", "sampler dirichlet delta": "9", "sampler dirichlet slots": "2",
	"sampler gradual overlap": "0",

	"prepare subset examples": "50", "prepare long-tail most": "5", "prepare long-tail ratio": "2", "prepare long-tail least": "2", "prepare long-tail seed": "7",
	"prepare label-noise kind": "pair", "prepare label-noise rate": "0.9", "prepare label-noise seed": "7", "prepare paired-label-noise rate": "0.9", "prepare paired-label-noise seed": "7", "prepare pool size": "4",
	"prepare domains with":  "[optdigits, optdigits]",
	"prepare domains names": "", // what domains are called
}

// ofObjectives are other values for the keys of each objective, laid over its recipe.
var ofObjectives = map[string]string{
	"supervised loss": "{name: cross-entropy, label_smoothing: 0.2}", "supervised mix": "mixup", "supervised between": "batchformer",
	"supervised extra": "[{loss: tcm}]",
	"semi loss":        "balanced-softmax", "semi weight": "3", "semi threshold": "0.9", "semi targets": "hard", "semi align": "{kind: ema, decay: 0.5}", "semi shrink": "true",
	"semi decay": "0.5", "semi restart": "2",
	"contrastive loss": "supcon", "contrastive dim": "5", "contrastive mix": "pairs", "contrastive level": "input", "contrastive after": "layer_1",
	"contrastive weight": "0.9", "contrastive extra": "[{loss: tcm}]",
	"inpaint loss": "{l1_weight: 2}", "inpaint discriminator": "{base: 8}",
	"two-networks beta": "0.1", "two-networks lambda": "9", "two-networks clamp": "0.4", "two-networks coef_step": "9", "two-networks reweight_labels": "true",
	"two-networks ema_alpha": "0.1", "two-networks ema_step": "9", "two-networks ema_update": "true", "two-networks mixup_alpha": "0",
}

// ofObjective is the changes of the keys of an objective.
func ofObjective(t *testing.T, objective string) []change {
	t.Helper()
	r, err := laid(t, walkedBase, walked[objective])
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(r.Objective)
	if err != nil {
		t.Fatal(err)
	}
	var keys map[string]any
	if err := json.Unmarshal(text, &keys); err != nil {
		t.Fatal(err)
	}
	var all []change
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if key == "name" {
			continue
		}
		value, known := ofObjectives[objective+" "+key]
		if !known {
			t.Errorf("objective %s has the key %s, of which no other value is known here: add it", objective, key)
			continue
		}
		all = append(all, change{"objective." + key, "", "objective: {" + key + ": " + value + "}"})
	}
	return all
}

// first are the options that a kind begins with, where its defaults do not fit a batch of eight or sixty examples.
var first = map[string]string{
	"rule clip-value": "most: 0.01", "view cutout": "size: 5", "sampler pk": "classes: 4, members: 2", "sampler episode": "ways: 2, shots: 2, queries: 2", "prepare subset": "examples: 40",
	"prepare long-tail": "most: 4, ratio: 4, least: 1", "prepare domains": "with: [optdigits]",
}

// grown are the changes of all kinds that are chosen by name in a place of a recipe.
func grown[T any](t *testing.T, place string, kinds []choice.Kind[T], chosen func(T) any, lay func(name, choice string) string) []change {
	t.Helper()
	var all []change
	for _, kind := range kinds {
		name := kind.Name
		text, err := json.Marshal(chosen(kind.New()))
		if err != nil {
			t.Fatal(err)
		}
		var keys map[string]any
		if err := json.Unmarshal(text, &keys); err != nil {
			t.Fatal(err)
		}
		begin := "name: " + name
		if more := first[place+" "+name]; more != "" {
			begin += ", " + more
		}
		if begin != "name: shuffle" { // what a recipe has without it
			all = append(all, change{place + " " + name, "", lay(name, "{"+begin+"}")})
		}
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			if key == "name" {
				continue
			}
			value, known := keyed[place+" "+name+" "+key]
			if !known {
				t.Errorf("%s %s has the key %s, of which no other value is known here: add it", place, name, key)
			}
			if value == "" {
				continue
			}
			settings := map[string]any{}
			if err := json.Unmarshal(asJSON(t, "{"+begin+"}"), &settings); err != nil {
				t.Fatal(err)
			}
			var v map[string]any
			if err := json.Unmarshal(asJSON(t, "{v: "+value+"}"), &v); err != nil {
				t.Fatal(err)
			}
			settings[key] = v["v"]
			after, err := json.Marshal(settings)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, change{place + " " + name + " " + key, lay(name, "{"+begin+"}"), lay(name, string(after))})
		}
	}
	return all
}

// asJSON is YAML as JSON.
func asJSON(t *testing.T, yaml string) []byte {
	t.Helper()
	m, err := strict.Settings([]byte(yaml))
	if err != nil {
		t.Fatalf("%s: %v", yaml, err)
	}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// every is all changes of the walk.
func every(t *testing.T) []change {
	t.Helper()
	return slices.Concat(changes,
		grown(t, "rule", optim.Rules(), func(r optim.Rule) any { return optim.RuleChoice{Rule: r} }, func(_, choice string) string {
			return "rules: [" + choice + "]"
		}),
		grown(t, "view", augment.All(), func(v augment.Transform) any { return augment.Choice{Transform: v} }, func(_, choice string) string {
			return "views: [[" + choice + "]]"
		}),
		grown(t, "sampler", sample.All(), func(s sample.Sampler) any { return sample.Choice{Sampler: s} }, func(name, choice string) string {
			if slices.Contains([]string{"mixture", "by-source", "gradual"}, name) {
				return "sampler: " + choice + "\nprepare: [{name: domains, with: [optdigits]}, {name: subset, examples: 60}]"
			}
			return "sampler: " + choice
		}),
		grown(t, "prepare", data.Preparations(), func(p data.Preparation) any { return data.Step{Preparation: p} }, func(name, choice string) string {
			switch name {
			case "long-tail", "label-noise", "paired-label-noise": // of the training examples alone, which come last
				return "prepare: [{name: subset, examples: 100}, " + choice + "]"
			}
			return "prepare: [" + choice + ", {name: subset, examples: 20}]"
		}),
	)
}

// laid is a recipe with others laid over it, the later ones over those before.
func laid(t *testing.T, texts ...string) (train.Recipe, error) {
	t.Helper()
	all := map[string]any{}
	for _, text := range texts {
		if strings.TrimSpace(text) == "" {
			continue
		}
		m, err := strict.Settings([]byte(text))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		over(all, m)
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return train.DecodeYAML(text)
}

// over lays settings over others; a choice of another name takes the place of the whole.
func over(to, from map[string]any) {
	for k, v := range from {
		inner, ok := v.(map[string]any)
		outer, both := to[k].(map[string]any)
		if ok && both && (inner["name"] == nil || inner["name"] == outer["name"]) {
			over(outer, inner)
			continue
		}
		to[k] = v
	}
}

// TestEveryKeyHasAnEffect: for every objective, another value of one of its keys, or of a key of weigh, rules, average, schedule, watch, views, streams, sampler or
// prepare changes the bits of the weights after a few updates, what is watched or said; or it is refused, and the error says which.
func TestEveryKeyHasAnEffect(t *testing.T) {
	if testing.Short() {
		t.Skip("about a thousand short runs; the whole check makes them")
	}
	e := goEngine(t)
	file := filepath.Join(t.TempDir(), "weights.npy")
	all := every(t)
	for _, name := range slices.Sorted(maps.Keys(walked)) {
		t.Run(name, func(t *testing.T) {
			known := map[string]string{}
			changed, refused := 0, 0
			all := all
			if !strings.Contains(name, ",") {
				all = slices.Concat(all, ofObjective(t, name))
			}
			for _, c := range all {
				before := outcome(t, e, known, name, c.before, file)
				after := outcome(t, e, known, name, c.after, file)
				switch {
				case strings.HasPrefix(after, "refused"):
					refused++
				case strings.HasPrefix(before, "refused"):
					t.Errorf("%s: %s runs, and %s is %s", c.key, c.after, c.before, before)
				case before == after && c.key == "average.statistics" && !averaged[name]:
				case before == after:
					t.Errorf("%s: %q is accepted and changes nothing of %q", c.key, c.after, c.before)
				default:
					changed++
				}
			}
			if changed < 10 || testing.Verbose() {
				t.Logf("%d changes have an effect, %d are refused", changed, refused)
			}
			if changed < 10 {
				t.Error("too few changes have an effect to say anything")
			}
		})
	}
}

// outcome is what comes of a recipe with a change: the bits of its weights, and what was watched and said; or why it is refused.
func outcome(t *testing.T, e *engine.Engine, known map[string]string, name, change, file string) string {
	t.Helper()
	if out, ok := known[change]; ok {
		return out
	}
	out := func() string {
		r, err := laid(t, walkedBase, walked[name], strings.ReplaceAll(change, "FILE", file))
		if err != nil {
			return "refused: " + err.Error()
		}
		var said []string
		o := train.Options{Engine: e, Remark: func(text string) { said = append(said, text) }}
		if r.Weigh.Examples != "" {
			set, err := r.Data.Open(r.Part)
			if err != nil {
				t.Fatal(err)
			}
			w := make([]float32, set.Len())
			for i := range w {
				w[i] = float32(i%3) / 2
			}
			if err := npy.WriteFile(file, []int{len(w)}, w); err != nil {
				t.Fatal(err)
			}
		}
		accepted := false
		o.Accept = func() error { accepted = true; return nil }
		result, err := train.Run(t.Context(), r, o)
		if err != nil {
			if text := err.Error(); accepted || strings.Contains(text, "runtime error") || strings.Contains(text, "goroutine") {
				t.Errorf("%s: %v, after the run began: %v", change, text, accepted)
			}
			return "refused: " + err.Error()
		}
		watched, err := json.Marshal(result.Watched)
		if err != nil {
			t.Fatal(err)
		}
		values := weights(t, result.Bundle)
		var text strings.Builder
		for _, path := range slices.Sorted(maps.Keys(values)) {
			fmt.Fprintf(&text, "%s %x\n", path, values[path])
		}
		return text.String() + string(watched) + strings.Join(said, "\n")
	}()
	known[change] = out
	return out
}

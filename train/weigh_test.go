package train_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/npy"
	"github.com/ballast-ml/ballast/train"
)

// What would have no effect is refused before the run is accepted, as a usage error that names the key and what to do; or it is said.
func TestIgnoredKeysAreRefused(t *testing.T) {
	e := goEngine(t)
	set, err := data.Open("optdigits", "train")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "weights.npy")
	if err := npy.WriteFile(file, []int{set.Len()}, make([]float32, set.Len())); err != nil {
		t.Fatal(err)
	}
	const whole, alone = "a loss of a whole batch, in which all count the same; leave ", " out, or train with losses of each example alone"
	for _, c := range []struct{ objective, change, want string }{
		{"supervised, extra", "weigh: {gradient_noise: 0.5}", "recipe: weigh.gradient_noise weighs each example, and tcm is " + whole + "weigh.gradient_noise" + alone},
		{"supervised, extra", "weigh: {examples: " + file + "}", "recipe: weigh.examples weighs each example, and tcm is " + whole + "weigh.examples" + alone},
		{"contrastive", "weigh: {gradient_noise: -1}", "recipe: weigh.gradient_noise weighs each example, and multi-similarity is " + whole},
		{"contrastive", "weigh: {examples: " + file + "}", "recipe: weigh.examples weighs each example, and multi-similarity is " + whole},
		{"inpaint", "weigh: {gradient_noise: 0.5}", "recipe: weigh.gradient_noise weighs each example, and l1 is " + whole},
		{"supervised", "sampler: {name: shuffle, pad: true}",
			"recipe: sampler.pad fills up the last batch of a pass, which has 4 examples, and drop_last leaves it out; use drop_last: false, or leave pad out"},
		{"supervised", "average: {statistics: copy}", "recipe: average.statistics is copy; there is no average without average.decay, for example 0.999; set it, or leave statistics out"},
		{"supervised", "schedule: {milestones: [1]}", "schedule.milestones is [1]; schedule cosine has no drops; use name: step, or milestones: []"},
		{"supervised", "schedule: {factor: 0.5}", "schedule.factor is 0.5; schedule cosine has no drops; use name: step, or leave factor out"},
		{"supervised", "schedule: {name: constant, final: 0.5}", "schedule.final is 0.5; schedule constant ends elsewhere; use name: cosine, or leave final out"},
		{"supervised", "views: [[{name: colour, hue: 0.3}]]", "augment: colour: hue is 0.3, and images of one channel have no colour to change; leave it out"},
		{"two-networks", "views: [[], []]", "recipe: views has 2 views, and objective two-networks learns from 1 of each example"},
		{"semi", "views: [[], []]", "recipe: views has 2 views, and objective semi learns from 1 of each example"},
		{"semi", "streams: {spare: {batch: 4}}", "recipe: streams has spare, and objective semi learns from the examples of data and the stream unlabeled; leave streams.spare out"},
		{"language", "prepare: [{name: subset, examples: 60}, label-noise]", "label-noise: go-source sort has no classes to mistake; leave it out"},
	} {
		o := train.Options{Engine: e, Dir: filepath.Join(t.TempDir(), "run"), Accept: func() error { t.Errorf("%s: accepted", c.change); return nil }}
		r, err := laid(t, walkedBase, walked[c.objective], c.change)
		if err == nil {
			_, err = train.Run(t.Context(), r, o)
			var usage *fault.Usage
			if err != nil && !errors.As(err, &usage) {
				t.Errorf("%s, %s: %v is no usage error", c.objective, c.change, err)
			}
		}
		wantError(t, err, c.want)
		if _, err := os.Stat(o.Dir); err == nil {
			t.Errorf("%s: a folder was made", c.change)
		}
	}

	r, err := laid(t, walkedBase, walked["contrastive"])
	if err != nil {
		t.Fatal(err)
	}
	_, err = train.Run(t.Context(), r, train.Options{Engine: e, Data: set, Weights: make([]float32, set.Len())})
	wantError(t, err, "recipe: Options.Weights weighs each example, and multi-similarity is "+whole)

	for _, c := range []struct{ objective, change, want string }{
		{"supervised", "schedule: {large_batch: {small_batch: 4}}", "schedule.large_batch.small_batch is 4 and has no effect: nothing is adapted to it without " +
			"rule: sqrt or linear, regime_adaptation: true, or weigh.gradient_noise: -1"},
		{"supervised", "watch: [distance]", "watch measures no distance: the run ends at update 3, before the first measurement"},
		{"contrastive", "objective: {level: input}", "objective.level and objective.weight have no effect: they apply to mixed examples, and mix is none"},
		{"semi", "objective: {restart: 5}", "objective.decay and objective.restart have no effect: they are of the share that shrink: true takes"},
		{"semi", "objective: {align: {kind: ema, length: 5}}", "objective.align.length has no effect: it is of kind: queue, and kind is ema"},
		{"semi", "objective: {align: {kind: none, decay: 0.5}}", "objective.align.decay has no effect: it is of kind: ema, and kind is none"},
		{"two-networks", "objective: {ema_step: 5}", "objective.ema_step has no effect without ema_update: true"},
		{"inpaint", "objective: {discriminator: {base: 8}}", "objective.discriminator has no effect: with gan_weight 0 there is none"},
	} {
		r, err := laid(t, walkedBase, walked[c.objective], c.change)
		if err != nil {
			t.Fatal(err)
		}
		var said []string
		run(t, r, train.Options{Engine: e, Remark: func(text string) { said = append(said, text) }})
		if len(said) != 1 || said[0] != c.want {
			t.Errorf("%s: said %q, want %q", c.change, strings.Join(said, "; "), c.want)
		}
	}
}

// A stream of another part of the recipe's data has that part.
func TestPartOfAStream(t *testing.T) {
	e := goEngine(t)
	r, err := laid(t, walkedBase, walked["semi"], "streams: {unlabeled: {part: test}}")
	if err != nil {
		t.Fatal(err)
	}
	loop, err := train.Open(t.Context(), r, train.Options{Engine: e})
	if err != nil {
		t.Fatal(err)
	}
	defer loop.Close()
	set, err := data.Open("optdigits", "train")
	if err != nil {
		t.Fatal(err)
	}
	_, err = train.Open(t.Context(), r, train.Options{Engine: e, Data: set})
	wantError(t, err, "recipe: streams.unlabeled.part is test, and the data of the run are not opened by name; name the stream's data, or leave part out")
}

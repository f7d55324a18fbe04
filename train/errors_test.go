package train_test

import (
	"errors"
	"testing"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/train"
)

// What a recipe asks for and cannot have, in the words that a user reads: what is wrong, with the values, and what to do.
func TestErrors(t *testing.T) {
	const tiny = "network: {name: mlp, hidden: [4]}\nbatch_size: 16\nsteps: 2\n"
	usage := func(err error) bool { var u *fault.Usage; return errors.As(err, &u) }
	short := func(err error) bool { var e *fault.Exhausted; return errors.As(err, &e) }
	for name, c := range map[string]struct {
		recipe, want string
		kind         func(error) bool
		limit        int64
	}{
		"loss": {
			recipe: "objective: {loss: cross-entropi}",
			want:   `objective: loss: no loss "cross-entropi" (did you mean cross-entropy?)`,
		},
		"loss of batch": {
			recipe: "objective: {extra: [{loss: tmc}]}",
			want:   `objective: extra.0: loss: no batch loss "tmc" (did you mean tcm?)`,
		},
		"objective": {
			recipe: "objective: supervized",
			want:   `objective: no objective "supervized" (did you mean supervised?)`,
		},
		"sampler": {
			recipe: "sampler: shufle",
			want:   `sampler: no sampler "shufle" (did you mean shuffle?)`,
		},
		"sampler of a stream": {
			recipe: "streams: {unlabeled: {sampler: ballanced}}",
			want:   `streams.unlabeled: sampler: no sampler "ballanced" (did you mean balanced?)`,
		},
		"option": {
			recipe: "objective: {name: semi, treshold: 0.9}",
			want:   `objective: unknown key treshold (did you mean threshold?)`,
		},
		"stream": {
			recipe: tiny + "objective: semi",
			want:   `recipe: objective semi needs the stream unlabeled, and the recipe has train; add streams: {unlabeled: {data: ..., batch: ...}}`, kind: usage,
		},
		"targets": {
			recipe: tiny + "objective: {loss: mse}",
			want:   `loss mse compares with values, the data has labels; choose another loss or other data`, kind: usage,
		},
		"accumulate": {
			recipe: tiny + "objective: {extra: [{loss: tcm}]}\naccumulate: 2",
			want:   `recipe: tcm is a loss of a whole batch, which accumulate=2 would cut into parts; use accumulate: 1`, kind: usage,
		},
		"members": {
			recipe: tiny + "sampler: {name: pk, classes: 1, members: 16}\nprepare: [{name: subset, examples: 100}]",
			want:   `train: stream train: sample: pk: class 0 has 10 examples, an update takes 16 of each; lower members, or leave the class out`, kind: usage,
		},
		"table": {
			recipe: tiny + "prepare: [{name: subset, examples: 160}]\nobjective: {loss: elr}",
			want:   `the memory of loss elr, a row for each of 160 examples, needs 19.3 kB of memory, the limit is 10.2 kB; raise it with --memory on a machine that has more`, kind: short, limit: 10 << 10,
		},
		"twice in an update": {
			recipe: tiny + "objective: {loss: elr}\nsampler: balanced",
			want:   `recipe: loss elr keeps a row for each example, and the sampler may draw one twice in an update; use sampler: shuffle`, kind: usage,
		},
		"old key": {
			recipe: "clip_norm: 5",
			want:   `recipe: clip_norm has moved; write rules: [{name: clip-norm, most: NUMBER}]`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := train.DecodeYAML([]byte(c.recipe))
			if err == nil {
				memory.SetLimit(c.limit)
				defer memory.SetLimit(0)
				_, err = train.Run(t.Context(), r, train.Options{Engine: goEngine(t)})
			}
			if err == nil || err.Error() != c.want {
				t.Fatalf("error is\n%v\nwant\n%s", err, c.want)
			}
			if c.kind != nil && !c.kind(err) {
				t.Errorf("%q is a %T", err, err)
			}
		})
	}
}

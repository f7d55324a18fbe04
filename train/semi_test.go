package train_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/augment"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/train"
	"github.com/ballast-ml/ballast/train/objective"
	"github.com/ballast-ml/ballast/train/update"
)

// twoStreams is ShrinkMatch with all that it keeps from one update to the next: batch norms of two heads, the running share,
// an alignment, the average of the weights.
func twoStreams(steps int) train.Recipe {
	r := small(steps)
	r.Prepare, r.BatchSize = subset(40), 16
	o := objective.NewSemi()
	o.Shrink, o.Threshold, o.Align.Kind, o.Align.Length = true, 0.8, "queue", 4
	r.Objective = objective.Choice{Objective: o}
	r.Average = train.Average{Decay: 0.9, Statistics: update.StatisticsCopy}
	s := train.NewStream()
	s.Batch = 24
	s.Views = []augment.View{{}, {{Transform: augment.NewNoise()}, {Transform: augment.Cutout{Size: 3}}}}
	r.Streams = map[string]train.Stream{objective.Unlabeled: s}
	return r
}

// TestSemiLearns: four labels a class are enough to learn from; the auxiliary head is not saved; what is noted adds up.
func TestSemiLearns(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		r, log := twoStreams(60), journal{}
		got := run(t, r, train.Options{Engine: e, Sink: log})
		if got.Metrics["accuracy"] < 0.5 {
			t.Errorf("accuracy is %v", got.Metrics["accuracy"])
		}
		for path := range weights(t, got.Bundle) {
			if !strings.HasPrefix(path, "/model/") {
				t.Errorf("%s is saved with the model", path)
			}
		}
		for step, values := range log {
			if _, logged := values["certain"]; !logged {
				continue
			}
			certain, used, right, shrunk := values["certain"], values["used"], values["certain_right"], values["shrunk_right"]
			const rounding = 1e-6
			if !(0 <= right && right <= certain && certain <= used && used <= 1+rounding && shrunk <= used-certain+rounding) {
				t.Errorf("step %d notes %v", step, values)
			}
		}
	})
}

func TestSemiInARecipe(t *testing.T) {
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()

	alone := twoStreams(2)
	alone.Streams = nil
	_, err = train.Run(t.Context(), alone, train.Options{Engine: e})
	want := "recipe: objective semi needs the stream unlabeled, and the recipe has train; " +
		"add streams: {unlabeled: {data: ..., batch: ...}}"
	if err == nil || err.Error() != want || !errors.As(err, new(*fault.Usage)) {
		t.Errorf("got %v, want %s", err, want)
	}

	var remarks []string
	two := twoStreams(2)
	digits, err := data.Open("optdigits", "train")
	if err != nil {
		t.Fatal(err)
	}
	run(t, two, train.Options{Engine: e, Data: oddOrEven{digits}, Remark: func(s string) { remarks = append(remarks, s) }})
	if len(remarks) != 1 || !strings.Contains(remarks[0], "objective.shrink has no effect: with fewer than 3 classes") {
		t.Errorf("remarks %q", remarks)
	}
}

// oddOrEven is digits with two classes.
type oddOrEven struct{ data.Dataset }

func (o oddOrEven) Label(i int) int32 { return o.Dataset.Label(i) % 2 }

func (o oddOrEven) Info() data.Info {
	info := o.Dataset.Info()
	info.Classes = []string{"even", "odd"}
	return info
}

package train_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/train"
)

// TestTestNumbersAreLogged: the sink gets the numbers of the test examples at the last step, once, whether or not a run is taken up again.
func TestTestNumbersAreLogged(t *testing.T) {
	e := goEngine(t)
	told := counted{journal: journal{}}
	o := train.Options{Engine: e, Dir: t.TempDir(), Resume: true, Sink: &told}
	first, err := train.Run(t.Context(), small(20), o)
	if err != nil {
		t.Fatal(err)
	}
	again, err := train.Run(t.Context(), small(20), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"accuracy", "nll"} {
		logged, ok := told.journal[20][name]
		if _, early := told.journal[10][name]; !ok || early || logged != first.Metrics[name] || logged != again.Metrics[name] {
			t.Errorf("%s: logged %v (%v), results %v and %v", name, logged, ok, first.Metrics[name], again.Metrics[name])
		}
	}
	if told.tests != 1 || again.From != 20 {
		t.Errorf("the test numbers were logged %d times; the second run went on from %d", told.tests, again.From)
	}
}

// counted is a journal that counts how often test numbers come.
type counted struct {
	journal
	tests int
}

func (c *counted) Log(step int, values map[string]float64) error {
	if _, ok := values["accuracy"]; ok {
		c.tests++
	}
	return c.journal.Log(step, values)
}

// TestUntestedIsSaved: where the test examples cannot be measured, what was trained is in a checkpoint, from which a run with better ones
// goes on.
func TestUntestedIsSaved(t *testing.T) {
	e := goEngine(t)
	test, err := data.Open("optdigits", "test")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	broken := errors.New("a broken disk")
	_, err = train.Run(t.Context(), small(20), train.Options{Engine: e, Dir: dir, Resume: true, Test: unreadable{test, broken}})
	if !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	result, err := train.Run(t.Context(), small(20), train.Options{Engine: e, Dir: dir, Resume: true, Test: test})
	if err != nil || result.From != 20 || result.Metrics["accuracy"] < 0.3 {
		t.Errorf("%v; went on from %d with %v", err, result.From, result.Metrics)
	}
}

// unreadable is a set whose examples cannot be read.
type unreadable struct {
	data.Dataset
	err error
}

func (u unreadable) Read(int, []float32) error { return fmt.Errorf("reading: %w", u.err) }

// TestStoppedWhileTested: a run that is told to stop while the test examples are measured saves, and measures them when it is taken up.
func TestStoppedWhileTested(t *testing.T) {
	e := goEngine(t)
	test, err := data.Open("optdigits", "test")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	told := counted{journal: journal{}}
	o := train.Options{Engine: e, Dir: t.TempDir(), Resume: true, Sink: &told, Test: stopping{test, stop}}
	if _, err := train.Run(ctx, small(20), o); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	o.Test = test
	result, err := train.Run(t.Context(), small(20), o)
	if err != nil || result.From != 20 || told.tests != 1 || told.journal[20]["accuracy"] != result.Metrics["accuracy"] {
		t.Errorf("%v; went on from %d, logged %d times, %v", err, result.From, told.tests, told.journal[20])
	}
}

// stopping is a set that ends the run when it is read.
type stopping struct {
	data.Dataset
	stop func()
}

func (s stopping) Read(i int, dst []float32) error {
	s.stop()
	return s.Dataset.Read(i, dst)
}

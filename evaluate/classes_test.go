package evaluate_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/calibrate"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/evaluate"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/report"
	"github.com/ballast-ml/ballast/zoo"
)

// named is echo with names for its outputs.
type named struct {
	echo
	labels []string
}

func (n named) Labels() []string { return n.labels }

// TestClassesByName: a set in another order, or with some of the model's classes, is judged by the names; what does not match is said or refused.
func TestClassesByName(t *testing.T) {
	subject := named{echo{zoo.Classify, []int{400, 5, 50, 30}}, []string{"a", "b", "c", "d"}}
	// Right answers by name: the set calls its class 0 c and its class 1 a.
	ds := rows{values: [][]float32{right(2), right(0), right(2), right(0)}, labels: []int32{0, 1, 0, 1}, classes: []string{"c", "a"}}
	r, err := evaluate.Run(t.Context(), subject, ds, evaluate.Options{Suites: []evaluate.Suite{evaluate.Clean{}, evaluate.NewShots()}})
	if err != nil || number(t, r, "acc") != 1 || number(t, r, "shots.medium.acc") != 1 || number(t, r, "shots.many.acc") != 1 {
		t.Fatalf("%v, %v", r.Values(), err)
	}
	if len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "rows has no examples of the classes b, d") {
		t.Errorf("notes %q", r.Notes)
	}
	clean, _ := r.Section("clean")
	if c, ok := clean.Content.(report.Clean); !ok || fmt.Sprint(c.Confusion) != "[[2 0 0 0] [0 0 0 0] [0 0 2 0] [0 0 0 0]]" {
		t.Errorf("%+v", clean.Content)
	}

	// The training data is matched as well.
	training := rows{values: make([][]float32, 25), classes: []string{"d", "c"}}
	for i := range training.values {
		training.values[i], training.labels = right(0), append(training.labels, int32(1))
	}
	r, err = evaluate.Run(t.Context(), subject, ds, evaluate.Options{Suites: []evaluate.Suite{evaluate.NewShots()}, Training: training})
	if err != nil || number(t, r, "shots.medium.acc") != 1 || number(t, r, "shots.few.acc") != 1 {
		t.Errorf("%v, %v", r.Values(), err)
	}

	var usage *fault.Usage
	ds.classes = []string{"c", "z"}
	if _, err := evaluate.Run(t.Context(), subject, ds, evaluate.Options{}); !errors.As(err, &usage) || !strings.Contains(err.Error(), "the model echo lacks the class z of rows") {
		t.Errorf("a class that the model lacks: %v", err)
	}
	r, err = evaluate.Run(t.Context(), subject, ds, evaluate.Options{ByPlace: true})
	if err != nil || number(t, r, "acc") != 0 || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "by their place") {
		t.Errorf("by place: %v, %v, %v", r.Values(), r.Notes, err)
	}
	ds.classes = []string{"0", "1"}
	if r, err = evaluate.Run(t.Context(), subject, ds, evaluate.Options{}); err != nil || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "by their place") {
		t.Errorf("a set that counts: %v, %v", r.Notes, err)
	}
}

// TestCalibrateByName: a temperature is fitted to the answers by the names of the classes, and judged on others.
func TestCalibrateByName(t *testing.T) {
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		mlp := zoo.NewMLP()
		mlp.Hidden, mlp.Classes = []int{4}, 3
		b := &bundle.Bundle{Manifest: bundle.NewManifest(zoo.Choice{Network: mlp}, []int{3}, []string{"a", "b", "c"}), Store: model.NewStore()}
		if err := b.Declare(e.Backend); err != nil {
			t.Fatal(err)
		}
		make3 := func(classes []string, order [3]int32) rows {
			r := rows{classes: classes}
			for i := range 60 {
				r.values = append(r.values, []float32{float32(i%3) + 1, float32(i*i%5) - 2, 0.5})
				r.labels = append(r.labels, order[(i*i+i/7)%3])
			}
			return r
		}
		straight, turned := make3([]string{"a", "b", "c"}, [3]int32{0, 1, 2}), make3([]string{"c", "a", "b"}, [3]int32{1, 2, 0})
		fit := func(ds data.Dataset, on data.Dataset) evaluate.Calibrated {
			copied := *b
			c, err := evaluate.CalibrateJudged(t.Context(), &copied, ds, on, e, calibrate.NewTemperatureScaling(), evaluate.Options{})
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		one, two := fit(straight, nil), fit(turned, nil)
		if one.T != two.T || one.Judged != two.Judged || one.Fitted != 60 || one.Examples != 60 {
			t.Errorf("%+v and %+v", one, two)
		}
		if on := fit(straight, turned); on.T != one.T || on.JudgedOn != "rows" || on.Examples != 60 {
			t.Errorf("%+v", on)
		}
		turned.classes = []string{"c", "a", "x"}
		var usage *fault.Usage
		if _, err := evaluate.Calibrate(t.Context(), b, turned, e, calibrate.NewTemperatureScaling(), evaluate.Options{}); !errors.As(err, &usage) || !strings.Contains(err.Error(), "lacks the class x") {
			t.Errorf("%v", err)
		}
	})
}

// TestExtremeNumbers: logits beyond all measure are measured or refused, and what comes of them is JSON.
func TestExtremeNumbers(t *testing.T) {
	y := savedFile(t, "y.npy", "<i8", "(4,)", []int64{0, 1, 0, 1})
	for name, values := range map[string][]float64{
		"1e300":     {1e300, -1e300, 2, -1, -1e300, 1e300, 1e300, 3e299},
		"largest":   {math.MaxFloat64, -math.MaxFloat64, math.MaxFloat64, -math.MaxFloat64, -math.MaxFloat64, math.MaxFloat64, 0, 1},
		"smallest":  {5e-324, 0, 0, 5e-324, 0, 5e-324, 5e-324, 0},
		"1e-300":    {1e-300, -1e-300, 2e-300, -1e-300, -1e-300, 1e-300, 1e-300, 3e-300},
		"an offset": {1e15, 1e15 + 1, 1e15 + 2, 1e15, 1e15, 1e15 + 3, 1e15, 1e15 + 1},
	} {
		s, err := evaluate.OpenSaved(savedFile(t, "z.npy", "<f8", "(4, 2)", values), y)
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.Report(evaluate.Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if text, err := json.Marshal(r); err != nil || !json.Valid(text) {
			t.Errorf("%s: %v", name, err)
		}
		c, err := s.Calibrate(calibrate.NewTemperatureScaling(), nil, 1)
		if err != nil || !(c.T > 0) || math.IsInf(c.T, 0) {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
}

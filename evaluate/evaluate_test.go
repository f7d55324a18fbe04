package evaluate_test

import (
	"errors"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/calibrate"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/evaluate"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/npy"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/report"
	"github.com/ballast-ml/ballast/train"
	"github.com/ballast-ml/ballast/train/objective"
	"github.com/ballast-ml/ballast/zoo"
)

// TestTheMainJob trains, audits, mends and audits again, on real digits.
func TestTheMainJob(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		recipe := train.NewRecipe()
		mlp := zoo.NewMLP()
		mlp.Hidden = []int{64}
		recipe.Network, recipe.Epochs, recipe.BatchSize = zoo.Choice{Network: mlp}, 8, 32
		recipe.Objective = objective.Choice{Objective: objective.Supervised{Loss: loss.Choice{Loss: loss.CrossEntropy{Smoothing: 0.2}}}}
		result, err := train.Run(t.Context(), recipe, train.Options{Engine: e})
		if err != nil {
			t.Fatal(err)
		}
		test, err := data.Open("optdigits", "test")
		if err != nil {
			t.Fatal(err)
		}
		audited, held, err := data.Stratified(data.Labels(test), 0.5, 1)
		if err != nil {
			t.Fatal(err)
		}
		told := 0
		o := evaluate.Options{Seed: 1, Progress: func(done, total int) {
			if done > total || done < told {
				t.Errorf("progress went from %d to %d of %d", told, done, total)
			}
			told = done
		}}
		ds := data.Subset(test, audited)
		before, err := evaluate.Bundle(t.Context(), result.Bundle, ds, e, o)
		if err != nil {
			t.Fatal(err)
		}
		if acc := number(t, before, "acc"); acc < 0.93 || number(t, before, "shift.gaussian-noise.5.acc") > acc || number(t, before, "shift.acc") > acc {
			t.Errorf("before: %+v", before.Values())
		}
		fit, err := evaluate.Calibrate(t.Context(), result.Bundle, data.Subset(test, held), e, calibrate.NewTemperatureScaling(), evaluate.Options{})
		if err != nil || fit.Saturated || fit.T >= 1 || fit.NLLAfter >= fit.NLLBefore {
			t.Fatalf("%+v, %v", fit, err)
		}
		path := filepath.Join(t.TempDir(), "mended")
		if err := result.Bundle.Save(path); err != nil {
			t.Fatal(err)
		}
		mended, err := bundle.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		told = 0
		after, err := evaluate.Bundle(t.Context(), mended, ds, e, o)
		if err != nil {
			t.Fatal(err)
		}
		if number(t, after, "acc") != number(t, before, "acc") || number(t, after, "nll") >= number(t, before, "nll") || number(t, after, "ece") >= number(t, before, "ece") {
			t.Errorf("after: %+v, before: %+v", after.Values(), before.Values())
		}
		if _, err := evaluate.Bundle(t.Context(), mended, other{ds}, e, evaluate.Options{}); err == nil || !strings.Contains(err.Error(), "the model model takes [8 8 1]") {
			t.Errorf("data of another shape: %v", err)
		}
	})
}

// number is a number that a report must have.
func number(t *testing.T, r report.Report, name string) float64 {
	t.Helper()
	n, ok := r.Number(name)
	if !ok {
		t.Fatalf("the report has no %s", name)
	}
	return n.Value
}

// other is a data set whose examples have another shape.
type other struct{ data.Dataset }

func (o other) Info() data.Info {
	info := o.Dataset.Info()
	info.Shape = []int{4, 16, 1}
	return info
}

func TestRequire(t *testing.T) {
	r := report.Report{Sections: []report.Section{report.Clean{Accuracy: 0.9}.Section(), report.Calibration{ECE: 0.03}.Section()}}
	check := func(text string) error {
		q, err := evaluate.ParseRequirements(text)
		if err != nil {
			return err
		}
		return evaluate.Require(r, q)
	}
	if err := check("acc>=0.9, ece<0.031"); err != nil {
		t.Error(err)
	}
	var unmet *fault.Unmet
	if err := check("acc>0.9,ece<=0.02,acc>=0.1"); !errors.As(err, &unmet) || len(unmet.What) != 2 || !strings.Contains(err.Error(), "ece<=0.02: it is 0.03") {
		t.Errorf("got %v", err)
	}
	for text, want := range map[string]string{"acc": "such as acc>=0.98", "acc>=much": "not a number", "acx>=1": "no \"acx\"", "shift.acc>=1": "no \"shift.acc\""} {
		var usage *fault.Usage
		if err := check(text); !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

func TestSavedOutputs(t *testing.T) {
	dir := t.TempDir()
	z, y := filepath.Join(dir, "z.npy"), filepath.Join(dir, "y.npy")
	save := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	logits := []float64{4, 0, 0, 4, 3, 0, 0, 1}
	save(npy.WriteFile(y, []int{4}, []uint8{0, 1, 1, 1}))
	var reports []report.Report
	for _, write := range []func() error{
		func() error { return npy.WriteFile(z, []int{4, 2}, logits) },
		func() error { return npy.WriteFile(z, []int{4, 2}, []float32{4, 0, 0, 4, 3, 0, 0, 1}) },
	} {
		save(write())
		s, err := evaluate.OpenSaved(z, y)
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.Report(evaluate.Options{})
		save(err)
		if number(t, r, "acc") != 0.75 || len(r.Sections) != 2 || len(r.LeftOut) != 1 || r.LeftOut[0].Suite != "shift" {
			t.Errorf("%+v", r)
		}
		reports = append(reports, r)
		fit, err := s.FitTemperature(calibrate.NewTemperatureScaling())
		save(err)
		save(s.WriteScaled(filepath.Join(dir, "scaled.npy"), fit.T))
		save(s.Close())
		scaled, err := evaluate.OpenSaved(filepath.Join(dir, "scaled.npy"), y)
		save(err)
		again, err := scaled.FitTemperature(calibrate.NewTemperatureScaling())
		if err != nil || math.Abs(again.T-1) > 1e-6 {
			t.Errorf("scaled logits want the temperature %v, %v; want 1", again.T, err)
		}
		save(scaled.Close())
	}
	if math.Abs(number(t, reports[0], "nll")-number(t, reports[1], "nll")) > 1e-12 {
		t.Error("float32 and float64 of the same values differ")
	}

	for name, c := range map[string]struct {
		shape  []int
		logits []float64
		labels []int64
		want   string
	}{
		"rank":   {[]int{8}, logits, []int64{0, 1, 1, 1}, "save logits as [examples, classes]"},
		"length": {[]int{4, 2}, logits, []int64{0, 1}, "labels have"},
		"range":  {[]int{4, 2}, logits, []int64{0, 1, 2, 1}, "example 2: label is 2, outside 0 to 1"},
		"NaN":    {[]int{2, 2}, []float64{1, math.NaN(), 0, 0}, []int64{0, 1}, "example 0: the logit of class 1 is NaN"},
	} {
		save(npy.WriteFile(z, c.shape, c.logits))
		save(npy.WriteFile(y, []int{len(c.labels)}, c.labels))
		s, err := evaluate.OpenSaved(z, y)
		if err == nil {
			_, err = s.Report(evaluate.Options{})
			save(s.Close())
		}
		var bad *fault.Input
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), c.want) && name != "length" {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

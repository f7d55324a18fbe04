package evaluate

import (
	"context"
	"fmt"
	"slices"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/calibrate"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/zoo"
)

// Calibrated is a temperature, and what it does to examples that it was not fitted to.
type Calibrated struct {
	T          float64           `json:"temperature"` // 1 where Saturated
	Saturated  bool              `json:"saturated"`   // no temperature is best, so none is to be used
	Why        calibrate.Without `json:"why,omitempty"`
	Iterations int               `json:"iterations"`

	Fitted   int    `json:"fitted"`    // examples
	FittedTo string `json:"fitted_to"` // what they are
	JudgedOn string `json:"judged_on"` // what is judged on; "" = nothing, of fewer than two examples
	calibrate.Judged

	Notes []string `json:"notes,omitempty"` // how answers and data were understood, where that may surprise
}

// sameExamples is what is judged on where no other examples are given.
const sameExamples = "the same examples, each by a temperature fitted to the four fifths that it is not in"

// Calibrate fits a temperature to a model's outputs on ds and puts it into the bundle, on top of the one it has. The examples
// should be ones the model was not trained on. A saturated fit, as when every example is answered right, says nothing about
// confidences: the bundle then stays as it is. Classes are matched by name (data.Match).
func Calibrate(ctx context.Context, b *bundle.Bundle, ds data.Dataset, e *engine.Engine, t calibrate.TemperatureScaling, o Options) (fit calibrate.Temperature, err error) {
	_, done := uncalibrated(b)
	defer func() { done(err == nil && !fit.Saturated) }()
	answers, err := answered(ctx, b, ds, e, o)
	if err != nil {
		return calibrate.Temperature{}, err
	}
	return answers.fit(b, t)
}

// uncalibrated takes what a bundle has beside a temperature out of it: that was fitted to the outputs as they were. Unless it is told that
// something new has been fitted, done puts it back. notes say so.
func uncalibrated(b *bundle.Bundle) (notes []string, done func(fitted bool)) {
	was := b.Manifest.Calibration
	if was.Plain() {
		return nil, func(bool) {}
	}
	b.Manifest.Calibration.Sets = nil
	if was.Map != nil {
		b.Manifest.Calibration = bundle.Uncalibrated()
		notes = append(notes, fmt.Sprintf("it takes the place of the method %s that the model had", calibrate.FittedName(was.Map.Fitted)))
	}
	if was.Sets != nil {
		notes = append(notes, "the conformal sets that the model had were those of its confidences before, and are left out; fit them anew")
	}
	return notes, func(fitted bool) {
		if !fitted {
			b.Manifest.Calibration = was
		}
	}
}

// CalibrateJudged is Calibrate, and judges the temperature: on the examples of on, or, where that is nil, on those of ds by cross-fitting
// (calibrate.CrossFit), so that none is judged by a temperature that was fitted to it.
func CalibrateJudged(ctx context.Context, b *bundle.Bundle, ds, on data.Dataset, e *engine.Engine, t calibrate.TemperatureScaling, o Options) (c Calibrated, err error) {
	notes, done := uncalibrated(b)
	defer func() { done(err == nil && !c.Saturated) }()
	answers, err := answered(ctx, b, ds, e, o)
	if err != nil {
		return Calibrated{}, err
	}
	answers.notes = append(answers.notes, notes...)
	var others *answersOf
	if on != nil {
		if others, err = answered(ctx, b, on, e, o); err != nil {
			return Calibrated{}, err
		}
	}
	fit, err := answers.fit(b, t)
	if err != nil {
		return Calibrated{}, err
	}

	c = calibrated(fit, len(answers.labels), datasetName(ds.Info()), answers.notes)
	if others != nil {
		c.JudgedOn, c.Notes = datasetName(on.Info()), append(c.Notes, others.notes...)
		c.Judged, err = calibrate.JudgeOn(c.T, others.logits, others.labels, answers.classes)
		return c, err
	}
	err = crossFit(&c, t, answers.logits, answers.labels, answers.classes, o.Seed)
	return c, err
}

// calibrated is a fit as it is told: a temperature that is no optimum is none.
func calibrated(fit calibrate.Temperature, examples int, what string, notes []string) Calibrated {
	c := Calibrated{T: fit.T, Saturated: fit.Saturated, Why: fit.Why, Iterations: fit.Iterations, Fitted: examples, FittedTo: what, Notes: notes}
	if fit.Saturated {
		c.T = 1
	}
	return c
}

// crossFit judges on the examples that were fitted to.
func crossFit[F metric.Float](c *Calibrated, t calibrate.TemperatureScaling, logits []F, labels []int32, classes int, seed uint64) (err error) {
	switch n := len(labels); {
	case c.Saturated:
		c.JudgedOn = "the same examples"
		c.Judged, err = calibrate.JudgeOn(1, logits, labels, classes)
	case n >= calibrate.Folds:
		c.JudgedOn = sameExamples
		c.Judged, err = calibrate.CrossFit(t, logits, labels, classes, calibrate.Folds, seed)
	default:
		c.Notes = append(c.Notes, fmt.Sprintf("%d examples are too few to judge on; give others with --on", n))
	}
	return err
}

// answersOf is a classifier's answers to a data set whose classes are its own.
type answersOf struct {
	logits  []float32
	labels  []int32
	classes int
	what    string
	notes   []string
}

func answered(ctx context.Context, b *bundle.Bundle, ds data.Dataset, e *engine.Engine, o Options) (*answersOf, error) {
	if task := b.Manifest.Answers(); task != zoo.Classify {
		return nil, &fault.Usage{Err: fmt.Errorf("evaluate: the task of %s is %s; a temperature is for a model that classifies", b.Manifest.Name, task)}
	}
	if shape := ds.Info().Shape; !slices.Equal(shape, b.Manifest.InputShape) {
		return nil, &fault.Usage{Err: fmt.Errorf("evaluate: %s has examples of shape %v, the model %s takes %v; choose the data the model was made for",
			ds.Info().Name, shape, b.Manifest.Name, b.Manifest.InputShape)}
	}
	a := &answersOf{classes: len(b.Manifest.Labels), what: datasetName(ds.Info())}
	var err error
	if ds, a.notes, err = o.matching().Match("evaluate", ds, b.Manifest.Name, b.Manifest.Labels); err != nil {
		return nil, err
	}
	if a.logits, err = Logits(ctx, b, ds, e, o); err != nil {
		return nil, err
	}
	a.labels = data.Labels(ds)
	a.doubt(b.Manifest.Labels, o)
	return a, nil
}

// fit fits a temperature and puts it into the bundle.
func (a *answersOf) fit(b *bundle.Bundle, t calibrate.TemperatureScaling) (calibrate.Temperature, error) {
	fit, err := calibrate.FitTemperature(t, a.logits, a.labels, a.classes)
	if err != nil || fit.Saturated {
		return fit, err
	}
	b.Manifest.Calibration.Temperature *= fit.T
	b.Manifest.Provenance.Derived = append(b.Manifest.Provenance.Derived,
		fmt.Sprintf("calibrate: temperature %.6g, fitted to %d examples of %s", fit.T, len(a.labels), a.what))
	return fit, nil
}

// Calibrate fits a temperature to saved outputs and judges it: on other saved outputs, or, where on is nil, on the same by cross-fitting.
func (s *Saved) Calibrate(t calibrate.TemperatureScaling, on *Saved, seed uint64) (Calibrated, error) {
	fit, err := s.FitTemperature(t)
	if err != nil {
		return Calibrated{}, err
	}
	c := calibrated(fit, len(s.labels), s.LogitsPath, s.Remarks)
	switch {
	case on != nil && on.Classes != s.Classes:
		return c, &fault.Usage{Err: fmt.Errorf("evaluate: %s has %d classes, %s %d", on.LogitsPath, on.Classes, s.LogitsPath, s.Classes)}
	case on != nil:
		c.JudgedOn, c.Notes = on.LogitsPath, append(c.Notes, on.Remarks...)
		if on.narrow != nil {
			c.Judged, err = calibrate.JudgeOn(c.T, on.narrow, on.labels, on.Classes)
		} else {
			c.Judged, err = calibrate.JudgeOn(c.T, on.wide, on.labels, on.Classes)
		}
		return c, on.named(err)
	case s.narrow != nil:
		err = crossFit(&c, t, s.narrow, s.labels, s.Classes, seed)
	default:
		err = crossFit(&c, t, s.wide, s.labels, s.Classes, seed)
	}
	return c, s.named(err)
}

package evaluate

import (
	"context"
	"fmt"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/calibrate"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/fault"
)

// Mended is a fitted method, and what it does to examples that it was not fitted to.
type Mended struct {
	Method     string                 `json:"method"`
	Options    calibrate.Choice       `json:"options"`
	Fitted     calibrate.FittedChoice `json:"fitted"`
	Saturated  bool                   `json:"saturated"` // nothing is best, so nothing is to be used
	Why        calibrate.Without      `json:"why,omitempty"`
	Iterations int                    `json:"iterations"`

	FittedOn int           `json:"fitted_examples"`
	FittedTo string        `json:"fitted_to"` // what they are
	JudgedOn string        `json:"judged_on"` // what is judged on; "" = nothing, of fewer than five examples
	JudgedAt int           `json:"judged"`    // examples
	Before   calibrate.Row `json:"before"`
	After    calibrate.Row `json:"after"`

	Shift *UnderShift `json:"shift,omitempty"` // of a fit to shifted inputs too
	Notes []string    `json:"notes,omitempty"` // how answers and data were understood, where that may surprise
}

// inParts says what is judged on where no other examples are given.
const inParts = "the same examples, each by a fit to the four fifths that it is not in"

// asExamples are a classifier's answers, as a method takes them.
func (a *answersOf) asExamples() (calibrate.Examples, error) {
	return calibrate.NewExamples(a.logits, a.labels, a.classes)
}

// Mend fits a method to a model's outputs on ds and puts it into the bundle. It is judged on the examples of on, or, where that is nil, on those
// of ds in five parts. A bundle that has another method than a temperature loses it; a fit without an optimum leaves the bundle as it is.
func Mend(ctx context.Context, b *bundle.Bundle, ds, on data.Dataset, e *engine.Engine, m calibrate.Method, o Options) (found Mended, err error) {
	notes, done := uncalibrated(b)
	defer func() { done(err == nil && !found.Saturated) }()
	if found, err = mendAsked(ctx, ofBundle(b, e), ds, on, m, o); err != nil {
		return found, err
	}
	found.Notes = append(notes, found.Notes...)
	found.into(b)
	return found, nil
}

// asked are the answers of something that classifies to a data set.
type asked func(ctx context.Context, ds data.Dataset, o Options) (*answersOf, error)

// ofBundle asks a bundle.
func ofBundle(b *bundle.Bundle, e *engine.Engine) asked {
	return func(ctx context.Context, ds data.Dataset, o Options) (*answersOf, error) {
		return answered(ctx, b, ds, e, o)
	}
}

// mendAsked is Mend without a bundle.
func mendAsked(ctx context.Context, ask asked, ds, on data.Dataset, m calibrate.Method, o Options) (Mended, error) {
	x, others, notes, err := examplesOf(ctx, ask, ds, on, o)
	if err != nil {
		return Mended{}, err
	}
	found, err := mend(m, x, others, o.Seed)
	if err != nil {
		return found, err
	}
	found.Notes, found.FittedTo = notes, datasetName(ds.Info())
	if on != nil {
		found.JudgedOn = datasetName(on.Info())
	}
	return found, nil
}

// examplesOf are a model's answers to a data set, and to another one that may be nil.
func examplesOf(ctx context.Context, ask asked, ds, on data.Dataset, o Options) (x calibrate.Examples, others *calibrate.Examples, notes []string, err error) {
	answers, err := ask(ctx, ds, o)
	if err != nil {
		return x, nil, nil, err
	}
	if x, err = answers.asExamples(); err != nil || on == nil {
		return x, nil, answers.notes, err
	}
	more, err := ask(ctx, on, o)
	if err != nil {
		return x, nil, nil, err
	}
	y, err := more.asExamples()
	return x, &y, append(answers.notes, more.notes...), err
}

// into puts what was fitted into a bundle.
func (m Mended) into(b *bundle.Bundle) {
	if m.Saturated {
		return
	}
	how := m.Method
	if m.Shift != nil {
		how += ", fitted to shifted inputs too"
	}
	if t, ok := m.Fitted.Fitted.(calibrate.TemperatureMap); ok {
		b.Manifest.Calibration.Temperature *= t.T
		how = fmt.Sprintf("%s %.6g", how, t.T)
	} else {
		b.Manifest.Calibration.Map = &m.Fitted
	}
	b.Manifest.Provenance.Derived = append(b.Manifest.Provenance.Derived, fmt.Sprintf("calibrate: %s, fitted to %d examples of %s", how, m.FittedOn, m.FittedTo))
}

// mend fits to x and judges on others, or where there are none on x in parts.
func mend(m calibrate.Method, x calibrate.Examples, others *calibrate.Examples, seed uint64) (Mended, error) {
	fit, err := m.Fit(x)
	if err != nil {
		return Mended{}, err
	}
	found := Mended{
		Method: calibrate.Name(m), Options: calibrate.Choice{Method: m}, Fitted: fit.Fitted, Saturated: fit.Saturated, Why: fit.Why,
		Iterations: fit.Iterations, FittedOn: x.Len(),
	}
	var rows []calibrate.Row
	switch {
	case others != nil:
		found.JudgedAt = others.Len()
		rows, err = judged(found.Method, fit, *others)
	case x.Len() >= calibrate.Folds:
		found.JudgedOn, found.JudgedAt = inParts, x.Len()
		rows, err = calibrate.Compare([]calibrate.Method{m}, x, calibrate.Folds, seed)
	default:
		found.Notes = append(found.Notes, fmt.Sprintf("%d examples are too few to judge on; give others with --on", x.Len()))
		return found, nil
	}
	if err != nil {
		return found, err
	}
	found.Before, found.After = rows[0], rows[1]
	return found, nil
}

// judged are examples as they are, and by what was fitted to others, unless that is nothing.
func judged(name string, fit calibrate.Result, x calibrate.Examples) ([]calibrate.Row, error) {
	before, err := calibrate.Measured(calibrate.Unchanged, calibrate.TemperatureMap{T: 1}, x)
	if err != nil {
		return nil, err
	}
	after := before
	if !fit.Saturated {
		if after, err = calibrate.Measured(name, fit.Fitted, x); err != nil {
			return nil, err
		}
	}
	after.Method, after.Saturated, after.Why = name, fit.Saturated, fit.Why
	return []calibrate.Row{before, after}, nil
}

// Beside is every method beside the others.
type Beside struct {
	FittedOn int             `json:"fitted_examples"`
	FittedTo string          `json:"fitted_to"`
	JudgedOn string          `json:"judged_on"`
	JudgedAt int             `json:"judged"`
	Methods  []calibrate.Row `json:"methods"` // the first is the outputs as they are
	Best     string          `json:"best"`    // the method of the smallest NLL
	Notes    []string        `json:"notes,omitempty"`
}

// beside fits methods to x and judges them on others, or where there are none on x in parts.
func beside(methods []calibrate.Method, x calibrate.Examples, others *calibrate.Examples, seed uint64) (found Beside, err error) {
	found = Beside{FittedOn: x.Len(), JudgedOn: inParts, JudgedAt: x.Len()}
	if others == nil {
		if x.Len() < calibrate.Folds {
			return found, &fault.Usage{Err: fmt.Errorf("evaluate: %d examples are too few to compare methods on; give at least %d", x.Len(), calibrate.Folds)}
		}
		found.Methods, err = calibrate.Compare(methods, x, calibrate.Folds, seed)
	} else {
		found.JudgedAt = others.Len()
		for i, m := range methods {
			fit, err := m.Fit(x)
			if err != nil {
				return found, err
			}
			rows, err := judged(calibrate.Name(m), fit, *others)
			if err != nil {
				return found, err
			}
			if i > 0 {
				rows = rows[1:]
			}
			found.Methods = append(found.Methods, rows...)
		}
	}
	if err != nil {
		return found, err
	}
	best := found.Methods[0]
	for _, r := range found.Methods {
		if r.NLL < best.NLL {
			best = r
		}
	}
	found.Best = best.Method
	return found, nil
}

// CompareMethods fits methods to a model's outputs on ds and holds them beside each other on those of on, or, where that is nil, on those of ds
// in five parts. The bundle stays as it is.
func CompareMethods(ctx context.Context, b *bundle.Bundle, ds, on data.Dataset, e *engine.Engine, methods []calibrate.Method, o Options) (Beside, error) {
	notes, done := uncalibrated(b)
	defer done(false)
	found, err := compareAsked(ctx, ofBundle(b, e), ds, on, methods, o)
	if err != nil {
		return found, err
	}
	if len(notes) > 0 {
		found.Notes = append(found.Notes, "the methods are fitted to the network's own outputs, without the calibration that the model has")
	}
	return found, nil
}

// compareAsked is CompareMethods without a bundle.
func compareAsked(ctx context.Context, ask asked, ds, on data.Dataset, methods []calibrate.Method, o Options) (Beside, error) {
	x, others, notes, err := examplesOf(ctx, ask, ds, on, o)
	if err != nil {
		return Beside{}, err
	}
	found, err := beside(methods, x, others, o.Seed)
	found.FittedTo, found.Notes = datasetName(ds.Info()), notes
	if on != nil {
		found.JudgedOn = datasetName(on.Info())
	}
	return found, err
}

// Sets are conformal sets, and what they hold of examples that they were not fitted to.
type Sets struct {
	Method   string             `json:"method"` // conformal
	Sets     calibrate.Sets     `json:"sets"`
	FittedTo string             `json:"fitted_to"`
	JudgedOn string             `json:"judged_on"`
	Covered  *calibrate.Covered `json:"covered,omitempty"` // nil of fewer than five examples
	Names    []string           `json:"classes,omitempty"` // of the classes; nil = numbers
	Notes    []string           `json:"notes,omitempty"`
}

// conformal fits sets to x and measures them on others, or where there are none on x in parts.
func conformal(c calibrate.Conformal, x calibrate.Examples, others *calibrate.Examples, seed uint64) (found Sets, err error) {
	found.Method = "conformal"
	if found.Sets, err = c.FitSets(x); err != nil {
		return found, err
	}
	if found.Sets.Everything {
		found.Notes = append(found.Notes, fmt.Sprintf("%d examples are too few to promise a coverage of %v: every set holds all classes; give at least %d",
			x.Len(), c.Coverage, enough(c.Coverage)))
	}
	var covered calibrate.Covered
	switch {
	case others != nil:
		covered, err = found.Sets.Measure(*others)
	case x.Len() >= calibrate.Folds:
		found.JudgedOn = inParts
		covered, err = c.CrossMeasure(x, calibrate.Folds, seed)
	default:
		return found, nil
	}
	found.Covered = &covered
	return found, err
}

// enough is the least number of examples for a coverage.
func enough(coverage float64) int {
	n := 1
	for n < 1<<30 && float64(n) < float64(n+1)*coverage-1e-9 {
		n++
	}
	return n
}

// FitSets fits conformal sets to a model's calibrated outputs on ds and puts them into the bundle. They are measured on on, or, where that is
// nil, on ds in five parts.
func FitSets(ctx context.Context, b *bundle.Bundle, ds, on data.Dataset, e *engine.Engine, c calibrate.Conformal, o Options) (Sets, error) {
	found, err := fitSets(ctx, ofBundle(b, e), ds, on, c, o)
	if err != nil {
		return found, err
	}
	found.Names = b.Manifest.Labels
	b.Manifest.Calibration.Sets = &found.Sets
	b.Manifest.Provenance.Derived = append(b.Manifest.Provenance.Derived,
		fmt.Sprintf("calibrate: conformal sets (%s) of coverage %v, fitted to %d examples of %s", c.Score, c.Coverage, found.Sets.Examples, found.FittedTo))
	return found, nil
}

// fitSets is FitSets without a bundle.
func fitSets(ctx context.Context, ask asked, ds, on data.Dataset, c calibrate.Conformal, o Options) (Sets, error) {
	x, others, notes, err := examplesOf(ctx, ask, ds, on, o)
	if err != nil {
		return Sets{}, err
	}
	found, err := conformal(c, x, others, o.Seed)
	if err != nil {
		return found, err
	}
	found.Notes, found.FittedTo = append(notes, found.Notes...), datasetName(ds.Info())
	if on != nil {
		found.JudgedOn = datasetName(on.Info())
	}
	return found, nil
}

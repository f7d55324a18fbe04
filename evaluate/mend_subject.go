package evaluate

import (
	"context"

	"github.com/ballast-ml/ballast/calibrate"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/metric"
)

// ofSubject asks any subject that classifies, and notes answers that look wrong.
func ofSubject(s Subject) asked {
	return func(ctx context.Context, ds data.Dataset, o Options) (*answersOf, error) {
		a, err := answeredBy(ctx, s, ds, o)
		if err != nil {
			return nil, err
		}
		a.doubt(s.Labels(), o)
		return a, nil
	}
}

// MendSubject fits a method to the answers of any subject that classifies, and judges it as Mend does. The subject stays as it is: Corrected
// gives one with what was fitted.
func MendSubject(ctx context.Context, s Subject, ds, on data.Dataset, m calibrate.Method, o Options) (Mended, error) {
	return mendAsked(ctx, ofSubject(s), ds, on, m, o)
}

// MendSubjectShifted is MendShifted for any subject that classifies images. The subject stays as it is.
func MendSubjectShifted(ctx context.Context, s Subject, ds, on data.Dataset, m calibrate.Method, o Options) (Mended, error) {
	return mendShifted(ctx, ofSubject(s), ds, on, m, o)
}

// CompareSubject is CompareMethods for any subject that classifies.
func CompareSubject(ctx context.Context, s Subject, ds, on data.Dataset, methods []calibrate.Method, o Options) (Beside, error) {
	return compareAsked(ctx, ofSubject(s), ds, on, methods, o)
}

// FitSubjectSets is FitSets for any subject that classifies. The subject stays as it is.
func FitSubjectSets(ctx context.Context, s Subject, ds, on data.Dataset, c calibrate.Conformal, o Options) (Sets, error) {
	found, err := fitSets(ctx, ofSubject(s), ds, on, c, o)
	found.Names = s.Labels()
	return found, err
}

// Corrected is a subject whose logits a fitted method corrects.
func Corrected(s Subject, f calibrate.Fitted) Subject {
	if t, ok := f.(calibrate.TemperatureMap); ok {
		return Scaled(s, t.T)
	}
	return &corrected{scaled{s, 1}, f}
}

type corrected struct {
	scaled
	fitted calibrate.Fitted
}

var (
	_ Batched = (*corrected)(nil)
	_ Hosted  = (*corrected)(nil)
)

// Answer corrects.
func (c *corrected) Answer(ctx context.Context, x []float32, n int) ([]float32, error) {
	out, err := c.Subject.Answer(ctx, x, n)
	if err != nil {
		return nil, err
	}
	logits := make([]float64, len(out))
	for i, v := range out {
		logits[i] = float64(v)
	}
	if err := c.fitted.Apply(logits); err != nil {
		return nil, err
	}
	for i, v := range logits {
		out[i] = float32(v)
	}
	return out, nil
}

// AccuracyOf is the share of right answers of any subject that classifies, and how its classes were matched with those of the data.
func AccuracyOf(ctx context.Context, s Subject, ds data.Dataset, o Options) (accuracy float64, notes []string, err error) {
	a, err := answeredBy(ctx, s, ds, o)
	if err != nil {
		return 0, nil, err
	}
	scores, err := metric.Score(a.logits, a.labels, a.classes)
	if err != nil {
		return 0, nil, err
	}
	return scores.Accuracy(), a.notes, nil
}

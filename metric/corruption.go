package metric

import (
	"fmt"
	"math"
)

// CorruptionReference is the errors of the model that others are measured by, as shares of 1.
type CorruptionReference struct {
	Errors map[string]float64 // by corruption, the mean over the severities
	Clean  float64            // on images as they are
}

// AlexNet is the reference of ImageNet-C: errors of AlexNet on the 15 corruptions of its mean, under the names of data/corrupt. They are
// the rounded ones of the table that Hendrycks and Dietterich publish, as recalled.
func AlexNet() CorruptionReference {
	return CorruptionReference{Clean: 0.435, Errors: map[string]float64{
		"gaussian-noise": 0.886, "shot-noise": 0.894, "impulse-noise": 0.923, "defocus-blur": 0.820, "glass-blur": 0.826,
		"motion-blur": 0.786, "zoom-blur": 0.798, "snow": 0.867, "frost": 0.827, "fog": 0.819, "brightness": 0.565,
		"contrast": 0.853, "elastic": 0.646, "pixelate": 0.718, "jpeg": 0.607,
	}}
}

// Of are the errors of the reference on some corruptions, as CorruptionErrors wants them. A name that it does not have is an error.
func (r CorruptionReference) Of(names []string) ([][]float64, error) {
	rows := make([][]float64, len(names))
	for i, name := range names {
		v, ok := r.Errors[name]
		if !ok {
			return nil, fmt.Errorf("metric: the reference has no error for %q", name)
		}
		rows[i] = []float64{v}
	}
	return rows, nil
}

// CorruptionErrors returns the corruption error of each corruption, CE = sum over severities of the error / the same sum of a reference
// model's, and their mean, the mCE (Hendrycks, Dietterich, arXiv 1903.12261).
//
// errs and reference are [corruption][severity]; a reference of one number for a corruption is its mean. A nil reference gives the
// unnormalised error, the mean over the severities. Errors if there is nothing, rows do not fit, a number is not finite, or a corruption's
// sum for the reference is zero.
func CorruptionErrors(errs, reference [][]float64) (ce []float64, mean float64, err error) {
	return relativeErrors(errs, reference, 0, 0, "")
}

// RelativeCorruptionErrors is CorruptionErrors of what a corruption adds: from each error the error on clean images is subtracted, for the
// model and for the reference. A corruption that adds nothing to the reference's errors has no relative error, and is refused.
func RelativeCorruptionErrors(errs [][]float64, clean float64, reference [][]float64, referenceClean float64) ([]float64, float64, error) {
	return relativeErrors(errs, reference, clean, referenceClean, " more than on clean images")
}

func relativeErrors(errs, reference [][]float64, clean, referenceClean float64, than string) (ce []float64, mean float64, err error) {
	if len(errs) == 0 {
		return nil, 0, fmt.Errorf("metric: there are no corruptions")
	}
	if reference != nil && len(reference) != len(errs) {
		return nil, 0, fmt.Errorf("metric: the reference has %d corruptions, the errors have %d", len(reference), len(errs))
	}
	for i, row := range errs {
		v, err := meanError(row, i, "the errors")
		if err != nil {
			return nil, 0, err
		}
		v -= clean
		if reference != nil {
			if n := len(reference[i]); n != 1 && n != len(row) {
				return nil, 0, fmt.Errorf("metric: corruption %d has %d severities, its reference has %d", i, len(row), n)
			}
			by, err := meanError(reference[i], i, "the reference")
			if err != nil {
				return nil, 0, err
			}
			if by -= referenceClean; by == 0 {
				return nil, 0, fmt.Errorf("metric: on corruption %d the reference makes no error%s: there is nothing to divide by", i, than)
			}
			v /= by
		}
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, 0, fmt.Errorf("metric: the error of corruption %d is %v", i, v)
		}
		ce = append(ce, v)
		mean += v
	}
	return ce, mean / float64(len(errs)), nil
}

// meanError is the mean of a row.
func meanError(row []float64, i int, of string) (float64, error) {
	if len(row) == 0 {
		return 0, fmt.Errorf("metric: corruption %d has no severities in %s", i, of)
	}
	total := 0.0
	for s, v := range row {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return 0, fmt.Errorf("metric: corruption %d has %v at severity %d of %s", i, v, s+1, of)
		}
		total += v
	}
	return total / float64(len(row)), nil
}

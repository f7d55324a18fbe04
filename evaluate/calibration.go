package evaluate

import (
	"context"
	"errors"
	"fmt"

	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/report"
	"github.com/ballast-ml/ballast/zoo"
)

// Calibration asks whether a classifier's confidences can be trusted: NLL, Brier score, calibration errors, those of too much and too little confidence apart, and the reliability curve.
type Calibration struct {
	Bins int `json:"bins"` // of the calibration errors; 15
}

var _ Suite = Calibration{}

// NewCalibration returns the usual number of bins.
func NewCalibration() Calibration { return Calibration{Bins: metric.DefaultBins} }

// Asks is the question.
func (Calibration) Asks() string { return "can the confidences be trusted?" }

// Needs are answers and labels.
func (Calibration) Needs() Needs { return Needs{Tasks: []zoo.Task{zoo.Classify}, Outputs: true} }

// Validate refuses a number of bins that is none.
func (c Calibration) Validate() error { return checkBins(c.Bins) }

func checkBins(bins int) error {
	if bins < 1 {
		return fmt.Errorf("bins is %d; use at least 1, commonly %d", bins, metric.DefaultBins)
	}
	return nil
}

// Run measures.
func (c Calibration) Run(ctx context.Context, a *Audit) (report.Section, error) {
	scores, err := a.Scores(ctx)
	if err != nil {
		return report.Section{}, err
	}
	outputs, err := a.Outputs(ctx)
	if err != nil {
		return report.Section{}, err
	}
	found := report.Calibration{NLL: scores.MeanNLL(), Brier: scores.MeanBrier(), Bins: c.Bins}
	for _, v := range scores.Confidence {
		found.Confidence += v / float64(len(scores.Confidence))
	}

	var errs [8]error
	found.ECE, errs[0] = scores.ECE(metric.EqualWidth, c.Bins)
	found.ECEMass, errs[1] = scores.ECE(metric.EqualMass, c.Bins)
	found.MCE, errs[2] = scores.MCE(metric.EqualWidth, c.Bins)
	found.Curve, errs[3] = scores.Reliability(metric.EqualWidth, c.Bins)
	found.AECE, errs[5] = scores.AECE(metric.EqualGroups, c.Bins)
	found.OE, errs[6] = scores.OE(c.Bins)
	found.UE, errs[7] = scores.UE(c.Bins)
	found.ClasswiseECE, errs[4] = outputs.classwiseECE(a.Labels(), c.Bins)
	if err := errors.Join(errs[:]...); err != nil {
		return report.Section{}, err
	}
	return found.Section(), nil
}

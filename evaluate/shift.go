package evaluate

import (
	"context"

	"github.com/ballast-ml/ballast/data/corrupt"
	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/report"
	"github.com/ballast-ml/ballast/zoo"
)

// Shift asks what happens to a classifier when the inputs change: accuracy, NLL, ECE and mean confidence under every shift of
// data/corrupt at every severity.
type Shift struct {
	Bins int `json:"bins"` // of the ECE; 15
}

var _ Suite = Shift{}

// NewShift returns the usual number of bins.
func NewShift() Shift { return Shift{Bins: metric.DefaultBins} }

// Asks is the question.
func (Shift) Asks() string { return "what happens when the inputs change?" }

// Needs are images, and a pass for each shift and severity.
func (Shift) Needs() Needs {
	return Needs{Tasks: []zoo.Task{zoo.Classify}, Images: true, Passes: corrupt.Severities * len(corrupt.All())}
}

// Validate refuses a number of bins that is none.
func (s Shift) Validate() error { return checkBins(s.Bins) }

// Run measures.
func (s Shift) Run(ctx context.Context, a *Audit) (report.Section, error) {
	var found report.Shift
	for _, shift := range corrupt.All() {
		row := report.ShiftRow{Name: shift.Name()}
		for severity := 1; severity <= corrupt.Severities; severity++ {
			scores, err := s.one(ctx, a, shift, severity)
			if err != nil {
				return report.Section{}, err
			}
			ece, err := scores.ECE(metric.EqualWidth, s.Bins)
			if err != nil {
				return report.Section{}, err
			}
			accuracy := scores.Accuracy()
			row.Severities = append(row.Severities, severity)
			row.Accuracy = append(row.Accuracy, accuracy)
			row.NLL = append(row.NLL, scores.MeanNLL())
			row.ECE = append(row.ECE, ece)
			row.Confidence = append(row.Confidence, scores.MeanConfidence())
			found.Mean += accuracy / float64(corrupt.Severities*len(corrupt.All()))
		}
		found.Rows = append(found.Rows, row)
	}
	return found.Section(), nil
}

// one scores the answers to one shift at one severity.
func (s Shift) one(ctx context.Context, a *Audit, shift corrupt.Shift, severity int) (*metric.Scores, error) {
	shifted, err := corrupt.Wrap(a.Data, shift, severity, a.Seed)
	if err != nil {
		return nil, err
	}
	answers, err := a.Answers(ctx, shifted)
	if err != nil {
		return nil, err
	}
	labels := a.Labels()
	return metric.Score(answers, labels, len(answers)/max(len(labels), 1))
}

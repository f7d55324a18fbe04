package evaluate

import (
	"context"

	"github.com/ballast-ml/ballast/report"
	"github.com/ballast-ml/ballast/zoo"
)

// Clean asks how right a classifier is on the data as it is: accuracy, accuracy among the top 5, what is taken for what, and which wrong
// answers are the surest.
type Clean struct{}

var _ Suite = Clean{}

// Asks is the question.
func (Clean) Asks() string { return "how right are the answers?" }

// Needs are answers and labels.
func (Clean) Needs() Needs { return Needs{Tasks: []zoo.Task{zoo.Classify}, Outputs: true} }

// Run measures.
func (Clean) Run(ctx context.Context, a *Audit) (report.Section, error) {
	scores, err := a.Scores(ctx)
	if err != nil {
		return report.Section{}, err
	}
	found := report.Clean{Accuracy: scores.Accuracy(), Labels: a.Classes(scores.Classes)}
	const most = 100 // a larger confusion matrix helps nobody
	if scores.Classes <= most {
		found.Confusion = scores.Confusion()
	}
	if scores.Classes > 5 {
		outputs, err := a.Outputs(ctx)
		if err != nil {
			return report.Section{}, err
		}
		found.Top = 5
		if found.TopK, err = outputs.topK(a.Labels(), found.Top); err != nil {
			return report.Section{}, err
		}
	}
	if found.Worst, err = a.worst(scores, found.Labels); err != nil {
		return report.Section{}, err
	}
	return found.Section(), nil
}

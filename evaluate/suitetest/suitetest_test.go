package suitetest_test

import (
	"context"
	"slices"
	"testing"

	"github.com/ballast-ml/ballast/evaluate"
	"github.com/ballast-ml/ballast/evaluate/suitetest"
	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/report"
	"github.com/ballast-ml/ballast/zoo"
)

func TestAll(t *testing.T) {
	for _, k := range evaluate.All() {
		t.Run(k.Name, func(t *testing.T) { suitetest.Run(t, k.Name, k.New()) })
	}
}

// Surprise is a suite that no list names.
type Surprise struct{}

func (Surprise) Asks() string { return "how surprised is the model by the label?" }

func (Surprise) Needs() evaluate.Needs {
	return evaluate.Needs{Tasks: []zoo.Task{zoo.Classify}, Outputs: true}
}

func (Surprise) Run(ctx context.Context, a *evaluate.Audit) (report.Section, error) {
	scores, err := a.Scores(ctx)
	if err != nil {
		return report.Section{}, err
	}
	return report.Section{Suite: "surprise", Numbers: []metric.Number{
		{Name: "surprise.worst", Title: "worst surprise", Value: slices.Max(scores.NLL), Better: metric.Lower, Unit: metric.Nats},
	}}, nil
}

func TestASuiteOfOnesOwn(t *testing.T) { suitetest.Run(t, "surprise", Surprise{}) }

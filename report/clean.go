package report

import (
	"fmt"

	"github.com/ballast-ml/ballast/metric"
)

// Clean is how right the answers are on the data as it is: what the JSON holds of the suite clean.
type Clean struct {
	Accuracy  float64   `json:"accuracy"`
	Top       int       `json:"top_k"`          // k of TopK; 0 if there are too few classes
	TopK      float64   `json:"top_k_accuracy"` //
	Labels    []string  `json:"labels"`
	Confusion [][]int   `json:"confusion"`       // [label][predicted]; nil if there are too many classes
	Worst     []Example `json:"worst,omitempty"` // wrong answers, the surest first; at most MostWorst
}

// MostWorst is how many wrong answers a report keeps.
const MostWorst = 50

// Section is the content as a section.
func (c Clean) Section() Section {
	s := Section{
		Suite:   "clean",
		Content: c,
		Where:   OnCleanData,
		Says:    fmt.Sprintf("%s of the answers are right", percent(c.Accuracy)),
		Main:    []Main{{"acc", "accuracy"}},
		Numbers: []metric.Number{{
			Name: "acc", Title: "accuracy", Value: c.Accuracy, Better: metric.Higher, Unit: metric.Share,
			Means: "The share of examples for which the class that the model finds most likely is the right one.",
		}},
		Examples: c.Worst,
	}
	if c.Top > 0 {
		s.Numbers = append(s.Numbers, metric.Number{
			Name: fmt.Sprintf("top%d", c.Top), Title: fmt.Sprintf("accuracy, top %d", c.Top), Value: c.TopK, Better: metric.Higher, Unit: metric.Share,
			Means: fmt.Sprintf("The share of examples whose right class is among the %d that the model finds most likely.", c.Top),
		})
	}

	classes := len(c.Confusion)
	if classes > 0 && classes <= mostNames {
		s.Profile = &Profile{
			Title: "right of each class", Question: "Which classes are right?", X: "class", Y: "share right", Names: c.Labels, Values: c.recalls(), Unit: metric.Share,
		}
	}
	if classes > 0 && classes <= 100 {
		s.Pictures = []Picture{{
			Title: "What is taken for what?", Last: true, Draw: func(Report) (*Figure, error) { return confusionFigure(c.Confusion, c.Labels), nil },
		}}
	}
	return s
}

// recalls are the shares of each class's examples that are right; 0 without examples.
func (c Clean) recalls() []float64 {
	shares := make([]float64, len(c.Confusion))
	for k, counts := range c.Confusion {
		total := 0
		for _, n := range counts {
			total += n
		}
		shares[k] = float64(counts[k]) / float64(max(total, 1))
	}
	return shares
}

// percent is a share as a sentence has it.
func percent(share float64) string { return metric.Number{Value: share, Unit: metric.Share}.Text() }

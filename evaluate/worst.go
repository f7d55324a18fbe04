package evaluate

import (
	"fmt"
	"slices"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/report"
)

// pictured is how many of the worst examples are kept with their picture.
const pictured = 12

// worst are the wrong answers with the highest confidence, the surest first; of the first few the picture, where they have one.
func (a *Audit) worst(scores *metric.Scores, classes []string) ([]report.Example, error) {
	var wrong []int
	for i, label := range scores.Labels {
		if scores.Predicted[i] != label {
			wrong = append(wrong, i)
		}
	}
	slices.SortStableFunc(wrong, func(i, j int) int { return compare(scores.Confidence[j], scores.Confidence[i]) })

	var all []report.Example
	for place, i := range wrong[:min(report.MostWorst, len(wrong))] {
		e := report.Example{
			Index: a.place(i), Label: className(classes, scores.Labels[i]), Predicted: className(classes, scores.Predicted[i]), Confidence: scores.Confidence[i],
		}
		if place < pictured {
			var err error
			if e.Picture, err = a.picture(i); err != nil {
				return nil, err
			}
		}
		all = append(all, e)
	}
	return all, nil
}

// className is the name of a class, a number where it has none.
func className(classes []string, class int32) string {
	if int(class) < len(classes) {
		return classes[class]
	}
	return fmt.Sprint(class)
}

// Placed is a subject whose answers are there already, some of those that were saved.
type Placed interface {
	Answered
	Place(i int) int // the row of an answer among all that were saved
}

// place is where an example stands in the data set that it is a part of, or in the file of saved outputs.
func (a *Audit) place(i int) int {
	if indexed, ok := a.Data.(data.Indexed); ok {
		return int(indexed.StableIndex(i))
	}
	if placed, ok := a.Subject.(Placed); ok && a.Data == nil {
		return placed.Place(i)
	}
	return i
}

// picture is an example as a PNG; nil if it is no image.
func (a *Audit) picture(i int) ([]byte, error) {
	if a.Data == nil || !a.Data.Info().Images {
		return nil, nil
	}
	info := a.Data.Info()
	pixels := make([]float32, info.Size())
	if err := a.Data.Read(i, pixels); err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	return report.Thumbnail(pixels, info.Shape)
}

package evaluate

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/report"
	"github.com/ballast-ml/ballast/zoo"
)

// Shots asks how right a classifier is on classes of which training saw many, a medium number of, and few examples. The accuracy of a
// group is the mean over its classes, so that a class counts as much as any other, however often it is tested.
//
//	shots.acc                                          mean over all classes
//	shots.many.acc  shots.medium.acc  shots.few.acc    mean over those of a group; left out where the data has no class of it
type Shots struct {
	Many int `json:"many"` // a class with more training examples is one of many; 100
	Few  int `json:"few"`  // a class with fewer is one of few; 20
}

var _ Suite = Shots{}

// NewShots returns the usual bounds: more than 100 examples are many, fewer than 20 are few.
func NewShots() Shots { return Shots(metric.NewShots()) }

// Asks is the question.
func (Shots) Asks() string { return "what of the classes that training saw little of?" }

// Needs are answers, labels, and the number of training examples of each class.
func (Shots) Needs() Needs {
	return Needs{Tasks: []zoo.Task{zoo.Classify}, Outputs: true, Counts: true}
}

// Validate says what is wrong with the bounds, if anything.
func (s Shots) Validate() error { return metric.Shots(s).Validate() }

// Run measures.
func (s Shots) Run(ctx context.Context, a *Audit) (report.Section, error) {
	trained, err := a.TrainingCounts()
	if err != nil {
		return report.Section{}, err
	}
	scores, err := a.Scores(ctx)
	if err != nil {
		return report.Section{}, err
	}
	if n := len(trained); n < scores.Classes { // classes that the training data does not name
		trained = append(slices.Clone(trained), make([]int, scores.Classes-n)...)
	}
	found, err := metric.Shots(s).Accuracy(scores.Predicted, scores.Labels, trained)
	if err != nil {
		return report.Section{}, fmt.Errorf("evaluate: %w", err)
	}

	section := report.Section{
		Suite: "shots", Where: "by class", Heading: "What of the classes that training saw little of?", Main: []report.Main{{Number: "shots.acc", As: "accuracy, mean of classes"}},
		Numbers: []metric.Number{{
			Name: "shots.acc", Title: "accuracy, mean of classes", Value: found.Balanced, Better: metric.Higher, Unit: metric.Share,
			Means: "The accuracy of each class, averaged over the classes, so that a class that is tested seldom counts as much as any other.",
		}},
	}
	for g, name := range metric.ShotNames() {
		if found.Classes[g] > 0 {
			section.Numbers = append(section.Numbers, metric.Number{
				Name: "shots." + name + ".acc", Title: fmt.Sprintf("accuracy, %s (%d of the classes)", s.words(g), found.Classes[g]),
				Value: found.Group[g], Better: metric.Higher, Unit: metric.Share,
				Means: "The accuracy, averaged over the classes of which training saw " + s.words(g) + ".",
			})
			section.Main = append(section.Main, report.Main{Number: "shots." + name + ".acc", As: "accuracy, " + s.words(g)})
		}
	}
	section.Says = s.says(found)
	s.addClasses(&section, a.Classes(scores.Classes), trained, found)
	return section, nil
}

// says holds the groups against each other.
func (s Shots) says(found metric.ShotAccuracy) string {
	var parts []string
	for g := range metric.ShotNames() {
		if found.Classes[g] > 0 {
			parts = append(parts, fmt.Sprintf("%s (%s)", metric.Number{Value: found.Group[g], Unit: metric.Share}.Text(), s.words(g)))
		}
	}
	return "averaged over classes by what training saw of them, it is right for " + strings.Join(parts, ", ")
}

// words say what a group is.
func (s Shots) words(group int) string {
	return []string{fmt.Sprintf("more than %d examples", s.Many), fmt.Sprintf("%d to %d examples", s.Few, s.Many), fmt.Sprintf("fewer than %d examples", s.Few)}[group]
}

// addClasses adds what there is class by class, those with the most training examples first.
func (s Shots) addClasses(section *report.Section, names []string, trained []int, found metric.ShotAccuracy) {
	var order []int
	for c, n := range found.Examples {
		if n > 0 && c < len(names) {
			order = append(order, c)
		}
	}
	slices.SortStableFunc(order, func(c, d int) int { return trained[d] - trained[c] })

	table := report.Table{Title: "class by class", Shown: report.PageOnly, Columns: []report.Column{
		{Head: "trained on", Better: metric.Neither, Unit: metric.Count},
		{Head: "tested on", Better: metric.Neither, Unit: metric.Count},
		{Head: "accuracy", Better: metric.Higher, Unit: metric.Share},
	}}
	profile := report.Profile{
		Title: "right of each class", Question: "Which classes are right, from many training examples to few?", X: "class", Y: "share right", Unit: metric.Share,
	}
	line := report.Series{Name: "accuracy"}
	for place, c := range order {
		table.Rows = append(table.Rows, report.Row{Name: names[c], Values: []float64{float64(trained[c]), float64(found.Examples[c]), found.Class[c]}})
		profile.Names, profile.Values = append(profile.Names, names[c]), append(profile.Values, found.Class[c])
		line.X, line.Y = append(line.X, float64(place+1)), append(line.Y, found.Class[c])
	}
	section.Tables = []report.Table{table}
	section.Profile = &profile
	section.Charts = []report.Chart{{
		Title: "Accuracy of each class", X: "class, from many training examples to few", Y: "share right", Series: []report.Series{line},
	}}
}

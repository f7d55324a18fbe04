package evaluate

import (
	"context"
	"fmt"
	"slices"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/report"
)

// Pairs asks whether a model's features tell same from different: each example looks for others of its class among all others, and one
// threshold for all classes is tried. Classes may be ones that the model has never seen. Features are brought to length 1.
//
//	pairs.recall_at_K      share of examples with one of their class among the K nearest
//	pairs.r_precision      share of the R nearest that are of the class, R being its other examples
//	pairs.map_at_r         the same, earlier ones weighing more
//	pairs.opis             how unevenly one threshold suits the classes, see metric.OPIS; 0 is best
//	pairs.opis_tail        the same of the worst tenth of the classes
//	pairs.alignment        mean squared distance within a class
//	pairs.uniformity       how evenly the features fill the sphere; lower is more evenly
//	pairs.utilization      mean squared distance to the nearest training example; with training data alone
//	pairs.examples         how many were compared
type Pairs struct {
	RecallAt []int       `json:"recall_at"` // [1, 5, 10]
	OPIS     metric.OPIS `json:"opis"`      // the paper's
	Most     int         `json:"most"`      // examples that are compared, drawn where there are more; 5000
}

var _ Suite = Pairs{}

// NewPairs returns the usual numbers, of at most 5,000 examples: every pair of them is compared.
func NewPairs() Pairs { return Pairs{RecallAt: []int{1, 5, 10}, OPIS: metric.NewOPIS(), Most: 5000} }

// Asks is the question.
func (Pairs) Asks() string { return "do features tell same from different?" }

// Needs are features.
func (Pairs) Needs() Needs { return Needs{Features: true, Passes: 1} }

// Validate refuses settings that mean nothing.
func (p Pairs) Validate() error {
	switch {
	case len(p.RecallAt) == 0 || slices.Min(p.RecallAt) < 1:
		return fmt.Errorf("recall_at is %v; name numbers from 1, such as [1, 5, 10]", p.RecallAt)
	case p.Most < 2:
		return fmt.Errorf("most is %d; a pair has 2 examples", p.Most)
	}
	return p.OPIS.Validate()
}

// Run measures.
func (p Pairs) Run(ctx context.Context, a *Audit) (report.Section, error) {
	ds, drawn := p.draw(a.Data, a.Seed)
	features, d, err := a.Features(ctx, ds)
	if err != nil {
		return report.Section{}, err
	}
	labels := data.Labels(ds)
	found, err := metric.Retrieve(features, labels, d, p.RecallAt...)
	if err != nil {
		return report.Section{}, fmt.Errorf("evaluate: %w", err)
	}

	section := report.Section{Suite: "pairs", Where: "between examples", Heading: "Do features tell same from different?", Notes: drawn}
	for k, at := range found.Ks {
		section.Numbers = append(section.Numbers, metric.Number{
			Name: fmt.Sprintf("pairs.recall_at_%d", at), Title: fmt.Sprintf("recall@%d", at), Value: found.Recall[k], Better: metric.Higher, Unit: metric.Share,
			Means: fmt.Sprintf("The share of examples that have one of their own class among the nearest %d of all others.", at),
		})
	}
	section.Numbers = append(section.Numbers,
		metric.Number{
			Name: "pairs.r_precision", Title: "R-precision", Value: found.RPrecision, Better: metric.Higher, Unit: metric.Share,
			Means: "Of the R nearest of an example, R being the other examples of its class, the share that is of its class.",
		},
		metric.Number{
			Name: "pairs.map_at_r", Title: "MAP@R", Value: found.MAPAtR, Better: metric.Higher, Unit: metric.Share,
			Means: "As R-precision, with the nearer ones weighing more.",
		},
	)
	first := section.Numbers[0]
	section.Says = fmt.Sprintf("for %s of the examples one of the %d nearest others is of the same class", first.Text(), found.Ks[0])
	if found.Ks[0] == 1 {
		section.Says = fmt.Sprintf("for %s of the examples the nearest other one is of the same class", first.Text())
	}
	section.Main = []report.Main{{Number: first.Name, As: first.Title}, {Number: "pairs.map_at_r", As: "MAP@R"}, {Number: "pairs.opis", As: "OPIS"}}
	p.addThresholds(&section, a, features, labels, d)
	if err := p.addSphere(ctx, &section, a, features, labels, d); err != nil {
		return report.Section{}, err
	}
	section.Numbers = append(section.Numbers, metric.Number{
		Name: "pairs.examples", Title: "examples compared", Value: float64(len(labels)), Better: metric.Neither, Unit: metric.Count,
		Means: "Every one of them is compared with every other.",
	})
	return section, nil
}

// draw takes at most so many examples of a data set, and says so where that leaves some out.
func (p Pairs) draw(ds data.Dataset, seed uint64) (data.Dataset, []string) {
	if ds.Len() <= p.Most {
		return ds, nil
	}
	order := data.Order(ds.Len(), seed, 0)[:p.Most]
	slices.Sort(order)
	return data.Subset(ds, order), []string{fmt.Sprintf("%d of the %d examples of %s were compared, drawn with seed %d", p.Most, ds.Len(), datasetName(ds.Info()), seed)}
}

// addThresholds adds how one threshold suits the classes. Where that cannot be told, as when all features are the same, a note says so.
func (p Pairs) addThresholds(section *report.Section, a *Audit, features []float32, labels []int32, d int) {
	found, err := metric.OPISOf(p.OPIS, features, labels, d)
	if err != nil {
		section.Notes = append(section.Notes, err.Error())
		return
	}
	section.Numbers = append(section.Numbers,
		metric.Number{
			Name: "pairs.opis", Title: "OPIS", Value: found.OPIS, Better: metric.Lower,
			Means: "How unevenly one threshold of distance suits the classes; 0 says that it suits all alike. Scores of one range of false accepts alone can be compared.",
		},
		metric.Number{
			Name: "pairs.opis_tail", Title: "OPIS, worst classes", Value: found.Tail, Better: metric.Lower,
			Means: "The same, of the classes that the threshold suits worst.",
		},
	)

	// The mean utility, and the classes that stray from it the most.
	average := report.Series{Name: "mean of classes", X: found.Thresholds, Y: make([]float64, len(found.Thresholds))}
	order := make([]int, len(found.Classes))
	table := report.Table{Title: "utility of one threshold", Shown: report.PageOnly, Columns: []report.Column{
		{Head: "mean utility", Better: metric.Higher}, {Head: "part of OPIS", Better: metric.Lower},
	}}
	for k, curve := range found.Utility {
		order[k] = k
		mean := 0.0
		for t, u := range curve {
			average.Y[t] += u / float64(len(order))
			mean += u / float64(len(curve))
		}
		table.Rows = append(table.Rows, report.Row{Name: a.ClassName(found.Classes[k]), Values: []float64{mean, found.Share[k]}})
	}
	slices.SortStableFunc(order, func(k, l int) int { return compare(found.Share[l], found.Share[k]) })
	chart := report.Chart{Title: "Does one threshold suit every class?", X: "distance", Y: "utility", Series: []report.Series{average}}
	const shown = 4
	for _, k := range order[:min(shown, len(order))] {
		chart.Series = append(chart.Series, report.Series{Name: a.ClassName(found.Classes[k]), X: found.Thresholds, Y: found.Utility[k]})
	}
	section.Tables, section.Charts = []report.Table{table}, []report.Chart{chart}
}

// compare orders smaller values first.
func compare(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// addSphere adds how the features lie on the sphere, among each other and among those of training.
func (p Pairs) addSphere(ctx context.Context, section *report.Section, a *Audit, features []float32, labels []int32, d int) error {
	alignment, err := metric.Alignment(features, labels, d)
	if err != nil {
		return fmt.Errorf("evaluate: %w", err)
	}
	uniformity, err := metric.Uniformity(features, d, 2)
	if err != nil {
		return fmt.Errorf("evaluate: %w", err)
	}
	section.Numbers = append(section.Numbers,
		metric.Number{
			Name: "pairs.alignment", Title: "alignment", Value: alignment, Better: metric.Lower,
			Means: "The mean squared distance between examples of one class, of features of length 1.",
		},
		metric.Number{
			Name: "pairs.uniformity", Title: "uniformity", Value: uniformity, Better: metric.Lower,
			Means: "How evenly the features fill the sphere; lower is more evenly.",
		},
	)
	if a.Training == nil {
		return nil
	}

	training, drawn := p.draw(a.Training, a.Seed)
	seen, _, err := a.Features(ctx, training)
	if err != nil {
		return err
	}
	utilization, err := metric.Utilization(features, seen, d)
	if err != nil {
		return fmt.Errorf("evaluate: %w", err)
	}
	section.Notes = append(section.Notes, drawn...)
	section.Numbers = append(section.Numbers, metric.Number{
		Name: "pairs.utilization", Title: "utilization", Value: utilization, Better: metric.Lower,
		Means: "The mean squared distance from an example to the nearest training example.",
	})
	return nil
}

package report

import (
	"fmt"
	"strconv"

	"github.com/ballast-ml/ballast/metric"
)

// Shift is what happens when the inputs change: what the JSON holds of the suite shift.
type Shift struct {
	Table     string            `json:"table,omitempty"` // whose severities these are; "" = Ballast's own
	Rows      []ShiftRow        `json:"rows"`
	Mean      float64           `json:"mean_accuracy"`               // over all shifts and severities
	Errors    *CorruptionErrors `json:"corruption_errors,omitempty"` // of the rows that are not Drawn; nil = the table has none
	Reference string            `json:"reference,omitempty"`         // whose errors these are divided by; "" = they are not
	Notes     []string          `json:"notes,omitempty"`
}

// CorruptionErrors are the errors under shift as a benchmark adds them up.
type CorruptionErrors struct {
	Rows         []CorruptionError `json:"rows"`
	Mean         float64           `json:"mean"`          // the mCE
	RelativeMean float64           `json:"relative_mean"` // the relative mCE
}

// CorruptionError is that of one shift.
type CorruptionError struct {
	Name     string  `json:"name"`
	CE       float64 `json:"ce"`
	Relative float64 `json:"relative"`
}

// ShiftRow is one shift at every severity.
type ShiftRow struct {
	Name       string    `json:"name"`
	Severities []int     `json:"severities"`
	Accuracy   []float64 `json:"accuracy"`
	NLL        []float64 `json:"nll"`
	ECE        []float64 `json:"ece"`
	Confidence []float64 `json:"confidence,omitempty"` // mean; nil in reports of older versions
	Drawn      bool      `json:"drawn,omitempty"`      // it stands in for the shift of the benchmark, and is marked with *
}

// Section is the content as a section.
func (s Shift) Section() Section {
	section := Section{
		Suite:   "shift",
		Content: s,
		Where:   "under shift",
		Says:    s.says(),
		Heading: "What do shifted inputs do?",
		Numbers: []metric.Number{{
			Name: "shift.acc", Title: "accuracy, mean of shifts", Value: s.Mean, Better: metric.Higher, Unit: metric.Share,
			Means: "The accuracy on changed inputs, averaged over all kinds of shift and all severities.",
		}},
		Main:  []Main{{"shift.acc", "accuracy under shift"}, {"shift.ece", "ECE under shift"}, {"shift.nll", "NLL under shift"}},
		Notes: s.Notes,
	}

	if len(s.Rows) == 0 {
		return section
	}

	section.Numbers = append(section.Numbers,
		metric.Number{
			Name: "shift.nll", Title: "NLL, mean of shifts", Value: s.mean(func(r ShiftRow) []float64 { return r.NLL }), Better: metric.Lower, Unit: metric.Nats,
			Means: "The negative log-likelihood on changed inputs, averaged over all kinds of shift and all severities.",
		},
		metric.Number{
			Name: "shift.ece", Title: "ECE, mean of shifts", Value: s.mean(func(r ShiftRow) []float64 { return r.ECE }), Better: metric.Lower,
			Means: "The expected calibration error on changed inputs, averaged over all kinds of shift and all severities.",
		})
	if s.Rows[0].Confidence != nil {
		section.Numbers = append(section.Numbers, metric.Number{
			Name: "shift.confidence", Title: "mean confidence, mean of shifts", Value: s.mean(func(r ShiftRow) []float64 { return r.Confidence }),
			Better: metric.Neither, Unit: metric.Share,
			Means: "The mean probability that the model gives its own answers to changed inputs. Above the accuracy there, it is too sure.",
		})
	}

	section.Pictures = []Picture{{
		Title: "How right is it, by shift and severity?",
		Draw:  func(r Report) (*Figure, error) { return s.heat(r), nil },
	}}
	section.Tables = []Table{
		s.table("accuracy by severity", "acc", Column{Better: metric.Higher, Unit: metric.Share}, Everywhere, func(r ShiftRow) []float64 { return r.Accuracy }),
		s.table("NLL by severity", "nll", Column{Better: metric.Lower}, PageOnly, func(r ShiftRow) []float64 { return r.NLL }),
		s.table("ECE by severity", "ece", Column{Better: metric.Lower}, Compared, func(r ShiftRow) []float64 { return r.ECE }),
	}

	s.addErrors(&section)
	return section
}

// addErrors adds the corruption errors to a section.
func (s Shift) addErrors(section *Section) {
	if s.Errors == nil {
		return
	}
	unit, of := metric.Share, "the mean error"
	if s.Reference != "" {
		of = "the error divided by that of " + s.Reference + ", a mean"
	}
	section.Numbers = append(section.Numbers,
		metric.Number{
			Name: "shift.mce", Title: "mean corruption error", Value: s.Errors.Mean, Better: metric.Lower, Unit: unit,
			Means: "The mCE of " + s.Table + ": " + of + " over severities and then over corruptions. Rows marked with * are not in it.",
		},
		metric.Number{
			Name: "shift.relative-mce", Title: "relative corruption error", Value: s.Errors.RelativeMean, Better: metric.Lower, Unit: unit,
			Means: "The relative mCE: the same of what corruptions add to the error on the data as it is.",
		})
	each := Column{Better: metric.Lower, Unit: unit}
	t := Table{Title: "corruption error", Cell: "shift.{row}.{column}", Shown: Compared}
	for _, head := range []string{"ce", "relative-ce"} {
		each.Head = head
		t.Columns = append(t.Columns, each)
	}
	for _, row := range s.Errors.Rows {
		t.Rows = append(t.Rows, Row{Name: row.Name, Values: []float64{row.CE, row.Relative}})
	}
	section.Tables = append(section.Tables, t)
}

// mean is a number's mean over all shifts and severities.
func (s Shift) mean(values func(ShiftRow) []float64) float64 {
	sum, n := 0.0, 0
	for _, row := range s.Rows {
		for _, v := range values(row) {
			sum, n = sum+v, n+1
		}
	}
	return sum / float64(max(n, 1))
}

// says is how far the accuracy falls, on average and at worst.
func (s Shift) says() string {
	var worst ShiftRow
	at, lowest := 0, 2.0
	for _, row := range s.Rows {
		for i, accuracy := range row.Accuracy {
			if accuracy < lowest && i < len(row.Severities) {
				worst, at, lowest = row, i, accuracy
			}
		}
	}
	if lowest > 1 {
		return ""
	}
	return fmt.Sprintf("under shift %s are right on average, and %s at worst (%s, severity %d)", percent(s.Mean), percent(lowest), worst.Name, worst.Severities[at])
}

// table is one number of all shifts at all severities.
func (s Shift) table(title, name string, each Column, shown Detail, values func(ShiftRow) []float64) Table {
	t := Table{Title: title, Cell: "shift.{row}.{column}." + name, Shown: shown, X: "severity", Origin: name}
	for _, severity := range s.Rows[0].Severities {
		each.Head = strconv.Itoa(severity)
		t.Columns = append(t.Columns, each)
	}
	for _, row := range s.Rows {
		t.Rows = append(t.Rows, Row{Name: row.Name, Values: values(row)})
		if row.Drawn {
			t.Starred = append(t.Starred, row.Name)
		}
	}
	return t
}

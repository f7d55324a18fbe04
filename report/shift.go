package report

import (
	"fmt"
	"strconv"

	"github.com/ballast-ml/ballast/metric"
)

// Shift is what happens when the inputs change: what the JSON holds of the suite shift.
type Shift struct {
	Rows []ShiftRow `json:"rows"`
	Mean float64    `json:"mean_accuracy"` // over all shifts and severities
}

// ShiftRow is one shift at every severity.
type ShiftRow struct {
	Name       string    `json:"name"`
	Severities []int     `json:"severities"`
	Accuracy   []float64 `json:"accuracy"`
	NLL        []float64 `json:"nll"`
	ECE        []float64 `json:"ece"`
	Confidence []float64 `json:"confidence,omitempty"` // mean; nil in reports of older versions
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
		Main: []Main{{"shift.acc", "accuracy under shift"}, {"shift.ece", "ECE under shift"}, {"shift.nll", "NLL under shift"}},
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
	section.Tables = []Table{
		s.table("accuracy by severity", "acc", Column{Better: metric.Higher, Unit: metric.Share}, Everywhere, func(r ShiftRow) []float64 { return r.Accuracy }),
		s.table("NLL by severity", "nll", Column{Better: metric.Lower}, PageOnly, func(r ShiftRow) []float64 { return r.NLL }),
		s.table("ECE by severity", "ece", Column{Better: metric.Lower}, Compared, func(r ShiftRow) []float64 { return r.ECE }),
	}
	return section
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
	}
	return t
}

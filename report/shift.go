package report

import (
	"math"
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
}

// Section is the content as a section.
func (s Shift) Section() Section {
	section := Section{
		Suite:   "shift",
		Content: s,
		Heading: "Shift by shift",
		Numbers: []metric.Number{{Name: "shift.acc", Title: "accuracy, mean of shifts", Value: s.Mean, Better: metric.Higher, Unit: metric.Share}},
		Pictures: []Picture{{Title: "What do shifted inputs do?", Draw: func(r Report) ([]byte, error) {
			// Severity 0 is the data as it is, where it was measured.
			clean, ok := r.Number("acc")
			if !ok {
				clean.Value = math.NaN()
			}
			return SeverityPNG("", s, clean.Value)
		}}},
	}
	if len(s.Rows) > 0 {
		section.Tables = []Table{
			s.table("accuracy by severity", "acc", Column{Better: metric.Higher, Unit: metric.Share}, Everywhere, func(r ShiftRow) []float64 { return r.Accuracy }),
			s.table("NLL by severity", "nll", Column{Better: metric.Lower}, PageOnly, func(r ShiftRow) []float64 { return r.NLL }),
			s.table("ECE by severity", "ece", Column{Better: metric.Lower}, Compared, func(r ShiftRow) []float64 { return r.ECE }),
		}
	}
	return section
}

// table is one number of all shifts at all severities.
func (s Shift) table(title, name string, each Column, shown Detail, values func(ShiftRow) []float64) Table {
	t := Table{Title: title, Cell: "shift.{row}.{column}." + name, Shown: shown}
	for _, severity := range s.Rows[0].Severities {
		each.Head = strconv.Itoa(severity)
		t.Columns = append(t.Columns, each)
	}
	for _, row := range s.Rows {
		t.Rows = append(t.Rows, Row{Name: row.Name, Values: values(row)})
	}
	return t
}

// Package report holds what an audit found and shows it: in the terminal, as JSON, as one HTML file with its pictures in it.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/metric"
)

// SchemaVersion is the schema_version of a report's JSON.
const SchemaVersion = 1

// Report is what an audit of one model found. Suites that were not run are nil.
type Report struct {
	SchemaVersion int       `json:"schema_version"`
	Model         string    `json:"model"`
	Data          string    `json:"data"`
	Examples      int       `json:"examples"`
	Engine        string    `json:"engine,omitempty"`
	Seed          uint64    `json:"seed"`
	Created       time.Time `json:"created"`
	Seconds       float64   `json:"seconds"`

	Clean       *Clean       `json:"clean,omitempty"`
	Calibration *Calibration `json:"calibration,omitempty"`
	Shift       *Shift       `json:"shift,omitempty"`
}

// Clean is how right the answers are on the data as it is.
type Clean struct {
	Accuracy  float64  `json:"accuracy"`
	Top       int      `json:"top_k"`          // k of TopK; 0 if there are too few classes
	TopK      float64  `json:"top_k_accuracy"` //
	Labels    []string `json:"labels"`
	Confusion [][]int  `json:"confusion"` // [label][predicted]
}

// Calibration is how far the confidences can be trusted.
type Calibration struct {
	NLL          float64      `json:"nll"`   // nats
	Brier        float64      `json:"brier"` // sum over classes
	ECE          float64      `json:"ece"`   // Bins bins of equal width
	ECEMass      float64      `json:"ece_equal_mass"`
	ClasswiseECE float64      `json:"classwise_ece"`
	MCE          float64      `json:"mce"`
	Bins         int          `json:"bins"`
	Confidence   float64      `json:"mean_confidence"`
	Curve        []metric.Bin `json:"curve"` // reliability, equal width
}

// Shift is what happens when the inputs change.
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

// Comparison is a model before and after it was mended.
type Comparison struct {
	SchemaVersion int    `json:"schema_version"`
	What          string `json:"what"` // what was done in between
	Before        Report `json:"before"`
	After         Report `json:"after"`
}

// Value is a named number of a report.
type Value struct {
	Name   string
	Number float64
	Better int // +1 more is better, -1 less is better, 0 neither
	Share  bool
}

// Values lists the numbers of a report by the names that Require and tables use.
func (r Report) Values() []Value {
	var v []Value
	if c := r.Clean; c != nil {
		v = append(v, Value{"acc", c.Accuracy, 1, true})
		if c.Top > 0 {
			v = append(v, Value{fmt.Sprintf("top%d", c.Top), c.TopK, 1, true})
		}
	}
	if c := r.Calibration; c != nil {
		v = append(v,
			Value{"nll", c.NLL, -1, false}, Value{"brier", c.Brier, -1, false}, Value{"ece", c.ECE, -1, false},
			Value{"ece_mass", c.ECEMass, -1, false}, Value{"classwise_ece", c.ClasswiseECE, -1, false}, Value{"mce", c.MCE, -1, false},
			Value{"confidence", c.Confidence, 0, true})
	}
	if s := r.Shift; s != nil {
		v = append(v, Value{"shift.acc", s.Mean, 1, true})
		for _, row := range s.Rows {
			for i, severity := range row.Severities {
				prefix := fmt.Sprintf("shift.%s.%d.", row.Name, severity)
				v = append(v, Value{prefix + "acc", row.Accuracy[i], 1, true}, Value{prefix + "nll", row.NLL[i], -1, false}, Value{prefix + "ece", row.ECE[i], -1, false})
			}
		}
	}
	return v
}

// WriteJSON writes v as indented JSON to a file, whole or not at all.
func WriteJSON(path string, v any) error {
	return durable.WriteFile(path, func(w io.Writer) error {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(v)
	})
}

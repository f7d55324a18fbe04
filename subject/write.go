package subject

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ballast-ml/ballast/calibrate"
	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/repair"
)

// Calibrated is an ONNX file that was written with a calibration.
type Calibrated struct {
	Out    string         `json:"out"`
	Method string         `json:"method"`
	Output string         `json:"output"` // of the graph, whose scores are corrected
	Scores string         `json:"scores"` // the value that is corrected
	Check  repair.Checked `json:"check"`
	Notes  []string       `json:"notes,omitempty"`
}

// WriteCalibrated writes a copy of an ONNX file with a fitted method in its graph. The copy is run beside the original on the examples of the
// feed before it is written, and refused if it does not answer as the method says.
func (m *Model) WriteCalibrated(ctx context.Context, a Answers, feed *Feed, f calibrate.Fitted, out string) (w Calibrated, err error) {
	site, err := m.Site(ctx, a)
	if err != nil {
		return w, err
	}
	c := repair.Calibration{Fitted: f, Site: site}
	file := m.Graph.File
	edit, err := c.Edit(file)
	if err != nil {
		return w, err
	}
	copied, err := file.Rewrite(out, edit)
	if err != nil {
		return w, err
	}
	w = Calibrated{Out: out, Method: calibrate.FittedName(f), Output: site.Output, Scores: site.Value}
	if w.Check, err = c.Check(ctx, feed.Head(mostBeside), file, copied.Model); err != nil {
		return w, err
	}
	if w.Method != "temperature" {
		w.Notes = m.decided(site)
	}
	return w, copied.WriteFile()
}

// decided notes outputs that say which class it is and that do not look at the scores which are corrected.
func (m *Model) decided(site repair.Site) (notes []string) {
	behind := map[string]bool{site.Value: true}
	for _, n := range m.Graph.File.Graph.Nodes {
		if slices.ContainsFunc(n.Inputs, func(name string) bool { return behind[name] }) {
			for _, name := range n.Outputs {
				behind[name] = true
			}
		}
	}
	for _, v := range m.Graph.File.Graph.Outputs {
		if label := v.Type == onnx.Int64 || v.Type == onnx.Int32 || v.Type == onnx.String; label && !behind[v.Name] {
			notes = append(notes, fmt.Sprintf("output %s is not made of the scores that are corrected, and stays as it was", v.Name))
		}
	}
	return notes
}

// CheckOut refuses to mend an ONNX file that was calibrated before, and an output that is one of its files.
func (m *Model) CheckOut(out string) error {
	if m.Graph == nil {
		return errors.New("subject: there is no graph to mend")
	}
	if err := repair.RefuseCalibrated(m.Graph.File); err != nil {
		return err
	}
	return m.Graph.File.Apart(out)
}

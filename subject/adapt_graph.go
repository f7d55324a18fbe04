package subject

import (
	"context"
	"fmt"
	"math"

	"github.com/ballast-ml/ballast/repair"
)

// mostBeside is how many examples a copy is run on beside the original.
const mostBeside = 256

// Adapted is an ONNX file that was written with re-estimated statistics.
type Adapted struct {
	repair.Estimated

	Out string `json:"out"`
}

// WriteStatistics writes a copy of an ONNX file whose norms have the statistics of the examples of a feed. pass, if not nil, is told which pass
// over them begins, of how many at most.
func (m *Model) WriteStatistics(ctx context.Context, feed *Feed, s repair.Statistics, out string, pass func(i, most int)) (w Adapted, err error) {
	file := m.Graph.File
	if err := file.Apart(out); err != nil {
		return w, err
	}
	if w.Estimated, err = s.Edit(ctx, file, feed, pass); err != nil {
		return w, err
	}
	c, err := file.Rewrite(out, w.Edit)
	if err != nil {
		return w, err
	}
	w.Out = out
	run, err := repair.CompareOn(ctx, feed.Head(mostBeside), file, c.Model)
	switch {
	case err != nil:
		return w, err
	case math.IsNaN(run.LargestChange):
		return w, fmt.Errorf("subject: with the new statistics %s gives outputs that are not numbers; nothing is written", m.Name)
	case s.SourceWeight == 1: // nothing may change
		if err := run.Same(file); err != nil {
			return w, err
		}
	}
	return w, c.WriteFile()
}

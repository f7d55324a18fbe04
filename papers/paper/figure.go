package paper

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/report"
)

// Figure is a picture of what was measured, drawn from the numbers in the ledger alone.
type Figure struct {
	Name  string                        `json:"name"` // of the file, without .png
	Title string                        `json:"title"`
	Draw  func(e Entry) ([]byte, error) `json:"-"` // a PNG
}

// CurvePrefix begins the names of metrics that are points of a curve: they are in the ledger for a figure, and in no table.
const CurvePrefix = "curve_"

// WriteFigures draws the figures of a paper into dir and returns their paths.
func WriteFigures(p Paper, e Entry, dir string) ([]string, error) {
	if len(p.Figures) == 0 {
		return nil, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("papers: %w", err)
	}
	var paths []string
	for _, f := range p.Figures {
		picture, err := f.Draw(e)
		if err != nil {
			return paths, fmt.Errorf("papers: figure %s of %s: %w", f.Name, p.Slug, err)
		}
		path := filepath.Join(dir, f.Name+".png")
		if err := durable.WriteFile(path, func(w io.Writer) error { _, err := w.Write(picture); return err }); err != nil {
			return paths, err
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// Summary is what was measured of an arm.
func (e Entry) Summary(claim, arm, metric string) (Summary, error) {
	for _, c := range e.Claims {
		if c.Name != claim {
			continue
		}
		for _, a := range c.Arms {
			if s, ok := a.Metrics[metric]; ok && a.Name == arm {
				return s, nil
			}
		}
	}
	return Summary{}, fmt.Errorf("the entry of %s has no %s of arm %s of claim %s; measure it again with ballast reproduce %s", e.Slug, metric, arm, claim, e.Slug)
}

// Series is a line of means over seeds, with their standard deviations. at gives each point's place, arm and metric.
func (e Entry) Series(name, claim string, at ...Point) (report.Series, error) {
	s := report.Series{Name: name}
	for _, p := range at {
		m, err := e.Summary(claim, p.Arm, p.Metric)
		if err != nil {
			return s, err
		}
		s.X, s.Y, s.Spread = append(s.X, p.X), append(s.Y, m.Mean), append(s.Spread, m.SD)
	}
	return s, nil
}

// Point is a number of the ledger and where it is drawn.
type Point struct {
	X           float64
	Arm, Metric string
}

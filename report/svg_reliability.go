package report

import (
	"fmt"
	"math"

	"github.com/ballast-ml/ballast/metric"
)

// reliabilityFigure draws the share that is right against the confidence, one bar for each bin: on the dashed diagonal the confidences are
// right. How many examples a bin holds shows as the bar's strength of colour, the gap to the mean confidence as a line.
func reliabilityFigure(curve []metric.Bin) *Figure {
	const left, right, top, bottom, width, height = 46, 12, 24, 36, 320, 300
	most := 0
	for _, b := range curve {
		most = max(most, b.Count)
	}
	if most == 0 {
		return nil
	}
	d := newDrawing(width, height)
	x, y := scale{high: 1, from: left, to: width - right}, scale{high: 1, from: height - bottom, to: top}
	d.text("soft", "start", 2, 12, "share right")
	for _, tick := range []float64{0, 0.2, 0.4, 0.6, 0.8, 1} {
		d.line("grid", left, y.at(tick), width-right, y.at(tick))
		d.text("tick", "end", left-6, y.at(tick)+4, short(tick))
		d.text("tick", "middle", x.at(tick), y.from+16, short(tick))
	}
	d.text("soft", "middle", (x.from+x.to)/2, height-3, "confidence")

	for _, b := range curve {
		if b.Count == 0 {
			continue
		}
		strength := 0.25 + 0.65*math.Log1p(float64(b.Count))/math.Log1p(float64(most))
		says := fmt.Sprintf("confidence %.2f to %.2f: %d examples, %s right, mean confidence %s", b.Low, b.High, b.Count, percent(b.Accuracy), percent(b.Confidence))
		d.rect("bar", x.at(b.Low)+0.5, y.at(b.Accuracy), max(0.5, x.at(b.High)-x.at(b.Low)-1), y.from-y.at(b.Accuracy), strength, says)
		middle := (x.at(b.Low) + x.at(b.High)) / 2
		d.line("gap", middle, y.at(b.Accuracy), middle, y.at(b.Confidence))
	}
	d.line("axis", left, y.from, width-right, y.from)
	d.line("diagonal", x.at(0), y.at(0), x.at(1), y.at(1))

	return d.figure(describeCurve(curve),
		classKey(true, "bar", "share right; paler where there are fewer examples"), classKey(false, "gap", "gap to the mean confidence"),
		classKey(false, "diagonal", "where confidences are right"))
}

// describeCurve says in words what the bars show.
func describeCurve(curve []metric.Bin) string {
	var above, below, n int
	for _, b := range curve {
		n += b.Count
		if b.Confidence > b.Accuracy {
			above += b.Count
		} else {
			below += b.Count
		}
	}
	return fmt.Sprintf("Share right against confidence. %d of %d examples are in groups that are surer than right, %d in groups that are right more often than sure.", above, n, below)
}

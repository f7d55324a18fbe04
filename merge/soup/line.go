package soup

import (
	"fmt"
	"math"

	"github.com/ballast-ml/ballast/format/weights"
)

// LinePoint is the score at one point of the line between two models.
type LinePoint struct {
	T     float64 `json:"t"` // 0 is the first model, 1 the second
	Score float64 `json:"score"`
}

// Line scores (1-t) a + t b for each t: the choice of WiSE-FT, where a is a pretrained model and b one fine-tuned from it.
// Wortsman et al., "Robust fine-tuning of zero-shot models", arXiv 2109.01903.
func Line(a, b weights.Set, ts []float64, score Score) ([]LinePoint, error) {
	points := make([]LinePoint, 0, len(ts))
	for _, t := range ts {
		w, err := Interpolate(a, b, t)
		if err != nil {
			return points, err
		}
		s, err := score(w)
		if err != nil {
			return points, fmt.Errorf("merge: line: score at %v: %w", t, err)
		}
		if math.IsNaN(s) {
			return points, fmt.Errorf("merge: line: the score at %v is NaN", t)
		}
		points = append(points, LinePoint{T: t, Score: s})
	}
	return points, nil
}

// BarrierCurve is the scores on the line between two models.
type BarrierCurve struct {
	Points []LinePoint `json:"points"`
	Height float64     `json:"height"` // the most that a point lies below the straight line between the scores of the ends; 0 if none does
	At     float64     `json:"at"`     // where
	Drop   float64     `json:"drop"`   // of the score in the middle below the worse end; negative where it is above
}

// barrierDrop is the drop in the middle, of a score such as accuracy, from which models are taken to lie in different basins.
const barrierDrop = 0.1

// Warning says what the curve means for a soup of the two models, "" if it does not advise against one. It is for scores in [0, 1].
func (b BarrierCurve) Warning() string {
	if b.Drop <= barrierDrop {
		return ""
	}
	return fmt.Sprintf("in the middle the score is %.3f below the worse end: the models lie in different basins, as those trained from different first weights or heads do; do not average them", b.Drop)
}

// Barrier scores points evenly spaced along the line between two models, both ends included; higher scores are better. points
// is at least 3; an odd number has the middle among them.
func Barrier(a, b weights.Set, score Score, points int) (BarrierCurve, error) {
	if points < 3 {
		return BarrierCurve{}, fmt.Errorf("merge: barrier: %d points; use at least 3, the ends and the middle", points)
	}
	ts := make([]float64, points)
	for i := range ts {
		ts[i] = float64(i) / float64(points-1)
	}
	line, err := Line(a, b, ts, score)
	if err != nil {
		return BarrierCurve{}, err
	}
	c := BarrierCurve{Points: line}
	first, last := line[0].Score, line[points-1].Score
	for _, p := range line {
		if h := (1-p.T)*first + p.T*last - p.Score; h > c.Height {
			c.Height, c.At = h, p.T
		}
	}
	c.Drop = math.Min(first, last) - line[points/2].Score
	return c, nil
}

// Interpolate returns (1-t) a + t b: the line between two models, WiSE-FT's where a is a pretrained model and b one fine-tuned
// from it (Wortsman et al., "Robust fine-tuning of zero-shot models", arXiv 2109.01903). t may lie outside [0, 1].
func Interpolate(a, b weights.Set, t float64) (weights.Set, error) {
	if math.IsNaN(t) || math.IsInf(t, 0) {
		return nil, fmt.Errorf("merge: interpolate: t is %v; 0 is the first model, 1 the second", t)
	}
	if err := weights.CheckSets("merge: interpolate", []weights.Set{a, b}, []string{"the first model", "the second model"}); err != nil {
		return nil, err
	}
	out := a.ZerosLike()
	for i := range out {
		for j := range out[i].Values {
			out[i].Values[j] = float32((1-t)*float64(a[i].Values[j]) + t*float64(b[i].Values[j]))
		}
	}
	return out, nil
}

package calibrate

import (
	"errors"
	"math/rand/v2"

	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/metric"
)

// Judged is the effect of a temperature on the confidences for examples to which it was not fitted.
type Judged struct {
	Examples  int     `json:"judged"`
	NLLBefore float64 `json:"nll_before"` // mean, in nats, at T = 1
	NLLAfter  float64 `json:"nll_after"`
	ECEBefore float64 `json:"ece_before"` // 15 bins of equal width
	ECEAfter  float64 `json:"ece_after"`
}

// Folds is the usual number of parts of CrossFit.
const Folds = 5

// CrossFit judges a temperature fitted to logits [examples, classes] without a held-out set: the examples are split into that many parts at
// random, and each part is judged by the temperature that is fitted to the others. Where that has no optimum, the part is judged as it is.
// The temperature of all examples, which FitTemperature gives, is fitted to more of them, and is at least as good. At least 2 parts and as
// many examples are needed. The same seed gives the same parts.
func CrossFit[F metric.Float, L metric.Label](t TemperatureScaling, logits []F, labels []L, classes, folds int, seed uint64) (Judged, error) {
	n := len(labels)
	if folds < 2 || n < folds {
		return Judged{}, errors.New("calibrate: CrossFit needs 2 parts or more, and an example in each")
	}
	if err := memory.Need("the parts that a temperature is judged on", 16*int64(len(logits))); err != nil {
		return Judged{}, err
	}
	order := rand.New(rand.NewPCG(seed, 0xca11b)).Perm(n)
	after := make([]float64, len(logits))
	for fold := range folds {
		var rest []int
		for place, i := range order {
			if place%folds != fold {
				rest = append(rest, i)
			}
		}
		fit, err := FitTemperature(t, gather(logits, rest, classes), at(labels, rest), classes)
		if err != nil {
			return Judged{}, err
		}
		temperature := fit.T
		if fit.Saturated {
			temperature = 1
		}
		for place := fold; place < n; place += folds {
			from := order[place] * classes
			for k, z := range logits[from : from+classes] {
				after[from+k] = float64(z) / temperature
			}
		}
	}
	return compare(logits, after, labels, classes)
}

// JudgeOn judges a temperature on logits [examples, classes] of examples to which it was not fitted.
func JudgeOn[F metric.Float, L metric.Label](temperature float64, logits []F, labels []L, classes int) (Judged, error) {
	if err := memory.Need("the logits that a temperature is judged on", 8*int64(len(logits))); err != nil {
		return Judged{}, err
	}
	after := make([]float64, len(logits))
	for i, z := range logits {
		after[i] = float64(z) / temperature
	}
	return compare(logits, after, labels, classes)
}

// compare measures logits before and after.
func compare[F metric.Float, L metric.Label](before []F, after []float64, labels []L, classes int) (Judged, error) {
	one, err := metric.Score(before, labels, classes)
	if err != nil {
		return Judged{}, err
	}
	two, err := metric.Score(after, labels, classes)
	if err != nil {
		return Judged{}, err
	}
	j := Judged{Examples: len(labels), NLLBefore: one.MeanNLL(), NLLAfter: two.MeanNLL()}
	var err1, err2 error
	j.ECEBefore, err1 = one.ECE(metric.EqualWidth, metric.DefaultBins)
	j.ECEAfter, err2 = two.ECE(metric.EqualWidth, metric.DefaultBins)
	return j, errors.Join(err1, err2)
}

// gather are the rows of some examples.
func gather[F metric.Float](x []F, rows []int, width int) []F {
	out := make([]F, 0, len(rows)*width)
	for _, i := range rows {
		out = append(out, x[i*width:(i+1)*width]...)
	}
	return out
}

// at are the labels of some examples.
func at[L metric.Label](labels []L, places []int) []L {
	out := make([]L, len(places))
	for k, i := range places {
		out[k] = labels[i]
	}
	return out
}

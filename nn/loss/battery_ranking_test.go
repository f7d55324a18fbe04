package loss_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/loss/losstest"
)

// most is the largest of row i of k values.
func most(values []float64, i, k int) float64 { return slices.Max(values[i*k : (i+1)*k]) }

// pure is the largest share of a class of row i, 1 where rounding is between them.
func pure(shares []float64, i, k int) float64 {
	if m := most(shares, i, k); m < 1-1e-6 {
		return m
	}
	return 1
}

func mrl(m loss.MRL) losstest.Naive {
	return func(b losstest.Batch, _ map[string][]float64) []float64 {
		c := func(z []float64, i int) float64 {
			if m.Confidence == "prob" {
				return slices.Max(softmax(z, i, b.Classes, 1))
			}
			return most(z, i, b.Classes)
		}
		both, hinges, masks := 0.0, 0.0, 0.0
		for k, mixed := range b.Mixed {
			for i := range b.N {
				hinge, mask := max(0, c(mixed, i)-c(b.Out, i)+m.Margin), 0.0
				if pure(b.Shares[k], i, b.Classes) < 1 {
					mask = 1
				}
				n := float64(b.N * len(b.Mixed))
				both, hinges, masks = both+mask*hinge/n, hinges+hinge/n, masks+mask/n
			}
		}
		if m.Broadcast {
			return []float64{hinges * masks}
		}
		return []float64{both}
	}
}

func mndcg(b losstest.Batch, _ map[string][]float64) []float64 {
	sum := 0.0
	for i := range b.N {
		order := make([]int, len(b.Mixed))
		for k := range order {
			order[k] = k
		}
		relevance := func(k int) float64 { return pure(b.Shares[k], i, b.Classes) }
		slices.SortStableFunc(order, func(j, k int) int {
			switch {
			case relevance(j) > relevance(k):
				return -1
			case relevance(j) < relevance(k):
				return 1
			}
			return 0
		})
		dcg, ideal := slices.Max(softmax(b.Out, i, b.Classes, 1)), 1.0
		for place, k := range order {
			d := math.Log2(float64(place) + 3)
			dcg += slices.Max(softmax(b.Mixed[k], i, b.Classes, 1)) / d
			ideal += relevance(k) / d
		}
		sum += 1 - min(dcg/ideal, ideal/dcg)
	}
	return []float64{sum / float64(b.N)}
}

// TestRankingRefuses: options that mean nothing are told.
func TestRankingRefuses(t *testing.T) {
	for want, v := range map[string]interface{ Validate() error }{
		"confidence is": loss.MRL{Margin: 1, Confidence: "logits", Copies: 1, Alpha: 1}, "num_mixup is 0": loss.MNDCG{Alpha: 1},
		"beta is 0": loss.MNDCG{Copies: 3}, "margin is": loss.MRL{Margin: math.NaN(), Confidence: "logit", Copies: 1, Alpha: 1},
	} {
		if err := v.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", v, err)
		}
	}
	if w := (loss.MRL{Margin: 2, Confidence: "prob", Copies: 1, Alpha: 1}).Warning(); !strings.Contains(w, "smaller margin") {
		t.Errorf("%q", w)
	}
}

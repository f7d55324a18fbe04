package metric

import (
	"fmt"
	"math"
)

// OracleTemperature is what the best temperature can do for a classifier that answers with one confidence everywhere, where classes overlap.
type OracleTemperature struct {
	NLL    float64 `json:"nll"`    // mean, in nats, at the best temperature
	Bayes  float64 `json:"bayes"`  // that of the true posterior
	Gap    float64 `json:"gap"`    // NLL - Bayes, which grows like (p/2) ln k
	Margin float64 `json:"margin"` // of the answer's logit at that temperature; +Inf where nothing overlaps
}

// OracleTS is the oracle of k classes where a share p of the examples lies where exactly two of them are as likely. The classifier is right
// elsewhere and says one of the two at random there; its logits are a margin for its answer and 0 for all others. At the margin s the NLL is
//
//	log(1 + (k-1) e^-s) + p s/2, least at s = log((1-p/2)(k-1)/(p/2)): H(p/2) + (p/2) log(k-1)
//
// H the entropy of a coin; the truth has p log 2. A temperature must spread p/2 over all k-1 other classes, since it sees no structure. Derived
// for Chidambaram, Ge, "On the Limitations of Temperature Scaling for Distributions with Overlaps", arXiv 2306.00740, whose bound is of the
// same order. Errors for k below 2 and p outside [0,1].
func OracleTS(k int, p float64) (OracleTemperature, error) {
	if k < 2 {
		return OracleTemperature{}, fmt.Errorf("metric: OracleTS: %d classes; there must be at least 2", k)
	}
	if !(p >= 0 && p <= 1) {
		return OracleTemperature{}, fmt.Errorf("metric: OracleTS: an overlap of %v; use a share from 0 to 1", p)
	}
	wrong, others := p/2, float64(k-1)
	o := OracleTemperature{
		NLL: coin(wrong) + wrong*math.Log(others), Bayes: p * math.Ln2, Margin: math.Log((1 - wrong) * others / wrong),
	}
	o.Gap = o.NLL - o.Bayes
	return o, nil
}

// coin is the entropy of a coin, in nats.
func coin(p float64) float64 {
	if p == 0 || p == 1 {
		return 0
	}
	return -p*math.Log(p) - (1-p)*math.Log1p(-p)
}

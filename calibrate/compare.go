package calibrate

import (
	"errors"
	"math/rand/v2"

	"github.com/ballast-ml/ballast/metric"
)

// Row is what a method does to examples that it was not fitted to.
type Row struct {
	Method       string  `json:"method"` // "none" is the outputs as they are
	Accuracy     float64 `json:"accuracy"`
	NLL          float64 `json:"nll"` // mean, in nats
	Brier        float64 `json:"brier"`
	ECE          float64 `json:"ece"` // 15 bins of equal width
	ECEMass      float64 `json:"ece_equal_mass"`
	ClasswiseECE float64 `json:"classwise_ece"`
	Saturated    bool    `json:"saturated,omitempty"` // of all examples: nothing is best, and the row is that of the outputs as they are
	Why          Without `json:"why,omitempty"`
}

// Unchanged is the name of the row of outputs as they are.
const Unchanged = "none"

// Compare holds methods beside each other: the examples are split into that many parts at random, those of CrossFit for the same seed, and
// each part is judged by what is fitted to the others. The first row is the outputs as they are. Where a fit has no optimum, its part
// is judged as it is. At least 2 parts and as many examples are needed.
func Compare(methods []Method, x Examples, folds int, seed uint64) ([]Row, error) {
	if folds < 2 || x.Len() < folds {
		return nil, errors.New("calibrate: Compare needs 2 parts or more, and an example in each")
	}
	list := make([]Row, len(methods)+1)
	var err error
	if list[0], err = measured(Unchanged, x.Logits, x); err != nil {
		return nil, err
	}
	for i, m := range methods {
		whole, err := m.Fit(x)
		if err != nil {
			return nil, err
		}
		after, err := CrossApply(m, x, folds, seed)
		if err != nil {
			return nil, err
		}
		if whole.Saturated {
			after = x.Logits
		}
		if list[i+1], err = measured(Name(m), after, x); err != nil {
			return nil, err
		}
		list[i+1].Saturated, list[i+1].Why = whole.Saturated, whole.Why
	}
	return list, nil
}

// CrossApply corrects each of so many parts of the examples by what is fitted to the others, and returns all logits in their order.
func CrossApply(m Method, x Examples, folds int, seed uint64) ([]float64, error) {
	if folds < 2 || x.Len() < folds {
		return nil, errors.New("calibrate: CrossApply needs 2 parts or more, and an example in each")
	}
	order := rand.New(rand.NewPCG(seed, 0xca11b)).Perm(x.Len())
	after := make([]float64, len(x.Logits))
	err := metric.Each(folds, func(fold int) error {
		rest, mine := split(order, folds, fold)
		fit, err := m.Fit(x.Take(rest))
		if err != nil {
			return err
		}
		part := x.Take(mine)
		if !fit.Saturated {
			if err := fit.Fitted.Apply(part.Logits); err != nil {
				return err
			}
		}
		for j, i := range mine {
			copy(after[i*x.Classes:], part.row(j))
		}
		return nil
	})
	return after, err
}

// Measured is the row of a fitted method on examples that it was not fitted to.
func Measured(name string, f Fitted, x Examples) (Row, error) {
	after := append([]float64(nil), x.Logits...)
	if err := f.Apply(after); err != nil {
		return Row{}, err
	}
	return measured(name, after, x)
}

func measured(name string, logits []float64, x Examples) (Row, error) {
	s, err := metric.Score(logits, x.Labels, x.Classes)
	if err != nil {
		return Row{}, err
	}
	r := Row{Method: name, Accuracy: s.Accuracy(), NLL: s.MeanNLL(), Brier: s.MeanBrier()}
	var errs [3]error
	r.ECE, errs[0] = s.ECE(metric.EqualWidth, metric.DefaultBins)
	r.ECEMass, errs[1] = s.ECE(metric.EqualMass, metric.DefaultBins)
	r.ClasswiseECE, errs[2] = metric.ClasswiseECE(logits, x.Labels, x.Classes, metric.DefaultBins)
	return r, errors.Join(errs[:]...)
}

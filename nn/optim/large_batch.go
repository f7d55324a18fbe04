package optim

import (
	"fmt"
	"math"
	"slices"
)

// Scaling says how the learning rate grows with the batch.
type Scaling string

// The rules: the paper's is ScaleSqrt, which keeps the covariance of the update, lr^2/batch x E[g g^T], as it was.
const (
	ScaleNone   Scaling = "none"
	ScaleSqrt   Scaling = "sqrt"
	ScaleLinear Scaling = "linear"
)

var scalings = []Scaling{ScaleNone, ScaleSqrt, ScaleLinear}

// ScaleLR is the learning rate for a batch of big examples when lr was found for small ones:
//
//	sqrt    lr sqrt(big/small)
//	linear  lr big/small
//	none    lr
//
// Errors if a batch is below 1 or the rule is unknown.
// Source: Hoffer, Hubara, Soudry, "Train longer, generalize better", arXiv 1705.08741, section 4.
func ScaleLR(lr float64, big, small int, rule Scaling) (float64, error) {
	if big < 1 || small < 1 {
		return 0, fmt.Errorf("optim: ScaleLR: batches are %d and %d; both must be at least 1", big, small)
	}
	ratio := float64(big) / float64(small)
	switch rule {
	case ScaleNone:
		return lr, nil
	case ScaleSqrt:
		return lr * math.Sqrt(ratio), nil
	case ScaleLinear:
		return lr * ratio, nil
	}
	return 0, fmt.Errorf("optim: ScaleLR: rule is %q; use none, sqrt or linear", rule)
}

// Drop is one entry of a regime: from Epoch on the learning rate is LR.
type Drop struct {
	Epoch int     `json:"epoch"`
	LR    float64 `json:"lr"`
}

// AdaptRegime makes training with big batches as long, in updates, as it was with small ones ("train longer"): the number
// of epochs and every epoch at which the learning rate changes are multiplied by
//
//	factor = ceil(big/small)
//
// Learning rates stay as they are; scale them with ScaleLR. The cost grows by the factor. The regime given is not changed.
// Errors if a batch is below 1.
// Source: Hoffer, Hubara, Soudry, arXiv 1705.08741, section 5; the ceil is the official code's.
func AdaptRegime(regime []Drop, epochs, big, small int) (adapted []Drop, adaptedEpochs int, err error) {
	factor, err := EpochFactor(big, small)
	if err != nil {
		return nil, 0, err
	}
	adapted = slices.Clone(regime)
	for i := range adapted {
		adapted[i].Epoch *= factor
	}
	return adapted, epochs * factor, nil
}

// EpochFactor is ceil(big/small), by which AdaptRegime multiplies. Errors if a batch is below 1.
func EpochFactor(big, small int) (int, error) {
	if big < 1 || small < 1 {
		return 0, fmt.Errorf("optim: EpochFactor: batches are %d and %d; both must be at least 1", big, small)
	}
	return 1 + (big-1)/small, nil // not of the sum of both, which may be beyond an int
}

package metric

import "fmt"

// Accuracy is the share of examples whose largest logit is the label's.
func (s *Scores) Accuracy() float64 {
	right := 0
	for i, label := range s.Labels {
		if s.Predicted[i] == label {
			right++
		}
	}
	return float64(right) / float64(len(s.Labels))
}

// MeanNLL is the mean negative log-likelihood of the labels, in nats: -(1/n) sum of ln p[label].
func (s *Scores) MeanNLL() float64 { return mean(s.NLL) }

// MeanConfidence is the mean probability of the predicted class.
func (s *Scores) MeanConfidence() float64 { return mean(s.Confidence) }

// MeanBrier is the Brier score, (1/n) sum over examples and classes of (p - 1[class is the label])^2, in [0, 2]. Some tools
// divide it by the number of classes, or for two classes take one of them alone, which halves it.
func (s *Scores) MeanBrier() float64 { return mean(s.Brier) }

// Confusion counts examples: Confusion()[label][predicted].
func (s *Scores) Confusion() [][]int {
	counts := make([][]int, s.Classes)
	for i := range counts {
		counts[i] = make([]int, s.Classes)
	}
	for i, label := range s.Labels {
		counts[label][s.Predicted[i]]++
	}
	return counts
}

// Accuracy is the share of predictions that are the label.
func Accuracy[P, L Label](predicted []P, labels []L) (float64, error) {
	if len(labels) == 0 || len(predicted) != len(labels) {
		return 0, fmt.Errorf("metric: Accuracy: %d predictions for %d labels; want as many, and at least 1", len(predicted), len(labels))
	}
	right := 0
	for i, label := range labels {
		if int64(predicted[i]) == int64(label) {
			right++
		}
	}
	return float64(right) / float64(len(labels)), nil
}

// TopK is the share of examples whose label is among the k largest logits; a logit as large as the label's counts before it
// if its class number is smaller.
func TopK[F Float, L Label](logits []F, labels []L, classes, k int) (float64, error) {
	if err := check(len(logits), len(labels), classes); err != nil {
		return 0, err
	}
	if k < 1 || k > classes {
		return 0, fmt.Errorf("metric: TopK: k is %d; use 1 to %d", k, classes)
	}
	within := 0
	for i, l := range labels {
		label := int(l)
		if label < 0 || label >= classes {
			return 0, fmt.Errorf("metric: label of example %d is %d, outside 0 to %d", i, label, classes-1)
		}
		row := logits[i*classes : (i+1)*classes]
		before := 0
		for c, z := range row {
			if z != z { //nolint:gocritic // NaN is what is looked for
				return 0, fmt.Errorf("metric: example %d: the logit of class %d is NaN; logits must be finite", i, c)
			}
			if z > row[label] || z == row[label] && c < label {
				before++
			}
		}
		if before < k {
			within++
		}
	}
	return float64(within) / float64(len(labels)), nil
}

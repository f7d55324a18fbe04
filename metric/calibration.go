package metric

import (
	"fmt"
	"math"
	"slices"
)

// Bin is a group of examples of similar confidence.
type Bin struct {
	Low        float64 `json:"low"`  // confidences in (Low, High]; the first bin of equal width holds 0 too
	High       float64 `json:"high"` //
	Count      int     `json:"count"`
	Confidence float64 `json:"confidence"` // mean; 0 if the bin is empty
	Accuracy   float64 `json:"accuracy"`   // share of right predictions; 0 if empty
}

// Binning is a way to group examples by confidence.
type Binning string

// The binnings. EqualWidth is the common one; EqualMass puts as many examples into each bin and is not fooled by bins that
// hold few (Nixon et al., arXiv 1904.01685).
const (
	EqualWidth Binning = "equal-width"
	EqualMass  Binning = "equal-mass"
)

// DefaultBins is the usual number of bins.
const DefaultBins = 15

// Reliability is the reliability curve: the bins of the confidence in the predicted class, in ascending order. Bins of equal
// width are ((b-1)/bins, b/bins]; bins of equal mass split the examples, sorted by confidence, into runs whose lengths differ
// by at most one, equal confidences in the order of the examples.
func (s *Scores) Reliability(binning Binning, bins int) ([]Bin, error) {
	right := make([]bool, len(s.Labels))
	for i, label := range s.Labels {
		right[i] = s.Predicted[i] == label
	}
	return reliability(s.Confidence, right, binning, bins)
}

// ECE is the expected calibration error, sum over bins of (count/n) |accuracy - mean confidence|.
func (s *Scores) ECE(binning Binning, bins int) (float64, error) {
	curve, err := s.Reliability(binning, bins)
	if err != nil {
		return 0, err
	}
	return ece(curve, len(s.Labels)), nil
}

// MCE is the maximum calibration error, the largest |accuracy - mean confidence| of a bin that is not empty.
func (s *Scores) MCE(binning Binning, bins int) (float64, error) {
	curve, err := s.Reliability(binning, bins)
	if err != nil {
		return 0, err
	}
	worst := 0.0
	for _, b := range curve {
		if b.Count > 0 {
			worst = max(worst, math.Abs(b.Accuracy-b.Confidence))
		}
	}
	return worst, nil
}

// ClasswiseECE is the mean over classes of the ECE of that class's probability against whether it is the label, with bins of
// equal width. It sees every probability, where ECE sees the largest alone.
func ClasswiseECE[F Float, L Label](logits []F, labels []L, classes, bins int) (float64, error) {
	if err := check(len(logits), len(labels), classes); err != nil {
		return 0, err
	}
	if bins < 1 {
		return 0, fmt.Errorf("metric: %d bins; use at least 1, commonly %d", bins, DefaultBins)
	}
	// For each block, class and bin: the number of examples, the sum of probabilities, the number of labels. Only
	// the difference of the last two is needed.
	blocks := (len(labels) + BlockRows - 1) / BlockRows
	gaps := make([][]float64, blocks)
	err := Blocks(len(labels), func(from, to int) error {
		p := make([]float64, classes)
		gap := make([]float64, classes*bins)
		for i := from; i < to; i++ {
			label := int(labels[i])
			if label < 0 || label >= classes {
				return fmt.Errorf("metric: label of example %d is %d, outside 0 to %d", i, label, classes-1)
			}
			row := logits[i*classes : (i+1)*classes]
			_, _, err := softmax(row, p)
			if err == nil {
				err = possible(row, label)
			}
			if err != nil {
				return fmt.Errorf("metric: example %d: %w", i, err)
			}
			for c, v := range p {
				gap[c*bins+binOf(v, bins)] += v
			}
			gap[label*bins+binOf(p[label], bins)]--
		}
		gaps[from/BlockRows] = gap
		return nil
	})
	if err != nil {
		return 0, err
	}
	total := make([]float64, classes*bins)
	for _, gap := range gaps {
		for j, g := range gap {
			total[j] += g
		}
	}
	sum := 0.0
	for _, g := range total {
		sum += math.Abs(g)
	}
	return sum / float64(len(labels)) / float64(classes), nil
}

// ECE is Scores.ECE for confidences and whether each prediction was right, as other tools give them.
func ECE(confidence []float64, right []bool, binning Binning, bins int) (float64, error) {
	curve, err := reliability(confidence, right, binning, bins)
	if err != nil {
		return 0, err
	}
	return ece(curve, len(confidence)), nil
}

func ece(curve []Bin, n int) float64 {
	sum := 0.0
	for _, b := range curve {
		sum += float64(b.Count) * math.Abs(b.Accuracy-b.Confidence)
	}
	return sum / float64(n)
}

func reliability(confidence []float64, right []bool, binning Binning, bins int) ([]Bin, error) {
	n := len(confidence)
	if n == 0 || n != len(right) {
		return nil, fmt.Errorf("metric: %d confidences for %d predictions; want as many, and at least 1", n, len(right))
	}
	if bins < 1 {
		return nil, fmt.Errorf("metric: %d bins; use at least 1, commonly %d", bins, DefaultBins)
	}
	for i, c := range confidence {
		if !(c >= 0 && c <= 1) {
			return nil, fmt.Errorf("metric: confidence of example %d is %v; it must be in [0,1]", i, c)
		}
	}
	curve := make([]Bin, bins)
	switch binning {
	case EqualWidth:
		for b := range curve {
			curve[b].Low, curve[b].High = float64(b)/float64(bins), float64(b+1)/float64(bins)
		}
		for i, c := range confidence {
			curve[binOf(c, bins)].add(c, right[i])
		}
	case EqualMass:
		order := make([]int32, n)
		for i := range order {
			order[i] = int32(i)
		}
		slices.SortStableFunc(order, func(a, b int32) int {
			switch ca, cb := confidence[a], confidence[b]; {
			case ca < cb:
				return -1
			case ca > cb:
				return 1
			}
			return 0
		})
		for b := range curve {
			run := order[b*n/bins : (b+1)*n/bins]
			if len(run) == 0 {
				continue
			}
			curve[b].Low, curve[b].High = confidence[run[0]], confidence[run[len(run)-1]]
			for _, i := range run {
				curve[b].add(confidence[i], right[i])
			}
		}
	default:
		return nil, fmt.Errorf("metric: no binning %q; use %s or %s", binning, EqualWidth, EqualMass)
	}
	for b := range curve {
		if count := float64(curve[b].Count); count > 0 {
			curve[b].Confidence /= count
			curve[b].Accuracy /= count
		}
	}
	return curve, nil
}

func (b *Bin) add(confidence float64, right bool) {
	b.Count++
	b.Confidence += confidence
	if right {
		b.Accuracy++
	}
}

// binOf is the bin ((b-1)/bins, b/bins] of a confidence in [0,1].
func binOf(c float64, bins int) int {
	b := min(max(int(math.Ceil(c*float64(bins)))-1, 0), bins-1)
	// The product above rounds: the edges, computed as the curve shows them, decide.
	if b > 0 && c <= float64(b)/float64(bins) {
		b--
	} else if b < bins-1 && c > float64(b+1)/float64(bins) {
		b++
	}
	return b
}

package metric

import (
	"fmt"
	"math"
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
// hold few (Nixon et al., arXiv 1904.01685). EqualGroups is EqualMass where the first groups are the larger ones, as numpy splits.
// Quantiles has the edges that the code of several papers interpolates between the sorted confidences, and like that code leaves the example
// of the lowest confidence out: see AECE.
const (
	EqualWidth  Binning = "equal-width"
	EqualMass   Binning = "equal-mass"
	EqualGroups Binning = "equal-groups"
	Quantiles   Binning = "quantiles"
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

// OE is the overconfidence error, sum over bins of (count/n) confidence max(0, confidence - accuracy), bins of equal width: being too sure
// costs, the more the surer. Source: Thulasidasan et al., "On Mixup Training", arXiv 1905.11001.
func (s *Scores) OE(bins int) (float64, error) { return s.oneSided(bins, 1) }

// UE is the underconfidence error, sum over bins of (count/n) confidence max(0, accuracy - confidence), as Noh et al., arXiv 2308.11990, count
// it beside OE.
func (s *Scores) UE(bins int) (float64, error) { return s.oneSided(bins, -1) }

func (s *Scores) oneSided(bins int, sign float64) (float64, error) {
	curve, err := s.Reliability(EqualWidth, bins)
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for _, b := range curve {
		sum += float64(b.Count) * b.Confidence * max(0, sign*(b.Confidence-b.Accuracy))
	}
	return sum / float64(len(s.Labels)), nil
}

// AECE is the adaptive ECE, that of bins of equally many examples. binning is EqualGroups, the definition, or Quantiles, what the code of Noh et
// al., arXiv 2308.11990, and of others computes. EqualMass differs from EqualGroups where n is no multiple of the bins, in which groups are
// one larger; ECE(EqualMass, bins) stays what it was.
func (s *Scores) AECE(binning Binning, bins int) (float64, error) {
	if binning == EqualWidth {
		return 0, fmt.Errorf("metric: AECE with bins of equal width is ECE; use %s, %s or %s", EqualGroups, Quantiles, EqualMass)
	}
	return s.ECE(binning, bins)
}

// ACE is the average calibration error, the mean of |accuracy - confidence| over the bins that are not empty, and RMSCE the root of the mean
// square over the examples, sqrt(sum over bins of (count/n) (accuracy - confidence)^2).
func (s *Scores) ACE(binning Binning, bins int) (float64, error) {
	curve, err := s.Reliability(binning, bins)
	if err != nil {
		return 0, err
	}
	sum, filled := 0.0, 0
	for _, b := range curve {
		if b.Count > 0 {
			sum, filled = sum+math.Abs(b.Accuracy-b.Confidence), filled+1
		}
	}
	return sum / float64(max(filled, 1)), nil
}

// RMSCE is the root mean square calibration error: see ACE.
func (s *Scores) RMSCE(binning Binning, bins int) (float64, error) {
	curve, err := s.Reliability(binning, bins)
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for _, b := range curve {
		sum += float64(b.Count) * (b.Accuracy - b.Confidence) * (b.Accuracy - b.Confidence)
	}
	return math.Sqrt(sum / float64(len(s.Labels))), nil
}

// ClasswiseECE is the mean over classes of the ECE of that class's probability against whether it is the label, with bins of
// equal width. It sees every probability, where ECE sees the largest alone. Papers also call it CECE or static calibration error.
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
	case EqualMass, EqualGroups:
		order := ascending(confidence)
		for b := range curve {
			from, to := b*n/bins, (b+1)*n/bins
			if binning == EqualGroups {
				from, to = b*(n/bins)+min(b, n%bins), (b+1)*(n/bins)+min(b+1, n%bins)
			}
			run := order[from:to]
			if len(run) == 0 {
				continue
			}
			curve[b].Low, curve[b].High = confidence[run[0]], confidence[run[len(run)-1]]
			for _, i := range run {
				curve[b].add(confidence[i], right[i])
			}
		}
	case Quantiles:
		quantiles(curve, confidence, right)
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

// quantiles fills bins (edge, next edge], whose edges are the sorted confidences at places 0, n/bins, 2n/bins ... n of 0 to n-1, on the line
// between two where a place is none, and the last beyond them.
func quantiles(curve []Bin, confidence []float64, right []bool) {
	order := ascending(confidence)
	n, bins := len(order), len(curve)
	at := func(b int) float64 {
		place := float64(b) * float64(n) / float64(bins)
		low := int(place)
		if low >= n-1 {
			return confidence[order[n-1]]
		}
		from, to := confidence[order[low]], confidence[order[low+1]]
		return from + (place-float64(low))*(to-from)
	}
	for b := range curve {
		curve[b].Low, curve[b].High = at(b), at(b+1)
	}
	b := 0
	for _, i := range order {
		c := confidence[i]
		for b < bins && c > curve[b].High {
			b++
		}
		if b < bins && c > curve[b].Low {
			curve[b].add(c, right[i])
		}
	}
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

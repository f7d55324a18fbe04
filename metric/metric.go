// Package metric computes metrics from outputs and labels. It takes slices and returns numbers, without an engine.
//
// Most metrics begin with Score, which reads the outputs once:
//
//	scores, err := metric.Score(logits, labels, 10)              // of 10 classes
//	accuracy, nll := scores.Accuracy(), scores.MeanNLL()
//	ece, err := scores.ECE(metric.EqualWidth, metric.DefaultBins)
//
//	metric         over                       range, best        source
//	Accuracy       predictions                [0,1], 1
//	TopK           the k largest outputs      [0,1], 1
//	MeanNLL        probability of the label   [0,inf), 0 nats
//	MeanBrier      all probabilities          [0,2], 0           Brier 1950
//	ECE            the largest probability    [0,1], 0           Guo et al., arXiv 1706.04599
//	MCE            the largest probability    [0,1], 0           the same
//	ClasswiseECE   every probability          [0,1], 0           Kull et al., arXiv 1910.12656
//	AECE           the largest probability    [0,1], 0           Nixon et al., arXiv 1904.01685
//	ACE, RMSCE     the largest probability    [0,1], 0           Neumann et al. 2018; Hendrycks et al., arXiv 1812.04606
//	OE, UE         the largest probability    [0,1], 0           Thulasidasan et al., arXiv 1905.11001; Noh et al., arXiv 2308.11990
//	Retrieve       the angles of vectors      [0,1], 1           Musgrave et al., arXiv 2003.08505
//	OPIS           distances of vectors       [0,1], 0           Zhang et al., arXiv 2307.04047
//	Utilization    distances of vectors       [0,4], 0           Venkataramanan et al., arXiv 2106.04990
//	Alignment      distances of vectors       [0,4], 0           Wang, Isola, arXiv 2005.10242
//	Uniformity     distances of vectors       (-inf,0], low      the same
//	Shots          predictions, by class      [0,1], 1           Liu et al., arXiv 1904.05160
//	CorruptionErrors  errors by severity      [0,inf), 0         Hendrycks, Dietterich, arXiv 1903.12261
//
// Accuracy, MeanNLL, MeanBrier and the errors from ECE to UE, but ClasswiseECE, are methods of Scores; Accuracy and ECE are functions too, for predictions and confidences
// that come from elsewhere. TopK and all below it are functions.
//
// A Number is a result with its direction and unit. A Measure accumulates batches into the metrics of a task, for a run's log; metrics
// that need all outputs at once are functions.
//
// Outputs are logits [examples, classes], row after row, of float32 or float64; probabilities are their softmax, computed in
// float64 without overflow. A logit of -Inf excludes its class. Labels are class numbers. Empty input, a length that does not
// fit, a label outside the classes or of an excluded class, a row without a finite logit, NaN and +Inf are errors that
// name the example. Sums run over fixed blocks of rows, so a result does not depend on the number of processors.
package metric

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
)

// Float is the type of an output.
type Float interface{ ~float32 | ~float64 }

// Label is the type of a label.
type Label interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32
}

// Scores is what one pass over the logits yields, per example. The other metrics are cheap sums over it.
type Scores struct {
	Classes    int
	Labels     []int32
	Predicted  []int32   // class of the largest logit; the first one if several are as large
	Confidence []float64 // its probability
	NLL        []float64 // -ln of the label's probability, in nats
	Brier      []float64 // sum over classes of (probability - 1[class is the label])^2
}

// BlockRows is the number of rows that Blocks hands out in one go, whatever the number of processors.
const BlockRows = 4096

// Score computes the softmax of every row once.
func Score[F Float, L Label](logits []F, labels []L, classes int) (*Scores, error) {
	if err := check(len(logits), len(labels), classes); err != nil {
		return nil, err
	}
	n := len(labels)
	s := &Scores{
		Classes: classes, Labels: make([]int32, n), Predicted: make([]int32, n),
		Confidence: make([]float64, n), NLL: make([]float64, n), Brier: make([]float64, n),
	}
	err := Blocks(n, func(from, to int) error {
		p := make([]float64, classes)
		for i := from; i < to; i++ {
			label := int(labels[i])
			if label < 0 || label >= classes {
				return fmt.Errorf("metric: label of example %d is %d, outside 0 to %d", i, labels[i], classes-1)
			}
			row := logits[i*classes : (i+1)*classes]
			best, logSum, err := softmax(row, p)
			if err == nil {
				err = possible(row, label)
			}
			if err != nil {
				return fmt.Errorf("metric: example %d: %w", i, err)
			}
			s.Labels[i], s.Predicted[i], s.Confidence[i] = int32(label), int32(best), p[best]
			s.NLL[i] = logSum - (float64(row[label]) - float64(row[best]))
			sum := 0.0
			for _, v := range p {
				sum += v * v
			}
			s.Brier[i] = sum - 2*p[label] + 1
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// possible refuses a label whose class the model rules out: its NLL is infinite, and so is every mean with it.
func possible[F Float](row []F, label int) error {
	if math.IsInf(float64(row[label]), -1) {
		return fmt.Errorf("the logit of class %d is -Inf, and it is the label's; its NLL is infinite", label)
	}
	return nil
}

// softmax writes the probabilities of a row to p and returns the largest entry's place and the logarithm of the sum of exp(z - largest):
// the largest is left out of it, since beside one of 1e8 the sum would be lost in rounding.
func softmax[F Float](row []F, p []float64) (best int, logSum float64, err error) {
	for k, z := range row {
		if v := float64(z); math.IsNaN(v) || math.IsInf(v, 1) {
			return 0, 0, fmt.Errorf("the logit of class %d is %v; logits must be finite, or -Inf for a class that is ruled out", k, z)
		}
		if z > row[best] {
			best = k
		}
	}
	if math.IsInf(float64(row[best]), -1) {
		return 0, 0, errors.New("all logits are -Inf; one must be finite")
	}
	top, sum := float64(row[best]), 0.0
	for k, z := range row {
		p[k] = math.Exp(float64(z) - top)
		sum += p[k]
	}
	for k := range p {
		p[k] /= sum
	}
	return best, math.Log(sum), nil
}

func check(logits, labels, classes int) error {
	switch {
	case labels == 0:
		return errors.New("metric: no examples")
	case classes < 2:
		return fmt.Errorf("metric: %d classes; there must be at least 2", classes)
	case logits != labels*classes:
		return fmt.Errorf("metric: %d outputs for %d labels and %d classes; want %d", logits, labels, classes, labels*classes)
	}
	return nil
}

// Blocks runs f over [0, n) in blocks of fixed size on all processors. It returns the error of the earliest block.
func Blocks(n int, f func(from, to int) error) error { return inBlocks(n, BlockRows, f) }

// Each calls f for 0 to n-1, each on its own, on all processors. It returns the error of the earliest.
func Each(n int, f func(i int) error) error {
	return inBlocks(n, 1, func(from, _ int) error { return f(from) })
}

// inBlocks is Blocks with blocks of another size.
func inBlocks(n, rows int, f func(from, to int) error) error {
	blocks := (n + rows - 1) / rows
	errs := make([]error, blocks)
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), blocks) {
		wg.Go(func() {
			for b := range next {
				errs[b] = f(b*rows, min((b+1)*rows, n))
			}
		})
	}
	for b := range blocks {
		next <- b
	}
	close(next)
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// mean sums block by block, so that rounding does not grow with the number of examples.
func mean(values []float64) float64 {
	total := 0.0
	for from := 0; from < len(values); from += BlockRows {
		part := 0.0
		for _, v := range values[from:min(from+BlockRows, len(values))] {
			part += v
		}
		total += part
	}
	return total / float64(len(values))
}

// Softmax returns the probabilities of every row of logits [examples, classes], in float64.
func Softmax[F Float](logits []F, classes int) ([]float64, error) {
	if classes < 2 || len(logits) == 0 || len(logits)%classes != 0 {
		return nil, fmt.Errorf("metric: Softmax: %d logits are not whole rows of %d classes", len(logits), classes)
	}
	p := make([]float64, len(logits))
	for i := 0; i < len(logits); i += classes {
		if _, _, err := softmax(logits[i:i+classes], p[i:i+classes]); err != nil {
			return nil, fmt.Errorf("metric: example %d: %w", i/classes, err)
		}
	}
	return p, nil
}

package metric

import (
	"fmt"
	"math"
)

// Language measures how well a language model foretells tokens. Every token that counts weighs alike.
type Language struct {
	Vocabulary int // at least 2

	right, seen int
	nll         float64
}

var _ Measure = (*Language)(nil)

// Add takes logits [n, time, Vocabulary] and, for each of them, the token that came, [n, time]; -1 marks a token that does not count.
func (l *Language) Add(out []float32, labels []int32, _ []float32) error {
	if len(out) != len(labels)*l.Vocabulary {
		return fmt.Errorf("metric: %d logits for %d tokens of a vocabulary of %d; want %d", len(out), len(labels), l.Vocabulary, len(labels)*l.Vocabulary)
	}
	p := make([]float64, l.Vocabulary)
	right, seen, nll := 0, 0, 0.0
	for i, token := range labels {
		if token == -1 {
			continue
		}
		if token < 0 || int(token) >= l.Vocabulary {
			return fmt.Errorf("metric: token %d is %d, outside 0 to %d", i, token, l.Vocabulary-1)
		}
		row := out[i*l.Vocabulary : (i+1)*l.Vocabulary]
		best, logSum, err := softmax(row, p)
		if err == nil {
			err = possible(row, int(token))
		}
		if err != nil {
			return fmt.Errorf("metric: token %d: %w", i, err)
		}
		if best == int(token) {
			right++
		}
		nll += logSum - (float64(row[token]) - float64(row[best]))
		seen++
	}

	l.right, l.seen, l.nll = l.right+right, l.seen+seen, l.nll+nll
	return nil
}

// Numbers are the mean negative log-likelihood of a token, its exponential, and the share of tokens that were the likeliest.
func (l *Language) Numbers() []Number {
	seen := float64(l.seen) // 0/0 is NaN
	return []Number{
		{Name: "nll", Title: "NLL", Value: l.nll / seen, Better: Lower, Unit: Nats},
		{Name: "perplexity", Value: math.Exp(l.nll / seen), Better: Lower},
		{Name: "accuracy", Value: float64(l.right) / seen, Better: Higher, Unit: Share},
	}
}

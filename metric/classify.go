package metric

// Classification measures how often and how surely a classifier is right. Sums run in the order of the examples.
type Classification struct {
	Classes int // at least 2

	right, seen int
	nll         float64
}

var _ Measure = (*Classification)(nil)

// Add takes logits [n, Classes] and labels [n].
func (c *Classification) Add(out []float32, labels []int32, _ []float32) error {
	scores, err := Score(out, labels, c.Classes)
	if err != nil {
		return err
	}

	for i, predicted := range scores.Predicted {
		if predicted == scores.Labels[i] {
			c.right++
		}
		c.nll += scores.NLL[i]
	}
	c.seen += len(labels)
	return nil
}

// Numbers are the share of right answers and the mean negative log-likelihood of the labels.
func (c *Classification) Numbers() []Number {
	seen := float64(c.seen) // 0/0 is NaN
	return []Number{
		{Name: "accuracy", Value: float64(c.right) / seen, Better: Higher, Unit: Share},
		{Name: "nll", Title: "NLL", Value: c.nll / seen, Better: Lower, Unit: Nats},
	}
}

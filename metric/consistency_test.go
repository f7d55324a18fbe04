package metric_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/ballast-ml/ballast/metric"
)

// TestConsistentLaws: what holds of all answers.
func TestConsistentLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, shifts := rapid.IntRange(1, 20).Draw(t, "n"), rapid.IntRange(1, 8).Draw(t, "shifts")
		class := rapid.Int32Range(0, 2)
		labels := rapid.SliceOfN(class, n, n).Draw(t, "labels")
		answers := rapid.SliceOfN(class, n*(1+shifts), n*(1+shifts)).Draw(t, "answers")
		c, err := metric.Consistent(answers, labels, shifts)
		if err != nil {
			t.Fatal(err)
		}
		if c.Robust > c.Consistency+1e-12 || c.WorstAccuracy > min(c.Robust, c.Accuracy)+1e-12 || c.Fooled != 1-c.Robust {
			t.Fatalf("%+v", c)
		}
		mean := 0.0
		for _, share := range c.ByShift {
			mean += share / float64(shifts)
		}
		if d := mean - c.Consistency; d > 1e-9 || d < -1e-9 {
			t.Fatalf("the mean over shifts is %v, of all pairs %v", mean, c.Consistency)
		}

		still := make([]int32, 0, len(answers))
		for i := range n {
			for range 1 + shifts {
				still = append(still, answers[i*(1+shifts)])
			}
		}
		if c, _ = metric.Consistent(still, labels, shifts); c.Consistency != 1 || c.Fooled != 0 || c.WorstAccuracy != c.Accuracy {
			t.Fatalf("answers that do not move: %+v", c)
		}
	})
}

func TestConsistentRefuses(t *testing.T) {
	for _, c := range []struct {
		answers, labels []int32
		shifts          int
	}{{nil, nil, 1}, {[]int32{1}, []int32{1}, 0}, {[]int32{1, 1, 1}, []int32{1}, 1}} {
		if _, err := metric.Consistent(c.answers, c.labels, c.shifts); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}

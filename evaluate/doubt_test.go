package evaluate

import (
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/metric"
)

// answersFor are scores whose predictions are those of a function of the label and the place.
func answersFor(t *testing.T, n, classes int, answer func(label, i int) int) *metric.Scores {
	t.Helper()
	logits, labels := make([]float32, n*classes), make([]int32, n)
	for i := range n {
		labels[i] = int32(i % classes)
		logits[i*classes+answer(i%classes, i)] = 3
	}
	s, err := metric.Score(logits, labels, classes)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestDoubts: what looks like a model taken for what it is not is noted with what to try, and nothing else is.
func TestDoubts(t *testing.T) {
	classes := []string{"ant", "bee", "cat", "dog"}
	try := []string{"--preprocess 0-1", "--preprocess clip"}
	for _, c := range []struct {
		name   string
		n      int
		answer func(label, i int) int
		want   []string // of each note
	}{
		{"right", 80, func(l, _ int) int { return l }, nil},
		{"half right", 80, func(l, i int) int { return (l + i/4%2) % 4 }, nil},
		{"chance", 80, func(_, i int) int { return i * 7 / 5 % 4 }, []string{"near chance (25.0 %): the model was probably taken for what it is not; try --preprocess 0-1, or --preprocess clip"}},
		{"one class", 80, func(int, int) int { return 2 }, []string{"near chance", "100.0 % of the answers are cat, which 25.0 % of the examples are"}},
		{"another order", 80, func(l, _ int) int { return (l + 1) % 4 }, []string{"would be 100.0 % if each output had the name of the class that it is mostly given to"}},
		{"few", 8, func(int, int) int { return 2 }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := doubts(answersFor(t, c.n, 4, c.answer), classes, try)
			if len(got) != len(c.want) {
				t.Fatalf("got %q; want %d", got, len(c.want))
			}
			for i, want := range c.want {
				if !strings.Contains(got[i], want) {
					t.Errorf("got %q; want %q", got[i], want)
				}
			}
		})
	}
	got := doubts(answersFor(t, 80, 4, func(_, i int) int { return i * 7 / 5 % 4 }), classes, nil)
	if len(got) != 1 || !strings.Contains(got[0], "see whether the labels are those of these examples") {
		t.Errorf("without flags: %q", got)
	}
}

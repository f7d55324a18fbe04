package loss_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/nn/loss"
)

// TestSuspects: the class of the average against the label, the surest first, and nothing of what was never seen.
func TestSuspects(t *testing.T) {
	averages := []float32{0.1, 0.3, 0.3, 0.1, 0, 0, 0.5, 0, 0.2, 0.6, 9, 9}
	labels := []int32{0, 0, 1, 1, 0}
	got, err := loss.Suspects(averages, 2, labels)
	if err != nil || len(got) != 3 {
		t.Fatalf("got %v (%v), want three", got, err)
	}
	for i, want := range []loss.Suspect{{3, 1, 0, 1}, {0, 0, 1, 0.75}, {4, 0, 1, 0.75}} {
		s := got[i]
		if s.Index != want.Index || s.Label != want.Label || s.Suggested != want.Suggested || s.Confidence < want.Confidence-1e-6 ||
			s.Confidence > want.Confidence+1e-6 {
			t.Errorf("suspect %d is %+v, want %+v", i, s, want)
		}
	}
	if _, err := loss.Suspects(averages, 2, make([]int32, 7)); err == nil || !strings.Contains(err.Error(), "want a row of each example") {
		t.Errorf("more labels than rows: %v", err)
	}

	// Example 3 is wrong and corrected, 0 is right, 1 is wrong and not found, 4 is wrong and would not become right.
	d, err := loss.Detect(got, labels, []int32{0, 1, 1, 0, 2})
	if err != nil || d != (loss.Detection{Suspects: 3, Wrong: 3, Both: 2, Corrected: 1}) {
		t.Errorf("got %+v (%v)", d, err)
	}
	precision, ok := d.Precision()
	recall, found := d.Recall()
	if precision != 2.0/3 || recall != 2.0/3 || !ok || !found {
		t.Errorf("precision %v, recall %v", precision, recall)
	}
	if _, ok := (loss.Detection{}).Precision(); ok {
		t.Error("there is a precision of no suspects")
	}
	for want, truth := range map[string][]int32{"want one of each": {0}, "a suspect is example 3": {0, 0}} {
		if _, err := loss.Detect(got, labels[:min(2, len(labels))], truth); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestWriteSuspects(t *testing.T) {
	var b strings.Builder
	suspects := []loss.Suspect{{Index: 2, Label: 1, Suggested: 0, Confidence: 2.0 / 3}, {Index: 0, Label: 0, Suggested: 2, Confidence: 0.5}}
	places := []int{7, 8, 9}
	if err := loss.WriteSuspects(&b, suspects, []string{"cat, or lynx", "dog"}, func(i int) int { return places[i] }); err != nil {
		t.Fatal(err)
	}
	want := []string{"index,label,suggested,confidence", `9,dog,"cat, or lynx",0.666667`, `7,"cat, or lynx",2,0.5`, ""}
	if got := strings.Split(b.String(), "\n"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

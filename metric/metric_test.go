package metric_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ballast-ml/ballast/metric"
)

// By hand: softmax of (ln 3, 0) is (0.75, 0.25), of (0, 0) is (0.5, 0.5).
func TestByHand(t *testing.T) {
	ln3 := math.Log(3)
	logits := []float64{ln3, 0, ln3, 0, 0, 0, 0, ln3}
	labels := []int{0, 1, 0, 1}
	s, err := metric.Score(logits, labels, 2)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ got, want float64 }{
		"accuracy": {s.Accuracy(), 0.75}, // a tie goes to the first class
		"NLL":      {s.MeanNLL(), (-2*math.Log(0.75) - math.Log(0.25) - math.Log(0.5)) / 4},
		"Brier":    {s.MeanBrier(), (2*0.125 + 1.125 + 0.5) / 4},
	} {
		if math.Abs(c.got-c.want) > 1e-15 {
			t.Errorf("%s is %v, want %v", name, c.got, c.want)
		}
	}
	// Two bins of equal width: (0, 0.5] has the tie, right; (0.5, 1] three of 0.75, two right.
	ece, err := s.ECE(metric.EqualWidth, 2)
	if want := 0.25*0.5 + 0.75*math.Abs(2.0/3-0.75); err != nil || math.Abs(ece-want) > 1e-15 {
		t.Errorf("ECE is %v, %v; want %v", ece, err, want)
	}
	mce, err := s.MCE(metric.EqualWidth, 2)
	if err != nil || math.Abs(mce-0.5) > 1e-15 {
		t.Errorf("MCE is %v, %v; want 0.5", mce, err)
	}
	if got := fmt.Sprint(s.Confusion()); got != "[[2 0] [1 1]]" {
		t.Errorf("confusion is %s", got)
	}
	if top, err := metric.TopK(logits, labels, 2, 2); err != nil || top != 1 {
		t.Errorf("top 2 is %v, %v", top, err)
	}
	if top, err := metric.TopK(logits, labels, 2, 1); err != nil || top != 0.75 {
		t.Errorf("top 1 is %v, %v", top, err)
	}
	// Class 0 in bins (0, 0.5] and (0.5, 1]: probabilities 0.5, 0.25 with one label, 0.75 twice with one: gaps 0.25 and 0.5.
	// Class 1: 0.25, 0.25, 0.5 with one label, 0.75 with one: gaps 0 and 0.25.
	cw, err := metric.ClasswiseECE(logits, labels, 2, 2)
	if want := (0.75 + 0.25) / 4 / 2; err != nil || math.Abs(cw-want) > 1e-15 {
		t.Errorf("classwise ECE is %v, %v; want %v", cw, err, want)
	}
}

func TestBinEdges(t *testing.T) {
	for _, c := range []struct {
		confidence float64
		bins, want int
	}{{0, 15, 0}, {1, 15, 14}, {1.0 / 15, 15, 0}, {math.Nextafter(1.0/15, 1), 15, 1}, {0.6, 5, 2}, {7.0 / 15, 15, 6}, {0.3, 10, 2}, {1e-300, 10, 0}} {
		curve, err := func() ([]metric.Bin, error) {
			s := &metric.Scores{Classes: 2, Labels: []int32{0}, Predicted: []int32{0}, Confidence: []float64{c.confidence}}
			return s.Reliability(metric.EqualWidth, c.bins)
		}()
		if err != nil {
			t.Fatal(err)
		}
		for b, bin := range curve {
			if (bin.Count == 1) != (b == c.want) {
				t.Errorf("confidence %v of %d bins is in bin %d (%v, %v], want bin %d", c.confidence, c.bins, b, bin.Low, bin.High, c.want)
			}
		}
	}
}

// TestAgainstPlainLoops compares with sums written out, on inputs of every size and scale.
func TestAgainstPlainLoops(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, classes, bins := rapid.IntRange(1, 200).Draw(t, "n"), rapid.IntRange(2, 12).Draw(t, "classes"), rapid.IntRange(1, 20).Draw(t, "bins")
		scale := rapid.SampledFrom([]float64{1e-3, 1, 30, 1e4}).Draw(t, "scale")
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		logits, labels := make([]float64, n*classes), make([]int, n)
		for i := range logits {
			logits[i] = scale * r.NormFloat64()
		}
		for i := range labels {
			labels[i] = r.IntN(classes)
		}
		s, err := metric.Score(logits, labels, classes)
		if err != nil {
			t.Fatal(err)
		}
		count, right, sum := make([]float64, bins), make([]float64, bins), make([]float64, bins)
		var nll, brier, accuracy float64
		for i, label := range labels {
			row := logits[i*classes : (i+1)*classes]
			best, total := 0, 0.0
			for k, z := range row {
				if z > row[best] {
					best = k
				}
			}
			for _, z := range row {
				total += math.Exp(z - row[best])
			}
			for k, z := range row {
				p, target := math.Exp(z-row[best])/total, 0.0
				if k == label {
					target = 1
				}
				brier += (p - target) * (p - target)
			}
			nll += math.Log(total) + row[best] - row[label]
			confidence := 1 / total
			b := 0
			for b < bins-1 && confidence > float64(b+1)/float64(bins) {
				b++
			}
			count[b]++
			sum[b] += confidence
			if best == label {
				right[b]++
				accuracy++
			}
		}
		ece := 0.0
		for b := range count {
			ece += math.Abs(right[b]-sum[b]) / float64(n)
		}
		got, err := s.ECE(metric.EqualWidth, bins)
		if err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string][2]float64{
			"NLL": {s.MeanNLL(), nll / float64(n)}, "Brier": {s.MeanBrier(), brier / float64(n)}, "accuracy": {s.Accuracy(), accuracy / float64(n)}, "ECE": {got, ece},
		} {
			if math.Abs(c[0]-c[1]) > 1e-9*(1+math.Abs(c[1])) {
				t.Fatalf("%s is %v, want %v", name, c[0], c[1])
			}
		}
		mass, err := s.Reliability(metric.EqualMass, bins)
		if err != nil {
			t.Fatal(err)
		}
		total, last := 0, -1.0
		for _, b := range mass {
			total += b.Count
			if b.Count > 0 && (b.Count < n/bins || b.Count > n/bins+1 || b.Low < last) {
				t.Fatalf("bin %+v of %d examples in %d bins after %v", b, n, bins, last)
			}
			if b.Count > 0 {
				last = b.High
			}
		}
		if total != n {
			t.Fatalf("bins hold %d of %d examples", total, n)
		}
	})
}

func TestPerfectAndConstantModels(t *testing.T) {
	logits, labels := []float64{100, 0, 0, 100}, []int{0, 1}
	s, err := metric.Score(logits, labels, 2)
	if err != nil || s.MeanNLL() > 1e-40 || s.MeanBrier() > 1e-40 || s.Accuracy() != 1 {
		t.Errorf("a perfect model: %+v, %v", s, err)
	}
	if cw, err := metric.ClasswiseECE(logits, labels, 2, 10); err != nil || cw > 1e-40 {
		t.Errorf("classwise ECE of a perfect model is %v, %v", cw, err)
	}
	if s, err = metric.Score(make([]float32, 30), make([]int, 3), 10); err != nil || math.Abs(s.MeanNLL()-math.Log(10)) > 1e-15 || math.Abs(s.MeanBrier()-0.9) > 1e-12 {
		t.Errorf("a uniform model: %v, %v", s, err)
	}
}

func TestRefuses(t *testing.T) {
	for _, c := range []struct {
		logits  []float64
		labels  []int
		classes int
		want    string
	}{
		{nil, nil, 2, "no examples"},
		{[]float64{1, 2}, []int{0}, 1, "1 classes"},
		{[]float64{1, 2, 3}, []int{0}, 2, "3 outputs for 1 labels and 2 classes; want 2"},
		{[]float64{1, 2, 1, 2}, []int{0, 2}, 2, "label of example 1 is 2, outside 0 to 1"},
		{[]float64{1, 2, 1, math.NaN()}, []int{0, 1}, 2, "example 1: the logit of class 1 is NaN"},
		{[]float64{math.Inf(1), 2}, []int{0}, 2, "example 0: the logit of class 0 is +Inf"},
	} {
		if _, err := metric.Score(c.logits, c.labels, c.classes); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Score: got %v, want %q", err, c.want)
		}
		if _, err := metric.ClasswiseECE(c.logits, c.labels, c.classes, 15); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("ClasswiseECE: got %v, want %q", err, c.want)
		}
	}
	if _, err := metric.ECE([]float64{0.5}, []bool{true}, "odd", 15); err == nil {
		t.Error("an unknown binning passed")
	}
	if _, err := metric.ECE([]float64{1.5}, []bool{true}, metric.EqualWidth, 15); err == nil {
		t.Error("a confidence of 1.5 passed")
	}
	if _, err := metric.TopK([]float64{1, math.NaN()}, []int{0}, 2, 1); err == nil {
		t.Error("TopK took a NaN")
	}
}

func ExampleScore() {
	s, err := metric.Score([]float32{2, 0, 0, 0, 3, 0}, []int{0, 2}, 3)
	if err != nil {
		fmt.Println(err)
		return
	}
	ece, _ := s.ECE(metric.EqualWidth, metric.DefaultBins)
	fmt.Printf("accuracy %.2f, NLL %.3f, Brier %.3f, ECE %.3f\n", s.Accuracy(), s.MeanNLL(), s.MeanBrier(), ece)
	// Output: accuracy 0.50, NLL 1.667, Brier 0.904, ECE 0.561
}

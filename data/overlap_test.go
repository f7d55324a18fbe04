package data_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/data"
)

// overlaps are small ones of each kind.
func overlaps() map[string]data.Overlap {
	pair, intervals, gaussians := data.NewGaussianPair(), data.NewPairedIntervals(), data.NewPairedGaussians()
	pair.Dim, pair.Train, pair.Test = 9, 60, 40
	intervals.Train, intervals.Test = 60, 40
	gaussians.K, gaussians.Dim, gaussians.Train, gaussians.Test = 8, 3, 60, 40
	return map[string]data.Overlap{"gaussian-pair": pair, "paired-intervals": intervals, "paired-gaussians": gaussians}
}

// TestPosteriorsAreRight counts: among the examples that have a class with some probability, that share must be of it.
func TestPosteriorsAreRight(t *testing.T) {
	for name, o := range overlaps() {
		const n = 40_000
		x, labels, err := o.Sample(n, 1)
		if err != nil {
			t.Fatal(err)
		}
		p, err := o.Posterior(x)
		if err != nil {
			t.Fatal(err)
		}
		k := o.Classes()
		var said, is, count [10]float64
		for i, label := range labels {
			sum := 0.0
			for c, v := range p[i*k : (i+1)*k] {
				sum += v
				bin := min(int(10*v), 9)
				said[bin] += v
				count[bin]++
				if int(label) == c {
					is[bin]++
				}
			}
			if math.Abs(sum-1) > 1e-9 || p[i*k+int(label)] == 0 {
				t.Fatalf("%s: the posterior of example %d sums to %v, its label has %v", name, i, sum, p[i*k+int(label)])
			}
		}
		for bin := range said {
			if far := math.Abs(said[bin] - is[bin]); far > 4*math.Sqrt(count[bin])+1 {
				t.Errorf("%s: of %v probabilities near %.1f, %v were said and %v are right", name, count[bin], float64(bin)/10, said[bin], is[bin])
			}
		}
	}
}

func TestOverlapSets(t *testing.T) {
	for name, o := range overlaps() {
		all, err := o.Open("all")
		if err != nil {
			t.Fatal(err)
		}
		test, err := o.Open("test")
		if err != nil {
			t.Fatal(err)
		}
		if all.Len() != 100 || test.Len() != 40 || len(test.Info().Classes) != o.Classes() || test.Info().Checksum == "" || test.Info().Name != name {
			t.Errorf("%s: %d and %d examples, %+v", name, all.Len(), test.Len(), test.Info())
		}
		a, b := make([]float32, o.Size()), make([]float32, o.Size())
		if err := all.Read(60, a); err != nil {
			t.Fatal(err)
		}
		if err := test.Read(0, b); err != nil || !slices.Equal(a, b) || test.(data.Indexed).StableIndex(0) != 60 {
			t.Errorf("%s: the first test example is %v, in all it is %v", name, b, a)
		}
	}
}

func TestOverlapRefuses(t *testing.T) {
	pair, odd, far, gaussians := data.NewGaussianPair(), data.NewPairedIntervals(), data.NewPairedIntervals(), data.NewPairedGaussians()
	pair.Dim, odd.K, far.Gap, gaussians.Overlap = 0, 7, 1.2, 1.5
	alpha := data.NewPairedIntervals()
	alpha.Alpha = 2
	for want, o := range map[string]data.Overlap{"dim is 0": pair, "k is 7": odd, "gap is 1.2": far, "overlap is 1.5": gaussians, "alpha is 2": alpha} {
		if _, err := o.Open("train"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, _, err := data.NewGaussianPair().Sample(0, 1); err == nil {
		t.Error("no examples are drawn")
	}
	if _, err := data.NewPairedIntervals().Open("half"); err == nil {
		t.Error("a part that is none is opened")
	}
}

func TestPairedLabelNoise(t *testing.T) {
	labels := make([]int32, 20_000)
	for i := range labels {
		labels[i] = int32(i % 5)
	}
	noise := data.PairedLabelNoise{Rate: 0.3}
	noisy, err := noise.Flip(labels, 5, 3)
	if err != nil {
		t.Fatal(err)
	}
	partners, flipped := noise.Partners(5, 3), 0.0
	for i, label := range noisy {
		if label != labels[i] {
			flipped++
			if label != partners[labels[i]] {
				t.Fatalf("label %d became %d, its partner is %d", labels[i], label, partners[labels[i]])
			}
		}
	}
	if share := flipped / 20_000; math.Abs(share-0.3) > 0.015 {
		t.Errorf("%.3f of the labels are wrong", share)
	}
	p, err := noise.Posterior(labels[:1], 5, 3)
	if err != nil || p[0] != 0.7 || p[partners[0]] != 0.3 {
		t.Errorf("%v %v", p, err)
	}
	if _, err := (data.PairedLabelNoise{Rate: 2}).Flip(labels, 5, 1); err == nil {
		t.Error("a rate of 2 is taken")
	}
}

package metric_test

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ballast-ml/ballast/metric"
)

// cloud draws vectors of classes of uneven sizes, some of one vector, and some vectors twice.
func cloud(t *rapid.T) (vectors []float64, labels []int, dim int) {
	n, classes := rapid.IntRange(6, 60).Draw(t, "n"), rapid.IntRange(2, 6).Draw(t, "classes")
	dim = rapid.IntRange(1, 9).Draw(t, "dim")
	scale := rapid.SampledFrom([]float64{1e-8, 1, 1e9}).Draw(t, "scale")
	r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 3))
	for i := range n {
		label := r.IntN(classes) * r.IntN(2) * 7
		if i < 4 {
			label = i / 2 * 100 // two classes that are large enough
		}
		if i > 4 && r.IntN(8) == 0 {
			vectors = append(vectors, vectors[:dim]...)
		} else {
			for range dim {
				vectors = append(vectors, scale*(r.NormFloat64()+float64(label%5)))
			}
		}
		labels = append(labels, label)
	}
	return vectors, labels, dim
}

// plainDistances are the distances of all vectors, of length 1, from each other.
func plainDistances(vectors []float64, dim int) [][]float64 {
	n := len(vectors) / dim
	u := make([][]float64, n)
	for i := range u {
		u[i] = slices.Clone(vectors[i*dim : (i+1)*dim])
		length := 0.0
		for _, v := range u[i] {
			length = math.Hypot(length, v)
		}
		for k := range u[i] {
			u[i][k] /= length
		}
	}
	d := make([][]float64, n)
	for i := range d {
		d[i] = make([]float64, n)
		for j := range d[i] {
			for k := range dim {
				d[i][j] = math.Hypot(d[i][j], u[i][k]-u[j][k])
			}
		}
	}
	return d
}

// TestRetrieveAgainstSorting compares with a ranking that is sorted and walked along.
func TestRetrieveAgainstSorting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		vectors, labels, dim := cloud(t)
		if dim < 2 {
			return // directions on a line tie up to rounding
		}
		d := plainDistances(vectors, dim)
		var queries, recall1, recall5, precision, average float64
		for i := range labels {
			var others []int
			size := 0
			for j := range labels {
				if j != i {
					others = append(others, j)
					if labels[j] == labels[i] {
						size++
					}
				}
			}
			if size == 0 {
				continue
			}
			if unsure(i, others, labels, vectors, dim, d) {
				return // which of them is nearer is a matter of rounding
			}
			slices.SortStableFunc(others, func(a, b int) int {
				switch {
				case d[i][a] != d[i][b]:
					return cmp.Compare(d[i][a], d[i][b])
				case (labels[a] == labels[i]) == (labels[b] == labels[i]):
					return 0
				case labels[b] == labels[i]:
					return -1 // the wrong one first
				}
				return 1
			})
			queries++
			right := 0.0
			for place, j := range others {
				if labels[j] != labels[i] {
					continue
				}
				right++
				if right == 1 && place < 1 {
					recall1++
				}
				if right == 1 && place < 5 {
					recall5++
				}
				if place < size {
					precision += 1 / float64(size)
					average += right / float64(place+1) / float64(size)
				}
			}
		}

		got, err := metric.Retrieve(vectors, labels, dim, 1, 5)
		if err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string][2]float64{
			"queries": {float64(got.Queries), queries}, "recall@1": {got.Recall[0], recall1 / queries}, "recall@5": {got.Recall[1], recall5 / queries},
			"R-precision": {got.RPrecision, precision / queries}, "MAP@R": {got.MAPAtR, average / queries},
		} {
			if math.Abs(c[0]-c[1]) > 1e-9 {
				t.Fatalf("%s is %v, want %v", name, c[0], c[1])
			}
		}
	})
}

// unsure reports whether a vector of the class of i and one of another class are as far from it up to rounding, though they are not the
// same vector.
func unsure(i int, others, labels []int, vectors []float64, dim int, d [][]float64) bool {
	for _, a := range others {
		for _, b := range others {
			same := slices.Equal(vectors[a*dim:(a+1)*dim], vectors[b*dim:(b+1)*dim])
			if labels[a] == labels[i] && labels[b] != labels[i] && !same && math.Abs(d[i][a]-d[i][b]) <= 1e-7 {
				return true
			}
		}
	}
	return false
}

// TestOPISAgainstPlainLoops compares with lists that are sorted and searched.
func TestOPISAgainstPlainLoops(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		vectors, labels, dim := cloud(t)
		o := metric.NewOPIS()
		o.Thresholds, o.TailFraction = rapid.IntRange(2, 40).Draw(t, "thresholds"), rapid.SampledFrom([]float64{0.1, 0.5, 1}).Draw(t, "tail")
		o.MinClassSize = rapid.IntRange(2, 3).Draw(t, "least")
		o.FARLow, o.FARHigh = rapid.SampledFrom([]float64{0, 0.01, 0.2}).Draw(t, "low"), rapid.SampledFrom([]float64{0.3, 0.5, 1}).Draw(t, "high")
		d := plainDistances(vectors, dim)

		var apart []float64
		sizes := map[int]int{}
		for i := range labels {
			sizes[labels[i]]++
			for j := range i {
				if labels[i] != labels[j] {
					apart = append(apart, d[i][j])
				}
			}
		}
		slices.Sort(apart)
		end := func(share float64) float64 {
			k := min(max(1, int(math.Floor(share*float64(len(apart))))), len(apart))
			return (apart[k-1] + apart[min(k, len(apart)-1)]) / 2
		}
		got, err := metric.OPISOf(o, vectors, labels, dim)
		if err != nil {
			large := 0
			for _, size := range sizes {
				if size >= o.MinClassSize {
					large++
				}
			}
			if large >= 2 && end(o.FARHigh)-end(o.FARLow) > 1e-6 {
				t.Fatalf("%v, but %d classes are large enough, and the range is %v to %v", err, large, end(o.FARLow), end(o.FARHigh))
			}
			return
		}
		if math.Abs(got.Min-end(o.FARLow)) > 1e-6 || math.Abs(got.Max-end(o.FARHigh)) > 1e-6 {
			t.Fatalf("the range is %v to %v, want %v to %v", got.Min, got.Max, end(o.FARLow), end(o.FARHigh))
		}
		for k, class := range got.Classes {
			for at, threshold := range got.Thresholds {
				var taken, within, kept, across, near float64
				for i := range labels {
					for j := range i {
						if math.Abs(d[i][j]-threshold) < 1e-7 {
							near++ // rounding decides
						}
						switch {
						case labels[i] == class && labels[j] == class:
							within++
							if d[i][j] <= threshold {
								taken++
							}
						case labels[i] == class || labels[j] == class:
							across++
							if d[i][j] > threshold {
								kept++
							}
						}
					}
				}
				sensitivity, specificity := taken/within, kept/across
				want := 0.0
				if sensitivity+specificity > 0 {
					want = 2 * sensitivity * specificity / (sensitivity + specificity)
				}
				if near == 0 && math.Abs(got.Utility[k][at]-want) > 1e-12 {
					t.Fatalf("class %d at %v: utility %v, want %v", class, threshold, got.Utility[k][at], want)
				}
			}
		}
		checkIntegrals(t, o, got)
	})
}

// checkIntegrals adds the curves up again.
func checkIntegrals(t *rapid.T, o metric.OPIS, got metric.Consistency) {
	var trapezoid, plain, tail, tailPlain, shares float64
	classes := float64(len(got.Classes))
	at := func(k int) (spread, gap float64) {
		var column []float64
		mean := 0.0
		for _, curve := range got.Utility {
			column = append(column, curve[k])
			mean += curve[k] / classes
		}
		slices.Sort(column)
		worst := int(math.Ceil(o.TailFraction * classes))
		for i, u := range column {
			spread += (u - mean) * (u - mean) / classes
			if i < worst {
				gap += u / float64(worst)
			}
		}
		return spread, (gap - mean) * (gap - mean)
	}
	for k := range got.Thresholds {
		spread, gap := at(k)
		plain += spread / float64(len(got.Thresholds))
		tailPlain += gap / float64(len(got.Thresholds))
		if k > 0 {
			length := (got.Thresholds[k] - got.Thresholds[k-1]) / (got.Max - got.Min)
			before, gapBefore := at(k - 1)
			trapezoid += length * (spread + before) / 2
			tail += length * (gap + gapBefore) / 2
		}
	}
	for _, s := range got.Share {
		shares += s
	}
	for name, c := range map[string][2]float64{
		"OPIS": {got.OPIS, trapezoid}, "its mean": {got.OPISMean, plain}, "tail": {got.Tail, tail}, "its mean over thresholds": {got.TailMean, tailPlain}, "shares": {shares, got.OPIS},
	} {
		if math.Abs(c[0]-c[1]) > 1e-9 {
			t.Fatalf("%s is %v, want %v", name, c[0], c[1])
		}
	}
}

// TestOneThresholdForAll: classes that are spread alike have the same curve, and the score is 0 up to rounding.
func TestOneThresholdForAll(t *testing.T) {
	alike := polar(0, 2, 5, 120, 122, 125, 240, 242, 245)
	labels := []int{1, 1, 1, 2, 2, 2, 3, 3, 3}
	c, err := metric.OPISBetween(metric.NewOPIS(), alike, labels, 2, 0.01, 0.2)
	if err != nil || c.OPIS > 1e-12 || c.Tail > 1e-12 {
		t.Errorf("%v, tail %v, %v", c.OPIS, c.Tail, err)
	}
	uneven := polar(0, 2, 5, 120, 122, 125, 220, 240, 280)
	if c, err = metric.OPISBetween(metric.NewOPIS(), uneven, labels, 2, 0.01, 0.2); err != nil || c.OPIS < 0.05 || c.Share[2] < c.Share[0] {
		t.Errorf("%v, by class %v, %v", c.OPIS, c.Share, err)
	}
}

// TestSphereNumbers: by hand, on the circle.
func TestSphereNumbers(t *testing.T) {
	square := polar(0, 90, 180, 270) // squared distances 2 and 4
	for name, c := range map[string]struct {
		got  func() (float64, error)
		want float64
	}{
		"alignment": {func() (float64, error) { return metric.Alignment(square, []int{1, 1, 2, 2}, 2) }, 2},
		"uniformity": {
			func() (float64, error) { return metric.Uniformity(square, 2, 0.5) },
			math.Log((4*math.Exp(-1) + 2*math.Exp(-2)) / 6),
		},
		"utilization":                 {func() (float64, error) { return metric.Utilization(polar(0, 180), polar(60, 90), 2) }, 1.5},
		"uniformity of one direction": {func() (float64, error) { return metric.Uniformity([]float64{1, 5, 9}, 1, 2) }, 0},
	} {
		if got, err := c.got(); err != nil || math.Abs(got-c.want) > 1e-6 {
			t.Errorf("%s is %v, want %v (%v)", name, got, c.want, err)
		}
	}
}

// TestVectorsOfLengthZero have no direction: nothing is NaN.
func TestVectorsOfLengthZero(t *testing.T) {
	vectors, labels := []float64{0, 0, 0, 0, 1, 0, 0, 1}, []int{1, 1, 2, 2}
	r, err := metric.Retrieve(vectors, labels, 2, 1)
	if err != nil || r.Queries != 4 || math.IsNaN(r.MAPAtR) {
		t.Errorf("%+v, %v", r, err)
	}
	collapsed, err := metric.Retrieve(make([]float32, 8), labels, 2, 1)
	if err != nil || collapsed.Recall[0] != 0 {
		t.Errorf("a network that gives the same vector to everything has recall %v, %v", collapsed.Recall, err)
	}
	if c, err := metric.OPISBetween(metric.NewOPIS(), vectors, labels, 2, 0.5, 1.2); err != nil || math.IsNaN(c.OPIS) {
		t.Errorf("%v, %v", c.OPIS, err)
	}
}

func TestEmbeddingsRefuse(t *testing.T) {
	four, labels := []float64{1, 0, 0, 1}, []int{0, 1}
	opis := func(change func(*metric.OPIS)) error {
		o := metric.NewOPIS()
		change(&o)
		_, err := metric.OPISOf(o, polar(0, 1, 2, 3), []int{0, 0, 1, 1}, 2)
		return err
	}
	for want, call := range map[string]func() error{
		"no class has two vectors":            func() error { _, err := metric.Retrieve(four, labels, 2, 1); return err },
		"among the 0 nearest":                 func() error { _, err := metric.Retrieve(four, []int{0, 0}, 2, 0); return err },
		"4 values for 3 vectors of 2; want 6": func() error { _, err := metric.Retrieve(four, []int{0, 0, 0}, 2); return err },
		"2 vectors of 0":                      func() error { _, err := metric.Retrieve(four, labels, 0); return err },
		"vector 1: value 0 is NaN":            func() error { _, err := metric.Retrieve([]float64{1, math.NaN()}, labels, 1); return err },
		"Alignment: no class has two":         func() error { _, err := metric.Alignment(four, labels, 2); return err },
		"t is 0":                              func() error { _, err := metric.Uniformity(four, 2, 0); return err },
		"training: metric: no vectors":        func() error { _, err := metric.Utilization(four, nil, 2); return err },
		"queries: metric: 3 values":           func() error { _, err := metric.Utilization(four[:3], four, 2); return err },
		"1 classes have 2 vectors or more":    func() error { _, err := metric.OPISOf(metric.NewOPIS(), polar(0, 1, 2), []int{0, 0, 1}, 2); return err },
		"both ends of the range are":          func() error { return opis(func(o *metric.OPIS) { o.FARHigh = 0.011 }) },
		"far_low is 0.2 and far_high 0.1":     func() error { return opis(func(o *metric.OPIS) { o.FARLow = 0.2 }) },
		"1 thresholds; use at least 2":        func() error { return opis(func(o *metric.OPIS) { o.Thresholds = 1 }) },
		"tail_fraction is 0":                  func() error { return opis(func(o *metric.OPIS) { o.TailFraction = 0 }) },
		"min_class_size is 1":                 func() error { return opis(func(o *metric.OPIS) { o.MinClassSize = 1 }) },
		"the range is 1 to 1; use distances": func() error {
			_, err := metric.OPISBetween(metric.NewOPIS(), polar(0, 1, 2, 3), []int{0, 0, 1, 1}, 2, 1, 1)
			return err
		},
		"the range is 1 to +Inf; use distance": func() error {
			_, err := metric.OPISBetween(metric.NewOPIS(), polar(0, 1, 2, 3), []int{0, 0, 1, 1}, 2, 1, math.Inf(1))
			return err
		},
	} {
		if err := call(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestShots(t *testing.T) {
	s := metric.NewShots()
	for examples, want := range map[int]string{101: "many", 100: "medium", 20: "medium", 19: "few", 0: "few"} {
		if got := metric.ShotNames()[s.Group(examples)]; got != want {
			t.Errorf("a class of %d is %s, want %s", examples, got, want)
		}
	}
	// Class 0 (many) 1 of 2, class 1 (medium) 1 of 1, classes 2 and 3 (few) 1 of 1 and 0 of 3; class 4 has none here.
	a, err := s.Accuracy([]int32{0, 1, 1, 2, 0, 0, 0}, []int32{0, 0, 1, 2, 3, 3, 3}, []int{500, 50, 5, 1, 700})
	if err != nil || a.Balanced != 2.5/4 || a.Group != [3]float64{0.5, 1, 0.5} || a.Classes != [3]int{1, 1, 2} {
		t.Errorf("%+v, %v", a, err)
	}

	all, groups, err := s.Errors([]float64{1, 2, 8, 0}, []float64{2, 2, 4, 8}, []int{500, 10, 10, 50})
	if err != nil || all[0].Value != 13.0/4 || all[2].Value != 0 {
		t.Errorf("%+v, %v", all, err)
	}
	if groups[0][0].Value != 1 || groups[1][1].Value != 64 || groups[2][0].Value != 2 || math.Abs(groups[1][2].Value-8) > 1e-12 {
		t.Errorf("by group %+v", groups)
	}

	for want, call := range map[string]func() error{
		"many is 5 and few 20": func() error {
			_, err := metric.Shots{Many: 5, Few: 20}.Accuracy([]int32{0}, []int32{0}, []int{1})
			return err
		},
		"label of example 0 is 1, outside 0 to 0": func() error { _, err := s.Accuracy([]int32{0}, []int32{1}, []int{1}); return err },
		"2 predictions for 1 labels":              func() error { _, err := s.Accuracy([]int32{0, 1}, []int32{0}, []int{1}); return err },
		"1 predictions and 2 counts":              func() error { _, _, err := s.Errors([]float64{1}, []float64{1}, []int{1, 2}); return err },
		"the prediction is +Inf":                  func() error { _, _, err := s.Errors([]float64{math.Inf(1)}, []float64{1}, []int{1}); return err },
	} {
		if err := call(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

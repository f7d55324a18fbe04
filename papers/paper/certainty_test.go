package paper

import (
	"math"
	"slices"
	"strings"
	"testing"
)

// above is a claim of one inequality: the mean of a is above that of b by a margin.
func above(margin float64) Claim {
	return Claim{Name: "above", Arms: []Arm{{Name: "a"}, {Name: "b"}}, Check: func(m Measured) []Inequality {
		return []Inequality{AtLeast("a >= b + margin", m.Mean("a", "x"), m.Mean("b", "x")+margin)}
	}}
}

func two(a, b []float64) Measured { return Measured{"a": {"x": a}, "b": {"x": b}} }

// TestCertaintyIsThatOfAllResamples goes over all n^n resamples in the plain way and counts.
func TestCertaintyIsThatOfAllResamples(t *testing.T) {
	a, b := []float64{0.5, 2, -0.25, 1, 0.125}, []float64{0.25, 0.5, 1, -0.5, 0}
	for n := 2; n <= 5; n++ {
		total := int(math.Pow(float64(n), float64(n)))
		hold := 0
		for code := range total {
			sum := 0.0
			for range n {
				seed := code % n
				code /= n
				sum += a[seed] - b[seed] // paired: the same seeds of both arms
			}
			if sum >= 0.25*float64(n) {
				hold++
			}
		}
		c := Judge(above(0.25), two(a[:n], b[:n])).Certainty
		if c.Share == nil || c.Resamples != total || !c.Exact || *c.Share != float64(hold)/float64(total) {
			t.Errorf("%d seeds: %+v, want %d of %d", n, c, hold, total)
		}
	}
}

// TestResamplesCountEveryOrder: the multisets stand for all n^n resamples.
func TestResamplesCountEveryOrder(t *testing.T) {
	for n := 1; n <= maxExact; n++ {
		count, sets := 0, 0
		firsts := make([]int, n)
		for seeds, weight := range resamples(n) {
			if len(seeds) != n || !slices.IsSorted(seeds) || weight < 1 {
				t.Fatalf("%d seeds: %v counts %d", n, seeds, weight)
			}
			for _, s := range seeds {
				firsts[s] += weight
			}
			count, sets = count+weight, sets+1
		}
		if want := int(math.Pow(float64(n), float64(n))); count != want {
			t.Errorf("%d seeds: %d resamples, want %d", n, count, want)
		}
		for s, k := range firsts {
			if k != count {
				t.Errorf("%d seeds: seed %d is drawn %d times, want %d", n, s, k, count)
			}
		}
	}
}

// TestVerdicts holds the thresholds, from pairs of which a known share of resamples holds: with one bad seed of five that spoils every
// mean it is in, (4/5)^5 of them hold.
func TestVerdicts(t *testing.T) {
	zero := []float64{0, 0, 0, 0, 0}
	for name, c := range map[string]struct {
		a    []float64
		want Verdict
		text string
	}{
		"all good":                 {[]float64{1, 2, 3, 4, 5}, Held, "held, 100 %"},
		"one seed spoils":          {[]float64{-100, 1, 1, 2, 1}, Open, "open, 32.7 %"},
		"one seed saves":           {[]float64{100, -1, -1, -2, -1}, Open, "open, 67.2 %"},
		"needs two of the bad one": {[]float64{-6, 2, 2, 2, 2}, Open, "open, 73.7 %"},
		"needs three of it":        {[]float64{-2.5, 2, 2, 2, 2}, HeldClosely, "held closely, 94.2 %"},
		"two seeds save":           {[]float64{1, -100, -100, -100, -100}, NotHeld, "not held, < 0.1 %"},
		"all bad":                  {[]float64{-1, -2, -1, -1, -1}, NotHeld, "not held, 0 %"},
		"the same with every seed": {[]float64{1, 1, 1, 1, 1}, Held, "held (the same numbers with every seed)"},
		"the same and bad":         {[]float64{-1, -1, -1, -1, -1}, NotHeld, "not held (the same numbers with every seed)"},
	} {
		got := Judge(above(0), two(c.a, zero)).Certainty
		if got.Verdict != c.want || got.String() != c.text || got.Stands() != (c.want == Held || c.want == HeldClosely) {
			t.Errorf("%s: %s (%s), want %s (%s)", name, got.Verdict, got, c.want, c.text)
		}
	}
	for share, want := range map[float64]Verdict{1: Held, 0.975: Held, 0.9749: HeldClosely, 0.84: HeldClosely, 0.8399: Open, 0.16: Open, 0.1599: NotHeld, 0: NotHeld} {
		if got := verdictOf(share); got != want {
			t.Errorf("a share of %v is %s, want %s", share, got, want)
		}
	}
	for share, want := range map[float64]string{0.97499: "97.4 %", 0.975: "97.5 %", 0.84: "84 %", 0.29: "29 %", 0.99996: "99.9 %", 1: "100 %", 0: "0 %", 0.0001: "< 0.1 %"} {
		if got := Percent(share); got != want {
			t.Errorf("%v is written %q, want %q", share, got, want)
		}
	}
}

// TestManySeedsAreDrawn: with ten seeds resamples are drawn, the same ones each time, and near what a normal estimate says.
func TestManySeedsAreDrawn(t *testing.T) {
	a := []float64{0.3, -0.2, 0.5, 0.1, -0.4, 0.2, 0.6, -0.1, 0.0, 0.3} // mean 0.13, standard deviation of the mean 0.0937
	b := make([]float64, len(a))
	first, again := Judge(above(0), two(a, b)), Judge(above(0), two(a, b))
	if first.Share == nil || *first.Share != *again.Share || first.Resamples != 10_000 || first.Exact {
		t.Fatalf("%+v, again %+v", first.Certainty, again.Certainty)
	}
	if want := 0.5 * math.Erfc(-0.13/0.0937/math.Sqrt2); math.Abs(*first.Share-want) > 0.02 {
		t.Errorf("the share is %v, want about %v", *first.Share, want)
	}
}

// TestCertaintyWithoutShare: one seed, or seeds that did not all measure, give none.
func TestCertaintyWithoutShare(t *testing.T) {
	one := Judge(above(0), two([]float64{1}, []float64{0}))
	if one.Verdict != Held || one.Share != nil || one.Inequalities[0].Share != nil || one.String() != "held (one value, no share)" {
		t.Errorf("one seed: %+v", one)
	}
	ragged := Judge(above(0), two([]float64{1, 2, 3}, []float64{0, 0}))
	if ragged.Verdict != Open || ragged.Share != nil || !strings.Contains(ragged.Why, "x of arm b") {
		t.Errorf("seeds that did not all measure: %+v", ragged.Certainty)
	}
}

// TestEachInequalityHasItsShare: that of the claim is the share in which all hold at once.
func TestEachInequalityHasItsShare(t *testing.T) {
	c := above(0)
	c.Check = func(m Measured) []Inequality {
		x := m.Mean("a", "x")
		return []Inequality{AtLeast("not below", x, -1), Above("above 0", x, 0), AtMost("up to 0", x, 0)}
	}
	got := Judge(c, two([]float64{-1, 2}, []float64{0, 0}))
	for i, want := range []float64{1, 0.75, 0.25} {
		if s := got.Inequalities[i].Share; s == nil || *s != want {
			t.Errorf("%s: share %v, want %v", got.Inequalities[i].Text, s, want)
		}
	}
	if *got.Share != 0 || got.Verdict != NotHeld {
		t.Errorf("the claim: %+v", got.Certainty)
	}
}

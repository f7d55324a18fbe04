package paper

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
)

// Verdict says whether a claim stands, and how sure that is.
type Verdict string

// The verdicts, from the share of resamples of the seeds in which every inequality of a claim holds.
const (
	Held        Verdict = "held"         // from 97.5 %
	HeldClosely Verdict = "held closely" // from 84 %
	Open        Verdict = "open"         // from 16 %: other seeds may well say otherwise
	NotHeld     Verdict = "not held"     // below
)

// The least shares of the verdicts. A normal estimate lies below two standard errors in 97.5 % of cases, and below one in 84 %.
const (
	leastHeld    = 0.975
	leastClosely = 0.84
	leastOpen    = 0.16
)

// Up to maxExact seeds all n^n resamples count; with more, drawnResamples are drawn, always the same ones.
const (
	maxExact       = 8
	drawnResamples = 10_000
)

// Certainty is a claim's verdict by a paired bootstrap over seeds: seeds are drawn with replacement, as many as there are, the same ones
// for every arm and metric, and the claim is checked on what was measured with them.
type Certainty struct {
	Verdict   Verdict  `json:"verdict"`
	Share     *float64 `json:"share"`         // of resamples in which every inequality holds; null where seeds say nothing of it, see Why
	Resamples int      `json:"resamples"`     // how many
	Exact     bool     `json:"exact"`         // they are all n^n that there are
	Why       string   `json:"why,omitempty"` // there is no share
}

// Stands reports whether a claim is held or held closely.
func (c Certainty) Stands() bool { return c.Verdict == Held || c.Verdict == HeldClosely }

// String is the verdict with its share, such as "held closely, 93.1 %".
func (c Certainty) String() string {
	switch {
	case c.Share != nil:
		return fmt.Sprintf("%s, %s", c.Verdict, Percent(*c.Share))
	case c.Why != "":
		return fmt.Sprintf("%s (%s)", c.Verdict, c.Why)
	}
	return string(c.Verdict)
}

// Percent writes a share rounded down, so that no share looks as if it had reached a verdict that it missed.
func Percent(share float64) string {
	tenths := math.Floor(share*1000 + 1e-9)
	switch {
	case share > 0 && tenths == 0:
		return "< 0.1 %"
	case math.Mod(tenths, 10) == 0:
		return fmt.Sprintf("%.0f %%", tenths/10)
	}
	return fmt.Sprintf("%.1f %%", tenths/10)
}

// verdictOf is the verdict of a share.
func verdictOf(share float64) Verdict {
	switch {
	case share >= leastHeld:
		return Held
	case share >= leastClosely:
		return HeldClosely
	case share >= leastOpen:
		return Open
	}
	return NotHeld
}

// certainty judges a claim over its seeds. checked is what Check says of the means; each of its inequalities gets its own share.
func certainty(c Claim, m Measured, checked []Inequality) Certainty {
	holds := !slices.ContainsFunc(checked, func(q Inequality) bool { return !q.Holds })
	alone := func(why string) Certainty {
		verdict := NotHeld
		if holds {
			verdict = Held
		}
		return Certainty{Verdict: verdict, Why: why}
	}

	n := m.seeds()
	if n < 2 {
		return alone("one value, no share")
	}
	t, err := m.resample(n).tally(c, checked)
	if err != nil {
		return Certainty{Verdict: Open, Why: err.Error()}
	}
	if t.fixed {
		return alone("the same numbers with every seed")
	}

	share := float64(t.all) / float64(t.resamples)
	for i := range checked {
		each := float64(t.each[i]) / float64(t.resamples)
		checked[i].Share = &each
	}
	return Certainty{Verdict: verdictOf(share), Share: &share, Resamples: t.resamples, Exact: n <= maxExact}
}

// seeds is how many values the metrics have.
func (m Measured) seeds() int {
	n := 0
	for _, metrics := range m {
		for _, values := range metrics {
			n = max(n, len(values))
		}
	}
	return n
}

// resample is a sample that is drawn from again and again.
type resample struct {
	n     int
	drawn Measured
	from  [][]float64 // the values as measured
	to    [][]float64 // the same metrics in drawn
}

// resample prepares for drawing. A metric that some seed lacks cannot be paired with others and is left out.
func (m Measured) resample(n int) resample {
	r := resample{n: n, drawn: Measured{}}
	for arm, metrics := range m {
		r.drawn[arm] = map[string][]float64{}
		for name, values := range metrics {
			if len(values) != n {
				continue
			}
			to := make([]float64, n)
			r.drawn[arm][name] = to
			r.from, r.to = append(r.from, values), append(r.to, to)
		}
	}
	return r
}

// tally is how often inequalities held.
type tally struct {
	resamples, all int
	each           []int
	fixed          bool // both sides of every inequality are the same in all resamples
}

// tally checks the claim on every resample.
func (r resample) tally(c Claim, means []Inequality) (tally, error) {
	t := tally{each: make([]int, len(means)), fixed: true}
	for seeds, weight := range resamples(r.n) {
		for k, values := range r.from {
			for i, seed := range seeds {
				r.to[k][i] = values[seed]
			}
		}
		checked, err := check(c, r.drawn)
		if err != nil {
			return t, err
		}
		if len(checked) != len(means) {
			return t, errors.New("the seeds do not agree on what is to be checked")
		}

		all := true
		for i, q := range checked {
			if q.Holds {
				t.each[i] += weight
			}
			all = all && q.Holds
			t.fixed = t.fixed && same(q.Left, means[i].Left) && same(q.Right, means[i].Right)
		}
		if all {
			t.all += weight
		}
		t.resamples += weight
	}
	return t, nil
}

func same(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }

// check is the claim's Check, with an error in place of its panic about what was not measured.
func check(c Claim, m Measured) (checked []Inequality, err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case NotMeasured:
			err = p
		default:
			panic(p)
		}
	}()
	return c.Check(m), nil
}

// resamples are draws of n of n seeds, in ascending order, and how often each counts. Resamples of the same seeds in another order give
// the same means, so that all n^n are told by the few multisets there are (126 for 5 seeds), each counted
//
//	n! / (k_1! ... k_n!)     times, k_i = how often seed i is in it
func resamples(n int) iter.Seq2[[]int, int] {
	if n > maxExact {
		return drawn(n)
	}
	return func(yield func([]int, int) bool) {
		seeds := make([]int, n)
		for {
			if !yield(seeds, orders(seeds)) {
				return
			}
			i := n - 1
			for i >= 0 && seeds[i] == n-1 {
				i--
			}
			if i < 0 {
				return
			}
			next := seeds[i] + 1
			for ; i < n; i++ {
				seeds[i] = next
			}
		}
	}
}

// orders is in how many orders an ascending list can be written.
func orders(ascending []int) int {
	count, run := 1, 0
	for i, v := range ascending {
		if i > 0 && v == ascending[i-1] {
			run++
		} else {
			run = 1
		}
		count = count * (i + 1) / run // the binomials of the runs so far, whole at every step
	}
	return count
}

// drawn are resamples of many seeds, the same ones in every call.
func drawn(n int) iter.Seq2[[]int, int] {
	return func(yield func([]int, int) bool) {
		r := rand.New(rand.NewPCG(1, uint64(n)))
		seeds := make([]int, n)
		for range drawnResamples {
			for i := range seeds {
				seeds[i] = r.IntN(n)
			}
			slices.Sort(seeds)
			if !yield(seeds, 1) {
				return
			}
		}
	}
}

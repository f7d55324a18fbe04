package lab

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// level is the probability of a difference where there is none that is accepted, for all pairs of a family together; power is how
// often a difference that counts as one that can be seen is seen.
const (
	level = 0.05
	power = 0.8
)

// Pair is two variants held against each other over the same seeds, by a paired t-test.
type Pair struct {
	A          string     `json:"a"`
	B          string     `json:"b"`
	Difference float64    `json:"difference"` // mean of B - A
	Interval   [2]float64 `json:"interval"`   // 95 % confidence, of this pair alone; both ends are the difference with one seed
	P          float64    `json:"p"`          // two-sided; 1 with one seed
	PHolm      float64    `json:"p_holm"`     // after Holm's correction for the number of pairs, which decides; P itself for one pair
	Detectable float64    `json:"detectable"` // smallest difference these seeds would show 8 times of 10 at the 5 % level, corrected; 0 with one seed
	Verdict    string     `json:"verdict"`

	seeds int
}

// judge fills in means, deviations and pairs.
func (c *Comparison) judge() {
	for i := range c.Variants {
		v := &c.Variants[i]
		v.Mean = stat.Mean(v.Values, nil)
		if len(v.Values) > 1 {
			v.SD = stat.StdDev(v.Values, nil)
		}
	}
	others := c.Variants[min(1, len(c.Variants)):]
	for _, v := range others {
		c.Pairs = append(c.Pairs, paired(c.Variants[0], v, len(others)))
	}
	holm(c.Pairs)
	c.Comparisons = len(c.Pairs)
	for i, p := range c.Pairs {
		c.Pairs[i].Verdict = p.words(c.Metric, len(c.Pairs))
	}
}

// paired is the paired t-test of two variants whose values stand in the order of the same seeds, one of several such tests:
//
//	d_i = b_i - a_i      t = mean(d) / (sd(d)/sqrt(n)), n-1 degrees of freedom
//	detectable = (t_(1 - 0.025/pairs) + t_0.8) sd(d)/sqrt(n)
func paired(a, b Variant, pairs int) Pair {
	n := min(len(a.Values), len(b.Values))
	d := make([]float64, n)
	for i := range d {
		d[i] = b.Values[i] - a.Values[i]
	}
	p := Pair{A: a.Name, B: b.Name, Difference: stat.Mean(d, nil), P: 1, PHolm: 1, seeds: n}
	if n < 2 {
		p.Interval = [2]float64{p.Difference, p.Difference}
		return p
	}

	t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: float64(n - 1)}
	se := stat.StdDev(d, nil) / math.Sqrt(float64(n))
	half := t.Quantile(1-level/2) * se
	p.Interval = [2]float64{p.Difference - half, p.Difference + half}
	p.Detectable = (t.Quantile(1-level/2/float64(pairs)) + t.Quantile(power)) * se
	switch {
	case se > 0:
		p.P = 2 * t.Survival(math.Abs(p.Difference)/se)
	case p.Difference != 0:
		p.P = 0
	}
	p.PHolm = p.P
	return p
}

// holm corrects the p-values of a family of m pairs, by Holm's method: in ascending order, k counted from 0,
//
//	p_holm(k) = min(1, max over j <= k of (m - j) p(j))
//
// so that the chance that any pair without a difference is called different stays below the level.
func holm(family []Pair) {
	order := make([]int, len(family))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case family[a].P < family[b].P:
			return -1
		case family[a].P > family[b].P:
			return 1
		}
		return 0
	})
	least := 0.0
	for k, i := range order {
		least = math.Min(1, math.Max(least, float64(len(family)-k)*family[i].P))
		family[i].PHolm = least
	}
}

// shown reports whether the seeds show a difference.
func (p Pair) shown() bool { return p.PHolm < level }

// words says what the pair shows, one of several.
func (p Pair) words(metric string, pairs int) string {
	how := fmt.Sprintf("p = %.2g", p.P)
	if pairs > 1 {
		how = fmt.Sprintf("p = %.2g after Holm's correction for %d comparisons", p.PHolm, pairs)
	}
	switch {
	case p.seeds < 2:
		return fmt.Sprintf("%s of %s differs from %s by %+.4f in the one seed there is; one seed shows nothing, use three or more", metric, p.B, p.A, p.Difference)
	case p.Difference == 0 && p.P == 1:
		return fmt.Sprintf("%s and %s are the same on every seed", p.B, p.A)
	case p.shown():
		word := "more"
		if p.Difference < 0 {
			word = "less"
		}
		return fmt.Sprintf("%s has %.4f %s %s than %s (95 %% interval %+.4f to %+.4f, %s, %d seeds)",
			p.B, math.Abs(p.Difference), word, metric, p.A, p.Interval[0], p.Interval[1], how, p.seeds)
	}
	return fmt.Sprintf("no difference between %s and %s that %d seeds show (%+.4f, %s); one below %.4f would likely be missed",
		p.B, p.A, p.seeds, p.Difference, how, p.Detectable)
}

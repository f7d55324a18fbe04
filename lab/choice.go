package lab

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/train"
)

// Choice answers which value of the first setting swept to use, where the others have given values.
type Choice struct {
	Setting string `json:"setting"` // what is chosen
	Where   string `json:"where"`   // the other settings; "" if there are none
	Ranking []Rank `json:"ranking"` // best first
	Verdict string `json:"verdict"`
}

// Rank is one value's place.
type Rank struct {
	Value      string  `json:"value"`
	Mean       float64 `json:"mean"`
	SD         float64 `json:"sd"`
	P          float64 `json:"p"`          // of the difference from the best, paired over seeds; 1 for the best itself
	PHolm      float64 `json:"p_holm"`     // after Holm's correction for Comparison.Comparisons, which decides
	Detectable float64 `json:"detectable"` // smallest difference from the best that the seeds would show, see Pair; 0 for the best itself
	Tied       bool    `json:"tied"`       // no difference from the best that the seeds show

	variant Variant
	pair    Pair // of the best with it
}

// choose ranks the values of the first setting of the sweep. It needs at least three variants to be worth a word. In each place the
// values are held against the best one there, and the tests of all places together are corrected for their number.
func (c *Comparison) choose() {
	if len(c.Variants) < 3 || len(c.Variants[0].varies) == 0 {
		return
	}
	var places []string
	groups := map[string][]Variant{}
	for _, v := range c.Variants {
		where := strings.Join(v.varies[1:], " ")
		if _, ok := groups[where]; !ok {
			places = append(places, where)
		}
		groups[where] = append(groups[where], v)
	}
	comparisons := 0
	for _, variants := range groups {
		if len(variants) < 2 {
			return
		}
		comparisons += len(variants) - 1
	}

	c.Comparisons = comparisons
	var family []Pair
	for _, where := range places {
		variants := groups[where]
		slices.SortStableFunc(variants, func(a, b Variant) int {
			switch {
			case c.better(a.Mean, b.Mean):
				return -1
			case c.better(b.Mean, a.Mean):
				return 1
			}
			return 0
		})
		for _, v := range variants[1:] {
			family = append(family, paired(variants[0], v, comparisons))
		}
	}
	holm(family)

	for _, where := range places {
		choice := Choice{Where: where}
		for i, v := range groups[where] {
			key, value, _ := strings.Cut(v.varies[0], "=")
			choice.Setting = key
			r := Rank{Value: value, Mean: v.Mean, SD: v.SD, P: 1, PHolm: 1, Tied: true, variant: v}
			if i > 0 {
				r.pair = family[i-1]
				r.P, r.PHolm, r.Detectable, r.Tied = r.pair.P, r.pair.PHolm, r.pair.Detectable, !r.pair.shown()
			}
			choice.Ranking = append(choice.Ranking, r)
		}
		family = family[len(groups[where])-1:]
		choice.Verdict = choice.words(c.Metric, len(c.Seeds))
		c.Choices = append(c.Choices, choice)
	}
}

// better reports whether the value a of the metric is better than b; of a metric that is not known, more is.
func (c *Comparison) better(a, b float64) bool {
	n, ok := train.Describe(c.Metric)
	if !ok {
		return a > b
	}
	return n.Better.Than(a, b)
}

// words says which value to use.
func (c Choice) words(metric string, seeds int) string {
	best := c.Ranking[0]
	text := fmt.Sprintf("use %s=%s (%s %.4f)", c.Setting, best.Value, metric, best.Mean)
	if c.Where != "" {
		text = fmt.Sprintf("with %s %s", c.Where, text)
	}
	if seeds < 2 {
		return text + "; one seed shows nothing of the noise, use three or more"
	}
	var tied, behind []string
	for _, r := range c.Ranking[1:] {
		entry := fmt.Sprintf("%s %.4f", r.Value, r.Mean)
		if r.Tied {
			tied = append(tied, entry)
		} else {
			behind = append(behind, entry)
		}
	}
	if len(tied) > 0 {
		text += fmt.Sprintf("; %d seeds show no difference to %s", seeds, strings.Join(tied, ", "))
	}
	if len(behind) > 0 {
		text += "; behind it are " + strings.Join(behind, ", ")
	}
	return text
}

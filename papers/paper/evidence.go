package paper

import (
	"cmp"
	"slices"
	"strings"
)

// Together is the verdict on a paper's claims over the seeds of all its entries.
type Together struct {
	Slug   string        `json:"slug"`
	Seeds  []uint64      `json:"seeds"`
	Claims []ClaimResult `json:"claims"`
}

// Evidence is all that a ledger has of a paper: what all seeds say together, and each set of seeds on its own. With one set both are the
// same.
type Evidence struct {
	Entry
	Sets []Entry `json:"sets"`
}

// Evidence returns what the ledger has of a paper.
func (l Ledger) Evidence(slug string) (Evidence, bool) {
	sets := l.of(slug)
	if len(sets) == 0 {
		return Evidence{}, false
	}
	found := Evidence{Entry: pool(sets), Sets: sets}
	i := slices.IndexFunc(l.Together, func(t Together) bool { return t.Slug == slug })
	if i < 0 {
		return found, true
	}
	for k, c := range found.Claims {
		j := slices.IndexFunc(l.Together[i].Claims, func(of ClaimResult) bool { return of.Name == c.Name })
		if j >= 0 {
			arms := c.Arms
			found.Claims[k] = l.Together[i].Claims[j]
			found.Claims[k].Arms = arms
		}
	}
	return found, true
}

// of are the entries of a paper.
func (l Ledger) of(slug string) (sets []Entry) {
	for _, e := range l.Entries {
		if e.Slug == slug {
			sets = append(sets, e)
		}
	}
	return sets
}

// forget drops the verdicts on a paper, for Judge to give them anew.
func (l *Ledger) forget(slug string) {
	for i, e := range l.Entries {
		if e.Slug != slug {
			continue
		}
		l.Entries[i].Claims = slices.Clone(e.Claims)
		for k := range e.Claims {
			l.Entries[i].Claims[k].Certainty = Certainty{}
		}
	}
	l.Together = slices.DeleteFunc(l.Together, func(t Together) bool { return t.Slug == slug })
}

// Judge gives the verdicts that are missing: of entries, and of all seeds of a paper together where its entries are others than those
// that were judged. A claim that the list has no more, or that now reads what was not measured, is judged by what its means were said
// to do.
func (l *Ledger) Judge(list []Paper) {
	for i := range l.Entries {
		e := &l.Entries[i]
		for k, c := range e.Claims {
			if c.Verdict == "" {
				e.Claims[k] = c.judge(list, e.Slug)
			}
		}
	}

	var together []Together
	for _, e := range l.Entries {
		if !slices.ContainsFunc(together, func(t Together) bool { return t.Slug == e.Slug }) {
			together = append(together, l.together(list, e.Slug))
		}
	}
	slices.SortStableFunc(together, func(a, b Together) int { return cmp.Compare(a.Slug, b.Slug) })
	l.Together = together
}

// together is what all seeds of a paper say, as it was judged before or anew.
func (l Ledger) together(list []Paper, slug string) Together {
	all := pool(l.of(slug))
	i := slices.IndexFunc(l.Together, func(t Together) bool { return t.Slug == slug && slices.Equal(t.Seeds, all.Seeds) })
	if i >= 0 {
		return l.Together[i]
	}
	t := Together{Slug: slug, Seeds: all.Seeds, Claims: slices.Clone(all.Claims)}
	for k, c := range t.Claims {
		if c.Verdict == "" {
			t.Claims[k] = c.judge(list, slug)
		}
		t.Claims[k].Arms = nil
	}
	return t
}

// judge gives the verdict from the values of each seed.
func (r ClaimResult) judge(list []Paper, slug string) ClaimResult {
	for _, p := range list {
		for _, c := range p.Claims {
			if p.Slug != slug || c.Name != r.Name {
				continue
			}
			if _, err := check(c, r.measured()); err == nil {
				judged := Judge(c, r.measured())
				judged.Arms = r.Arms
				return judged
			}
		}
	}
	r.Certainty = Certainty{Verdict: NotHeld, Why: "by the means alone: the claim has changed since"}
	if r.MeansHold {
		r.Verdict = Held
	}
	return r
}

// measured are the values of the claim's arms.
func (r ClaimResult) measured() Measured {
	m := Measured{}
	for _, arm := range r.Arms {
		m[arm.Name] = map[string][]float64{}
		for name, s := range arm.Metrics {
			m[arm.Name][name] = s.Values
		}
	}
	return m
}

// pool is one entry of the seeds of several, without verdicts; of one alone it is that one.
func pool(sets []Entry) Entry {
	if len(sets) == 1 {
		one := sets[0]
		one.Claims = slices.Clone(one.Claims)
		return one
	}
	all := Entry{Slug: sets[0].Slug}
	for _, e := range sets {
		all.Seeds = append(all.Seeds, e.Seeds...)
		all.Seconds += e.Seconds
		all.Engine, all.Machine = joined(all.Engine, e.Engine), joined(all.Machine, e.Machine)
		all.Version, all.Commit = joined(all.Version, e.Version), joined(all.Commit, e.Commit)
		if e.Date.After(all.Date) {
			all.Date = e.Date
		}
		for _, c := range e.Claims {
			if !slices.ContainsFunc(all.Claims, func(other ClaimResult) bool { return other.Name == c.Name }) {
				all.Claims = append(all.Claims, poolClaim(c.Name, sets))
			}
		}
	}
	return all
}

// poolClaim puts the values of a claim's arms behind each other, set after set: those of the metrics that every set has.
func poolClaim(name string, sets []Entry) ClaimResult {
	var of []ClaimResult
	for _, e := range sets {
		for _, c := range e.Claims {
			if c.Name == name {
				of = append(of, c)
			}
		}
	}
	if len(of) == 1 {
		return of[0]
	}

	last := of[len(of)-1]
	all := ClaimResult{Name: name, Statement: last.Statement, MeansHold: true, Inequalities: last.Inequalities}
	for _, c := range of {
		all.MeansHold = all.MeansHold && c.MeansHold
	}
	for _, arm := range last.Arms {
		metrics := map[string]Summary{}
		for metric := range arm.Metrics {
			var values []float64
			everywhere := true
			for _, c := range of {
				i := slices.IndexFunc(c.Arms, func(a ArmResult) bool { return a.Name == arm.Name })
				if i < 0 || len(c.Arms[i].Metrics[metric].Values) == 0 {
					everywhere = false
					break
				}
				values = append(values, c.Arms[i].Metrics[metric].Values...)
			}
			if everywhere {
				metrics[metric] = Summarise(values)
			}
		}
		all.Arms = append(all.Arms, ArmResult{Name: arm.Name, Metrics: metrics})
	}
	return all
}

// joined adds a word to those that are there, once.
func joined(words, word string) string {
	if words == "" || slices.Contains(strings.Split(words, "; "), word) {
		return cmp.Or(words, word)
	}
	return words + "; " + word
}

package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/metric"
)

// Verdict is what the audit found, in a sentence.
func (r Report) Verdict() string {
	var clauses []string
	for _, s := range r.Sections {
		if s.Says != "" {
			clauses = append(clauses, s.Says)
		}
	}
	if len(clauses) == 0 {
		for _, n := range r.main() {
			clauses = append(clauses, n.Label()+" "+n.Text())
		}
	}
	if len(clauses) == 0 {
		return ""
	}
	return sentence(strings.Join(clauses, "; ")) + "."
}

// main are the numbers that matter most, of all sections.
func (r Report) main() []metric.Number {
	var all []metric.Number
	for _, s := range r.Sections {
		all = append(all, s.main()...)
	}
	return all
}

// InWords is what became better and what became worse, in a sentence that leaves nothing out:
//
//	Better on the data as it is, worse under shift: ECE goes from 0.1009 to 0.0034, ECE under shift from 0.2627 to 0.3046; accuracy stays at 99.16 %.
func (c Comparison) InWords() string {
	head, details := c.headline(), c.details()
	switch {
	case head == "":
		return ""
	case details == "":
		return head + "."
	}
	return head + ": " + details + "."
}

// headline says where the model became better and where worse.
func (c Comparison) headline() string {
	var heads []string
	for _, state := range c.states() {
		heads = append(heads, state.word+" "+list(state.where))
	}
	return sentence(strings.Join(heads, ", "))
}

// details are the numbers that matter most: those that changed, and those that did not.
func (c Comparison) details() string {
	var moved, kept []string
	after := c.After.main()
	for _, b := range c.Before.main() {
		a, ok := find(after, b.Name)
		switch {
		case !ok:
		case a.Text() != b.Text() && len(moved) == 0:
			moved = append(moved, fmt.Sprintf("%s goes from %s to %s", b.Title, b.Text(), a.Text()))
		case a.Text() != b.Text():
			moved = append(moved, fmt.Sprintf("%s from %s to %s", b.Title, b.Text(), a.Text()))
		case len(kept) == 0:
			kept = append(kept, fmt.Sprintf("%s stays at %s", b.Title, b.Text()))
		default:
			kept = append(kept, fmt.Sprintf("%s at %s", b.Title, b.Text()))
		}
	}
	var parts []string
	for _, part := range [][]string{moved, kept} {
		if len(part) > 0 {
			parts = append(parts, strings.Join(part, ", "))
		}
	}
	return strings.Join(parts, "; ")
}

// state is how inputs of some kinds fare after a change.
type state struct {
	word  string // better, worse, better and worse, unchanged
	where []string
}

// states groups the inputs by how they fare, in the order of the sections.
func (c Comparison) states() []state {
	var places []string
	words := map[string][]string{}
	for _, s := range c.Before.Sections {
		for _, b := range s.Numbers {
			a, ok := c.After.Number(b.Name)
			if !ok {
				continue
			}
			if !slices.Contains(places, s.where()) {
				places = append(places, s.where())
			}
			if v := verdict(b, a); v != "" && !slices.Contains(words[s.where()], v) {
				words[s.where()] = append(words[s.where()], v)
			}
		}
	}

	var states []state
	for _, where := range places {
		slices.Sort(words[where])
		word := strings.Join(words[where], " and ")
		if word == "" {
			word = "unchanged"
		}
		at := slices.IndexFunc(states, func(s state) bool { return s.word == word })
		if at < 0 {
			at = len(states)
			states = append(states, state{word: word})
		}
		states[at].where = append(states[at].where, where)
	}
	return states
}

// grade is the whole change in a word: better, worse, mixed, or "" where nothing changed that has a direction.
func (c Comparison) grade() string {
	seen := map[string]bool{}
	for _, change := range c.changes() {
		seen[change.Verdict] = true
	}
	switch {
	case seen[better] && seen[worse]:
		return "mixed"
	case seen[better]:
		return better
	case seen[worse]:
		return worse
	}
	return ""
}

// Verdict is which model is best in what, in a sentence.
func (s Several) Verdict() string {
	var order []string
	best := map[string][]string{}
	for _, n := range s.Reports[0].main() {
		names, text := s.best(n)
		if len(names) == 0 {
			continue
		}
		who := list(names)
		if len(names) == len(s.Reports) && len(names) > 1 {
			who = "all models alike"
		}
		if !slices.Contains(order, who) {
			order = append(order, who)
		}
		best[who] = append(best[who], fmt.Sprintf("%s (%s)", n.Title, text))
	}

	var parts []string
	for _, who := range order {
		if who == "all models alike" {
			parts = append(parts, "all models are alike in "+list(best[who]))
			continue
		}
		parts = append(parts, "best in "+list(best[who])+": "+who)
	}
	if len(parts) == 0 {
		return ""
	}
	return sentence(strings.Join(parts, "; ")) + "."
}

// best are the models whose value of a number is the best as it is printed, and the value; none where neither direction is better or a model
// lacks it.
func (s Several) best(n metric.Number) (models []string, text string) {
	var top metric.Number
	for _, r := range s.Reports {
		own, ok := r.Number(n.Name)
		switch {
		case !ok || n.Better != metric.Higher && n.Better != metric.Lower:
			return nil, ""
		case models == nil || own.Text() != top.Text() && n.Better.Than(own.Value, top.Value):
			models, top = []string{r.Model}, own
		case own.Text() == top.Text():
			models = append(models, r.Model)
		}
	}
	return models, top.Text()
}

// next are the first thing to do about each model, of the first few that there is something to do about.
func (s Several) next() []Next {
	const most = 3
	var all []Next
	for _, r := range s.Reports {
		if len(r.Next) > 0 && len(all) < most {
			all = append(all, Next{Why: "for " + r.Model + ": " + r.Next[0].Why, Command: r.Next[0].Command})
		}
	}
	return all
}

// list is some things as a sentence has them.
func list(things []string) string {
	if len(things) < 2 {
		return strings.Join(things, "")
	}
	return strings.Join(things[:len(things)-1], ", ") + " and " + things[len(things)-1]
}

package report

import (
	"fmt"
	"slices"
	"strings"
)

// examples are the wrong answers that the reports are surest of: of one report, of what a model has become, or of several models in turn.
// Each is shown once, with what every report says of it.
func (v view) examples() gallery {
	lists := make([][]Example, len(v.reports))
	for i, r := range v.reports {
		for _, s := range r.Sections {
			lists[i] = append(lists[i], s.Examples...)
		}
	}
	chosen := choose(lists)
	if v.compared {
		chosen = choose(lists[1:])
	}
	if len(chosen) == 0 {
		return gallery{}
	}

	g := gallery{Title: "Which answers are wrong and sure?", Says: "The wrong answers that the model gives with the highest confidence."}
	if v.compared {
		g.Says = "The wrong answers that the model gives with the highest confidence after the change."
	} else if len(v.reports) > 1 {
		g.Says = "The wrong answers that each model gives with the highest confidence."
	}
	g.Says += " With each: its label, and the answer with its confidence."
	for _, e := range chosen {
		shown := shownExample{Index: e.Index, Label: e.Label}
		for i, list := range lists {
			at := slices.IndexFunc(list, func(other Example) bool { return other.Index == e.Index })
			if at < 0 {
				continue
			}
			own := list[at]
			text := fmt.Sprintf("%s, %s", own.Predicted, percent(own.Confidence))
			if v.captions[i] != "" {
				text = v.captions[i] + ": " + text
			} else {
				text = "answer " + text
			}
			shown.Answers = append(shown.Answers, text)
			if own.Picture != nil && shown.PNG == "" {
				shown.PNG = source(own.Picture)
			}
		}
		g.Pictures = append(g.Pictures, shown)
	}
	if slices.ContainsFunc(g.Pictures, func(e shownExample) bool { return e.PNG == "" }) {
		g.Table = v.exampleTable(g.Pictures)
		g.Pictures = nil
	}
	return g
}

// choose takes the first of each list in turn, none twice.
func choose(lists [][]Example) []Example {
	var chosen []Example
	for place := 0; len(chosen) < mostShown; place++ {
		more := false
		for _, list := range lists {
			if place >= len(list) {
				continue
			}
			more = true
			same := func(e Example) bool { return e.Index == list[place].Index }
			if len(chosen) < mostShown && !slices.ContainsFunc(chosen, same) {
				chosen = append(chosen, list[place])
			}
		}
		if !more {
			break
		}
	}
	return chosen
}

// exampleTable is the examples where there is no picture of them.
func (v view) exampleTable(examples []shownExample) grid {
	g := grid{Caption: "Wrong answers, the surest first", Corner: "example", Heads: []string{"label", "answer"}}
	group := rowGroup{}
	for _, e := range examples {
		answers := ""
		for i, a := range e.Answers {
			if i > 0 {
				answers += "; "
			}
			answers += strings.TrimPrefix(a, "answer ")
		}
		group.Rows = append(group.Rows, gridRow{Name: fmt.Sprint(e.Index), Cells: []cell{{Text: e.Label}, {Text: answers}}})
	}
	g.Groups = []rowGroup{group}
	return g
}

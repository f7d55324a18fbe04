package report

import (
	"fmt"
	"slices"
	"strings"
)

// facts are the footer: what made the page, of what.
func (v view) facts() []fact {
	first := v.reports[0]
	var facts []fact
	made := "ballast"
	if first.Version != "" {
		made += " " + first.Version
	}
	if first.Commit != "" {
		made += ", commit " + first.Commit
	}
	facts = append(facts, fact{Name: "Made by", Text: []string{made}})
	if !first.Created.IsZero() {
		facts = append(facts, fact{Name: "Made on", Text: []string{first.Created.Format("2006-01-02 15:04 MST")}})
	}
	how := fmt.Sprintf("seed %d", first.Seed)
	if first.Engine != "" {
		how += ", engine " + first.Engine
	}
	facts = append(facts, fact{Name: "Measured with", Text: []string{how}})
	facts = append(facts, fact{Name: "Data", Text: []string{fmt.Sprintf("%s, %d examples", first.Data, first.Examples)}})
	if first.DataChecksum != "" {
		facts = append(facts, fact{Name: "Checksum of the data", Code: true, Text: []string{first.DataChecksum}})
	}

	var data []string
	for _, a := range first.DataAssumed {
		data = append(data, a.What+": "+a.Text())
	}
	if len(data) > 0 {
		facts = append(facts, fact{Name: "Data taken for", Text: data})
	}

	var taken []string
	for i, r := range v.reports {
		for _, a := range r.Assumed {
			line := a.What + ": " + a.Text()
			if v.captions[i] != "" && len(v.captions) > 1 && !v.compared {
				line = v.captions[i] + ": " + line
			}
			if !slices.Contains(taken, line) {
				taken = append(taken, line)
			}
		}
	}
	if len(taken) > 0 {
		facts = append(facts, fact{Name: "Model taken for", Text: taken})
	}

	// A file that is the same in both, as the weights of a model whose temperature alone was changed, is named once.
	var sums []string
	for i, r := range v.reports {
		for _, f := range r.Files {
			line := fmt.Sprintf("%s %s", f.SHA256, f.Path)
			if v.captions[i] != "" && len(v.captions) > 1 {
				line = v.captions[i] + ": " + line
			}
			same := func(other string) bool { return strings.HasSuffix(other, f.SHA256+" "+f.Path) }
			if !slices.ContainsFunc(sums, same) {
				sums = append(sums, line)
			}
		}
	}
	if len(sums) > 0 {
		facts = append(facts, fact{Name: "SHA-256 of the files", Code: true, Text: sums})
	}
	return facts
}

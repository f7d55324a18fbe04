package data

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ballast-ml/ballast/internal/strict"
)

// nameMatch is which outputs the classes of a set are, by name.
type nameMatch struct {
	to      []int32  // of each class; -1 = it has no match
	missing []string // classes without a match
	twice   []string // names that several outputs have and a class asks for
	notes   []string // matches that are not of equal names
}

// matchNames finds each class among the labels: by its name, by its name in another spelling, by one of a label's synonyms, or as a place.
func matchNames(classes, labels []string) nameMatch {
	exact, folded, synonyms := map[string][]int{}, map[string][]int{}, map[string][]int{}
	for k, label := range labels {
		exact[label] = append(exact[label], k)
		folded[fold(label)] = append(folded[fold(label)], k)
		for _, s := range synonymsOf(label) {
			if at := synonyms[s]; len(at) == 0 || at[len(at)-1] != k {
				synonyms[s] = append(at, k)
			}
		}
	}
	places := !numeric(labels)
	inOrder := len(classes) == 1000 && len(labels) == 1000 && allSynsets(classes) && !slices.ContainsFunc(labels, isSynset)

	m := nameMatch{to: make([]int32, len(classes))}
	var spelt, counted []string
	for i, class := range classes {
		found := exact[class]
		if len(found) == 0 {
			if found = folded[fold(class)]; len(found) == 0 {
				found = synonyms[fold(class)]
			}
			if len(found) == 1 {
				spelt = append(spelt, strict.Short(class)+" is "+strict.Short(labels[found[0]]))
			}
		}
		place, isPlace := placeIn(class)
		switch {
		case len(found) == 1:
			m.to[i] = int32(found[0])
		case len(found) > 1:
			m.to[i] = -1
			m.twice = append(m.twice, class)
		case inOrder: // ImageNet's classes are numbered in the order of their synsets
			m.to[i] = int32(i)
			counted = append(counted, strict.Short(class)+" is "+strict.Short(labels[i]))
		case isPlace && places && place < len(labels):
			m.to[i] = int32(place)
			counted = append(counted, strict.Short(class)+" is "+strict.Short(labels[place]))
		default:
			m.to[i] = -1
			m.missing = append(m.missing, class)
		}
	}
	if len(spelt) > 0 {
		m.notes = append(m.notes, fmt.Sprintf("%d %s another spelling: %s", len(spelt), plural(len(spelt), "class is matched in", "classes are matched in"), few(spelt)))
	}
	if len(counted) > 0 {
		m.notes = append(m.notes, fmt.Sprintf("%d %s by number: %s", len(counted), plural(len(counted), "class is matched", "classes are matched"), few(counted)))
	}
	return m
}

// kept are the examples whose classes have a match.
func (m nameMatch) kept(ds Dataset) []int32 {
	kept := []int32{}
	for i := range ds.Len() {
		if label := ds.Label(i); label < 0 || int(label) >= len(m.to) || m.to[label] >= 0 {
			kept = append(kept, int32(i))
		}
	}
	return kept
}

// unused are the labels that no class is.
func (m nameMatch) unused(labels []string) []string {
	var rest []string
	for k, label := range labels {
		if !slices.Contains(m.to, int32(k)) {
			rest = append(rest, label)
		}
	}
	return rest
}

// fold is a name without what people write differently: case, and what parts its words.
func fold(name string) string {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return r == '_' || r == '-' || r == ' ' || r == '\t' || r == '\'' })
	return strings.Join(words, " ")
}

// synonymsOf are the names that a label lists, folded: "tench, Tinca tinca", also behind a synset, which is one of them.
func synonymsOf(label string) []string {
	var all []string
	if head, rest, ok := strings.Cut(label, " "); ok && isSynset(strings.TrimRight(head, ",:")) {
		all, label = append(all, strings.ToLower(strings.TrimRight(head, ",:"))), rest
		all = append(all, fold(rest))
	}
	if strings.Contains(label, ",") {
		for _, one := range strings.Split(label, ",") {
			if one = fold(one); one != "" {
				all = append(all, one)
			}
		}
	}
	return all
}

// isSynset reports whether a name is a synset of ImageNet: n and eight digits.
func isSynset(name string) bool {
	return len(name) == 9 && (name[0] == 'n' || name[0] == 'N') && strings.Trim(name[1:], "0123456789") == ""
}

func allSynsets(names []string) bool {
	return len(names) > 0 && !slices.ContainsFunc(names, func(name string) bool { return !isSynset(name) })
}

// placeIn is the number of a name that is a place: "3", "LABEL_3", "class 3".
func placeIn(name string) (int, bool) {
	name = fold(name)
	for _, word := range []string{"label ", "class ", "label", "class"} {
		if rest, ok := strings.CutPrefix(name, word); ok {
			name = rest
			break
		}
	}
	if name == "" || strings.Trim(name, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(name)
	return n, err == nil
}

// nearLabel is the label whose name, or one of whose synonyms, is near a name.
func nearLabel(name string, labels []string) (string, bool) {
	of := map[string]string{}
	var known []string
	for _, label := range labels {
		for _, s := range append([]string{label}, synonymsOf(label)...) {
			if of[s] == "" {
				of[s] = label
				known = append(known, s)
			}
		}
	}
	near, ok := strict.Nearest(name, known)
	return of[near], ok
}

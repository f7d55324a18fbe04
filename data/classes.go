package data

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ballast-ml/ballast/internal/strict"
)

// Match gives a set the classes of a model, of which labels are the names: by name where both sides have names, so that folders in another
// order or with fewer classes are judged rightly. Names are the same whatever their case, and whether blanks, underscores or dashes part their
// words; a label that lists synonyms, "tench, Tinca tinca", is known by each that no other label has, and by a synset in front of them.
// Numbers, and names such as LABEL_3 and class 3, are places among labels that are words.
//
// A class that the model lacks is a usage error, with the number of its examples and the nearest name; one that the set lacks is noted. Where one side only counts its classes (0, 1, 2, ..., as arrays do), or byPlace asks for
// it, class k of the set is output k, which is noted unless both count; then the set stays as it is. Names that are numbers are names where
// the model has them, and one beyond them is an error: the set counts from another number. who names the caller in errors.
func Match(who string, ds Dataset, model string, labels []string, byPlace bool) (same Dataset, notes []string, err error) {
	return Matching{ByPlace: byPlace}.Match(who, ds, model, labels)
}

// Matching says how the classes of a set and the outputs of a model are matched.
type Matching struct {
	ByPlace       bool // class k is output k, whatever the two are called
	SkipUnmatched bool // examples of classes that the model lacks are left out and counted in a note, unless no class has a match

	// Offer is the flag that sets SkipUnmatched, for errors; "" = there is none.
	Offer string
}

// Match is the function Match with what m says.
func (m Matching) Match(who string, ds Dataset, model string, labels []string) (same Dataset, notes []string, err error) {
	info := ds.Info()
	classes := info.Classes
	if len(labels) == 0 || slices.Equal(labels, classes) {
		return ds, nil, nil
	}

	counted := numbered(classes) && !numeric(labels) || numbered(labels) && !numeric(classes)
	both := numbered(classes) && numbered(labels)
	switch {
	case !m.ByPlace && numbered(labels) && len(classes) != len(labels) && allSynsets(classes):
		return nil, nil, usage("%s: the classes of %s are synsets of ImageNet, and the outputs of the model %s have no names; write the synset of each output "+
			"into labels.txt beside the model, one per line, or match class k with output k with --by-place", who, info.Name, model)
	case m.ByPlace || counted || both:
		if len(classes) > len(labels) {
			return nil, nil, usage("%s: %s has %d classes, the model %s knows %d", who, info.Name, len(classes), model, len(labels))
		}
		if !both && len(classes) > 0 {
			notes = []string{fmt.Sprintf("classes are matched by their place, not by name: %s of %s is %s of %s",
				strict.Short(classes[0]), info.Name, strict.Short(labels[0]), model)}
		}
		return ds, notes, nil
	}

	found := matchNames(classes, labels)
	out := len(found.missing)
	switch {
	case len(found.twice) > 0:
		return nil, nil, usage("%s: several outputs of the model %s have one name, %s, so names do not tell which is meant; match class k with output k with --by-place",
			who, model, strict.Short(found.twice[0]))
	case out > 0 && (!m.SkipUnmatched || out == len(classes) || numeric(classes) && numeric(labels)):
		return nil, nil, m.unknown(who, ds, model, labels, found)
	}
	notes = append(notes, found.notes...)
	if out > 0 {
		kept := found.kept(ds)
		notes = append(notes, fmt.Sprintf("%d of %d examples are left out: %s", ds.Len()-len(kept), ds.Len(), lacks(model, labels, found.missing, info.Name)))
		ds = Subset(ds, kept)
		info = ds.Info()
	}
	if lacking := found.unused(labels); len(lacking) > 0 {
		notes = append(notes, fmt.Sprintf("%s has no examples of %s, which %s knows", info.Name, listed(lacking), model))
	}
	info.Classes = slices.Clone(labels)
	return matched{Dataset: ds, info: info, to: found.to}, notes, nil
}

// matched is a set whose classes have other numbers.
type matched struct {
	Dataset
	info Info
	to   []int32 // of each class, its number now
}

func (r matched) Info() Info { return r.info }

func (r matched) Label(i int) int32 {
	label := r.Dataset.Label(i)
	if label < 0 || int(label) >= len(r.to) {
		return label
	}
	return r.to[label]
}

// View says what the set is made of.
func (r matched) View() (of Dataset, at func(i int) int) {
	return r.Dataset, func(i int) int { return i }
}

// StableIndex is that of the set it is made of: what is drawn for an example does not depend on what its class is called.
func (r matched) StableIndex(i int) int32 {
	if from, ok := r.Dataset.(Indexed); ok {
		return from.StableIndex(i)
	}
	return int32(i)
}

// lacks says which classes have no match, and what the first may be.
func lacks(model string, labels, missing []string, set string) string {
	text := fmt.Sprintf("the model %s lacks %s of %s", model, listed(missing), set)
	if near, ok := nearLabel(missing[0], labels); ok {
		text += fmt.Sprintf(" (is %s its %s?)", strict.Short(missing[0]), strict.Short(near))
	}
	return text
}

// unknown refuses a set with classes that have no match.
func (m Matching) unknown(who string, ds Dataset, model string, labels []string, found nameMatch) error {
	info, n := ds.Info(), ds.Len()
	text := fmt.Sprintf("%s: %s; it knows %s", who, lacks(model, labels, found.missing, info.Name), listed(labels))
	if len(found.missing) == len(info.Classes) {
		return usage("%s; no class has a match: name them as the model does, or match class k with output k with --by-place", text)
	}
	offer := ""
	if m.Offer != "" && !m.SkipUnmatched {
		offer = fmt.Sprintf(" (%s leaves out %d of %d examples)", m.Offer, n-len(found.kept(ds)), n)
	}
	if numeric(info.Classes) && numeric(labels) { // a set that counts from 1 would lose its last class, and the others be taken for their neighbours
		offer = ""
	}
	return usage("%s; leave them out of the data%s, name them as the model does, or match class k with output k with --by-place", text, offer)
}

// numbered reports whether names are nothing but their places: 0, 1, 2, ...
func numbered(names []string) bool {
	for k, name := range names {
		if name != strconv.Itoa(k) {
			return false
		}
	}
	return true
}

// numeric reports whether all names are whole numbers.
func numeric(names []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { _, err := strconv.Atoi(name); return err != nil })
}

// listed names the first few of several classes.
func listed(names []string) string {
	const most = 10
	shown := make([]string, 0, most)
	for _, name := range names[:min(most, len(names))] {
		shown = append(shown, strict.Short(name))
	}
	text := "the class " + strings.Join(shown, ", ")
	if len(names) > 1 {
		text = "the classes " + strings.Join(shown, ", ")
	}
	if more := len(names) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

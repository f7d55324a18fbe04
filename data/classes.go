package data

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ballast-ml/ballast/internal/strict"
)

// Match gives a set the classes of a model, of which labels are the names: by name where both sides have names, so that folders in another
// order or with fewer classes are judged rightly. A class that the model lacks is a usage error; one that the set lacks is noted. Where one
// side only counts its classes (0, 1, 2, ..., as arrays do), or byPlace asks for it, class k of the set is output k, which is noted unless
// both count; then the set stays as it is. Names that are numbers are names where the model has them. who names the caller in errors.
func Match(who string, ds Dataset, model string, labels []string, byPlace bool) (same Dataset, notes []string, err error) {
	info := ds.Info()
	classes := info.Classes
	if len(labels) == 0 || slices.Equal(labels, classes) {
		return ds, nil, nil
	}

	missing := without(classes, labels)
	counted := numbered(classes) && !numeric(labels) || numbered(labels) && !numeric(classes)
	both := numbered(classes) && numbered(labels)
	switch {
	case byPlace || counted || both:
		if len(classes) > len(labels) {
			return nil, nil, usage("%s: %s has %d classes, the model %s knows %d", who, info.Name, len(classes), model, len(labels))
		}
		if !both && len(classes) > 0 {
			notes = []string{fmt.Sprintf("classes are matched by their place, not by name: %s of %s is %s of %s",
				strict.Short(classes[0]), info.Name, strict.Short(labels[0]), model)}
		}
		return ds, notes, nil
	case len(missing) > 0:
		return nil, nil, unknownClasses(who, info.Name, model, labels, missing)
	case repeats(labels):
		return nil, nil, usage("%s: several outputs of the model %s have one name, so names do not tell which is meant; match class k with output k with --by-place", who, model)
	}

	to := make([]int32, len(classes))
	for k, name := range classes {
		to[k] = int32(slices.Index(labels, name))
	}
	if lacking := without(labels, classes); len(lacking) > 0 {
		notes = []string{fmt.Sprintf("%s has no examples of %s, which %s knows", info.Name, listed(lacking), model)}
	}
	info.Classes = slices.Clone(labels)
	return matched{Dataset: ds, info: info, to: to}, notes, nil
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

func unknownClasses(who, set, model string, labels, missing []string) error {
	text := fmt.Sprintf("%s: the model %s lacks %s of %s", who, model, listed(missing), set)
	if near, ok := strict.Nearest(missing[0], labels); ok {
		text += fmt.Sprintf(" (is %s its %s?)", strict.Short(missing[0]), strict.Short(near))
	}
	return usage("%s; it knows %s; leave them out of the data, name them as the model does, or match class k with output k with --by-place", text, listed(labels))
}

// without are the names that are not among others.
func without(names, others []string) []string {
	known := map[string]bool{}
	for _, name := range others {
		known[name] = true
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return known[name] })
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

// repeats reports whether a name stands twice.
func repeats(names []string) bool {
	return len(slices.Compact(slices.Sorted(slices.Values(names)))) < len(names)
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

package data

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// Subset is the examples of ds at the given indices, in that order. It keeps their stable indices, and stays a Byted one.
func Subset(ds Dataset, indices []int32) Dataset { return notedSubset(ds, indices, nil) }

func notedSubset(ds Dataset, indices []int32, notes []Note) Dataset {
	info := ds.Info()
	info.Examples = len(indices)
	info.Checksum = derived(info.Checksum, fmt.Sprint("subset ", indices))
	s := subset{from: ds, info: info, indices: indices, notes: notes}
	if b, ok := ds.(Byted); ok {
		size := info.Size()
		all := b.Bytes()
		pixels := make([]byte, 0, len(indices)*size)
		for _, i := range indices {
			pixels = append(pixels, all[int(i)*size:(int(i)+1)*size]...)
		}
		return bytedSubset{subset: s, pixels: pixels}
	}
	return s
}

type subset struct {
	from    Dataset
	info    Info
	indices []int32
	notes   []Note // of how the examples were chosen, where that may surprise
}

func (s subset) Info() Info                      { return s.info }
func (s subset) Len() int                        { return len(s.indices) }
func (s subset) Label(i int) int32               { return s.from.Label(int(s.indices[i])) }
func (s subset) Read(i int, dst []float32) error { return s.from.Read(int(s.indices[i]), dst) }

// Notes are how the examples were chosen.
func (s subset) Notes() []Note { return s.notes }

// View says what a subset is made of.
func (s subset) View() (of Dataset, at func(i int) int) {
	return s.from, func(i int) int { return int(s.indices[i]) }
}

func (s subset) source() Dataset { return s.from }

func (s subset) on(of Dataset) Dataset {
	s.from = of
	return s
}

func (s subset) StableIndex(i int) int32 {
	if from, ok := s.from.(Indexed); ok {
		return from.StableIndex(int(s.indices[i]))
	}
	return s.indices[i]
}

type bytedSubset struct {
	subset
	pixels []byte
}

func (s bytedSubset) Bytes() []byte { return s.pixels }

// Labels returns the label of every example.
func Labels(ds Dataset) []int32 {
	labels := make([]int32, ds.Len())
	for i := range labels {
		labels[i] = ds.Label(i)
	}
	return labels
}

// Holdout splits n examples in two: the second part has round(fraction n) of them, at least one if fraction is above 0.
// Both are in ascending order.
func Holdout(n int, fraction float64, seed uint64) (rest, held []int32, err error) {
	if !(fraction >= 0 && fraction < 1) {
		return nil, nil, fmt.Errorf("data: Holdout: fraction is %v; use a share from 0 to below 1", fraction)
	}
	order := Order(n, seed, 0)
	take := share(n, fraction)
	held, rest = slices.Clone(order[:take]), slices.Clone(order[take:])
	slices.Sort(held)
	slices.Sort(rest)
	return rest, held, nil
}

// Stratified is Holdout with each class in proportion: the second part has round(fraction n) examples, and of each class
// fraction n_class of them, rounded down or up. What rounding down leaves goes to the classes with the largest remainders.
func Stratified(labels []int32, fraction float64, seed uint64) (rest, held []int32, err error) {
	if !(fraction >= 0 && fraction < 1) {
		return nil, nil, fmt.Errorf("data: Stratified: fraction is %v; use a share from 0 to below 1", fraction)
	}
	members := map[int32][]int32{}
	for _, i := range Order(len(labels), seed, 0) {
		members[labels[i]] = append(members[labels[i]], i)
	}
	classes := slices.Sorted(maps.Keys(members))
	take := map[int32]int{}
	left := share(len(labels), fraction)
	remainder := func(class int32) float64 { return fraction*float64(len(members[class])) - float64(take[class]) }
	for _, class := range classes {
		take[class] = int(fraction * float64(len(members[class])))
		left -= take[class]
	}
	slices.SortStableFunc(classes, func(a, b int32) int { return cmp.Compare(remainder(b), remainder(a)) })
	for _, class := range classes[:min(max(left, 0), len(classes))] {
		take[class]++
	}
	for _, class := range classes {
		held = append(held, members[class][:take[class]]...)
		rest = append(rest, members[class][take[class]:]...)
	}
	slices.Sort(held)
	slices.Sort(rest)
	return rest, held, nil
}

// Folds splits n examples into k parts whose sizes differ by at most one, each in ascending order.
func Folds(n, k int, seed uint64) ([][]int32, error) {
	if k < 2 || k > n {
		return nil, fmt.Errorf("data: Folds: %d parts of %d examples; use 2 to %d", k, n, n)
	}
	folds := make([][]int32, k)
	for place, i := range Order(n, seed, 0) {
		folds[place%k] = append(folds[place%k], i)
	}
	for _, f := range folds {
		slices.Sort(f)
	}
	return folds, nil
}

// share is round(fraction n), but at least 1 of a part that is asked for.
func share(n int, fraction float64) int {
	if fraction == 0 || n == 0 {
		return 0
	}
	return min(max(int(float64(n)*fraction+0.5), 1), n)
}

package data

import (
	"fmt"
	"slices"
)

// Subset is the examples of ds at the given indices, in that order. It keeps their stable indices, and stays a Byted one.
func Subset(ds Dataset, indices []int32) Dataset {
	info := ds.Info()
	info.Examples, info.Checksum = len(indices), ""
	s := subset{from: ds, info: info, indices: indices}
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
}

func (s subset) Info() Info                      { return s.info }
func (s subset) Len() int                        { return len(s.indices) }
func (s subset) Label(i int) int32               { return s.from.Label(int(s.indices[i])) }
func (s subset) Read(i int, dst []float32) error { return s.from.Read(int(s.indices[i]), dst) }

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

// Stratified is Holdout with as many examples of each class, in proportion: each class gives round(fraction n_class).
func Stratified(labels []int32, fraction float64, seed uint64) (rest, held []int32, err error) {
	if !(fraction >= 0 && fraction < 1) {
		return nil, nil, fmt.Errorf("data: Stratified: fraction is %v; use a share from 0 to below 1", fraction)
	}
	byClass := map[int32][]int32{}
	for _, i := range Order(len(labels), seed, 0) {
		byClass[labels[i]] = append(byClass[labels[i]], i)
	}
	for _, members := range byClass {
		take := share(len(members), fraction)
		held = append(held, members[:take]...)
		rest = append(rest, members[take:]...)
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

func share(n int, fraction float64) int {
	if fraction == 0 || n == 0 {
		return 0
	}
	return min(max(int(float64(n)*fraction+0.5), 1), n)
}

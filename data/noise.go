package data

import (
	"fmt"
	"slices"
)

// SymmetricNoise gives round(rate n) of the labels another class, each of the others as likely. It returns new labels and
// the indices of those that changed, ascending.
func SymmetricNoise(labels []int32, classes int, rate float64, seed uint64) (noisy, flipped []int32, err error) {
	return noise("SymmetricNoise", labels, classes, rate, seed, func(label int32, draw func(int) int) int32 {
		other := int32(draw(classes - 1))
		if other >= label {
			other++
		}
		return other
	})
}

// PairNoise gives round(rate n) of the labels the next class, the last class the first. It returns as SymmetricNoise does.
func PairNoise(labels []int32, classes int, rate float64, seed uint64) (noisy, flipped []int32, err error) {
	return noise("PairNoise", labels, classes, rate, seed, func(label int32, _ func(int) int) int32 {
		return (label + 1) % int32(classes)
	})
}

func noise(who string, labels []int32, classes int, rate float64, seed uint64, flip func(label int32, draw func(int) int) int32) (noisy, flipped []int32, err error) {
	if !(rate >= 0 && rate <= 1) || classes < 2 {
		return nil, nil, fmt.Errorf("data: %s: rate %v with %d classes; use a share from 0 to 1 and at least 2 classes", who, rate, classes)
	}
	for i, label := range labels {
		if label < 0 || int(label) >= classes {
			return nil, nil, fmt.Errorf("data: %s: label %d of example %d is outside 0 to %d", who, label, i, classes-1)
		}
	}
	noisy = slices.Clone(labels)
	flipped = slices.Clone(Order(len(labels), seed, -1)[:int(rate*float64(len(labels))+0.5)])
	slices.Sort(flipped)
	r := generator(seed, "noise", 0)
	for _, i := range flipped {
		noisy[i] = flip(labels[i], func(n int) int { return below(r, n) })
	}
	return noisy, flipped, nil
}

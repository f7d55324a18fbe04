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

// JointNoise gives round(rate n) of the labels another class j, as likely as there are examples of it: a label of class i becomes j with
// probability rate n_j/(n - n_i), n_j the examples with label j before. It returns as SymmetricNoise does. With a long tail this is the
// noise of RCAL (arXiv 2211.10955): most wrong labels are those of large classes. Errors if all labels are of one class.
func JointNoise(labels []int32, classes int, rate float64, seed uint64) (noisy, flipped []int32, err error) {
	counts := make([]int, max(classes, 0))
	for _, label := range labels {
		if label >= 0 && int(label) < classes {
			counts[label]++
		}
	}
	if rate > 0 && len(labels) > 0 && slices.Max(append(counts, 0)) == len(labels) {
		return nil, nil, fmt.Errorf("data: JointNoise: all %d labels are of one class; give labels of two or more", len(labels))
	}
	return noise("JointNoise", labels, classes, rate, seed, func(label int32, draw func(int) int) int32 {
		left := draw(len(labels) - counts[label])
		for class, count := range counts {
			if class == int(label) {
				continue
			}
			if left -= count; left < 0 {
				return int32(class)
			}
		}
		return label // not reached: the counts of the others add up to more than any draw
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

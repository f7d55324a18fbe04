package metric

import (
	"cmp"
	"math"
	"slices"
)

const (
	digitBits  = 11 // six digits hold the 62 bits below that of the sign and the highest of the exponent, which numbers of [0,1] have as 0
	digits     = 6
	digitMask  = 1<<digitBits - 1
	fewToSort  = 1 << 12 // below it, comparing is as fast as counting
	allButSign = 1<<63 - 1
)

// keyed is a value as the bits of its float64, which numbers of one sign are ordered by, and its place.
type keyed struct {
	bits  uint64
	place int32
}

// ascending is the order of values of [0,1] from the smallest on, equal ones as they stand. Many are sorted digit by digit, from the lowest on,
// each pass keeping the order of the one before: a million take a fifth of the time that comparing them does.
func ascending(values []float64) []int32 {
	order := make([]int32, len(values))
	if len(values) < fewToSort {
		for i := range order {
			order[i] = int32(i)
		}
		slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(values[a], values[b]) })
		return order
	}

	var counts [digits][1 << digitBits]int32
	from, to := make([]keyed, len(values)), make([]keyed, len(values))
	for i, v := range values {
		bits := math.Float64bits(v) & allButSign // -0 is 0
		from[i] = keyed{bits, int32(i)}
		for d := range counts {
			counts[d][bits>>(d*digitBits)&digitMask]++
		}
	}

	for d := range counts {
		count, shift := &counts[d], d*digitBits
		if count[from[0].bits>>shift&digitMask] == int32(len(from)) {
			continue // all have the same digit
		}
		next := int32(0)
		for i, c := range count {
			count[i], next = next, next+c
		}
		for _, k := range from {
			at := &count[k.bits>>shift&digitMask]
			to[*at] = k
			*at++
		}
		from, to = to, from
	}
	for i, k := range from {
		order[i] = k.place
	}
	return order
}

package data

import (
	"fmt"
	"strings"

	"github.com/ballast-ml/ballast/internal/strict"
)

// Sampled is a set of n examples of ds, as many of each class as its share of ds says (see Stratified), in the order of ds. Which they are
// depends on ds's labels, n and the seed alone. Notes says how many are of each class. Where ds has no more than n, it is ds.
func Sampled(ds Dataset, n int, seed uint64) (Dataset, error) {
	if n < 1 {
		return nil, usage("data: a sample of %d examples; use at least 1", n)
	}
	if n >= ds.Len() {
		return ds, nil
	}
	labels := Labels(ds)
	_, index, err := Stratified(labels, float64(n)/float64(ds.Len()), seed)
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	counts := map[int32]int{}
	for _, i := range index {
		counts[labels[i]]++
	}
	return notedSubset(ds, index, []Note{{"sample", fmt.Sprintf("%d of %d examples, seed %d: %s", len(index), ds.Len(), seed, perClass(counts, ds.Info().Classes))}}), nil
}

// perClass says how many examples each class has, of the first ten classes in full.
func perClass(counts map[int32]int, classes []string) string {
	const most = 10
	var parts []string
	least, largest, without := -1, 0, 0
	for k, name := range classes {
		n := counts[int32(k)]
		if n == 0 {
			without++
		}
		if least < 0 || n < least {
			least = n
		}
		if largest = max(largest, n); k < most {
			parts = append(parts, fmt.Sprintf("%s %d", strict.Short(name), n))
		}
	}
	text := strings.Join(parts, ", ")
	if len(classes) > most {
		text += fmt.Sprintf(" and %d more classes with %d to %d each", len(classes)-most, least, largest)
	}
	if without > 0 {
		text += fmt.Sprintf("; %d %s without an example", without, plural(without, "class is", "classes are"))
	}
	return text
}

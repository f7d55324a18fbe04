package strict

import "strings"

// The limits of a search for what was meant: words beyond them are not typing errors, and lists beyond them would take long.
const (
	maxWord  = 100
	maxKnown = 10_000
)

// Nearest returns the known word closest to word by edit distance (insertions, deletions, replacements and swaps of
// neighbours, capitals ignored), if one is close enough to be what was meant: at most a third of the letters, at least 2.
// Words of more than 100 bytes are near nothing, and of a long list the first 10,000 are compared.
func Nearest(word string, known []string) (string, bool) {
	if len(word) > maxWord {
		return "", false
	}
	best, bestDistance := "", max(2, len(word)/3)+1
	lower := strings.ToLower(word)
	for _, k := range known[:min(len(known), maxKnown)] {
		if apart := len(word) - len(k); max(apart, -apart) > bestDistance {
			continue // as many insertions are needed; one more for letters whose small form is longer
		}
		if d := editDistance(lower, strings.ToLower(k)); d < bestDistance && d < max(len(word), len(k)) {
			best, bestDistance = k, d
		}
	}
	return best, best != ""
}

func editDistance(a, b string) int {
	beforePrevious, previous, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		beforePrevious, previous, row = previous, row, beforePrevious
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(previous[j]+1, row[j-1]+1, previous[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], beforePrevious[j-2]+1)
			}
		}
	}
	return row[len(b)]
}

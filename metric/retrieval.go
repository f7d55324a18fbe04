package metric

import (
	"fmt"
	"slices"
)

// Retrieval is how well vectors find others of their class: each is a query in turn, and all others are ranked by the cosine of the
// angle to it.
type Retrieval struct {
	Queries    int       // vectors whose class has another vector; the others are no queries, but are found
	Ks         []int     // of Recall
	Recall     []float64 // share of queries with one of their class among the k nearest, for each k
	RPrecision float64   // mean over queries of the share of their class among the R nearest, R the size of the class without the query
	MAPAtR     float64   // mean over queries of (1/R) sum over i <= R of the precision among the i nearest where the i-th is right, else 0
}

// pairRows is the number of rows that are compared with all others in one go.
const pairRows = 64

// Retrieve ranks vectors [n, dim] with class labels [n]. A vector of another class that is as close as one of the query's class comes
// before it, so that a network that gives everything the same vector finds nothing. Where no class has two vectors it is an error.
//
// Sources: Musgrave, Belongie, Lim, "A Metric Learning Reality Check", arXiv 2003.08505 (R-precision, MAP@R).
func Retrieve[F Float, L Label](vectors []F, labels []L, dim int, ks ...int) (Retrieval, error) {
	if err := checkVectors(vectors, len(labels), dim); err != nil {
		return Retrieval{}, err
	}
	if len(ks) > 0 && slices.Min(ks) < 1 {
		return Retrieval{}, fmt.Errorf("metric: Retrieve: recall among the %d nearest; use 1 or more", slices.Min(ks))
	}
	u, n := unit(vectors, dim), len(labels)
	members := map[L]int{}
	for _, l := range labels {
		members[l]++
	}

	// One value a query, so that sums do not depend on how rows are dealt out.
	first, precision, average := make([]int, n), make([]float64, n), make([]float64, n)
	err := inBlocks(n, pairRows, func(from, to int) error {
		for i := from; i < to; i++ {
			if members[labels[i]] > 1 {
				first[i], precision[i], average[i] = rankOne(u, labels, dim, i)
			}
		}
		return nil
	})
	if err != nil {
		return Retrieval{}, err
	}

	r := Retrieval{Ks: ks, Recall: make([]float64, len(ks))}
	for i := range n {
		if first[i] == 0 {
			continue
		}
		r.Queries++
		r.RPrecision += precision[i]
		r.MAPAtR += average[i]
		for k, most := range ks {
			if first[i] <= most {
				r.Recall[k]++
			}
		}
	}
	if r.Queries == 0 {
		return Retrieval{}, fmt.Errorf("metric: Retrieve: no class has two vectors; there is nothing to find")
	}
	r.RPrecision /= float64(r.Queries)
	r.MAPAtR /= float64(r.Queries)
	for k := range r.Recall {
		r.Recall[k] /= float64(r.Queries)
	}
	return r, nil
}

// rankOne ranks all other vectors for query i and returns the rank of the first of its class, from 1, its R-precision and its average
// precision at R.
func rankOne[L Label](u []float64, labels []L, dim, i int) (first int, precision, average float64) {
	query := u[i*dim : (i+1)*dim]
	var right, wrong []float64
	for j := range labels {
		if j == i {
			continue
		}
		s := dot(query, u[j*dim:(j+1)*dim])
		if labels[j] == labels[i] {
			right = append(right, s)
		} else {
			wrong = append(wrong, s)
		}
	}
	slices.SortFunc(right, descending)

	// ahead[r] is the number of wrong ones between the right one at place r-1 and that at place r.
	ahead := make([]int, len(right)+1)
	for _, s := range wrong {
		place, _ := slices.BinarySearchFunc(right, s, func(a, s float64) int { return descending(a, s) })
		ahead[place]++
	}
	rank := 0
	for r := range right {
		rank += 1 + ahead[r]
		if r == 0 {
			first = rank
		}
		if rank <= len(right) {
			precision++
			average += float64(r+1) / float64(rank)
		}
	}
	return first, precision / float64(len(right)), average / float64(len(right))
}

// descending orders larger values first.
func descending(a, b float64) int {
	switch {
	case a > b:
		return -1
	case a < b:
		return 1
	}
	return 0
}

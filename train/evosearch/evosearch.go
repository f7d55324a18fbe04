// Package evosearch searches for normalisation-activation layers by evolution, the method that found the EvoNorms. A candidate is a
// norm.Genome; it is tried as the norm and the activation of small anchor networks, and good candidates are mutated.
//
//	what                                  where
//	candidates                            Random, Mutate, Canonical
//	trials                                Search.Run: structural, quality and stability tests, then the accuracies
//	selection                             ParetoFront, BestAverage
//
// Source: Liu, Brock, Simonyan, Le, "Evolving Normalization-Activation Layers", arXiv 2004.02967. Its search code is not public: comments
// mark the decisions that the paper does not specify.
package evosearch

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/ballast-ml/ballast/nn/norm"
)

// Random draws a genome of n nodes: each an operation drawn evenly, applied to distinct earlier values drawn evenly. perSample leaves out
// the operations over the batch, as in the search for the S series.
func Random(r *rand.Rand, n int, perSample bool) norm.Genome {
	g := norm.NewGenome()
	g.Nodes = make([]norm.GenomeNode, n)
	for i := range g.Nodes {
		g.Nodes[i] = randomNode(r, i, perSample)
	}
	return g
}

func randomNode(r *rand.Rand, i int, perSample bool) norm.GenomeNode {
	ops := norm.GenomeOps(perSample)
	op := ops[r.IntN(len(ops))]
	return norm.GenomeNode{Op: op, Args: r.Perm(norm.GenomeInputs + i)[:norm.GenomeArgs(op)]}
}

// Mutate draws one node of the genome anew, operation and arguments; the others stay.
func Mutate(r *rand.Rand, g norm.Genome, perSample bool) norm.Genome {
	g.Nodes = slices.Clone(g.Nodes)
	i := r.IntN(len(g.Nodes))
	for {
		node := randomNode(r, i, perSample)
		if node.Op != g.Nodes[i].Op || !slices.Equal(node.Args, g.Nodes[i].Args) {
			g.Nodes[i] = node
			return g
		}
	}
}

// Canonical is the part of a genome that its result depends on, numbered without gaps: genomes of the same canonical form compute the
// same, so that one trial does for all.
func Canonical(g norm.Genome) norm.Genome {
	active := g.ActiveNodes()
	number := map[int]int{}
	for i := range norm.GenomeInputs {
		number[i] = i
	}
	out := g
	out.Nodes = nil
	for k, i := range active {
		number[i] = norm.GenomeInputs + k
		node := g.Nodes[i-norm.GenomeInputs]
		args := make([]int, len(node.Args))
		for j, a := range node.Args {
			args[j] = number[a]
		}
		out.Nodes = append(out.Nodes, norm.GenomeNode{Op: node.Op, Args: args})
	}
	return out
}

// key is a genome's canonical form as text.
func key(g norm.Genome) string {
	text, err := json.Marshal(Canonical(g).Nodes)
	if err != nil {
		panic(fmt.Sprintf("evosearch: %v", err)) // strings and numbers are always written
	}
	return string(text)
}

// ParetoFront returns the rows that no other row dominates; one dominates another that is at least as good everywhere and better
// somewhere. Rows are candidates, columns accuracies.
func ParetoFront(accuracies [][]float64) []int {
	var front []int
	for i, a := range accuracies {
		dominated := slices.ContainsFunc(accuracies, func(b []float64) bool {
			better := false
			for k := range a {
				if b[k] < a[k] {
					return false
				}
				better = better || b[k] > a[k]
			}
			return better
		})
		if !dominated {
			front = append(front, i)
		}
	}
	return front
}

// BestAverage returns the row with the highest mean, the first of several.
func BestAverage(accuracies [][]float64) int {
	best, highest := -1, 0.0
	for i, a := range accuracies {
		if m := mean(a); best < 0 || m > highest {
			best, highest = i, m
		}
	}
	return best
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v / float64(len(values))
	}
	return sum
}

package evosearch_test

import (
	"fmt"
	"math/rand/v2"

	"github.com/ballast-ml/ballast/train/evosearch"
)

// Of four candidates by their accuracy on two anchors, three are on the front: none of the others is as good on both and better on one.
func ExampleParetoFront() {
	accuracies := [][]float64{{0.90, 0.80}, {0.85, 0.85}, {0.80, 0.80}, {0.70, 0.95}}
	fmt.Println(evosearch.ParetoFront(accuracies), evosearch.BestAverage(accuracies))

	r := rand.New(rand.NewPCG(1, 1))
	parent := evosearch.Random(r, 4, true)
	child := evosearch.Mutate(r, parent, true)
	fmt.Println(len(parent.Nodes), len(child.Nodes))
	// Output:
	// [0 1 3] 0
	// 4 4
}

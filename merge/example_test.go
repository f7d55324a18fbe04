package merge_test

import (
	"fmt"
	"log"

	"github.com/ballast-ml/ballast/merge"
)

// One tensor of two fine-tuned models. Their mean takes every value; TIES keeps the half of each model's changes that is largest, and of
// those the sign that more of the change has.
func ExampleValues() {
	base := []float32{0, 0, 0, 0} // what both models began from
	models := [][]float32{{1, 0.1, 2, 0}, {1, -0.1, -1, 0}}
	target := merge.Target{Name: "kernel", Shape: []int{4}}

	mean := merge.NewLinear()
	mean.Weight = []float64{1, 1}
	ties := merge.NewTIES()
	ties.Weight, ties.Density = []float64{1, 1}, []float64{0.5, 0.5}
	for _, c := range []struct {
		method merge.Method
		base   []float32
	}{{mean, nil}, {ties, base}} {
		values, err := merge.Values(c.method, target, c.base, models)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%T %v\n", c.method, values)
	}
	// Output:
	// merge.Linear [1 0 0.5 0]
	// merge.TIES [1 0 2 0]
}

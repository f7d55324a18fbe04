package paper_test

import (
	"fmt"

	"github.com/ballast-ml/ballast/papers/paper"
)

// A claim is code over what was measured: the arms of a comparison, and the values of their metrics, one for each seed.
func ExampleMeasured() {
	measured := paper.Measured{
		"plain": {"accuracy": {0.90, 0.92, 0.91}},
		"ghost": {"accuracy": {0.94, 0.93, 0.95}},
	}
	summary := paper.Summarise(measured["ghost"]["accuracy"])
	fmt.Printf("ghost: %.2f (%.2f)\n", summary.Mean, summary.SD)
	claim := paper.AtLeast("ghost >= plain + 0.02", measured.Mean("ghost", "accuracy"), measured.Mean("plain", "accuracy")+0.02)
	fmt.Println(claim.Text, "holds:", claim.Holds)
	// Output:
	// ghost: 0.94 (0.01)
	// ghost >= plain + 0.02 holds: true
}

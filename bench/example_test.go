package bench_test

import (
	"fmt"

	"github.com/ballast-ml/ballast/bench"
)

// Two runs of the benchmarks side by side: what is clear is where the quartiles of the two do not overlap.
func ExampleCompare() {
	line := func(name string, seconds float64) bench.Result {
		return bench.Result{Suite: "ops", Name: name, Seconds: seconds, Quartile1: 0.95 * seconds, Quartile3: 1.05 * seconds}
	}
	before := &bench.File{Lines: []bench.Result{line("conv", 0.020), line("pool", 0.004)}}
	after := &bench.File{Lines: []bench.Result{line("conv", 0.010), line("pool", 0.0041)}}
	for _, c := range bench.Compare(before, after) {
		fmt.Printf("%s %s takes %.3g of the time before, clearly: %v\n", c.Suite, c.Name, c.Ratio, c.Clear)
	}
	// Output:
	// ops conv takes 0.5 of the time before, clearly: true
	// ops pool takes 1.03 of the time before, clearly: false
}

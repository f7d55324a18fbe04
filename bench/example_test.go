package bench_test

import (
	"log"
	"os"

	"github.com/ballast-ml/ballast/bench"
)

// Two runs of the benchmarks side by side: what is clear is where the quartiles of the two do not overlap.
func ExampleCompare() {
	line := func(name string, seconds float64) bench.Result {
		return bench.Result{Suite: "ops", Name: name, Seconds: seconds, Quartile1: 0.95 * seconds, Quartile3: 1.05 * seconds}
	}
	before := &bench.File{Lines: []bench.Result{line("conv", 0.020), line("pool", 0.004)}}
	after := &bench.File{Lines: []bench.Result{line("conv", 0.010), line("pool", 0.0041)}}
	if err := bench.CompareTable(os.Stdout, bench.Compare(before, after)); err != nil {
		log.Fatal(err)
	}
	// Output:
	// suite  line  before    after     ratio
	// ops    conv  20.00 ms  10.00 ms  0.50   faster
	// ops    pool  4.00 ms   4.10 ms   1.03   within the spread
}

//go:build unix

package corrupt_test

import (
	"fmt"
	"math"
	"syscall"
	"testing"
	"time"

	"github.com/ballast-ml/ballast/data/corrupt"
)

// BenchmarkApply measures each shift at each severity on one image of bytes. cpu-ms is the least processor time that a run took, which a
// load on the machine hardly changes; bench/peers/corruptions.py --clock cpu measures other libraries so.
func BenchmarkApply(b *testing.B) {
	shape := []int{224, 224, 3}
	src := photo(shape)
	dst := make([]float32, len(src))
	table, err := corrupt.FindTable(corrupt.ImageNetC)
	if err != nil {
		b.Fatal(err)
	}
	for _, s := range table.All() {
		for severity := 1; severity <= corrupt.Severities; severity++ {
			b.Run(fmt.Sprintf("%s/%d", s.Name(), severity), func(b *testing.B) {
				least := time.Duration(math.MaxInt64)
				for i := 0; b.Loop(); i++ {
					began := processorTime(b)
					s.Apply(dst, src, shape, severity, 1, i)
					least = min(least, processorTime(b)-began)
				}
				b.ReportMetric(1e3*least.Seconds(), "cpu-ms")
			})
		}
	}
}

// processorTime is what this process has taken so far.
func processorTime(b *testing.B) time.Duration {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

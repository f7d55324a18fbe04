package calibrate_test

import (
	"testing"

	"github.com/ballast-ml/ballast/calibrate"
)

// Every method on ten thousand examples of ten classes.
func BenchmarkFit(b *testing.B) {
	logits, labels := overconfident(10_000, 10)
	x, err := calibrate.NewExamples(logits, labels, 10)
	if err != nil {
		b.Fatal(err)
	}
	for _, kind := range calibrate.All() {
		b.Run(kind.Name, func(b *testing.B) {
			m := kind.New()
			if fit, err := m.Fit(x); err != nil || fit.Saturated || !(fit.NLLAfter < fit.NLLBefore) {
				b.Fatalf("%+v, %v", fit, err)
			}
			for b.Loop() {
				if _, err := m.Fit(x); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

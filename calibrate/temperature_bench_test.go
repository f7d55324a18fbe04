package calibrate_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/ballast-ml/ballast/calibrate"
)

// Logits that are twice as large as they should be: the right temperature is 2, but for chance.
func BenchmarkFitTemperature(b *testing.B) {
	for _, size := range []struct {
		name       string
		n, classes int
	}{{"1000000x10", 1_000_000, 10}, {"100000x1000", 100_000, 1000}} {
		b.Run(size.name, func(b *testing.B) {
			logits, labels := overconfident(size.n, size.classes)
			fit, err := calibrate.FitTemperature(calibrate.NewTemperatureScaling(), logits, labels, size.classes)
			if err != nil || fit.T < 1.98 || fit.T > 2.02 {
				b.Fatalf("got %+v, %v; want T near 2", fit, err)
			}
			for b.Loop() {
				if _, err := calibrate.FitTemperature(calibrate.NewTemperatureScaling(), logits, labels, size.classes); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(logits)), "ns/logit")
			b.ReportMetric(float64(fit.Iterations), "iterations")
		})
	}
}

func overconfident(n, classes int) ([]float32, []int32) {
	r := rand.New(rand.NewPCG(9, 9))
	logits, labels := make([]float32, n*classes), make([]int32, n)
	for i := range n {
		// The largest of z + Gumbel noise is a draw from softmax(z).
		best := float32(-1e30)
		for c := range classes {
			z := float32(2 * r.NormFloat64())
			if noisy := z + gumbel(r); noisy > best {
				best, labels[i] = noisy, int32(c)
			}
			logits[i*classes+c] = 2 * z
		}
	}
	return logits, labels
}

func gumbel(r *rand.Rand) float32 { return float32(-math.Log(r.ExpFloat64())) }

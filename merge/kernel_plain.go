//go:build !goexperiment.simd || !amd64

package merge

func dot(a, b []float32) float64              { return dotPlain(a, b) }
func clearBelow(x []float32, bits uint32)     { clearBelowPlain(x, bits) }
func countEqual(x []float32, bits uint32) int { return countEqualPlain(x, bits) }

func elect(dst []float32, x [][]float32, weight []float64, normalize bool) {
	w := make([]float32, len(weight))
	for i := range w {
		w[i] = float32(weight[i])
	}
	electPlain(dst, x, w, normalize, 0)
}

func sumMagnitudes(x []float32) float64 { return sumMagnitudesPlain(x) }

func countUpper(h *histogram, x []float32, upper uint32) { countUpperPlain(h, x, upper) }

func dropPairs(x []float32, first uint64, limit uint32) { dropPairsPlain(x, first, limit) }

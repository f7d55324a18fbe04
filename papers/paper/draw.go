package paper

import "math/rand/v2"

// Shuffled is 0 to n-1 in an order drawn from r.
func Shuffled(n int, r *rand.Rand) []int32 {
	order := make([]int32, n)
	for i, p := range r.Perm(n) {
		order[i] = int32(p)
	}
	return order
}

// AddNoise adds normal noise of the standard deviation sigma, in place.
func AddNoise(x []float32, sigma float64, r *rand.Rand) {
	if sigma == 0 {
		return
	}
	for i := range x {
		x[i] += float32(sigma * r.NormFloat64())
	}
}

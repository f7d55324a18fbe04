package corrupt

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"math/rand/v2"
)

// stream is the generator for one example: PCG-DXSM keyed by the seed and a hash of the rest.
func stream(seed uint64, name string, severity, index int) *rand.PCG {
	h := fnv.New64a()
	h.Write([]byte(name))
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], uint64(severity))
	binary.LittleEndian.PutUint64(b[8:], uint64(index))
	h.Write(b[:])
	return rand.NewPCG(seed, h.Sum64())
}

// normal draws from N(0, 1): the quantile of a number (k + 1/2)/2^52, k uniform below 2^52, which float64 holds exactly. The
// largest draw is 8.1 standard deviations.
func normal(r *rand.PCG) float64 {
	return quantile(uniform(r))
}

// uniform draws from (0, 1).
func uniform(r *rand.PCG) float64 { return (float64(r.Uint64()>>12) + 0.5) / (1 << 52) }

// between draws from (low, high).
func between(r *rand.PCG, low, high float64) float64 {
	return low + float64((high-low)*uniform(r))
}

// quantile is the inverse of the normal distribution function, by Acklam's rational approximation (relative error below
// 1.15e-9). Every product is rounded before it is added: the result is the same on every machine.
func quantile(p float64) float64 {
	const low = 0.02425
	switch {
	case p < low:
		q := math.Sqrt(-2 * logarithm(p))
		return horner(q, &tailTop) / horner(q, &tailBottom)
	case p > 1-low:
		return -quantile(1 - p)
	}
	q := p - 0.5
	r := float64(q * q)
	return float64(horner(r, &centreTop)*q) / horner(r, &centreBottom)
}

// Coefficients of P. J. Acklam's approximation (2003), highest power first.
var (
	centreTop = [6]float64{
		-3.969683028665376e+01, 2.209460984245205e+02, -2.759285104469687e+02,
		1.383577518672690e+02, -3.066479806614716e+01, 2.506628277459239e+00,
	}
	centreBottom = [6]float64{
		-5.447609879822406e+01, 1.615858368580409e+02, -1.556989798598866e+02,
		6.680131188771972e+01, -1.328068155288572e+01, 1,
	}
	tailTop = [6]float64{
		-7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838e+00,
		-2.549732539343734e+00, 4.374664141464968e+00, 2.938163982698783e+00,
	}
	tailBottom = [6]float64{
		0, 7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00, 3.754408661907416e+00, 1,
	}
)

// horner is a polynomial of the fifth degree.
func horner(x float64, c *[6]float64) float64 {
	y := float64(c[0]*x) + c[1]
	y = float64(y*x) + c[2]
	y = float64(y*x) + c[3]
	y = float64(y*x) + c[4]
	return float64(y*x) + c[5]
}

// logarithm is ln(x) for x > 0: the exponent times ln 2, and the series 2 (s + s^3/3 + s^5/5 + ...) with s = (m-1)/(m+1) for
// a mantissa m near 1. math.Log has other last digits on some machines.
func logarithm(x float64) float64 {
	m, e := math.Frexp(x)
	if m < math.Sqrt2/2 {
		m *= 2
		e--
	}
	s := (m - 1) / (m + 1)
	square := float64(s * s)
	sum := 0.0
	for k := len(oddShares) - 1; k >= 0; k-- {
		sum = float64(sum*square) + oddShares[k]
	}
	return float64(float64(e)*math.Ln2) + float64(2*s*sum)
}

// oddShares are 1, 1/3, 1/5 ... 1/21.
var oddShares = [11]float64{1, 1.0 / 3, 1.0 / 5, 1.0 / 7, 1.0 / 9, 1.0 / 11, 1.0 / 13, 1.0 / 15, 1.0 / 17, 1.0 / 19, 1.0 / 21}

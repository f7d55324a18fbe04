package corrupt

import "math"

// exponential is e^x for x <= 0, with an error of about a unit in the last place: x = n ln 2 + r, and the series of e^r. math.Exp has other
// last digits on some machines.
func exponential(x float64) float64 {
	const (
		ln2High = 6.93147180369123816490e-01 // the upper 32 bits of ln 2, whose multiples below 2^20 are exact
		ln2Low  = 1.90821492927058770002e-10
	)
	if x < -745 {
		return 0
	}
	n := math.Floor(float64(x*math.Log2E) + 0.5)
	r := (x - float64(n*ln2High)) - float64(n*ln2Low)
	sum := 1.0
	for k := 14; k >= 1; k-- {
		sum = float64(float64(sum*r)/float64(k)) + 1
	}
	return math.Ldexp(sum, int(n))
}

// cosine and sine are those of an angle in degrees between -180 and 180, by their series on the part of a right angle that is left.
func cosine(degrees float64) float64 { return sine(90 - degrees) }

func sine(degrees float64) float64 {
	for degrees > 180 {
		degrees -= 360
	}
	for degrees < -180 {
		degrees += 360
	}
	switch {
	case degrees > 90:
		degrees = 180 - degrees
	case degrees < -90:
		degrees = -180 - degrees
	}
	x := float64(degrees * (math.Pi / 180))
	square := float64(x * x)
	sum := 1.0
	for k := 20; k >= 2; k -= 2 {
		sum = 1 - float64(float64(sum*square)/float64(k*(k+1)))
	}
	return float64(sum * x)
}

package optim

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
)

// DistanceFit says how a distance grows: as the logarithm of time, which a random walk on a random potential predicts
// ("ultra-slow diffusion"), or as its square root, as an ordinary random walk does.
type DistanceFit struct {
	LogSlope      float64 `json:"log_slope"`      // distance = LogSlope ln(t) + LogIntercept
	LogIntercept  float64 `json:"log_intercept"`  //
	LogR2         float64 `json:"log_r2"`         // share of the variance the logarithm explains
	SqrtSlope     float64 `json:"sqrt_slope"`     // distance = SqrtSlope sqrt(t) + SqrtIntercept
	SqrtIntercept float64 `json:"sqrt_intercept"` //
	SqrtR2        float64 `json:"sqrt_r2"`        // share of the variance the square root explains
	PowerExponent float64 `json:"power_exponent"` // slope of ln(distance) on ln(t)
}

// FitDistance fits the growth of a distance d over times t by ordinary least squares on ln(t) and on sqrt(t), and the
// exponent of a power law by least squares of ln(d) on ln(t). Errors unless there are at least three points of positive,
// finite time and distance, with at least two different times.
// Source: Hoffer, Hubara, Soudry, "Train longer, generalize better", arXiv 1705.08741, section 3.
func FitDistance(t, d []float64) (DistanceFit, error) {
	if len(t) != len(d) || len(t) < 3 {
		return DistanceFit{}, fmt.Errorf("optim: FitDistance: got %d times and %d distances; want as many of each, at least 3", len(t), len(d))
	}
	for i := range t {
		if !(t[i] > 0) || !(d[i] > 0) || !finite(t[i]) || !finite(d[i]) {
			return DistanceFit{}, fmt.Errorf("optim: FitDistance: point %d is t %v, d %v; both must be positive and finite", i, t[i], d[i])
		}
	}
	if slices.Min(t) == slices.Max(t) {
		return DistanceFit{}, fmt.Errorf("optim: FitDistance: every time is %v; measure at different times", t[0])
	}
	logT, sqrtT, logD := make([]float64, len(t)), make([]float64, len(t)), make([]float64, len(t))
	for i := range t {
		logT[i], sqrtT[i], logD[i] = math.Log(t[i]), math.Sqrt(t[i]), math.Log(d[i])
	}
	var f DistanceFit
	f.LogIntercept, f.LogSlope = stat.LinearRegression(logT, d, nil, false)
	f.LogR2 = stat.RSquared(logT, d, nil, f.LogIntercept, f.LogSlope)
	f.SqrtIntercept, f.SqrtSlope = stat.LinearRegression(sqrtT, d, nil, false)
	f.SqrtR2 = stat.RSquared(sqrtT, d, nil, f.SqrtIntercept, f.SqrtSlope)
	_, f.PowerExponent = stat.LinearRegression(logT, logD, nil, false)
	return f, nil
}

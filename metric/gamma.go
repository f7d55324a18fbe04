package metric

import (
	"fmt"
	"math"
)

// GammaStatistics describe the scales (gammas) of a network's norms: how many features they turn off.
type GammaStatistics struct {
	Below    []float64 `json:"below"`    // share of scales whose size is below each threshold
	MeanAbs  float64   `json:"mean_abs"` // mean size
	Negative float64   `json:"negative"` // share of scales below 0
}

// Gammas computes the statistics of scales for thresholds.
// Source: Frankle, Schwab, Morcos, "Training BatchNorm and Only BatchNorm", arXiv 2003.00152.
func Gammas(scales, thresholds []float64) (GammaStatistics, error) {
	if len(scales) == 0 {
		return GammaStatistics{}, fmt.Errorf("metric: there is no scale; the network has no norms")
	}
	s := GammaStatistics{Below: make([]float64, len(thresholds))}
	one := 1 / float64(len(scales))
	for _, v := range scales {
		s.MeanAbs += math.Abs(v) * one
		if v < 0 {
			s.Negative += one
		}
		for i, t := range thresholds {
			if math.Abs(v) < t {
				s.Below[i] += one
			}
		}
	}
	return s, nil
}

// DeadChannels finds channels that a ReLU turns off. activations are what comes out of it, [samples, channels], a sample being a pixel of
// an image. It returns for each channel the share of samples that are at most 1e-5, and the share of channels for which that is more
// than 0.99.
func DeadChannels(activations []float64, channels int) (zero []float64, dead float64, err error) {
	if channels < 1 || len(activations) == 0 || len(activations)%channels != 0 {
		return nil, 0, fmt.Errorf("metric: %d activations do not split into samples of %d channels", len(activations), channels)
	}
	zero = make([]float64, channels)
	samples := float64(len(activations) / channels)
	counts := make([]float64, channels)
	for i, v := range activations {
		if v <= 1e-5 {
			counts[i%channels]++
		}
	}
	for c, n := range counts {
		zero[c] = n / samples
		if zero[c] > 0.99 {
			dead += 1 / float64(channels)
		}
	}
	return zero, dead, nil
}

package metric

import (
	"fmt"
	"math"
)

// DivergenceFloor is the usual least variance of FeatureDivergence: a channel that a ReLU turned off has none.
const DivergenceFloor = 1e-4

// FeatureDivergence says how differently one layer sees two domains. a and b are its features, [images, channels] each, row-major, a
// feature being the mean of a channel over the positions of an image. For each channel a Gaussian is fitted to the images
// of each domain (biased variance, at least floor), and
//
//	D = KL(A||B) + KL(B||A)      KL(A||B) = ln(s_B/s_A) + (s_A^2 + (m_A - m_B)^2) / (2 s_B^2) - 1/2
//
// is returned, with its mean over channels. floor keeps dead channels from dividing by zero; the usual one is DivergenceFloor, 0 is none.
// Source: Pan, Luo, Shi, Tang, "Two at Once" (IBN-Net), arXiv 1807.09441, after Li et al., arXiv 1603.04779.
func FeatureDivergence(a, b []float64, channels int, floor float64) (mean float64, perChannel []float64, err error) {
	if channels < 1 || len(a) == 0 || len(b) == 0 || len(a)%channels != 0 || len(b)%channels != 0 {
		return 0, nil, fmt.Errorf("metric: %d and %d features do not split into images of %d channels; give [images, channels] for each domain", len(a), len(b), channels)
	}
	perChannel = make([]float64, channels)
	for c := range channels {
		ma, va := channelMoments(a, channels, c)
		mb, vb := channelMoments(b, channels, c)
		va, vb = math.Max(va, floor), math.Max(vb, floor)
		// The logarithms of the two directions cancel.
		d2 := (ma - mb) * (ma - mb)
		perChannel[c] = (va+d2)/(2*vb) + (vb+d2)/(2*va) - 1
		mean += perChannel[c] / float64(channels)
	}
	return mean, perChannel, nil
}

// channelMoments are the mean and the biased variance of a column.
func channelMoments(x []float64, channels, c int) (mean, variance float64) {
	n := float64(len(x) / channels)
	for i := c; i < len(x); i += channels {
		mean += x[i] / n
	}
	for i := c; i < len(x); i += channels {
		variance += (x[i] - mean) * (x[i] - mean) / n
	}
	return mean, variance
}

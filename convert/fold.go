// Package convert rewrites trained models without training them.
package convert

import (
	"fmt"
)

// Linear is a dense layer or a convolution as numbers: y = x kernel + bias, the output channels last in Kernel.
type Linear struct {
	Kernel []float64
	Bias   []float64
}

// FoldIntoPrevious returns the layer that computes scale (x kernel + bias) + offset at once, for each output channel c:
//
//	kernel'[..., c] = kernel[..., c] scale[c]      bias'[c] = bias[c] scale[c] + offset[c]
//
// bias may be nil for none.
func FoldIntoPrevious(scale, offset, kernel, bias []float64) (Linear, error) {
	n := len(scale)
	if n == 0 || len(offset) != n || len(kernel)%n != 0 || bias != nil && len(bias) != n {
		return Linear{}, fmt.Errorf("convert: %d scales, %d offsets and %d biases do not belong to a kernel of %d weights", n, len(offset), len(bias), len(kernel))
	}
	l := Linear{Kernel: make([]float64, len(kernel)), Bias: make([]float64, n)}
	for i, w := range kernel {
		l.Kernel[i] = w * scale[i%n]
	}
	for c := range n {
		l.Bias[c] = offset[c]
		if bias != nil {
			l.Bias[c] += bias[c] * scale[c]
		}
	}
	return l, nil
}

// FoldIntoNext returns the dense layer that computes (scale x + offset) kernel + bias at once, kernel [in, out]:
//
//	kernel'[c, o] = scale[c] kernel[c, o]      bias'[o] = bias[o] + sum over c of offset[c] kernel[c, o]
//
// bias may be nil for none. A convolution that pads with zeros cannot take an offset in this way: its border would change.
func FoldIntoNext(scale, offset, kernel, bias []float64) (Linear, error) {
	in := len(scale)
	if in == 0 || len(offset) != in || len(kernel)%in != 0 || bias != nil && len(bias) != len(kernel)/in {
		return Linear{}, fmt.Errorf("convert: %d scales, %d offsets and %d biases do not belong to a kernel of %d weights", in, len(offset), len(bias), len(kernel))
	}
	out := len(kernel) / in
	l := Linear{Kernel: make([]float64, len(kernel)), Bias: make([]float64, out)}
	copy(l.Bias, bias)
	for i, w := range kernel {
		c, o := i/out, i%out
		l.Kernel[i] = scale[c] * w
		l.Bias[o] += offset[c] * w
	}
	return l, nil
}

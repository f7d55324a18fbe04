package train

import (
	"fmt"
	"math"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/bundle"
)

// ClampScales sets every scale of a norm whose size is below threshold to 0, and returns how many: features that training has turned off
// almost are turned off for good. Offsets stay, so a channel still gives its own. A threshold of 0 changes nothing.
// Source: Frankle, Schwab, Morcos, "Training BatchNorm and Only BatchNorm", arXiv 2003.00152.
func ClampScales(b *bundle.Bundle, threshold float64) (int, error) {
	n := 0
	for _, v := range b.Variables() {
		if !v.Trainable || GroupOf(v) != GroupNorm || v.Name() != "scale" {
			continue
		}
		value, err := v.Value()
		if err != nil {
			return n, fmt.Errorf("train: %w", err)
		}
		flat, err := tensors.CopyFlatData[float32](value)
		if err != nil {
			return n, fmt.Errorf("train: read %s: %w", v.Path(), err)
		}
		for i, s := range flat {
			if math.Abs(float64(s)) < threshold {
				flat[i] = 0
				n++
			}
		}
		if err := v.SetValue(tensors.FromFlatDataAndDimensions(flat, v.Shape().Dimensions...)); err != nil {
			return n, fmt.Errorf("train: %w", err)
		}
	}
	return n, nil
}

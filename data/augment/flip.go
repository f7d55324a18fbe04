package augment

import (
	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/ops"
)

// Flip mirrors an image with probability Probability.
type Flip struct {
	Probability float64 `json:"probability"` // [0, 1]; 0.5. 0 leaves all as they are
	Axis        string  `json:"axis"`        // horizontal (left becomes right) or vertical
	Drawing
}

var _ Transform = Flip{}

// NewFlip returns horizontal flips of every second image.
func NewFlip() Flip { return Flip{Probability: 0.5, Axis: "horizontal"} }

// Validate errors for a probability outside [0, 1] or an unknown axis.
func (f Flip) Validate() error {
	if f.Axis != "horizontal" && f.Axis != "vertical" {
		return wrong("flip", "axis is %q; use horizontal or vertical", f.Axis)
	}
	return within("flip", "probability", f.Probability, 0, 1)
}

// Apply flips.
func (f Flip) Apply(r ops.Random, x *graph.Node) *graph.Node {
	images("flip", x)
	if f.Probability == 0 {
		return x
	}
	axis := 2
	if f.Axis == "vertical" {
		axis = 1
	}
	return graph.Where(chosen(f.draws(r, x, 1)[0], x, f.Probability), ops.Reverse(x, axis), x)
}

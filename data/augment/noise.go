package augment

import (
	"math"

	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/ops"
)

// Noise adds N(0, Std^2) to each value and clips to [0,1]. With Together the examples share the noise.
type Noise struct {
	Std float64 `json:"std"` // at least 0; 0.1. 0 leaves all as they are
	Drawing
}

var _ Transform = Noise{}

// NewNoise returns a deviation of 0.1.
func NewNoise() Noise { return Noise{Std: 0.1} }

// Validate errors for a deviation below 0.
func (o Noise) Validate() error { return within("noise", "std", o.Std, 0, math.Inf(1)) }

// Apply adds noise.
func (o Noise) Apply(r ops.Random, x *graph.Node) *graph.Node {
	_, height, width, channels := images("noise", x)
	if o.Std == 0 {
		return x
	}
	d := x.Shape().Dimensions
	if o.Together {
		d = []int{1, height, width, channels}
	}
	noise := graph.ConvertDType(graph.MulScalar(r.Normal(drawType(x), d...), o.Std), x.DType())
	return ops.Clamp(graph.Add(x, noise), 0, 1)
}

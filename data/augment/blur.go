package augment

import (
	"math"

	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/ops"
)

// Blur is a Gaussian blur with a deviation s ~ U(Least, Most) pixels, with probability Probability. Weights reach 3 Most pixels; beyond the
// edge there is nothing, and the others are made larger by as much.
type Blur struct {
	Least       float64 `json:"least"`       // at least 0; 0.1
	Most        float64 `json:"most"`        // up to 16; 2. 0 leaves all as they are
	Probability float64 `json:"probability"` // [0, 1]; 0.5
	Drawing
}

var _ Transform = Blur{}

// NewBlur returns the blur of SimCLR: deviations from 0.1 to 2 in every second image.
func NewBlur() Blur { return Blur{Least: 0.1, Most: 2, Probability: 0.5} }

// Validate errors for deviations out of order and a probability outside [0, 1].
func (b Blur) Validate() error {
	if err := within("blur", "most", b.Most, 0, 16); err != nil {
		return err
	}
	if err := within("blur", "least", b.Least, 0, b.Most); err != nil {
		return err
	}
	return within("blur", "probability", b.Probability, 0, 1)
}

// Apply blurs.
func (b Blur) Apply(r ops.Random, x *graph.Node) *graph.Node {
	images("blur", x)
	if b.Most == 0 || b.Probability == 0 {
		return x
	}
	sigma := b.uniform(r.Fold(0), x, max(b.Least, 1e-3), b.Most) // a tap beside the middle has weight 0 long before 1e-3
	y := gaussian(gaussian(x, sigma, b.Most, 1), sigma, b.Most, 2)
	return graph.Where(b.chosen(r.Fold(1), x, b.Probability), y, x)
}

// gaussian blurs along an axis.
func gaussian(x, sigma *graph.Node, most float64, axis int) *graph.Node {
	size := x.Shape().Dimensions[axis]
	reach := min(int(math.Ceil(3*most)), size-1)
	wide := []int{1, 1, 1, 1}
	wide[axis] = size
	ones := graph.BroadcastToDims(graph.ScalarOne(x.Graph(), sigma.DType()), wide...)

	var sum, whole *graph.Node
	for k := -reach; k <= reach; k++ {
		weight := graph.Exp(graph.MulScalar(graph.Div(graph.ScalarOne(x.Graph(), sigma.DType()), graph.Mul(sigma, sigma)), -float64(k*k)/2))
		part := graph.Mul(moved(x, k, axis), graph.ConvertDType(weight, x.DType()))
		own := graph.Mul(moved(ones, k, axis), weight)
		if sum == nil {
			sum, whole = part, own
			continue
		}
		sum, whole = graph.Add(sum, part), graph.Add(whole, own)
	}
	return ops.Clamp(graph.Div(sum, graph.ConvertDType(whole, x.DType())), 0, 1)
}

// moved is x along an axis k places further, 0 where nothing comes from.
func moved(x *graph.Node, k, axis int) *graph.Node {
	size := x.Shape().Dimensions[axis]
	spec := make([]graph.SliceAxisSpec, x.Rank())
	padding := make([][2]int, x.Rank())
	for i := range spec {
		spec[i] = graph.AxisRange()
	}
	spec[axis] = graph.AxisRange(max(k, 0), size+min(k, 0))
	padding[axis] = [2]int{max(-k, 0), max(k, 0)}
	return ops.PadConstant(graph.Slice(x, spec...), 0, padding)
}

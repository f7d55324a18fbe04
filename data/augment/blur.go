package augment

import (
	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/ops"
)

// Blur is a Gaussian blur with a deviation s ~ U(Least, Most) pixels, with probability Probability. Pixels beyond the edge do
// not exist: the weights of the others make up for them.
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
	u := b.draws(r, x, 2)
	sigma := between(u[0], max(b.Least, 1e-3), b.Most) // the weight of a neighbour is 0 long before a deviation of 1e-3
	y := gaussian(gaussian(x, sigma, 1), sigma, 2)
	return graph.Where(chosen(u[1], x, b.Probability), y, x)
}

// gaussian blurs along an axis: a product with a matrix of weights for each image, whose rows add up to 1.
func gaussian(x, sigma *graph.Node, axis int) *graph.Node {
	d := x.Shape().Dimensions
	n, size := d[0], d[axis]
	squares := make([]float64, 0, size*size)
	for i := range size {
		for j := range size {
			squares = append(squares, float64((i-j)*(i-j)))
		}
	}
	distance := graph.ConvertDType(graph.Reshape(graph.Const(x.Graph(), squares), 1, size, size), sigma.DType())
	s := graph.Reshape(sigma, n, 1, 1)
	weights := graph.Exp(graph.Div(distance, graph.MulScalar(graph.Mul(s, s), -2)))
	weights = graph.ConvertDType(graph.Div(weights, graph.ReduceAndKeep(weights, graph.ReduceSum, 2)), x.DType())

	equation := "nij,njwc->niwc"
	if axis == 2 {
		equation = "nij,nhjc->nhic"
	}
	return ops.Clamp(graph.Einsum(equation, weights, x), 0, 1)
}

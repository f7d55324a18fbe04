package bundle

import (
	"math"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/nn/param"
)

// Cost is what one example takes to go through a network once.
type Cost struct {
	Weights      int64   // numbers that the network keeps
	MultiplyAdds float64 // of products of matrices, which convolutions are too
}

// Cost counts. It builds the graph of one example on the Go engine, where every convolution is made of products, gives the variables no
// values and runs nothing.
func (m Manifest) Cost() (Cost, error) {
	if err := m.Validate(); err != nil {
		return Cost{}, err
	}
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		return Cost{}, err
	}
	defer e.Close()

	counted, counter := model.NewStore(), &param.Counter{}
	param.Count(counted, counter)
	c := Cost{}
	b := &Bundle{Manifest: m}
	err = b.build(e.Backend, counted, func(g *Graph) {
		for _, node := range g.Nodes() {
			c.MultiplyAdds += multiplyAdds(node)
		}
	})
	const bytes = 4 // of a number
	c.Weights = counter.Bytes / bytes
	return c, err
}

// multiplyAdds are those of one node: of a product [m, k] x [k, n] m n k, which is the root of the product of the three sizes. Of many
// products at once, as attention has one for each head, it is more than there are, by the root of their number.
func multiplyAdds(node *Node) float64 {
	inputs := node.Inputs()
	if node.Type() != NodeTypeDotGeneral || len(inputs) != 2 {
		return 0
	}
	size := func(n *Node) float64 { return float64(n.Shape().Size()) }
	return math.Sqrt(size(inputs[0]) * size(inputs[1]) * size(node))
}

package zoo

import (
	"errors"
	"fmt"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/stack"
)

// Embedder gives each example one vector: a network that classifies, its classes taken for the numbers of the vector,
//
//	y = trunk(x)  [batch, Size]
//
// The vector is as long as it comes out; what compares two of them brings them to length 1. Paths are the trunk's own, so that its
// weights can be read from a bundle of its own with as many classes.
type Embedder struct {
	Trunk Choice `json:"trunk"`   // a network that classifies; mlp with [256, 256]
	Size  int    `json:"outputs"` // numbers of a vector; 64
}

var _ Featured = Embedder{}

// NewEmbedder returns an MLP of two layers of 256 and vectors of 64.
func NewEmbedder() Embedder {
	trunk := NewMLP()
	trunk.Hidden = []int{256, 256}
	return Embedder{Trunk: Choice{Network: trunk}, Size: 64}
}

// Validate reports what is wrong with the options.
func (e Embedder) Validate() error {
	errs := []error{count("embedder", "outputs", e.Size, 2)}
	trunk, ok := e.Trunk.Network.(Featured)
	switch {
	case e.Trunk.Network == nil:
		errs = append(errs, errors.New("embedder: trunk is missing; name a network, such as mlp"))
	case !ok || trunk.Task() != Classify:
		errs = append(errs, fmt.Errorf("embedder: trunk %s is for the task %s; take a network that classifies",
			Name(e.Trunk.Network), e.Trunk.Task()))
	default:
		errs = append(errs, trunk.Validate())
	}
	return errors.Join(errs...)
}

// Task is Embed.
func (Embedder) Task() Task { return Embed }

// Outputs is the size of a vector.
func (e Embedder) Outputs() int { return e.Size }

// WithOutputs returns the same network for vectors of another size.
func (e Embedder) WithOutputs(n int) Network { e.Size = n; return e }

// WithNorm returns the same network with another norm in its trunk.
func (e Embedder) WithNorm(n norm.Layer) Network {
	e.Trunk = Choice{Network: e.Trunk.WithNorm(n)}
	return e
}

// trunk is the trunk with the embedder's outputs.
func (e Embedder) trunk() Featured { return e.Trunk.WithOutputs(e.Size).(Featured) }

// Apply returns vectors [batch, Size].
func (e Embedder) Apply(scope *model.Scope, x *Node) *Node { return e.trunk().Apply(scope, x) }

// Features are the trunk's.
func (e Embedder) Features(scope *model.Scope, x *Node) *Node { return e.trunk().Features(scope, x) }

// Head is the trunk's.
func (e Embedder) Head(scope *model.Scope, features *Node) *Node {
	return e.trunk().Head(scope, features)
}

// LayersOf returns the layers of a Layered network, or of an Embedder whose trunk is one; nil of any other.
func LayersOf(n Network) []stack.Item {
	if e, ok := n.(Embedder); ok {
		n = e.trunk()
	}
	if l, ok := n.(Layered); ok {
		return l.Layers()
	}
	return nil
}

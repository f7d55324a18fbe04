package zoo

import (
	"errors"
	"fmt"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/stack"
)

// MLP is a multi-layer perceptron: x -> for each hidden width [dense, norm, activation] -> dense to the classes. The default,
// five layers of 512 with batch normalisation and ReLU, is the network F1 of Keskar et al. (arXiv 1609.04836) and Hoffer
// et al. (arXiv 1705.08741).
type MLP struct {
	Hidden     []int             `json:"hidden"`     // widths; [512, 512, 512, 512, 512]
	Classes    int               `json:"classes"`    // 10
	Norm       norm.Choice       `json:"norm"`       // batch
	Activation linear.Activation `json:"activation"` // relu
}

var (
	_ Foldable = MLP{}
	_ Layered  = MLP{}
)

// NewMLP returns the network F1.
func NewMLP() MLP {
	return MLP{Hidden: []int{512, 512, 512, 512, 512}, Classes: 10, Norm: norm.Choice{Layer: norm.NewBatch()}, Activation: linear.ReLU}
}

// Validate reports what is wrong with the options.
func (m MLP) Validate() error {
	var errs []error
	errs = append(errs, counts("mlp", "hidden", m.Hidden))
	return errors.Join(append(errs, validate("mlp", m.Classes, m.Norm, m.Activation))...)
}

// Task is Classify.
func (MLP) Task() Task { return Classify }

// Outputs is the number of classes.
func (m MLP) Outputs() int { return m.Classes }

// WithOutputs returns the same network for another number of classes.
func (m MLP) WithOutputs(n int) Network { m.Classes = n; return m }

// WithNorm returns the same network with another norm.
func (m MLP) WithNorm(n norm.Layer) Network { m.Norm = norm.Choice{Layer: n}; return m }

// NormLayer is the norm.
func (m MLP) NormLayer() norm.Layer { return m.Norm.Layer }

// Folded is the network with its norms folded into the layers before them.
func (m MLP) Folded() (Network, *linear.Standardization) {
	return m.WithNorm(norm.Offset{}), nil
}

// Layers are those of the network.
func (m MLP) Layers() []stack.Item {
	items := []stack.Item{{Layer: stack.Flatten{}}}
	for i, width := range m.Hidden {
		at := fmt.Sprintf("layer_%d", i+1)
		items = append(items, stack.Item{Scope: at, Layer: linear.Dense{Units: width}})
		items = append(items, stack.Normed(at, m.Norm.Layer, m.Activation)...)
	}
	return append(items, outputItem(m.Classes))
}

// Apply returns logits [batch, classes] for x [batch, ...].
func (m MLP) Apply(scope *model.Scope, x *Node) *Node { return m.Head(scope, m.Features(scope, x)) }

// Features are what the last hidden layer computes, [batch, width].
func (m MLP) Features(scope *model.Scope, x *Node) *Node { return featuresOf(m, scope, x) }

// Head is the output.
func (m MLP) Head(scope *model.Scope, features *Node) *Node { return headOf(m, scope, features) }

// validate checks what all networks have.
func validate(network string, classes int, n norm.Choice, a linear.Activation) error {
	var errs []error
	errs = append(errs, count(network, "classes", classes, 2))
	if n.Layer == nil {
		errs = append(errs, fmt.Errorf("%s: norm is missing; name one, or identity for none", network))
	}
	if checked, ok := n.Layer.(interface{ Validate() error }); ok {
		if err := checked.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", network, err))
		}
	}
	if err := a.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("%s: activation: %w", network, err))
	}
	return errors.Join(errs...)
}

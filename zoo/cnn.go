package zoo

import (
	"errors"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/ops"
)

// CNN is a small convolutional network for digits: x -> for each number of filters [conv 3x3, norm, activation, max-pool 2]
// -> dense, norm, activation -> dense to the classes. A block whose image has become smaller than 2 pixels does not pool.
type CNN struct {
	Filters    []int             `json:"filters"`    // of each block; [16, 32]
	Dense      int               `json:"dense"`      // units before the output, 0 = none; 128
	Classes    int               `json:"classes"`    // 10
	Norm       norm.Choice       `json:"norm"`       // batch
	Activation linear.Activation `json:"activation"` // relu
}

var _ Foldable = CNN{}

// NewCNN returns the defaults.
func NewCNN() CNN {
	return CNN{Filters: []int{16, 32}, Dense: 128, Classes: 10, Norm: norm.Choice{Layer: norm.NewBatch()}, Activation: linear.ReLU}
}

// Validate says what is wrong with the options.
func (c CNN) Validate() error {
	var errs []error
	errs = append(errs, counts("cnn", "filters", c.Filters), count("cnn", "dense", c.Dense, 0))
	return errors.Join(append(errs, validate("cnn", c.Classes, c.Norm, c.Activation))...)
}

// Task is Classify.
func (CNN) Task() Task { return Classify }

// Outputs is the number of classes.
func (c CNN) Outputs() int { return c.Classes }

// WithOutputs returns the same network for another number of classes.
func (c CNN) WithOutputs(n int) Network { c.Classes = n; return c }

// WithNorm returns the same network with another norm.
func (c CNN) WithNorm(n norm.Layer) Network { c.Norm = norm.Choice{Layer: n}; return c }

// NormLayer is the norm.
func (c CNN) NormLayer() norm.Layer { return c.Norm.Layer }

// Folded is the network with its norms folded into the layers before them.
func (c CNN) Folded() (Network, *linear.Standardization) {
	return c.WithNorm(norm.Offset{}), nil
}

// Apply returns logits [batch, classes] for x [batch, height, width, channels].
func (c CNN) Apply(scope *model.Scope, x *Node) *Node {
	checkImages("CNN", x)
	for i, filters := range c.Filters {
		block := scope.In("block_%d", i+1)
		x = linear.Conv2D{Filters: filters, Size: 3, Same: true}.Apply(block, x)
		x = activated(block, c.Norm.Layer, c.Activation, x)
		if d := x.Shape().Dimensions; d[1] >= 2 && d[2] >= 2 {
			x = ops.Pool{Window: 2}.Max(x)
		}
	}
	x = flatten(x)
	if c.Dense > 0 {
		layer := scope.In("dense")
		x = linear.Dense{Units: c.Dense}.Apply(layer, x)
		x = activated(layer, c.Norm.Layer, c.Activation, x)
	}
	return output(scope, x, c.Classes)
}

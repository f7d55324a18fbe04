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

// ConvNet is a plain convolutional network without dense layers, so that norms of every kind can be put in and compared:
// x -> for each number of filters [conv 3x3 with its stride, norm, activation] -> mean over positions -> dense to the classes.
type ConvNet struct {
	Filters    []int             `json:"filters"`    // of each layer; [16, 16, 32, 32]
	Strides    []int             `json:"strides"`    // of each layer; [1, 1, 2, 1]
	Classes    int               `json:"classes"`    // 10
	Norm       norm.Choice       `json:"norm"`       // batch
	Activation linear.Activation `json:"activation"` // relu

	// Standardize standardises the kernels of the convolutions: paper, unbiased_var or unbiased_std_plus_eps (see
	// linear.Standardization); "" leaves them as they are.
	Standardize string `json:"weight_standardization"`
}

var (
	_ Foldable = ConvNet{}
	_ Layered  = ConvNet{}
)

// NewConvNet returns the defaults.
func NewConvNet() ConvNet {
	return ConvNet{
		Filters: []int{16, 16, 32, 32}, Strides: []int{1, 1, 2, 1}, Classes: 10,
		Norm: norm.Choice{Layer: norm.NewBatch()}, Activation: linear.ReLU,
	}
}

// Validate reports what is wrong with the options.
func (c ConvNet) Validate() error {
	var errs []error
	if len(c.Strides) != len(c.Filters) {
		errs = append(errs, fmt.Errorf("convnet: %d strides for %d layers; give one for each number of filters", len(c.Strides), len(c.Filters)))
	}
	errs = append(errs, counts("convnet", "filters", c.Filters), counts("convnet", "strides", c.Strides))
	if c.Standardize != "" {
		if err := (linear.Standardization{Mode: c.Standardize}).Validate(); err != nil {
			errs = append(errs, fmt.Errorf("convnet: weight_standardization: %w", err))
		}
	}
	return errors.Join(append(errs, validate("convnet", c.Classes, c.Norm, c.Activation))...)
}

// Task is Classify.
func (ConvNet) Task() Task { return Classify }

// Outputs is the number of classes.
func (c ConvNet) Outputs() int { return c.Classes }

// WithOutputs returns the same network for another number of classes.
func (c ConvNet) WithOutputs(n int) Network { c.Classes = n; return c }

// WithNorm returns the same network with another norm.
func (c ConvNet) WithNorm(n norm.Layer) Network { c.Norm = norm.Choice{Layer: n}; return c }

// NormLayer is the norm.
func (c ConvNet) NormLayer() norm.Layer { return c.Norm.Layer }

// Folded is the network with its norms folded into the layers before them.
func (c ConvNet) Folded() (Network, *linear.Standardization) {
	var s *linear.Standardization
	if c.Standardize != "" {
		s = &linear.Standardization{Mode: c.Standardize, Epsilon: linear.NewStandardization().Epsilon}
		c.Standardize = ""
	}
	return c.WithNorm(norm.Offset{}), s
}

// Layers are those of the network.
func (c ConvNet) Layers() []stack.Item {
	var items []stack.Item
	for i, filters := range c.Filters {
		conv := linear.Conv2D{Filters: filters, Size: 3, Stride: c.Strides[i], Padding: 1, NoBias: true}
		if c.Standardize != "" {
			s := linear.NewStandardization()
			s.Mode = c.Standardize
			conv.Kernel = s.Hook()
		}
		at := fmt.Sprintf("layer_%d", i+1)
		items = append(items, stack.Item{Scope: at, Layer: conv})
		items = append(items, stack.Normed(at, c.Norm.Layer, c.Activation)...)
	}
	return append(items, stack.Item{Layer: stack.Mean{}}, outputItem(c.Classes))
}

// Apply returns logits [batch, classes] for x [batch, height, width, channels].
func (c ConvNet) Apply(scope *model.Scope, x *Node) *Node { return c.Head(scope, c.Features(scope, x)) }

// Features are the means over positions of the last layer, [batch, filters].
func (c ConvNet) Features(scope *model.Scope, x *Node) *Node {
	checkImages("ConvNet", x)
	return featuresOf(c, scope, x)
}

// Head is the output.
func (c ConvNet) Head(scope *model.Scope, features *Node) *Node { return headOf(c, scope, features) }

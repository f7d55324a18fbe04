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

// CNN is a small convolutional network for digits: x -> for each number of filters [conv 3x3, norm, activation, max-pool 2]
// -> dense, norm, activation -> dense to the classes. A block whose image has become smaller than 2 pixels does not pool.
type CNN struct {
	Filters    []int             `json:"filters"`    // of each block; [16, 32]
	Dense      int               `json:"dense"`      // units before the output, 0 = none; 128
	Classes    int               `json:"classes"`    // 10
	Norm       norm.Choice       `json:"norm"`       // batch
	Activation linear.Activation `json:"activation"` // relu

	// Unpooled is how many of the last blocks do not pool, so that what they see keeps its places; 0.
	Unpooled int `json:"unpooled,omitempty"`
}

var (
	_ Foldable = CNN{}
	_ Layered  = CNN{}
)

// NewCNN returns the defaults.
func NewCNN() CNN {
	return CNN{Filters: []int{16, 32}, Dense: 128, Classes: 10, Norm: norm.Choice{Layer: norm.NewBatch()}, Activation: linear.ReLU}
}

// Validate reports what is wrong with the options.
func (c CNN) Validate() error {
	var errs []error
	errs = append(errs, counts("cnn", "filters", c.Filters), count("cnn", "dense", c.Dense, 0), count("cnn", "unpooled", c.Unpooled, 0))
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

// Layers are those of the network.
func (c CNN) Layers() []stack.Item {
	var items []stack.Item
	for i, filters := range c.Filters {
		at := fmt.Sprintf("block_%d", i+1)
		items = append(items, stack.Item{Scope: at, Layer: linear.Conv2D{Filters: filters, Size: 3, Same: true}})
		items = append(items, stack.Normed(at, c.Norm.Layer, c.Activation)...)
		if i < len(c.Filters)-c.Unpooled {
			items = append(items, stack.Item{Scope: at, Layer: stack.Pool{Window: 2}})
		}
	}
	items = append(items, stack.Item{Layer: stack.Flatten{}})
	if c.Dense > 0 {
		items = append(items, stack.Item{Scope: "dense", Layer: linear.Dense{Units: c.Dense}})
		items = append(items, stack.Normed("dense", c.Norm.Layer, c.Activation)...)
	}
	return append(items, outputItem(c.Classes))
}

// Apply returns logits [batch, classes] for x [batch, height, width, channels].
func (c CNN) Apply(scope *model.Scope, x *Node) *Node { return c.Head(scope, c.Features(scope, x)) }

// Features are what goes into the output: the dense layer's [batch, Dense], or the pixels of the last block in a row.
func (c CNN) Features(scope *model.Scope, x *Node) *Node {
	checkImages("CNN", x)
	return featuresOf(c, scope, x)
}

// Head is the output.
func (c CNN) Head(scope *model.Scope, features *Node) *Node { return headOf(c, scope, features) }

package zoo

import (
	"errors"
	"fmt"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/nn/stack"
	"github.com/ballast-ml/ballast/ops"
)

// DigitNet is the classifier of single digits of the Python package ccexam: x -> for each number of filters Depth times [conv 3x3, norm,
// activation], then max-pool 2 -> dense, activation -> dense to the classes. "ballast data get digit-nets" brings three of them trained:
//
//	trained on   input      Filters         Depth   Dense   Norm       parameters
//	MNIST        28x28x1    32, 64          1       128     identity   421,642
//	USPS         16x16x1    32, 64          1       128     batch      151,498
//	SVHN         32x32x3    32, 64, 128     2       256     batch      815,018
//
// The last two were trained with dropout before both dense layers, which is nothing at inference and is left out here. A block whose image
// has become smaller than 2 pixels does not pool.
type DigitNet struct {
	Filters    []int             `json:"filters"`    // of each block; [32, 64]
	Depth      int               `json:"depth"`      // convolutions of a block; 1
	Dense      int               `json:"dense"`      // units before the output; 128
	Classes    int               `json:"classes"`    // 10
	Norm       norm.Choice       `json:"norm"`       // identity
	Activation linear.Activation `json:"activation"` // relu
}

var (
	_ Foldable   = DigitNet{}
	_ Importable = DigitNet{}
	_ Featured   = DigitNet{}
)

// NewDigitNet returns the network for MNIST.
func NewDigitNet() DigitNet {
	return DigitNet{Filters: []int{32, 64}, Depth: 1, Dense: 128, Classes: 10, Norm: norm.Choice{Layer: norm.Identity{}}, Activation: linear.ReLU}
}

// Validate reports what is wrong with the options.
func (d DigitNet) Validate() error {
	var errs []error
	if len(d.Filters) == 0 {
		errs = append(errs, errors.New("digitnet: filters is empty; give one number for each block"))
	}
	errs = append(errs, counts("digitnet", "filters", d.Filters), count("digitnet", "depth", d.Depth, 1), count("digitnet", "dense", d.Dense, 1),
		depth("digitnet", "depth", len(d.Filters), d.Depth))
	return errors.Join(append(errs, validate("digitnet", d.Classes, d.Norm, d.Activation))...)
}

// Task is Classify.
func (DigitNet) Task() Task { return Classify }

// Outputs is the number of classes.
func (d DigitNet) Outputs() int { return d.Classes }

// WithOutputs returns the same network for another number of classes.
func (d DigitNet) WithOutputs(n int) Network { d.Classes = n; return d }

// WithNorm returns the same network with another norm.
func (d DigitNet) WithNorm(n norm.Layer) Network { d.Norm = norm.Choice{Layer: n}; return d }

// NormLayer is the norm.
func (d DigitNet) NormLayer() norm.Layer { return d.Norm.Layer }

// Folded is the network with its norms folded into the layers before them.
func (d DigitNet) Folded() (Network, *linear.Standardization) { return d.WithNorm(norm.Offset{}), nil }

// Apply returns logits [batch, classes] for x [batch, height, width, channels].
func (d DigitNet) Apply(scope *model.Scope, x *Node) *Node {
	return d.Head(scope, d.Features(scope, x))
}

// Head is the output.
func (d DigitNet) Head(scope *model.Scope, features *Node) *Node {
	return output(scope, features, d.Classes)
}

// Features are what the dense layer computes, [batch, Dense].
func (d DigitNet) Features(scope *model.Scope, x *Node) *Node {
	checkImages("DigitNet", x)
	for i, filters := range d.Filters {
		block := scope.In("block_%d", i+1)
		for j := range d.Depth {
			conv := block.In("conv_%d", j+1)
			x = linear.Conv2D{Filters: filters, Size: 3, Padding: 1}.Apply(conv, x)
			x = activated(conv, d.Norm.Layer, d.Activation, x)
		}
		if s := x.Shape().Dimensions; s[1] >= 2 && s[2] >= 2 {
			x = ops.Pool{Window: 2}.Max(x)
		}
	}
	dense := scope.In("dense")
	return activate(dense, d.Activation, linear.Dense{Units: d.Dense}.Apply(dense, stack.Flatten{}.Apply(scope, x)))
}

// Imports maps the names of ccexam's checkpoints. They number the layers of a block, norms, activations and pooling included, and those of
// the classifier, dropout included; networks with norms have dropout there.
func (d DigitNet) Imports() []Import {
	_, plain := d.Norm.Layer.(norm.Identity)
	layers := 3 // of a convolution with what follows it
	if plain {
		layers = 2
	}
	var all []Import
	for i := range d.Filters {
		for j := range d.Depth {
			ours, first := fmt.Sprintf("block_%d/conv_%d", i+1, j+1), layers*j
			theirs := func(layer int) string { return fmt.Sprintf("features.%d.%d", i, layer) }
			if d.Depth == 1 { // one sequence for all blocks
				first = (layers + 1) * i
				theirs = func(layer int) string { return fmt.Sprintf("features.%d", layer) }
			}
			all = append(all, convImports(ours, theirs(first))...)
			if !plain {
				all = append(all, batchImports(ours+"/norm", theirs(first+1))...)
			}
		}
	}
	dense, last := "classifier.1", "classifier.4"
	if plain {
		dense, last = "classifier.0", "classifier.2"
	}
	channels := d.Filters[len(d.Filters)-1]
	return append(append(all,
		// Their rows are channels of images, ours images of channels.
		Import{Variable: "dense/kernel", Tensor: dense + ".weight", View: []int{d.Dense, channels, -1}, Axes: []int{2, 1, 0}},
		Import{Variable: "dense/bias", Tensor: dense + ".bias"},
	), denseImports(param.OutputScope, last)...)
}

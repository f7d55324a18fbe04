package zoo

import (
	"errors"
	"fmt"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/ops"
)

// IBNDenseNet is a densely connected network with instance normalisation in its shallow layers: stem -> for each dense block
// [layers, each norm, ReLU, conv 1x1 to 4 Growth, norm, ReLU, conv 3x3 to Growth, joined to what came before], between blocks
// norm, ReLU, conv 1x1 to half the channels and a mean over 2x2 -> norm, ReLU, mean over positions -> dense. In every block but the
// last, the first norm of each third layer (0, 3, 6, ...) is norm.IBN with batch normalisation first; all others are norm.Batch.
// Sources: Huang, Liu, van der Maaten, Weinberger, "Densely Connected Convolutional Networks", arXiv 1608.06993; Pan, Luo, Shi,
// Tang, "Two at Once" (IBN-Net), arXiv 1807.09441.
type IBNDenseNet struct {
	Large   bool    `json:"large"`   // stem of a 7x7 convolution with stride 2 and a pooling, for images of 224x224; else 3x3
	Growth  int     `json:"growth"`  // channels a layer adds; 12
	Layers  []int   `json:"layers"`  // of each dense block; [4, 4, 4]
	Ratio   float64 `json:"ratio"`   // share of the instance-normalised channels; 0.4, 0 is the plain DenseNet
	Classes int     `json:"classes"` // 10
}

var (
	_ OwnNorms = IBNDenseNet{}
	_ Featured = IBNDenseNet{}
)

// NewIBNDenseNet returns a small network for images of 32x32.
func NewIBNDenseNet() IBNDenseNet {
	return IBNDenseNet{Growth: 12, Layers: []int{4, 4, 4}, Ratio: 0.4, Classes: 10}
}

// NewIBNDenseNetOfDepth returns the network of depth 121, 169 or 201 for ImageNet.
func NewIBNDenseNetOfDepth(depth int) (IBNDenseNet, error) {
	layers := map[int][]int{121: {6, 12, 24, 16}, 169: {6, 12, 32, 32}, 201: {6, 12, 48, 32}}[depth]
	if layers == nil {
		return IBNDenseNet{}, fmt.Errorf("zoo: no IBN-DenseNet of depth %d; use 121, 169 or 201", depth)
	}
	return IBNDenseNet{Large: true, Growth: 32, Layers: layers, Ratio: 0.4, Classes: 1000}, nil
}

// Validate reports what is wrong with the options.
func (d IBNDenseNet) Validate() error {
	var errs []error
	errs = append(errs, count("ibn-densenet", "growth", d.Growth, 1), count("ibn-densenet", "classes", d.Classes, 2))
	if len(d.Layers) == 0 {
		errs = append(errs, errors.New("ibn-densenet: no layers; give the number of layers of each dense block"))
	}
	if err := counts("ibn-densenet", "layers", d.Layers); err != nil {
		errs = append(errs, err)
	} else {
		errs = append(errs, layers("ibn-densenet", "layers", d.Layers))
	}
	if !(d.Ratio >= 0 && d.Ratio < 1) {
		errs = append(errs, fmt.Errorf("ibn-densenet: ratio is %v; use a share from 0 to below 1", d.Ratio))
	}
	return errors.Join(errs...)
}

// Task is Classify.
func (IBNDenseNet) Task() Task { return Classify }

// Outputs is the number of classes.
func (d IBNDenseNet) Outputs() int { return d.Classes }

// WithOutputs returns the same network for another number of classes.
func (d IBNDenseNet) WithOutputs(n int) Network { d.Classes = n; return d }

// WithNorm returns the network as it is: where which norm stands is what it consists of.
func (d IBNDenseNet) WithNorm(norm.Layer) Network { return d }

// OwnNorms marks the network.
func (IBNDenseNet) OwnNorms() {}

// Apply returns logits [batch, classes] for x [batch, height, width, channels].
func (d IBNDenseNet) Apply(scope *model.Scope, x *Node) *Node {
	return d.Head(scope, d.Features(scope, x))
}

// Features are the means over positions of the last dense block, normalised and activated, [batch, channels].
func (d IBNDenseNet) Features(scope *model.Scope, x *Node) *Node {
	blocks := d.Activations(scope, x)
	x = activated(scope.In("last"), norm.NewBatch(), linear.ReLU, blocks[len(blocks)-1])
	return ReduceMean(x, 1, 2)
}

// Head is the output.
func (d IBNDenseNet) Head(scope *model.Scope, features *Node) *Node {
	return output(scope, features, d.Classes)
}

// Activations returns what each dense block computes, [batch, height', width', channels'].
func (d IBNDenseNet) Activations(scope *model.Scope, x *Node) []*Node {
	checkImages("IBNDenseNet", x)
	size, stride := 3, 1
	if d.Large {
		size, stride = 7, 2
	}
	stem := scope.In("stem")
	x = activated(stem, norm.NewBatch(), linear.ReLU, d.conv(stem, x, 2*d.Growth, size, stride))
	if d.Large {
		x = ops.Pool{Window: 3, Stride: 2, Padding: [2][2]int{{1, 1}, {1, 1}}}.Max(x)
	}
	var features []*Node
	for block, layers := range d.Layers {
		within := scope.In("block_%d", block+1)
		for layer := range layers {
			at := within.In("layer_%d", layer+1)
			var first norm.Layer = norm.NewBatch()
			if d.Ratio > 0 && layer%3 == 0 && block < len(d.Layers)-1 {
				ibn := norm.NewIBN()
				ibn.Ratio, ibn.Order = d.Ratio, "bn_first"
				first = ibn
			}
			narrow, wide := at.In("conv_1"), at.In("conv_2")
			y := d.conv(narrow, activated(narrow, first, linear.ReLU, x), 4*d.Growth, 1, 1)
			y = d.conv(wide, activated(wide, norm.NewBatch(), linear.ReLU, y), d.Growth, 3, 1)
			x = pass.See(at, pass.Stream, Concatenate([]*Node{x, y}, -1))
		}
		features = append(features, x)
		if block < len(d.Layers)-1 {
			at := within.In("transition")
			x = d.conv(at, activated(at, norm.NewBatch(), linear.ReLU, x), x.Shape().Dimensions[3]/2, 1, 1)
			if s := x.Shape().Dimensions; s[1] >= 2 && s[2] >= 2 {
				x = ops.Pool{Window: 2}.Mean(x)
			}
		}
	}
	return features
}

func (IBNDenseNet) conv(scope *model.Scope, x *Node, filters, size, stride int) *Node {
	return linear.Conv2D{Filters: filters, Size: size, Stride: stride, Padding: size / 2, NoBias: true}.Apply(scope, x)
}

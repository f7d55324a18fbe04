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

// ResNet is the residual network for images of 32x32 and smaller, of depth 6n+2: a 3x3 convolution, three stages of n blocks
// with Base, 2 Base and 4 Base times Width filters, the second and third starting with stride 2, the mean over positions, and a dense
// layer. A block is [conv 3x3, norm, activation, conv 3x3, norm] + shortcut, then activation. Convolutions have no bias.
// Where a block changes the size, shortcut A takes every second pixel and pads the new channels with zeros, B is a 1x1
// convolution and a norm; A is the paper's for these sizes.
// Source: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", arXiv 1512.03385, section 4.2.
type ResNet struct {
	Depth      int               `json:"depth"`    // 6n+2: 8, 14, 20, 32, 44, 56, 110
	Base       int               `json:"base"`     // filters of the first stage; 16
	Width      int               `json:"width"`    // multiplies the filters; 1
	Shortcut   string            `json:"shortcut"` // A or B
	Classes    int               `json:"classes"`  // 10
	Norm       norm.Choice       `json:"norm"`     // batch
	Activation linear.Activation `json:"activation"`
}

var (
	_ Foldable = ResNet{}
	_ Layered  = ResNet{}
)

// NewResNet returns the paper's defaults for a depth.
func NewResNet(depth int) ResNet {
	return ResNet{Depth: depth, Base: 16, Width: 1, Shortcut: "A", Classes: 10, Norm: norm.Choice{Layer: norm.NewBatch()}, Activation: linear.ReLU}
}

// Validate reports what is wrong with the options.
func (r ResNet) Validate() error {
	var errs []error
	if n := (r.Depth - 2) / 6; r.Depth < 8 || r.Depth <= maxLayers && r.Depth != 6*n+2 {
		n = min(n, maxLayers/6)
		errs = append(errs, fmt.Errorf("resnet: depth is %d; it must be 6n+2, such as %d or %d", r.Depth, 6*max(n, 1)+2, 6*max(n+1, 2)+2))
	}
	if r.Depth > maxLayers {
		errs = append(errs, fmt.Errorf("resnet: depth is %d; use at most %d", r.Depth, maxLayers))
	}
	errs = append(errs, count("resnet", "width", r.Width, 1), count("resnet", "base", r.Base, 1))
	if r.Shortcut != "A" && r.Shortcut != "B" {
		errs = append(errs, fmt.Errorf("resnet: shortcut is %q; use A (zeros) or B (1x1 convolution)", r.Shortcut))
	}
	return errors.Join(append(errs, validate("resnet", r.Classes, r.Norm, r.Activation))...)
}

// Task is Classify.
func (ResNet) Task() Task { return Classify }

// Outputs is the number of classes.
func (r ResNet) Outputs() int { return r.Classes }

// WithOutputs returns the same network for another number of classes.
func (r ResNet) WithOutputs(n int) Network { r.Classes = n; return r }

// WithNorm returns the same network with another norm.
func (r ResNet) WithNorm(n norm.Layer) Network { r.Norm = norm.Choice{Layer: n}; return r }

// NormLayer is the norm.
func (r ResNet) NormLayer() norm.Layer { return r.Norm.Layer }

// Folded is the network with its norms folded into the layers before them.
func (r ResNet) Folded() (Network, *linear.Standardization) {
	return r.WithNorm(norm.Offset{}), nil
}

// Layers are those of the network.
func (r ResNet) Layers() []stack.Item {
	items := []stack.Item{{Scope: "stem", Layer: r.conv(r.Base*r.Width, 3, 1)}}
	items = append(items, stack.Normed("stem", r.Norm.Layer, r.Activation)...)
	for stage := range 3 {
		for block := range (r.Depth - 2) / 6 {
			stride := 1
			if stage > 0 && block == 0 {
				stride = 2
			}
			at := fmt.Sprintf("stage_%d/block_%d", stage+1, block+1)
			items = append(items,
				stack.Item{Scope: at, Layer: r.block(r.Base*r.Width<<stage, stride)},
				stack.Item{Scope: at, Layer: stack.Activation{Of: r.Activation}})
		}
	}
	return append(items, stack.Item{Layer: stack.Mean{}}, outputItem(r.Classes))
}

// block is a block without its last activation. With a stride it doubles the channels, else it keeps them.
func (r ResNet) block(filters, stride int) stack.Residual {
	branch := []stack.Item{{Scope: "conv_1", Layer: r.conv(filters, 3, stride)}}
	branch = append(branch, stack.Normed("conv_1", r.Norm.Layer, r.Activation)...)
	branch = append(branch, stack.Item{Scope: "conv_2", Layer: r.conv(filters, 3, 1)}, stack.Bare("conv_2", r.Norm.Layer, true))
	var skip []stack.Item
	switch {
	case stride == 1:
	case r.Shortcut == "B":
		skip = []stack.Item{{Scope: "shortcut", Layer: r.conv(filters, 1, stride)}, stack.Bare("shortcut", r.Norm.Layer, false)}
	default:
		skip = []stack.Item{{Layer: stack.Subsample{Stride: stride, Channels: filters}}}
	}
	return stack.Residual{Branch: branch, Skip: skip}
}

func (ResNet) conv(filters, size, stride int) linear.Conv2D {
	// The padding is the same on both sides, as in the paper's code, also at stride 2 where "same" would differ.
	return linear.Conv2D{Filters: filters, Size: size, Stride: stride, Padding: size / 2, NoBias: true}
}

// Apply returns logits [batch, classes] for x [batch, height, width, channels].
func (r ResNet) Apply(scope *model.Scope, x *Node) *Node { return r.Head(scope, r.Features(scope, x)) }

// Features are the means over positions of the last block, [batch, 4 Base Width].
func (r ResNet) Features(scope *model.Scope, x *Node) *Node {
	checkImages("ResNet", x)
	return featuresOf(r, scope, x)
}

// Head is the output.
func (r ResNet) Head(scope *model.Scope, features *Node) *Node { return headOf(r, scope, features) }

package zoo

import (
	"errors"
	"fmt"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/ops"
)

// UNet answers each pixel of an image: levels that see ever more of the image at ever fewer pixels, and as many that lead back, each
// beside the level of its size on the way down,
//
//	down_i    two convolutions of Base 2^(i-1) filters, i = 1 ... Depth, then the largest of each 2x2 pixels
//	middle    two convolutions of Base 2^Depth filters
//	up_i      i = Depth ... 1: each pixel becomes 2x2 by a kernel without bias, Base 2^(i-1) filters; what down_i gave beside it;
//	          two convolutions of as many filters
//	output    a convolution 1x1 to Outputs
//
// where a convolution is [conv 3x3, norm, activation], with zeros around and a bias. Images whose sides are no multiples of 2^Depth are padded
// with zeros at the bottom and on the right, and the answers cut. Answers are logits of classes for the task segment, and values for translate.
// Each level is seen as pass.Stream under its scope.
//
// Paths: down_1/conv_1/{kernel, bias, norm}, down_1/conv_2, ..., middle, up_1/upsample/kernel, ..., output. Parameters, two by channel for
// the norms included: 7,764,962 for the default with images of one channel and two outputs; Base 64 has four times as many.
// Source: Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", arXiv 1505.04597; the paper pads
// nothing, so its answers are smaller than its images, and has no norms.
type UNet struct {
	Answers    Task              `json:"task"`       // segment or translate; segment
	Base       int               `json:"base"`       // filters of the first level; 32
	Depth      int               `json:"depth"`      // levels on the way down; 4
	Channels   int               `json:"outputs"`    // classes, or channels of the other image; 2
	Norm       norm.Choice       `json:"norm"`       // batch
	Activation linear.Activation `json:"activation"` // relu
}

var _ Featured = UNet{}

// NewUNet returns a network of half the paper's width.
func NewUNet() UNet {
	return UNet{Answers: Segment, Base: 32, Depth: 4, Channels: 2, Norm: norm.Choice{Layer: norm.NewBatch()}, Activation: linear.ReLU}
}

// Validate reports what is wrong with the options.
func (u UNet) Validate() error {
	errs := []error{count("unet", "base", u.Base, 1), count("unet", "outputs", u.Channels, 1), validNorm("unet", u.Norm.Layer)}
	if u.Answers != Segment && u.Answers != Translate {
		errs = append(errs, fmt.Errorf("unet: task is %q; use %s or %s", u.Answers, Segment, Translate))
	}
	// Each level doubles the filters, and an image of 2^20 rows has no more than 20.
	if u.Depth < 1 || u.Depth > 20 || u.Base<<u.Depth > maxUnits {
		errs = append(errs, fmt.Errorf("unet: depth is %d of base %d; use 1 to 20, and at most %d filters", u.Depth, u.Base, maxUnits))
	}
	if err := u.Activation.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("unet: activation: %w", err))
	}
	return errors.Join(errs...)
}

// Task is Segment or Translate.
func (u UNet) Task() Task { return u.Answers }

// Outputs is the number of classes or channels.
func (u UNet) Outputs() int { return u.Channels }

// WithOutputs returns the same network for another number of classes or channels.
func (u UNet) WithOutputs(n int) Network { u.Channels = n; return u }

// WithNorm returns the same network with another norm.
func (u UNet) WithNorm(n norm.Layer) Network { u.Norm = norm.Choice{Layer: n}; return u }

// Apply returns answers [batch, height, width, outputs] for images x [batch, height, width, channels].
func (u UNet) Apply(scope *model.Scope, x *Node) *Node { return u.Head(scope, u.Features(scope, x)) }

// Features are what up_1 gives, [batch, height, width, Base].
func (u UNet) Features(scope *model.Scope, x *Node) *Node {
	checkImages("UNet", x)
	height, width := x.Shape().Dimensions[1], x.Shape().Dimensions[2]
	missing := func(n int) int { return (n+1<<u.Depth-1)>>u.Depth<<u.Depth - n }
	x = ops.PadConstant(x, 0, [][2]int{{}, {0, missing(height)}, {0, missing(width)}, {}})

	var beside []*Node
	for i := range u.Depth {
		x = u.level(scope.In("down_%d", i+1), x, u.Base<<i)
		beside = append(beside, x)
		x = ops.Pool{Window: 2}.Max(x)
	}
	x = u.level(scope.In("middle"), x, u.Base<<u.Depth)
	for i := u.Depth - 1; i >= 0; i-- {
		at := scope.In("up_%d", i+1)
		x = linear.Conv2D{Filters: 4 * u.Base << i, Size: 1, NoBias: true}.Apply(at.In("upsample"), x)
		x = u.level(at, Concatenate([]*Node{ops.PixelShuffle(x, 2), beside[i]}, 3), u.Base<<i)
	}
	return Slice(x, AxisRange(), AxisRange(0, height), AxisRange(0, width), AxisRange())
}

// Head returns answers for features.
func (u UNet) Head(scope *model.Scope, features *Node) *Node {
	features = pass.See(scope, pass.Features, features)
	last := linear.Conv2D{Filters: u.Channels, Size: 1, Init: param.LeCunNormal(u.Base)}
	return last.Apply(scope.In(param.OutputScope), features)
}

// level is two convolutions.
func (u UNet) level(scope *model.Scope, x *Node, filters int) *Node {
	for i := range 2 {
		at := scope.In("conv_%d", i+1)
		x = activated(at, u.Norm.Layer, u.Activation, linear.Conv2D{Filters: filters, Size: 3, Padding: 1}.Apply(at, x))
	}
	return pass.See(scope, pass.Stream, x)
}

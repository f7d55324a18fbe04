package zoo

import (
	"errors"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/nn/norm"
)

// Inpainter is InpaintGenerator as a network of one input: an example is an image with values in [0,1] and, as its last channel, the hole,
// [batch, height, width, channels+1]. The hole is where that channel is above 0; what the image shows there is not looked at. The answer is
// the whole image as the network sees it, [batch, height, width, Channels], in [0,1]. Its norms are part of it.
type Inpainter struct {
	InpaintGenerator
	Channels int `json:"outputs"` // of the image that it answers with; 3
}

var _ OwnNorms = Inpainter{}

// NewInpainter returns the paper's network for images in colour.
func NewInpainter() Inpainter {
	return Inpainter{InpaintGenerator: NewInpaintGenerator(), Channels: 3}
}

// Validate reports what is wrong with the options.
func (n Inpainter) Validate() error {
	return errors.Join(n.InpaintGenerator.Validate(), count("inpainter", "outputs", n.Channels, 1))
}

// Task is Translate.
func (Inpainter) Task() Task { return Translate }

// Outputs is the number of channels of the image.
func (n Inpainter) Outputs() int { return n.Channels }

// WithOutputs returns the same network for images with another number of channels.
func (n Inpainter) WithOutputs(channels int) Network { n.Channels = channels; return n }

// WithNorm returns the network as it is: Norm says which it has.
func (n Inpainter) WithNorm(norm.Layer) Network { return n }

// OwnNorms says that the norms are part of the network.
func (Inpainter) OwnNorms() {}

// Apply returns images for images with a hole. Panics where InpaintGenerator does, and on examples of one channel.
func (n Inpainter) Apply(scope *model.Scope, x *Node) *Node {
	checkImages("Inpainter", x)
	channels := x.Shape().Dimensions[3] - 1
	if channels < 1 {
		Panicf("zoo.Inpainter: x is %s; want images and, as the last channel, their holes", x.Shape())
	}
	image, hole := SliceAxis(x, 3, AxisRange(0, channels)), n.Hole(x)
	return n.fill(scope, image, hole, n.Channels)
}

// Hole is the hole of examples [batch, height, width, channels+1]: [batch, height, width, 1], 1 in it.
func (Inpainter) Hole(x *Node) *Node {
	last := SliceAxis(x, 3, AxisRange(x.Shape().Dimensions[3]-1))
	dtype := x.DType()
	if !dtype.IsFloat() {
		dtype = dtypes.Float32
	}
	return ConvertDType(GreaterThan(last, ZerosLike(last)), dtype)
}

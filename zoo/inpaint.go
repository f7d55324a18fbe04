package zoo

import (
	"fmt"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/ops"
)

// InpaintGenerator fills holes in images: the hole is painted white, and then
//
//	encoder   mirror 3, conv 7x7 to Base, norm, ReLU; twice conv 4x4 stride 2 to 2 and 4 Base, norm, ReLU
//	middle    Blocks x [mirror 2, conv 3x3 dilated by 2, norm, ReLU, mirror 1, conv 3x3, norm] + input
//	decoder   conv 3x3 to 8 Base, pixel shuffle to 2 Base, norm, ReLU; conv 3x3 to 4 Base, shuffle to Base, norm, ReLU; mirror 3, conv 7x7
//	          to the image's channels; (tanh + 1)/2
//
// With Norm "region" the norms are norm.RegionBasic in the encoder and norm.RegionLearned behind it; "instance" and "batch" are for comparison.
// Source: Yu et al., "Region Normalization for Image Inpainting", arXiv 1911.10375, and its official code, whose norms take the
// statistics of a whole batch: Style.
type InpaintGenerator struct {
	Base      int     `json:"base"`      // channels of the first layer; 64
	Blocks    int     `json:"blocks"`    // residual blocks; 8
	Norm      string  `json:"norm"`      // region, instance or batch
	Style     string  `json:"style"`     // of region norms: instance or batch
	Threshold float64 `json:"threshold"` // of norm.RegionLearned; 0.8
}

// NewInpaintGenerator returns the paper's network.
func NewInpaintGenerator() InpaintGenerator {
	return InpaintGenerator{Base: 64, Blocks: 8, Norm: "region", Style: "instance", Threshold: 0.8}
}

// Validate reports what is wrong with the options.
func (p InpaintGenerator) Validate() error {
	switch {
	case p.Base < 1 || p.Blocks < 1:
		return fmt.Errorf("inpaint: base is %d and blocks %d; use at least 1", p.Base, p.Blocks)
	case p.Base > maxUnits || p.Blocks > maxLayers:
		return fmt.Errorf("inpaint: base is %d and blocks %d; use at most %d and %d", p.Base, p.Blocks, maxUnits, maxLayers)
	case p.Norm != "region" && p.Norm != "instance" && p.Norm != "batch":
		return fmt.Errorf("inpaint: norm is %q; use region, instance or batch", p.Norm)
	case p.Style != "instance" && p.Style != "batch":
		return fmt.Errorf("inpaint: style is %q; use instance or batch", p.Style)
	}
	return nil
}

// Apply returns the whole image as the network sees it, [batch, height, width, channels] in [0,1], for images x in [0,1] and a mask
// [batch, height, width, 1], 1 in the hole. Panics if height or width is not a multiple of 4, or below 12.
func (p InpaintGenerator) Apply(scope *model.Scope, x, mask *Node) *Node {
	checkImages("InpaintGenerator", x)
	return p.fill(scope, x, mask, x.Shape().Dimensions[3])
}

// fill is Apply for an answer of so many channels.
func (p InpaintGenerator) fill(scope *model.Scope, x, mask *Node, channels int) *Node {
	d := x.Shape().Dimensions
	if d[1]%4 != 0 || d[2]%4 != 0 || d[1] < 12 || d[2] < 12 {
		Panicf("zoo.InpaintGenerator: images are %d x %d; sides must be multiples of 4, at least 12, so crop or resize them", d[1], d[2])
	}
	y := Add(Mul(x, OneMinus(mask)), mask)
	encoder, decoder := scope.In("encoder"), scope.In("decoder")
	layer := func(at *model.Scope, y *Node, filters, size, stride, pad int) *Node {
		return linear.Conv2D{Filters: filters, Size: size, Stride: stride, Padding: pad}.Apply(at, y)
	}
	for i, filters := range []int{p.Base, 2 * p.Base, 4 * p.Base} {
		at := encoder.In("layer_%d", i+1)
		if i == 0 {
			y = layer(at, ops.PadReflect(y, 3), filters, 7, 1, 0)
		} else {
			y = layer(at, y, filters, 4, 2, 1)
		}
		y = activate(at, linear.ReLU, p.norm(at.In("norm"), y, mask))
	}
	for i := range p.Blocks {
		at := scope.In("block_%d", i+1)
		first, second := at.In("conv_1"), at.In("conv_2")
		z := linear.Conv2D{Filters: 4 * p.Base, Size: 3, Dilation: 2}.Apply(first, ops.PadReflect(y, 2))
		z = activate(first, linear.ReLU, p.norm(first.In("norm"), z, nil))
		z = layer(second, ops.PadReflect(z, 1), 4*p.Base, 3, 1, 0)
		y = pass.See(at, pass.Stream, Add(y, p.norm(second.In("norm"), z, nil)))
	}
	for i, filters := range []int{8 * p.Base, 4 * p.Base} {
		at := decoder.In("layer_%d", i+1)
		y = ops.PixelShuffle(layer(at, y, filters, 3, 1, 1), 2)
		y = activate(at, linear.ReLU, p.norm(at.In("norm"), y, nil))
	}
	y = pass.See(scope, pass.Features, y)
	y = layer(scope.In(param.OutputScope), ops.PadReflect(y, 3), channels, 7, 1, 0)
	return MulScalar(OnePlus(Tanh(y)), 0.5)
}

// norm is the norm of the network; in the encoder the mask is known.
func (p InpaintGenerator) norm(scope *model.Scope, x, mask *Node) *Node {
	switch {
	case p.Norm == "instance":
		return norm.NewInstance().Apply(scope, x)
	case p.Norm == "batch":
		return norm.NewBatch().Apply(scope, x)
	case mask != nil:
		layer := norm.NewRegionBasic()
		layer.Style = p.Style
		return layer.ApplyHole(scope, x, mask)
	}
	layer := norm.NewRegionLearned()
	layer.Style, layer.Threshold = p.Style, p.Threshold
	return layer.Apply(scope, x)
}

// InpaintDiscriminator judges patches of images: convolutions 4x4 to Base, 2, 4 and 8 Base and 1 channel with strides 2, 2, 2, 1, 1, spectral
// normalisation on every kernel, no bias, leaky ReLU of slope 0.2 between, and a sigmoid: the probability of each patch to be real.
// Source: Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", arXiv 1611.07004, as in the official code of
// "Region Normalization for Image Inpainting", arXiv 1911.10375.
type InpaintDiscriminator struct {
	Base   int `json:"base"`   // channels of the first layer; 64
	Halves int `json:"halves"` // convolutions with stride 2; 3, fewer for small images
}

// NewInpaintDiscriminator returns the paper's network.
func NewInpaintDiscriminator() InpaintDiscriminator { return InpaintDiscriminator{Base: 64, Halves: 3} }

// Validate reports what is wrong with the options.
func (p InpaintDiscriminator) Validate() error {
	// Each half doubles the filters, and an image of 2^30 pixels has no more.
	if p.Base < 1 || p.Base > maxUnits || p.Halves < 0 || p.Halves > 30 {
		return fmt.Errorf("inpaint: the discriminator's base is %d and halves %d; use 1 to %d and 0 to 30", p.Base, p.Halves, maxUnits)
	}
	return nil
}

// Apply returns probabilities [batch, height', width', 1] for images x in [0,1].
func (p InpaintDiscriminator) Apply(scope *model.Scope, x *Node) *Node {
	checkImages("InpaintDiscriminator", x)
	filters := p.Base
	conv := func(i, filters, stride int, x *Node) *Node {
		return linear.Conv2D{Filters: filters, Size: 4, Stride: stride, Padding: 1, NoBias: true, Kernel: linear.SpectralNorm{}.Hook()}.Apply(scope.In("layer_%d", i), x)
	}
	leaky := func(i int, x *Node) *Node {
		x = pass.See(scope.At("layer_%d", i), pass.Preactivation, x)
		return Where(LessOrEqual(x, ScalarZero(x.Graph(), x.DType())), MulScalar(x, 0.2), x)
	}
	for i := range p.Halves {
		x = leaky(i+1, conv(i+1, filters, 2, x))
		filters *= 2
	}
	x = leaky(p.Halves+1, conv(p.Halves+1, filters, 1, x))
	return Logistic(conv(p.Halves+2, 1, 1, x))
}

package zoo

import (
	"errors"
	"fmt"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/nn/stack"
	"github.com/ballast-ml/ballast/ops"
)

// ImageNetResNet is the residual network for photographs, as libraries publish it trained on ImageNet: stem -> max pooling 3x3 with
// stride 2 -> stages of blocks -> mean over positions -> dense to the classes. A block is
//
//	basic        [conv 3x3 (stride), norm, activation, conv 3x3, norm] + shortcut, activation                        Filters channels
//	bottleneck   [conv 1x1, norm, activation, conv 3x3 (stride), norm, activation, conv 1x1, norm] + shortcut, activation
//
// with Inner channels inside a bottleneck. The first block of every stage but the first has stride 2; a shortcut that changes the shape
// is a 1x1 convolution and a norm, and with shortcut D its stride is a mean over 2x2 pixels in front of it. The stem is one 7x7
// convolution with stride 2, or with more than one number in Stem as many 3x3 convolutions, the first with stride 2. Convolutions have
// no biases, every one is followed by a norm, and padding is the same on both sides.
//
// The defaults are ResNet-50 of PyTorch's libraries (stride in the 3x3 convolution): 25,557,032 parameters with 1,000 classes. Recognize
// reads the files of torchvision, timm (with its D variants) and transformers.
// Sources: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", arXiv 1512.03385, table 1; shortcut D and the deep stem:
// He et al., "Bag of Tricks for Image Classification with Convolutional Neural Networks", arXiv 1812.01187.
type ImageNetResNet struct {
	Stem        []int             `json:"stem"`         // filters of the stem's convolutions; [64]
	Blocks      []int             `json:"blocks"`       // of each stage; [3, 4, 6, 3]
	Filters     []int             `json:"filters"`      // channels that come out of each stage; [256, 512, 1024, 2048]
	Inner       []int             `json:"inner"`        // channels inside the bottlenecks of each stage; [] = basic blocks; [64, 128, 256, 512]
	Groups      int               `json:"groups"`       // of the 3x3 convolutions of bottlenecks; 1
	FirstStride int               `json:"first_stride"` // of the first stage; 1
	StrideFirst bool              `json:"stride_first"` // the stride of a bottleneck is in its first convolution, as in the paper; false
	Shortcut    string            `json:"shortcut"`     // B or D
	Classes     int               `json:"classes"`      // 1000
	Norm        norm.Choice       `json:"norm"`         // batch
	Activation  linear.Activation `json:"activation"`   // relu
}

var (
	_ Foldable = ImageNetResNet{}
	_ Featured = ImageNetResNet{}
)

// NewImageNetResNet returns ResNet-50.
func NewImageNetResNet() ImageNetResNet {
	return ImageNetResNet{
		Stem: []int{64}, Blocks: []int{3, 4, 6, 3}, Filters: []int{256, 512, 1024, 2048}, Inner: []int{64, 128, 256, 512}, Groups: 1, FirstStride: 1,
		Shortcut: "B", Classes: 1000, Norm: norm.Choice{Layer: norm.NewBatch()}, Activation: linear.ReLU,
	}
}

// NewImageNetResNetOfDepth returns the network of depth 18, 34, 50, 101 or 152.
func NewImageNetResNetOfDepth(depth int) (ImageNetResNet, error) {
	blocks := map[int][]int{18: {2, 2, 2, 2}, 34: {3, 4, 6, 3}, 50: {3, 4, 6, 3}, 101: {3, 4, 23, 3}, 152: {3, 8, 36, 3}}[depth]
	if blocks == nil {
		return ImageNetResNet{}, fmt.Errorf("imagenet-resnet: depth is %d; use 18, 34, 50, 101 or 152", depth)
	}
	n := NewImageNetResNet()
	if n.Blocks = blocks; depth < 50 {
		n.Filters, n.Inner = []int{64, 128, 256, 512}, []int{}
	}
	return n, nil
}

// Validate reports what is wrong with the options.
func (r ImageNetResNet) Validate() error {
	const name = "imagenet-resnet"
	errs := []error{
		counts(name, "stem", r.Stem), counts(name, "blocks", r.Blocks), counts(name, "filters", r.Filters), counts(name, "inner", r.Inner),
		count(name, "groups", r.Groups, 1), count(name, "first_stride", r.FirstStride, 1),
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	switch {
	case len(r.Stem) == 0 || len(r.Blocks) == 0:
		errs = append(errs, errors.New("imagenet-resnet: stem or blocks is empty; give one number for each convolution and each stage"))
	case len(r.Filters) != len(r.Blocks) || len(r.Inner) > 0 && len(r.Inner) != len(r.Blocks):
		errs = append(errs, fmt.Errorf("imagenet-resnet: %d numbers of blocks, %d of filters, %d of inner; give one of each for each stage, or no inner",
			len(r.Blocks), len(r.Filters), len(r.Inner)))
	}
	for stage, inner := range r.Inner {
		if inner%r.Groups != 0 {
			errs = append(errs, fmt.Errorf("imagenet-resnet: %d groups do not divide inner.%d, %d", r.Groups, stage, inner))
		}
	}
	if len(r.Inner) == 0 && r.Groups != 1 {
		errs = append(errs, fmt.Errorf("imagenet-resnet: groups is %d; basic blocks have 1", r.Groups))
	}
	if r.Shortcut != "B" && r.Shortcut != "D" {
		errs = append(errs, fmt.Errorf("imagenet-resnet: shortcut is %q; use B (1x1 convolution with stride) or D (mean, then 1x1 convolution)", r.Shortcut))
	}
	errs = append(errs, layers(name, "blocks", r.Blocks), validate(name, r.Classes, r.Norm, r.Activation))
	return errors.Join(errs...)
}

// Task is Classify.
func (ImageNetResNet) Task() Task { return Classify }

// Outputs is the number of classes.
func (r ImageNetResNet) Outputs() int { return r.Classes }

// WithOutputs returns the same network for another number of classes.
func (r ImageNetResNet) WithOutputs(classes int) Network { r.Classes = classes; return r }

// WithNorm returns the same network with another norm.
func (r ImageNetResNet) WithNorm(n norm.Layer) Network { r.Norm = norm.Choice{Layer: n}; return r }

// NormLayer is the norm.
func (r ImageNetResNet) NormLayer() norm.Layer { return r.Norm.Layer }

// Folded is the network with its norms folded into the layers before them.
func (r ImageNetResNet) Folded() (Network, *linear.Standardization) {
	return r.WithNorm(norm.Offset{}), nil
}

// Apply returns logits [batch, classes] for x [batch, height, width, channels].
func (r ImageNetResNet) Apply(scope *model.Scope, x *Node) *Node {
	return r.Head(scope, r.Features(scope, x))
}

// Head is the output.
func (r ImageNetResNet) Head(scope *model.Scope, features *Node) *Node {
	return output(scope, features, r.Classes)
}

// Features are the means over positions of the last block, [batch, last of Filters].
func (r ImageNetResNet) Features(scope *model.Scope, x *Node) *Node {
	checkImages("ImageNetResNet", x)
	if len(r.Stem) == 1 {
		x = r.active(scope.In("stem"), linear.Conv2D{Filters: r.Stem[0], Size: 7, Stride: 2}, x)
	} else {
		for i, filters := range r.Stem {
			x = r.active(scope.In("stem_%d", i+1), linear.Conv2D{Filters: filters, Size: 3, Stride: 2 - min(i, 1)}, x)
		}
	}
	x = ops.Pool{Window: 3, Stride: 2, Padding: [2][2]int{{1, 1}, {1, 1}}}.Max(x)

	for _, b := range r.blocks() {
		x = r.block(stack.Below(scope, fmt.Sprintf("stage_%d/block_%d", b.stage+1, b.place+1)), b, x)
	}
	return ReduceMean(x, 1, 2)
}

// resnetBlock is where a block is and what it does.
type resnetBlock struct{ stage, place, stride int }

// blocks are the blocks of all stages.
func (r ImageNetResNet) blocks() (all []resnetBlock) {
	for stage, blocks := range r.Blocks {
		for place := range blocks {
			b := resnetBlock{stage, place, 1}
			switch {
			case place == 0 && stage == 0:
				b.stride = r.FirstStride
			case place == 0:
				b.stride = 2
			}
			all = append(all, b)
		}
	}
	return all
}

// block is one block with its last activation.
func (r ImageNetResNet) block(at *model.Scope, b resnetBlock, x *Node) *Node {
	out := r.Filters[b.stage]
	var y *Node
	if len(r.Inner) == 0 {
		y = r.active(at.In("conv_1"), linear.Conv2D{Filters: out, Size: 3, Stride: b.stride}, x)
		y = r.normed(at.In("conv_2"), linear.Conv2D{Filters: out, Size: 3}, true, y)
	} else {
		inner, first, second := r.Inner[b.stage], 1, b.stride
		if r.StrideFirst {
			first, second = second, first
		}
		y = r.active(at.In("conv_1"), linear.Conv2D{Filters: inner, Size: 1, Stride: first}, x)
		y = r.active(at.In("conv_2"), linear.Conv2D{Filters: inner, Size: 3, Stride: second, Groups: r.Groups}, y)
		y = r.normed(at.In("conv_3"), linear.Conv2D{Filters: out, Size: 1}, true, y)
	}

	if b.stride != 1 || x.Shape().Dim(-1) != out {
		stride := b.stride
		if r.Shortcut == "D" && stride > 1 {
			x, stride = meanOfWindows(x, stride), 1
		}
		x = r.normed(at.In("shortcut"), linear.Conv2D{Filters: out, Size: 1, Stride: stride}, false, x)
	}
	return activate(at, r.Activation, pass.See(at, pass.Stream, Add(y, x)))
}

// meanOfWindows is the mean over windows of size x size pixels; what hangs over at the bottom and on the right counts for nothing.
func meanOfWindows(x *Node, size int) *Node {
	d := x.Shape().Dimensions
	rest := func(n int) int { return (size - n%size) % size }
	return ops.Pool{Window: size, Padding: [2][2]int{{0, rest(d[1])}, {0, rest(d[2])}}}.Mean(x)
}

// conv is a convolution that pads alike on both sides.
func (ImageNetResNet) conv(at *model.Scope, c linear.Conv2D, x *Node) *Node {
	c.Padding, c.NoBias = c.Size/2, true
	return c.Apply(at, x)
}

func (r ImageNetResNet) active(at *model.Scope, c linear.Conv2D, x *Node) *Node {
	return activated(at, r.Norm.Layer, r.Activation, r.conv(at, c, x))
}

func (r ImageNetResNet) normed(at *model.Scope, c linear.Conv2D, branchEnd bool, x *Node) *Node {
	return normalised(at, r.Norm.Layer, branchEnd, r.conv(at, c, x))
}

// Imports maps the names of torchvision and of timm, which has its D variants' stem and shortcut one number on.
func (r ImageNetResNet) Imports() []Import {
	var all []Import
	layer := func(ours, conv, norm string) {
		all = append(all, convImports(ours, conv)[:1]...) // no bias
		all = append(all, batchImports(ours+"/norm", norm)...)
	}
	if len(r.Stem) == 1 {
		layer("stem", "conv1", "bn1")
	}
	for i := range r.Stem {
		switch {
		case len(r.Stem) == 1:
		case i == len(r.Stem)-1:
			layer(fmt.Sprintf("stem_%d", i+1), fmt.Sprintf("conv1.%d", 3*i), "bn1")
		default:
			layer(fmt.Sprintf("stem_%d", i+1), fmt.Sprintf("conv1.%d", 3*i), fmt.Sprintf("conv1.%d", 3*i+1))
		}
	}
	r.eachLayer(func(b resnetBlock, ours, theirs string) {
		at := fmt.Sprintf("layer%d.%d.", b.stage+1, b.place)
		if theirs != "" {
			layer(ours, at+"conv"+theirs, at+"bn"+theirs)
			return
		}
		first := 0
		if r.Shortcut == "D" {
			first = 1
		}
		layer(ours, fmt.Sprintf("%sdownsample.%d", at, first), fmt.Sprintf("%sdownsample.%d", at, first+1))
	})
	return append(all, denseImports("output", "fc")...)
}

// transformersImports maps the names of transformers' ResNetForImageClassification.
func (r ImageNetResNet) transformersImports() []Import {
	var all []Import
	layer := func(ours, theirs string) {
		all = append(all, convImports(ours, theirs+".convolution")[:1]...) // no bias
		all = append(all, batchImports(ours+"/norm", theirs+".normalization")...)
	}
	layer("stem", "resnet.embedder.embedder")
	r.eachLayer(func(b resnetBlock, ours, theirs string) {
		at := fmt.Sprintf("resnet.encoder.stages.%d.layers.%d.", b.stage, b.place)
		if theirs == "" {
			layer(ours, at+"shortcut")
			return
		}
		layer(ours, at+"layer."+string(theirs[0]-1))
	})
	return append(all, denseImports("output", "classifier.1")...)
}

// eachLayer goes through the convolutions of all blocks: their scope, and their number counted from 1, "" for a shortcut.
func (r ImageNetResNet) eachLayer(f func(b resnetBlock, ours, theirs string)) {
	convs := []string{"1", "2"}
	if len(r.Inner) > 0 {
		convs = append(convs, "3")
	}
	channels := slices.Concat(r.Stem[len(r.Stem)-1:], r.Filters) // in front of each stage
	for _, b := range r.blocks() {
		at := fmt.Sprintf("stage_%d/block_%d/", b.stage+1, b.place+1)
		for _, conv := range convs {
			f(b, at+"conv_"+conv, conv)
		}
		if b.stride != 1 || b.place == 0 && channels[b.stage] != r.Filters[b.stage] {
			f(b, at+"shortcut", "")
		}
	}
}

// Package zoo has whole networks, one file each. A network is a plain struct value; its norm and its activation are fields.
// Most turn x [batch, height, width, channels] into logits [batch, classes]; Task describes the outputs of the others. The last layer
// is under the scope "output".
//
//	network            for                                          parameters (10 classes)
//	MLP                small inputs and tables                      1.46 M for 28x28x1 with the default 5 x 512
//	TwoLayer           tables: the network of grokking              37,000 for 64 inputs
//	CNN                digits and other small grey images           207,274 for 28x28x1
//	ConvNet            comparing norms: only convolutions           16,794 for 28x28x1
//	ResNet             images of 32x32 and smaller                  269,722 for ResNet-20 on 32x32x3
//	IBNResNet          data that changes in appearance              78,042 for the small one on 32x32x3
//	IBNDenseNet        the same, densely connected                  102,778 for the small one on 32x32x3
//	RNN                images as sequences of rows                  8,714 for the LN-LSTM of 32 on 28x28x1
//	ViT                images as patches that attend to each other  305,034 for 28x28x1
//	Decoder            texts: predicts the next token               135,168 for bytes
//	UNet               an answer for each pixel                     7,764,962 for two classes and one channel
//	Inpainter          images with holes, which it fills            11,596,591 for three channels
//	Heads              several answers from one trunk               those of the trunk, and of each head
//	Branched           copies of the last layers, to be trained      those of the trunk, and of its last layers for each branch
//	Towers             two encoders into one space                  those of both, and two projections
//	Ensemble           the mean of several networks of one kind     those of each member
//	DigitNet           weights that others trained on digits        421,642 for 28x28x1
//	EfficientNetLite   weights that others trained on photographs   4,652,008 with 1,000 classes
//	ImageNetResNet     the same: ResNet-18 to 152                   25,557,032 as ResNet-50
//	ConvNeXt           the same                                     28,589,128 as ConvNeXt-T
//
// Recognize finds which of them, or ViT, a file of torchvision, timm or transformers holds.
package zoo

import (
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/internal/choice"
	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/nn/stack"
	"github.com/ballast-ml/ballast/own"
)

// Network turns examples into answers of its task.
type Network interface {
	Apply(scope *model.Scope, x *Node) *Node // x [batch, ...] -> what Task says: a classifier's logits [batch, Outputs]
	Validate() error                         // says what is wrong with the options, and the fix
	Task() Task                              // what the answers are
	Outputs() int                            // the size of an answer's last axis: classes, values, the vocabulary
	WithOutputs(n int) Network               // the same network for another number of outputs
	WithNorm(n norm.Layer) Network           // the same network with another norm
}

// Featured is a network in two parts: Apply is Head of Features. Both are given the network's scope, by At where they are
// applied apart.
type Featured interface {
	Network
	Features(scope *model.Scope, x *Node) *Node    // x -> what goes into the last layer [batch, features]
	Head(scope *model.Scope, features *Node) *Node // the last layer, under the scope output
}

// Layered is a network that is a list of layers: Apply is stack.Run of them. The last one is the output, so that a Layered network
// is Featured too.
type Layered interface {
	Featured
	Layers() []stack.Item
}

// OwnNorms is a network whose norms are part of what it is: WithNorm returns it as it is, and a recipe refuses a norm beside it.
type OwnNorms interface {
	Network
	OwnNorms()
}

// Foldable is a network in which every norm follows a kernel, in the scope "norm" under that kernel's.
type Foldable interface {
	Network
	NormLayer() norm.Layer // the norm that all of them are

	// Folded is the network whose norms have become norm.Offset and whose kernels are no longer standardised; standardization says how
	// they were, nil if they were not.
	Folded() (plain Network, standardization *linear.Standardization)
}

// Kind is a network that can be chosen by name: its Name, and New, which returns it with its defaults.
type Kind = choice.Kind[Network]

// All is every network that has a name, with its defaults.
func All() []Kind {
	return []Kind{
		{Name: "mlp", New: func() Network { return NewMLP() }},
		{Name: "two-layer", New: func() Network { return NewTwoLayer() }},
		{Name: "cnn", New: func() Network { return NewCNN() }},
		{Name: "convnet", New: func() Network { return NewConvNet() }},
		{Name: "resnet", New: func() Network { return NewResNet(20) }},
		{Name: "ibn-resnet", New: func() Network { return NewIBNResNet() }},
		{Name: "ibn-densenet", New: func() Network { return NewIBNDenseNet() }},
		{Name: "rnn", New: func() Network { return NewRNN() }},
		{Name: "vit", New: func() Network { return NewViT() }},
		{Name: "decoder", New: func() Network { return NewDecoder() }},
		{Name: "unet", New: func() Network { return NewUNet() }},
		{Name: "inpainter", New: func() Network { return NewInpainter() }},
		{Name: "heads", New: func() Network { return NewHeads() }},
		{Name: "branched", New: func() Network { return NewBranched() }},
		{Name: "embedder", New: func() Network { return NewEmbedder() }},
		{Name: "towers", New: func() Network { return NewTowers() }},
		{Name: "ensemble", New: func() Network { return NewEnsemble() }},
		{Name: "digitnet", New: func() Network { return NewDigitNet() }},
		{Name: "efficientnet-lite", New: func() Network { return NewEfficientNetLite() }},
		{Name: "imagenet-resnet", New: func() Network { return NewImageNetResNet() }},
		{Name: "convnext", New: func() Network { return NewConvNeXt() }},
	}
}

// Choice is a network chosen by name in a recipe or a bundle: "cnn", or {"name": "resnet", "depth": 20}.
type Choice struct{ Network }

// MarshalJSON writes the name and the options.
func (c Choice) MarshalJSON() ([]byte, error) { return choice.Encode("network", All(), c.Network) }

// UnmarshalJSON reads a name, or a name with options; an unknown name or option is an error that names the nearest.
func (c *Choice) UnmarshalJSON(data []byte) error { return c.UnmarshalOwn(data, nil) }

// UnmarshalOwn is UnmarshalJSON where names may be a program's own.
func (c *Choice) UnmarshalOwn(data []byte, r own.Registry) (err error) {
	if c.Network, err = choice.Decode("network", All(), data, r); err != nil {
		return err
	}
	return c.Validate()
}

// Name returns the name a network has in All, or its Go type.
func Name(n Network) string { return choice.NameOf(All(), n) }

// featuresOf is all of a Layered network but the last layer.
func featuresOf(n Layered, scope *model.Scope, x *Node) *Node {
	items := n.Layers()
	return stack.Run(scope, items[:len(items)-1], x)
}

// headOf is the last layer of a Layered network.
func headOf(n Layered, scope *model.Scope, features *Node) *Node {
	items := n.Layers()
	return stack.Run(scope, items[len(items)-1:], pass.See(scope, pass.Features, features))
}

// activated is the norm under the scope norm, and the activation unless the norm contains one.
func activated(scope *model.Scope, n norm.Layer, a linear.Activation, x *Node) *Node {
	x = n.Apply(scope.In("norm"), x)
	if own, ok := n.(norm.Activated); ok && own.Activates() {
		return x
	}
	return activate(scope, a, x)
}

// activate is the activation of what a layer under scope computes.
func activate(scope *model.Scope, a linear.Activation, x *Node) *Node {
	return a.Apply(pass.See(scope, pass.Preactivation, x))
}

// normalised is the norm under the scope norm without an activation. At the end of a residual branch a norm that contains one
// starts at 0.
func normalised(scope *model.Scope, n norm.Layer, branchEnd bool, x *Node) *Node {
	if own, ok := n.(norm.Activated); ok && own.Activates() {
		n = own.WithoutActivation(branchEnd)
	}
	return n.Apply(scope.In("norm"), x)
}

// output is the last layer: dense, without a nonlinearity.
func output(scope *model.Scope, x *Node, classes int) *Node {
	return outputLayer(classes).Apply(scope.In(param.OutputScope), pass.See(scope, pass.Features, x))
}

func outputLayer(units int) linear.Dense {
	return linear.Dense{Units: units, InitOf: param.LeCunNormal}
}

// outputItem is the last layer of a Layered network.
func outputItem(units int) stack.Item {
	return stack.Item{Scope: param.OutputScope, Layer: outputLayer(units)}
}

// checkImages panics unless x is [batch, height, width, channels].
func checkImages(network string, x *Node) {
	if x.Rank() != 4 {
		Panicf("zoo.%s: x is %s; want images [batch, height, width, channels]", network, x.Shape())
	}
}

package zoo

import (
	"errors"
	"fmt"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/nn/pass"
)

// EfficientNetLite is EfficientNet without squeeze-and-excitation and with ReLU6, as made for small devices: x -> conv 3x3 with stride 2,
// norm, activation -> inverted residual blocks -> conv 1x1, norm, activation -> mean over positions -> dense to the classes. A block is
//
//	conv 1x1 to Expand times the channels, norm, activation (left out where Expand is 1)
//	-> depthwise conv Kernel x Kernel, norm, activation -> conv 1x1, norm
//
// with x added where the shape stays. Convolutions have no biases and pad to ceil(input/stride), the odd zero after. The defaults are
// Lite0: 4,652,008 parameters with 1,000 classes. "ballast data get efficientnet-lite0" brings it trained on ImageNet, for 224x224x3.
// Sources: Tan, Le, "EfficientNet", arXiv 1905.11946; Sandler et al., "MobileNetV2", arXiv 1801.04381; the lite variant is code alone.
type EfficientNetLite struct {
	Stem       int                 `json:"stem"`       // filters of the first convolution; 32
	Stages     []EfficientNetStage `json:"stages"`     // see NewEfficientNetLite
	Last       int                 `json:"head"`       // filters of the last convolution; 1280
	Classes    int                 `json:"classes"`    // 1000
	Norm       norm.Choice         `json:"norm"`       // batch with eps 1e-3 and momentum 0.01
	Activation linear.Activation   `json:"activation"` // relu6
}

// EfficientNetStage is a row of blocks; the first has the stride, the others 1.
type EfficientNetStage struct {
	Kernel  int `json:"kernel"`  // side of the depthwise kernel
	Stride  int `json:"stride"`  // of the first block
	Expand  int `json:"expand"`  // times as many channels inside
	Filters int `json:"filters"` // channels that come out
	Blocks  int `json:"blocks"`
}

var (
	_ Foldable   = EfficientNetLite{}
	_ Importable = EfficientNetLite{}
)

// NewEfficientNetLite returns Lite0.
func NewEfficientNetLite() EfficientNetLite {
	return EfficientNetLite{
		Stem: 32, Last: 1280, Classes: 1000,
		Stages: []EfficientNetStage{
			{3, 1, 1, 16, 1}, {3, 2, 6, 24, 2}, {5, 2, 6, 40, 2}, {3, 2, 6, 80, 3}, {5, 1, 6, 112, 3}, {5, 2, 6, 192, 4}, {3, 1, 6, 320, 1},
		},
		Norm: norm.Choice{Layer: norm.Batch{Momentum: 0.01, Epsilon: 1e-3, Unbiased: true}}, Activation: linear.ReLU6,
	}
}

// Validate reports what is wrong with the options.
func (n EfficientNetLite) Validate() error {
	var errs []error
	for _, option := range []struct {
		key   string
		value int
	}{{"stem", n.Stem}, {"head", n.Last}, {"number of stages", len(n.Stages)}} {
		errs = append(errs, count("efficientnet-lite", option.key, option.value, 1))
	}
	blocks := 0
	for i, s := range n.Stages {
		if lowest := min(s.Kernel, s.Stride, s.Expand, s.Filters, s.Blocks); lowest < 1 {
			errs = append(errs, fmt.Errorf("efficientnet-lite: stages.%d has a %d in it; every number must be at least 1", i, lowest))
			break
		}
		if highest := max(s.Kernel, s.Stride, s.Expand, s.Filters, s.Blocks); highest > maxUnits {
			errs = append(errs, fmt.Errorf("efficientnet-lite: stages.%d has a %d in it; every number must be at most %d", i, highest, maxUnits))
			break
		}
		if blocks += s.Blocks; blocks > maxLayers {
			errs = append(errs, fmt.Errorf("efficientnet-lite: stages have more than %d blocks together; use fewer", maxLayers))
			break
		}
	}
	return errors.Join(append(errs, validate("efficientnet-lite", n.Classes, n.Norm, n.Activation))...)
}

// Task is Classify.
func (EfficientNetLite) Task() Task { return Classify }

// Outputs is the number of classes.
func (n EfficientNetLite) Outputs() int { return n.Classes }

// WithOutputs returns the same network for another number of classes.
func (n EfficientNetLite) WithOutputs(classes int) Network { n.Classes = classes; return n }

// WithNorm returns the same network with another norm.
func (n EfficientNetLite) WithNorm(l norm.Layer) Network { n.Norm = norm.Choice{Layer: l}; return n }

// NormLayer is the norm.
func (n EfficientNetLite) NormLayer() norm.Layer { return n.Norm.Layer }

// Folded is the network with its norms folded into the layers before them.
func (n EfficientNetLite) Folded() (Network, *linear.Standardization) {
	return n.WithNorm(norm.Offset{}), nil
}

// Apply returns logits [batch, classes] for x [batch, height, width, channels].
func (n EfficientNetLite) Apply(scope *model.Scope, x *Node) *Node {
	return n.Head(scope, n.Features(scope, x))
}

// Head is the output.
func (n EfficientNetLite) Head(scope *model.Scope, features *Node) *Node {
	return output(scope, features, n.Classes)
}

// Features are the means over positions of the last convolution, [batch, Last].
func (n EfficientNetLite) Features(scope *model.Scope, x *Node) *Node {
	checkImages("EfficientNetLite", x)
	conv := func(scope *model.Scope, c linear.Conv2D, x *Node) *Node {
		c.Same, c.NoBias = true, true
		return c.Apply(scope, x)
	}
	active := func(scope *model.Scope, c linear.Conv2D, x *Node) *Node {
		return activated(scope, n.Norm.Layer, n.Activation, conv(scope, c, x))
	}
	x = active(scope.In("stem"), linear.Conv2D{Filters: n.Stem, Size: 3, Stride: 2}, x)
	for i, block := range n.blocks() {
		at, y := scope.In("block_%d", i+1), x
		wide := x.Shape().Dim(-1) * block.Expand
		if block.Expand > 1 {
			y = active(at.In("expand"), linear.Conv2D{Filters: wide, Size: 1}, y)
		}
		y = active(at.In("depthwise"), linear.Conv2D{Filters: wide, Size: block.Kernel, Stride: block.Stride, Groups: wide}, y)
		project := at.In("project")
		y = conv(project, linear.Conv2D{Filters: block.Filters, Size: 1}, y)
		same := slices.Equal(x.Shape().Dimensions, y.Shape().Dimensions) && block.Stride == 1
		if y = normalised(project, n.Norm.Layer, same, y); same {
			y = Add(x, y)
		}
		x = pass.See(at, pass.Stream, y)
	}
	x = active(scope.In("head"), linear.Conv2D{Filters: n.Last, Size: 1}, x)
	return ReduceMean(x, 1, 2)
}

// blocks are the blocks of all stages, each a stage of one block.
func (n EfficientNetLite) blocks() []EfficientNetStage {
	var all []EfficientNetStage
	for _, s := range n.Stages {
		for i := range s.Blocks {
			block := s
			if block.Blocks = 1; i > 0 {
				block.Stride = 1
			}
			all = append(all, block)
		}
	}
	return all
}

// Imports maps the names of the Python package efficientnet-lite-pytorch.
func (n EfficientNetLite) Imports() []Import {
	var all []Import
	layer := func(ours, conv, norm string) {
		all = append(all, convImports(ours, conv)[:1]...) // no bias
		all = append(all, batchImports(ours+"/norm", norm)...)
	}
	layer("stem", "_conv_stem", "_bn0")
	for i, block := range n.blocks() {
		ours, theirs := fmt.Sprintf("block_%d/", i+1), fmt.Sprintf("_blocks.%d.", i)
		if block.Expand > 1 {
			layer(ours+"expand", theirs+"_expand_conv", theirs+"_bn0")
		}
		layer(ours+"depthwise", theirs+"_depthwise_conv", theirs+"_bn1")
		layer(ours+"project", theirs+"_project_conv", theirs+"_bn2")
	}
	layer("head", "_conv_head", "_bn1")
	return append(all, denseImports(param.OutputScope, "_fc")...)
}

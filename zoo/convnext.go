package zoo

import (
	"errors"
	"fmt"
	"strings"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/nn/pass"
)

// ConvNeXt is a convolutional network built like a transformer: conv Patch x Patch with stride Patch, norm -> stages of blocks, with norm,
// conv 2x2 with stride 2 in front of all stages but the first -> mean over positions -> norm -> dense to the classes. A block is
//
//	x + scale (dense(activation(dense(norm(depthwise conv 7x7 of x)))))      4 times the channels inside, scale one number per channel
//
// The norm is over the channels of each position. The defaults are ConvNeXt-T: 28,589,128 parameters with 1,000 classes. Rows and
// columns that no whole patch covers are left out. Recognize reads the files of torchvision, timm, transformers and the authors.
// Paths: stem, stem/norm, stage_2/downsample/{norm, kernel, bias}, stage_1/block_1/{depthwise, depthwise/norm, in, out, scale/scale},
// last/norm, output.
// Source: Liu, Mao, Wu, Feichtenhofer, Darrell, Xie, "A ConvNet for the 2020s", arXiv 2201.03545.
type ConvNeXt struct {
	Patch       int               `json:"patch"`       // side of the stem's kernel; 4
	Depths      []int             `json:"depths"`      // blocks of each stage; [3, 3, 9, 3]
	Dims        []int             `json:"dims"`        // channels of each stage; [96, 192, 384, 768]
	Scale       float64           `json:"layer_scale"` // first value of a block's scale; 1e-6, 0 = no scale
	Classes     int               `json:"classes"`     // 1000
	Norm        norm.Choice       `json:"norm"`        // layer, eps 1e-6
	LastEpsilon float64           `json:"last_eps"`    // of the last norm, where that is a layer normalisation; 0 = as the others
	Activation  linear.Activation `json:"activation"`  // gelu
}

// depthwiseSide is the side of the depthwise kernels.
const depthwiseSide = 7

var _ Featured = ConvNeXt{}

// NewConvNeXt returns ConvNeXt-T.
func NewConvNeXt() ConvNeXt {
	layer := norm.NewLayerNorm(-1)
	layer.Epsilon = 1e-6
	return ConvNeXt{
		Patch: 4, Depths: []int{3, 3, 9, 3}, Dims: []int{96, 192, 384, 768}, Scale: 1e-6, Classes: 1000,
		Norm: norm.Choice{Layer: layer}, Activation: linear.GELU,
	}
}

// Validate reports what is wrong with the options.
func (c ConvNeXt) Validate() error {
	errs := []error{count("convnext", "patch", c.Patch, 1), counts("convnext", "depths", c.Depths), counts("convnext", "dims", c.Dims)}
	switch {
	case len(c.Depths) == 0 || len(c.Depths) != len(c.Dims):
		errs = append(errs, fmt.Errorf("convnext: %d depths and %d dims; give one of each for each stage", len(c.Depths), len(c.Dims)))
	case !(c.Scale >= 0 && c.Scale <= 1e6):
		errs = append(errs, fmt.Errorf("convnext: layer_scale is %v; use a number from 0, which is none, such as 1e-6", c.Scale))
	case !(c.LastEpsilon >= 0 && c.LastEpsilon < 1):
		errs = append(errs, fmt.Errorf("convnext: last_eps is %v; use 0 for that of the other norms, or a small number", c.LastEpsilon))
	}
	return errors.Join(append(errs, layers("convnext", "depths", c.Depths), validate("convnext", c.Classes, c.Norm, c.Activation))...)
}

// Task is Classify.
func (ConvNeXt) Task() Task { return Classify }

// Outputs is the number of classes.
func (c ConvNeXt) Outputs() int { return c.Classes }

// WithOutputs returns the same network for another number of classes.
func (c ConvNeXt) WithOutputs(classes int) Network { c.Classes = classes; return c }

// WithNorm returns the same network with another norm.
func (c ConvNeXt) WithNorm(n norm.Layer) Network { c.Norm = norm.Choice{Layer: n}; return c }

// Apply returns logits [batch, classes] for x [batch, height, width, channels].
func (c ConvNeXt) Apply(scope *model.Scope, x *Node) *Node {
	return c.Head(scope, c.Features(scope, x))
}

// Head is the output.
func (c ConvNeXt) Head(scope *model.Scope, features *Node) *Node {
	return output(scope, features, c.Classes)
}

// Features are the normalised means over positions of the last block, [batch, last of Dims].
func (c ConvNeXt) Features(scope *model.Scope, x *Node) *Node {
	checkImages("ConvNeXt", x)
	least := c.Patch << (len(c.Dims) - 1)
	if d := x.Shape().Dimensions; d[1] < least || d[2] < least {
		Panicf("zoo.ConvNeXt: x is %s; want at least %d rows and columns", x.Shape(), least)
	}
	stem := scope.In("stem")
	x = normalised(stem, c.Norm.Layer, false, linear.Conv2D{Filters: c.Dims[0], Size: c.Patch, Stride: c.Patch}.Apply(stem, x))

	for i, depth := range c.Depths {
		stage := scope.In("stage_%d", i+1)
		if i > 0 {
			at := stage.In("downsample")
			x = linear.Conv2D{Filters: c.Dims[i], Size: 2, Stride: 2}.Apply(at, normalised(at, c.Norm.Layer, false, x))
		}
		for j := range depth {
			x = c.block(stage.In("block_%d", j+1), x)
		}
	}

	last := c.Norm.Layer
	if layer, ok := last.(norm.LayerNorm); ok && c.LastEpsilon > 0 {
		layer.Epsilon = c.LastEpsilon
		last = layer
	}
	return normalised(scope.In("last"), last, false, ReduceMean(x, 1, 2))
}

// block is one block.
func (c ConvNeXt) block(at *model.Scope, x *Node) *Node {
	dim := x.Shape().Dim(-1)
	depthwise := at.In("depthwise")
	y := linear.Conv2D{Filters: dim, Size: depthwiseSide, Padding: depthwiseSide / 2, Groups: dim}.Apply(depthwise, x)
	y = normalised(depthwise, c.Norm.Layer, false, y)
	in := at.In("in")
	y = activate(in, c.Activation, linear.Dense{Units: 4 * dim, InitOf: param.LeCunNormal}.Apply(in, y))
	y = linear.Dense{Units: dim, InitOf: param.LeCunNormal}.Apply(at.In("out"), y)
	if c.Scale > 0 {
		scale := param.Variable(at.In("scale"), "scale", param.Affine, variableType(x), param.Constant(c.Scale), dim)
		y = Mul(y, ConvertDType(Reshape(pass.Weight(scale, x.Graph()), 1, 1, 1, dim), y.DType()))
	}
	return pass.See(at, pass.Stream, Add(x, y))
}

// convNeXtNames are the names of one library.
type convNeXtNames struct {
	stem, stemNorm          string
	downNorm, down          string // of stage %[1]d, from 1; %[2]d counts the parts in front of it, stem included
	block                   string // of stage %[1]d, from 0, and place %[2]d; %[3]d is 2 stage + 1
	conv, norm, in, out     string
	scale, last, classifier string
}

// The names in the files of each library.
var (
	convNeXtTorchvision = convNeXtNames{
		"features.0.0", "features.0.1", "features.%[2]d.0", "features.%[2]d.1", "features.%[3]d.%[2]d.",
		"block.0", "block.2", "block.3", "block.5", "layer_scale", "classifier.0", "classifier.2",
	}
	convNeXtTimm = convNeXtNames{
		"stem.0", "stem.1", "stages.%[1]d.downsample.0", "stages.%[1]d.downsample.1", "stages.%[1]d.blocks.%[2]d.",
		"conv_dw", "norm", "mlp.fc1", "mlp.fc2", "gamma", "head.norm", "head.fc",
	}
	convNeXtTransformers = convNeXtNames{
		"convnext.embeddings.patch_embeddings", "convnext.embeddings.layernorm",
		"convnext.encoder.stages.%[1]d.downsampling_layer.0", "convnext.encoder.stages.%[1]d.downsampling_layer.1",
		"convnext.encoder.stages.%[1]d.layers.%[2]d.", "dwconv", "layernorm", "pwconv1", "pwconv2", "layer_scale_parameter", "convnext.layernorm", "classifier",
	}
	convNeXtAuthors = convNeXtNames{
		"downsample_layers.0.0", "downsample_layers.0.1", "downsample_layers.%[1]d.0", "downsample_layers.%[1]d.1", "stages.%[1]d.%[2]d.",
		"dwconv", "norm", "pwconv1", "pwconv2", "gamma", "norm", "head",
	}
)

// Imports maps the names of torchvision.
func (c ConvNeXt) Imports() []Import { return c.importsOf(convNeXtTorchvision) }

func (c ConvNeXt) importsOf(n convNeXtNames) []Import {
	norm := func(ours, theirs string) []Import {
		return []Import{{Variable: ours + "/norm/scale", Tensor: theirs + ".weight"}, {Variable: ours + "/norm/offset", Tensor: theirs + ".bias"}}
	}
	all := append(convImports("stem", n.stem), norm("stem", n.stemNorm)...)
	for i, depth := range c.Depths {
		if i > 0 {
			ours := fmt.Sprintf("stage_%d/downsample", i+1)
			all = append(all, norm(ours, numbered(n.downNorm, i, 2*i, 0))...)
			all = append(all, convImports(ours, numbered(n.down, i, 2*i, 0))...)
		}
		for j := range depth {
			ours, theirs := fmt.Sprintf("stage_%d/block_%d/", i+1, j+1), numbered(n.block, i, j, 2*i+1)
			all = append(all, convImports(ours+"depthwise", theirs+n.conv)...)
			all = append(all, norm(ours+"depthwise", theirs+n.norm)...)
			all = append(all, denseImports(ours+"in", theirs+n.in)...)
			all = append(all, denseImports(ours+"out", theirs+n.out)...)
			if c.Scale > 0 {
				all = append(all, Import{Variable: ours + "scale/scale", Tensor: theirs + n.scale, View: []int{-1}})
			}
		}
	}
	return append(append(all, norm("last", n.last)...), denseImports(param.OutputScope, n.classifier)...)
}

// numbered puts numbers into a name that may use some of them.
func numbered(name string, numbers ...any) string {
	for i, n := range numbers {
		name = strings.ReplaceAll(name, fmt.Sprintf("%%[%d]d", i+1), fmt.Sprint(n))
	}
	return name
}

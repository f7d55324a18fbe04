package zoo

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/mixer"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/nn/residual"
	"github.com/ballast-ml/ballast/ops"
)

// ViT is the vision transformer: an image is cut into patches of Patch x Patch pixels, each of which becomes a token,
//
//	h = [class, patch_1 Wp + bp, patch_2 Wp + bp, ...] + positions      rows of patches one behind the other
//	h = block of h, Depth times: the mixer, then feed, each with a norm and a residual connection as the placement has it
//	features = N(h) of the class token, or their mean over the patches, which have no class token then      (N with placement pre)
//	logits = features Wo + bo
//
// where feed(x) = activation(x W1 + b1) W2 + b2 with MLPRatio Dim units. Images whose sides are no multiples of Patch are padded with zeros
// at the bottom and on the right. The norm may be of any kind over [batch, tokens, Dim]. Dropout is applied to h in front of the first
// block and to what each part adds. The learned positions belong to one size of images.
//
// Paths: patches, class/kernel [1, Dim], positions/kernel [tokens, Dim], layer_1/attention/{norm, query, key, value, out} and
// layer_1/feed/{norm, in, out} of each block, last/norm, output. With T tokens of C channels, P = Patch, H = MLPRatio Dim, classes K
// and layer normalisation there are (P P C + 1) Dim + Dim + T Dim + Depth (4 (Dim + 1) Dim + (Dim + 1) H + (H + 1) Dim + 4 Dim) + 2 Dim
// + (Dim + 1) K parameters: 305,034 for the default and images of 28x28x1. Embeddings start from N(0, 0.02^2), kernels from N(0, 1/fan-in).
//
// A tap sees the attention of the last block, in front of any dropout, where ClassAttention finds it.
// Source: Dosovitskiy et al., "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale", arXiv 2010.11929.
type ViT struct {
	Patch     int             `json:"patch"`     // side of a patch; 4
	Depth     int             `json:"depth"`     // blocks; 6
	Dim       int             `json:"dim"`       // 64
	Mixer     mixer.Choice    `json:"mixer"`     // attention of 4 heads with learned positions
	MLPRatio  float64         `json:"mlp_ratio"` // units of the feed-forward part over Dim; 4
	Feed      string          `json:"feed"`      // gelu; relu, silu, tanh or swiglu
	Norm      norm.Choice     `json:"norm"`      // layer
	Placement residual.Choice `json:"placement"` // pre
	Pooling   string          `json:"pooling"`   // class or mean; class
	Dropout   float64         `json:"dropout"`   // 0
	Classes   int             `json:"classes"`   // 10
}

// PoolClass takes the features from a token of their own.
const PoolClass = "class"

var (
	_ Featured  = ViT{}
	_ Blocked   = ViT{}
	_ Attending = ViT{}
)

// Attending is a network with a class token, whose attention to the patches of an image can be seen.
type Attending interface {
	Network
	Grid(height, width int) (rows, columns int) // of patches; that in row u and column v begins at pixel (u Patch, v Patch)
	ClassAttention(into **Node) pass.Tap        // see ViT.ClassAttention
}

// NewViT returns a small network for small images.
func NewViT() ViT {
	return ViT{
		Patch: 4, Depth: 6, Dim: 64, Mixer: mixer.Choice{Mixer: mixer.NewAttention()}, MLPRatio: 4, Feed: linear.GELU.String(),
		Norm: norm.Choice{Layer: norm.NewLayerNorm(-1)}, Placement: residual.Choice{Placement: residual.Pre{}}, Pooling: PoolClass, Classes: 10,
	}
}

func (v ViT) transformer() transformer {
	return transformer{
		layers: v.Depth, dim: v.Dim, mixer: v.Mixer.Mixer, norm: v.Norm.Layer, placement: v.Placement.Placement,
		feed: v.Feed, ratio: v.MLPRatio, dropout: linear.Dropout{Rate: v.Dropout},
	}
}

// Validate reports what is wrong with the options.
func (v ViT) Validate() error {
	errs := []error{v.transformer().validate("vit", "depth"), count("vit", "patch", v.Patch, 1), count("vit", "classes", v.Classes, 2)}
	if v.Pooling != PoolClass && v.Pooling != PoolMean {
		errs = append(errs, fmt.Errorf("vit: no pooling %q; there are %s, %s", v.Pooling, PoolClass, PoolMean))
	}
	return errors.Join(errs...)
}

// Task is Classify.
func (ViT) Task() Task { return Classify }

// Outputs is the number of classes.
func (v ViT) Outputs() int { return v.Classes }

// WithOutputs returns the same network for another number of classes.
func (v ViT) WithOutputs(classes int) Network { v.Classes = classes; return v }

// WithNorm returns the same network with another norm.
func (v ViT) WithNorm(n norm.Layer) Network { v.Norm = norm.Choice{Layer: n}; return v }

// Apply returns logits [batch, classes] for x [batch, height, width, channels].
func (v ViT) Apply(scope *model.Scope, x *Node) *Node { return throughBlocks(v, scope, x) }

// Features returns what the last layer sees, [batch, Dim].
func (v ViT) Features(scope *model.Scope, x *Node) *Node {
	c := v.Around(x)
	h := v.Begin(scope, x)
	for i := range v.Depth {
		h = v.Block(scope, i, h, c)
	}
	return v.pool(scope, h)
}

// Head returns logits for features.
func (v ViT) Head(scope *model.Scope, features *Node) *Node {
	return output(scope, features, v.Classes)
}

// Grid is how many rows and columns of patches an image of this size has.
func (v ViT) Grid(height, width int) (rows, columns int) {
	return (height + v.Patch - 1) / v.Patch, (width + v.Patch - 1) / v.Patch
}

// Around is the grid of images x, and where the class token stands.
func (v ViT) Around(x *Node) mixer.Context {
	checkImages("ViT", x)
	d := x.Shape().Dimensions
	rows, columns := v.Grid(d[1], d[2])
	c := mixer.Context{Random: ops.RandomIn(x.Graph()), Grid: [2]int{rows, columns}}
	if v.Pooling == PoolClass {
		c.Lead = 1
	}
	c.Most = c.Lead + rows*columns
	return c
}

// Begin returns the tokens [batch, tokens, Dim] of images x.
func (v ViT) Begin(scope *model.Scope, x *Node) *Node {
	c := v.Around(x)
	d := x.Shape().Dimensions
	rows, columns := c.Grid[0], c.Grid[1]
	x = ops.PadConstant(x, 0, [][2]int{{}, {0, rows*v.Patch - d[1]}, {0, columns*v.Patch - d[2]}, {}})
	x = Reshape(x, d[0], rows, v.Patch, columns, v.Patch, d[3])
	x = Reshape(TransposeAllAxes(x, 0, 1, 3, 2, 4, 5), d[0], rows*columns, v.Patch*v.Patch*d[3])
	h := linear.Dense{Units: v.Dim, InitOf: param.LeCunNormal}.Apply(scope.In("patches"), x)

	if v.Pooling == PoolClass {
		class := param.Variable(scope.In("class"), "kernel", param.Kernel, variableType(x), param.Scaled(0.02, param.LeCunNormal(1)), 1, v.Dim)
		token := ConvertDType(pass.Weight(class, x.Graph()), h.DType())
		h = Concatenate([]*Node{BroadcastToDims(ExpandAxes(token, 0), d[0], 1, v.Dim), h}, 1)
	}
	h = v.Mixer.Embed(scope, h, c)
	return v.transformer().dropout.Apply(scope.At("patches"), h, c.Random)
}

// Blocks are the blocks.
func (v ViT) Blocks() []Block { return v.transformer().blocks() }

// Block is block i, from 0, of tokens h.
func (v ViT) Block(scope *model.Scope, i int, h *Node, c mixer.Context) *Node {
	return v.transformer().block(scope, i, h, c)
}

// End returns logits for the tokens behind the last block.
func (v ViT) End(scope *model.Scope, h *Node) *Node { return v.Head(scope, v.pool(scope, h)) }

// pool is the norm behind the last block, and the features.
func (v ViT) pool(scope *model.Scope, h *Node) *Node {
	h = v.transformer().last(scope, h, nil)
	if v.Pooling == PoolMean {
		return ReduceMean(h, 1)
	}
	return Squeeze(SliceAxis(h, 1, AxisRange(0, 1)), 1)
}

// ClassAttention is a tap that puts what the class token of the last block attends to into *into: the mean over the heads of its
// probabilities for the patches [batch, rows x columns], row by row as in Grid, in float32 or wider and without a gradient. They add up
// to 1 less the class token's attention to itself. It is of the pass that the logits come from, and costs no second one:
//
//	var attention *Node
//	pass.Through(g, pass.Pass{Taps: []pass.Tap{vit.ClassAttention(&attention)}}, func() { logits = vit.Apply(scope, x) })
//
// It leaves *into alone where the network has no class token, or a mixer that shows no probabilities.
func (v ViT) ClassAttention(into **Node) pass.Tap {
	suffix := fmt.Sprintf("/layer_%d/%s", v.Depth, v.transformer().part())
	return func(at pass.Site, x *Node) *Node {
		if at.What != pass.Probabilities || v.Pooling != PoolClass || !strings.HasSuffix(at.Scope.Scope(), suffix) {
			return x
		}
		row := Slice(StopGradient(ops.Widen(x)), AxisRange(), AxisRange(), AxisRange(0, 1), AxisRange(1))
		*into = Squeeze(ReduceMean(row, 1), 1)
		return x
	}
}

// variableType keeps the variables of narrow activations in float32.
func variableType(x *Node) dtypes.DType {
	if x.DType() == dtypes.Float64 {
		return dtypes.Float64
	}
	return dtypes.Float32
}

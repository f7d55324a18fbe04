package zoo

import (
	"errors"
	"fmt"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/internal/untrusted"
	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/ops"
)

// IBNBlock is a residual block of an IBN-Net,
//
//	basic        [conv 3x3 (stride), norm_1, ReLU, conv 3x3, norm_2] + shortcut, ReLU                               Planes channels
//	bottleneck   [conv 1x1, norm_1, ReLU, conv 3x3 (stride), norm_2, ReLU, conv 1x1, norm_3] + shortcut, ReLU       4 Planes channels
//
// with batch normalisation but for two places: kind "a" has norm.IBN as norm_1, kind "b" a norm.Instance after the addition, before
// the last ReLU. Convolutions have no bias; a shortcut that changes the shape is a 1x1 convolution and a norm.
// Source: Pan, Luo, Shi, Tang, "Two at Once" (IBN-Net), arXiv 1807.09441.
type IBNBlock struct {
	Bottleneck bool
	Planes     int
	Stride     int
	Kind       string // "a", "b", or "" for neither
	Ratio      float64
	Epsilon    float64 // of every norm
}

// Apply returns [batch, height', width', channels] for x [batch, height, width, channels].
func (b IBNBlock) Apply(scope *model.Scope, x *Node) *Node {
	batch := norm.NewBatch()
	batch.Epsilon = b.Epsilon
	var first norm.Layer = batch
	if b.Kind == "a" {
		ibn := norm.NewIBN()
		ibn.Ratio, ibn.Epsilon = b.Ratio, b.Epsilon
		first = ibn
	}
	convNorm := func(name string, x *Node, n norm.Layer, filters, size, stride int) *Node {
		at := scope.In("%s", name)
		return n.Apply(at.In("norm"), fanOutConv(at, x, filters, size, stride))
	}
	active := func(name string, x *Node, n norm.Layer, filters, size, stride int) *Node {
		at := scope.In("%s", name)
		return activated(at, n, linear.ReLU, fanOutConv(at, x, filters, size, stride))
	}
	out := b.Planes
	var y *Node
	if b.Bottleneck {
		out *= 4
		y = active("conv_1", x, first, b.Planes, 1, 1)
		y = active("conv_2", y, batch, b.Planes, 3, b.Stride)
		y = convNorm("conv_3", y, batch, out, 1, 1)
	} else {
		y = active("conv_1", x, first, b.Planes, 3, b.Stride)
		y = convNorm("conv_2", y, batch, out, 3, 1)
	}
	if b.Stride != 1 || x.Shape().Dimensions[3] != out {
		x = convNorm("shortcut", x, batch, out, 1, b.Stride)
	}
	y = pass.See(scope, pass.Stream, Add(y, x))
	if b.Kind == "b" {
		y = norm.Instance{Epsilon: b.Epsilon}.Apply(scope.In("instance"), y)
	}
	return activate(scope, linear.ReLU, y)
}

// fanOutConv is a convolution that starts from N(0, 2/(size size filters)).
func fanOutConv(scope *model.Scope, x *Node, filters, size, stride int) *Node {
	return linear.Conv2D{
		Filters: filters, Size: size, Stride: stride, Padding: size / 2, NoBias: true, Init: param.HeNormal(size * size * filters),
	}.Apply(scope, x)
}

// IBNResNet is a residual network with instance normalisation in its shallow stages, for data whose appearance will shift:
// stem -> stages of IBNBlocks -> mean over positions -> dense. Config has one kind for each stage:
//
//	"a"   every block of the stage is of kind a: better at home, more robust away
//	"b"   the last block of the stage is of kind b, and the stem's norm is norm.Instance: strong invariance
//	""    batch normalisation
//
// Neither belongs into the last stage, where the features are those of the classes; Warning says so. With Config of four
// stages ["a", "a", "a", ""] and ["b", "b", "", ""] the networks are the paper's IBN-Net-a and IBN-Net-b.
// Source: Pan, Luo, Shi, Tang, "Two at Once: Enhancing Learning and Generalization Capacities via IBN-Net", arXiv 1807.09441.
type IBNResNet struct {
	Bottleneck bool     `json:"bottleneck"` // blocks of three convolutions; false
	Large      bool     `json:"large"`      // stem of a 7x7 convolution with stride 2 and a pooling, for images of 224x224; else 3x3
	Stem       int      `json:"stem"`       // filters of the stem; 16
	Planes     []int    `json:"planes"`     // of each stage; [16, 32, 64]
	Blocks     []int    `json:"blocks"`     // of each stage; [1, 1, 1]
	Config     []string `json:"config"`     // of each stage; ["a", "a", ""]
	Ratio      float64  `json:"ratio"`      // share of the instance-normalised channels of kind a; 0.5
	Upsample   int      `json:"upsample"`   // resize images to this many rows and columns first, bilinearly; 0 = leave them
	Classes    int      `json:"classes"`    // 10
}

var (
	_ OwnNorms = IBNResNet{}
	_ Featured = IBNResNet{}
)

// NewIBNResNet returns the small network: three stages of one basic block, the first two of kind a.
func NewIBNResNet() IBNResNet {
	return IBNResNet{Stem: 16, Planes: []int{16, 32, 64}, Blocks: []int{1, 1, 1}, Config: []string{"a", "a", ""}, Ratio: 0.5, Classes: 10}
}

// NewIBNResNetOfDepth returns the network of depth 18, 34, 50, 101 or 152 for ImageNet, of kind "a", "b" or "".
func NewIBNResNetOfDepth(depth int, kind string) (IBNResNet, error) {
	blocks := map[int][]int{18: {2, 2, 2, 2}, 34: {3, 4, 6, 3}, 50: {3, 4, 6, 3}, 101: {3, 4, 23, 3}, 152: {3, 8, 36, 3}}[depth]
	config := map[string][]string{"a": {"a", "a", "a", ""}, "b": {"b", "b", "", ""}, "": {"", "", "", ""}}[kind]
	if blocks == nil || config == nil {
		return IBNResNet{}, fmt.Errorf("zoo: no IBN-ResNet of depth %d and kind %q; use 18, 34, 50, 101 or 152, and a, b or nothing", depth, kind)
	}
	return IBNResNet{
		Bottleneck: depth >= 50, Large: true, Stem: 64, Planes: []int{64, 128, 256, 512}, Blocks: blocks, Config: config, Ratio: 0.5, Classes: 1000,
	}, nil
}

// Validate reports what is wrong with the options.
func (r IBNResNet) Validate() error {
	var errs []error
	if len(r.Planes) == 0 || len(r.Blocks) != len(r.Planes) || len(r.Config) != len(r.Planes) {
		errs = append(errs, fmt.Errorf("ibn-resnet: %d planes, %d blocks and %d kinds; give each stage one of each", len(r.Planes), len(r.Blocks), len(r.Config)))
	}
	for i, kind := range r.Config {
		if kind != "" && kind != "a" && kind != "b" {
			errs = append(errs, fmt.Errorf(`ibn-resnet: config.%d is %q; use a, b or ""`, i, strict.Short(kind)))
			break
		}
	}
	errs = append(errs, counts("ibn-resnet", "planes", r.Planes), count("ibn-resnet", "stem", r.Stem, 1), count("ibn-resnet", "classes", r.Classes, 2))
	if err := counts("ibn-resnet", "blocks", r.Blocks); err != nil {
		errs = append(errs, err)
	} else {
		errs = append(errs, layers("ibn-resnet", "blocks", r.Blocks))
	}
	if !(r.Ratio >= 0 && r.Ratio <= 1) {
		errs = append(errs, fmt.Errorf("ibn-resnet: ratio is %v; use a share from 0 to 1", r.Ratio))
	}
	if r.Upsample < 0 || r.Upsample > maxUpsample {
		errs = append(errs, fmt.Errorf("ibn-resnet: upsample is %d; use 0 to leave images as they are, or at most %d", r.Upsample, maxUpsample))
	}
	return errors.Join(errs...)
}

// Warning says what is odd about the options, or "".
func (r IBNResNet) Warning() string {
	if n := len(r.Config); n > 0 && r.Config[n-1] != "" {
		return "ibn-resnet: instance normalisation in the last stage removes what distinguishes classes; the paper uses it only in the first stages"
	}
	return ""
}

// Task is Classify.
func (IBNResNet) Task() Task { return Classify }

// Outputs is the number of classes.
func (r IBNResNet) Outputs() int { return r.Classes }

// WithOutputs returns the same network for another number of classes.
func (r IBNResNet) WithOutputs(n int) Network { r.Classes = n; return r }

// WithNorm returns the network as it is: where which norm stands is what it consists of.
func (r IBNResNet) WithNorm(norm.Layer) Network { return r }

// OwnNorms marks the network.
func (IBNResNet) OwnNorms() {}

// Apply returns logits [batch, classes] for x [batch, height, width, channels].
func (r IBNResNet) Apply(scope *model.Scope, x *Node) *Node {
	return r.Head(scope, r.Features(scope, x))
}

// Features are the means over positions of the last block, [batch, channels].
func (r IBNResNet) Features(scope *model.Scope, x *Node) *Node {
	blocks := r.Activations(scope, x)
	return ReduceMean(blocks[len(blocks)-1], 1, 2)
}

// Head is the output.
func (r IBNResNet) Head(scope *model.Scope, features *Node) *Node {
	return output(scope, features, r.Classes)
}

// Activations returns what each block computes, [batch, height', width', channels'].
func (r IBNResNet) Activations(scope *model.Scope, x *Node) []*Node {
	checkImages("IBNResNet", x)
	if r.Upsample > 0 {
		d := x.Shape().Dimensions
		if _, ok := untrusted.Product(maxUpsample, r.Upsample, max(d[1], d[2])); !ok {
			Panicf("zoo.IBNResNet: upsample is %d for images of %d x %d; use at most %d rows", r.Upsample, d[1], d[2], maxUpsample/max(1, d[1], d[2]))
		}
		x = ops.Resize{Height: r.Upsample, Width: r.Upsample}.Apply(x)
	}
	size, stride := 3, 1
	if r.Large {
		size, stride = 7, 2
	}
	stem := scope.In("stem")
	var first norm.Layer = norm.NewBatch()
	if slices.Contains(r.Config, "b") {
		first = norm.NewInstance()
	}
	x = activated(stem, first, linear.ReLU, fanOutConv(stem, x, r.Stem, size, stride))
	if r.Large {
		x = ops.Pool{Window: 3, Stride: 2, Padding: [2][2]int{{1, 1}, {1, 1}}}.Max(x)
	}
	var features []*Node
	for stage, planes := range r.Planes {
		within := scope.In("stage_%d", stage+1)
		for block := range r.Blocks[stage] {
			b := IBNBlock{Bottleneck: r.Bottleneck, Planes: planes, Stride: 1, Kind: r.Config[stage], Ratio: r.Ratio, Epsilon: 1e-5}
			if stage > 0 && block == 0 {
				b.Stride = 2
			}
			if b.Kind == "b" && block < r.Blocks[stage]-1 {
				b.Kind = ""
			}
			x = b.Apply(within.In("block_%d", block+1), x)
			features = append(features, x)
		}
	}
	return features
}

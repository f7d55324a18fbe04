package norm

import (
	"errors"
	"fmt"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/ops"
)

// Region normalises the regions of an image apart, so that what fills a hole does not move the statistics of what is around it:
//
//	y = (x - mean_k) / sqrt(var_k + Epsilon)      k = the region of the pixel, and with style "instance" the image
//
// for each channel, var_k biased (1/n). x is [batch, height, width, channels]; regions are [batch, height, width, 1]: a mask of two
// regions, bool or 0 and 1, or whole numbers from 0 to Regions-1. A region without pixels contributes nothing. There is no
// state and no affine: training and inference are the same; RegionBasic and RegionLearned build on it. No gradient
// reaches the regions. Pixels whose number does not name a region become 0.
//
// Style "instance", the paper's, takes the statistics of each image, "batch", that of the official code, those of the region in all images
// together: their result depends on the batch. The official code fills the outside of a region with its mean and scales the result of a
// plain norm, which comes to an epsilon of Epsilon P/n, P the pixels normalised over and n those of the region: OfficialEpsilon.
//
// Panics if x does not have four axes, if regions are of another shape, if Regions is below 2, and on another Style.
// Source: Yu et al., "Region Normalization for Image Inpainting", arXiv 1911.10375.
type Region struct {
	Style           string  `json:"style"`        // instance or batch
	Regions         int     `json:"regions"`      // 2
	Epsilon         float64 `json:"eps"`          // added to each variance; 1e-5
	OfficialEpsilon bool    `json:"official_eps"` // false
}

// NewRegion returns the paper's defaults.
func NewRegion() Region { return Region{Style: "instance", Regions: 2, Epsilon: 1e-5} }

// Normalize normalises the regions of x.
//
// With pool(v) the mean of v over the region of each pixel and xhat the result,
//
//	dx = (dy - pool(dy) - xhat pool(dy xhat)) / sqrt(var + e)
func (r Region) Normalize(x, regions *graph.Node) *graph.Node {
	return r.normalize("norm.Region", x, regions)
}

func (r Region) normalize(who string, x, regions *graph.Node) *graph.Node {
	if x.Rank() != 4 || !x.DType().IsFloat() {
		Panicf("%s: x is %s; want floats [batch, height, width, channels]", who, x.Shape())
	}
	d := x.Shape().Dimensions
	if !slices.Equal(regions.Shape().Dimensions, []int{d[0], d[1], d[2], 1}) {
		Panicf("%s: the regions are %s; want one channel, [%d, %d, %d, 1], for x %s", who, regions.Shape(), d[0], d[1], d[2], x.Shape())
	}
	if r.Regions < 2 {
		Panicf("%s: Regions is %d; use at least 2", who, r.Regions)
	}
	if r.Style != "instance" && r.Style != "batch" {
		Panicf("%s: Style is %q; use instance or batch", who, r.Style)
	}
	wide := ops.Widen(x)
	g, positions := x.Graph(), d[1]*d[2]
	// Sums over regions are products with the regions' masks [batch, pixels, regions], which engines are fastest at.
	masks := r.split(regions)
	var members []*graph.Node
	for k := range masks {
		masks[k] = graph.Reshape(masks[k], d[0], positions, 1)
		members = append(members, graph.ConvertDType(masks[k], wide.DType()))
	}
	kept := graph.Concatenate(members, 2)
	across := func(v *graph.Node) *graph.Node { // over the batch too, where the statistics are its
		if r.Style == "batch" {
			v = graph.BroadcastToDims(graph.ReduceAndKeep(v, graph.ReduceSum, 0), v.Shape().Dimensions...)
		}
		return v
	}
	counts := graph.MaxScalar(across(graph.ReduceAndKeep(kept, graph.ReduceSum, 1)), 1.0) // [batch, 1, regions]
	shares := graph.Div(kept, counts)
	// means are those of v over each region, [batch, regions, channels]; spread lays values of the regions over their pixels, by
	// selections, which cost no pass of their own as products would.
	means := func(v *graph.Node) *graph.Node {
		return across(graph.DotGeneral(shares, []int{1}, []int{0}, v, []int{1}, []int{0}))
	}
	spread := func(values *graph.Node) *graph.Node {
		of := func(k int) *graph.Node {
			return graph.BroadcastToDims(graph.SliceAxis(values, 1, graph.AxisElem(k)), d[0], positions, d[3])
		}
		rest, from := graph.Zeros(g, shapes.Make(wide.DType(), d[0], positions, d[3])), r.Regions-1
		if r.Regions == 2 { // every pixel is of one
			rest, from = of(1), 0
		}
		for k := from; k >= 0; k-- {
			rest = graph.Where(graph.BroadcastToDims(masks[k], d[0], positions, d[3]), of(k), rest)
		}
		return rest
	}
	flat := graph.Reshape(wide, d[0], positions, d[3])
	fixed := graph.StopGradient(flat)
	centre := spread(means(fixed))
	centred := graph.Sub(fixed, centre)
	epsilon := graph.Scalar(g, wide.DType(), r.Epsilon)
	if r.OfficialEpsilon {
		pixels := float64(positions)
		if r.Style == "batch" {
			pixels *= float64(d[0])
		}
		epsilon = graph.Div(graph.Scalar(g, wide.DType(), r.Epsilon*pixels), graph.TransposeAllAxes(counts, 0, 2, 1))
	}
	// The other way round, since engines would write out and read again what two passes share.
	inverses := graph.Reciprocal(graph.Sqrt(graph.Add(means(graph.Square(graph.Sub(centre, fixed))), epsilon)))
	inverse := spread(inverses)
	xhat := graph.Mul(centred, inverse)
	y := ops.CustomGradient(xhat, []*graph.Node{flat}, func(dy *graph.Node) []*graph.Node {
		slopes := graph.Mul(means(graph.Mul(dy, centred)), graph.Square(inverses))
		return []*graph.Node{graph.Mul(graph.Sub(graph.Sub(dy, spread(means(dy))), graph.Mul(centred, spread(slopes))), inverse)}
	})
	return graph.ConvertDType(graph.Reshape(y, d...), x.DType())
}

// split turns regions into one bool mask each, [batch, height, width, 1]. Of two regions the first is where the mask is true.
func (r Region) split(regions *graph.Node) []*graph.Node {
	regions = graph.StopGradient(regions)
	if r.Regions == 2 {
		if regions.DType() != dtypes.Bool {
			regions = graph.NotEqual(regions, graph.ScalarZero(regions.Graph(), regions.DType()))
		}
		return []*graph.Node{regions, graph.LogicalNot(regions)}
	}
	masks := make([]*graph.Node, r.Regions)
	for k := range masks {
		masks[k] = graph.Equal(regions, graph.BroadcastToDims(graph.Scalar(regions.Graph(), regions.DType(), float64(k)), regions.Shape().Dimensions...))
	}
	return masks
}

// CheckMask says whether a mask is binary, which a graph cannot see: pixels between 0 and 1, as at the edges of a mask that was resized
// or saved as a photo, belong to no region.
func CheckMask(mask []float32) error {
	for i, v := range mask {
		if v != 0 && v != 1 {
			return fmt.Errorf("norm: value %d of the hole mask is %v; want 0 (to keep) or 1 (hole), so threshold it, for example > 0", i, v)
		}
	}
	if len(mask) == 0 {
		return errors.New("norm: the hole mask is empty; give one value a pixel")
	}
	return nil
}

// RegionBasic is RN-B, region normalisation with a known hole and an affine of its own for each region:
//
//	y = (1 + inside_scale) rn + inside_offset      in the hole
//	y = (1 + outside_scale) rn + outside_offset    outside
//
// where rn = Region.Normalize with the mask, [batch, height', width', 1], 1 in the hole, resized to x by the nearest pixel floor(i n/m). The four
// variables are [channels] and start at 0. The official code adds both offsets at every pixel: OfficialOffset.
// Panics where Region does. Source: Yu et al., "Region Normalization for Image Inpainting", arXiv 1911.10375.
type RegionBasic struct {
	Region
	OfficialOffset bool `json:"official_offset"` // false
}

// NewRegionBasic returns the paper's defaults.
func NewRegionBasic() RegionBasic { return RegionBasic{Region: NewRegion()} }

// ApplyHole normalises x with the hole.
func (r RegionBasic) ApplyHole(scope *model.Scope, x, mask *graph.Node) *graph.Node {
	x = pass.See(scope, pass.Norm, x)
	hole := r.Hole(x, mask)
	y := ops.Widen(r.normalize("norm.RegionBasic "+scope.Scope(), x, hole))
	affine := func(name string) *graph.Node {
		v := param.Variable(scope, name, param.Affine, stateType(x), param.Constant(0), channelsOf(x)...)
		return graph.BroadcastToDims(graph.Reshape(pass.Weight(v, x.Graph()), channelShape(x)...), x.Shape().Dimensions...)
	}
	here := graph.BroadcastToDims(hole, x.Shape().Dimensions...)
	inside, outside := affine("inside_offset"), affine("outside_offset")
	offset := graph.Where(here, inside, outside)
	if r.OfficialOffset {
		offset = graph.Add(inside, outside)
	}
	scale := graph.OnePlus(graph.Where(here, affine("inside_scale"), affine("outside_scale")))
	return graph.ConvertDType(graph.Add(graph.Mul(y, scale), offset), x.DType())
}

// Hole is the mask at the size of x, [batch, height, width, 1], bool.
func (r RegionBasic) Hole(x, mask *graph.Node) *graph.Node {
	if mask.Rank() != 4 || mask.Shape().Dimensions[3] != 1 || mask.Shape().Dimensions[0] != x.Shape().Dimensions[0] {
		Panicf("norm.RegionBasic: the mask is %s; want one channel for each image of x %s, [batch, height, width, 1]", mask.Shape(), x.Shape())
	}
	d := x.Shape().Dimensions
	if !mask.DType().IsFloat() {
		mask = graph.ConvertDType(mask, dtypes.Float32)
	}
	mask = ops.Resize{Height: d[1], Width: d[2], Nearest: true}.Apply(graph.StopGradient(mask))
	return graph.GreaterThan(mask, graph.ScalarZero(mask.Graph(), mask.DType()))
}

// RegionLearned is RN-L, region normalisation that finds by itself where the influence of a hole is:
//
//	t      = sigmoid(conv [mean over channels of x, largest of the channels of x])      importance, [batch, height, width, 1]
//	region = t >= Threshold
//	y      = Region.Normalize(x, region) (1 + conv_scale t) + conv_offset t
//
// with convolutions of side Kernel, padded with zeros; the first has no bias, the others one. The threshold has no gradient: the first
// convolution learns through the scale and the offset alone. It is a Layer: training and inference are the same.
// Panics where Region does, and if Kernel is neither 3 nor 7.
// Source: Yu et al., "Region Normalization for Image Inpainting", arXiv 1911.10375.
type RegionLearned struct {
	Region
	Kernel    int     `json:"kernel"`    // 7 or 3
	Threshold float64 `json:"threshold"` // 0.8
}

var _ Layer = RegionLearned{}

// NewRegionLearned returns the paper's defaults.
func NewRegionLearned() RegionLearned {
	return RegionLearned{Region: NewRegion(), Kernel: 7, Threshold: 0.8}
}

// Apply normalises x.
func (r RegionLearned) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	const who = "norm.RegionLearned"
	x = entering(who, scope, x)
	if x.Rank() != 4 {
		Panicf("%s %s: x is %s; want images [batch, height, width, channels]", who, scope.Scope(), x.Shape())
	}
	_, region, scale, offset := r.Maps(scope, x)
	y := ops.Widen(r.normalize(who+" "+scope.Scope(), x, region))
	return graph.ConvertDType(graph.Add(graph.Mul(y, graph.OnePlus(scale)), offset), x.DType())
}

// Maps are what the layer makes of x: the importance, the region (bool), the scale (to which 1 is added) and the offset, each
// [batch, height, width, 1].
func (r RegionLearned) Maps(scope *model.Scope, x *graph.Node) (importance, region, scale, offset *graph.Node) {
	if r.Kernel != 3 && r.Kernel != 7 {
		Panicf("norm.RegionLearned %s: Kernel is %d; use 7 or 3", scope.Scope(), r.Kernel)
	}
	x = ops.Widen(x)
	pad := [2]int{r.Kernel / 2, r.Kernel / 2}
	conv := func(name string, x *graph.Node, bias bool) *graph.Node {
		at, cin := scope.In("%s", name), x.Shape().Dimensions[3]
		kernel := param.Variable(at, "kernel", param.Kernel, stateType(x), param.LeCunNormal(r.Kernel*r.Kernel*cin), r.Kernel, r.Kernel, cin, 1)
		x = pass.See(at, pass.Input, x)
		y := ops.Conv{Padding: [2][2]int{pad, pad}}.Apply(x, pass.See(at, pass.Kernel, pass.Weight(kernel, x.Graph())))
		if bias {
			b := param.Variable(at, "bias", param.Affine, stateType(x), param.Constant(0), 1)
			y = graph.Add(y, graph.Reshape(pass.Weight(b, x.Graph()), 1, 1, 1, 1))
		}
		return y
	}
	seen := graph.Concatenate([]*graph.Node{graph.ReduceAndKeep(x, graph.ReduceMean, -1), graph.ReduceAndKeep(x, graph.ReduceMax, -1)}, -1)
	importance = graph.Logistic(conv("importance", seen, false))
	fixed := graph.StopGradient(importance)
	region = graph.GreaterOrEqual(fixed, graph.BroadcastToDims(graph.Scalar(x.Graph(), x.DType(), r.Threshold), fixed.Shape().Dimensions...))
	return importance, region, conv("scale", importance, true), conv("offset", importance, true)
}

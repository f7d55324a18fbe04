package norm_test

import (
	"math"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/internal/gradcheck"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/norm/normtest"
)

func TestRegionLearnedBattery(t *testing.T) {
	layer := norm.NewRegionLearned()
	layer.Kernel, layer.Threshold = 3, 0.5
	normtest.Run(t, layer, normtest.NeedsPositions())
}

// holed is region normalisation with a hole in the upper left of every image, as a layer of x alone.
type holed struct {
	norm.RegionBasic
	Plain bool // without the affine
}

func (h holed) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	if x.Rank() != 4 || !x.DType().IsFloat() {
		exceptions.Panicf("norm_test.holed %s: x is %s; want floats [batch, height, width, channels]", scope.Scope(), x.Shape())
	}
	d := x.Shape().Dimensions
	mask := make([]float32, d[0]*d[1]*d[2])
	for i := range mask {
		if i/d[2]%d[1] < (d[1]+1)/2 && i%d[2] < (d[2]+1)/2 {
			mask[i] = 1
		}
	}
	hole := graph.ConstTensor(x.Graph(), tensors.FromFlatDataAndDimensions(mask, d[0], d[1], d[2], 1))
	if h.Plain {
		return h.Region.Normalize(x, hole)
	}
	return h.RegionBasic.ApplyHole(scope, x, hole)
}

func TestRegionBattery(t *testing.T) {
	official := norm.NewRegionBasic()
	official.OfficialEpsilon, official.OfficialOffset = true, true
	together := norm.NewRegionBasic()
	together.Style = "batch"
	for name, layer := range map[string]holed{"basic": {RegionBasic: norm.NewRegionBasic()}, "basic, official": {RegionBasic: official}, "plain": {RegionBasic: norm.NewRegionBasic(), Plain: true}} {
		t.Run(name, func(t *testing.T) { normtest.Run(t, layer, normtest.NeedsPositions()) })
	}
	t.Run("basic, batch style", func(t *testing.T) {
		normtest.Run(t, holed{RegionBasic: together}, normtest.NeedsPositions(), normtest.DependsOnBatch())
	})
}

// regionLoop is the method in plain loops, for labels of any number of regions.
func regionLoop(x []float64, labels []float64, images, pixels, channels int, style string, epsilon float64, official bool) []float64 {
	y := make([]float64, len(x))
	groups := [][]int{}
	for n := range images {
		var group []int
		for p := range pixels {
			group = append(group, n*pixels+p)
		}
		if style == "batch" && n > 0 {
			groups[0] = append(groups[0], group...)
		} else {
			groups = append(groups, group)
		}
	}
	for _, group := range groups {
		for k := range 4 {
			for c := range channels {
				var n, mean, variance float64
				for _, p := range group {
					if int(labels[p]) == k {
						n, mean = n+1, mean+x[p*channels+c]
					}
				}
				if n == 0 {
					continue
				}
				mean /= n
				for _, p := range group {
					if int(labels[p]) == k {
						variance += (x[p*channels+c] - mean) * (x[p*channels+c] - mean) / n
					}
				}
				e := epsilon
				if official {
					e *= float64(len(group)) / n
				}
				for _, p := range group {
					if int(labels[p]) == k {
						y[p*channels+c] = (x[p*channels+c] - mean) / math.Sqrt(variance+e)
					}
				}
			}
		}
	}
	return y
}

// TestRegions compares masks and maps of four regions with plain loops, and their gradients with differences; one region of the map has no
// pixel in the second image.
func TestRegions(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		x := gradcheck.Normal(21, 2, 3, 4, 2)
		labels := gradcheck.Input{Shape: []int{2, 3, 4, 1}, Data: make([]float64, 24)}
		for _, regions := range []int{2, 4} {
			for i := range labels.Data {
				labels.Data[i] = float64((i*i/3 + i/7) % regions)
				if i >= 12 && labels.Data[i] == 3 {
					labels.Data[i] = 0
				}
			}
			for _, style := range []string{"instance", "batch"} {
				for _, official := range []bool{false, true} {
					r := norm.Region{Style: style, Regions: regions, Epsilon: 1e-3, OfficialEpsilon: official}
					f := func(in []*graph.Node) *graph.Node {
						return r.Normalize(in[0], graph.ConstTensor(in[0].Graph(), tensors.FromFlatDataAndDimensions(labels.Data, labels.Shape...)))
					}
					got, _ := gradcheck.Eval(t, e.Backend, f, x)
					near(t, style, got, regionLoop(x.Data, labels.Data, 2, 12, 2, style, 1e-3, official), 1e-10)
					gradcheck.Check(t, e.Backend, f, x)
				}
			}
		}
	})
}

// TestRegionWholeImage: a mask of one value is plain instance normalisation; the other polarity is the same.
func TestRegionWholeImage(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		x := gradcheck.Normal(22, 2, 3, 3, 2)
		want, _ := train(t, e, norm.NewInstance(), x)
		for _, value := range []float64{0, 1} {
			got, _ := gradcheck.Eval(t, e.Backend, func(in []*graph.Node) *graph.Node {
				mask := graph.AddScalar(graph.ReduceAndKeep(graph.ZerosLike(in[0]), graph.ReduceSum, -1), value)
				return norm.NewRegion().Normalize(in[0], mask)
			}, x)
			near(t, "y", got, want, 1e-10)
		}
	})
}

func TestRegionRefuses(t *testing.T) {
	if err := norm.CheckMask([]float32{0, 1, 0.5}); err == nil || err.Error() != "norm: value 2 of the hole mask is 0.5; want 0 (to keep) or 1 (hole), so threshold it, for example > 0" {
		t.Errorf("got %v", err)
	}
	if err := norm.CheckMask([]float32{0, 1, 1}); err != nil {
		t.Error(err)
	}
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		x, mask := gradcheck.Normal(1, 2, 4, 4, 3), gradcheck.Normal(1, 2, 4, 4, 1)
		wide, few := gradcheck.Normal(1, 2, 4, 4, 3), gradcheck.Normal(1, 1, 4, 4, 1)
		kernel := norm.NewRegionLearned()
		kernel.Kernel = 5
		for _, c := range []struct {
			f    func(in []*graph.Node) *graph.Node
			mask gradcheck.Input
			want string
		}{
			{func(in []*graph.Node) *graph.Node { return norm.NewRegion().Normalize(in[0], in[1]) }, wide, "the regions are (Float64)[2, 4, 4, 3]; want one channel, [2, 4, 4, 1]"},
			{func(in []*graph.Node) *graph.Node {
				return norm.NewRegionBasic().ApplyHole(model.NewStore().RootScope(), in[0], in[1])
			}, few, "the mask is (Float64)[1, 4, 4, 1]; want one channel for each image"},
			{func(in []*graph.Node) *graph.Node {
				return norm.Region{Style: "instance", Regions: 1}.Normalize(in[0], in[1])
			}, mask, "Regions is 1; use at least 2"},
			{func(in []*graph.Node) *graph.Node {
				return norm.Region{Style: "image", Regions: 2}.Normalize(in[0], in[1])
			}, mask, `Style is "image"; use instance or batch`},
			{func(in []*graph.Node) *graph.Node { return kernel.Apply(model.NewStore().RootScope().In("n"), in[0]) }, mask, "norm.RegionLearned /n: Kernel is 5; use 7 or 3"},
		} {
			if got := gradcheck.Panics(e.Backend, c.f, x, c.mask); !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		}
	})
}

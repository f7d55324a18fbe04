package norm_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/internal/gradcheck"
	"github.com/ballast-ml/ballast/nn/norm"
)

// scaledBy is x with every example and channel multiplied by a number of its own, and moved by another.
func scaledBy(x gradcheck.Input, scale, shift func(example, channel int) float64) gradcheck.Input {
	y := gradcheck.Input{Shape: x.Shape, Data: slices.Clone(x.Data)}
	channels := x.Shape[len(x.Shape)-1]
	per := len(x.Data) / x.Shape[0]
	for i := range y.Data {
		y.Data[i] = scale(i/per, i%channels)*y.Data[i] + shift(i/per, i%channels)
	}
	return y
}

func fixed(v float64) func(int, int) float64 { return func(int, int) float64 { return v } }

// TestBatchChannelSpread: group normalisation leaves the means of channels as far apart as it finds them; estimates bring them together.
func TestBatchChannelSpread(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		const channels, batches = 8, 200
		offsets := gradcheck.Normal(31, channels)
		spread := func(layer norm.Layer) float64 {
			store := model.NewStore()
			exec := model.MustNewExec(e.Backend, store, func(scope *model.Scope, x *graph.Node) *graph.Node {
				store.SetTraining(x.Graph(), true)
				return layer.Apply(scope.In("n"), x)
			})
			means := make([]float64, channels)
			for step := range batches {
				x := scaledBy(gradcheck.Normal(uint64(100+step), 1, 6, 6, channels), fixed(1), func(_, c int) float64 { return math.Sqrt2 * offsets.Data[c] })
				y := tensors.MustCopyFlatData[float64](exec.MustCall(tensors.FromFlatDataAndDimensions(x.Data, x.Shape...))[0])
				if step >= batches-20 {
					for i, v := range y {
						means[i%channels] += v / float64(20*len(y)/channels)
					}
				}
			}
			mean, square := 0.0, 0.0
			for _, m := range means {
				mean, square = mean+m/channels, square+m*m/channels
			}
			return math.Sqrt(square - mean*mean)
		}
		if s := spread(norm.Group{Groups: 1, Epsilon: 1e-5}); s <= 0.5 {
			t.Errorf("group normalisation leaves channel means %v apart, want more than 0.5", s)
		}
		if s := spread(norm.BatchChannel{Groups: 1, Estimate: true, Rate: 0.1, Epsilon: 1e-5}); s >= 0.1 {
			t.Errorf("estimates leave channel means %v apart, want less than 0.1", s)
		}
	})
}

// TestBatchChannelState: a group has one scale and one offset; with frozen estimates training on one example is inference.
func TestBatchChannelState(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		layer := norm.BatchChannel{Groups: 3, Estimate: true, Rate: 0, Epsilon: 1e-5}
		x := gradcheck.Normal(32, 1, 2, 2, 6)
		got, store := train(t, e, layer, x)
		near(t, "training", got, apply(t, e, store, false, layer, x), 1e-12)
		for name, want := range map[string]int{"/n/group/scale": 3, "/n/group/offset": 3, "/n/batch/scale": 6, "/n/batch/offset": 6} {
			if n := len(flat(t, store, name)); n != want {
				t.Errorf("%s has %d values, want %d", name, n, want)
			}
		}
	})
}

// TestPowerConstantStream: of a stream with unit second moment phi stays 1, and the layer gives its input, in warm-up and after it.
func TestPowerConstantStream(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		layer := norm.NewPower("running")
		layer.GroupScaling, layer.Warmup, layer.Epsilon = false, 2, 0
		x := gradcheck.Input{Shape: []int{2, 2, 3}, Data: []float64{1, -1, 1, -1, 1, 1, 1, 1, -1, -1, -1, -1}}
		store := model.NewStore()
		for step := range 5 {
			near(t, fmt.Sprintf("y of step %d", step+1), apply(t, e, store, true, layer, x), x.Data, 1e-12)
			near(t, "phi", flat(t, store, "/n/variance"), []float64{1, 1, 1}, 1e-12)
		}
		near(t, "y at inference", apply(t, e, store, false, layer, x), x.Data, 1e-12)
	})
}

// TestUnifiedConstantStream: of a stream with constant statistics the window's mean is the batch's, and the running value comes to it.
func TestUnifiedConstantStream(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		layer := norm.NewUnified()
		layer.Window, layer.GradientWindow, layer.Warmup = 2, 2, 3
		x := gradcheck.Normal(33, 4, 3)
		square := make([]float64, 3)
		for i, v := range x.Data {
			square[i%3] += v * v / 4
		}
		want := make([]float64, len(x.Data))
		for i, v := range x.Data {
			want[i] = v / math.Sqrt(square[i%3]+layer.Epsilon)
		}
		store := model.NewStore()
		for range 120 {
			near(t, "y", apply(t, e, store, true, layer, x), want, 1e-9)
		}
		near(t, "the running value", flat(t, store, "/n/variance"), square, 1e-4)
	})
}

// TestEvoNormClaims: S0 with v = 0 does not feel the scale of x and is half its normalised value; B0 with v = 0 divides by the larger of
// the two deviations; without activation what is left is an affine, with a first scale of 0 nothing.
func TestEvoNormClaims(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		x := gradcheck.Normal(34, 3, 2, 2, 4)
		at := func(layer norm.Layer, training bool, x gradcheck.Input) []float64 {
			store := model.NewStore()
			if _, err := store.CreateVariable("/n/v", tensors.FromFlatDataAndDimensions(make([]float64, 4), 4)); err != nil {
				t.Fatal(err)
			}
			return apply(t, e, store, training, layer, x)
		}
		s0 := norm.NewEvoNorm("S0")
		s0.Groups, s0.Epsilon = 2, 0
		near(t, "S0 of 7x", at(s0, true, scaledBy(x, fixed(7), fixed(0))), at(s0, true, x), 1e-12)
		b0 := norm.NewEvoNorm("B0")
		y := at(b0, true, x)
		for c := range 4 {
			variance := func(from, to int) float64 {
				n, mean, square := float64(to-from)*4, 0.0, 0.0
				for i := from*16 + c; i < to*16; i += 4 {
					mean, square = mean+x.Data[i]/n, square+x.Data[i]*x.Data[i]/n
				}
				return square - mean*mean
			}
			for n := range 3 {
				denominator := math.Sqrt(max(variance(0, 3), variance(n, n+1)) + 1e-5)
				for i := n*16 + c; i < n*16+16; i += 4 {
					if want := x.Data[i] / denominator; math.Abs(y[i]-want) > 1e-9 {
						t.Fatalf("B0 without v: value %d is %v, want %v", i, y[i], want)
					}
				}
			}
		}
		plain, _ := train(t, e, b0.WithoutActivation(false), x)
		near(t, "without activation", plain, x.Data, 0)
		for _, kind := range []string{"S0", "B1"} {
			zero := norm.NewEvoNorm(kind)
			zero.InitZero = true
			for _, layer := range []norm.Layer{zero, zero.WithoutActivation(true)} {
				nothing, _ := train(t, e, layer, x)
				near(t, kind+" with a first scale of 0", nothing, make([]float64, len(x.Data)), 0)
			}
		}
	})
}

// TestIBNInvariance: the instance part does not feel another contrast and brightness of every image and channel, in training and at
// inference; the batch part does.
func TestIBNInvariance(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		layer := norm.NewIBN()
		layer.Epsilon = 0
		x := gradcheck.Normal(35, 3, 3, 3, 5) // 2 channels of instances, 3 of the batch
		r := rand.New(rand.NewPCG(35, 35))
		number := func(from float64) func(int, int) float64 {
			var values [3][5]float64
			for n := range values {
				for c := range values[n] {
					values[n][c] = from + 2*r.Float64()
				}
			}
			return func(n, c int) float64 { return values[n][c] }
		}
		moved := scaledBy(x, number(0.5), number(-1))
		_, store := train(t, e, layer, x)
		for _, training := range []bool{true, false} {
			a, b := apply(t, e, store, training, layer, x), apply(t, e, store, training, layer, moved)
			for i := range a {
				if same := math.Abs(a[i]-b[i]) < 1e-9; same != (i%5 < 2) {
					t.Fatalf("training %v: value %d of channel %d is %v, of the moved images %v", training, i, i%5, a[i], b[i])
				}
			}
		}
	})
}

// TestRegionClaims: a region does not feel what is in the other one, and comes out with mean 0 and deviation 1; the polarity of the mask
// makes no difference.
func TestRegionClaims(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		x := gradcheck.Normal(36, 2, 6, 6, 2)
		hole := make([]float64, 72)
		for i := range hole {
			if i%36 >= 16 {
				hole[i] = 1
			}
		}
		filled := gradcheck.Input{Shape: x.Shape, Data: slices.Clone(x.Data)}
		for i := range filled.Data {
			if hole[i/2] == 1 {
				filled.Data[i] = 5
			}
		}
		inverted := make([]float64, len(hole))
		for i, v := range hole {
			inverted[i] = 1 - v
		}
		for _, style := range []string{"instance", "batch"} {
			layer := norm.NewRegion()
			layer.Style = style
			run := func(x gradcheck.Input, mask []float64) []float64 {
				y, _ := gradcheck.Eval(t, e.Backend, func(in []*graph.Node) *graph.Node {
					return layer.Normalize(in[0], graph.ConstTensor(in[0].Graph(), tensors.FromFlatDataAndDimensions(slices.Clone(mask), 2, 6, 6, 1)))
				}, x)
				return y
			}
			y, other := run(x, hole), run(filled, hole)
			near(t, style+" with the mask turned around", run(x, inverted), y, 1e-12)
			type place struct{ image, region, channel int }
			values := map[place][]float64{}
			for i, v := range y {
				at := place{i / 72, int(hole[i/2]), i % 2}
				if at.region == 0 && other[i] != v {
					t.Fatalf("%s: valid value %d is %v, %v with the hole filled", style, i, v, other[i])
				}
				if style == "batch" {
					at.image = 0
				}
				values[at] = append(values[at], v)
			}
			for at, v := range values {
				mean, square := 0.0, 0.0
				for _, y := range v {
					mean, square = mean+y/float64(len(v)), square+y*y/float64(len(v))
				}
				if math.Abs(mean) > 1e-9 || math.Abs(square-1) > 1e-3 {
					t.Errorf("%s: %+v has mean %v and mean square %v", style, at, mean, square)
				}
			}
		}
	})
}

// TestRegionLearnedGradient: the first convolution learns through the scale and the offset alone, and not at all where they are constant.
func TestRegionLearnedGradient(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		layer := norm.NewRegionLearned()
		layer.Kernel, layer.Threshold = 3, 0.5
		x := gradcheck.Normal(37, 1, 4, 4, 2)
		size := func(constant bool) float64 {
			store := model.NewStore()
			if constant {
				for _, name := range []string{"/scale/kernel", "/offset/kernel"} {
					if _, err := store.CreateVariable(name, tensors.FromFlatDataAndDimensions(make([]float64, 9), 3, 3, 1, 1)); err != nil {
						t.Fatal(err)
					}
				}
			}
			out := model.MustNewExec(e.Backend, store, func(scope *model.Scope, x *graph.Node) *graph.Node {
				y := layer.Apply(scope, x)
				return graph.Gradient(graph.ReduceAllSum(graph.Mul(y, graph.Sin(x))), store.GetVariable("/importance/kernel").NodeValue(x.Graph()))[0]
			}).MustCall(tensors.FromFlatDataAndDimensions(slices.Clone(x.Data), x.Shape...))[0]
			sum := 0.0
			for _, v := range tensors.MustCopyFlatData[float64](out) {
				sum += math.Abs(v)
			}
			return sum
		}
		if s := size(true); s != 0 {
			t.Errorf("with constant maps the gradient's size is %v, want 0", s)
		}
		if s := size(false); s < 1e-6 {
			t.Errorf("the gradient's size is %v", s)
		}
	})
}

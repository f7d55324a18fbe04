package ops_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/internal/gradcheck"
	"github.com/ballast-ml/ballast/ops"
)

// convCases holds the shapes that differ in how they are lowered.
var convCases = []struct {
	name      string
	x, kernel []int
	conv      ops.Conv
}{
	{"3x3 same", []int{2, 5, 4, 3}, []int{3, 3, 3, 2}, ops.Conv{Same: true}},
	{"3x3 valid one channel", []int{1, 6, 5, 1}, []int{3, 3, 1, 2}, ops.Conv{}},
	{"1x1", []int{2, 3, 3, 4}, []int{1, 1, 4, 3}, ops.Conv{}},
	{"1x1 stride 2", []int{1, 5, 6, 2}, []int{1, 1, 2, 3}, ops.Conv{Strides: [2]int{2, 2}}},
	{"1x1 padded", []int{1, 2, 3, 2}, []int{1, 1, 2, 2}, ops.Conv{Padding: [2][2]int{{1, 0}, {0, 2}}}},
	{"3x3 stride 2 padding 1", []int{2, 6, 5, 2}, []int{3, 3, 2, 3}, ops.Conv{Strides: [2]int{2, 2}, Padding: [2][2]int{{1, 1}, {1, 1}}}},
	{"same stride 2 even", []int{1, 6, 6, 9}, []int{3, 3, 9, 1}, ops.Conv{Strides: [2]int{2, 2}, Same: true}},
	{"2x3 uneven", []int{1, 5, 7, 2}, []int{2, 3, 2, 2}, ops.Conv{Strides: [2]int{1, 3}, Padding: [2][2]int{{0, 1}, {2, 0}}}},
	{"dilated", []int{1, 7, 6, 2}, []int{3, 2, 2, 2}, ops.Conv{Dilations: [2]int{2, 3}}},
	{"groups", []int{2, 4, 4, 6}, []int{3, 3, 2, 9}, ops.Conv{Groups: 3, Same: true}},
	{"depthwise stride 2", []int{1, 5, 5, 4}, []int{3, 3, 1, 4}, ops.Conv{Groups: 4, Strides: [2]int{2, 2}, Same: true}},
	{"depthwise x2", []int{1, 4, 4, 3}, []int{2, 2, 1, 6}, ops.Conv{Groups: 3}},
	{"many channels", []int{1, 4, 4, 10}, []int{3, 3, 10, 2}, ops.Conv{Same: true}},
	{"kernel as large as the image", []int{2, 3, 3, 2}, []int{3, 3, 2, 2}, ops.Conv{}},
}

func TestConv(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for _, c := range convCases {
			t.Run(c.name, func(t *testing.T) {
				x, k := gradcheck.Normal(1, c.x...), gradcheck.Normal(2, c.kernel...)
				f := func(in []*Node) *Node { return c.conv.Apply(in[0], in[1]) }
				got, shape := gradcheck.Eval(t, e, f, x, k)
				want, wantShape := naiveConv(c.conv, x, k)
				if fmt.Sprint(shape) != fmt.Sprint(wantShape) {
					t.Fatalf("shape %v, want %v", shape, wantShape)
				}
				near(t, got, want, 1e-12)
				gradcheck.Check(t, e, f, x, k)
			})
		}
	})
}

// TestConvAnyShape draws convolutions; the seed is fixed, so that a failure comes again.
func TestConvAnyShape(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		r := rand.New(rand.NewPCG(1, 2))
		n := 24
		if testing.Short() {
			n = 6
		}
		for range n {
			groups := 1 + r.IntN(2)
			kernel := []int{1 + r.IntN(3), 1 + r.IntN(5), 1 + r.IntN(2), groups * (1 + r.IntN(2))}
			c := ops.Conv{
				Strides: [2]int{1 + r.IntN(3), 1 + r.IntN(3)}, Dilations: [2]int{1 + r.IntN(2), 1 + r.IntN(2)},
				Padding: [2][2]int{{r.IntN(3), r.IntN(3)}, {r.IntN(3), r.IntN(3)}}, Same: r.IntN(3) == 0, Groups: groups,
			}
			x := []int{1 + r.IntN(2), (kernel[0]-1)*c.Dilations[0] + 1 + r.IntN(4), (kernel[1]-1)*c.Dilations[1] + 1 + r.IntN(3), kernel[2] * groups}
			t.Run(fmt.Sprintf("%v %v %+v", x, kernel, c), func(t *testing.T) {
				in, k := gradcheck.Normal(1, x...), gradcheck.Normal(2, kernel...)
				f := func(in []*Node) *Node { return c.Apply(in[0], in[1]) }
				got, _ := gradcheck.Eval(t, e, f, in, k)
				want, _ := naiveConv(c, in, k)
				near(t, got, want, 1e-12)
				gradcheck.Check(t, e, f, in, k)
			})
		}
	})
}

func TestConvRefuses(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for _, c := range []struct {
			x, kernel []int
			conv      ops.Conv
			want      string
		}{
			{[]int{2, 5, 4}, []int{3, 3, 3, 2}, ops.Conv{}, "want [batch, height, width, cin]"},
			{[]int{1, 5, 5, 3}, []int{3, 3, 2, 2}, ops.Conv{}, "x has 3 channels, the kernel is [3 3 2 2] with 1 groups"},
			{[]int{1, 5, 5, 4}, []int{3, 3, 2, 3}, ops.Conv{Groups: 2}, "groups dividing 3"},
			{[]int{1, 2, 5, 3}, []int{3, 3, 3, 2}, ops.Conv{}, "the kernel reaches over 3 rows, the padded input has 2"},
			{[]int{1, 5, 5, 3}, []int{3, 3, 3, 2}, ops.Conv{Strides: [2]int{-1, 1}}, "none may be negative"},
		} {
			got := gradcheck.Panics(e, func(in []*Node) *Node { return c.conv.Apply(in[0], in[1]) }, gradcheck.Normal(1, c.x...), gradcheck.Normal(2, c.kernel...))
			if !strings.Contains(got, c.want) {
				t.Errorf("x %v kernel %v: got %q, want %q", c.x, c.kernel, got, c.want)
			}
		}
	})
}

func TestPool(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for _, c := range []struct {
			name string
			x    []int
			pool ops.Pool
		}{
			{"2x2", []int{2, 4, 6, 3}, ops.Pool{Window: 2}},
			{"2x2 odd sides", []int{1, 5, 7, 2}, ops.Pool{Window: 2}},
			{"3/2", []int{1, 7, 6, 2}, ops.Pool{Window: 3, Stride: 2}},
			{"3/2 padded", []int{2, 6, 5, 2}, ops.Pool{Window: 3, Stride: 2, Padding: [2][2]int{{1, 1}, {1, 1}}}},
			{"2/1 padded after", []int{1, 3, 3, 1}, ops.Pool{Window: 2, Stride: 1, Padding: [2][2]int{{0, 1}, {0, 1}}}},
			{"1/2", []int{1, 5, 5, 2}, ops.Pool{Window: 1, Stride: 2}},
		} {
			t.Run(c.name, func(t *testing.T) {
				x := gradcheck.Normal(3, c.x...)
				for _, kind := range []string{"max", "mean"} {
					f := func(in []*Node) *Node {
						if kind == "max" {
							return c.pool.Max(in[0])
						}
						return c.pool.Mean(in[0])
					}
					got, _ := gradcheck.Eval(t, e, f, x)
					near(t, got, naivePool(c.pool, kind, x), 1e-12)
					gradcheck.Check(t, e, f, x)
				}
			})
		}
		for pool, want := range map[ops.Pool]string{
			{Window: 0}: "both must be at least 1",
			{Window: 2, Padding: [2][2]int{{2, 0}, {0, 0}}}: "or a window would see padding alone",
			{Window: 5}: "use a smaller window or pad",
		} {
			if got := gradcheck.Panics(e, func(in []*Node) *Node { return pool.Max(in[0]) }, gradcheck.Normal(1, 1, 4, 4, 1)); !strings.Contains(got, want) {
				t.Errorf("%+v: got %q, want %q", pool, got, want)
			}
		}
	})
}

func TestMoments(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		x := gradcheck.Normal(4, 3, 4, 2)
		mask := gradcheck.Input{Shape: []int{3, 4, 1}, Data: []float64{1, 0, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1}}
		for _, axes := range [][]int{{0}, {-1}, {0, 1}, {1, 2}, {0, 1, 2}} {
			for _, masked := range []bool{false, true} {
				moment := func(which int) func(in []*Node) *Node {
					return func(in []*Node) *Node {
						var m *Node
						if masked {
							m = StopGradient(Const(in[0].Graph(), [][][]float64{{{1}, {0}, {1}, {1}}, {{0}, {0}, {0}, {0}}, {{1}, {1}, {1}, {1}}}))
						}
						mean, variance := ops.Moments(in[0], axes, m)
						return []*Node{mean, variance}[which]
					}
				}
				wantMean, wantVariance := naiveMoments(x, axes, mask, masked)
				mean, _ := gradcheck.Eval(t, e, moment(0), x)
				near(t, mean, wantMean, 1e-12)
				variance, _ := gradcheck.Eval(t, e, moment(1), x)
				near(t, variance, wantVariance, 1e-12)
				gradcheck.Check(t, e, moment(0), x)
				gradcheck.Check(t, e, moment(1), x)
			}
		}
		hidden := gradcheck.Input{Shape: []int{1, 2}, Data: []float64{math.NaN(), 3}}
		got, _ := gradcheck.Eval(t, e, func(in []*Node) *Node {
			mean, _ := ops.Moments(in[0], []int{1}, Const(in[0].Graph(), [][]bool{{false, true}}))
			return mean
		}, hidden)
		near(t, got, []float64{3}, 0)
		for _, axes := range [][]int{nil, {0, 0}, {3}, {-4}} {
			if got := gradcheck.Panics(e, func(in []*Node) *Node { m, _ := ops.Moments(in[0], axes, nil); return m }, x); !strings.Contains(got, "ops.Moments") {
				t.Errorf("axes %v: got %q", axes, got)
			}
		}
	})
}

func TestSoftmaxCrossEntropy(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		logits := gradcheck.Normal(6, 4, 5)
		labels := []int32{0, 4, 2, 2}
		hard := func(in []*Node) *Node { return ops.SoftmaxCrossEntropy(in[0], Const(in[0].Graph(), labels)) }
		var want []float64
		for i, l := range labels {
			row := logits.Data[i*5 : i*5+5]
			sum := 0.0
			for _, z := range row {
				sum += math.Exp(z)
			}
			want = append(want, math.Log(sum)-row[l])
		}
		got, _ := gradcheck.Eval(t, e, hard, logits)
		near(t, got, want, 1e-12)
		gradcheck.Check(t, e, hard, logits)

		soft := func(in []*Node) *Node {
			return ops.SoftmaxCrossEntropy(in[0], OneHot(Const(in[0].Graph(), labels), 5, dtypes.Float64))
		}
		got, _ = gradcheck.Eval(t, e, soft, logits)
		near(t, got, want, 1e-12)
		gradcheck.Check(t, e, soft, logits)

		// Logits of any size neither overflow nor lose the loss.
		huge := gradcheck.Input{Shape: []int{1, 2}, Data: []float64{1e4, -1e4}}
		got, _ = gradcheck.Eval(t, e, func(in []*Node) *Node { return ops.SoftmaxCrossEntropy(in[0], Const(in[0].Graph(), []int32{1})) }, huge)
		near(t, got, []float64{2e4}, 0)

		picked := func(in []*Node) *Node { return ops.GatherOneHot(in[0], Const(in[0].Graph(), labels)) }
		got, _ = gradcheck.Eval(t, e, picked, logits)
		near(t, got, []float64{logits.Data[0], logits.Data[9], logits.Data[12], logits.Data[17]}, 0)
		gradcheck.Check(t, e, picked, logits)
		rows := func(in []*Node) *Node { return ops.GatherRows(in[0], Const(in[0].Graph(), []int32{3, 0, 3})) }
		gradcheck.Check(t, e, rows, logits)
	})
}

func TestPadConstant(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		x := gradcheck.Input{Shape: []int{1, 2}, Data: []float64{1, 2}}
		f := func(in []*Node) *Node { return ops.PadConstant(in[0], 7, [][2]int{{1, 0}, {0, 2}}) }
		got, _ := gradcheck.Eval(t, e, f, x)
		near(t, got, []float64{7, 7, 7, 7, 1, 2, 7, 7}, 0)
		gradcheck.Check(t, e, f, x)
	})
}

func near(t *testing.T, got, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %d values, want %d", len(got), len(want))
	}
	for i := range got {
		if !(math.Abs(got[i]-want[i]) <= tolerance*(1+math.Abs(want[i]))) {
			t.Fatalf("value %d is %v, want %v", i, got[i], want[i])
		}
	}
}

// naiveConv is the formula of ops.Conv, with nothing clever.
func naiveConv(c ops.Conv, x, k gradcheck.Input) ([]float64, []int) {
	groups := max(c.Groups, 1)
	stride, dilation, pad := [2]int{max(c.Strides[0], 1), max(c.Strides[1], 1)}, [2]int{max(c.Dilations[0], 1), max(c.Dilations[1], 1)}, c.Padding
	var out [2]int
	for a := range 2 {
		reach := (k.Shape[a]-1)*dilation[a] + 1
		if c.Same {
			n := (x.Shape[a+1] + stride[a] - 1) / stride[a]
			total := max(0, (n-1)*stride[a]+reach-x.Shape[a+1])
			pad[a] = [2]int{total / 2, total - total/2}
		}
		out[a] = (x.Shape[a+1]+pad[a][0]+pad[a][1]-reach)/stride[a] + 1
	}
	cin, cout := k.Shape[2], k.Shape[3]
	var y []float64
	for b := range x.Shape[0] {
		for i := range out[0] {
			for j := range out[1] {
				for o := range cout {
					sum := 0.0
					for u := range k.Shape[0] {
						for v := range k.Shape[1] {
							r, s := i*stride[0]+u*dilation[0]-pad[0][0], j*stride[1]+v*dilation[1]-pad[1][0]
							if r < 0 || s < 0 || r >= x.Shape[1] || s >= x.Shape[2] {
								continue
							}
							for ch := range cin {
								in := o/(cout/groups)*cin + ch
								sum += x.Data[((b*x.Shape[1]+r)*x.Shape[2]+s)*x.Shape[3]+in] * k.Data[((u*k.Shape[1]+v)*cin+ch)*cout+o]
							}
						}
					}
					y = append(y, sum)
				}
			}
		}
	}
	return y, []int{x.Shape[0], out[0], out[1], cout}
}

func naivePool(p ops.Pool, kind string, x gradcheck.Input) []float64 {
	stride := p.Stride
	if stride == 0 {
		stride = p.Window
	}
	rows := (x.Shape[1]+p.Padding[0][0]+p.Padding[0][1]-p.Window)/stride + 1
	columns := (x.Shape[2]+p.Padding[1][0]+p.Padding[1][1]-p.Window)/stride + 1
	var y []float64
	for b := range x.Shape[0] {
		for i := range rows {
			for j := range columns {
				for c := range x.Shape[3] {
					largest, sum, n := math.Inf(-1), 0.0, 0.0
					for u := range p.Window {
						for v := range p.Window {
							r, s := i*stride+u-p.Padding[0][0], j*stride+v-p.Padding[1][0]
							if r >= 0 && s >= 0 && r < x.Shape[1] && s < x.Shape[2] {
								value := x.Data[((b*x.Shape[1]+r)*x.Shape[2]+s)*x.Shape[3]+c]
								largest, sum, n = max(largest, value), sum+value, n+1
							}
						}
					}
					if kind == "max" {
						y = append(y, largest)
					} else {
						y = append(y, sum/n)
					}
				}
			}
		}
	}
	return y
}

// naiveMoments works for three axes.
func naiveMoments(x gradcheck.Input, axes []int, mask gradcheck.Input, masked bool) (means, variances []float64) {
	reduced := map[int]bool{}
	for _, a := range axes {
		reduced[(a+3)%3] = true
	}
	groups := map[[3]int][]float64{}
	var order [][3]int
	for i := range x.Shape[0] {
		for j := range x.Shape[1] {
			for k := range x.Shape[2] {
				key := [3]int{i, j, k}
				for a := range key {
					if reduced[a] {
						key[a] = 0
					}
				}
				if _, ok := groups[key]; !ok {
					groups[key] = []float64{}
					order = append(order, key)
				}
				if !masked || mask.Data[i*4+j] != 0 {
					groups[key] = append(groups[key], x.Data[(i*4+j)*2+k])
				}
			}
		}
	}
	for _, key := range order {
		mean, variance := 0.0, 0.0
		for _, v := range groups[key] {
			mean += v / float64(len(groups[key]))
		}
		for _, v := range groups[key] {
			variance += (v - mean) * (v - mean) / float64(len(groups[key]))
		}
		means, variances = append(means, mean), append(variances, variance)
	}
	return means, variances
}

// TestConvTwice differentiates the gradients of a convolution again.
func TestConvTwice(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for _, c := range []struct {
			name      string
			x, kernel []int
			conv      ops.Conv
		}{
			{"3x3", []int{4, 4, 3, 2}, []int{3, 3, 2, 2}, ops.Conv{Same: true}},
			{"2x3 stride 2", []int{1, 5, 4, 2}, []int{2, 3, 2, 1}, ops.Conv{Strides: [2]int{2, 2}, Padding: [2][2]int{{1, 0}, {1, 2}}}},
			{"3x3 stride 2", []int{2, 5, 5, 2}, []int{3, 3, 2, 2}, ops.Conv{Strides: [2]int{2, 2}, Same: true}},
			{"groups", []int{1, 3, 4, 4}, []int{3, 2, 2, 2}, ops.Conv{Groups: 2, Same: true}},
			{"1x1", []int{1, 3, 2, 2}, []int{1, 1, 2, 2}, ops.Conv{}},
		} {
			for which, of := range []string{"x", "kernel"} {
				t.Run(c.name+" "+of, func(t *testing.T) {
					gradcheck.Check(t, e, func(in []*Node) *Node {
						y := c.conv.Apply(in[0], in[1])
						return Gradient(ReduceAllSum(Mul(Square(y), Sin(y))), in[which])[0]
					}, gradcheck.Normal(1, c.x...), gradcheck.Normal(2, c.kernel...))
				})
			}
		}
	})
}

func TestCustomGradient(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		// x y^2 s with x twice, y broadcast by hand and a scalar s; the gradient is said to be the right one.
		f := func(in []*Node) *Node {
			x, y, s := in[0], in[1], in[2]
			value := func(x, y, s *Node) *Node { return Mul(Mul(x, Square(ExpandAxes(y, 0))), s) }
			return ops.CustomGradient(value(StopGradient(x), StopGradient(y), StopGradient(s)), []*Node{x, y, s, x}, func(v *Node) []*Node {
				return []*Node{
					Mul(v, MulScalar(Mul(Square(ExpandAxes(y, 0)), s), 0.25)),
					ReduceSum(Mul(v, MulScalar(Mul(Mul(x, ExpandAxes(y, 0)), s), 2)), 0),
					ReduceAllSum(Mul(v, Mul(x, Square(ExpandAxes(y, 0))))),
					Mul(v, MulScalar(Mul(Square(ExpandAxes(y, 0)), s), 0.75)),
				}
			})
		}
		in := []gradcheck.Input{gradcheck.Normal(1, 3, 2), gradcheck.Normal(2, 2), gradcheck.Normal(3)}
		gradcheck.Check(t, e, f, in...)
		gradcheck.Check(t, e, func(in []*Node) *Node { return Gradient(ReduceAllSum(Square(f(in))), in[1])[0] }, in...)
		for want, grads := range map[string][]int{"2 adjoints for 1 inputs": {3, 3}, "the adjoint of input 0": {4}} {
			got := gradcheck.Panics(e, func(in []*Node) *Node {
				y := ops.CustomGradient(StopGradient(in[0]), in, func(v *Node) (list []*Node) {
					for _, n := range grads {
						list = append(list, BroadcastToDims(ReduceAllSum(v), n))
					}
					return list
				})
				return Gradient(ReduceAllSum(y), in[0])[0]
			}, gradcheck.Normal(1, 3))
			if !strings.Contains(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	})
}

func TestNormalize(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for _, c := range []struct {
			name          string
			x             []int
			axes          []int
			scale, offset []int
		}{
			{"channels", []int{3, 2, 4}, []int{0, 1}, []int{1, 1, 4}, []int{1, 1, 4}},
			{"groups", []int{2, 3, 2, 2}, []int{1, 2}, []int{1, 1, 1, 2}, []int{1, 1, 1, 2}},
			{"last axis", []int{3, 5}, []int{-1}, []int{1, 5}, []int{1, 5}},
			{"image", []int{2, 2, 3, 2}, []int{1, 2, 3}, []int{1, 2, 3, 2}, []int{1, 1, 1, 2}},
			{"mixed", []int{3, 4}, []int{1}, []int{1, 1}, []int{1, 4}},
			{"bare", []int{3, 4}, []int{0}, nil, nil},
		} {
			t.Run(c.name, func(t *testing.T) {
				in := []gradcheck.Input{gradcheck.Normal(1, c.x...)}
				for i := range in[0].Data {
					in[0].Data[i] += 3
				}
				if c.scale != nil {
					in = append(in, gradcheck.Normal(2, c.scale...), gradcheck.Normal(3, c.offset...))
				}
				plain := func(in []*Node) *Node {
					mean, variance := ops.Moments(in[0], c.axes, nil)
					y := Div(Sub(in[0], mean), Sqrt(AddScalar(variance, 0.1)))
					if c.scale != nil {
						y = Add(Mul(y, in[1]), in[2])
					}
					return y
				}
				f := func(in []*Node) *Node {
					var scale, offset *Node
					if c.scale != nil {
						scale, offset = in[1], in[2]
					}
					y, _, _ := ops.Normalize(in[0], scale, offset, c.axes, 0.1)
					return y
				}
				got, _ := gradcheck.Eval(t, e, f, in...)
				want, _ := gradcheck.Eval(t, e, plain, in...)
				near(t, got, want, 1e-12)
				gradcheck.Check(t, e, f, in...)
				for i := range in {
					gradcheck.Check(t, e, func(in []*Node) *Node { return Gradient(ReduceAllSum(Sin(f(in))), in[i])[0] }, in...)
				}
			})
		}
		got := gradcheck.Panics(e, func(in []*Node) *Node {
			y, _, _ := ops.Normalize(in[0], in[1], nil, []int{0}, 1e-5)
			return y
		}, gradcheck.Normal(1, 2, 3), gradcheck.Normal(2, 3))
		if !strings.Contains(got, "give it x's rank") {
			t.Errorf("got %q", got)
		}
	})
}

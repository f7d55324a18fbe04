package ops_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/internal/gradcheck"
	"github.com/ballast-ml/ballast/ops"
)

func TestConv1D(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for _, c := range []ops.Conv1D{{}, {Stride: 2, Padding: [2]int{1, 0}}, {Dilation: 2, Same: true}, {Groups: 2, Same: true, Stride: 3}} {
			groups := max(c.Groups, 1)
			x, k := gradcheck.Normal(1, 2, 7, 4), gradcheck.Normal(2, 3, 4/groups, 2)
			f := func(in []*Node) *Node { return c.Apply(in[0], in[1]) }
			got, _ := gradcheck.Eval(t, e, f, x, k)
			two := ops.Conv{Strides: [2]int{max(c.Stride, 1), 1}, Dilations: [2]int{max(c.Dilation, 1), 1}, Padding: [2][2]int{c.Padding, {}}, Same: c.Same, Groups: groups}
			want, _ := naiveConv(two, gradcheck.Input{Shape: []int{2, 7, 1, 4}, Data: x.Data}, gradcheck.Input{Shape: []int{3, 1, 4 / groups, 2}, Data: k.Data})
			near(t, got, want, 1e-12)
			twice(t, e, f, x, k)
		}
	})
}

func TestConv3D(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for _, c := range []ops.Conv3D{
			{},
			{Strides: [3]int{2, 1, 2}, Padding: [3][2]int{{1, 1}, {0, 1}, {1, 0}}},
			{Dilations: [3]int{2, 1, 1}, Same: true, Groups: 2},
		} {
			groups := max(c.Groups, 1)
			x, k := gradcheck.Normal(1, 1, 5, 3, 4, 2), gradcheck.Normal(2, 2, 2, 3, 2/groups, 2)
			f := func(in []*Node) *Node { return c.Apply(in[0], in[1]) }
			got, shape := gradcheck.Eval(t, e, f, x, k)
			want, wantShape := naiveConv3D(c, x, k)
			if fmt.Sprint(shape) != fmt.Sprint(wantShape) {
				t.Fatalf("%+v: shape %v, want %v", c, shape, wantShape)
			}
			near(t, got, want, 1e-12)
			twice(t, e, f, x, k)
		}
	})
}

// TestConvTranspose: it is the adjoint of Conv, <conv(y), x> = <y, transpose(x)>.
func TestConvTranspose(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		r := rand.New(rand.NewPCG(5, 6))
		for range 6 {
			c := ops.ConvTranspose{
				Strides: [2]int{1 + r.IntN(3), 1 + r.IntN(3)}, Dilations: [2]int{1 + r.IntN(2), 1},
				Padding: [2][2]int{{r.IntN(2), r.IntN(2)}, {r.IntN(2), r.IntN(2)}}, Groups: 1 + r.IntN(2),
			}
			c.OutputPadding = [2]int{r.IntN(c.Strides[0]), r.IntN(c.Strides[1])}
			x := gradcheck.Normal(1, 2, 2+r.IntN(2), 2+r.IntN(2), 2*c.Groups)
			k := gradcheck.Normal(2, 2+r.IntN(2), 3, 1+r.IntN(2), 2*c.Groups)
			f := func(in []*Node) *Node { return c.Apply(in[0], in[1]) }
			got, shape := gradcheck.Eval(t, e, f, x, k)
			y := gradcheck.Normal(3, shape...)
			conv := ops.Conv{Strides: c.Strides, Dilations: c.Dilations, Padding: c.Padding, Groups: c.Groups}
			forward, forwardShape := naiveConv(conv, y, k)
			if fmt.Sprint(forwardShape) != fmt.Sprint(x.Shape) {
				t.Fatalf("%+v: a convolution of %v gives %v, want %v", c, shape, forwardShape, x.Shape)
			}
			left, right := 0.0, 0.0
			for i, v := range forward {
				left += v * x.Data[i]
			}
			for i, v := range got {
				right += v * y.Data[i]
			}
			near(t, []float64{right}, []float64{left}, 1e-10)
			twice(t, e, f, x, k)
		}
		for want, c := range map[string]ops.ConvTranspose{
			"below its stride":     {OutputPadding: [2]int{1, 0}},
			"cuts everything off":  {Padding: [2][2]int{{3, 3}, {}}},
			"groups dividing them": {Groups: 3},
		} {
			got := gradcheck.Panics(e, func(in []*Node) *Node { return c.Apply(in[0], in[1]) }, gradcheck.Normal(1, 1, 2, 2, 2), gradcheck.Normal(1, 2, 2, 1, 2))
			if !strings.Contains(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	})
}

func naiveConv3D(c ops.Conv3D, x, k gradcheck.Input) (out []float64, shape []int) {
	groups := max(c.Groups, 1)
	xs, ks := x.Shape, k.Shape
	var stride, dilation, size [3]int
	padding := c.Padding
	for i := range 3 {
		stride[i], dilation[i] = max(c.Strides[i], 1), max(c.Dilations[i], 1)
		reach := (ks[i]-1)*dilation[i] + 1
		if c.Same {
			n := (xs[i+1] + stride[i] - 1) / stride[i]
			total := max(0, (n-1)*stride[i]+reach-xs[i+1])
			padding[i] = [2]int{total / 2, total - total/2}
		}
		size[i] = (xs[i+1]+padding[i][0]+padding[i][1]-reach)/stride[i] + 1
	}
	for b := range xs[0] {
		for p := range size[0] * size[1] * size[2] {
			at := [3]int{p / (size[1] * size[2]), p / size[2] % size[1], p % size[2]}
			for o := range ks[4] {
				sum := 0.0
				for q := range ks[0] * ks[1] * ks[2] {
					kat := [3]int{q / (ks[1] * ks[2]), q / ks[2] % ks[1], q % ks[2]}
					var s [3]int
					inside := true
					for i := range 3 {
						s[i] = at[i]*stride[i] + kat[i]*dilation[i] - padding[i][0]
						inside = inside && s[i] >= 0 && s[i] < xs[i+1]
					}
					if !inside {
						continue
					}
					for ch := range ks[3] {
						g := o / (ks[4] / groups)
						sum += x.Data[(((b*xs[1]+s[0])*xs[2]+s[1])*xs[3]+s[2])*xs[4]+g*ks[3]+ch] * k.Data[(q*ks[3]+ch)*ks[4]+o]
					}
				}
				out = append(out, sum)
			}
		}
	}
	return out, []int{xs[0], size[0], size[1], size[2], ks[4]}
}

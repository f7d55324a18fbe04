package linear_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/internal/gradcheck"
	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/ops"
)

// TestDropout: numbers are 0 or divided by 1 - Rate, about Rate of them 0, others for another key or scope, the same on every engine;
// inference and rate 0 leave them alone; gradients.
func TestDropout(t *testing.T) {
	var first []float32
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		x := make([]float32, 4000)
		for i := range x {
			x[i] = float32(i + 1)
		}
		out := model.MustNewExec(e.Backend, model.NewStore(), func(scope *model.Scope, x *graph.Node) []*graph.Node {
			g := x.Graph()
			one, two := ops.NewRandom(g, 1), ops.NewRandom(g, 2)
			layer := linear.Dropout{Rate: 0.25}
			var ys []*graph.Node
			pass.Through(g, pass.Pass{Mode: pass.Train}, func() {
				ys = append(ys, layer.Apply(scope.At("a"), x, &one), layer.Apply(scope.At("a"), x, &one))
				ys = append(ys, layer.Apply(scope.At("a"), x, &two), layer.Apply(scope.At("b"), x, &one))
				ys = append(ys, linear.Dropout{}.Apply(scope.At("a"), x, nil))
			})
			pass.Through(g, pass.Pass{Mode: pass.Infer}, func() { ys = append(ys, layer.Apply(scope.At("a"), x, nil)) })
			return ys
		}).MustCall(tensors.FromFlatDataAndDimensions(x, 40, 100))
		var ys [][]float32
		for _, y := range out {
			ys = append(ys, tensors.MustCopyFlatData[float32](y))
		}

		zeros := 0
		for i, y := range ys[0] {
			switch {
			case y == 0:
				zeros++
			case math.Abs(float64(y)*0.75-float64(x[i])) > 1e-3:
				t.Fatalf("%v became %v", x[i], y)
			}
		}
		if zeros < 900 || zeros > 1100 { // 1000, with a deviation of 27
			t.Errorf("%d of 4000 are 0, want about 1000", zeros)
		}
		same := func(a, b []float32) bool { return fmt.Sprint(a) == fmt.Sprint(b) }
		if !same(ys[0], ys[1]) || same(ys[0], ys[2]) || same(ys[0], ys[3]) {
			t.Error("the draws do not depend on key and scope alone")
		}
		if !same(ys[4], x) || !same(ys[5], x) {
			t.Error("inference or rate 0 drops numbers")
		}
		if first == nil {
			first = ys[0]
		}
		if !same(first, ys[0]) {
			t.Error("engines drop different numbers")
		}

		train := func(layer linear.Dropout, r bool) func(in []*graph.Node) *graph.Node {
			return func(in []*graph.Node) (y *graph.Node) {
				stream := ops.NewRandom(in[0].Graph(), 3)
				p := &stream
				if !r {
					p = nil
				}
				pass.Through(in[0].Graph(), pass.Pass{Mode: pass.Train}, func() { y = layer.Apply(model.NewStore().RootScope(), in[0], p) })
				return y
			}
		}
		gradcheck.Check(t, e.Backend, train(linear.Dropout{Rate: 0.5}, true), gradcheck.Normal(1, 3, 4))
		for want, f := range map[string]func(in []*graph.Node) *graph.Node{
			"rate is 1; use a share":                     train(linear.Dropout{Rate: 1}, true),
			"give the graph a stream with ops.SetRandom": train(linear.Dropout{Rate: 0.5}, false),
		} {
			if got := gradcheck.Panics(e.Backend, f, gradcheck.Normal(1, 3, 4)); !strings.Contains(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	})
}

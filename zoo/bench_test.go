package zoo_test

import (
	"math"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/zoo"
)

// product is one matrix product [m, k] x [k, n].
type product struct{ m, k, n int }

// cnnProducts are the multiply-adds of a forward and a backward pass of the default CNN on 28x28x1, as matrix products: for
// each layer y = x k, dk = x^T dy and, but for the first layer, dx = dy k^T.
func cnnProducts(batch int) (list []product) {
	for i, layer := range []product{
		{batch * 28 * 28, 9, 16}, {batch * 14 * 14, 9 * 16, 32}, {batch, 7 * 7 * 32, 128}, {batch, 128, 10},
	} {
		m, k, n := layer.m, layer.k, layer.n
		list = append(list, layer, product{k, m, n})
		if i > 0 {
			list = append(list, product{m, n, k})
		}
	}
	return list
}

// BenchmarkCNNStep measures forward, backward and the plain gradient step of the default CNN at batch 64 on 28x28x1, after
// checking its gradient. The ratio is its time over that of the same multiply-adds as bare matrix products, in the same run.
func BenchmarkCNNStep(b *testing.B) {
	const batch = 64
	for _, choice := range []string{engine.KindGo, "xla"} {
		b.Run(choice, func(b *testing.B) {
			if plugin := os.Getenv(enginetest.EnvPlugin); choice == "xla" && plugin != "" {
				choice = "xla:" + plugin
			}
			e, err := engine.Open(choice)
			if err != nil {
				b.Skip(err) // this machine has no such engine to time
			}
			defer e.Close()
			x, labels := random(1, batch, 28, 28, 1), classes(batch)
			store := model.NewStore()
			step := sgd(b, e, store, zoo.NewCNN(), 1e-3)
			checkAlongGradient(b, e, store, zoo.NewCNN(), x, labels)
			step(x, labels)

			limit := timeProducts(b, e, cnnProducts(batch))
			runs := 0
			b.ResetTimer()
			began := time.Now()
			for b.Loop() {
				step(x, labels)
				runs++
			}
			each := time.Since(began).Seconds() / float64(runs)
			b.ReportMetric(1/each, "steps/s")
			b.ReportMetric(each/limit, "times-matmul")
		})
	}
}

// timeProducts is the median time in seconds of the products in one graph.
func timeProducts(b *testing.B, e *engine.Engine, list []product) float64 {
	var args []any
	for _, p := range list {
		args = append(args, random(2, p.m, p.k), random(3, p.k, p.n))
	}
	exec := graph.MustNewExec(e.Backend, func(in []*graph.Node) []*graph.Node {
		var out []*graph.Node
		for i := 0; i < len(in); i += 2 {
			out = append(out, graph.MatMul(in[i], in[i+1]))
		}
		return out
	})
	best := math.Inf(1)
	for range 10 {
		began := time.Now()
		out := exec.MustCall(args...)
		wait(b, out)
		best = min(best, time.Since(began).Seconds())
		for _, t := range out {
			t.MustFinalizeAll()
		}
	}
	return best
}

// wait blocks until the tensors are computed.
func wait(b *testing.B, out []*tensors.Tensor) {
	for _, t := range out {
		if err := t.ConstFlatData(func(any) {}); err != nil {
			b.Fatal(err)
		}
	}
}

// sgd returns a function that takes one step of gradient descent and returns the loss before it.
func sgd(t testing.TB, e *engine.Engine, store *model.Store, network zoo.Network, rate float64) func(x, labels *tensors.Tensor) float32 {
	exec, err := model.NewExec(e.Backend, store, func(scope *model.Scope, x, labels *graph.Node) *graph.Node {
		scope.Store().SetTraining(x.Graph(), true)
		l := loss.Mean(loss.CrossEntropy{}.Of(labels, network.Apply(scope, x)), nil)
		var trained []*model.Variable
		var values []*graph.Node
		for v := range scope.Store().IterVariables() {
			if v.Trainable && v.InUseByGraph(x.Graph()) {
				trained, values = append(trained, v), append(values, v.NodeValue(x.Graph()))
			}
		}
		for i, gradient := range graph.Gradient(l, values...) {
			trained[i].SetNodeValue(graph.Sub(values[i], graph.MulScalar(gradient, rate)))
		}
		return l
	})
	if err != nil {
		t.Fatal(err)
	}
	return func(x, labels *tensors.Tensor) float32 {
		out, err := exec.Call(x, labels)
		if err != nil {
			t.Fatal(err)
		}
		return tensors.ToScalar[float32](out[0])
	}
}

// checkAlongGradient compares the fall of the loss along its gradient g with h |g|^2.
func checkAlongGradient(t testing.TB, e *engine.Engine, store *model.Store, network zoo.Network, x, labels *tensors.Tensor) {
	at := func(h float64) float64 {
		copied, err := store.Clone()
		if err != nil {
			t.Fatal(err)
		}
		step := sgd(t, e, copied, network, h)
		step(x, labels)
		return float64(step(x, labels)) // the loss at w - h g
	}
	exec := model.MustNewExec(e.Backend, store, func(scope *model.Scope, x, labels *graph.Node) *graph.Node {
		scope.Store().SetTraining(x.Graph(), true)
		l := loss.Mean(loss.CrossEntropy{}.Of(labels, network.Apply(scope, x)), nil)
		sum := graph.ScalarZero(x.Graph(), l.DType())
		for _, gradient := range scope.BuildTrainableVariablesGradientsGraph(l) {
			sum = graph.Add(sum, graph.ReduceAllSum(graph.Square(gradient)))
		}
		return sum
	})
	square := float64(tensors.ToScalar[float32](exec.MustCall(x, labels)[0]))
	const h = 1e-3
	if got, want := (at(-h)-at(h))/(2*h), square; !(math.Abs(got-want) <= 0.05*want) {
		t.Fatalf("the loss falls by %v a step along the gradient, whose square is %v", got, want)
	}
}

func random(seed uint64, dims ...int) *tensors.Tensor {
	r := rand.New(rand.NewPCG(seed, 1))
	n := 1
	for _, d := range dims {
		n *= d
	}
	data := make([]float32, n)
	for i := range data {
		data[i] = float32(r.NormFloat64())
	}
	return tensors.FromFlatDataAndDimensions(data, dims...)
}

// classes are labels 0 to 9 in turn.
func classes(n int) *tensors.Tensor {
	labels := make([]int32, n)
	for i := range labels {
		labels[i] = int32(i * 7 % 10)
	}
	return tensors.FromFlatDataAndDimensions(labels, n)
}

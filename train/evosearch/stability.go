package evosearch

import (
	"context"
	"fmt"
	"math"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/zoo"
)

// StabilityTest says whether the gradient of a network stays bounded when its kernels are changed on purpose to make it large: 100 steps of
// gradient ascent on log |dL/dkernels|, by Adam at a rate of 0.01, on one batch of 32 digits. A norm above 1e8, or none, fails.
// The paper gives the steps and the bound; how it climbs is not said there.
func StabilityTest(ctx context.Context, e *engine.Engine, network zoo.Network, seed uint64) (bool, error) {
	const steps, bound, batch = 100, 1e8, 32
	ds, err := data.Open("optdigits", "train")
	if err != nil {
		return false, err
	}
	size := ds.Info().Size()
	x, labels := make([]float32, batch*size), make([]int32, batch)
	for i := range batch {
		if err := ds.Read(i, x[i*size:(i+1)*size]); err != nil {
			return false, err
		}
		labels[i] = ds.Label(i)
	}
	store := model.NewStore()
	defer store.Finalize()
	param.Seed(store, seed)
	o := optim.NewAdamW()
	o.LR, o.WeightDecay = 0.01, 0
	exec, err := model.NewExec(e.Backend, store, func(scope *model.Scope, x, labels *Node) *Node {
		g := x.Graph()
		store.SetTraining(g, true)
		l := loss.Mean(loss.CrossEntropy{}.Of(labels, network.Apply(scope.In("model"), x)), nil)
		var kernels []*model.Variable
		var values []*Node
		for v := range store.IterVariables() {
			if v.Trainable && param.Of(v) == param.Kernel {
				kernels, values = append(kernels, v), append(values, v.NodeValue(g))
			}
		}
		square := ScalarZero(g, l.DType())
		for _, gradient := range Gradient(l, values...) {
			square = Add(square, ReduceAllSum(Square(gradient)))
		}
		optim.Minimizer{Optimizer: o}.Step(scope.In("optimizer"), MulScalar(Log(AddScalar(square, 1e-30)), -0.5), kernels)
		return Sqrt(square)
	})
	if err != nil {
		return false, fmt.Errorf("evosearch: %w", err)
	}
	defer exec.Finalize()
	input := tensors.FromFlatDataAndDimensions(x, append([]int{batch}, ds.Info().Shape...)...)
	target := tensors.FromFlatDataAndDimensions(labels, batch)
	for range steps {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		out, err := exec.Call(input, target)
		if err != nil {
			return false, fmt.Errorf("evosearch: %w", err)
		}
		if norm := float64(tensors.ToScalar[float32](out[0])); math.IsNaN(norm) || norm > bound {
			return false, nil
		}
	}
	return true, nil
}

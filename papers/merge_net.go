package papers

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/merge"
	"github.com/ballast-ml/ballast/merge/tuned"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/zoo"
)

// mergeNet is a network of the papers on merging: weights go in and out of one compiled model.
type mergeNet struct {
	at     Place
	bundle *bundle.Bundle
}

func newMergeNet(at Place, network zoo.Network, shape []int, seed uint64) (*mergeNet, error) {
	labels := make([]string, network.Outputs())
	for i := range labels {
		labels[i] = fmt.Sprint(i)
	}
	b := &bundle.Bundle{Manifest: bundle.NewManifest(zoo.Choice{Network: network}, shape, labels), Store: model.NewStore()}
	param.Seed(b.Store, seed)
	return &mergeNet{at: at, bundle: b}, b.Declare(at.Engine.Backend)
}

func (n *mergeNet) close() { n.bundle.Store.Finalize() }

// step is what one update takes.
type step func(scope *model.Scope, inputs []*graph.Node) *graph.Node

// crossEntropyStep is the mean cross-entropy of examples and labels.
func (n *mergeNet) crossEntropyStep(scope *model.Scope, inputs []*graph.Node) *graph.Node {
	return loss.Mean(loss.CrossEntropy{}.Of(inputs[1], n.bundle.Logits(scope, inputs[0])), nil)
}

// train moves a copy of the weights start, nil for those that the network has, by updates updates on what inputs gives for each, and
// returns where they end. The optimizer starts anew.
func (n *mergeNet) train(ctx context.Context, start merge.Weights, o optim.Optimizer, updates int, objective step, inputs func(update int) []*tensors.Tensor) (merge.Weights, error) {
	own, err := tuned.Clone(n.bundle, n.at.Engine)
	if err != nil {
		return nil, err
	}
	defer own.Store.Finalize()
	if start != nil {
		if err := tuned.Set(own, start); err != nil {
			return nil, err
		}
	}
	variables := own.Variables()
	minimizer := optim.Minimizer{Optimizer: o}
	exec, err := model.NewExec(n.at.Engine.Backend, own.Store, func(scope *model.Scope, all []*graph.Node) *graph.Node {
		scope.Store().SetTraining(all[0].Graph(), true)
		value := objective(scope, all)
		minimizer.Step(scope.In("optimizer"), value, variables)
		return value
	})
	if err != nil {
		return nil, err
	}
	defer exec.Finalize()
	for u := range updates {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var args []any
		for _, t := range inputs(u) {
			args = append(args, t)
		}
		if _, err := exec.Call(args...); err != nil {
			return nil, err
		}
	}
	return tuned.Weights(own)
}

// classify trains on examples for some epochs, in a new order in each, with noise of a standard deviation on every pixel.
func (n *mergeNet) classify(ctx context.Context, start merge.Weights, o optim.Optimizer, x tuned.Examples, epochs, batch int, noise float64, r *rand.Rand) (merge.Weights, error) {
	perEpoch := (x.Len() + batch - 1) / batch
	var order []int32
	return n.train(ctx, start, o, epochs*perEpoch, n.crossEntropyStep, func(update int) []*tensors.Tensor {
		at := update % perEpoch
		if at == 0 {
			order = shuffled(x.Len(), r)
		}
		part := x.At(order[at*batch : min((at+1)*batch, x.Len())])
		addNoise(part.X, noise, r)
		return tuned.Batch(n.bundle, part)
	})
}

func shuffled(n int, r *rand.Rand) []int32 {
	order := make([]int32, n)
	for i, p := range r.Perm(n) {
		order[i] = int32(p)
	}
	return order
}

func addNoise(x []float32, sigma float64, r *rand.Rand) {
	if sigma == 0 {
		return
	}
	for i := range x {
		x[i] += float32(sigma * r.NormFloat64())
	}
}

// plainAdamW is AdamW as PyTorch has it, with decay on every parameter.
func plainAdamW(lr, decay float64) optim.Optimizer {
	o := optim.NewAdamW()
	o.LR, o.WeightDecay, o.Decay = lr, decay, []string{"all"}
	return o
}

// least is the smallest value over seeds of a metric of an arm.
func (m Measured) least(arm, metric string) float64 {
	m.Mean(arm, metric) // says what was not measured
	values := m[arm][metric]
	low := values[0]
	for _, v := range values {
		low = min(low, v)
	}
	return low
}

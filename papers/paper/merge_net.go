package paper

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/merge/tuned"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/zoo"
)

// MergeNet is a network of the papers on merging: weights go in and out of one compiled model.
type MergeNet struct {
	At     Place
	Bundle *bundle.Bundle
}

// NewMergeNet declares the network on the engine of a place, with first weights of the seed.
func NewMergeNet(at Place, network zoo.Network, shape []int, seed uint64) (*MergeNet, error) {
	labels := make([]string, network.Outputs())
	for i := range labels {
		labels[i] = fmt.Sprint(i)
	}
	b := &bundle.Bundle{Manifest: bundle.NewManifest(zoo.Choice{Network: network}, shape, labels), Store: model.NewStore()}
	param.Seed(b.Store, seed)
	return &MergeNet{At: at, Bundle: b}, b.Declare(at.Engine.Backend)
}

// Close frees the weights.
func (n *MergeNet) Close() { n.Bundle.Store.Finalize() }

// Step is what one update takes.
type Step func(scope *model.Scope, inputs []*graph.Node) *graph.Node

// CrossEntropyStep is the mean cross-entropy of examples and labels.
func (n *MergeNet) CrossEntropyStep(scope *model.Scope, inputs []*graph.Node) *graph.Node {
	return loss.Mean(loss.CrossEntropy{}.Of(inputs[1], n.Bundle.Logits(scope, inputs[0])), nil)
}

// Train moves a copy of the weights start, nil for those that the network has, by updates updates on what inputs gives for each, and
// returns where they end. The optimizer starts anew.
func (n *MergeNet) Train(ctx context.Context, start weights.Set, o optim.Optimizer, updates int, objective Step, inputs func(update int) []*tensors.Tensor) (weights.Set, error) {
	own, err := n.Bundle.Clone(n.At.Engine.Backend)
	if err != nil {
		return nil, err
	}
	defer own.Store.Finalize()
	if start != nil {
		if err := own.SetWeights(start); err != nil {
			return nil, err
		}
	}
	variables := own.Variables()
	minimizer := optim.Minimizer{Optimizer: o}
	exec, err := model.NewExec(n.At.Engine.Backend, own.Store, func(scope *model.Scope, all []*graph.Node) *graph.Node {
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
	return own.Weights()
}

// Classify trains on examples for some epochs, in a new order in each, with noise of a standard deviation on every pixel.
func (n *MergeNet) Classify(ctx context.Context, start weights.Set, o optim.Optimizer, x tuned.Examples, epochs, batch int, noise float64, r *rand.Rand) (weights.Set, error) {
	perEpoch := (x.Len() + batch - 1) / batch
	var order []int32
	return n.Train(ctx, start, o, epochs*perEpoch, n.CrossEntropyStep, func(update int) []*tensors.Tensor {
		at := update % perEpoch
		if at == 0 {
			order = Shuffled(x.Len(), r)
		}
		part := x.At(order[at*batch : min((at+1)*batch, x.Len())])
		AddNoise(part.X, noise, r)
		return tuned.Batch(n.Bundle, part)
	})
}

// Scorers measure on each part; done closes them.
func (n *MergeNet) Scorers(parts map[string]tuned.Examples) (scorers map[string]*tuned.Scorer, done func(), err error) {
	scorers = map[string]*tuned.Scorer{}
	done = func() {
		for _, s := range scorers {
			s.Close()
		}
	}
	for name, x := range parts {
		scorer, err := tuned.NewScorer(n.Bundle, n.At.Engine, x)
		if err != nil {
			done()
			return nil, nil, err
		}
		scorers[name] = scorer
	}
	return scorers, done, nil
}

// Shuffled is 0 to n-1 in an order drawn from r.
func Shuffled(n int, r *rand.Rand) []int32 {
	order := make([]int32, n)
	for i, p := range r.Perm(n) {
		order[i] = int32(p)
	}
	return order
}

// AddNoise adds normal noise of the standard deviation sigma, in place.
func AddNoise(x []float32, sigma float64, r *rand.Rand) {
	if sigma == 0 {
		return
	}
	for i := range x {
		x[i] += float32(sigma * r.NormFloat64())
	}
}

// PlainAdamW is AdamW as PyTorch has it, with decay on every parameter.
func PlainAdamW(lr, decay float64) optim.Optimizer {
	o := optim.NewAdamW()
	o.LR, o.WeightDecay, o.Decay = lr, decay, []string{"all"}
	return o
}

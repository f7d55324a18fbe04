package batchformer

import (
	"context"
	"fmt"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/ops"
	"github.com/ballast-ml/ballast/papers/paper"
	"github.com/ballast-ml/ballast/train/objective"
	"github.com/ballast-ml/ballast/train/update"
	"github.com/ballast-ml/ballast/zoo"
)

// reach asks how far the loss of one example reaches: which of a batch get a gradient of it.
type reach struct {
	Batch int  `json:"batch"` // examples, the first of which has a loss
	Layer bool `json:"layer"` // the layer stands between features and head
}

// run measures with the first weights of a seed.
func (r reach) run(_ context.Context, at paper.Place) (map[string]float64, error) {
	got, err := r.gradients(at.Engine, at.Seed)
	if err != nil {
		return nil, err
	}
	whole, others, least := 0.0, 0.0, float64(got[0])
	for i, v := range got {
		whole += float64(v)
		if i > 0 {
			others += float64(v)
			least = min(least, float64(v))
		}
	}
	return map[string]float64{"others": others / whole, "least": least}, nil
}

// gradients are, for each example, the sum of |d loss_0 / d x|.
func (r reach) gradients(e *engine.Engine, seed uint64) ([]float32, error) {
	set, err := data.Open("optdigits", "test")
	if err != nil {
		return nil, err
	}
	info := set.Info()
	x, labels := make([]float32, r.Batch*info.Size()), make([]int32, r.Batch)
	for i := range r.Batch {
		labels[i] = set.Label(i)
		if err := set.Read(i, x[i*info.Size():(i+1)*info.Size()]); err != nil {
			return nil, err
		}
	}

	network := zoo.NewMLP()
	network.Hidden, network.Norm = []int{128, 64}, norm.Choice{Layer: norm.Identity{}}
	o := objective.NewSupervised()
	o.Loss = loss.Choice{Loss: loss.BalancedSoftmax{}}
	if r.Layer {
		o.Between = objective.BetweenChoice{Between: objective.NewBatchFormer()}
	}
	store := model.NewStore()
	param.Seed(store, seed)
	exec, err := model.NewExec(e.Backend, store, func(scope *model.Scope, x, labels *Node) *Node {
		g := x.Graph()
		store.SetTraining(g, true)
		first := make([]float32, r.Batch)
		first[0] = 1
		share := Const(g, first)
		counts := make([]int, len(info.Classes))
		for k := range counts {
			counts[k] = k + 1
		}
		step := &update.Step{Scope: scope, Update: Const(g, int32(0)), Batches: map[string]update.Batch{
			update.Train: {X: x, Views: []*Node{x}, Labels: labels, Share: share, Push: share, Examples: r.Batch, Counts: counts},
		}}
		step.SetRandom(ops.NewRandom(g, seed), 1)
		goals := o.Phases(update.Plan{Network: network})[0].Turns[0].Build(step)
		return ReduceSum(Abs(Gradient(goals[0].Terms[0].Value, x)[0]), 1, 2, 3)
	})
	if err != nil {
		return nil, fmt.Errorf("papers: batchformer: %w", err)
	}
	defer exec.Finalize()
	out, err := exec.Call(tensors.FromFlatDataAndDimensions(x, append([]int{r.Batch}, info.Shape...)...), labels)
	if err != nil {
		return nil, fmt.Errorf("papers: batchformer: %w", err)
	}
	return tensors.CopyFlatData[float32](out[0])
}

package tuned

import (
	"context"
	"fmt"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/zoo"
)

// Recalibrate estimates the running statistics of a network's batch norms again: the mean over batches of the statistics of each, all
// batches alike (a cumulative average), as they are in training. It returns all weights; only the statistics are new.
// batch is the size of a batch, at least 2; most bounds their number, 0 = all whole batches of the data set. A network whose norm
// is not batch normalisation is an error.
func Recalibrate(ctx context.Context, b *bundle.Bundle, e *engine.Engine, w weights.Set, ds data.Dataset, batch, most int) (weights.Set, error) {
	foldable, ok := b.Manifest.Network.Network.(zoo.Foldable)
	if !ok {
		return nil, fmt.Errorf("tuned: network %s has no batch normalisation whose statistics can be estimated again", zoo.Name(b.Manifest.Network.Network))
	}
	layer, ok := foldable.NormLayer().(norm.Batch)
	if !ok {
		return nil, fmt.Errorf("tuned: norm %s has no statistics that can be estimated again; batch has", norm.Name(foldable.NormLayer()))
	}
	if batch < 2 || ds.Len() < batch {
		return nil, fmt.Errorf("tuned: batches of %d of %d examples; use at least 2, and no more than there are", batch, ds.Len())
	}
	layer.Momentum = 1 // the running values become those of the batch, and can be read off
	watching := &bundle.Bundle{Manifest: b.Manifest, Store: model.NewStore()}
	watching.Manifest.Network = zoo.Choice{Network: b.Manifest.Network.WithNorm(layer)}
	defer watching.Store.Finalize()
	if err := watching.Declare(e.Backend); err != nil {
		return nil, err
	}
	if err := watching.SetWeights(w); err != nil {
		return nil, err
	}
	exec, err := model.NewExec(e.Backend, watching.Store, func(scope *model.Scope, x *graph.Node) *graph.Node {
		scope.Store().SetTraining(x.Graph(), true)
		return graph.ReduceAllSum(watching.Logits(scope, x))
	})
	if err != nil {
		return nil, fmt.Errorf("tuned: %w", err)
	}
	defer exec.Finalize()
	sums := map[string][]float64{}
	n := 0
	shape := append([]int{batch}, b.Manifest.InputShape...)
	err = eachBatch(ctx, ds, batch, most, func(part data.Batch) error {
		if _, err := exec.Call(tensors.FromFlatDataAndDimensions(part.X, shape...)); err != nil {
			return fmt.Errorf("tuned: %w", err)
		}
		now, err := watching.Weights()
		if err != nil {
			return err
		}
		n++
		for i, t := range now {
			if sums[t.Name] == nil {
				sums[t.Name] = make([]float64, len(t.Values))
			}
			for j, v := range now[i].Values {
				sums[t.Name][j] += float64(v)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := w.Clone()
	for i, t := range out {
		if !weights.IsStatistic(t.Name) {
			continue
		}
		for j := range t.Values {
			out[i].Values[j] = float32(sums[t.Name][j] / float64(n))
		}
	}
	return out, nil
}

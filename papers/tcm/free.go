package tcm

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/papers/paper"
)

// free is vectors without a network, which are moved by TCM alone.
type free struct {
	Classes int        `json:"classes"`
	Members int        `json:"members"` // of each class
	Dim     int        `json:"dim"`
	Spread  [2]float64 `json:"spread"` // standard deviation of the first class and of the last; those between are evenly spaced
	LR      float64    `json:"lr"`     // of Adam
	Steps   []int      `json:"steps"`  // updates after which it is measured, ascending
}

// measureFree is the experiment of the claim.
func measureFree(ctx context.Context, at paper.Place, f free) (map[string]float64, error) {
	return f.run(ctx, at)
}

// run returns the OPIS and the recall after each number of steps, and how both end beside how they began.
func (f free) run(ctx context.Context, at paper.Place) (map[string]float64, error) {
	vectors, labels := f.draw(at.Seed)
	store := model.NewStore()
	defer store.Finalize()
	v, err := store.CreateVariable("/vectors", tensors.FromFlatDataAndDimensions(vectors, len(labels), f.Dim))
	if err != nil {
		return nil, err
	}

	optimizer := optim.NewAdamW()
	optimizer.LR, optimizer.WeightDecay = f.LR, 0
	minimizer := optim.Minimizer{Optimizer: optimizer}
	update, err := model.NewExec(at.Engine.Backend, store, func(scope *model.Scope, labels *graph.Node) *graph.Node {
		l := loss.NewTCM().Apply(nil, loss.In{Features: []*graph.Node{v.NodeValue(labels.Graph())}, Labels: labels})
		minimizer.Step(scope.In("optimizer"), l, []*model.Variable{v})
		return l
	})
	if err != nil {
		return nil, err
	}
	defer update.Finalize()

	metrics := map[string]float64{}
	for step := 0; step <= slices.Max(f.Steps); step++ {
		if step > 0 {
			if _, err := update.Call(tensors.FromFlatDataAndDimensions(labels, len(labels))); err != nil {
				return nil, err
			}
		}
		if slices.Contains(f.Steps, step) {
			if err := f.measure(metrics, step, v, labels); err != nil {
				return nil, err
			}
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	first, last := f.Steps[0], f.Steps[len(f.Steps)-1]
	metrics["opis_shrinks"] = metrics[after("opis", first)] / metrics[after("opis", last)]
	metrics["recall_gain"] = metrics[after("recall", last)] - metrics[after("recall", first)]
	return metrics, nil
}

// after is the name of a number after some steps.
func after(name string, step int) string { return fmt.Sprintf("%s_%d", name, step) }

// draw returns classes of vectors around centres from N(0, I).
func (f free) draw(seed uint64) (vectors []float32, labels []int32) {
	r := rand.New(rand.NewPCG(seed, 0x74636d))
	for c := range f.Classes {
		center := make([]float64, f.Dim)
		for k := range center {
			center[k] = r.NormFloat64()
		}
		spread := f.Spread[0] + (f.Spread[1]-f.Spread[0])*float64(c)/float64(max(f.Classes-1, 1))
		for range f.Members {
			for _, x := range center {
				vectors = append(vectors, float32(x+spread*r.NormFloat64()))
			}
			labels = append(labels, int32(c))
		}
	}
	return vectors, labels
}

// measure adds the numbers after some steps.
func (f free) measure(metrics map[string]float64, step int, v *model.Variable, labels []int32) error {
	value, err := v.Value()
	if err != nil {
		return err
	}
	vectors, err := tensors.CopyFlatData[float32](value)
	if err != nil {
		return err
	}
	found, err := metric.OPISOf(metric.NewOPIS(), vectors, labels, f.Dim)
	if err != nil {
		return err
	}
	retrieved, err := metric.Retrieve(vectors, labels, f.Dim, 1)
	if err != nil {
		return err
	}

	utility, n := 0.0, 0
	for _, curve := range found.Utility {
		for _, u := range curve {
			utility += u
			n++
		}
	}
	metrics[after("opis", step)], metrics[after("recall", step)] = found.OPIS, retrieved.Recall[0]
	metrics[after("utility", step)] = utility / float64(n)
	return nil
}

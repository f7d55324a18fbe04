package paper

import (
	"context"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/train"
	"github.com/ballast-ml/ballast/zoo"
)

// TuneRecipe is what the papers on merging train and fine-tune by: the loss of each example as it is, in whole batches, at a constant rate.
// set names the data, which are given to train.Open.
func TuneRecipe(set string, network zoo.Network, o optim.Optimizer, batch int) train.Recipe {
	r := train.NewRecipe()
	r.Name, r.Data.Source, r.Test, r.Preprocess = set, data.Named(set), "", "none"
	r.Network.Network, r.Optimizer.Optimizer, r.BatchSize = network, o, batch
	r.Schedule.Name = "constant"
	return r
}

// Tune is one of many trainings that go through the programs of one loop.
type Tune struct {
	Seed    uint64       // of the order of the examples and of what is random in the graph, and of the weights where Start is nil
	Start   weights.Set  // where the weights begin; nil is where the seed has them
	Data    data.Dataset // what is learned; at most as many examples as the loop was opened with
	Rate    float64      // learning rate
	Updates int
}

// Run has the loop begin anew, makes the updates, and returns where the weights end.
func (t Tune) Run(ctx context.Context, l *train.Loop) (weights.Set, error) {
	if err := l.Begin(t.Seed); err != nil {
		return nil, err
	}
	if t.Start != nil {
		if err := l.Set(t.Start); err != nil {
			return nil, err
		}
	}
	if err := l.Data(ctx, t.Data); err != nil {
		return nil, err
	}
	if err := l.Rate(t.Rate); err != nil {
		return nil, err
	}

	if err := l.Updates(ctx, t.Updates); err != nil {
		return nil, err
	}
	return l.Weights()
}

// PlainAdamW is AdamW as PyTorch has it, with decay on every parameter.
func PlainAdamW(lr, decay float64) optim.Optimizer {
	o := optim.NewAdamW()
	o.LR, o.WeightDecay, o.Decay = lr, decay, []string{"all"}
	return o
}

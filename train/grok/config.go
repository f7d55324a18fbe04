package grok

import (
	"errors"
	"fmt"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/train"
	"github.com/ballast-ml/ballast/train/objective"
	"github.com/ballast-ml/ballast/zoo"
)

// Config says everything about one run. The network is
//
//	logits = norm(activation(dropout(x W1))) W2      x = the two numbers of a pair, one-hot, [2p]; no biases
//
// as zoo.TwoLayer has it. The loss is the mean over all pairs and logits of
// (logit - one-hot)^2, or the cross-entropy; the optimizer is AdamW with the decay decoupled, on all parameters: WeightDecay 15 at a rate of
// 0.01 takes 15 % off every weight at every step, and is right.
type Config struct {
	P       int     `json:"p"`              // a prime; 97
	Op      string  `json:"op"`             // add or mul
	Share   float64 `json:"alpha"`          // share of the pairs trained on; 0.5
	Noise   float64 `json:"noise"`          // share of these with wrong labels; 0.35
	Seed    uint64  `json:"seed"`           // of the order of pairs, the weights, batches and dropout
	Labels  uint64  `json:"labels"`         // of the wrong labels
	Neurons int     `json:"neurons"`        // 500
	Square  string  `json:"activation"`     // square or relu
	Norm    string  `json:"norm"`           // none, batch or layer, after the activation
	Dropout float64 `json:"dropout"`        // share of the sums before the activation put to 0; 0
	Loss    string  `json:"loss"`           // mse or cross-entropy
	LR      float64 `json:"lr"`             // 0.01
	Beta1   float64 `json:"beta1"`          // 0.9
	Beta2   float64 `json:"beta2"`          // 0.98
	Epsilon float64 `json:"eps"`            // 1e-8
	Decay   float64 `json:"wd"`             // 5
	Batch   int     `json:"batch"`          // pairs an update; 0 = all
	Steps   int     `json:"steps"`          // updates; 300
	Every   int     `json:"evaluate_every"` // updates between two measurements; 10
}

// NewConfig returns the paper's setting with a weight decay of 5.
func NewConfig() Config {
	return Config{
		P: 97, Op: "add", Share: 0.5, Noise: 0.35, Seed: 1, Labels: 1, Neurons: 500, Square: "square", Norm: "none", Loss: "mse",
		LR: 0.01, Beta1: 0.9, Beta2: 0.98, Epsilon: 1e-8, Decay: 5, Steps: 300, Every: 10,
	}
}

// Validate says what is wrong with the configuration, and how to fix it.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, key string, got any, fix string) {
		if !ok {
			errs = append(errs, fmt.Errorf("grok: %s is %v; %s", key, got, fix))
		}
	}
	if _, err := NewDataset(c.P, c.Op, c.Share, c.Noise, c.Seed, c.Labels); err != nil {
		errs = append(errs, err)
	}
	check(c.Neurons >= 1, "neurons", c.Neurons, "use at least 1")
	check(c.Square == "square" || c.Square == "relu", "activation", c.Square, "use square or relu")
	check(c.Norm == "none" || c.Norm == "batch" || c.Norm == "layer", "norm", c.Norm, "use none, batch or layer")
	check(c.Loss == "mse" || c.Loss == "cross-entropy", "loss", c.Loss, "use mse or cross-entropy")
	check(c.Dropout >= 0 && c.Dropout < 1, "dropout", c.Dropout, "use a share from 0 to below 1")
	check(c.LR > 0, "lr", c.LR, "use a number above 0")
	check(c.Beta1 >= 0 && c.Beta1 < 1, "beta1", c.Beta1, "use a number from 0 to below 1")
	check(c.Beta2 >= 0 && c.Beta2 < 1, "beta2", c.Beta2, "use a number from 0 to below 1")
	check(c.Epsilon > 0, "eps", c.Epsilon, "use a number above 0")
	check(c.Decay >= 0, "wd", c.Decay, "use 0 or more")
	check(c.Batch >= 0, "batch", c.Batch, "use 0 for all pairs at once")
	check(c.Steps >= 1, "steps", c.Steps, "use at least 1")
	check(c.Every >= 1, "evaluate_every", c.Every, "use at least 1")
	return errors.Join(errs...)
}

// Recipe is the configuration as a recipe, for a number of training pairs.
func (c Config) Recipe(pairs int) train.Recipe {
	r := train.NewRecipe()
	r.Name, r.Data.Source, r.Test, r.Preprocess = "grokking", data.Named("modular-arithmetic"), "", "none"
	r.Network.Network = c.Network()
	r.Seed, r.Steps, r.BatchSize, r.LogEvery, r.EvaluateEvery = c.Seed, c.Steps, c.size(pairs), c.Every, 0
	o := optim.NewAdamW()
	o.LR, o.Beta1, o.Beta2, o.Epsilon, o.WeightDecay, o.Decay = c.LR, c.Beta1, c.Beta2, c.Epsilon, c.Decay, []string{"all"}
	r.Optimizer.Optimizer = o
	r.Schedule.Name = "constant"
	supervised := objective.NewSupervised()
	supervised.Loss.Loss = c.loss()
	r.Objective.Objective = supervised
	r.Checkpoint = train.Checkpoint{EverySteps: c.Every, KeepLast: 1}
	return r
}

// Network is the network.
func (c Config) Network() zoo.TwoLayer {
	n := zoo.NewTwoLayer()
	n.Units, n.Classes, n.Activation, n.Dropout = c.Neurons, c.P, linear.Named(c.Square), c.Dropout
	switch c.Norm {
	case "batch":
		n.Norm.Layer = norm.NewBatch()
	case "layer":
		n.Norm.Layer = norm.NewLayerNorm(-1)
	}
	return n
}

// loss is that of the training.
func (c Config) loss() loss.Loss {
	if c.Loss == "cross-entropy" {
		return loss.CrossEntropy{}
	}
	return loss.MSE{}
}

// size is how many pairs an update takes.
func (c Config) size(train int) int {
	if c.Batch == 0 || c.Batch > train {
		return train
	}
	return c.Batch
}

// Logits are those of the network, [pairs, p], for pairs of numbers m and n [pairs].
func (c Config) Logits(scope *model.Scope, m, n *Node) *Node {
	oneHot := func(v *Node) *Node { return OneHot(v, c.P, dtypes.Float32) }
	return c.Network().Apply(scope, Concatenate([]*Node{oneHot(m), oneHot(n)}, -1))
}

// Objective is the loss, a scalar, of logits [pairs, p] for labels [pairs].
func (c Config) Objective(logits, labels *Node) *Node {
	in := loss.In{Out: logits, Labels: labels}
	if c.Loss != "cross-entropy" {
		in.Targets = OneHot(labels, c.P, dtypes.Float32)
	}
	return loss.Mean(c.loss().Apply(nil, in), nil)
}

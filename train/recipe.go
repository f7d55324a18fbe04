package train

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/zoo"
)

// Recipe says everything about one training run: the same recipe, engine and version give the same weights, bit for bit.
// It is the YAML file of "ballast train", the record in the run folder and the provenance in the bundle. Start from NewRecipe.
type Recipe struct {
	Name string `json:"name"` // what to call the model
	Data string `json:"data"` // data set, as in "ballast data list"; optdigits
	Part string `json:"part"` // part to train on: train or all
	Test string `json:"test"` // part to measure on at the end: test; "" measures nothing

	Subset     int        `json:"subset"`          // train on this many examples, drawn with the seed, as many of each class; 0 = all
	Validation Validation `json:"validation"`      // examples kept aside to watch the training
	Preprocess string     `json:"preprocess"`      // standardize (per channel, from the training examples) or none
	LabelNoise LabelNoise `json:"label_noise"`     // wrong labels put in on purpose
	Weights    string     `json:"example_weights"` // .npy file with one weight per training example, by which its loss is multiplied; "" = all 1

	Network zoo.Choice   `json:"network"` // architecture and its options
	Norm    *norm.Choice `json:"norm"`    // replaces the network's own norm; null keeps it

	Seed      uint64 `json:"seed"`       // of everything random: weights, order, noise
	Epochs    int    `json:"epochs"`     // passes over the data; 5
	Steps     int    `json:"steps"`      // updates in all; above 0 it decides instead of epochs
	Examples  int    `json:"examples"`   // examples seen in all, whatever the batch size; above 0 it decides instead of epochs, and steps instead of it
	BatchSize int    `json:"batch_size"` // examples an update; 64
	DropLast  bool   `json:"drop_last"`  // leave out the last, smaller batch of an epoch; true

	Freeze     Freeze `json:"freeze"`      // what is trained
	NormInit   string `json:"norm_init"`   // first scales and offsets of norms: fixed (1, 0), oneone (1, 1), uniform (U(0,1), 0) or positivenegative (U(-1,1), 0); "" = the norm's own
	KernelInit string `json:"kernel_init"` // first kernels: binary, uniform or orthogonal; "" = the layer's own, He normal

	Optimizer  Optimizer  `json:"optimizer"`
	Schedule   Schedule   `json:"schedule"`
	ClipNorm   float64    `json:"clip_norm"`  // largest L2 norm of the whole gradient; 0 = no clipping
	Accumulate int        `json:"accumulate"` // micro-batches an update is computed in, one after the other, to save memory; 1
	EMA        EMA        `json:"ema"`
	Loss       Loss       `json:"loss"`
	LargeBatch LargeBatch `json:"large_batch"`
	Distance   Distance   `json:"distance"`

	SyncNorm      bool       `json:"sync_norm"` // on several devices, norms over the batch see all of it; false = each device's part by itself; true
	Checkpoint    Checkpoint `json:"checkpoint"`
	LogEvery      int        `json:"log_every"`      // steps between two logged losses; 50
	EvaluateEvery int        `json:"evaluate_every"` // epochs between two measurements on the validation examples; 1, 0 = none
}

// Validation keeps examples aside, as many of each class.
type Validation struct {
	Fraction float64 `json:"fraction"` // share of the training examples, [0, 1); 0
}

// LabelNoise replaces a share of the training labels by wrong ones.
type LabelNoise struct {
	Kind string  `json:"kind"` // symmetric (any other class) or pair (the next class)
	Rate float64 `json:"rate"` // share of the labels, [0, 1]; 0
	Seed uint64  `json:"seed"` // own seed, so that runs of different seeds can share one noisy set; 0 = the recipe's
}

// EMA averages the weights over the updates: average <- Decay average + (1 - Decay) weights, from the first weights on.
// Running statistics are averaged with them. The average is what is measured and saved.
type EMA struct {
	Decay float64 `json:"decay"` // [0, 1); 0 = off
}

// Loss is the cross-entropy.
type Loss struct {
	LabelSmoothing float64 `json:"label_smoothing"` // [0, 1); 0
}

// LargeBatch adapts a recipe that was made for small batches to batch_size.
type LargeBatch struct {
	Rule             Rule    `json:"rule"`              // how the learning rate grows with the batch: none, sqrt or linear
	SmallBatch       int     `json:"small_batch"`       // batch size the recipe was made for; 128
	RegimeAdaptation bool    `json:"regime_adaptation"` // as many updates as with the small batch: epochs and milestones x ceil(batch/small)
	GradientNoise    float64 `json:"gradient_noise"`    // sigma^2 of the multiplicative gradient noise; 0 = off, -1 = batch/small
}

// Distance watches how far the weights move from where they began.
type Distance struct {
	Points    int    `json:"points"`    // steps to measure at, evenly spaced in log(step); 0 = off, the paper's report takes 40
	From      int    `json:"from"`      // first step to measure at; 5
	Variables string `json:"variables"` // first (the first kernel of the network) or all (every trainable variable)
}

// Checkpoint says when the state is written, so that a run can go on after a crash.
type Checkpoint struct {
	EverySteps   int     `json:"every_steps"`   // 0 = not by steps
	EverySeconds float64 `json:"every_seconds"` // 0 = not by time; 300
	KeepLast     int     `json:"keep_last"`     // newest checkpoints kept; 2
	KeepBest     bool    `json:"keep_best"`     // also keep the one with the best validation accuracy
}

// NewRecipe returns the defaults: the small CNN on optdigits, SGD with momentum 0.9, 5 epochs in batches of 64, cosine schedule.
func NewRecipe() Recipe {
	return Recipe{
		Name:          "model",
		Data:          "optdigits",
		Part:          "train",
		Test:          "test",
		Preprocess:    "standardize",
		LabelNoise:    LabelNoise{Kind: "symmetric"},
		Network:       zoo.Choice{Network: zoo.NewCNN()},
		Seed:          1,
		Epochs:        5,
		BatchSize:     64,
		DropLast:      true,
		Freeze:        Freeze{Train: []string{"all"}},
		Optimizer:     NewOptimizer(),
		Schedule:      NewSchedule(),
		Accumulate:    1,
		LargeBatch:    LargeBatch{Rule: RuleNone, SmallBatch: 128},
		Distance:      Distance{From: 5, Variables: "first"},
		SyncNorm:      true,
		Checkpoint:    Checkpoint{EverySeconds: 300, KeepLast: 2, KeepBest: true},
		LogEvery:      50,
		EvaluateEvery: 1,
	}
}

// DecodeYAML reads a recipe over the defaults. An unknown key is an error that names the nearest known one.
func DecodeYAML(b []byte) (Recipe, error) {
	r := NewRecipe()
	if err := strict.DecodeYAML(b, &r); err != nil {
		return Recipe{}, err
	}
	return r, r.Validate()
}

// The limits of a recipe's numbers, beside those of its network. Updates are counted in 32 bits, and so is what is compared with them.
const (
	maxCount  = math.MaxInt32
	maxPoints = 100_000 // of the distance monitor; each stays in every checkpoint. The paper's report takes 40
)

// MaxRecipe is the most bytes of a recipe file that are read.
const MaxRecipe = strict.MaxYAML

// Validate says what is wrong with the recipe, and how to fix it.
func (r Recipe) Validate() error {
	var errs []error
	check := func(ok bool, key string, got any, fix string) {
		if !ok {
			errs = append(errs, fmt.Errorf("recipe: %s is %s; %s", key, strict.Short(fmt.Sprint(got)), fix))
		}
	}
	fraction := func(v float64) bool { return v >= 0 && v < 1 }
	check(r.Data != "", "data", `""`, `name a data set; see "ballast data list"`)
	check(r.Part == "train" || r.Part == "all", "part", r.Part, "use train or all")
	check(r.Test == "" || r.Test == "test" || r.Test == "train" || r.Test == "all", "test", r.Test, `use test, or "" to measure nothing`)
	check(r.Subset >= 0, "subset", r.Subset, "use 0 for all examples")
	check(fraction(r.Validation.Fraction), "validation.fraction", r.Validation.Fraction, "use a share from 0 to below 1")
	check(r.Preprocess == "standardize" || r.Preprocess == "none", "preprocess", r.Preprocess, "use standardize or none")
	check(r.LabelNoise.Kind == "symmetric" || r.LabelNoise.Kind == "pair", "label_noise.kind", r.LabelNoise.Kind, "use symmetric or pair")
	check(r.LabelNoise.Rate >= 0 && r.LabelNoise.Rate <= 1, "label_noise.rate", r.LabelNoise.Rate, "use a share from 0 to 1")
	for _, count := range []struct {
		key string
		n   int
	}{
		{"subset", r.Subset}, {"epochs", r.Epochs}, {"steps", r.Steps}, {"batch_size", r.BatchSize}, {"accumulate", r.Accumulate},
		{"large_batch.small_batch", r.LargeBatch.SmallBatch}, {"distance.from", r.Distance.From}, {"checkpoint.every_steps", r.Checkpoint.EverySteps},
		{"checkpoint.keep_last", r.Checkpoint.KeepLast}, {"log_every", r.LogEvery}, {"evaluate_every", r.EvaluateEvery}, {"schedule.warmup_steps", r.Schedule.WarmupSteps},
	} {
		check(count.n <= maxCount, count.key, count.n, fmt.Sprintf("use at most %d", maxCount))
	}
	check(r.Epochs >= 1 || r.Steps > 0 || r.Examples > 0, "epochs", r.Epochs, "use at least 1, or set steps or examples")
	check(r.Examples == 0 || r.Examples >= r.BatchSize, "examples", r.Examples, "use 0 to count by epochs, or at least one batch")
	check(r.Steps >= 0, "steps", r.Steps, "use 0 to count by epochs")
	check(r.BatchSize >= 1, "batch_size", r.BatchSize, "use at least 1")
	check(finite(r.ClipNorm) && r.ClipNorm >= 0, "clip_norm", r.ClipNorm, "use 0 for no clipping")
	check(r.Accumulate >= 1, "accumulate", r.Accumulate, "use 1 for no accumulation")
	check(r.Accumulate < 1 || r.BatchSize < 1 || r.BatchSize%r.Accumulate == 0, "accumulate", r.Accumulate,
		fmt.Sprintf("it must divide batch_size %d", r.BatchSize))
	check(r.DropLast || r.Accumulate == 1, "accumulate", r.Accumulate, "with drop_last=false the last batch cannot be split evenly; use drop_last=true or accumulate=1")
	check(fraction(r.EMA.Decay), "ema.decay", r.EMA.Decay, "use 0 for off, or for example 0.999")
	check(fraction(r.Loss.LabelSmoothing), "loss.label_smoothing", r.Loss.LabelSmoothing, "use a share from 0 to below 1")
	check(slices.Contains(rules, r.LargeBatch.Rule), "large_batch.rule", r.LargeBatch.Rule, "use none, sqrt or linear")
	check(r.LargeBatch.SmallBatch >= 1, "large_batch.small_batch", r.LargeBatch.SmallBatch, "use the batch size the recipe was made for")
	check(r.LargeBatch.GradientNoise == -1 || finite(r.LargeBatch.GradientNoise) && r.LargeBatch.GradientNoise >= 0,
		"large_batch.gradient_noise", r.LargeBatch.GradientNoise, "use 0 for off, -1 for batch/small_batch, or sigma^2")
	check(r.Distance.Points == 0 || r.Distance.Points >= 3, "distance.points", r.Distance.Points, "use 0 for off, or at least 3")
	check(r.Distance.Points <= maxPoints, "distance.points", r.Distance.Points, fmt.Sprintf("use at most %d", maxPoints))
	check(r.Distance.From >= 1, "distance.from", r.Distance.From, "use at least 1")
	check(r.Distance.Variables == "first" || r.Distance.Variables == "all", "distance.variables", r.Distance.Variables, "use first or all")
	check(r.Checkpoint.EverySteps >= 0, "checkpoint.every_steps", r.Checkpoint.EverySteps, "use 0 for off")
	check(finite(r.Checkpoint.EverySeconds) && r.Checkpoint.EverySeconds >= 0, "checkpoint.every_seconds", r.Checkpoint.EverySeconds, "use 0 for off")
	check(r.Checkpoint.KeepLast >= 1, "checkpoint.keep_last", r.Checkpoint.KeepLast, "keep at least 1")
	check(r.LogEvery >= 1, "log_every", r.LogEvery, "use at least 1")
	check(r.EvaluateEvery >= 0, "evaluate_every", r.EvaluateEvery, "use 0 for never")
	check(r.NormInit == "" || normInits[r.NormInit] != nil, "norm_init", r.NormInit, "use fixed, oneone, uniform or positivenegative")
	check(r.KernelInit == "" || kernelInits[r.KernelInit] != nil, "kernel_init", r.KernelInit, "use binary, uniform or orthogonal")
	if err := r.Freeze.Validate(); err != nil {
		errs = append(errs, err)
	}
	if err := r.Optimizer.Validate(); err != nil {
		errs = append(errs, err)
	}
	if err := r.Schedule.Validate(); err != nil {
		errs = append(errs, err)
	}
	if _, err := r.network(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// network is the network with the recipe's norm put in.
func (r Recipe) network() (zoo.Choice, error) {
	if r.Network.Network == nil {
		return zoo.Choice{}, errors.New("recipe: network is missing; name one, for example network: {name: mlp}")
	}
	n := r.Network.Network
	if r.Norm != nil && r.Norm.Layer != nil {
		if _, own := n.(zoo.OwnNorms); own {
			return zoo.Choice{}, fmt.Errorf("recipe: norm is %s, but network %s has norms of its own; leave norm out, or take another network", norm.Name(r.Norm.Layer), zoo.Name(n))
		}
		n = n.WithNorm(r.Norm.Layer)
	}
	if err := n.Validate(); err != nil {
		return zoo.Choice{}, fmt.Errorf("recipe: network: %w", err)
	}
	return zoo.Choice{Network: n}, nil
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

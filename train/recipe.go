package train

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/zoo"
)

// Recipe says everything about one training run: the same recipe, engine and version give the same weights, bit for bit.
// It is the YAML file of "ballast train", the record in the run folder and the provenance in the bundle. Start from NewRecipe.
type Recipe struct {
	Name string `json:"name"` // what to call the model
	Data string `json:"data"` // data set, as in "ballast data list"; optdigits
	Part string `json:"part"` // part to train on: train or all
	Test string `json:"test"` // part to measure on at the end: test; "" measures nothing

	Subset     int        `json:"subset"`      // train on this many examples, drawn with the seed, as many of each class; 0 = all
	Validation Validation `json:"validation"`  // examples kept aside to watch the training
	Preprocess string     `json:"preprocess"`  // standardize (per channel, from the training examples) or none
	LabelNoise LabelNoise `json:"label_noise"` // wrong labels put in on purpose
	Weigh      Weigh      `json:"weigh"`       // what each example counts

	Network zoo.Choice   `json:"network"` // architecture and its options
	Norm    *norm.Choice `json:"norm"`    // replaces the network's own norm; null keeps it

	Seed      uint64 `json:"seed"`       // of everything random: weights, order, noise
	Epochs    int    `json:"epochs"`     // passes over the data; 5
	Steps     int    `json:"steps"`      // updates in all; above 0 it decides instead of epochs
	Examples  int    `json:"examples"`   // examples seen in all, whatever the batch size; above 0 it decides instead of epochs, and steps instead of it
	BatchSize int    `json:"batch_size"` // examples an update; 64
	DropLast  bool   `json:"drop_last"`  // leave out the last, smaller batch of an epoch; true

	Freeze Freeze `json:"freeze"` // what is trained
	Init   Init   `json:"init"`   // first values, where the layers' own are not wanted

	Optimizer  optim.Choice          `json:"optimizer"`
	Schedule   optim.Schedule        `json:"schedule"`
	Rules      []optim.RuleChoice    `json:"rules"`      // between gradient and weights, in this order
	Accumulate int                   `json:"accumulate"` // micro-batches an update is computed in, one after the other, to save memory; 1
	Average    Average               `json:"average"`
	Loss       Loss                  `json:"loss"`
	Watch      []optim.WatcherChoice `json:"watch"` // measured on the way

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

// Weigh says what each example counts.
type Weigh struct {
	Examples      string  `json:"examples"`       // .npy file with one weight per training example, by which its loss is multiplied; "" = all 1
	GradientNoise float64 `json:"gradient_noise"` // sigma^2 of the multiplicative gradient noise; 0 = off, -1 = batch_size/schedule.large_batch.small_batch
}

// Init gives norms and kernels other first values than their layers do; the output layer keeps its own.
type Init struct {
	Norms   string `json:"norms"`   // scales and offsets: fixed (1, 0), oneone (1, 1), uniform (U(0,1), 0) or positivenegative (U(-1,1), 0); "" = the norm's own
	Kernels string `json:"kernels"` // binary, uniform or orthogonal; "" = the layer's own, He normal
}

// Average keeps an average of the weights over the updates: average <- Decay average + (1 - Decay) weights, from the first weights on.
// The average is what is measured and saved.
type Average struct {
	Decay      float64 `json:"decay"`      // [0, 1); 0 = off
	Statistics string  `json:"statistics"` // of norms: average (as the weights), copy (those of the network) or own (the averaged network collects its own); average
}

// Loss is the cross-entropy.
type Loss struct {
	LabelSmoothing float64 `json:"label_smoothing"` // [0, 1); 0
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
		Optimizer:     optim.Choice{Optimizer: optim.NewSGD()},
		Schedule:      optim.NewSchedule(),
		Rules:         []optim.RuleChoice{},
		Accumulate:    1,
		Average:       Average{Statistics: "average"},
		Watch:         []optim.WatcherChoice{},
		SyncNorm:      true,
		Checkpoint:    Checkpoint{EverySeconds: 300, KeepLast: 2, KeepBest: true},
		LogEvery:      50,
		EvaluateEvery: 1,
	}
}

// DecodeYAML reads a recipe over the defaults. An unknown key is an error that names the nearest known one.
func DecodeYAML(b []byte) (Recipe, error) {
	r := NewRecipe()
	m, err := strict.YAML(b)
	if err != nil {
		return Recipe{}, err
	}
	if err := CheckKeys(m); err != nil {
		return Recipe{}, err
	}
	if err := strict.DecodeMap(m, &r); err != nil {
		return Recipe{}, err
	}
	return r, r.Validate()
}

// The limits of a recipe's numbers, beside those of its network. Updates are counted in 32 bits, and so is what is compared with them.
const (
	maxCount = math.MaxInt32
	maxRules = 100 // of rules, and of watchers
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
		{"checkpoint.every_steps", r.Checkpoint.EverySteps}, {"checkpoint.keep_last", r.Checkpoint.KeepLast},
		{"log_every", r.LogEvery}, {"evaluate_every", r.EvaluateEvery},
	} {
		check(count.n <= maxCount, count.key, count.n, fmt.Sprintf("use at most %d", maxCount))
	}
	check(r.Epochs >= 1 || r.Steps > 0 || r.Examples > 0, "epochs", r.Epochs, "use at least 1, or set steps or examples")
	check(r.Examples == 0 || r.Examples >= r.BatchSize, "examples", r.Examples, "use 0 to count by epochs, or at least one batch")
	check(r.Steps >= 0, "steps", r.Steps, "use 0 to count by epochs")
	check(r.BatchSize >= 1, "batch_size", r.BatchSize, "use at least 1")
	check(r.Accumulate >= 1, "accumulate", r.Accumulate, "use 1 for no accumulation")
	check(r.Accumulate < 1 || r.BatchSize < 1 || r.BatchSize%r.Accumulate == 0, "accumulate", r.Accumulate,
		fmt.Sprintf("it must divide batch_size %d", r.BatchSize))
	check(r.DropLast || r.Accumulate == 1, "accumulate", r.Accumulate, "with drop_last=false the last batch cannot be split evenly; use drop_last=true or accumulate=1")
	check(fraction(r.Average.Decay), "average.decay", r.Average.Decay, "use 0 for off, or for example 0.999")
	check(slices.Contains([]string{"average", "copy", "own"}, r.Average.Statistics), "average.statistics", r.Average.Statistics, "use average, copy or own")
	check(fraction(r.Loss.LabelSmoothing), "loss.label_smoothing", r.Loss.LabelSmoothing, "use a share from 0 to below 1")
	check(r.Weigh.GradientNoise == -1 || finite(r.Weigh.GradientNoise) && r.Weigh.GradientNoise >= 0,
		"weigh.gradient_noise", r.Weigh.GradientNoise, "use 0 for off, -1 for batch/small_batch, or sigma^2")
	check(len(r.Rules) <= maxRules, "rules", len(r.Rules), fmt.Sprintf("use at most %d", maxRules))
	check(len(r.Watch) <= maxRules, "watch", len(r.Watch), fmt.Sprintf("use at most %d", maxRules))
	check(r.Checkpoint.EverySteps >= 0, "checkpoint.every_steps", r.Checkpoint.EverySteps, "use 0 for off")
	check(finite(r.Checkpoint.EverySeconds) && r.Checkpoint.EverySeconds >= 0, "checkpoint.every_seconds", r.Checkpoint.EverySeconds, "use 0 for off")
	check(r.Checkpoint.KeepLast >= 1, "checkpoint.keep_last", r.Checkpoint.KeepLast, "keep at least 1")
	check(r.LogEvery >= 1, "log_every", r.LogEvery, "use at least 1")
	check(r.EvaluateEvery >= 0, "evaluate_every", r.EvaluateEvery, "use 0 for never")
	check(r.Init.Norms == "" || normInits[r.Init.Norms] != nil, "init.norms", r.Init.Norms, "use fixed, oneone, uniform or positivenegative")
	check(r.Init.Kernels == "" || kernelInits[r.Init.Kernels] != nil, "init.kernels", r.Init.Kernels, "use binary, uniform or orthogonal")
	errs = append(errs, r.Freeze.Validate(), r.moving())
	_, err := r.network()
	return errors.Join(append(errs, err)...)
}

// moving says what is wrong with the values that move and watch the weights.
func (r Recipe) moving() error {
	var errs []error
	if r.Optimizer.Optimizer == nil {
		errs = append(errs, errors.New("recipe: optimizer is missing; name one, for example optimizer: {name: sgd}"))
	} else {
		errs = append(errs, r.Optimizer.Validate())
	}
	errs = append(errs, r.Schedule.Validate())
	for i, rule := range r.Rules[:min(len(r.Rules), maxRules)] {
		if rule.Rule == nil {
			errs = append(errs, fmt.Errorf("recipe: rules.%d is missing; name one, for example {name: clip-norm}", i))
			continue
		}
		errs = append(errs, rule.Validate())
	}
	names := map[string]bool{}
	for i, w := range r.Watch[:min(len(r.Watch), maxRules)] {
		if w.Watcher == nil {
			errs = append(errs, fmt.Errorf("recipe: watch.%d is missing; name one, for example {name: distance}", i))
			continue
		}
		for _, name := range w.Numbers() {
			if names[name] {
				errs = append(errs, fmt.Errorf("recipe: watch measures %s twice; leave one out", name))
			}
			names[name] = true
		}
		errs = append(errs, w.Validate())
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

package train

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/augment"
	"github.com/ballast-ml/ballast/data/sample"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/own"
	"github.com/ballast-ml/ballast/train/objective"
	"github.com/ballast-ml/ballast/train/update"
	"github.com/ballast-ml/ballast/zoo"
)

// Recipe says everything about one training run: the same recipe, engine and version give the same weights, bit for bit.
// It is the YAML file of "ballast train", the record in the run folder and the provenance in the bundle. Start from NewRecipe.
type Recipe struct {
	Name string      `json:"name"` // what to call the model
	Data data.Choice `json:"data"` // data set, as in "ballast data list"; optdigits
	Part string      `json:"part"` // part to train on: train or all
	Test string      `json:"test"` // part to measure on at the end: test; "" measures nothing

	Prepare    data.Steps        `json:"prepare"`    // what is done to the examples once, in this order: domains, pool, subset, long-tail, label-noise
	Validation Validation        `json:"validation"` // examples kept aside to watch the training
	Preprocess string            `json:"preprocess"` // standardize (per channel, from the training examples) or none
	Weigh      Weigh             `json:"weigh"`      // what each example counts
	Sampler    sample.Choice     `json:"sampler"`    // which examples an update sees; shuffle
	Views      []augment.View    `json:"views"`      // ways in which each example is drawn: a list of transforms for each view; none is the example as it is
	Streams    map[string]Stream `json:"streams"`    // examples beside those of data, by the names that the objective asks for

	Network zoo.Choice   `json:"network"` // architecture and its options
	Norm    *norm.Choice `json:"norm"`    // replaces the network's own norm; null keeps it

	Seed      uint64 `json:"seed"`       // of everything random: weights, order, noise
	Epochs    int    `json:"epochs"`     // passes over the data; 5
	Steps     int    `json:"steps"`      // updates in all; above 0 it decides instead of epochs
	Examples  int    `json:"examples"`   // examples seen in all, whatever the batch size; above 0 it decides instead of epochs, and steps instead of it
	BatchSize int    `json:"batch_size"` // examples per update; 64
	DropLast  bool   `json:"drop_last"`  // leave out the last, smaller batch of an epoch; true

	Freeze Freeze `json:"freeze"` // what is trained
	Init   Init   `json:"init"`   // first values, where the layers' own are not wanted

	Optimizer  optim.Choice          `json:"optimizer"`
	Schedule   optim.Schedule        `json:"schedule"`
	Rules      []optim.RuleChoice    `json:"rules"`      // between gradient and weights, in this order
	Accumulate int                   `json:"accumulate"` // micro-batches an update is computed in, one after the other, to save memory; 1
	Average    Average               `json:"average"`
	Objective  objective.Choice      `json:"objective"` // what an update minimises
	Watch      []optim.WatcherChoice `json:"watch"`     // measured on the way

	SyncNorm      bool       `json:"sync_norm"` // on several devices, norms over the batch see all of it; false = each device's part by itself; true
	Checkpoint    Checkpoint `json:"checkpoint"`
	LogEvery      int        `json:"log_every"`      // steps between two logged losses; 50
	EvaluateEvery int        `json:"evaluate_every"` // epochs between two measurements on the validation examples; 1, 0 = none
}

// Validation keeps examples aside, as many of each class.
type Validation struct {
	Fraction float64 `json:"fraction"` // share of the training examples, [0, 1); 0
}

// Stream is examples that an objective asks for beside those of data: unlabelled ones, a memory, another kind of image. It goes through
// its own set again and again while the run goes through data.
type Stream struct {
	Data    data.Choice    `json:"data"`    // data set; "" = that of the recipe, before anything is done to it
	Part    string         `json:"part"`    // train, test or all; train, which of the recipe's data is what the recipe trains on
	Batch   int            `json:"batch"`   // examples per update; 0 = batch_size
	Prepare data.Steps     `json:"prepare"` // what is done to the set once
	Sampler sample.Choice  `json:"sampler"` // shuffle
	Views   []augment.View `json:"views"`   // none
}

// NewStream returns the training examples of the recipe's data, in an order of their own.
func NewStream() Stream {
	return Stream{
		Data: data.Choice{Source: data.Named("")}, Part: "train", Prepare: data.Steps{},
		Sampler: sample.Choice{Sampler: sample.NewShuffle()}, Views: []augment.View{},
	}
}

// UnmarshalJSON reads a stream over the defaults.
func (s *Stream) UnmarshalJSON(b []byte) error { return s.UnmarshalOwn(b, nil) }

// UnmarshalOwn is UnmarshalJSON where names may be a program's own.
func (s *Stream) UnmarshalOwn(b []byte, r own.Registry) error {
	type plain Stream // without this method
	filled := plain(NewStream())
	if err := strict.DecodeOwn(b, &filled, r); err != nil {
		return err
	}
	*s = Stream(filled)
	return nil
}

// Weigh sets the weight of each example.
type Weigh struct {
	Examples      string  `json:"examples"`       // .npy file with one weight per training example, by which its loss is multiplied; "" = all 1
	GradientNoise float64 `json:"gradient_noise"` // sigma^2 of the multiplicative gradient noise; 0 = off, -1 = batch_size/schedule.large_batch.small_batch
}

// Init gives a network other first values than its layers do: those of a trained model, or norms and kernels others, which leaves the
// output layer its own unless they are those of PyTorch.
type Init struct {
	Norms   string `json:"norms"`   // scales and offsets: fixed (1, 0), oneone (1, 1), uniform (U(0,1), 0) or positivenegative (U(-1,1), 0); "" = the norm's own
	Kernels string `json:"kernels"` // binary, uniform or orthogonal; pytorch: U(-b, b), b = 1/sqrt(fan-in), of biases and the last layer too; "" = the layer's own, He normal

	// Model is a trained model of the same network, a folder or a name of data.ModelPath: fine-tuning begins with its weights and keeps its
	// standardisation. The last layer begins anew where the data have another number of classes.
	Model string `json:"model"`
}

// Average keeps an average of the weights over the updates: average <- Decay average + (1 - Decay) weights, from the first weights on.
// The average is what is measured and saved.
type Average struct {
	Decay      float64 `json:"decay"`      // [0, 1); 0 = off
	Statistics string  `json:"statistics"` // of norms: average (as the weights), copy (those of the network) or own (the averaged network collects its own); average
}

// Checkpoint says when the state is written, so that a run can resume after a crash.
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
		Data:          data.Choice{Source: data.Named("optdigits")},
		Part:          "train",
		Test:          "test",
		Preprocess:    "standardize",
		Prepare:       data.Steps{},
		Sampler:       sample.Choice{Sampler: sample.NewShuffle()},
		Views:         []augment.View{},
		Streams:       map[string]Stream{},
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
		Average:       Average{Statistics: update.StatisticsAverage},
		Objective:     objective.Choice{Objective: objective.NewSupervised()},
		Watch:         []optim.WatcherChoice{},
		SyncNorm:      true,
		Checkpoint:    Checkpoint{EverySeconds: 300, KeepLast: 2, KeepBest: true},
		LogEvery:      50,
		EvaluateEvery: 1,
	}
}

// DecodeYAML reads a recipe over the defaults. An unknown key is an error that names the nearest known one. mine is where the names of
// the program's own norms, losses and so on are looked up, see package own.
func DecodeYAML(b []byte, mine ...own.Registry) (Recipe, error) {
	r := NewRecipe()
	m, err := strict.Settings(b)
	if err != nil {
		return Recipe{}, err
	}
	if err := CheckKeys(m); err != nil {
		return Recipe{}, err
	}
	if err := strict.DecodeMapOwn(m, &r, own.Join(mine)); err != nil {
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

// Validate reports what is wrong with the recipe, and how to fix it.
func (r Recipe) Validate() error {
	var errs []error
	check := func(ok bool, key string, got any, fix string) {
		if !ok {
			errs = append(errs, fmt.Errorf("recipe: %s is %s; %s", key, strict.Short(fmt.Sprint(got)), fix))
		}
	}
	fraction := func(v float64) bool { return v >= 0 && v < 1 }

	check(r.Data.Source != nil && r.Data.Source != data.Named(""), "data", `""`, `name a data set; see "ballast data list"`)
	check(r.Part == "train" || r.Part == "all", "part", r.Part, "use train or all")
	check(r.Test == "" || r.Test == "test" || r.Test == "train" || r.Test == "all", "test", r.Test, `use test, or "" to measure nothing`)
	check(fraction(r.Validation.Fraction), "validation.fraction", r.Validation.Fraction, "use a share from 0 to below 1")
	check(r.Preprocess == "standardize" || r.Preprocess == "none", "preprocess", r.Preprocess, "use standardize or none")

	for _, count := range []struct {
		key string
		n   int
	}{
		{"epochs", r.Epochs}, {"steps", r.Steps}, {"batch_size", r.BatchSize}, {"accumulate", r.Accumulate},
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
	check(r.Average.Decay != 0 || r.Average.Statistics == update.StatisticsAverage || !slices.Contains([]string{"copy", "own"}, r.Average.Statistics),
		"average.statistics", r.Average.Statistics, "there is no average without average.decay, for example 0.999; set it, or leave statistics out")
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
	check(r.Init.Kernels == "" || r.Init.Kernels == pyTorch || kernelInits[r.Init.Kernels] != nil, "init.kernels", r.Init.Kernels,
		"use binary, uniform, orthogonal or pytorch")
	check(r.Init.Model == "" || r.Init.Norms == "" && r.Init.Kernels == "", "init.model", r.Init.Model,
		"it gives all first values; leave init.norms and init.kernels out")
	check(r.Objective.Objective != nil, "objective", "missing", "name one, for example supervised")

	errs = append(errs, r.Freeze.Validate(), r.moving(), r.feeding())
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

// feeding says what is wrong with the streams.
func (r Recipe) feeding() error {
	errs := []error{keyed("", r.Prepare.Validate()), sampled("", r.Sampler, r.Views)}
	if _, whole := r.Sampler.Sampler.(sample.Shuffle); !whole && !r.DropLast {
		errs = append(errs, fmt.Errorf("recipe: drop_last is false; sampler %s gives whole batches alone, so use drop_last: true", sample.Name(r.Sampler.Sampler)))
	}
	if len(r.Streams) > maxRules {
		return fmt.Errorf("recipe: there are %d streams; use at most %d", len(r.Streams), maxRules)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Streams)) {
		s, under := r.Streams[name], "streams."+strict.Short(name)+"."
		if name == update.Train || name == "" {
			errs = append(errs, fmt.Errorf("recipe: streams has %q; the examples of data are the stream train, so use another name", name))
		}
		if s.Part != "" && s.Part != "train" && s.Part != "test" && s.Part != "all" {
			errs = append(errs, fmt.Errorf("recipe: %spart is %s; use train, test or all", under, strict.Short(s.Part)))
		}
		if s.Batch < 0 || s.Batch > maxCount {
			errs = append(errs, fmt.Errorf("recipe: %sbatch is %d; use 0 for that of the recipe, and at most %d", under, s.Batch, maxCount))
		}
		errs = append(errs, keyed(under, s.Prepare.Validate()))
		if s.Sampler.Sampler != nil {
			errs = append(errs, sampled(under, s.Sampler, s.Views))
		}
	}
	return errors.Join(errs...)
}

// sampled says what is wrong with a sampler and views.
func sampled(under string, s sample.Choice, views []augment.View) error {
	if s.Sampler == nil {
		return fmt.Errorf("recipe: %ssampler is missing; name one, for example shuffle", under)
	}
	if len(views) > maxRules {
		return fmt.Errorf("recipe: %sviews has %d views; use at most %d", under, len(views), maxRules)
	}
	for _, v := range views {
		if err := v.Validate(); err != nil {
			return keyed(under, err)
		}
	}
	return nil
}

// keyed puts the place in the recipe in front of an error.
func keyed(under string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("recipe: %s%w", under, err)
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

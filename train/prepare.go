package train

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/sample"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/npy"
	"github.com/ballast-ml/ballast/train/update"
)

// material is what a run works on: training, validation and test examples.
type material struct {
	streams    []*stream    // the stream train first, the others by name
	validation data.Dataset // nil = none
	test       data.Dataset // nil = none
	checksum   string       // of the training examples and labels, and of the other streams
}

// train is the stream whose passes are the run's.
func (m material) train() *stream { return m.streams[0] }

// prepare opens the data sets and does to them what the recipe says: preparations, validation, weights.
func prepare(r Recipe, o Options) (material, error) {
	var m material
	set := o.Data
	if set == nil {
		opened, err := r.Data.Open(r.Part)
		if err != nil {
			return m, err
		}
		set = opened
	}
	var err error
	if m.test, err = testSet(r, o); err != nil {
		return m, err
	}
	weights, err := exampleWeights(r, o, set.Len())
	if err != nil {
		return m, err
	}

	p, err := r.Prepare.Examples(data.Begin(set, weights), r.Seed)
	if err != nil {
		return m, fmt.Errorf("train: %w", err)
	}
	if r.Validation.Fraction > 0 {
		rest, aside, err := data.Stratified(p.Labels, r.Validation.Fraction, r.Seed)
		if err != nil {
			return m, fmt.Errorf("train: validation: %w", err)
		}
		m.validation = p.Pick(aside).Set
		p = p.Pick(rest)
	}
	if p.Set.Len() == 0 {
		return m, &fault.Input{Err: errors.New("train: no training example is left; use a smaller validation.fraction or a larger subset")}
	}
	if p, err = r.Prepare.Training(p, r.Seed); err != nil {
		return m, fmt.Errorf("train: %w", err)
	}

	train := &stream{name: update.Train, examples: p, batch: r.BatchSize, sampler: r.Sampler.Sampler, views: r.Views, seed: r.Seed, capacity: p.Set.Len()}
	if err := train.check(); err != nil {
		return m, err
	}
	m.streams = []*stream{train}
	if err := m.others(r, o, set); err != nil {
		return m, err
	}
	m.checksum = m.sum()
	return m, nil
}

// others opens the streams beside the stream train.
func (m *material) others(r Recipe, o Options, train data.Dataset) error {
	for _, name := range slices.Sorted(maps.Keys(r.Streams)) {
		set, err := r.streamSet(name, o, train)
		if err != nil {
			return err
		}
		given := r.Streams[name]
		p := data.Begin(set, nil)
		for _, do := range []func(data.Prepared, uint64) (data.Prepared, error){given.Prepare.Examples, given.Prepare.Training} {
			if p, err = do(p, r.Seed); err != nil {
				return fmt.Errorf("train: stream %s: %w", name, err)
			}
		}

		s := &stream{name: name, examples: p, batch: given.Batch, sampler: given.Sampler.Sampler, views: given.Views, seed: streamSeed(r.Seed, name), capacity: p.Set.Len()}
		if s.batch == 0 {
			s.batch = r.BatchSize
		}
		if s.sampler == nil {
			s.sampler = sample.NewShuffle()
		}
		if err := s.check(); err != nil {
			return err
		}
		m.streams = append(m.streams, s)
	}
	return nil
}

// streamSet is the set of a stream: the caller's, the one the recipe names, or that of the run.
func (r Recipe) streamSet(name string, o Options, train data.Dataset) (data.Dataset, error) {
	if set, ok := o.Streams[name]; ok {
		return set, nil
	}
	given := r.Streams[name]
	part := given.Part
	if part == "" {
		part = "train"
	}
	source := given.Data
	if source.Source == nil || source.Source == data.Named("") {
		// That of the run, unless another part of it is asked for.
		if part == "train" || part == r.Part {
			return train, nil
		}
		if o.Data != nil {
			return nil, &fault.Usage{Err: fmt.Errorf("recipe: streams.%s.part is %s, and the data of the run are not opened by name; "+
				"name the stream's data, or leave part out", name, part)}
		}
		source = r.Data
	}
	set, err := source.Open(part)
	if err != nil {
		return nil, fmt.Errorf("train: stream %s: %w", name, err)
	}
	return set, nil
}

// testSet is what is measured on at the end, with what is done to all parts; nil for nothing.
func testSet(r Recipe, o Options) (data.Dataset, error) {
	set := o.Test
	if set == nil && r.Test != "" && o.Data == nil {
		opened, err := r.Data.Open(r.Test)
		if err != nil {
			return nil, err
		}
		// Folders and arrays have no parts: measuring on them would be measuring on the training examples.
		if set = opened; opened.Info().Part != r.Test {
			o.Remark(fmt.Sprintf("%s has no part %q, so nothing is measured on it; validation.fraction=0.1 keeps examples aside", r.Data, r.Test))
			return nil, nil
		}
	}
	if set == nil {
		return nil, nil
	}
	p, err := r.Prepare.All(data.Begin(set, nil), r.Seed)
	if err != nil {
		return nil, fmt.Errorf("train: the part that is tested on: %w", err)
	}
	return p.Set, nil
}

// exampleWeights are the caller's, or those of the recipe's file; nil for none.
func exampleWeights(r Recipe, o Options, examples int) ([]float32, error) {
	weights := o.Weights
	if weights == nil && r.Weigh.Examples != "" {
		read, err := readWeights(r.Weigh.Examples)
		if err != nil {
			return nil, err
		}
		weights = read
	}
	if weights == nil {
		return nil, nil
	}
	if len(weights) != examples {
		return nil, &fault.Input{Err: fmt.Errorf("train: got %d example weights for %d examples; give one each", len(weights), examples)}
	}
	for i, w := range weights {
		if !(w >= 0) || math.IsInf(float64(w), 0) {
			return nil, &fault.Input{Err: fmt.Errorf("train: the weight of example %d is %v; weights must be finite and at least 0", i, w)}
		}
	}
	return weights, nil
}

// readWeights reads one weight per example from a .npy file.
func readWeights(path string) ([]float32, error) {
	array, err := npy.Open(path)
	if err != nil {
		return nil, fmt.Errorf("train: weigh.examples: %w", err)
	}
	defer array.Close() //nolint:errcheck // only read
	if len(array.Shape) != 1 {
		return nil, &fault.Input{File: path, Err: fmt.Errorf("the shape is %v", array.Shape), Fix: "weigh.examples wants one number per training example, [examples]"}
	}
	weights, err := array.Float32s()
	if err != nil {
		return nil, fmt.Errorf("train: weigh.examples: %w", err)
	}
	return slices.Clone(weights), nil // they may be the mapping
}

// sum identifies what is trained on: the examples, as far as they are bytes or have a checksum of their own, and labels.
func (m material) sum() string {
	h := sha256.New()
	for _, s := range m.streams {
		set := s.examples.Set
		if raw := bytesOf(set); raw != nil {
			h.Write(raw)
		} else {
			h.Write([]byte(set.Info().Name + "\n" + set.Info().Checksum + "\n"))
		}
		_ = binary.Write(h, binary.LittleEndian, s.examples.Labels) // a hash takes every write
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// statisticsSample is how many examples the preprocessing is measured on; more change no digit that matters.
const statisticsSample = 10_000

// preprocess measures mean and standard deviation (1/n) of each channel, the last axis, over the training examples.
func preprocess(ctx context.Context, r Recipe, set data.Dataset) (bundle.Preprocess, error) {
	if r.Preprocess == "none" {
		return bundle.Preprocess{}, nil
	}
	if _, text := data.AsTokens(set); text {
		return bundle.Preprocess{}, &fault.Usage{Err: fmt.Errorf("recipe: preprocess is %s, and %s is a text, whose tokens cannot be; use preprocess: none", r.Preprocess, set.Info().Name)}
	}
	shape := set.Info().Shape
	channels, values := shape[len(shape)-1], volume(shape)
	n := min(set.Len(), statisticsSample)
	reader := data.NewReader(set, ascending(n), min(n, 256), runtime.GOMAXPROCS(0), false)
	defer reader.Close()
	sum, squares := make([]float64, channels), make([]float64, channels)
	for seen := 0; seen < n; {
		b, err := reader.Next(ctx)
		if err != nil {
			return bundle.Preprocess{}, fmt.Errorf("train: read the training set: %w", err)
		}
		for i, v := range b.X[:b.N*values] {
			sum[i%channels] += float64(v)
			squares[i%channels] += float64(v) * float64(v)
		}
		seen += b.N
		reader.Recycle(b)
	}
	count := float64(n * values / channels)
	p := bundle.Preprocess{Mean: make([]float64, channels), Std: make([]float64, channels)}
	for c := range channels {
		p.Mean[c] = sum[c] / count
		p.Std[c] = math.Sqrt(max(0, squares[c]/count-p.Mean[c]*p.Mean[c]))
		if !(p.Std[c] > 1e-6) { // a channel that never changes says nothing; leave its scale alone
			p.Std[c] = 1
		}
	}
	return p, nil
}

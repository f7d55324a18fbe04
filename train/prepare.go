package train

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"runtime"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/npy"
)

// material is what a run works on: training, validation and test examples.
type material struct {
	train      examples
	validation data.Dataset // nil = none
	test       data.Dataset // nil = none
	checksum   string       // of the training examples and labels
}

// prepare opens the data sets and does to the training set what the recipe says: subset, validation, label noise, weights.
func prepare(r Recipe, o Options) (material, error) {
	var m material
	set := o.Data
	if set == nil {
		opened, err := data.Open(r.Data, r.Part)
		if err != nil {
			return m, err
		}
		set = opened
	}
	m.test = o.Test
	if m.test == nil && r.Test != "" && o.Data == nil {
		opened, err := data.Open(r.Data, r.Test)
		if err != nil {
			return m, err
		}
		// Folders and arrays have no parts: measuring on them would be measuring on the training examples.
		if m.test = opened; opened.Info().Part != r.Test {
			m.test = nil
			o.Remark(fmt.Sprintf("%s has no part %q, so nothing is measured on it; validation.fraction=0.1 keeps examples aside", r.Data, r.Test))
		}
	}
	weights := o.Weights
	if weights == nil && r.Weigh.Examples != "" {
		read, err := readWeights(r.Weigh.Examples)
		if err != nil {
			return m, err
		}
		weights = read
	}
	if weights != nil {
		if len(weights) != set.Len() {
			return m, fmt.Errorf("train: got %d example weights for %d examples; give one each", len(weights), set.Len())
		}
		for i, w := range weights {
			if !(w >= 0) || math.IsInf(float64(w), 0) {
				return m, fmt.Errorf("train: the weight of example %d is %v; weights must be finite and at least 0", i, w)
			}
		}
	}
	pick := func(index []int32) {
		set = data.Subset(set, index)
		if weights != nil {
			picked := make([]float32, len(index))
			for k, i := range index {
				picked[k] = weights[i]
			}
			weights = picked
		}
	}
	if r.Subset > 0 {
		if r.Subset > set.Len() {
			return m, fmt.Errorf("train: subset is %d, the set has %d examples; use at most as many, or 0 for all", r.Subset, set.Len())
		}
		if r.Subset < set.Len() {
			_, index, err := data.Stratified(data.Labels(set), float64(r.Subset)/float64(set.Len()), r.Seed)
			if err != nil {
				return m, fmt.Errorf("train: subset: %w", err)
			}
			pick(index)
		}
	}
	if r.Validation.Fraction > 0 {
		rest, aside, err := data.Stratified(data.Labels(set), r.Validation.Fraction, r.Seed)
		if err != nil {
			return m, fmt.Errorf("train: validation: %w", err)
		}
		m.validation = data.Subset(set, aside)
		pick(rest)
	}
	if set.Len() == 0 {
		return m, errors.New("train: no training example is left; use a smaller validation.fraction or a larger subset")
	}
	m.train = examples{set: set, labels: data.Labels(set), weights: weights}
	classes := len(set.Info().Classes)
	for i, label := range m.train.labels {
		if label < 0 || int(label) >= classes {
			return m, &fault.Input{
				File: set.Info().Name, Field: fmt.Sprintf("label of example %d", i),
				Err: fmt.Errorf("it is %d, there are %d classes (0 to %d)", label, classes, classes-1), Fix: "correct the labels",
			}
		}
	}
	if r.LabelNoise.Rate > 0 {
		noisy, err := r.LabelNoise.apply(m.train.labels, classes, r.Seed)
		if err != nil {
			return m, err
		}
		m.train.labels = noisy
	}
	m.checksum = checksum(m.train)
	return m, nil
}

// apply returns labels of which a share is wrong.
func (l LabelNoise) apply(labels []int32, classes int, seed uint64) ([]int32, error) {
	if l.Seed != 0 {
		seed = l.Seed
	}
	inject := data.SymmetricNoise
	if l.Kind == "pair" {
		inject = data.PairNoise
	}
	noisy, _, err := inject(labels, classes, l.Rate, seed)
	if err != nil {
		return nil, fmt.Errorf("train: label_noise: %w", err)
	}
	return noisy, nil
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
	return weights, nil
}

// checksum identifies what is trained on: the examples, as far as they are bytes or have a checksum of their own, and labels.
func checksum(x examples) string {
	h := sha256.New()
	if raw := bytesOf(x.set); raw != nil {
		h.Write(raw)
	} else {
		h.Write([]byte(x.set.Info().Name + "\n" + x.set.Info().Checksum + "\n"))
	}
	_ = binary.Write(h, binary.LittleEndian, x.labels) // a hash takes every write
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// statisticsSample is how many examples the preprocessing is measured on; more change no digit that matters.
const statisticsSample = 10_000

// preprocess measures mean and standard deviation (1/n) of each channel, the last axis, over the training examples.
func preprocess(ctx context.Context, r Recipe, set data.Dataset) (bundle.Preprocess, error) {
	if r.Preprocess == "none" {
		return bundle.Preprocess{}, nil
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

package train

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/augment"
	"github.com/ballast-ml/ballast/data/sample"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/train/update"
)

// stream is examples with everything that has been done to them, and how an update draws of them.
type stream struct {
	name     string
	examples data.Prepared
	batch    int // examples of an update
	sampler  sample.Sampler
	views    []augment.View
	seed     uint64
	capacity int // most examples that the programs are made for
}

// check refuses labels that are no classes, and tokens that are outside the vocabulary.
func (s *stream) check() error {
	set := s.examples.Set
	if text, ok := data.AsTokens(set); ok {
		return checkText(text)
	}
	if s.targets() != loss.Labels {
		return nil
	}
	classes := len(set.Info().Classes)
	for i, label := range s.examples.Labels {
		if label < 0 || int(label) >= classes {
			return &fault.Input{
				File: set.Info().Name, Field: fmt.Sprintf("label of example %d", i),
				Err: fmt.Errorf("it is %d, there are %d classes (0 to %d)", label, classes, classes-1), Fix: "correct the labels",
			}
		}
	}
	return nil
}

// checkText refuses tokens outside the vocabulary, the classes of the set, and windows that are not all of the text. -1 is a token that
// does not count.
func checkText(text data.Tokens) error {
	info := text.Info()
	wrong := func(field, fix, format string, args ...any) error {
		return &fault.Input{File: info.Name, Field: field, Err: fmt.Errorf(format, args...), Fix: fix}
	}
	stream, window := text.Stream(), text.Window()
	if window < 1 || len(info.Shape) != 1 || info.Shape[0] != window {
		return wrong("shape", "an example is a window of the text", "it is %v for windows of %d tokens", info.Shape, window)
	}
	for i, token := range stream {
		if token < noToken || int(token) >= len(info.Classes) {
			return wrong(fmt.Sprintf("token %d", i), "correct the text", "it is %d, there are %d tokens (0 to %d, and -1 for none)",
				token, len(info.Classes), len(info.Classes)-1)
		}
	}
	for i, start := range text.Starts() {
		if start < 0 || int(start)+window > len(stream) {
			return wrong(fmt.Sprintf("start of example %d", i), "correct the starts", "it is %d, and a window of %d ends outside the %d tokens of the text",
				start, window, len(stream))
		}
	}
	return nil
}

// noToken is a token that does not count.
const noToken = -1

// targets is the kind of what the examples are to be answered with.
func (s *stream) targets() loss.Targets {
	if _, ok := data.AsTokens(s.examples.Set); ok {
		return loss.Tokens
	}
	if t, ok := data.AsTargeted(s.examples.Set); ok {
		_, images := t.(data.Imaged)
		switch {
		case images:
			return loss.Images
		case len(t.TargetShape()) == 3:
			return loss.Masks
		}
		return loss.Values
	}
	return loss.Labels
}

// rows is what a sampler may know.
func (s *stream) rows() sample.Rows { return sample.RowsOf(s.examples.Set, s.examples.Labels) }

// pads says whether an update may have places without an example.
func (s *stream) pads() bool {
	shuffle, ok := s.sampler.(sample.Shuffle)
	return !ok || shuffle.Pad
}

// counted are the examples of each class; nil for a text, whose classes are its tokens.
func (s *stream) counted() []int {
	if s.targets() == loss.Tokens {
		return nil
	}
	return classCounts(s.examples.Labels, len(s.examples.Set.Info().Classes))
}

// told is what an objective may know of the stream.
func (s *stream) told() update.Stream {
	info := s.examples.Set.Info()
	t := update.Stream{
		Examples: s.examples.Set.Len(), Batch: s.batch, Shape: info.Shape, Views: len(s.views),
		Targets: s.targets(), Outputs: len(info.Classes), Distinct: s.sampler.Distinct(),
	}
	for _, v := range s.views {
		if t.Moves == "" {
			t.Moves = v.Moves()
		}
	}
	switch t.Targets {
	case loss.Labels:
		t.Counts = make([]int, len(info.Classes))
		for _, label := range s.examples.Labels {
			t.Counts[label]++
		}
	case loss.Tokens: // each of the classes is a token
	default:
		targeted, _ := data.AsTargeted(s.examples.Set)
		shape := targeted.TargetShape()
		t.Outputs = shape[len(shape)-1]
	}
	return t
}

// epoch is what changes of a stream from one pass of the run to the next, computed on the host.
type epoch struct {
	number int
	order  []int32   // places, an update after the other; -1 is none
	share  []float32 // by place in the order; nil = 1/batch for all
	push   []float32
}

// epoch draws the places and weights of a stream for the updates of a pass of the run. They depend on the seed and the number of the pass
// alone.
func (s *stream) epoch(r Recipe, p plan, number int) (epoch, error) {
	e, err := s.draw(r, p, number)
	if err != nil || s.examples.Set.Len() == s.capacity {
		return e, err
	}
	// A smaller set than the programs are made for: what is left of the tables is never read, and what is beyond them neither.
	most := s.fields(r, p).order()
	e.order = e.order[:min(len(e.order), most)]
	if e.share != nil {
		e.share, e.push = e.share[:min(len(e.share), most)], e.push[:min(len(e.push), most)]
	}
	rest := most - len(e.order)
	e.order = append(e.order, make([]int32, max(rest, 0))...)
	if e.share != nil {
		e.share, e.push = append(e.share, make([]float32, max(rest, 0))...), append(e.push, make([]float32, max(rest, 0))...)
	}
	return e, nil
}

// draw is epoch for the set as it is.
func (s *stream) draw(r Recipe, p plan, number int) (epoch, error) {
	e := epoch{number: number}
	var err error
	_, plain := s.sampler.(sample.Shuffle)
	if full := s.examples.Set.Len() == s.capacity; plain && full && s.name == update.Train && !s.pads() {
		e.order = data.Order(len(s.examples.Labels), s.seed, number) // with what a last, smaller batch takes
	} else if e.order, err = s.sampler.Epoch(s.rows(), s.batch, p.stepsPerEpoch, s.seed, number); err != nil {
		return epoch{}, fmt.Errorf("train: stream %s: %w", s.name, err)
	}

	sigma2 := 0.0
	if s.name == update.Train {
		if sigma2 = r.Weigh.GradientNoise; sigma2 == -1 {
			sigma2 = float64(r.BatchSize) / float64(r.Schedule.LargeBatch.SmallBatch)
		}
	}
	if s.examples.Weights == nil && sigma2 == 0 && !s.pads() {
		return e, nil
	}
	e.share = s.shares(p, e.order)
	if sigma2 == 0 {
		e.push = e.share
		return e, nil
	}
	e.push, err = noisy(e.share, sigma2, r.Seed, number)
	return e, err
}

// shares is what each place of an order counts in its update.
func (s *stream) shares(p plan, order []int32) []float32 {
	share := make([]float32, len(order))
	for from := 0; from < len(order); from += s.batch {
		to := min(from+s.batch, len(order))
		whole := s.batch
		if s.name == update.Train && from/s.batch == p.stepsPerEpoch-1 && p.last > 0 {
			whole = p.last
		}
		if s.pads() {
			whole = 0
			for _, i := range order[from:to] {
				if i >= 0 {
					whole++
				}
			}
		}
		for k, i := range order[from:to] {
			switch {
			case i < 0:
			case s.examples.Weights != nil:
				share[from+k] = float32(float64(s.examples.Weights[i]) / float64(whole))
			default:
				share[from+k] = 1 / float32(whole)
			}
		}
	}
	return share
}

// noisy multiplies shares by the weights of the gradient noise of a pass.
func noisy(share []float32, sigma2 float64, seed uint64, number int) ([]float32, error) {
	source := rand.New(rand.NewPCG(seed^noiseStream, uint64(number)))
	draws := make([]float64, len(share))
	for i := range draws {
		draws[i] = source.NormFloat64()
	}
	z, err := GradNoiseWeights(draws, sigma2)
	if err != nil {
		return nil, err
	}
	push := make([]float32, len(z))
	for i := range z {
		push[i] = float32(z[i] * float64(share[i]))
	}
	return push, nil
}

// noiseStream keeps the draws of the gradient noise apart from everything else that the seed decides.
const noiseStream = 0x6e6f697365

// hashed makes a number of a name.
func hashed(name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	return h.Sum64()
}

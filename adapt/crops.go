package adapt

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/data/preprocess"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/nn/pass"
)

// Crops has the model look at one crop of each image, chosen by its pixels alone, so that a small shift of the camera changes no answer unless
// it brings a better crop in or takes the chosen one out (RICS, robust inference by crop selection). Of an image of V x W pixels and crops of
// Crop rows there are n x n candidates, n = V-Crop+1; the one with the highest score is answered, resized to the model's input:
//
//	hash     (R 2654435761) mod 1048573, R the response of a k x k filter of whole numbers from -8 to 8 at the middle of the crop
//	filter   R itself, by default of a filter of mean 0
//	edge     the sum over the crop of the squares of differences of neighbours: prefers crops with something on them
//	mean     the mean grey value, a baseline
//
// Scores are computed in whole numbers of grey values, so that the same pixels have the same score wherever they are. If no place is more
// likely than another to have the highest, the same crop is chosen after a shift by s with the probability of CropBound, at least (n-s)/(n+s);
// Consistency and MaxShift choose n by that. hash comes within a few points of the bound; the others follow trends of the image and stay below.
// The price is what the crop leaves out, which is accuracy.
//
// View is how many rows the images have that are given; where it is larger than the model's input, crops of the input's size are its own.
// Circular takes as candidates all positions of the image on a torus, and rolls the chosen one to the first pixel: shifts that wrap around
// then change no answer at all, but for ties. Nothing is trained and nothing is kept.
//
// The rule is that of Shifman, Weiss, "Lost in Translation: Modern Neural Networks Still Struggle With Small Realistic Image
// Transformations", arXiv 2404.07153, in outline; scores and bounds are reconstructed, since the text says no more.
type Crops struct {
	View        int     `json:"view"`        // rows of the images that are given; 0 = as the model's input
	Crop        int     `json:"crop"`        // rows of a crop; 0 = by consistency, or the model's input where view is larger
	Consistency float64 `json:"consistency"` // least probability of the same crop, [0, 1); 0 = by crop
	MaxShift    int     `json:"max_shift"`   // pixels along an axis that Consistency is for, at least 1; 1
	Score       string  `json:"score"`       // hash, filter, edge or mean; hash
	FilterSize  int     `json:"filter_size"` // k, at least 1; 5
	ZeroMean    bool    `json:"zero_mean"`   // of the score filter, that its filter has mean 0; true
	Seed        uint64  `json:"seed"`        // of the filter; 0
	Circular    bool    `json:"circular"`    // false
}

var _ Outer = Crops{}

// NewCrops returns crops that are the same after nine in ten shifts by a pixel, chosen by the hash of five by five pixels.
func NewCrops() Crops {
	return Crops{Consistency: 0.9, MaxShift: 1, Score: CropHash, FilterSize: 5, ZeroMean: true}
}

// Validate says what is wrong with the options, and how to fix it.
func (o Crops) Validate() error {
	var errs []error
	refuse := func(when bool, format string, args ...any) {
		if when {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	known := []string{CropHash, CropFilter, CropEdge, CropMean}
	if !slices.Contains(known, o.Score) {
		near, ok := strict.Nearest(o.Score, known)
		refuse(ok, "score is %q; did you mean %q?", strict.Short(o.Score), near)
		refuse(!ok, "score is %q; use hash, filter, edge or mean", strict.Short(o.Score))
	}
	refuse(o.View < 0, "view is %d; use a number of rows, or 0 for those of the model's input", o.View)
	refuse(o.Crop < 0, "crop is %d; use a number of rows, or 0 to choose it by consistency", o.Crop)
	refuse(!(o.Consistency >= 0 && o.Consistency < 1), "consistency is %v; use a share from 0 to below 1: no crop makes it certain", o.Consistency)
	refuse(o.MaxShift < 1, "max_shift is %d; use a number of pixels from 1", o.MaxShift)
	refuse(o.FilterSize < 1 || o.FilterSize > maxFilter, "filter_size is %d; use 1 to %d pixels, for example 5", o.FilterSize, maxFilter)
	refuse(o.Circular && (o.Score == CropEdge || o.Score == CropMean), "score is %s, which is the same at every position of a circular image; use hash or filter", o.Score)
	return errors.Join(errs...)
}

// Selector is what chooses among the crops of images [height, width, channels], for a model whose input is [height, width, channels] too.
func (o Crops) Selector(view, input []int) (Selector, error) {
	if len(view) != 3 || len(input) != 3 {
		return Selector{}, usage("crops", "crops are of images [height, width, channels], and an input of the model has shape %v; choose a model of images", input)
	}
	s := Selector{Score: o.Score, Rows: view[0], Cols: view[1], FilterSize: o.FilterSize, Circular: o.Circular}
	s.Filter = CropFilterOf(o.FilterSize, o.Seed, o.ZeroMean && o.Score == CropFilter)
	if !o.Circular {
		fewer, err := o.fewer(view, input)
		if err != nil {
			return s, err
		}
		s.Rows, s.Cols = view[0]-fewer, view[1]-fewer
	}
	if s.Rows < 1 || s.Cols < 1 || s.Rows > view[0] {
		return s, usage("crops", "a crop of %d x %d pixels of images of %d x %d; use a crop of 1 to %d rows, or a smaller consistency or max_shift",
			s.Rows, s.Cols, view[0], view[1], view[0])
	}
	if o.looksThroughFilter() && (o.FilterSize > s.Rows || o.FilterSize > s.Cols) {
		return s, usage("crops", "filter_size is %d and a crop has %d x %d pixels; use a filter that fits in, or a smaller consistency or max_shift",
			o.FilterSize, s.Rows, s.Cols)
	}
	return s, nil
}

func (o Crops) looksThroughFilter() bool { return o.Score == CropHash || o.Score == CropFilter }

// fewer is how many rows and columns a crop has less than a view.
func (o Crops) fewer(view, input []int) (int, error) {
	switch {
	case o.Crop > 0:
		return view[0] - o.Crop, nil
	case view[0] > input[0]:
		return view[0] - input[0], nil
	case o.Consistency > 0:
		n, err := CropCandidates(o.Consistency, o.MaxShift)
		return n - 1, err
	}
	return 0, usage("crops", "neither crop nor consistency says how large a crop is; set consistency=0.9, or crop to a number of rows")
}

// Start makes the adapter.
func (o Crops) Start(m Model) (Adapter, error) {
	const who = "crops"
	if err := o.Validate(); err != nil {
		return nil, usage(who, "%v", err)
	}
	c, err := newCopy(who, m)
	if err != nil {
		return nil, err
	}
	a := &crops{who: who, input: c.Bundle.Manifest.InputShape, batch: m.Batch, model: c}
	if err := a.build(o, c); err != nil {
		c.Close()
		return nil, err
	}
	return a, nil
}

// StartOutside makes the adapter of a model that only answers.
func (o Crops) StartOutside(m Outside) (Adapter, error) {
	const who = "crops"
	if err := o.Validate(); err != nil {
		return nil, usage(who, "%v", err)
	}
	a := &crops{who: who, input: m.Shape, batch: m.Batch, model: outside{who}, answer: m.Answer}
	if err := a.choose(o, m.Name); err != nil {
		return nil, err
	}
	return a, nil
}

// Viewer is an adapter that takes inputs of another shape than its model.
type Viewer interface {
	Adapter
	InputShape() []int
}

// crops is the adapter.
type crops struct {
	who      string
	input    []int // shape of an input of the model
	view     []int // shape of an image that is given
	batch    int
	selector Selector
	model    interface { // what holds the model
		Reset() error
		SetState(state weights.Set) error
		Close()
	}
	prepare func(n int) error // nil = there is nothing to prepare
	answer  Answerer          // the model's answers to its inputs

	images, tied, flat int // that were chosen from, and of these those with several best crops, and with nothing but
}

var (
	_ Preparer = (*crops)(nil)
	_ Warner   = (*crops)(nil)
	_ Viewer   = (*crops)(nil)
)

// choose makes the selector of crops for a model of a name.
func (a *crops) choose(o Crops, name string) (err error) {
	a.view = slices.Clone(a.input)
	if o.View > 0 && len(a.input) == 3 {
		more := o.View - a.input[0]
		if more < 0 {
			return usage(a.who, "view is %d, and the input of %s has %d rows; use a view that is as large or larger", o.View, name, a.input[0])
		}
		a.view[0], a.view[1] = a.input[0]+more, a.input[1]+more
	}
	a.selector, err = o.Selector(a.view, a.input)
	return err
}

// build compiles the answers of a bundle.
func (a *crops) build(o Crops, c *copied) error {
	if err := a.choose(o, c.name()); err != nil {
		return err
	}
	answers, err := c.program(func(scope *model.Scope, in []*Node) []*Node {
		var logits *Node
		pass.Through(in[0].Graph(), pass.Pass{Mode: pass.Infer}, func() { logits = c.Bundle.Logits(scope, in[0]) })
		return []*Node{ConvertDType(logits, dtypes.Float32)}
	})
	if err != nil {
		return err
	}
	a.prepare = func(n int) error { return answers.compile(c.shape(n)) }
	a.answer = func(_ context.Context, x []float32, n int) ([]float32, error) {
		out, err := answers.call(input{x, c.shape(n)})
		if err != nil {
			return nil, err
		}
		return out[0], nil
	}
	return a.Prepare(a.batch)
}

// InputShape is that of an image that is given.
func (a *crops) InputShape() []int { return slices.Clone(a.view) }

// Prepare compiles the answers to n examples.
func (a *crops) Prepare(n int) error {
	if a.prepare == nil {
		return nil
	}
	return a.prepare(n)
}

// State is empty.
func (a *crops) State() (weights.Set, error) { return weights.Set{}, nil }

// SetState refuses a state of something else.
func (a *crops) SetState(state weights.Set) error { return a.model.SetState(state) }

// Close frees the model's programs.
func (a *crops) Close() { a.model.Close() }

// Reset forgets how often crops were tied.
func (a *crops) Reset() error {
	a.images, a.tied, a.flat = 0, 0, 0
	return a.model.Reset()
}

// Warnings are how often several crops had the highest score, which breaks what the bound promises.
func (a *crops) Warnings() []string {
	var all []string
	if a.tied > 0 {
		all = append(all, fmt.Sprintf("%d of %d images have several crops with the highest score, and the first of them may move with the image; "+
			"flat regions do that: use score=hash and a larger filter_size", a.tied, a.images))
	}
	if a.flat > 0 {
		all = append(all, fmt.Sprintf("%d of %d images are flat: all crops have one score, and the one in the middle was taken", a.flat, a.images))
	}
	return all
}

// Answer takes the steps one after the other.
func (a *crops) Answer(ctx context.Context, x []float32, n int) ([]float32, error) {
	return stepsOf(ctx, a.who, a.view, a.batch, x, n, func(x []float32, n int) ([]float32, error) {
		if err := a.Prepare(n); err != nil {
			return nil, err
		}
		inputs, chosen, err := a.cut(x, n)
		if err != nil {
			return nil, err
		}
		out, err := a.answer(ctx, inputs, n)
		if err != nil {
			return nil, err
		}
		a.count(chosen)
		return out, nil
	})
}

// count counts what was chosen.
func (a *crops) count(chosen []Chosen) {
	for _, c := range chosen {
		a.images++
		if c.Tied {
			a.tied++
		}
		if c.Flat {
			a.flat++
		}
	}
}

// cut makes the model's inputs of n images, some at the same time.
func (a *crops) cut(x []float32, n int) (inputs []float32, chosen []Chosen, err error) {
	from, to := len(x)/n, a.input[0]*a.input[1]*a.input[2]
	inputs, chosen = make([]float32, n*to), make([]Chosen, n)
	errs := make([]error, n)
	next := make(chan int, n)
	for i := range n {
		next <- i
	}
	close(next)
	var wait sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), n) {
		wait.Go(func() {
			for i := range next {
				image := x[i*from : (i+1)*from]
				chosen[i] = a.selector.Select(image, a.view)
				errs[i] = a.fill(inputs[i*to:(i+1)*to], image, chosen[i])
			}
		})
	}
	wait.Wait()
	return inputs, chosen, errors.Join(errs...)
}

// fill writes the crop at a place of an image, in the size of the model's input.
func (a *crops) fill(dst, image []float32, at Chosen) error {
	shape, s := a.input, a.selector
	if s.Rows == shape[0] && s.Cols == shape[1] {
		s.Cut(dst, image, a.view, at)
		return nil
	}
	crop := make([]float32, s.Rows*s.Cols*a.view[2])
	s.Cut(crop, image, a.view, at)
	resized, err := preprocess.ResizeFloats(crop, s.Rows, s.Cols, a.view[2], shape[0], shape[1], preprocess.Bilinear)
	if err != nil {
		return fmt.Errorf("adapt %s: %w", a.who, err)
	}
	copy(dst, resized)
	return nil
}

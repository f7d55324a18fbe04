// Package tuned computes what merge/soup, merge/signature and merge/position need from trained models: a score on held-out examples, a
// loss with its gradient, and new statistics for norms. Those packages themselves use neither networks nor engines.
package tuned

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/merge/soup"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/own"
)

// Bundles are models in folders, of one network, which are loaded one at a time. mine is what bundle.Open takes.
func Bundles(paths []string, mine ...own.Registry) soup.Models { return bundles{paths, mine} }

type bundles struct {
	paths []string
	mine  []own.Registry
}

func (b bundles) Len() int                 { return len(b.paths) }
func (b bundles) Name(i int) string        { return b.paths[i] }
func (b bundles) Release(int, weights.Set) {}

func (b bundles) Load(i int) (weights.Set, error) {
	opened, err := bundle.Open(b.paths[i], b.mine...)
	if err != nil {
		return nil, err
	}
	defer opened.Store.Finalize()
	return opened.Weights()
}

// Examples are examples in memory.
type Examples struct {
	X      []float32 // [n, shape...], in the units of the data set
	Labels []int32
	Size   int // values of one example
}

// Read reads a data set into memory.
func Read(ds data.Dataset) (Examples, error) {
	x := Examples{X: make([]float32, ds.Len()*ds.Info().Size()), Labels: data.Labels(ds), Size: ds.Info().Size()}
	for i := range ds.Len() {
		if err := ds.Read(i, x.X[i*x.Size:(i+1)*x.Size]); err != nil {
			return Examples{}, err
		}
	}
	return x, nil
}

// Len is the number of examples.
func (x Examples) Len() int { return len(x.Labels) }

// Slice returns the examples [from, to).
func (x Examples) Slice(from, to int) Examples {
	return Examples{X: x.X[from*x.Size : to*x.Size], Labels: x.Labels[from:to], Size: x.Size}
}

// At returns the examples at places.
func (x Examples) At(places []int32) Examples {
	out := Examples{X: make([]float32, 0, len(places)*x.Size), Size: x.Size}
	for _, i := range places {
		out.X = append(out.X, x.X[int(i)*x.Size:(int(i)+1)*x.Size]...)
		out.Labels = append(out.Labels, x.Labels[i])
	}
	return out
}

// batchAtMost bounds the examples in one run of a model.
const batchAtMost = 256

// Scorer measures the accuracy of weights put into a model.
type Scorer struct {
	b        *bundle.Bundle
	forward  *bundle.Forward
	examples Examples
}

// NewScorer compiles the model for the examples. The scorer moves the model's variables.
func NewScorer(b *bundle.Bundle, e *engine.Engine, examples Examples) (*Scorer, error) {
	if examples.Len() == 0 {
		return nil, &fault.Usage{Err: errors.New("tuned: there is no example to score on; hold some out")}
	}
	forward, err := b.NewForward(e, min(batchAtMost, examples.Len()))
	if err != nil {
		return nil, err
	}
	return &Scorer{b: b, forward: forward, examples: examples}, nil
}

// Close frees the compiled model.
func (s *Scorer) Close() { s.forward.Close() }

// Accuracy is the share of right answers, [0, 1]; a soup.Score.
func (s *Scorer) Accuracy(w weights.Set) (float64, error) {
	logits, err := s.Logits(w)
	if err != nil {
		return 0, err
	}
	return Accuracy(logits, s.examples.Labels), nil
}

// Logits are the outputs for all examples, [examples, classes].
func (s *Scorer) Logits(w weights.Set) ([]float64, error) {
	if err := s.b.SetWeights(w); err != nil {
		return nil, err
	}
	flat, err := s.forward.Logits(s.examples.X, s.examples.Len())
	if err != nil {
		return nil, err
	}
	wide := make([]float64, len(flat))
	for i, v := range flat {
		wide[i] = float64(v)
	}
	return wide, nil
}

// Accuracy is the share of examples whose largest output, the first of equal ones, is that of the label.
func Accuracy(logits []float64, labels []int32) float64 {
	right, classes := 0, len(logits)/max(1, len(labels))
	for i, label := range labels {
		best := 0
		for c := range classes {
			if logits[i*classes+c] > logits[i*classes+best] {
				best = c
			}
		}
		if best == int(label) {
			right++
		}
	}
	return float64(right) / float64(max(1, len(labels)))
}

// Objective is a loss of a model's weights with its gradient.
type Objective struct {
	b         *bundle.Bundle
	exec      *model.Exec
	variables []*model.Variable
}

// NewObjective builds a loss, a scalar, of inputs and of beta, a scalar that multiplies the logits. Its gradient is taken in the
// float32 variables; in running statistics it is 0.
func NewObjective(b *bundle.Bundle, e *engine.Engine, build func(scope *model.Scope, beta *graph.Node, inputs []*graph.Node) *graph.Node) (*Objective, error) {
	o := &Objective{b: b, variables: b.Floats()}
	var err error
	o.exec, err = model.NewExec(e.Backend, b.Store, func(scope *model.Scope, all []*graph.Node) []*graph.Node {
		beta := all[0]
		value := build(scope, beta, all[1:])
		wrt := []*graph.Node{beta}
		for _, v := range o.variables {
			wrt = append(wrt, v.NodeValue(beta.Graph()))
		}
		return append([]*graph.Node{value}, graph.Gradient(value, wrt...)...)
	})
	if err != nil {
		return nil, fmt.Errorf("tuned: %w", err)
	}
	return o, nil
}

// NewCrossEntropy is the mean cross-entropy of softmax(beta logits); its inputs are the examples and their labels, see Batch.
func NewCrossEntropy(b *bundle.Bundle, e *engine.Engine) (*Objective, error) {
	return NewObjective(b, e, func(scope *model.Scope, beta *graph.Node, inputs []*graph.Node) *graph.Node {
		logits := graph.Mul(b.Logits(scope, inputs[0]), beta)
		return loss.Mean(loss.CrossEntropy{}.Of(inputs[1], logits), nil)
	})
}

// Batch are the inputs of a cross-entropy.
func Batch(b *bundle.Bundle, x Examples) []*tensors.Tensor {
	return []*tensors.Tensor{
		tensors.FromFlatDataAndDimensions(x.X, append([]int{x.Len()}, b.Manifest.InputShape...)...),
		tensors.FromFlatDataAndDimensions(x.Labels, x.Len()),
	}
}

// Close frees the compiled graphs.
func (o *Objective) Close() { o.exec.Finalize() }

// At puts weights into the model and returns the loss and its gradient there.
func (o *Objective) At(w weights.Set, beta float64, inputs ...*tensors.Tensor) (soup.LossAt, error) {
	if err := o.b.SetWeights(w); err != nil {
		return soup.LossAt{}, err
	}
	args := []any{float32(beta)}
	for _, t := range inputs {
		args = append(args, t)
	}
	out, err := o.exec.Call(args...)
	if err != nil {
		return soup.LossAt{}, fmt.Errorf("tuned: %w", err)
	}
	at := soup.LossAt{}
	flat := make([][]float32, len(out))
	for i, t := range out {
		if flat[i], err = tensors.CopyFlatData[float32](t); err != nil {
			return soup.LossAt{}, fmt.Errorf("tuned: %w", err)
		}
	}
	at.Value, at.Beta = float64(flat[0][0]), float64(flat[1][0])
	for i, v := range o.variables {
		at.Gradient = append(at.Gradient, weights.Tensor{Name: strings.TrimPrefix(v.Path(), "/"), Shape: append([]int{}, v.Shape().Dimensions...), Values: flat[i+2]})
	}
	return at, nil
}

// SoupLoss is the loss of a learned soup: batches of the examples, in an order that the seed gives, anew in every epoch. The last
// batch of an epoch is smaller where they do not divide the examples.
func (o *Objective) SoupLoss(x Examples, batch int, seed uint64) (lossOf soup.Loss, batches int) {
	batch = max(1, min(batch, x.Len()))
	batches = (x.Len() + batch - 1) / batch
	return func(step int, w weights.Set, beta float64) (soup.LossAt, error) {
		order := data.Order(x.Len(), seed, step/batches)
		from := step % batches * batch
		return o.At(w, beta, Batch(o.b, x.At(order[from:min(from+batch, x.Len())]))...)
	}, batches
}

// eachBatch goes over the whole batches of a data set, in order, at most so many; 0 = all.
func eachBatch(ctx context.Context, ds data.Dataset, batch, most int, see func(data.Batch) error) error {
	order := make([]int32, ds.Len())
	for i := range order {
		order[i] = int32(i)
	}
	r := data.NewReader(ds, order, batch, 2, true)
	defer r.Close()
	for n := 0; most == 0 || n < most; n++ {
		part, err := r.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := see(part); err != nil {
			return err
		}
		r.Recycle(part)
	}
	return nil
}

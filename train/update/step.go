package update

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/ops"
	"github.com/ballast-ml/ballast/zoo"
)

// Step is the graph of one micro-batch of an update while an objective builds it.
type Step struct {
	Scope  *model.Scope // root of the run's store
	Update *Node        // updates done, int32

	// What the trainer gives, and objectives ask by the methods.
	Batches    map[string]Batch
	Columns    map[string]*Node
	Preprocess func(x *Node) *Node // of the model; nil = none

	random   ops.Random // folded with update and micro-batch
	devices  int
	notes    map[string]*Node
	gathered bool
}

// SetRandom gives the step what is random in this micro-batch, for the trainer.
func (s *Step) SetRandom(r ops.Random, devices int) { s.random, s.devices = r, devices }

// Random is a stream of random numbers for a use, the same for the same names. Panics on several devices: each would draw for its part of
// the batch, and the result would depend on their number.
func (s *Step) Random(use ...string) ops.Random {
	if s.devices > 1 {
		panic(usage("%s is drawn at random for the batch, and %d devices would each draw their own; use one device", strings.Join(use, " "), s.devices))
	}
	r := s.random
	for _, name := range use {
		h := fnv.New64a()
		h.Write([]byte(name))
		r = r.Fold(h.Sum64())
	}
	return r
}

// Batch is what a stream feeds into a micro-batch of n examples.
type Batch struct {
	X       *Node   // [n, ...] float32, as the set has them, or tokens [n, time] int32
	Views   []*Node // one for each of the stream's views, of X's shape; X alone where the stream has none
	Labels  *Node   // [n] int32; -1 for padding
	Targets *Node   // [n, ...] float32: values or masks; nil where the set has classes
	Domains *Node   // [n] int32; nil where the set has none
	Index   *Node   // [n] int32: place in the stream's set, the same in every pass; -1 for padding
	Mask    *Node   // [n] bool: false is padding; nil where the sampler gives none

	Share *Node // [n] float32: what each example counts in the loss that is reported
	Push  *Node // [n] float32: and in the gradient; differs by the multiplicative noise

	Examples int   // of the stream's set
	Counts   []int // of each class
}

// Batch returns the micro-batch of a stream. Panics if the recipe has none of that name: Plan.Need says so before a graph is built.
func (s *Step) Batch(stream string) Batch {
	b, ok := s.Batches[stream]
	if !ok {
		Panicf("update: there is no stream %q; there are %s", stream, strings.Join(slices.Sorted(maps.Keys(s.Batches)), ", "))
	}
	return b
}

// Column is a number of this update, a float32 scalar, by the name of one of the phase's columns.
func (s *Step) Column(name string) *Node {
	c, ok := s.Columns[name]
	if !ok {
		Panicf("update: there is no column %q; the phase has %s", name, strings.Join(slices.Sorted(maps.Keys(s.Columns)), ", "))
	}
	return c
}

// At is the scope of an absolute path: "/model", "/average/model", Own. The same path may be entered several times in a graph.
func (s *Step) At(path string) *model.Scope {
	scope := s.Scope
	for _, name := range strings.Split(strings.Trim(path, "/"), "/") {
		scope = scope.At("%s", name)
	}
	return scope
}

// Apply is a network's answers to x as a set has it: preprocessed, by the weights that stand at a path, in a pass.
func (s *Step) Apply(at string, network zoo.Network, p pass.Pass, x *Node) (answers *Node) {
	pass.Through(x.Graph(), p, func() { answers = network.Apply(s.At(at), s.Input(x)) })
	return answers
}

// Features is what goes into the last layer of a network, as Apply.
func (s *Step) Features(at string, network zoo.Featured, p pass.Pass, x *Node) (features *Node) {
	pass.Through(x.Graph(), p, func() { features = network.Features(s.At(at), s.Input(x)) })
	return features
}

// Head is the last layer of a network, as Apply.
func (s *Step) Head(at string, network zoo.Featured, p pass.Pass, features *Node) (answers *Node) {
	pass.Through(features.Graph(), p, func() { answers = network.Head(s.At(at), features) })
	return answers
}

// usage is an error of a recipe that asks for what cannot be had.
func usage(format string, args ...any) error {
	return &fault.Usage{Err: fmt.Errorf("recipe: "+format, args...)}
}

// Input is x behind the model's preprocessing.
func (s *Step) Input(x *Node) *Node {
	if s.Preprocess == nil {
		return x
	}
	return s.Preprocess(x)
}

// Note has a scalar of the micro-batch logged by its name, as the mean over the updates since the last log. No gradient flows.
func (s *Step) Note(name string, scalar *Node) {
	if s.notes == nil {
		s.notes = map[string]*Node{}
	}
	if _, twice := s.notes[name]; twice {
		Panicf("update: %q is noted twice", name)
	}
	s.notes[name] = ConvertDType(StopGradient(scalar), dtypes.Float32)
}

// Notes are what was noted, for the trainer.
func (s *Step) Notes() map[string]*Node { return s.notes }

// Gather puts the x [n, ...] of all devices one behind the other, own rows live: each device takes the loss of the whole batch, and the
// gradients of all devices add up to the right one. On one device it is x.
func (s *Step) Gather(x *Node) *Node {
	s.gathered = true
	d := ops.DevicesOf(x.Graph())
	if d.Count == 1 {
		return x
	}
	all := ops.GatherAcross(x)
	n := x.Shape().Dimensions[0]
	// The own rows once more, live, at their place: zeros elsewhere add nothing. Each device takes its part of the loss, so that what the
	// loss looks at besides, such as proxies, gets its gradient once; of rows, which are live on one device, that part is all.
	live := MulScalar(Sub(x, StopGradient(x)), float64(d.Count))
	dims := x.Shape().Dimensions
	wide := BroadcastToDims(ExpandAxes(live, 0), append([]int{d.Count}, dims...)...)
	mine := Equal(Iota(x.Graph(), shapes.Make(dtypes.Int32, wide.Shape().Dimensions...), 0), d.Rank)
	placed := Reshape(Where(mine, wide, ZerosLike(wide)), append([]int{d.Count * n}, dims[1:]...)...)
	return Add(all, placed)
}

// Gathered reports whether Gather was asked, for the trainer.
func (s *Step) Gathered() bool { return s.gathered }

// In is what a loss sees of a batch, for answers out.
func (s *Step) In(b Batch, out *Node) loss.In {
	return loss.In{
		Out: out, Labels: b.Labels, Targets: b.Targets, Index: b.Index, Examples: b.Examples, Counts: b.Counts, Mask: b.Mask,
		Column: s.Column, Note: func(name string, each *Node) { s.Note(name, b.Mean(each)) },
	}
}

// Each is a term with one value an example, or k copies of the batch with one each [k n]: the sum over the examples, weighed by their
// shares, times weight. Every copy counts 1/k.
func (b Batch) Each(name string, perExample *Node, weight float64) Term {
	n := b.Push.Shape().Dimensions[0]
	if perExample.Rank() != 1 || perExample.Shape().Dimensions[0]%n != 0 {
		Panicf("update: term %s is %s for %d examples; want one value for each, or for each copy", name, perExample.Shape(), n)
	}
	k := perExample.Shape().Dimensions[0] / n
	value := scaled(ReduceAllSum(Mul(perExample, repeated(b.Push, k, perExample.DType()))), weight)
	t := Term{Name: name, Value: value, Report: value}
	if b.Share != b.Push {
		t.Report = scaled(ReduceAllSum(Mul(StopGradient(perExample), repeated(b.Share, k, perExample.DType()))), weight)
	}
	return t
}

// Mean is the mean of a value of each example [n] over the micro-batch, weighed by the shares, for a note.
func (b Batch) Mean(perExample *Node) *Node {
	share := ConvertDType(b.Share, perExample.DType())
	return StopGradient(Div(ReduceAllSum(Mul(perExample, share)), MaxScalar(ReduceAllSum(share), 1e-12)))
}

// repeated is share [n] for k copies.
func repeated(share *Node, k int, dtype dtypes.DType) *Node {
	share = ConvertDType(share, dtype)
	if k == 1 {
		return share
	}
	parts := slices.Repeat([]*Node{DivScalar(share, float64(k))}, k)
	return Concatenate(parts, 0)
}

// CheckTerms panics where a term cannot be spread as the run is.
func (s *Step) CheckTerms(goals []Goal, accumulate, devices int) {
	if len(goals) == 0 {
		Panicf("update: there are no goals; build at least one")
	}
	for _, g := range goals {
		if len(g.Terms) == 0 {
			Panicf("update: goal %s has no terms; give it at least one", g.Name)
		}
		for _, t := range g.Terms {
			switch {
			case t.Value.Rank() != 0 || t.Report.Rank() != 0:
				Panicf("update: term %s of goal %s is %s; want a scalar", t.Name, g.Name, t.Value.Shape())
			case t.Whole && accumulate > 1:
				panic(usage("%s is a loss of a whole batch, which accumulate=%d would cut into parts; use accumulate: 1", t.Name, accumulate))
			case t.Whole && devices > 1 && !s.gathered:
				panic(usage("%s is a loss of a whole batch, and %d devices would each see a part of it; use one device", t.Name, devices))
			}
		}
	}
}

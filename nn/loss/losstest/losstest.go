// Package losstest tests the contract of losses. Your own loss can run it too.
package losstest

import (
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/nn/loss"
)

// Naive is a loss as a plain loop in float64: the loss of each example, or the one number of a Set.
//
// What the loss holds constant though it comes from what the network gave, Naive computes from Fixed: the gradient is compared with
// differences for which Out moves and Fixed does not. state has the variables of the loss by their names, row-major, the trained ones
// filled in; those that the loss moves by itself Naive keeps in it, from their first values on, and moves too.
type Naive func(b Batch, state map[string][]float64) []float64

// Batch is what a loss compares, row-major.
type Batch struct {
	N       int   // examples
	Shape   []int // of Out
	Out     []float64
	Fixed   []float64 // Out, for what is constant
	Labels  []int32
	Targets []float64 // shares of classes [N, Classes], or values or masks of Out's shape; nil where labels are all there is
	Teacher []float64 // of Out's shape

	Classes  int
	Features [][]float64 // [N, Dim] for each view
	Dim      int

	Mixed  [][]float64 // logits of mixtures, of Out's shape for each copy
	Shares [][]float64 // the mixtures' shares of classes [N, Classes] for each copy

	Index    []int32 // place of each example of Examples
	Examples int
	Counts   []int // of each class
}

// Claim is something about a loss that the battery cannot see.
type Claim func(*subject)

// Views says that a Set compares so many views of a batch; 1 without it.
func Views(n int) Claim { return func(s *subject) { s.views = n } }

// Mixed says that a Set takes examples that were mixed: a second Features and the shares of their classes as Targets, which the batch
// of Naive then has.
func Mixed() Claim { return func(s *subject) { s.mixed = true } }

// MixedInPlace says that a Set takes Targets, the shares of its own examples, in the place of Labels.
func MixedInPlace() Claim { return func(s *subject) { s.inPlace = true } }

// Run runs the battery on a loss, on every engine:
//
//   - the value of each example, of labels and of shares of classes, or of values or masks, against the plain loop, in float64
//   - the gradient of sum(y w), w random, against differences of the loop; targets and teachers get none
//   - what the loss keeps of each example after 1, 2 and 50 updates against the loop
//
// and, where a graph costs nothing, on the Go engine:
//
//   - float32 and bfloat16, whose values are float32
//   - padding gives 0, gets no gradient, writes nothing and changes no other value, whatever stands there
//   - a batch of one
//   - variables copied to a new store in the middle go on to the same bits
//   - an example that is twice in a batch gets NaN where rows are kept, and a text before a run
//   - what is missing is named
func Run(t *testing.T, l loss.Loss, naive Naive, claims ...Claim) {
	t.Helper()
	run(t, subject{apply: l.Apply, wants: l.Wants(), value: l, naive: naive}, claims)
}

// RunSet is Run for a Set, whose value is one number.
func RunSet(t *testing.T, s loss.Set, naive Naive, claims ...Claim) {
	t.Helper()
	run(t, subject{apply: s.Apply, wants: s.Wants(), value: s, naive: naive, set: true}, claims)
}

// Ranks says that a Set compares logits with those of so many mixtures of each example: Out, and Mixed with Shares.
func Ranks(copies int) Claim { return func(s *subject) { s.ranks = copies } }

// subject is a loss on an engine.
type subject struct {
	e       *engine.Engine
	apply   func(scope *model.Scope, in loss.In) *graph.Node
	value   any
	wants   []loss.Targets
	naive   Naive
	set     bool
	views   int
	mixed   bool
	inPlace bool
	ranks   int
}

func run(t *testing.T, s subject, claims []Claim) {
	t.Helper()
	s.views = 1
	for _, claim := range claims {
		claim(&s)
	}
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		s.e = e
		for _, kind := range s.kinds() {
			t.Run(kind, func(t *testing.T) { s.values(t, kind) })
		}
		kind := s.kinds()[0]
		if e.Kind != engine.KindGo { // XLA would compile a graph for each of the rest, which takes seconds
			return
		}
		t.Run("types", func(t *testing.T) { s.types(t, kind) })
		t.Run("padding", func(t *testing.T) { s.padding(t, kind) })
		t.Run("missing", s.missing)
		t.Run("one", func(t *testing.T) { s.one(t, kind) })
		t.Run("copy", func(t *testing.T) { s.copied(t, kind) })
		if loss.NeedsIndex(s.value) {
			t.Run("repeated", func(t *testing.T) { s.repeated(t, kind) })
		}
	})
}

// kinds are the ways in which the loss can be told what to compare with.
func (s subject) kinds() (kinds []string) {
	for _, w := range s.wants {
		kinds = append(kinds, string(w))
		if w == loss.Labels && !s.set {
			kinds = append(kinds, shared)
		}
	}
	if s.mixed {
		kinds = append(kinds, mixedPairs)
	}
	if s.inPlace {
		kinds = append(kinds, shared)
	}
	return kinds
}

// The kinds besides those of loss.Targets.
const (
	shared     = "shares"
	mixedPairs = "mixed"
)

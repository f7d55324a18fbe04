// Package pass describes one pass through a network: whether it trains, which weights it uses, and which function observes its values.
//
// One update may apply a network several times: as student and teacher, to clean and attacked inputs, whole and quantised. The
// differences between these passes belong to the pass, not to the graph or the network:
//
//	pass.Through(g, pass.Pass{Mode: pass.Infer}, func() { logits = network.Apply(root.At("model"), x) })
//
// A pass applies to everything that its function builds, and ends with it, even after a panic. Without a pass, layers follow the store's
// setting (model.Store.SetTraining), read their variables and are not observed. To apply one network several times in a graph, make its
// scope with At, not with In: At may be entered again and finds the same variables.
//
// Layers ask Training and Collecting instead of Scope.IsTraining, Weight instead of Variable.NodeValue, Move instead of
// Variable.SetNodeValue, and See at the places named below. A graph is built by one goroutine; its passes need no lock.
package pass

import (
	"fmt"
	"maps"
	"slices"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/internal/strict"
)

// Mode is how layers behave that do one thing in training and another at inference.
type Mode int

// The modes.
const (
	Inherit    Mode = iota // as the pass around this one; without one, as the store says
	Train                  // statistics of the batch, and state moves
	TrainQuiet             // as Train, but no state moves
	Infer                  // collected statistics, and no state moves
)

var modes = []string{"inherit", "train", "train-quiet", "infer"}

// String is the name of the mode.
func (m Mode) String() string {
	if m < 0 || int(m) >= len(modes) {
		return fmt.Sprintf("mode %d", int(m))
	}
	return modes[m]
}

// Pass is what one pass does otherwise than the one around it. The zero value changes nothing.
type Pass struct {
	Mode Mode

	// Weights are used in place of the variables of these paths ("/model/dense/kernel"). Each has the shape and the dtype of its
	// variable. The gradient reaches them and not the variable; a statistic that is bound is not moved.
	Weights map[string]*graph.Node

	// Taps see what flows through the network, in this order, after those of the passes around this one.
	Taps []Tap
}

// Tap looks at x at a site and returns it, or what takes its place: of the same shape and dtype. It may make variables under
// at.Scope. Layers that it applies itself are not tapped.
type Tap func(at Site, x *graph.Node) *graph.Node

// Site is a place in a network.
type Site struct {
	Scope *model.Scope // of the layer, or of the block or network that the value belongs to
	What  string       // one of the constants below
}

// The places that are seen. Those of attention are [batch, heads, time, d], and probabilities [batch, heads, queries, keys].
const (
	Input         = "input"         // what a dense layer, a convolution or a recurrent cell multiplies with its kernel
	Kernel        = "kernel"        // the kernel it multiplies with, behind the layer's own hook
	Norm          = "norm"          // what goes into a normalisation
	Preactivation = "preactivation" // what goes into an activation
	Query         = "query"
	Key           = "key"
	Value         = "value"
	Probabilities = "probabilities" // of attention; written out only where there are taps
	Stream        = "stream"        // the sum that a residual block makes, before an activation behind it
	Features      = "features"      // what goes into a network's last layer
)

// level is a pass and those around it, as the graph has them while f builds.
type level struct {
	Pass
	around *level
	quiet  bool // a tap is at work: nothing is seen

	stores map[*model.Store]bool // of the scopes that asked
	read   map[string]bool       // paths of Weights that were read
}

type levelKey struct{}

// Through builds f in a pass. Passes nest: the inner Mode and Weights win, Taps add up.
//
// Panics on an unknown Mode, on a nil weight or tap, and, after f, if Weights has a path that no variable of the networks in f has.
func Through(g *graph.Graph, p Pass, f func()) {
	if p.Mode < Inherit || p.Mode > Infer {
		Panicf("pass.Through: %s; use Inherit, Train, TrainQuiet or Infer", p.Mode)
	}
	for path, w := range p.Weights {
		if w == nil {
			Panicf("pass.Through: the weight %s is nil; leave it out to take the variable", path)
		}
	}
	for i, tap := range p.Taps {
		if tap == nil {
			Panicf("pass.Through: tap %d is nil; leave it out", i)
		}
	}

	l := &level{Pass: p, around: levelOf(g), stores: map[*model.Store]bool{}, read: map[string]bool{}}
	l.within(g, f)
	l.checkWeights()
}

// levelOf is the innermost pass of a graph, nil without one.
func levelOf(g *graph.Graph) *level {
	l, _ := g.State(levelKey{}).(*level)
	return l
}

// within builds f with l as the innermost pass.
func (l *level) within(g *graph.Graph, f func()) {
	outer := levelOf(g)
	defer func() {
		if outer == nil {
			g.AttachState(levelKey{}, nil) // which takes the key away; a nil *level would stay
			return
		}
		g.AttachState(levelKey{}, outer)
	}()
	g.AttachState(levelKey{}, l)
	f()
}

// checkWeights panics if a weight is bound to what is not a variable: a misspelt path would change nothing, silently.
func (l *level) checkWeights() {
	for _, path := range slices.Sorted(maps.Keys(l.Weights)) {
		known := l.read[path]
		var paths []string
		for store := range l.stores {
			known = known || store.GetVariable(path) != nil
			for v := range store.IterVariables() {
				paths = append(paths, v.Path())
			}
		}
		if known {
			continue
		}

		slices.Sort(paths)
		if near, ok := strict.Nearest(path, paths); ok {
			Panicf("pass.Through: no variable %s was read for the weight bound to it (did you mean %s?)", path, near)
		}
		Panicf("pass.Through: no variable %s was read for the weight bound to it; Weights go by the paths of variables, such as /model/output/kernel", path)
	}
}

// Now is the pass of a graph at a moment of its building. Keep one for what a layer builds later, as a gradient is: by then the
// pass may be gone.
type Now struct {
	g     *graph.Graph
	level *level
}

// Of is the pass that g is in.
func Of(g *graph.Graph) Now { return Now{g, levelOf(g)} }

// mode is the innermost that is not Inherit.
func (n Now) mode() Mode {
	for l := n.level; l != nil; l = l.around {
		if l.Mode != Inherit {
			return l.Mode
		}
	}
	return Inherit
}

// met notes the store that a layer belongs to.
func (n Now) met(s *model.Scope) {
	for l := n.level; l != nil; l = l.around {
		l.stores[s.Store()] = true
	}
}

// Training reports whether the layers of a scope train.
func (n Now) Training(s *model.Scope) bool {
	n.met(s)
	switch n.mode() {
	case Train, TrainQuiet:
		return true
	case Infer:
		return false
	}
	return s.IsTraining(n.g)
}

// Collecting reports whether the layers of a scope train and move what they collect.
func (n Now) Collecting(s *model.Scope) bool { return n.Training(s) && n.mode() != TrainQuiet }

// bound is the node that a variable is bound to, nil if it is not. The passes that have it are told that it was read.
func (n Now) bound(path string) *graph.Node {
	var w *graph.Node
	for l := n.level; l != nil; l = l.around {
		own, ok := l.Weights[path]
		if !ok {
			continue
		}
		l.read[path] = true
		if w == nil {
			w = own
		}
	}
	return w
}

// Weight is the value of a variable: what the pass binds to its path, else its own.
func (n Now) Weight(v *model.Variable) *graph.Node {
	w := n.bound(v.Path())
	if w == nil {
		return v.NodeValue(n.g)
	}
	if !w.Shape().Equal(v.Shape()) {
		Panicf("pass: the weight bound to %s is %s, the variable %s; bind one of the same shape and dtype", v.Path(), w.Shape(), v.Shape())
	}
	return w
}

// Move gives a variable that training moves without a gradient a new value, if the pass collects and does not bind it.
func (n Now) Move(s *model.Scope, v *model.Variable, value *graph.Node) {
	if n.Collecting(s) && n.bound(v.Path()) == nil {
		v.SetNodeValue(value)
	}
}

// Training reports whether the layers of a scope train, in the pass that g is in.
func Training(s *model.Scope, g *graph.Graph) bool { return Of(g).Training(s) }

// Collecting reports whether the layers of a scope train and move what they collect.
func Collecting(s *model.Scope, g *graph.Graph) bool { return Of(g).Collecting(s) }

// Weight is the value of a variable: what the pass that g is in binds to its path, else its own.
func Weight(v *model.Variable, g *graph.Graph) *graph.Node { return Of(g).Weight(v) }

// Move gives a variable that training moves without a gradient a new value, if the pass collects and does not bind it.
func Move(s *model.Scope, v *model.Variable, value *graph.Node) { Of(value.Graph()).Move(s, v, value) }

// Tapped reports whether anyone sees what flows through the network now: what costs more to show than to compute need not be
// shown otherwise.
func Tapped(g *graph.Graph) bool {
	for l := levelOf(g); l != nil && !l.quiet; l = l.around {
		if len(l.Taps) > 0 {
			return true
		}
	}
	return false
}

// See shows x to the taps of all passes that its graph is in, outermost first, and returns what they make of it. Panics if a
// tap returns nothing, or another shape or dtype.
func See(s *model.Scope, what string, x *graph.Node) *graph.Node {
	g := x.Graph()
	now := Of(g)
	now.met(s)
	if !Tapped(g) {
		return x
	}

	var taps []Tap
	for l := now.level; l != nil && !l.quiet; l = l.around {
		taps = append(slices.Clone(l.Taps), taps...)
	}
	// Layers of the taps' own belong to no site, and a tap that is called again may enter its scopes again.
	muted := &level{around: now.level, quiet: true, stores: map[*model.Store]bool{}, read: map[string]bool{}}
	muted.within(g, func() {
		for _, tap := range taps {
			y := tap(Site{Scope: s.ResetVisited(), What: what}, x)
			if y == nil || !y.Shape().Equal(x.Shape()) {
				Panicf("pass: the tap at %s of %s turned %s into %s; it must keep the shape and dtype", what, s.Scope(), x.Shape(), shapeOf(y))
			}
			x = y
		}
	})
	return x
}

func shapeOf(x *graph.Node) string {
	if x == nil {
		return "nothing"
	}
	return x.Shape().String()
}

package adapt

import (
	"fmt"
	"math"
	"path"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/zoo"
)

// norms is what a network has of them.
type norms struct {
	collect   []string // scopes of those that collect statistics, in the order of the network
	all       []string // scopes of all
	positions int      // of an example, in the norm that sees the fewest
	narrowest string   // its scope

	answer      []int  // dimensions of the answer to one example
	onePosition string // scope of the first norm of images that sees one position, "" = none
}

// asked is a source that notes who asks it.
type asked struct {
	note func(scope *model.Scope, x *Node)
}

// Statistics are the running values.
func (a asked) Statistics(scope *model.Scope, x *Node, running *norm.Running) (mean, variance *Node) {
	a.note(scope, x)
	return norm.FromRunning{}.Statistics(scope, x, running)
}

// findNorms builds the network once, without running it, and looks what asks for statistics.
func (c *copied) findNorms() (found norms, err error) {
	err = exceptions.TryCatch[error](func() {
		g := NewGraph(c.Engine.Backend, "norms")
		defer g.Finalize()
		model.SetStore(g, c.Bundle.Store)
		x := Parameter(g, "x", shapes.Make(dtypes.Float32, c.shape(2)...))
		see := func(at pass.Site, x *Node) *Node {
			if at.What == pass.Norm && !slices.Contains(found.all, at.Scope.Scope()) {
				found.all = append(found.all, at.Scope.Scope())
			}
			return x
		}
		note := func(scope *model.Scope, x *Node) {
			d := x.Shape().Dimensions
			positions := x.Shape().Size() / max(1, d[0]*d[len(d)-1])
			if len(found.collect) == 0 || positions < found.positions {
				found.positions, found.narrowest = positions, scope.Scope()
			}
			if x.Rank() > 2 && positions == 1 && found.onePosition == "" {
				found.onePosition = scope.Scope()
			}
			if !slices.Contains(found.collect, scope.Scope()) {
				found.collect = append(found.collect, scope.Scope())
			}
		}
		norm.With(g, asked{note}, func() {
			pass.Through(g, pass.Pass{Mode: pass.Infer, Taps: []pass.Tap{see}}, func() {
				found.answer = slices.Clone(c.Bundle.Logits(c.Bundle.Store.RootScope(), x).Shape().Dimensions[1:])
			})
		})
	})
	if err != nil {
		return found, fmt.Errorf("adapt %s: network on input %v: %w", c.who, c.Bundle.Manifest.InputShape, root(err))
	}
	return found, nil
}

// least is the smallest batch in which every channel of the narrowest norm has so many values, 1 or 2.
func (n norms) least(values int) int {
	if len(n.collect) > 0 && n.positions < values {
		return values
	}
	return 1
}

// collecting are the norms of a network that a method of statistics works on; a network without any is refused.
func (c *copied) collecting() (norms, error) {
	found, err := c.findNorms()
	if err != nil {
		return found, err
	}
	if len(found.collect) == 0 {
		return found, usage(c.who, "the network %s of %s has no norm that collects statistics in training, as batch normalisation does, so there is nothing "+
			"to take from other inputs; choose a model that has some (an exported graph or a folded model has lost them)", zoo.Name(c.Bundle.Manifest.Network.Network), c.name())
	}
	return found, c.finite(found)
}

// finite refuses a model whose collected statistics are no numbers.
func (c *copied) finite(found norms) error {
	for v := range c.Bundle.Store.IterVariables() {
		if param.Of(v) != param.Statistic || v.DType() != dtypes.Float32 || !slices.Contains(found.collect, path.Dir(v.Path())) {
			continue
		}
		values, err := read(v)
		if err != nil {
			return fmt.Errorf("adapt %s: %s: %w", c.who, v.Path(), err)
		}
		for i, x := range values {
			if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
				return &fault.Input{
					File: c.name(), Field: v.Path(), Err: fmt.Errorf("channel %d of the running statistics is %v", i, x),
					Fix: "the training that made them diverged; train the model again, with a smaller learning rate",
				}
			}
		}
	}
	return nil
}

// affine are the trained scales and offsets of the norms of a network.
func (c *copied) affine(found norms) []*model.Variable {
	scopes := slices.Concat(found.all, found.collect)
	var variables []*model.Variable
	for v := range c.Bundle.Store.IterVariables() {
		name := path.Base(v.Path())
		if (name == "scale" || name == "offset") && v.Trainable && slices.Contains(scopes, path.Dir(v.Path())) {
			variables = append(variables, v)
		}
	}
	return variables
}

// logits are the answers of the model to x at inference, with statistics from a source.
func (c *copied) logits(scope *model.Scope, source norm.Source, x *Node) *Node {
	var out *Node
	g := x.Graph()
	norm.With(g, source, func() {
		pass.Through(g, pass.Pass{Mode: pass.Infer}, func() { out = c.Bundle.Logits(scope, x) })
	})
	return out
}

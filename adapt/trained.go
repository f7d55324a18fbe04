package adapt

import (
	"errors"
	"strings"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/zoo"
)

// affineTrainer is what the methods share that train scales and offsets of norms: a step answers with the weights as they are, and then moves
// them by the gradient of a loss of the answers.
type affineTrainer struct {
	who       string
	source    norm.Source
	optimizer optim.Optimizer
	loss      func(logits *Node) *Node // a scalar, of logits [rows, classes]

	// hold, if not nil, is where the step moves nothing: a bool scalar, of the logits.
	hold func(scope *model.Scope, logits *Node) *Node
}

// adam is what TENT's authors take for small images: Adam at 1e-3 without decay.
func adam() optim.Choice {
	o := optim.NewAdamW()
	o.LR, o.WeightDecay = 1e-3, 0
	return optim.Choice{Optimizer: o}
}

// valid says what is wrong with the options that the methods share.
func (a affineTrainer) valid() error {
	return errors.Join(validSource(a.source), validOptimizer(a.optimizer))
}

// validOptimizer says what is wrong with an optimizer.
func validOptimizer(o optim.Optimizer) error {
	if o == nil {
		return errors.New("there is no optimizer; name one, such as adamw")
	}
	if err := o.Validate(); err != nil {
		return errors.New(strings.ReplaceAll(err.Error(), "recipe: ", ""))
	}
	return nil
}

// start makes the adapter. It refuses a network without norms that have a scale or an offset, and a model that does not classify.
func (a affineTrainer) start(m Model) (Adapter, error) {
	if err := a.valid(); err != nil {
		return nil, usage(a.who, "%v", err)
	}
	c, err := newCopy(a.who, m)
	if err != nil {
		return nil, err
	}
	found, variables, err := a.look(c)
	if err != nil {
		c.Close()
		return nil, err
	}
	return adapterOr(newStepper(c, found, a.source, func(c *copied, scope *model.Scope, x *Node) *Node {
		logits := c.logits(scope, a.source, x)
		rows := Reshape(logits, -1, logits.Shape().Dimensions[logits.Rank()-1])
		a.move(c, variables, rows)
		return logits
	}))
}

// look finds what is trained.
func (a affineTrainer) look(c *copied) (norms, []*model.Variable, error) {
	if err := c.classifies(); err != nil {
		return norms{}, nil, err
	}
	found, err := c.findNorms()
	if err == nil {
		err = c.finite(found)
	}
	if err != nil {
		return found, nil, err
	}
	variables := c.affine(found)
	if len(variables) == 0 {
		return found, nil, usage(a.who, "the network %s of %s has no norm with a scale or an offset, which is what the method trains; choose a model with norms",
			zoo.Name(c.Bundle.Manifest.Network.Network), c.name())
	}
	return found, variables, nil
}

// classifies refuses a model whose answers are no logits of classes.
func (c *copied) classifies() error {
	if task := c.Bundle.Manifest.Answers(); task != zoo.Classify && task != zoo.Segment {
		return usage(c.who, "the task of %s is %s; the method needs the logits of a model that classifies", c.name(), task)
	}
	return nil
}

// move moves the variables once, and keeps all as it was where the step is held.
func (a affineTrainer) move(c *copied, variables []*model.Variable, rows *Node) {
	g, own := rows.Graph(), c.Bundle.Store.Scope(Scope)
	minimizer := optim.Minimizer{Optimizer: a.optimizer}
	if a.hold == nil {
		minimizer.Step(own.At("optimizer"), a.loss(rows), variables)
		return
	}

	held := a.hold(own, rows)
	state := minimizer.Declare(own.At("optimizer"), variables)
	moving := append(state.Variables(), variables...)
	before := make([]*Node, len(moving))
	for i, v := range moving {
		before[i] = v.NodeValue(g)
	}
	minimizer.Step(own.At("optimizer"), a.loss(rows), variables)
	for i, v := range moving {
		v.SetNodeValue(Where(BroadcastToDims(held, v.Shape().Dimensions...), before[i], v.NodeValue(g)))
	}
}

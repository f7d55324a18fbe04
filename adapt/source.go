package adapt

import (
	"errors"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/nn/norm"
)

// buildStep is a step of a method: it returns the answers to x, and moves what it moves.
type buildStep func(c *copied, scope *model.Scope, x *Node) *Node

// startSource is an adapter that changes the source of statistics and nothing else.
func startSource(who string, m Model, source norm.Source) (Adapter, error) {
	return startWith(who, m, source, func(c *copied, scope *model.Scope, x *Node) *Node { return c.logits(scope, source, x) })
}

// startWith is an adapter on a network with norms that collect. source is where its step takes statistics from.
func startWith(who string, m Model, source norm.Source, build buildStep) (Adapter, error) {
	if err := validSource(source); err != nil {
		return nil, usage(who, "%v", err)
	}
	c, err := newCopy(who, m)
	if err != nil {
		return nil, err
	}
	found, err := c.collecting()
	if err != nil {
		c.Close()
		return nil, err
	}
	return adapterOr(newStepper(c, found, source, build))
}

// validSource says what is wrong with the source of a method.
func validSource(source norm.Source) error {
	if source == nil {
		return errors.New("there is no source of statistics; name one, such as batch")
	}
	return norm.ValidateSource(source)
}

// valuesOf is how many values of a channel a source takes its statistics from at least.
func valuesOf(source norm.Source) int {
	switch s := source.(type) {
	case norm.Mixed:
		if s.SourceWeight < 1 {
			return 2
		}
	case norm.FromBatch, norm.Prior, norm.EMA:
		return 2
	}
	return 1
}

// sourceWarning says what a source should better not be used for in a network, "" = nothing.
func sourceWarning(source norm.Source, found norms) string {
	u, ok := source.(norm.UnMix)
	switch {
	case !ok:
		return ""
	case u.K == 1:
		return "unmix with one component is instance normalisation, whatever the stream; use k=16 for components that follow it"
	case found.onePosition != "":
		return "unmix: the norm " + found.onePosition + " sees one position of an image, whose own variance is 0"
	}
	return ""
}

// adapterOr is nil where there is an error: a nil pointer in an interface is not.
func adapterOr(s *stepper, err error) (Adapter, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}

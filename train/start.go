package train

import (
	"errors"
	"fmt"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/own"
)

// start opens the model that init.model names; nil where it names none.
func (r Recipe) start(mine own.Registry) (*bundle.Bundle, error) {
	if r.Init.Model == "" {
		return nil, nil
	}
	from, err := bundle.Open(r.Init.Model, mine)
	if err != nil {
		return nil, fmt.Errorf("recipe: init.model: %w", err)
	}
	return from, nil
}

// startWith gives the network of a state the weights that it begins with, if it begins with any.
func (l *Loop) startWith(s *state) (remark string, err error) {
	if l.start == nil {
		return "", nil
	}
	return startFrom(l.start, l.recipe.Init.Model, s.model)
}

// startFrom gives the variables of a network the values that they have in a trained model, and returns what a person should know of it.
// The last layer keeps its own first values where it has another number of outputs there; anything else that differs is an error.
func startFrom(from *bundle.Bundle, path string, variables []*model.Variable) (remark string, err error) {
	left := map[string]*model.Variable{}
	for _, v := range from.Variables() {
		left[v.Path()] = v
	}
	fresh := false
	for _, v := range variables {
		other := left[v.Path()]
		delete(left, v.Path())
		switch {
		case other == nil:
			return "", otherNetwork(from, path, fmt.Sprintf("it has no %s", v.Path()))
		case other.Shape().Equal(v.Shape()):
			err = copyValue(other, v)
		case param.Of(v) == param.Output:
			fresh = true
		default:
			err = otherNetwork(from, path, fmt.Sprintf("its %s is %s, that of the recipe's network %s", v.Path(), other.Shape(), v.Shape()))
		}
		if err != nil {
			return "", err
		}
	}
	for _, v := range from.Variables() {
		if left[v.Path()] != nil {
			return "", otherNetwork(from, path, fmt.Sprintf("the recipe's network has no %s", v.Path()))
		}
	}

	if fresh {
		return fmt.Sprintf("init.model: the last layer begins anew: %s has %d outputs", path, from.Manifest.Network.Outputs()), nil
	}
	return "", nil
}

// copyValue gives a variable the value of another one, in memory of its own.
func copyValue(from, to *model.Variable) error {
	value, err := from.Value()
	if err != nil {
		return fmt.Errorf("train: %s: %w", from.Path(), err)
	}
	var copied *tensors.Tensor
	if copied, err = value.LocalClone(); err == nil {
		err = to.SetValue(copied)
	}
	if err != nil {
		return fmt.Errorf("train: %s: %w", from.Path(), err)
	}
	return nil
}

// otherNetwork says that a model is not of the recipe's network, and which network is its.
func otherNetwork(from *bundle.Bundle, path, what string) error {
	network, err := from.Manifest.Network.MarshalJSON()
	if err != nil {
		return errors.Join(errors.New(what), err)
	}
	return &fault.Usage{Err: fmt.Errorf("recipe: init.model: %s is of another network: %s; use network: %s", path, what, network)}
}

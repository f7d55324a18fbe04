package train

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/own"
	"github.com/ballast-ml/ballast/zoo"
)

// start is the trained model that a network begins with.
type start struct {
	*bundle.Bundle
	name     string // as the recipe has it
	checksum string // of its files: a run that resumes keeps the model's standardisation, so it must be the same one
}

// start opens the model that init.model names; nil where it names none.
func (r Recipe) start(ctx context.Context, mine own.Registry) (*start, error) {
	if r.Init.Model == "" {
		return nil, nil
	}
	path, err := data.ModelPath(r.Init.Model)
	if err != nil {
		return nil, fmt.Errorf("recipe: init.model: %w", err)
	}
	from, err := bundle.Open(path, mine)
	if err != nil {
		return nil, fmt.Errorf("recipe: init.model: %w", err)
	}
	sums, err := bundle.Checksums(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("recipe: init.model: %w", err)
	}

	s := &start{Bundle: from, name: r.Init.Model}
	for _, sum := range sums {
		s.checksum += sum.SHA256
	}
	return s, nil
}

// fill gives the variables of a network the values that they have in the model, and returns what a person should know of it. The last layer
// keeps its own first values where it has another number of outputs there; anything else that differs is an error. A variable that the model
// lacks begins as the one that zoo.Beginning names.
func (s *start) fill(network zoo.Choice, variables []*model.Variable) (remark string, err error) {
	left, all := map[string]*model.Variable{}, map[string]*model.Variable{}
	for _, v := range s.Variables() {
		left[v.Path()], all[v.Path()] = v, v
	}
	fresh := false
	for _, v := range variables {
		from := left[v.Path()]
		delete(left, v.Path())
		if from == nil {
			from = all[beginsAs(network.Network, v.Path())]
		}
		switch {
		case from == nil:
			err = s.another(fmt.Sprintf("it has no %s", v.Path()))
		case from.Shape().Equal(v.Shape()):
			err = assign(v, from)
		case param.Of(v) == param.Output && otherOutputs(from.Shape(), v.Shape()):
			fresh = true
		default:
			err = s.another(fmt.Sprintf("its %s is %s, that of the recipe's network %s", v.Path(), from.Shape(), v.Shape()))
		}
		if err != nil {
			return "", err
		}
	}
	for _, v := range s.Variables() {
		if left[v.Path()] != nil {
			return "", s.another(fmt.Sprintf("the recipe's network has no %s", v.Path()))
		}
	}

	if fresh {
		return fmt.Sprintf("init.model: the last layer begins anew: %s has %d outputs", s.name, s.Manifest.Network.Outputs()), nil
	}
	theirs, mine, err := texts(s.Manifest.Network, network)
	if err == nil && theirs != mine {
		remark = fmt.Sprintf("init.model: the weights of %s fit, its options are others: its network is %s", s.name, theirs)
	}
	return remark, err
}

// modelPath begins the paths of a network's variables.
const modelPath = "/model/"

// beginsAs is the variable that another one of a network begins as a copy of, "" = none.
func beginsAs(n zoo.Network, path string) string {
	b, ok := n.(zoo.Beginning)
	below, inModel := strings.CutPrefix(path, modelPath)
	if !ok || !inModel {
		return ""
	}
	if of := b.BeginsAs(below); of != "" {
		return modelPath + of
	}
	return ""
}

// otherOutputs reports whether two shapes of a last layer, [..., outputs], differ in the number of outputs alone.
func otherOutputs(a, b shapes.Shape) bool {
	last := a.Rank() - 1
	return a.DType == b.DType && last >= 0 && b.Rank() == a.Rank() && slices.Equal(a.Dimensions[:last], b.Dimensions[:last])
}

// another says that the model is not of the recipe's network, and which network is its.
func (s *start) another(what string) error {
	network, err := s.Manifest.Network.MarshalJSON()
	if err != nil {
		return errors.Join(errors.New(what), err)
	}
	return &fault.Usage{Err: fmt.Errorf("recipe: init.model: %s is of another network: %s; use network: %s", s.name, what, network)}
}

// texts are two networks as recipes have them.
func texts(a, b zoo.Choice) (string, string, error) {
	first, err := a.MarshalJSON()
	if err != nil {
		return "", "", err
	}
	second, err := b.MarshalJSON()
	return string(first), string(second), err
}

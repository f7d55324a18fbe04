package optim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/internal/choice"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/own"
)

// Optimizer turns the gradients of variables into updates. It is a plain struct value; what it keeps of a variable are its slots.
type Optimizer interface {
	Validate() error // says what is wrong with the options, and how to fix it
	Rate() float64   // learning rate, before a schedule
	Slots() []string // what it keeps of each variable, in its shape, 0 before the first update

	// Columns are the numbers of an update that it needs beside the rate; InGraph computes the same from done, the updates made so far,
	// a float32 scalar.
	Columns() []Column
	InGraph(done *Node) []*Node

	// Move returns what w, the value of v, becomes, and sets the slots.
	Move(v *model.Variable, w, gradient *Node, at Moved) *Node
}

// Moved is what an Optimizer moves a variable with, beside its gradient.
type Moved struct {
	Rate    *Node             // learning rate of the update, float32
	Columns []*Node           // as Optimizer.Columns names them, float32
	Slots   []*model.Variable // as Optimizer.Slots names them
	Only    *tensors.Tensor   // of the variable's shape: where it is moved; nil = everywhere
}

// Move moves a variable by its gradient.
func Move(o Optimizer, v *model.Variable, gradient *Node, at Moved) {
	g := gradient.Graph()
	w := o.Move(v, v.NodeValue(g), gradient, at)
	if at.Only != nil {
		w = Where(ConstTensor(g, at.Only), w, v.NodeValue(g))
	}
	v.SetNodeValue(w)
}

// Kind is an optimizer that can be chosen by name: its Name, and New, which returns it with its defaults.
type Kind = choice.Kind[Optimizer]

// All is every optimizer that has a name, with its defaults.
func All() []Kind {
	return []Kind{
		{Name: "sgd", New: func() Optimizer { return NewSGD() }},
		{Name: "adamw", New: func() Optimizer { return NewAdamW() }},
	}
}

// Choice is an optimizer chosen by name in a recipe: "sgd", or {"name": "adamw", "lr": 0.001}. Options without a name are those of the
// optimizer that stands there already. An option that only another optimizer has is ignored at the value it has there by default, which is
// what stays behind when the name is changed in a whole recipe.
type Choice struct{ Optimizer }

// MarshalJSON writes the name and the options.
func (c Choice) MarshalJSON() ([]byte, error) { return choice.Encode("optimizer", All(), c.Optimizer) }

// UnmarshalJSON reads a name, a name with options, or options; an unknown one is an error that names the nearest.
func (c *Choice) UnmarshalJSON(data []byte) error { return c.UnmarshalOwn(data, nil) }

// UnmarshalOwn is UnmarshalJSON where names may be a program's own.
func (c *Choice) UnmarshalOwn(data []byte, r own.Registry) (err error) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(data, &fields) == nil && fields != nil {
		if fields["name"] == nil && c.Optimizer != nil {
			if fields["name"], err = json.Marshal(Name(c.Optimizer)); err != nil {
				return err
			}
		}
		if err := leaveOut(fields, r); err != nil {
			return err
		}
		if data, err = json.Marshal(fields); err != nil {
			return err
		}
	}
	c.Optimizer, err = choice.Decode("optimizer", All(), data, r)
	return err
}

// leaveOut removes the options that only other optimizers have, where they have their defaults.
func leaveOut(fields map[string]json.RawMessage, r own.Registry) error {
	var name string
	_ = json.Unmarshal(fields["name"], &name) // what is no name is told by what decodes it
	has := map[string]json.RawMessage{}
	defaults := map[string]json.RawMessage{}
	kinds, err := choice.With("optimizer", All(), r)
	if err != nil {
		return err
	}
	for _, k := range kinds {
		text, err := json.Marshal(k.New())
		if err != nil {
			return err
		}
		into := &defaults
		if k.Name == name {
			into = &has
		}
		if err := json.Unmarshal(text, into); err != nil {
			return err
		}
	}
	for key, value := range fields {
		if has[key] == nil && defaults[key] != nil && bytes.Equal(value, defaults[key]) {
			delete(fields, key)
		}
	}
	return nil
}

// Name returns the name an optimizer has in All, or its Go type.
func Name(o Optimizer) string { return choice.NameOf(All(), o) }

// decays says whether a variable decays when these roles do. Of the output layer only the kernel does, unless all variables do.
func decays(v *model.Variable, roles []string) bool {
	role := param.Of(v)
	return slices.Contains(roles, "all") || slices.Contains(roles, string(role)) && (role != param.Output || v.Shape().Rank() > 1)
}

// checks collects what is wrong with the options of a value of a recipe.
type checks struct {
	key  string
	errs []error
}

func (c *checks) that(ok bool, key string, got any, fix string) {
	if !ok {
		c.errs = append(c.errs, fmt.Errorf("recipe: %s.%s is %s; %s", c.key, key, strict.Short(fmt.Sprint(got)), fix))
	}
}

func (c *checks) err() error { return errors.Join(c.errs...) }

// decay checks rate and roles of the weight decay.
func (c *checks) decay(weightDecay float64, roles []string) {
	c.that(finite(weightDecay) && weightDecay >= 0, "weight_decay", weightDecay, "use a finite number, at least 0")
	c.that(len(roles) <= 4, "decay", roles, "name each role once")
	for _, role := range roles[:min(len(roles), 4)] {
		c.that(slices.Contains([]string{"kernel", "affine", "output", "all"}, role), "decay", role, "use kernel, affine, output or all")
	}
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

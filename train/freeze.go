package train

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/nn/param"
)

// Freeze says which variables a run trains; the others keep their first values bit for bit: no gradient is computed for them, they do
// not decay, and they have no optimizer state. Norms go on normalising with the batch and collecting running values whether or not their
// variables are trained. Train is a union of
//
//	all        every variable that can be trained
//	bn         scales and offsets of norms, those of shortcuts too
//	output     the last layer
//	shortcut   kernels of shortcut convolutions
//	others     what is none of these: kernels and biases
//	all-bn     everything but bn
//
// RandomPerChannel trains, besides, this many weights of each output channel of every kernel but the output's, drawn with Seed.
// Source: Frankle, Schwab, Morcos, "Training BatchNorm and Only BatchNorm", arXiv 2003.00152.
type Freeze struct {
	Train            []string `json:"train"`              // [all]
	RandomPerChannel int      `json:"random_per_channel"` // 0
	Seed             uint64   `json:"seed"`               // of the random weights; 0
}

// Group is what a trained variable is to a freezing policy and a count of parameters.
type Group string

// The groups.
const (
	GroupNorm     Group = "bn"       // scales and offsets of norms
	GroupOutput   Group = "output"   // the last layer
	GroupShortcut Group = "shortcut" // kernels of shortcut convolutions
	GroupOthers   Group = "others"   // other kernels, and biases
)

var freezePolicies = []string{"all", string(GroupNorm), string(GroupOutput), string(GroupShortcut), string(GroupOthers), "all-bn"}

// GroupOf returns the group of a variable that can be trained.
func GroupOf(v *model.Variable) Group {
	switch {
	case param.Of(v) == param.Output:
		return GroupOutput
	case param.Of(v) == param.Affine && v.Name() != "bias":
		return GroupNorm
	case param.Of(v) == param.Kernel && strings.Contains(v.Path(), "/shortcut/"):
		return GroupShortcut
	}
	return GroupOthers
}

// Validate says what is wrong with the policy, and how to fix it.
func (f Freeze) Validate() error {
	for _, name := range f.Train {
		if slices.Contains(freezePolicies, name) {
			continue
		}
		if near, ok := strict.Nearest(name, freezePolicies); ok {
			return fmt.Errorf("recipe: freeze.train has no %q (did you mean %s?)", strict.Short(name), near)
		}
		return fmt.Errorf("recipe: freeze.train has no %q; use %s", strict.Short(name), strings.Join(freezePolicies, ", "))
	}
	if f.RandomPerChannel < 0 {
		return fmt.Errorf("recipe: freeze.random_per_channel is %d; use 0 for none", f.RandomPerChannel)
	}
	if len(f.Train) == 0 && f.RandomPerChannel == 0 {
		return fmt.Errorf("recipe: freeze.train is empty, so nothing would be trained; use %s", strings.Join(freezePolicies, ", "))
	}
	return nil
}

// Trained is a variable that is trained, wholly or where Only is true.
type Trained struct {
	Variable *model.Variable
	Only     *tensors.Tensor // bool, of the variable's shape; nil = all of it
}

// Select returns what is trained of the variables that can be, in their order. A policy that matches none is an error.
func (f Freeze) Select(variables []*model.Variable) ([]Trained, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	matched := map[string]bool{}
	var trained []Trained
	for _, v := range variables {
		group := string(GroupOf(v))
		whole := false
		for _, name := range f.Train {
			if name == "all" || name == group || name == "all-bn" && group != string(GroupNorm) {
				whole, matched[name] = true, true
			}
		}
		switch {
		case whole:
			trained = append(trained, Trained{Variable: v})
		case f.RandomPerChannel > 0 && param.Of(v) == param.Kernel:
			matched["random_per_channel"] = true
			trained = append(trained, Trained{v, f.mask(v)})
		}
	}
	wanted := slices.Clone(f.Train)
	if f.RandomPerChannel > 0 && len(trained) == 0 {
		wanted = append(wanted, "random_per_channel")
	}
	for _, name := range wanted {
		if !matched[name] {
			return nil, &fault.Input{Err: fmt.Errorf("train: freeze.train %s matches no variable of the network; there are %s", name, groupsOf(variables))}
		}
	}
	return trained, nil
}

// mask draws the weights of a kernel [..., channels] that are trained: the same for a seed and a path, on every engine.
func (f Freeze) mask(v *model.Variable) *tensors.Tensor {
	h := fnv.New64a()
	h.Write([]byte(v.Path()))
	r := rand.New(rand.NewPCG(f.Seed, h.Sum64()))
	d := v.Shape().Dimensions
	channels := d[len(d)-1]
	fanIn := v.Shape().Size() / channels
	flat := make([]bool, v.Shape().Size())
	for c := range channels {
		for _, i := range r.Perm(fanIn)[:min(f.RandomPerChannel, fanIn)] {
			flat[i*channels+c] = true
		}
	}
	return tensors.FromFlatDataAndDimensions(flat, d...)
}

// groupsOf lists the groups that variables belong to, for an error.
func groupsOf(variables []*model.Variable) string {
	var names []string
	for _, v := range variables {
		if name := string(GroupOf(v)); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// ParamReport counts the parameters of a network by what they are.
type ParamReport struct {
	Kernels   int `json:"kernels"`   // without those of shortcuts and of the output
	Shortcuts int `json:"shortcuts"` // kernels of shortcut convolutions
	Norms     int `json:"norms"`     // scales and offsets of norms, those of shortcuts too
	Biases    int `json:"biases"`    // without those of the output
	Output    int `json:"output"`    // the last layer
	Total     int `json:"total"`
}

// CountParams counts the variables that can be trained.
func CountParams(variables []*model.Variable) ParamReport {
	var r ParamReport
	for _, v := range variables {
		n := v.Shape().Size()
		switch GroupOf(v) {
		case GroupNorm:
			r.Norms += n
		case GroupOutput:
			r.Output += n
		case GroupShortcut:
			r.Shortcuts += n
		default:
			if v.Name() == "bias" {
				r.Biases += n
			} else {
				r.Kernels += n
			}
		}
		r.Total += n
	}
	return r
}

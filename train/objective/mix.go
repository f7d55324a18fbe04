package objective

import (
	"errors"
	"slices"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/data/augment"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/train/update"
	"github.com/ballast-ml/ballast/zoo"
)

// mixes reports whether examples are mixed.
func (o Supervised) mixes() bool { return mixes(o.Mix) }

func mixes(m augment.MixingChoice) bool {
	_, none := m.Mixing.(augment.NoMixing)
	return m.Mixing != nil && !none
}

// parts reports whether a module stands between features and head.
func (o Supervised) parts() bool {
	_, none := o.Between.or().(Nothing)
	return !none
}

// checkMix refuses a mixing whose targets cannot be made, or whose examples are on several devices.
func (o Supervised) checkMix(p update.Plan) error {
	if !o.mixes() {
		return nil
	}
	name := augment.MixingName(o.Mix.Mixing)
	errs := []error{checkOnce(loss.Name(o.Loss.Loss), o.Loss.Loss, "a mixture is of several examples")}
	refuse := func(when bool, format string, args ...any) {
		if when {
			errs = append(errs, usage("objective.mix: "+format, args...))
		}
	}

	train := p.Streams[update.Train]
	refuse(train.Targets == loss.Masks, "%s has no mixture of masks; use mix: none", name)
	refuse(len(o.Extra) > 0, "%s mixes examples, and objective.extra compares whole ones; leave one of the two out", name)
	refuse(p.Devices > 1, "%s mixes the examples of a batch with each other, and %d devices would each see a part of it; use one device", name, p.Devices)

	if _, ok := o.Mix.Mixing.(augment.Retargeting); ok {
		refuse(train.Targets != loss.Labels, "%s makes shares of classes, and the data has %s; use data with classes", name, train.Targets)
		_, sees := p.Network.(zoo.Attending)
		refuse(!sees, "%s follows the attention of a class token, and network %s has none; use network vit with pooling class", name, zoo.Name(p.Network))
	}
	return errors.Join(errs...)
}

// checkBetween refuses a module where there is no place for it.
func (o Supervised) checkBetween(p update.Plan) error {
	if !o.parts() {
		return nil
	}
	name := BetweenName(o.Between.Between)
	errs := []error{o.Between.Validate(p), checkOnce(loss.Name(o.Loss.Loss), o.Loss.Loss, name+" gives several answers for it")}
	if _, ok := p.Network.(zoo.Featured); !ok {
		errs = append(errs, usage("objective.between: %s acts between features and head, and network %s is not in two parts; use one that is, for example mlp",
			name, zoo.Name(p.Network)))
	}
	return errors.Join(errs...)
}

// examples are what goes into the network for a batch.
type examples struct {
	x, mask *Node
	mixture func(look func(pass.Pass)) (targets *Node) // nil = the examples as they are
}

// seen has look go through the network and returns the targets of mixtures, nil where nothing is mixed.
func (e examples) seen(look func(pass.Pass)) (targets *Node) {
	if e.mixture == nil {
		look(pass.Pass{})
		return nil
	}
	return e.mixture(look)
}

// examples mixes a batch, where there is a mixing.
func (o Supervised) examples(s *update.Step, p update.Plan, b update.Batch) examples {
	x := b.Views[0]
	if !o.mixes() {
		return examples{x: x, mask: b.Mask}
	}
	m := o.Mix.Mix(augment.Draws{Column: s.Column, Random: s.Random("mix"), Live: b.Mask, Labels: b.Labels}, x)
	whole := b.Targets
	if whole == nil {
		whole = OneHot(b.Labels, p.Network.Outputs(), dtypes.Float32) // padding, whose label is -1, gets zeros
	}
	mixture := func(look func(pass.Pass)) *Node {
		look(pass.Pass{})
		return m.Targets(whole)
	}

	// The targets follow where the very pass looks whose answers they are for.
	if r, ok := o.Mix.Mixing.(augment.Retargeting); ok {
		network := p.Network.(zoo.Attending)
		mixture = func(look func(pass.Pass)) *Node {
			var attention *Node
			look(pass.Pass{Taps: []pass.Tap{network.ClassAttention(&attention)}})
			if attention == nil {
				Panicf("mix: %s follows the attention of a class token, and network %s shows none; use pooling class and attention of the kernel softmax",
					augment.MixingName(r), zoo.Name(p.Network))
			}
			d := x.Shape().Dimensions
			rows, columns := network.Grid(d[1], d[2])
			return r.Retarget(m, whole, Reshape(attention, attention.Shape().Dimensions[0], rows, columns))
		}
	}
	return examples{x: m.X, mask: times(b.Mask, m.Copies), mixture: mixture}
}

// copied is what a loss sees where there are rows answers for fewer examples: copy after copy of what is known of them.
func copied(in loss.In, rows int) loss.In {
	for _, of := range []**Node{&in.Labels, &in.Targets, &in.Index, &in.Weights, &in.Mask} {
		if *of != nil && (*of).Shape().Dimensions[0] > 0 {
			*of = times(*of, rows/(*of).Shape().Dimensions[0])
		}
	}
	return in
}

// times is x so many times, one after the other.
func times(x *Node, copies int) *Node {
	if x == nil || copies <= 1 {
		return x
	}
	return Concatenate(slices.Repeat([]*Node{x}, copies), 0)
}

package zoo

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/mixer"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/nn/residual"
)

// transformer is what decoder and vit share: blocks of a mixer and a feed-forward part, each with a norm and a residual connection.
type transformer struct {
	layers, dim int
	mixer       mixer.Mixer
	norm        norm.Layer
	placement   residual.Placement
	feed        string
	ratio       float64
	dropout     linear.Dropout
	noBias      bool
}

// SwiGLU is the feed-forward part (silu(x Wg + bg) (x W1 + b1)) W2 + b2 of Shazeer, "GLU Variants Improve Transformer", arXiv 2002.05202.
// The others are named by their activation a: a(x W1 + b1) W2 + b2.
const SwiGLU = "swiglu"

// feeds are the names of feed-forward parts.
var feeds = []string{linear.GELU.String(), linear.ReLU.String(), linear.SiLU.String(), linear.Tanh.String(), SwiGLU}

// validate says what is wrong with the options. network names it.
func (t transformer) validate(network, depth string) error {
	errs := []error{count(network, depth, t.layers, 1), count(network, "dim", t.dim, 1)}
	if t.layers > maxLayers {
		errs = append(errs, fmt.Errorf("%s: %s is %d; use at most %d", network, depth, t.layers, maxLayers))
	}
	if t.mixer == nil {
		errs = append(errs, fmt.Errorf("%s: mixer is missing; name one, such as attention", network))
	} else if err := t.mixer.Validate(t.dim); err != nil {
		errs = append(errs, fmt.Errorf("%s: %w", network, err))
	}
	if t.placement == nil {
		errs = append(errs, fmt.Errorf("%s: placement is missing; use pre or post", network))
	}
	if !slices.Contains(feeds, t.feed) {
		text := "there are " + strings.Join(feeds, ", ")
		if near, ok := strict.Nearest(t.feed, feeds); ok {
			text = "did you mean " + near + "?"
		}
		errs = append(errs, fmt.Errorf("%s: no feed %q; %s", network, t.feed, text))
	}
	if !(t.ratio > 0) || t.ratio > maxUnits || t.hidden() < 1 || t.hidden() > maxUnits {
		errs = append(errs, fmt.Errorf("%s: mlp_ratio is %v of dim %d; use a ratio that makes 1 to %d units", network, t.ratio, t.dim, maxUnits))
	}
	if !(t.dropout.Rate >= 0 && t.dropout.Rate < 1) {
		errs = append(errs, fmt.Errorf("%s: dropout is %v; use a share from 0 to below 1", network, t.dropout.Rate))
	}
	return errors.Join(append(errs, validNorm(network, t.norm))...)
}

// validNorm checks the norm of a network.
func validNorm(network string, n norm.Layer) error {
	if n == nil {
		return fmt.Errorf("%s: norm is missing; name one, or identity for none", network)
	}
	if checked, ok := n.(interface{ Validate() error }); ok {
		if err := checked.Validate(); err != nil {
			return fmt.Errorf("%s: %w", network, err)
		}
	}
	return nil
}

// hidden are the units of the feed-forward part.
func (t transformer) hidden() int { return int(math.Round(t.ratio * float64(t.dim))) }

// part is the name of the mixer's part and its scope.
func (t transformer) part() string {
	name := mixer.Name(t.mixer)
	if strings.Contains(name, ".") { // the Go type of one that is not in the list
		return "mixer"
	}
	return name
}

// block is block i, from 0, of h [batch, time, dim].
func (t transformer) block(scope *model.Scope, i int, h *Node, c mixer.Context) *Node {
	layer := scope.In("layer_%d", i+1)
	c.Layer, c.Layers = i, t.layers

	for _, part := range []struct {
		name  string
		apply func(scope *model.Scope, x *Node) *Node
	}{
		{t.part(), func(scope *model.Scope, x *Node) *Node { return t.mixer.Apply(scope, x, c) }},
		{"feed", t.feedForward},
	} {
		at := layer.In("%s", part.name)
		place := residual.Place{Layer: i, Layers: t.layers, Part: part.name}
		h = t.placement.Block(place, h,
			func(name string, x *Node) *Node { return t.normalise(at.In("%s", name), x, c.Padding) },
			func(x *Node) *Node { return t.dropout.Apply(at, part.apply(at, x), c.Random) },
		)
		h = pass.See(at, pass.Stream, h)
	}
	return h
}

// last is the norm behind the last block, where the placement has one.
func (t transformer) last(scope *model.Scope, h, padding *Node) *Node {
	if !t.placement.Last(t.layers) {
		return h
	}
	return t.normalise(scope.In("last").In("norm"), h, padding)
}

// normalise is the norm, which takes nothing from padding if it can leave it out. One that contains an activation goes without.
func (t transformer) normalise(scope *model.Scope, x, padding *Node) *Node {
	n := t.norm
	if own, ok := n.(norm.Activated); ok && own.Activates() {
		n = own.WithoutActivation(false)
	}
	if masked, ok := n.(norm.Masked); ok && padding != nil {
		return masked.ApplyMasked(scope, x, padding)
	}
	return n.Apply(scope, x)
}

func (t transformer) feedForward(scope *model.Scope, x *Node) *Node {
	dense := func(name string, units int, x *Node) (*model.Scope, *Node) {
		at := scope.In("%s", name)
		return at, linear.Dense{Units: units, NoBias: t.noBias, InitOf: param.LeCunNormal}.Apply(at, x)
	}
	activated := func(a linear.Activation, at *model.Scope, x *Node) *Node {
		return a.Apply(pass.See(at, pass.Preactivation, x))
	}

	in, up := dense("in", t.hidden(), x)
	if t.feed == SwiGLU {
		gate, y := dense("gate", t.hidden(), x)
		up = Mul(activated(linear.SiLU, gate, y), up)
	} else {
		up = activated(linear.Named(t.feed), in, up)
	}
	_, y := dense("out", t.dim, up)
	return y
}

// blocks are what walks over the network must know of each block.
func (t transformer) blocks() []Block {
	feed := []string{"feed/in"}
	if t.feed == SwiGLU {
		feed = append(feed, "feed/gate")
	}
	stages := [][]string{}
	for _, stage := range t.mixer.Linears() {
		var scopes []string
		for _, name := range stage {
			scopes = append(scopes, t.part()+"/"+name)
		}
		stages = append(stages, scopes)
	}
	stages = append(stages, feed, []string{"feed/out"})
	parts := map[string]string{}
	for _, stage := range stages {
		for _, scope := range stage {
			parts[scope], _, _ = strings.Cut(scope, "/")
		}
	}

	all := make([]Block, t.layers)
	for i := range all {
		all[i] = Block{Scope: fmt.Sprintf("layer_%d", i+1), Linears: stages, Part: parts}
	}
	return all
}

package zoo

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/nn/stack"
	"github.com/ballast-ml/ballast/own"
)

// Heads is a network with more heads than one: the trunk's own, whose answers Apply gives, and others with names, each a small MLP on the
// trunk's features,
//
//	y = trunk(x) = head(features(x))      y_name = W_k activation(N(... activation(N(W_1 features(x) + b_1)))) + b_k
//
// An objective takes the others from Named. Paths: the trunk's are those that it has alone, so its weights can be read from a bundle of its
// own; the others are heads/NAME/layer_1/{kernel, bias, norm}, ..., heads/NAME/output. A head of widths h on d features adds
// (d+1) h_1 + (h_1+1) h_2 + ... + (h_n+1) outputs parameters and its norms.
// The default head is the auxiliary one of Yang et al., "Shrinking Class Space for Enhanced Certainty in Semi-Supervised Learning",
// arXiv 2308.06777: two layers with batch normalisation and a leaky ReLU, which learns what the main head must not see.
type Heads struct {
	Trunk Choice `json:"trunk"` // mlp
	Heads []Head `json:"heads"` // one, aux
}

// Head is a head with a name.
type Head struct {
	Name       string            `json:"name"`       // letters, digits and _
	Hidden     []int             `json:"hidden"`     // widths of its layers before the last; none for a dense layer alone
	AsTrunk    bool              `json:"as_trunk"`   // it has as many outputs as the trunk, which data may decide
	Size       int               `json:"outputs"`    // how many it has otherwise
	Norm       norm.Choice       `json:"norm"`       // batch
	Activation linear.Activation `json:"activation"` // leaky-relu
}

// Headed is a network with heads that have names, besides that of Apply.
type Headed interface {
	Featured
	Names() []string

	// Named returns what a head gives for features of the trunk, as Head does, [batch, outputs of that head].
	Named(scope *model.Scope, name string, features *Node) *Node
}

var _ Headed = Heads{}

// NewHead returns ShrinkMatch's head for 128 features; its widths are a quarter of that.
func NewHead(name string) Head {
	return Head{Name: name, Hidden: []int{32, 32}, AsTrunk: true, Size: 10, Norm: norm.Choice{Layer: norm.NewBatch()}, Activation: linear.LeakyReLU}
}

// NewHeads returns an MLP with ShrinkMatch's head.
func NewHeads() Heads {
	trunk := NewMLP()
	trunk.Hidden = []int{256, 128}
	return Heads{Trunk: Choice{Network: trunk}, Heads: []Head{NewHead("aux")}}
}

// UnmarshalJSON fills in the defaults of a head. One with outputs does not go by the trunk, unless it says so.
func (h *Head) UnmarshalJSON(data []byte) error { return h.UnmarshalOwn(data, nil) }

// UnmarshalOwn is UnmarshalJSON where names may be a program's own.
func (h *Head) UnmarshalOwn(data []byte, r own.Registry) error {
	type plain Head
	var given struct {
		AsTrunk *bool `json:"as_trunk"`
		Size    *int  `json:"outputs"`
	}
	if err := json.Unmarshal(data, &given); err != nil {
		return err
	}

	filled := plain(NewHead(""))
	if err := strict.DecodeOwn(data, &filled, r); err != nil {
		return err
	}
	if given.Size != nil && given.AsTrunk == nil {
		filled.AsTrunk = false
	}
	*h = Head(filled)
	return nil
}

var headName = regexp.MustCompile(`^[A-Za-z0-9_]{1,64}$`)

// maxHeads keeps graphs small.
const maxHeads = 64

// Validate reports what is wrong with the options.
func (n Heads) Validate() error {
	var errs []error
	trunk, ok := n.Trunk.Network.(Featured)
	switch {
	case n.Trunk.Network == nil:
		errs = append(errs, errors.New("heads: trunk is missing; name a network, such as mlp"))
	case !ok:
		errs = append(errs, fmt.Errorf("heads: trunk %s has no features to put heads on", Name(n.Trunk.Network)))
	case isHeaded(trunk):
		errs = append(errs, errors.New("heads: the trunk has heads with names of its own; list all of them here"))
	case trunk.Task() != Classify:
		errs = append(errs, fmt.Errorf("heads: trunk %s is for the task %s; heads need a trunk that classifies", Name(trunk), trunk.Task()))
	default:
		errs = append(errs, trunk.Validate())
	}
	if len(n.Heads) == 0 || len(n.Heads) > maxHeads {
		errs = append(errs, fmt.Errorf("heads: there are %d heads with names; use 1 to %d, or the trunk alone", len(n.Heads), maxHeads))
	}
	seen := map[string]bool{}
	for i, head := range n.Heads {
		if !headName.MatchString(head.Name) {
			errs = append(errs, fmt.Errorf("heads: heads.%d.name is %q; use letters, digits and _", i, head.Name))
		}
		if seen[head.Name] {
			errs = append(errs, fmt.Errorf("heads: two heads are called %q; give each a name of its own", head.Name))
		}
		seen[head.Name] = true
		errs = append(errs, head.validate())
	}
	return errors.Join(errs...)
}

func isHeaded(n Network) bool { _, yes := n.(Headed); return yes }

func (h Head) validate() error {
	where := "heads: " + h.Name
	errs := []error{counts(where, "hidden", h.Hidden), validNorm(where, h.Norm.Layer)}
	if !h.AsTrunk {
		errs = append(errs, count(where, "outputs", h.Size, 1))
	}
	if err := h.Activation.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("%s: activation: %w", where, err))
	}
	return errors.Join(errs...)
}

// Task is the trunk's.
func (n Heads) Task() Task { return n.Trunk.Task() }

// Outputs are those of the trunk.
func (n Heads) Outputs() int { return n.Trunk.Outputs() }

// WithOutputs returns the same network with a trunk, and heads that go by it, for another number of outputs.
func (n Heads) WithOutputs(outputs int) Network {
	n.Trunk = Choice{Network: n.Trunk.WithOutputs(outputs)}
	return n
}

// WithNorm returns the same network with another norm in trunk and heads.
func (n Heads) WithNorm(layer norm.Layer) Network {
	n.Trunk = Choice{Network: n.Trunk.WithNorm(layer)}
	heads := make([]Head, len(n.Heads))
	for i, h := range n.Heads {
		h.Norm = norm.Choice{Layer: layer}
		heads[i] = h
	}
	n.Heads = heads
	return n
}

// Apply returns the trunk's answers.
func (n Heads) Apply(scope *model.Scope, x *Node) *Node { return n.Head(scope, n.Features(scope, x)) }

// Features are the trunk's.
func (n Heads) Features(scope *model.Scope, x *Node) *Node { return n.trunk().Features(scope, x) }

// Head is the trunk's. It makes the variables of the other heads too, so that every graph has the same; what they give is not computed.
func (n Heads) Head(scope *model.Scope, features *Node) *Node {
	pass.Through(features.Graph(), pass.Pass{Mode: pass.Infer}, func() {
		for _, h := range n.Heads {
			n.Named(scope, h.Name, StopGradient(features))
		}
	})
	return n.trunk().Head(scope, features)
}

// Names are those of the other heads.
func (n Heads) Names() []string {
	names := make([]string, len(n.Heads))
	for i, h := range n.Heads {
		names[i] = h.Name
	}
	return names
}

// Named returns what a head gives for features. Panics if there is none of this name.
func (n Heads) Named(scope *model.Scope, name string, features *Node) *Node {
	for _, h := range n.Heads {
		if h.Name == name {
			return stack.Run(scope.At("heads").At("%s", name), h.items(n.Outputs()), features)
		}
	}
	Panicf("zoo.Heads: no head %q; there are %v", name, n.Names())
	return nil
}

func (n Heads) trunk() Featured { return n.Trunk.Network.(Featured) }

// items are the layers of a head on a trunk with so many outputs.
func (h Head) items(outputs int) []stack.Item {
	var items []stack.Item
	for i, width := range h.Hidden {
		at := fmt.Sprintf("layer_%d", i+1)
		items = append(items, stack.Item{Scope: at, Layer: linear.Dense{Units: width}})
		items = append(items, stack.Normed(at, h.Norm.Layer, h.Activation)...)
	}
	if !h.AsTrunk {
		outputs = h.Size
	}
	return append(items, outputItem(outputs))
}

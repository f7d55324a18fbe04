package zoo

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/nn/stack"
)

// Branched is a network whose last layers are there several times: once as they are, which is what Apply answers with, and once more for each
// branch, with weights of their own, so that a branch can be trained and the answers of the network stay as they are to the bit:
//
//	y = trunk(x) = last(f)      y_name = last_name(f)      f what the trunk computes up to and with the layer After
//
// Begun from a trained trunk (init.model of a recipe), each branch begins as a copy of its last layers. Paths: the trunk's are those that it
// has alone, a branch's are the same below branches/NAME.
type Branched struct {
	Trunk    Choice   `json:"trunk"`    // a list of layers that classifies; cnn
	After    string   `json:"after"`    // layer behind which it branches, such as block_2; "" = in front of the last one
	Branches []string `json:"branches"` // their names, letters, digits and _; robust, combined
}

// Branching is a network with branches.
type Branching interface {
	Featured // Features are what goes into the branches, Head is the trunk's own last layers
	Names() []string

	// Inner is what goes into the last layer of a branch for the features, and Last is that layer; "" is the trunk's own.
	Inner(scope *model.Scope, branch string, features *Node) *Node
	Last(scope *model.Scope, branch string, inner *Node) *Node
}

// Beginning is a network some of whose weights may begin as copies of others of it.
type Beginning interface {
	Network
	BeginsAs(path string) string // path below the network's scope, of what it may begin as; "" = as its layers say
}

var (
	_ Branching = Branched{}
	_ Beginning = Branched{}
)

// NewBranched returns a CNN with a robust and a combined branch behind its second block.
func NewBranched() Branched {
	return Branched{Trunk: Choice{Network: NewCNN()}, After: "block_2", Branches: []string{"robust", "combined"}}
}

// branchScope is that of the branches.
const branchScope = "branches"

// maxBranches keeps graphs small.
const maxBranches = 16

// Validate reports what is wrong with the options.
func (n Branched) Validate() error {
	var errs []error
	switch trunk, ok := n.Trunk.Network.(Layered); {
	case n.Trunk.Network == nil:
		errs = append(errs, errors.New("branched: trunk is missing; name a network, such as cnn"))
	case !ok:
		errs = append(errs, fmt.Errorf("branched: trunk %s is not a list of layers; use one that is, such as cnn, convnet or mlp", Name(n.Trunk.Network)))
	case trunk.Task() != Classify:
		errs = append(errs, fmt.Errorf("branched: trunk %s is for the task %s; use one that classifies", Name(trunk), trunk.Task()))
	default:
		if err := trunk.Validate(); err != nil {
			errs = append(errs, err)
		} else if _, err := n.cut(); err != nil {
			errs = append(errs, err)
		}
	}
	if len(n.Branches) == 0 || len(n.Branches) > maxBranches {
		errs = append(errs, fmt.Errorf("branched: there are %d branches; use 1 to %d, or the trunk alone", len(n.Branches), maxBranches))
	}
	for i, name := range n.Branches {
		if !headName.MatchString(name) {
			errs = append(errs, fmt.Errorf("branched: branches.%d is %q; use letters, digits and _", i, strict.Short(name)))
		}
		if slices.Contains(n.Branches[:i], name) {
			errs = append(errs, fmt.Errorf("branched: two branches are called %q; give each a name of its own", name))
		}
	}
	return errors.Join(errs...)
}

// cut is the number of layers that are in front of the branches.
func (n Branched) cut() (int, error) {
	items := LayersOf(n.Trunk.Network)
	if n.After == "" {
		return len(items) - 1, nil
	}
	last, known := 0, []string{}
	for i, item := range items[:len(items)-1] {
		name, _, _ := strings.Cut(item.Scope, "/")
		if name != "" && !slices.Contains(known, name) {
			known = append(known, name)
		}
		if item.Scope == n.After || strings.HasPrefix(item.Scope, n.After+"/") {
			last = i + 1
		}
	}
	switch near, ok := strict.Nearest(n.After, known); {
	case last > 0:
		return last, nil
	case ok:
		return 0, fmt.Errorf("branched: after: no layer %q; did you mean %q?", strict.Short(n.After), near)
	}
	return 0, fmt.Errorf("branched: after: no layer %q; there are %s", strict.Short(n.After), strings.Join(known, ", "))
}

// parts are the layers in front of the branches, and those of a branch.
func (n Branched) parts() (below, above []stack.Item) {
	items := LayersOf(n.Trunk.Network)
	at, err := n.cut()
	if err != nil {
		Panicf("zoo.Branched: %v", err)
	}
	return items[:at], items[at:]
}

// Task is the trunk's.
func (n Branched) Task() Task { return n.Trunk.Task() }

// Outputs are those of the trunk.
func (n Branched) Outputs() int { return n.Trunk.Outputs() }

// WithOutputs returns the same network for another number of outputs.
func (n Branched) WithOutputs(outputs int) Network {
	n.Trunk = Choice{Network: n.Trunk.WithOutputs(outputs)}
	return n
}

// WithNorm returns the same network with another norm.
func (n Branched) WithNorm(layer norm.Layer) Network {
	n.Trunk = Choice{Network: n.Trunk.WithNorm(layer)}
	return n
}

// Apply returns the trunk's answers.
func (n Branched) Apply(scope *model.Scope, x *Node) *Node {
	return n.Head(scope, n.Features(scope, x))
}

// Features are what goes into the branches.
func (n Branched) Features(scope *model.Scope, x *Node) *Node {
	below, _ := n.parts()
	return stack.Run(scope, below, x)
}

// Head is the trunk's own last layers. It makes the variables of the branches too, so that every graph has the same; what they give is not
// computed.
func (n Branched) Head(scope *model.Scope, features *Node) *Node {
	pass.Through(features.Graph(), pass.Pass{Mode: pass.Infer}, func() {
		for _, name := range n.Branches {
			still := StopGradient(features)
			n.Last(scope, name, n.Inner(scope, name, still))
		}
	})
	return n.Last(scope, "", pass.See(scope, pass.Features, n.Inner(scope, "", features)))
}

// Names are those of the branches.
func (n Branched) Names() []string { return slices.Clone(n.Branches) }

// Inner is what goes into the last layer of a branch. Panics if there is none of this name.
func (n Branched) Inner(scope *model.Scope, branch string, features *Node) *Node {
	_, above := n.parts()
	return stack.Run(n.below(scope, branch), above[:len(above)-1], features)
}

// Last is the last layer of a branch. Panics if there is none of this name.
func (n Branched) Last(scope *model.Scope, branch string, inner *Node) *Node {
	_, above := n.parts()
	return stack.Run(n.below(scope, branch), above[len(above)-1:], inner)
}

// below is the scope of a branch's layers.
func (n Branched) below(scope *model.Scope, branch string) *model.Scope {
	if branch == "" {
		return scope
	}
	if !slices.Contains(n.Branches, branch) {
		Panicf("zoo.Branched: no branch %q; there are %v", branch, n.Branches)
	}
	return scope.At(branchScope).At("%s", branch)
}

// BeginsAs is the trunk's variable that a branch's is a copy of.
func (n Branched) BeginsAs(path string) string {
	rest, ok := strings.CutPrefix(path, branchScope+"/")
	if !ok {
		return ""
	}
	_, of, _ := strings.Cut(rest, "/")
	return of
}

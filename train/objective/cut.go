package objective

import (
	"slices"
	"strings"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas

	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/nn/stack"
	"github.com/ballast-ml/ballast/train/update"
	"github.com/ballast-ml/ballast/zoo"
)

// cut is a network in two parts, x -> lower -> features -> upper -> answers.
type cut struct {
	network zoo.Featured
	below   []stack.Item // of the lower part; nil = all but the last layer
	above   []stack.Item // between the cut and the last layer
}

// cutAfter cuts a network behind the last layer under a scope, such as "layer_1"; "" is in front of its last layer.
func cutAfter(n zoo.Network, scope string) (cut, error) {
	network, ok := n.(zoo.Featured)
	if !ok {
		return cut{}, usage("objective.level is feature, and network %s is not in two parts, features and head; "+
			"use input or embedding",
			zoo.Name(n))
	}
	if scope == "" {
		return cut{network: network}, nil
	}

	items := zoo.LayersOf(n)
	if len(items) == 0 {
		return cut{}, usage("objective.after is %s, and network %s is not a list of layers; leave it out to cut "+
			"in front of the last one",
			strict.Short(scope), zoo.Name(n))
	}
	inner := items[:len(items)-1]
	last := -1
	for i, item := range inner {
		if item.Scope == scope || strings.HasPrefix(item.Scope, scope+"/") {
			last = i
		}
	}
	if last < 0 {
		known := scopes(inner)
		if near, ok := strict.Nearest(scope, known); ok {
			return cut{}, usage("objective.after: no layer %q; did you mean %q?", strict.Short(scope), near)
		}
		return cut{}, usage("objective.after: no layer %q; there are %s",
			strict.Short(scope), strings.Join(known, ", "))
	}
	return cut{network: network, below: inner[:last+1], above: inner[last+1:]}, nil
}

// scopes are the names that layers go by, each once.
func scopes(items []stack.Item) []string {
	var names []string
	for _, item := range items {
		name, _, _ := strings.Cut(item.Scope, "/")
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// lower is what goes into the upper part for x as a set has it.
func (c cut) lower(s *update.Step, p pass.Pass, x *Node) *Node {
	if c.below == nil {
		return s.Features("/model", c.network, p, x)
	}
	var features *Node
	pass.Through(x.Graph(), p, func() { features = stack.Run(s.At("/model"), c.below, s.Input(x)) })
	return features
}

// upper is what the network answers for the features of lower.
func (c cut) upper(s *update.Step, p pass.Pass, features *Node) *Node {
	if c.below == nil {
		return s.Head("/model", c.network, p, features)
	}
	var answers *Node
	pass.Through(features.Graph(), p, func() {
		answers = c.network.Head(s.At("/model"), stack.Run(s.At("/model"), c.above, features))
	})
	return answers
}

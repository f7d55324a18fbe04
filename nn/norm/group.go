package norm

import (
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/ops"
)

// Group is group normalisation: the channels of each example are normalised in contiguous groups, over all positions,
//
//	y = scale (x - mean_g) / sqrt(var_g + Epsilon) + offset      g = example and group, var_g biased (1/n)
//
// x is [batch, ..., channels]; y has its shape and dtype; scale and offset are [channels]. There is no state: training and
// inference are the same, and an example does not see its batch. One group is layer normalisation over positions and
// channels with a scale for each channel, as many groups as channels is instance normalisation.
//
// Panics if Groups is below 1, if it does not divide the channels and Fallback is off, and if a group has one value.
// Source: Wu, He, "Group Normalization", arXiv 1803.08494.
type Group struct {
	Groups   int     `json:"groups"`   // 32
	Fallback bool    `json:"fallback"` // take the next smaller number that divides the channels and leaves two or more per group; true
	Epsilon  float64 `json:"eps"`      // added to the variance; 1e-5
}

var _ Layer = Group{}

// NewGroup returns the paper's defaults.
func NewGroup() Group { return Group{Groups: 32, Fallback: true, Epsilon: 1e-5} }

// Apply normalises x.
func (g Group) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	x = entering("norm.Group", scope, x)
	n := pairedGroups("norm.Group", scope, x, g.Groups, g.Fallback)
	scale, offset := affine(scope, x, channelsOf(x), channelShape(x))
	return graph.ConvertDType(inGroups(ops.Widen(x), scale, offset, n, g.Epsilon), x.DType())
}

// inGroups normalises x in n groups of channels, scale and offset [1, ..., channels].
func inGroups(x, scale, offset *graph.Node, n int, epsilon float64) *graph.Node {
	if x.Rank() > 2 {
		mean, variance := pooledMoments(x, overGroups(n))
		return normalizePooled(x, scale, offset, mean, variance, overGroups(n), epsilon)
	}
	grouped := split(x, n)
	y, _, _ := ops.Normalize(grouped, split(scale, n), split(offset, n), []int{-1}, epsilon)
	return graph.Reshape(y, x.Shape().Dimensions...)
}

// dividing returns the number of groups that the channels of x are split in: the one asked for, or with fallback the next smaller that
// divides them.
func dividing(who string, scope *model.Scope, x *graph.Node, groups int, fallback bool) int {
	channels := channelsOf(x)[0]
	switch {
	case groups < 1:
		Panicf("%s %s: Groups is %d; use at least 1", who, scope.Scope(), groups)
	case channels%groups != 0 && !fallback:
		Panicf("%s %s: %d channels do not split into %d groups; use a number that divides them, or allow fewer groups with Fallback", who, scope.Scope(), channels, groups)
	}
	for groups = min(groups, channels); channels%groups != 0; {
		groups--
	}
	return groups
}

// groupsOf is dividing where a group must have two values or more, to which fallback falls back too.
func groupsOf(who string, scope *model.Scope, x *graph.Node, groups int, fallback bool) int {
	groups = dividing(who, scope, x, groups, fallback)
	values := x.Shape().Size() / max(1, x.Shape().Dimensions[0]) // of one example
	if fallback && groups > 1 && values == groups {
		groups = dividing(who, scope, x, groups-1, true)
	}
	if values == groups {
		Panicf("%s %s: each group of x %s has 1 value; its normalised value is always 0, so use fewer groups", who, scope.Scope(), x.Shape())
	}
	return groups
}

// pairedGroups is groupsOf where falling back leaves two channels or more a group: one would make it instance normalisation.
func pairedGroups(who string, scope *model.Scope, x *graph.Node, groups int, fallback bool) int {
	if fallback {
		groups = min(groups, max(1, channelsOf(x)[0]/2))
	}
	return groupsOf(who, scope, x, groups, fallback)
}

// split turns [batch, ..., channels] into [batch, ..., groups, channels/groups].
func split(x *graph.Node, groups int) *graph.Node {
	d := x.Shape().Dimensions
	return graph.Reshape(x, append(append([]int{}, d[:len(d)-1]...), groups, d[len(d)-1]/groups)...)
}

// within are the axes of one group of one example, of an x that was split.
func within(grouped *graph.Node) []int {
	return append(positions(grouped)[:grouped.Rank()-3], grouped.Rank()-1)
}

// positions are the axes between the batch and the channels.
func positions(x *graph.Node) []int { return leading(x)[1:] }

// channelsOf is [channels].
func channelsOf(x *graph.Node) []int { return x.Shape().Dimensions[x.Rank()-1:] }

package onnxrun

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/format/onnx"
)

// branchModes are the comparisons of a node's value, by their numbers in TreeEnsemble.
var branchModes = []string{"BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ",
	"BRANCH_MEMBER"}

// treeNode is a comparison of one feature, or a leaf.
type treeNode struct {
	feature, yes, no int
	mode             int // of branchModes; -1 for a leaf
	value            float64
	members          []float64
	missing          bool // a feature that is NaN goes to yes
	leaves           []leaf
}

// leaf adds a weight to a target.
type leaf struct {
	target int
	weight float64
}

// forest is trees over a common list of nodes.
type forest struct {
	nodes   []treeNode
	roots   []int
	targets int
}

// follows reports whether a value goes to yes.
func (n *treeNode) follows(v float64) bool {
	if math.IsNaN(v) && n.missing {
		return true
	}
	switch n.mode {
	case 0:
		return v <= n.value
	case 1:
		return v < n.value
	case 2:
		return v >= n.value
	case 3:
		return v > n.value
	case 4:
		return v == n.value
	case 5:
		return v != n.value
	}
	return slices.Contains(n.members, v)
}

// sums are what the trees' leaves give a row for each target, joined by SUM, AVERAGE, MIN or MAX, and which targets got anything.
func (f *forest) sums(c *call, x []float64, how string) (scores []float64, some []bool) {
	wide := c.dtype(0) == dtypes.Float64 // then the sums are, too
	scores, some = make([]float64, f.targets), make([]bool, f.targets)
	for _, at := range f.roots {
		steps := 0
		for f.nodes[at].mode >= 0 {
			n := &f.nodes[at]
			need(n.feature < len(x), "a tree looks at feature %d of %d", n.feature, len(x))
			if at = n.no; n.follows(x[n.feature]) {
				at = n.yes
			}
			steps++
			need(steps <= len(f.nodes), "a tree has a node that leads back to itself")
		}
		c.gone(steps + 1)
		for _, l := range f.nodes[at].leaves {
			v := l.weight
			switch {
			case how == "MIN" && some[l.target]:
				v = min(v, scores[l.target])
			case how == "MAX" && some[l.target]:
				v = max(v, scores[l.target])
			case how == "SUM" || how == "AVERAGE":
				v += scores[l.target]
			}
			if !wide {
				v = float64(float32(v))
			}
			scores[l.target], some[l.target] = v, true
		}
	}
	if how == "AVERAGE" {
		for i := range scores {
			scores[i] /= float64(len(f.roots))
		}
	}
	return scores, some
}

// doubles are the numbers of a list attribute, or of the tensor that later versions have for it.
func (c *call) doubles(name, tensor string) []float64 {
	a := c.n.Attribute(tensor)
	if a == nil {
		return c.numbers(name)
	}
	need(a.Tensor != nil && c.n.Attribute(name) == nil, "attribute %s is not a tensor, or beside %s", tensor, name)
	return attributeNumbers(a.Tensor)
}

func attributeNumbers(t *onnx.Tensor) []float64 {
	x, err := Tensor(t)
	if err != nil {
		panic(err)
	}
	return (&call{in: []*value{{known: x}}}).floats(0)
}

// forest reads the trees of the older operators: nodes by the number of a tree and their own in it.
func (c *call) forest(kind string, targets int) *forest {
	trees, ids, features := c.list("nodes_treeids"), c.list("nodes_nodeids"), c.list("nodes_featureids")
	yes, no, missing := c.list("nodes_truenodeids"), c.list("nodes_falsenodeids"),
		c.list("nodes_missing_value_tracks_true")
	modes, values := c.strings("nodes_modes"), c.doubles("nodes_values", "nodes_values_as_tensor")
	n := len(ids)
	for _, k := range []int{len(trees), len(features), len(yes), len(no), len(modes), len(values)} {
		need(k == n && n > 0, "lists of %d and %d nodes", n, k)
	}
	need(len(missing) == 0 || len(missing) == n, "nodes_missing_value_tracks_true has %d entries for %d nodes",
		len(missing), n)
	f := &forest{nodes: make([]treeNode, n), targets: targets}
	type key struct{ tree, node int }
	place := map[key]int{}
	for i := range n {
		k := key{trees[i], ids[i]}
		_, twice := place[k]
		need(!twice, "node %d of tree %d is there twice", ids[i], trees[i])
		place[k] = i
	}

	child := make([]bool, n)
	for i := range n {
		t := &f.nodes[i]
		if modes[i] == "LEAF" {
			t.mode = -1
			continue
		}
		t.mode = slices.Index(branchModes[:6], modes[i])
		need(t.mode >= 0, "nodes_modes %q is not known", modes[i])
		need(features[i] >= 0, "feature %d of node %d", features[i], ids[i])
		t.feature, t.value, t.missing = features[i], values[i], len(missing) > 0 && missing[i] != 0
		var a, b bool
		t.yes, a = place[key{trees[i], yes[i]}]
		t.no, b = place[key{trees[i], no[i]}]
		need(a && b, "node %d of tree %d leads to %d and %d, which are not both there", ids[i], trees[i], yes[i], no[i])
		child[t.yes], child[t.no] = true, true
	}
	for i, is := range child {
		if !is {
			f.roots = append(f.roots, i)
		}
	}
	need(len(f.roots) > 0, "no tree has a first node")

	leafTrees, leafNodes, leafTargets := c.list(kind+"_treeids"), c.list(kind+"_nodeids"), c.list(kind+"_ids")
	weights := c.doubles(kind+"_weights", kind+"_weights_as_tensor")
	need(len(leafNodes) == len(leafTrees) && len(leafTargets) == len(leafTrees) && len(weights) == len(leafTrees),
		"lists of %d, %d, %d and %d weights", len(leafTrees), len(leafNodes), len(leafTargets), len(weights))
	for i, w := range weights {
		at, ok := place[key{leafTrees[i], leafNodes[i]}]
		need(ok, "a weight is that of node %d of tree %d, which is not there", leafNodes[i], leafTrees[i])
		need(leafTargets[i] >= 0 && leafTargets[i] < targets, "a weight for target %d of %d", leafTargets[i], targets)
		f.nodes[at].leaves = append(f.nodes[at].leaves, leaf{leafTargets[i], w})
	}
	return f
}

// treeRegressor joins the leaves of all trees that a row reaches.
func treeRegressor(c *call) []*tensors.Tensor {
	targets := c.int("n_targets", 0)
	need(targets >= 1 && targets <= 1<<20, "n_targets %d", targets)
	f := once(c, func() *forest { return c.forest("target", targets) })
	base := c.doubles("base_values", "base_values_as_tensor")
	return []*tensors.Tensor{f.regress(c, base, dtypes.Float32, c.text("aggregate_function", "SUM"),
		c.text("post_transform", "NONE"))}
}

func (f *forest) regress(c *call, base []float64, d dtypes.DType, join, how string) *tensors.Tensor {
	x, n, features := c.rows(0, true)
	need(len(base) == 0 || len(base) == f.targets, "%d base_values for %d targets", len(base), f.targets)
	y := make([]float64, 0, n*f.targets)
	for i := range n {
		scores, _ := f.sums(c, x[i*features:(i+1)*features], join)
		for t, b := range base {
			scores[t] += b
		}
		if f.targets > 1 {
			scores = transformed(scores, how)
		} else if how == "PROBIT" {
			scores[0] = probit(scores[0])
		}
		y = append(y, scores...)
	}
	return made(d, y, n, f.targets)
}

// treeClassifier adds up the leaves of all trees that a row reaches; the class is that with the largest sum.
func treeClassifier(c *call) []*tensors.Tensor {
	labels, how := c.labels("classlabels_int64s"), c.text("post_transform", "NONE")
	f := once(c, func() *forest { return c.forest("class", len(labels)) })
	base := c.doubles("base_values", "base_values_as_tensor")
	need(len(base) <= len(labels), "%d base_values for %d classes", len(base), len(labels))
	x, n, features := c.rows(0, true)
	v := &votes{labels: labels, base: base, how: how, positive: true}
	v.single = len(labels) == 2
	for _, node := range f.nodes {
		for _, l := range node.leaves {
			v.positive = v.positive && l.weight >= 0
			v.single = v.single && l.target == f.firstTarget()
		}
	}
	out, rows := make([]int, n), make([][]float64, n)
	for i := range n {
		scores, some := f.sums(c, x[i*features:(i+1)*features], "SUM")
		out[i], rows[i] = v.of(scores, some)
	}
	return classified(out, rows, len(labels))
}

func (f *forest) firstTarget() int {
	for _, n := range f.nodes {
		if len(n.leaves) > 0 {
			return n.leaves[0].target
		}
	}
	return 0
}

// votes makes labels of the sums of a classifier's trees.
type votes struct {
	labels   []int
	base     []float64
	how      string
	single   bool // two classes, whose leaves speak of one alone
	positive bool // no leaf is below zero
}

func (v *votes) of(scores []float64, some []bool) (label int, out []float64) {
	if len(v.labels) > 2 || len(v.labels) == 1 {
		best := -1
		for i := range scores {
			if i < len(v.base) {
				scores[i], some[i] = scores[i]+v.base[i], true
			}
			if some[i] && (best < 0 || scores[i] > scores[best]) {
				best = i
			}
		}
		return v.labels[max(best, 0)], transformed(scores, v.how)
	}

	if !v.single {
		for i := range v.base {
			scores[i] += v.base[i]
		}
		return v.labels[largest(scores)], transformed(scores, v.how)
	}
	return v.one(scores, some[1])
}

// one is the label and the scores where leaves speak of one of two classes: second if it is the second.
func (v *votes) one(scores []float64, second bool) (label int, out []float64) {
	switch {
	case len(v.base) == 2 && second: // a single score stands for both: the base of the second class counts
		scores[1] = v.base[1] + scores[0]
		scores[0] = -scores[1]
	case len(v.base) > 0:
		scores[0] += v.base[0]
	}
	score := scores[0]
	if second {
		score = scores[1]
	}
	pick := 0
	if v.positive && score > 0.5 || !v.positive && score > 0 {
		pick = 1
	}
	if len(v.base) != 2 && !second {
		return v.labels[pick], pair(scores[0], !v.positive, v.how)
	}
	return v.labels[pick], transformed(scores, v.how)
}

// treeEnsemble is the operator of version 5: nodes and leaves in two lists.
func treeEnsemble(c *call) []*tensors.Tensor {
	f := once(c, c.ensemble)
	join := []string{"AVERAGE", "SUM", "MIN", "MAX"}[c.int("aggregate_function", 1)]
	return []*tensors.Tensor{f.regress(c, nil, c.dtype(0), join, transforms[c.int("post_transform", 0)])}
}

func (c *call) ensemble() *forest {
	read := func(name string) []float64 {
		a := c.n.Attribute(name)
		need(a != nil && a.Tensor != nil, "attribute %s, a tensor, is missing", name)
		return attributeNumbers(a.Tensor)
	}
	features, roots, missing := c.list("nodes_featureids"), c.list("tree_roots"),
		c.list("nodes_missing_value_tracks_true")
	yes, no, yesLeaf, noLeaf := c.list("nodes_truenodeids"), c.list("nodes_falsenodeids"), c.list("nodes_trueleafs"),
		c.list("nodes_falseleafs")
	values, modes := read("nodes_splits"), read("nodes_modes")
	leafTargets, weights := c.list("leaf_targetids"), read("leaf_weights")
	n := len(features)
	for _, k := range []int{len(yes), len(no), len(yesLeaf), len(noLeaf), len(values), len(modes)} {
		need(k == n && n > 0, "lists of %d and %d nodes", n, k)
	}
	need(len(missing) == 0 || len(missing) == n, "nodes_missing_value_tracks_true has %d entries for %d nodes",
		len(missing), n)
	targets := c.int("n_targets", 1)
	need(targets >= 1 && targets <= 1<<20 && len(weights) == len(leafTargets) && len(weights) > 0,
		"n_targets %d, %d weights for %d leaves", targets, len(weights), len(leafTargets))

	f := &forest{targets: targets}
	members := c.members(modes)
	to := func(at, isLeaf int) int {
		if isLeaf != 0 {
			need(at >= 0 && at < len(weights), "leaf %d of %d", at, len(weights))
			return n + at
		}
		need(at >= 0 && at < n, "node %d of %d", at, n)
		return at
	}
	for i := range n {
		mode := int(modes[i])
		need(mode >= 0 && mode < len(branchModes) && features[i] >= 0, "node %d has mode %d and feature %d", i, mode,
			features[i])
		f.nodes = append(f.nodes, treeNode{
			feature: features[i], yes: to(yes[i], yesLeaf[i]), no: to(no[i], noLeaf[i]), mode: mode, value: values[i],
			members: members[i], missing: len(missing) > 0 && missing[i] != 0,
		})
	}
	for i, w := range weights {
		need(leafTargets[i] >= 0 && leafTargets[i] < targets, "a weight for target %d of %d", leafTargets[i], targets)
		f.nodes = append(f.nodes, treeNode{mode: -1, leaves: []leaf{{leafTargets[i], w}}})
	}
	for _, r := range roots {
		f.roots = append(f.roots, to(r, 0))
	}
	need(len(roots) > 0, "tree_roots is empty")
	return f
}

// members are the values of each node that looks for its feature among several: NaN ends the list of a node.
func (c *call) members(modes []float64) [][]float64 {
	out := make([][]float64, len(modes))
	var all []float64
	if a := c.n.Attribute("membership_values"); a != nil && a.Tensor != nil {
		all = attributeNumbers(a.Tensor)
	}
	for i, m := range modes {
		if int(m) != len(branchModes)-1 {
			continue
		}
		end := slices.IndexFunc(all, math.IsNaN)
		need(end >= 0, "membership_values has no list for node %d", i)
		out[i], all = all[:end], all[end+1:]
	}
	return out
}

// ensembleNumbers refuses numbers for names that TreeEnsemble does not have.
func ensembleNumbers(n *onnx.Node) string {
	if a := n.Attribute("aggregate_function"); a != nil && (a.Int < 0 || a.Int > 3) {
		return "aggregate_function is not 0 to 3"
	}
	if a := n.Attribute("post_transform"); a != nil && (a.Int < 0 || a.Int > 4) {
		return "post_transform is not 0 to 4"
	}
	return ""
}

func knownAggregate(n *onnx.Node) string {
	a := n.Attribute("aggregate_function")
	if a != nil && !slices.Contains([]string{"SUM", "AVERAGE", "MIN", "MAX"}, string(a.Bytes)) {
		return "aggregate_function " + string(a.Bytes) + " is not known"
	}
	return ""
}

func treeOps() map[string]operator {
	nodes := strings.Fields("base_values base_values_as_tensor post_transform nodes_falsenodeids nodes_featureids " +
		"nodes_hitrates nodes_hitrates_as_tensor nodes_missing_value_tracks_true nodes_modes nodes_nodeids " +
		"nodes_treeids nodes_truenodeids nodes_values nodes_values_as_tensor")
	classes := strings.Fields("class_ids class_nodeids class_treeids class_weights class_weights_as_tensor " +
		"classlabels_int64s classlabels_strings")
	targets := strings.Fields("target_ids target_nodeids target_treeids target_weights target_weights_as_tensor " +
		"n_targets aggregate_function")
	ensemble := strings.Fields("aggregate_function leaf_targetids leaf_weights membership_values n_targets " +
		"nodes_falseleafs nodes_falsenodeids nodes_featureids nodes_hitrates nodes_missing_value_tracks_true " +
		"nodes_modes nodes_splits nodes_trueleafs nodes_truenodeids post_transform tree_roots")
	classifier := hosted(treeClassifier).unless(numberLabels).unless(knownTransform)
	regressor := hosted(treeRegressor).unless(knownTransform).unless(knownAggregate)
	return map[string]operator{
		"ai.onnx.ml.TreeEnsembleClassifier": classifier.takes(append(classes, nodes...)...),
		"ai.onnx.ml.TreeEnsembleRegressor":  regressor.takes(append(targets, nodes...)...),
		"ai.onnx.ml.TreeEnsemble":           hosted(treeEnsemble).unless(ensembleNumbers).takes(ensemble...),
	}
}

// floatKey is a float as a key that equals itself, NaN too.
func floatKey(v float64) string {
	if math.IsNaN(v) {
		return "nan"
	}
	return string(binary.LittleEndian.AppendUint64(nil, math.Float64bits(v+0)))
}

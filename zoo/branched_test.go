package zoo_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/zoo"
)

func tinyBranched() zoo.Branched {
	trunk := zoo.CNN{Filters: []int{4}, Dense: 5, Classes: 10, Norm: norm.Choice{Layer: norm.NewBatch()}, Activation: linear.ReLU}
	return zoo.Branched{Trunk: zoo.Choice{Network: trunk}, After: "block_1", Branches: []string{"robust", "combined"}}
}

// allBranches answers with the trunk's logits and those of the branches, one behind the other.
func allBranches(n zoo.Branched, scope *model.Scope, x *graph.Node) *graph.Node {
	features := n.Features(scope, x)
	answers := []*graph.Node{n.Head(scope, features)}
	for _, name := range n.Names() {
		answers = append(answers, n.Last(scope, name, n.Inner(scope, name, features)))
	}
	return graph.Concatenate(answers, 1)
}

// TestBranched: the trunk answers as it does alone, and a branch with the weights of the trunk's last layers as the trunk.
func TestBranched(t *testing.T) {
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		n := tinyBranched()
		store, alone := model.NewStore(), model.NewStore()
		run := func(store *model.Store, f func(scope *model.Scope, x *graph.Node) *graph.Node) []float32 {
			return tensors.MustCopyFlatData[float32](model.MustNewExec(e.Backend, store, f).MustCall(random(1, 3, 8, 8, 1))[0])
		}
		whole := run(store, func(s *model.Scope, x *graph.Node) *graph.Node { return n.Apply(s.In("model"), x) })
		trunk := run(alone, func(s *model.Scope, x *graph.Node) *graph.Node { return n.Trunk.Network.Apply(s.In("model"), x) })
		if !slices.Equal(whole, trunk) {
			t.Error("with branches the trunk answers otherwise than alone")
		}

		branched := 0
		for v := range store.IterVariables() {
			of := n.BeginsAs(strings.TrimPrefix(v.Path(), "/model/"))
			if of == "" {
				continue
			}
			branched++
			from := store.GetVariable("/model/" + of)
			if from == nil || !from.Shape().Equal(v.Shape()) {
				t.Fatalf("%s begins as %s", v.Path(), of)
			}
			if err := v.SetValue(tensors.FromFlatDataAndDimensions(tensors.MustCopyFlatData[float32](from.MustValue()), v.Shape().Dimensions...)); err != nil {
				t.Fatal(err)
			}
		}
		all := run(store, func(s *model.Scope, x *graph.Node) *graph.Node { return allBranches(n, s.At("model"), x) })
		for i := range 3 {
			row := all[i*30 : (i+1)*30]
			if !slices.Equal(row[:10], row[10:20]) || !slices.Equal(row[:10], row[20:]) {
				t.Errorf("example %d: branches that are copies answer otherwise: %v", i, row)
			}
		}
		if branched != 2*8 { // kernel, bias, scale, offset, mean, variance of the dense layer; kernel and bias of the output
			t.Errorf("%d variables of branches", branched)
		}
	})
}

func TestBranchedRefuses(t *testing.T) {
	with := func(change func(n *zoo.Branched)) zoo.Branched {
		n := tinyBranched()
		change(&n)
		return n
	}
	for want, n := range map[string]zoo.Branched{
		`did you mean "block_1"`:   with(func(n *zoo.Branched) { n.After = "blok_1" }),
		"there are block_1, dense": with(func(n *zoo.Branched) { n.After = "somewhere else" }),
		"use 1 to 16":              with(func(n *zoo.Branched) { n.Branches = nil }),
		"a name of its own":        with(func(n *zoo.Branched) { n.Branches = []string{"a", "a"} }),
		"use letters, digits":      with(func(n *zoo.Branched) { n.Branches = []string{"a/b"} }),
		"is not a list of layers":  with(func(n *zoo.Branched) { n.Trunk.Network = zoo.NewEnsemble() }),
		"trunk is missing":         with(func(n *zoo.Branched) { n.Trunk.Network = nil }),
	} {
		if err := n.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
	if got := fmt.Sprint(zoo.NewBranched().Validate()); got != "<nil>" {
		t.Error(got)
	}
}

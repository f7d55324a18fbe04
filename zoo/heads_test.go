package zoo_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/internal/gradcheck"
	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/zoo"
)

func tinyHeads() zoo.Heads {
	trunk := zoo.MLP{Hidden: []int{5}, Classes: 3, Norm: norm.Choice{Layer: norm.NewBatch()}, Activation: linear.GELU}
	aux, wide := zoo.NewHead("aux"), zoo.NewHead("wide")
	aux.Hidden = []int{4, 2}
	wide.Hidden, wide.AsTrunk, wide.Size = nil, false, 6
	return zoo.Heads{Trunk: zoo.Choice{Network: trunk}, Heads: []zoo.Head{aux, wide}}
}

// allHeads answers with the trunk's logits and those of the other heads, one behind the other.
func allHeads(n zoo.Heads, scope *model.Scope, x *graph.Node) *graph.Node {
	features := n.Features(scope, x)
	answers := []*graph.Node{n.Head(scope, features)}
	for _, name := range n.Names() {
		answers = append(answers, n.Named(scope, name, features))
	}
	return graph.Concatenate(answers, 1)
}

// TestHeads: gradients through all heads in float64; the trunk is what it is alone, and its heads are made beside it without moving
// anything.
func TestHeads(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		n := tinyHeads()
		gradcheck.CheckModel(t, e.Backend, model.NewStore(), func(scope *model.Scope, x []*graph.Node) *graph.Node {
			y := allHeads(n, scope, x[0])
			if want := "[2 12]"; fmt.Sprint(y.Shape().Dimensions) != want {
				t.Errorf("answers of all heads are %s, want %s", y.Shape(), want)
			}
			return y
		}, gradcheck.Normal(1, 2, 4))

		store, alone := model.NewStore(), model.NewStore()
		run := func(store *model.Store, network zoo.Network) []float32 {
			return tensors.MustCopyFlatData[float32](model.MustNewExec(e.Backend, store, func(scope *model.Scope, x *graph.Node) *graph.Node {
				store.SetTraining(x.Graph(), true)
				return network.Apply(scope.In("model"), x)
			}).MustCall(random(1, 4, 4))[0])
		}
		if got, want := run(store, n), run(alone, n.Trunk.Network); !slices.Equal(got, want) {
			t.Errorf("logits are %v, those of the trunk alone %v", got, want)
		}
		moved := 0
		for v := range store.IterVariables() {
			of, named := strings.CutPrefix(v.Path(), "/model/heads/")
			if !named && alone.GetVariable(v.Path()) == nil {
				t.Errorf("the trunk has no variable %s alone", v.Path())
			}
			if v.Name() == "mean" {
				still := slices.Max(tensors.MustCopyFlatData[float32](v.MustValue())) == 0
				if still != named {
					t.Errorf("%s: still %v", of, still)
				}
				moved++
			}
		}
		if moved != 3 || store.GetVariable("/model/heads/wide/output/kernel") == nil || store.GetVariable("/model/heads/aux/layer_2/norm/scale") == nil {
			t.Errorf("%d norms, want 3, or a head is missing", moved)
		}
		got := gradcheck.Panics(e.Backend, func(x []*graph.Node) *graph.Node {
			return n.Named(model.NewStore().RootScope(), "main", x[0])
		}, gradcheck.Normal(1, 2, 5))
		if want := `no head "main"; there are [aux wide]`; !strings.Contains(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// TestHeadsChoice: defaults of a head; outputs that are given do not follow the trunk; what is written comes back; what does not fit is
// refused.
func TestHeadsChoice(t *testing.T) {
	var read zoo.Choice
	text := `{"name":"heads","trunk":"cnn","heads":[{"name":"a"},{"name":"b","outputs":7,"hidden":[]},{"name":"c","outputs":7,"as_trunk":true}]}`
	if err := json.Unmarshal([]byte(text), &read); err != nil {
		t.Fatal(err)
	}
	heads := read.Network.(zoo.Heads).Heads
	if !heads[0].AsTrunk || heads[1].AsTrunk || heads[1].Size != 7 || !heads[2].AsTrunk || fmt.Sprint(heads[0].Hidden, heads[1].Hidden) != "[32 32] []" {
		t.Errorf("read %+v", heads)
	}
	written, err := json.Marshal(read)
	if err != nil {
		t.Fatal(err)
	}
	var again zoo.Choice
	if err := json.Unmarshal(written, &again); err != nil {
		t.Fatal(err)
	}
	if second, _ := json.Marshal(again); string(second) != string(written) {
		t.Errorf("%s came back as %s", written, second)
	}

	for in, want := range map[string]string{
		`{"name":"heads","trunk":"mlpp"}`:                                   "did you mean mlp?",
		`{"name":"heads","trunk":"decoder"}`:                                "heads: trunk decoder is for the task language",
		`{"name":"heads","trunk":"heads"}`:                                  "the trunk has heads with names of its own",
		`{"name":"heads","trunk":"towers"}`:                                 "heads: trunk towers has no features",
		`{"name":"heads","heads":[]}`:                                       "heads: there are 0 heads with names; use 1 to 64",
		`{"name":"heads","heads":[{"name":"a/b"}]}`:                         `heads: heads.0.name is "a/b"; use letters, digits and _`,
		`{"name":"heads","heads":[{"name":"a"},{"name":"a"}]}`:              `heads: two heads are called "a"`,
		`{"name":"heads","heads":[{"name":"a","outputs":0}]}`:               "heads: a: outputs is 0; use at least 1",
		`{"name":"heads","heads":[{"name":"a","hidden":[0]}]}`:              "heads: a: hidden.0 is 0; use at least 1",
		`{"name":"heads","heads":[{"name":"a","hiden":[4]}]}`:               "hidden",
		`{"name":"heads","heads":[{"name":"a","activation":"leeky-relu"}]}`: "did you mean leaky-relu?",
	} {
		var read zoo.Choice
		if err := json.Unmarshal([]byte(in), &read); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", in, err, want)
		}
	}
	if n := tinyHeads().WithOutputs(9).(zoo.Heads); n.Outputs() != 9 || n.Trunk.Outputs() != 9 || tinyHeads().Outputs() != 3 {
		t.Errorf("with 9 outputs there are %d", n.Outputs())
	}
}

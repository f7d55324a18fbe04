package mixer_test

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
	"github.com/ballast-ml/ballast/nn/attention"
	"github.com/ballast-ml/ballast/nn/mixer"
)

// small is every mixer of All for a width of 4.
func small() map[string]mixer.Mixer {
	all := map[string]mixer.Mixer{}
	for _, kind := range mixer.All() {
		all[kind.Name] = kind.New()
	}
	two := mixer.NewAttention()
	two.Heads, two.NoBias, two.Positions = 2, true, attention.PositionsChoice{Positions: attention.NewRoPE()}
	all["attention rope"] = two
	return all
}

// TestMixers: shape, gradients in float64, the scopes of the dense layers; a causal mixer sees nothing of what comes later, and no mixer
// sees padding.
func TestMixers(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for name, m := range small() {
			t.Run(name, func(t *testing.T) {
				if err := m.Validate(4); err != nil {
					t.Fatal(err)
				}
				store := model.NewStore()
				x := gradcheck.Normal(1, 2, 3, 4)
				context := func(in []*graph.Node) mixer.Context {
					return mixer.Context{Causal: true, Padding: graph.Const(in[0].Graph(), [][]bool{{false, false, true}, {false, false, false}})}
				}
				gradcheck.CheckModel(t, e.Backend, store, func(scope *model.Scope, in []*graph.Node) *graph.Node {
					return m.Apply(scope, in[0], context(in))
				}, x)

				for _, stage := range m.Linears() {
					for _, scope := range stage {
						if store.GetVariable("/"+scope+"/kernel") == nil {
							t.Errorf("there is no dense layer %s", scope)
						}
					}
				}
				program := func(causal bool) func(data []float64) []float64 {
					exec := model.MustNewExec(e.Backend, store, func(scope *model.Scope, x *graph.Node) *graph.Node {
						c := context([]*graph.Node{x})
						c.Causal = causal
						return m.Apply(scope, x, c)
					})
					return func(data []float64) []float64 {
						y := exec.MustCall(tensors.FromFlatDataAndDimensions(data, 2, 3, 4))[0]
						if fmt.Sprint(y.Shape().Dimensions) != "[2 3 4]" {
							t.Errorf("y is %s, want [2 3 4]", y.Shape())
						}
						return tensors.MustCopyFlatData[float64](y)
					}
				}
				for _, causal := range []bool{true, false} {
					apply := program(causal)
					before := apply(x.Data)
					for place := range 6 { // three of each example; place 2 is padding
						moved := slices.Clone(x.Data)
						for i := range 4 {
							moved[4*place+i]++
						}
						after := apply(moved)
						for at := range 6 {
							changed := fmt.Sprint(before[4*at:4*at+4]) != fmt.Sprint(after[4*at:4*at+4])
							may := place/3 == at/3 && (!causal || place <= at) && (place != 2 || at == 2)
							if changed && !may {
								t.Errorf("causal %v: place %d saw place %d", causal, at, place)
							}
							if at == place && place != 2 && !changed {
								t.Errorf("causal %v: place %d does not see itself", causal, at)
							}
						}
					}
				}
			})
		}
	})
}

// TestAttentionRefuses: options and widths that do not fit, each with its text.
func TestAttentionRefuses(t *testing.T) {
	for in, want := range map[string]string{
		`{"name":"attention","heads":0}`:                                     "attention: heads is 0; use at least 1",
		`{"name":"attention","heads":3}`:                                     "attention: 3 heads do not divide dim 4",
		`{"name":"attention","heads":4,"positions":"rope"}`:                  "attention: rope: heads have 1 numbers",
		`{"name":"attention","head":4}`:                                      "heads",
		`"atention"`:                                                         "did you mean attention?",
		`{"name":"attention","positions":{"name":"learned","deviation":-1}}`: "learned positions: deviation is -1",
	} {
		var read mixer.Choice
		err := json.Unmarshal([]byte(in), &read)
		if err == nil {
			err = read.Validate(4)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", in, err, want)
		}
	}
	if err := (mixer.Attention{Heads: 1}).Validate(4); err == nil || !strings.Contains(err.Error(), "kernel is missing") || !strings.Contains(err.Error(), "positions are missing") {
		t.Errorf("got %v", err)
	}
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		got := gradcheck.Panics(e.Backend, func(in []*graph.Node) *graph.Node {
			return mixer.NewAttention().Apply(model.NewStore().RootScope(), in[0], mixer.Context{})
		}, gradcheck.Normal(1, 1, 3, 6))
		if want := "for 4 heads; want [batch, time, dim] with a dim that they divide"; !strings.Contains(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

package attention_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/internal/gradcheck"
	"github.com/ballast-ml/ballast/nn/attention"
	"github.com/ballast-ml/ballast/nn/pass"
)

// TestMask: what a query may see, for each combination of a causal text, padding and places before.
func TestMask(t *testing.T) {
	padding := [][]bool{{false, false, true}, {false, false, false}}
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for _, c := range []struct {
			name           string
			causal, padded bool
			offset         int32
			queries        int
			visible        func(b, i, j int) bool
		}{
			{"causal", true, false, 0, 3, func(_, i, j int) bool { return j <= i }},
			{"padded", false, true, 0, 3, func(b, _, j int) bool { return !padding[b][j] }},
			{"both", true, true, 0, 3, func(b, i, j int) bool { return j <= i && !padding[b][j] }},
			{"later", true, false, 2, 1, func(_, i, j int) bool { return j <= i+2 }},
		} {
			out := graph.MustNewExec(e.Backend, func(padding, offset *graph.Node) *graph.Node {
				context := attention.Context{Causal: c.causal}
				if c.padded {
					context.Padding = padding
				}
				if c.offset > 0 {
					context.Offset = offset
				}
				return graph.BroadcastToDims(context.Mask(padding.Graph(), c.queries, 3), 2, 1, c.queries, 3)
			}).MustCall(padding, c.offset)
			for n, got := range tensors.MustCopyFlatData[bool](out[0]) {
				if b, i, j := n/3/c.queries, n/3%c.queries, n%3; got != c.visible(b, i, j) {
					t.Errorf("%s: query %d of %d sees key %d: %v", c.name, i, b, j, got)
				}
			}
		}
	})
	if (attention.Context{}).Mask(nil, 3, 3) != nil {
		t.Error("a mask where every query sees every key")
	}
}

// TestSoftmax: answers and sums against a loop, seen and unseen, and their gradients; a query that sees nothing answers 0.
func TestSoftmax(t *testing.T) {
	const scale = 0.3
	q, k, v := gradcheck.Normal(1, 1, 2, 3, 4), gradcheck.Normal(2, 1, 2, 3, 4), gradcheck.Normal(3, 1, 2, 3, 5)
	visible := func(i, j int) bool { return i > 0 && j <= i }
	var y, lse []float64
	for h := range 2 {
		for i := range 3 {
			var p [3]float64
			sum := 0.0
			for j := range 3 {
				if !visible(i, j) {
					continue
				}
				for c := range 4 {
					p[j] += scale * q.Data[(h*3+i)*4+c] * k.Data[(h*3+j)*4+c]
				}
				p[j] = math.Exp(p[j])
				sum += p[j]
			}
			lse = append(lse, math.Log(sum))
			for c := range 5 {
				answer := 0.0
				for j := range 3 {
					answer += p[j] / max(sum, 1e-300) * v.Data[(h*3+j)*5+c]
				}
				y = append(y, answer)
			}
		}
	}
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		attend := func(in []*graph.Node, sums bool) (*graph.Node, *graph.Node) {
			mask := graph.Const(in[0].Graph(), [][][][]bool{{{{false, false, false}, {true, true, false}, {true, true, true}}}})
			return attention.Softmax{}.Attend(model.NewStore().RootScope(), attention.Heads{Q: in[0], K: in[1], V: in[2], Mask: mask, Scale: scale, Sums: sums})
		}
		for _, seen := range []bool{false, true} {
			within := func(in []*graph.Node, f func() *graph.Node) (out *graph.Node) {
				p := pass.Pass{}
				if seen {
					p.Taps = []pass.Tap{func(_ pass.Site, x *graph.Node) *graph.Node { return x }}
				}
				pass.Through(in[0].Graph(), p, func() { out = f() })
				return out
			}
			answers := func(in []*graph.Node) *graph.Node {
				return within(in, func() *graph.Node { y, none := attend(in, false); return only(t, y, none) })
			}
			sums := func(in []*graph.Node) *graph.Node {
				return within(in, func() *graph.Node { _, lse := attend(in, true); return lse })
			}
			for name, c := range map[string]struct {
				f     func(in []*graph.Node) *graph.Node
				want  []float64
				shape string
			}{"answers": {answers, y, "[1 2 3 5]"}, "sums": {sums, lse, "[1 2 3]"}} {
				got, shape := gradcheck.Eval(t, e.Backend, c.f, q, k, v)
				if fmt.Sprint(shape) != c.shape {
					t.Errorf("%s are %v, want %s", name, shape, c.shape)
				}
				for i := range c.want {
					if !(math.Abs(got[i]-c.want[i]) < 1e-12) && got[i] != c.want[i] {
						t.Errorf("seen %v: %s %d is %v, want %v", seen, name, i, got[i], c.want[i])
					}
				}
			}
			gradcheck.Check(t, e.Backend, answers, q, k, v)
			gradcheck.Check(t, e.Backend, func(in []*graph.Node) *graph.Node { // without the first query, whose sum is infinite
				return graph.SliceAxis(sums(in), 2, graph.AxisRange(1))
			}, q, k, v)
		}
	})
}

func only(t *testing.T, y, none *graph.Node) *graph.Node {
	if none != nil {
		t.Error("sums that were not asked for")
	}
	return y
}

// TestRoPE: pairs are turned by the angle of their place, in both orders; products know the distance alone; gradients; places before.
func TestRoPE(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		x := gradcheck.Normal(1, 1, 2, 5, 6)
		turned := func(r attention.RoPE, offset int32) func(in []*graph.Node) *graph.Node {
			return func(in []*graph.Node) *graph.Node {
				c := attention.Context{}
				if offset > 0 {
					c.Offset = graph.Const(in[0].Graph(), offset)
				}
				q, k := r.Apply(model.NewStore().RootScope(), in[0], in[0], c)
				return graph.Div(graph.Add(q, k), graph.Scalar(q.Graph(), dtypes.Float64, 2.0))
			}
		}
		for _, r := range []attention.RoPE{{Base: 100}, {Base: 100, Interleaved: true}} {
			for _, offset := range []int32{0, 3} {
				got, _ := gradcheck.Eval(t, e.Backend, turned(r, offset), x)
				for n := range 2 * 5 {
					for i := range 3 {
						first, second := i, i+3
						if r.Interleaved {
							first, second = 2*i, 2*i+1
						}
						a, b := x.Data[n*6+first], x.Data[n*6+second]
						sin, cos := math.Sincos(float64(n%5+int(offset)) * math.Pow(100, -float64(2*i)/6))
						if math.Abs(got[n*6+first]-(a*cos-b*sin)) > 1e-12 || math.Abs(got[n*6+second]-(b*cos+a*sin)) > 1e-12 {
							t.Fatalf("%+v offset %d: row %d pair %d is %v, %v", r, offset, n, i, got[n*6+first], got[n*6+second])
						}
					}
				}
			}
			gradcheck.Check(t, e.Backend, turned(r, 0), x)
		}
	})
	if err := attention.NewRoPE().Validate(3); err == nil || !strings.Contains(err.Error(), "heads have 3 numbers") {
		t.Errorf("heads of 3: %v", err)
	}
	if err := (attention.RoPE{}).Validate(4); err == nil || !strings.Contains(err.Error(), "base is 0") {
		t.Errorf("no base: %v", err)
	}
}

// TestLearned: rows of the table are added to places, from the offset on; longer sequences are refused.
func TestLearned(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		embed := func(store *model.Store, offset int32) func(in []*graph.Node) *graph.Node {
			return func(in []*graph.Node) *graph.Node {
				c := attention.Context{Most: 4}
				if offset > 0 {
					c.Offset = graph.Const(in[0].Graph(), offset)
				}
				return attention.NewLearned().Embed(store.RootScope(), in[0], c)
			}
		}
		store := model.NewStore()
		x := gradcheck.Normal(1, 2, 3, 2)
		for _, offset := range []int32{0, 1} {
			out := model.MustNewExec(e.Backend, store, func(_ *model.Scope, x *graph.Node) *graph.Node {
				return embed(store, offset)([]*graph.Node{x})
			}).MustCall(tensors.FromFlatDataAndDimensions(x.Data, x.Shape...))
			table := tensors.MustCopyFlatData[float64](store.GetVariable("/positions/kernel").MustValue())
			for i, got := range tensors.MustCopyFlatData[float64](out[0]) {
				if want := x.Data[i] + table[i%6+2*int(offset)]; math.Abs(got-want) > 1e-12 {
					t.Errorf("offset %d: number %d is %v, want %v", offset, i, got, want)
				}
			}
		}
		gradcheck.CheckModel(t, e.Backend, model.NewStore(), func(scope *model.Scope, in []*graph.Node) *graph.Node {
			return attention.NewLearned().Embed(scope, in[0], attention.Context{Most: 4})
		}, x)
		got := gradcheck.Panics(e.Backend, embed(model.NewStore(), 0), gradcheck.Normal(1, 1, 5, 2))
		if want := "want [batch, time, dim] of at most 4 places"; !strings.Contains(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// TestChoices: what is written is read back; unknown names and options name the nearest.
func TestChoices(t *testing.T) {
	for _, kind := range attention.All() {
		var read attention.Choice
		text, err := json.Marshal(attention.Choice{Kernel: kind.New()})
		if err == nil {
			err = json.Unmarshal(text, &read)
		}
		if err != nil || attention.Name(read.Kernel) != kind.Name {
			t.Errorf("%s came back as %v: %v", text, read, err)
		}
	}
	for _, kind := range attention.AllPositions() {
		var read attention.PositionsChoice
		text, err := json.Marshal(attention.PositionsChoice{Positions: kind.New()})
		if err == nil {
			err = json.Unmarshal(text, &read)
		}
		if err != nil || read.Positions != kind.New() {
			t.Errorf("%s came back as %v: %v", text, read, err)
		}
		if err := kind.New().Validate(4); err != nil {
			t.Errorf("the defaults of %s: %v", kind.Name, err)
		}
	}
	var p attention.PositionsChoice
	if err := json.Unmarshal([]byte(`"learnt"`), &p); err == nil || !strings.Contains(err.Error(), "did you mean learned?") {
		t.Errorf("got %v", err)
	}
}

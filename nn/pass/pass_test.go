package pass_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/pass"
)

// build runs f while a graph is built in which /layer/kernel is [[2]] and the store trains.
func build(t *testing.T, f func(root *model.Scope, x *graph.Node) *graph.Node) (*tensors.Tensor, error) {
	t.Helper()
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	store := model.NewStore()
	store.RootScope().In("layer").VariableWithValue("kernel", [][]float32{{2}})
	var out []*tensors.Tensor
	err = exceptions.TryCatch[error](func() {
		out = model.MustNewExec(e.Backend, store, func(root *model.Scope, x *graph.Node) *graph.Node {
			root.Store().SetTraining(x.Graph(), true)
			return f(root, x)
		}).MustCall([][]float32{{1}})
	})
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

func layer(root *model.Scope, x *graph.Node) *graph.Node {
	return linear.Dense{Units: 1, NoBias: true}.Apply(root.At("layer"), x)
}

// TestModes: the innermost mode that is not Inherit decides, and it is gone behind its pass.
func TestModes(t *testing.T) {
	_, err := build(t, func(root *model.Scope, x *graph.Node) *graph.Node {
		g := x.Graph()
		check := func(where string, training, collecting bool) {
			if a, b := pass.Training(root, g), pass.Collecting(root, g); a != training || b != collecting {
				t.Errorf("%s: training %v and collecting %v, want %v and %v", where, a, b, training, collecting)
			}
		}
		in := func(m pass.Mode, f func()) { pass.Through(g, pass.Pass{Mode: m}, f) }

		check("without a pass", true, true)
		in(pass.Infer, func() {
			check("infer", false, false)
			in(pass.Inherit, func() { check("inherit in infer", false, false) })
			in(pass.TrainQuiet, func() { check("quiet in infer", true, false) })
			check("infer again", false, false)
		})
		in(pass.TrainQuiet, func() { in(pass.Train, func() { check("train in quiet", true, true) }) })
		if err := exceptions.TryCatch[error](func() { in(pass.Infer, func() { panic(fmt.Errorf("inside")) }) }); err == nil {
			t.Error("the panic is gone")
		}
		check("behind a panic", true, true)

		root.Store().SetTraining(g, false)
		check("an inference graph", false, false)
		in(pass.Inherit, func() { check("inherit", false, false) })
		in(pass.Train, func() { check("train", true, true) })
		return x
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestNesting: the inner weight wins, taps add up from the outside in, and the network is applied three times in one graph.
func TestNesting(t *testing.T) {
	var seen []string
	tap := func(name string, add float64) pass.Tap {
		return func(at pass.Site, x *graph.Node) *graph.Node {
			seen = append(seen, fmt.Sprintf("%s:%s%s", name, at.What, at.Scope.Scope()))
			if at.What != pass.Kernel {
				return x
			}
			at.Scope.In("of_tap") // twice, for two passes
			return graph.AddScalar(x, add)
		}
	}
	got, err := build(t, func(root *model.Scope, x *graph.Node) *graph.Node {
		g := x.Graph()
		kernel := func(v float32) map[string]*graph.Node {
			return map[string]*graph.Node{"/layer/kernel": graph.Const(g, [][]float32{{v}})}
		}
		ys := []*graph.Node{layer(root, x)}
		pass.Through(g, pass.Pass{Weights: kernel(10), Taps: []pass.Tap{tap("outer", 1)}}, func() {
			ys = append(ys, layer(root, x))
			pass.Through(g, pass.Pass{Weights: kernel(100), Taps: []pass.Tap{tap("inner", 2)}}, func() { ys = append(ys, layer(root, x)) })
		})
		return graph.Concatenate(append(ys, layer(root, x)), 1)
	})
	if err != nil {
		t.Fatal(err)
	}
	if s := fmt.Sprint(got.Value()); s != "[[2 11 103 2]]" {
		t.Errorf("got %s, want [[2 11 103 2]]", s)
	}
	want := "outer:input/layer outer:kernel/layer outer:input/layer inner:input/layer outer:kernel/layer inner:kernel/layer"
	if s := strings.Join(seen, " "); s != want {
		t.Errorf("taps saw %s, want %s", s, want)
	}
}

// TestTapsAreNotTapped: what a tap computes with layers of its own, it does not see.
func TestTapsAreNotTapped(t *testing.T) {
	calls := 0
	got, err := build(t, func(root *model.Scope, x *graph.Node) (y *graph.Node) {
		tap := func(at pass.Site, x *graph.Node) *graph.Node {
			if calls++; at.What == pass.Input {
				return layer(root, x)
			}
			return x
		}
		pass.Through(x.Graph(), pass.Pass{Taps: []pass.Tap{tap}}, func() { y = layer(root, x) })
		if pass.Tapped(x.Graph()) {
			t.Error("the graph is tapped behind the pass")
		}
		return y
	})
	if err != nil {
		t.Fatal(err)
	}
	if s := fmt.Sprint(got.Value()); s != "[[4]]" || calls != 2 {
		t.Errorf("got %s after %d calls, want [[4]] after 2", s, calls)
	}
}

func TestRefuses(t *testing.T) {
	bind := func(path string, value any) func(g *graph.Graph) pass.Pass {
		return func(g *graph.Graph) pass.Pass {
			return pass.Pass{Weights: map[string]*graph.Node{path: graph.Const(g, value)}}
		}
	}
	tap := func(tap pass.Tap) func(g *graph.Graph) pass.Pass {
		return func(*graph.Graph) pass.Pass { return pass.Pass{Taps: []pass.Tap{tap}} }
	}
	for _, c := range []struct {
		pass func(g *graph.Graph) pass.Pass
		want string
	}{
		{bind("/layer/kernle", [][]float32{{1}}), "no variable /layer/kernle was read for the weight bound to it (did you mean /layer/kernel?)"},
		{bind("/elsewhere", [][]float32{{1}}), "no variable /elsewhere was read for the weight bound to it; Weights go by the paths of variables"},
		{bind("/layer/kernel", []float32{1}), "the weight bound to /layer/kernel is (Float32)[1], the variable (Float32)[1, 1]; bind one of the same shape and dtype"},
		{bind("/layer/kernel", [][]float64{{1}}), "is (Float64)[1, 1], the variable (Float32)[1, 1]"},
		{
			func(*graph.Graph) pass.Pass { return pass.Pass{Weights: map[string]*graph.Node{"/layer/kernel": nil}} },
			"pass.Through: the weight /layer/kernel is nil; leave it out to take the variable",
		},
		{func(*graph.Graph) pass.Pass { return pass.Pass{Mode: 7} }, "pass.Through: mode 7; use Inherit, Train, TrainQuiet or Infer"},
		{tap(nil), "pass.Through: tap 0 is nil; leave it out"},
		{
			tap(func(pass.Site, *graph.Node) *graph.Node { return nil }),
			"pass: the tap at input of /layer turned (Float32)[1, 1] into nothing; it must keep the shape and dtype",
		},
		{
			tap(func(_ pass.Site, x *graph.Node) *graph.Node { return graph.ConvertDType(x, dtypes.Float64) }),
			"turned (Float32)[1, 1] into (Float64)[1, 1]",
		},
	} {
		_, err := build(t, func(root *model.Scope, x *graph.Node) (y *graph.Node) {
			pass.Through(x.Graph(), c.pass(x.Graph()), func() { y = layer(root, x) })
			return y
		})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

// TestBoundButNotRead: a variable that this pass does not read may be bound, as those of a network that is applied in part.
func TestBoundButNotRead(t *testing.T) {
	_, err := build(t, func(root *model.Scope, x *graph.Node) (y *graph.Node) {
		root.In("other").VariableWithValue("kernel", []float32{1})
		p := pass.Pass{Weights: map[string]*graph.Node{"/other/kernel": graph.Const(x.Graph(), []float32{3})}}
		pass.Through(x.Graph(), p, func() { y = layer(root, x) })
		return y
	})
	if err != nil {
		t.Fatal(err)
	}
}

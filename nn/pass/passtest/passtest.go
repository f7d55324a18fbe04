// Package passtest tests the contract of layers and networks in every kind of pass, on every engine. Your own layers and networks can
// run it too.
package passtest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/internal/gradcheck"
	"github.com/ballast-ml/ballast/nn/pass"
)

// Applied is what the battery runs: a layer or a network, x -> y, with its variables under scope.
type Applied interface {
	Apply(scope *model.Scope, x *graph.Node) *graph.Node
}

// Claim is something that is promised beyond what everything must keep, or not promised.
type Claim func(*claims)

type claims struct {
	sites      []string
	detached   bool
	vocabulary int
	writesOut  bool
	compiled   bool
}

// Shows promises that taps see these places: pass.Input, pass.Kernel and so on.
func Shows(what ...string) Claim { return func(c *claims) { c.sites = append(c.sites, what...) } }

// Detached says that the gradient of training does not follow what the layer computes, by design: it is compared with differences
// at inference alone.
func Detached() Claim { return func(c *claims) { c.detached = true } }

// Reads says that inputs are tokens, whole numbers below vocabulary. Their variables are float32, so that the gradient is compared
// in float32.
func Reads(vocabulary int) Claim { return func(c *claims) { c.vocabulary = vocabulary } }

// WritesOut says that what taps see is otherwise not computed as such, as the probabilities of attention are not: where somebody
// looks, programs of XLA may fuse otherwise, and round otherwise. On the Go engine the bits are the same all the same.
func WritesOut() Claim { return func(c *claims) { c.writesOut = true } }

// Compiled runs the battery on XLA too. A pass changes which graph is built, and the Go engine runs what it says; a network and a norm on
// XLA show that compiling keeps it.
func Compiled() Claim { return func(c *claims) { c.compiled = true } }

// Run runs the battery on inputs [batch, ...] of the given dimensions:
//
//   - its own weights bound, as inputs of the program, with taps that return x, give the bits of the plain pass: outputs, gradient
//     and, for trained weights in training, every variable afterwards
//   - other weights and statistics bound give what a store gives that holds them, and what is bound does not move
//   - Infer in a training graph gives the bits of an inference graph, and moves nothing
//   - TrainQuiet gives what Train gives, the gradient too, and moves nothing, not while the gradient is computed either
//   - the gradient in the bound weights is that of differences, and none reaches a variable that is bound
//   - it is applied twice in a graph with the same variables: the second time gives what the first gave
func Run(t *testing.T, n Applied, dims []int, promises ...Claim) {
	var c claims
	for _, promise := range promises {
		promise(&c)
	}
	each := enginetest.Go
	if c.compiled {
		each = enginetest.Each
	}
	each(t, func(t *testing.T, e *engine.Engine) {
		b := bench{e: e, n: n, dims: dims, claims: c}
		t.Run("bound", b.bound)
		t.Run("infer", b.infer)
		t.Run("quiet", b.quiet)
		t.Run("gradient", b.gradient)
		t.Run("twice", b.twice)
	})
}

// bench runs one thing on one engine.
type bench struct {
	e      *engine.Engine
	n      Applied
	dims   []int
	claims claims
}

const root = "under_test"

// prepared is a store with the variables of the network at values that differ from the first ones.
func (b bench) prepared(t *testing.T, dtype dtypes.DType) *model.Store {
	t.Helper()
	store := model.NewStore()
	gradcheck.Declare(t, b.e.Backend, store, b.input(dtype).Shape(), func(scope *model.Scope, x *graph.Node) *graph.Node {
		return b.n.Apply(scope.At(root), x)
	})
	for i, v := range variables(store) {
		if !v.DType().IsFloat() {
			continue // a counter
		}
		r := rand.New(rand.NewPCG(9, uint64(i)))
		values := numbers(v)
		for j := range values {
			switch {
			case v.Trainable:
				values[j] += 0.1 * r.NormFloat64()
			default:
				values[j] = 0.5 + r.Float64() // positive, so that it can be a variance
			}
		}
		set(t, v, values)
	}
	return store
}

func variables(store *model.Store) []*model.Variable {
	return slices.SortedFunc(store.IterVariables(), func(a, b *model.Variable) int { return strings.Compare(a.Path(), b.Path()) })
}

// numbers are the values of a variable, in float64.
func numbers(v *model.Variable) []float64 { return floats(v.MustValue()) }

func floats(t *tensors.Tensor) []float64 {
	switch t.DType() {
	case dtypes.Float64:
		return tensors.MustCopyFlatData[float64](t)
	case dtypes.Int32:
		return converted[int32, float64](tensors.MustCopyFlatData[int32](t))
	}
	return converted[float32, float64](tensors.MustCopyFlatData[float32](t))
}

func converted[From, To int32 | float32 | float64](from []From) []To {
	to := make([]To, len(from))
	for i, x := range from {
		to[i] = To(x)
	}
	return to
}

func tensorOf(values []float64, dtype dtypes.DType, dims []int) *tensors.Tensor {
	switch dtype {
	case dtypes.Float64:
		return tensors.FromFlatDataAndDimensions(slices.Clone(values), dims...)
	case dtypes.Int32:
		return tensors.FromFlatDataAndDimensions(converted[float64, int32](values), dims...)
	}
	return tensors.FromFlatDataAndDimensions(converted[float64, float32](values), dims...)
}

func set(t *testing.T, v *model.Variable, values []float64) {
	t.Helper()
	if err := v.SetValue(tensorOf(values, v.DType(), v.Shape().Dimensions)); err != nil {
		t.Fatal(err)
	}
}

// copied is a store with the same values.
func copied(t *testing.T, store *model.Store) *model.Store {
	t.Helper()
	other := model.NewStore()
	for v := range store.IterVariables() {
		if _, err := v.CloneToStore(other); err != nil {
			t.Fatal(err)
		}
	}
	return other
}

// state is every variable, printed; equal texts are equal values.
func state(store *model.Store) string {
	var lines []string
	for _, v := range variables(store) {
		lines = append(lines, fmt.Sprintf("%s %v", v.Path(), v.MustValue().Value()))
	}
	return strings.Join(lines, "\n")
}

// input is the batch, drawn.
func (b bench) input(dtype dtypes.DType) *tensors.Tensor {
	x := gradcheck.Normal(3, b.dims...)
	if b.claims.vocabulary == 0 {
		return tensorOf(x.Data, dtype, x.Shape)
	}
	r := rand.New(rand.NewPCG(3, 3))
	tokens := make([]int32, len(x.Data))
	for i := range tokens {
		tokens[i] = int32(r.IntN(b.claims.vocabulary))
	}
	return tensors.FromFlatDataAndDimensions(tokens, b.dims...)
}

// plain is how one program runs.
type plain struct {
	training bool                                // of the store
	within   pass.Pass                           // around the network
	bind     func(v *model.Variable) bool        // variables whose values are inputs of the program, and bound
	seen     func(at pass.Site, x *graph.Node)   // by a tap that returns x
	then     func(s *model.Scope, x *graph.Node) // after the pass
}

// result is what a program gave.
type result struct {
	y, gradient []float64 // of sum(y w), w random, for x
	bound       [][]float64
}

// run builds y and the gradient of sum(y w) for x, runs them once on x and returns both.
func (b bench) run(t *testing.T, store *model.Store, dtype dtypes.DType, p plain) result {
	t.Helper()
	return b.runner(t, store, dtype, p)(nil)
}

// runner is run, compiled once, for several values of what is bound: by path, their own for those left out.
func (b bench) runner(t *testing.T, store *model.Store, dtype dtypes.DType, p plain) func(values map[string][]float64) result {
	t.Helper()
	var inputs []*model.Variable
	if p.bind != nil {
		for _, v := range variables(store) {
			if p.bind(v) {
				inputs = append(inputs, v)
			}
		}
	}
	exec, err := model.NewExec(b.e.Backend, store, func(s *model.Scope, in []*graph.Node) []*graph.Node {
		x := in[0]
		g := x.Graph()
		s.Store().SetTraining(g, p.training)
		within := p.within
		if len(inputs) > 0 {
			within.Weights = map[string]*graph.Node{}
			for i, v := range inputs {
				within.Weights[v.Path()] = in[1+i]
			}
		}
		if p.seen != nil {
			within.Taps = append(slices.Clone(within.Taps), func(at pass.Site, x *graph.Node) *graph.Node {
				p.seen(at, x)
				return x
			})
		}
		var y *graph.Node
		pass.Through(g, within, func() { y = b.n.Apply(s.At(root), x) })
		if p.then != nil {
			p.then(s, x)
		}
		var wrt []*graph.Node
		if x.DType().IsFloat() {
			wrt = append(wrt, x)
		}
		for i, v := range inputs {
			if v.Trainable {
				wrt = append(wrt, in[1+i])
			}
		}
		r := gradcheck.Normal(5, y.Shape().Dimensions...)
		w := graph.ConstTensor(g, tensorOf(r.Data, y.DType(), r.Shape))
		loss := graph.ReduceAllSum(graph.Mul(y, w))
		out := []*graph.Node{y}
		if len(wrt) > 0 {
			out = append(out, graph.Gradient(loss, wrt...)...)
		}
		return out
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(exec.Finalize)

	return func(values map[string][]float64) result {
		t.Helper()
		args := []any{b.input(dtype)}
		for _, v := range inputs {
			value, err := v.MustValue().LocalClone()
			if err != nil {
				t.Fatal(err)
			}
			if given, ok := values[v.Path()]; ok {
				value = tensorOf(given, v.DType(), v.Shape().Dimensions)
			}
			args = append(args, value)
		}
		out, err := exec.Call(args...)
		if err != nil {
			t.Fatal(err)
		}
		r := result{y: floats(out[0])}
		rest := out[1:]
		if b.claims.vocabulary == 0 {
			r.gradient, rest = floats(rest[0]), rest[1:]
		}
		for _, o := range rest {
			r.bound = append(r.bound, floats(o))
		}
		return r
	}
}

func every(*model.Variable) bool     { return true }
func trained(v *model.Variable) bool { return v.Trainable }

// bound checks bound weights and taps.
func (b bench) bound(t *testing.T) {
	first := b.prepared(t, dtypes.Float32)

	seen := map[string]bool{}
	note := func(at pass.Site, _ *graph.Node) { seen[at.What] = true }
	store := copied(t, first)
	want := b.run(t, store, dtypes.Float32, plain{})
	call := b.runner(t, store, dtypes.Float32, plain{bind: every, seen: note})
	b.tapped(t, "its own weights bound, at inference", call(nil), want)
	for _, what := range b.claims.sites {
		if !seen[what] {
			t.Errorf("no tap saw %s", what)
		}
	}

	other := copied(t, first)
	changed := map[string][]float64{}
	for _, v := range variables(other) {
		values := numbers(v)
		for i := range values {
			values[i] = 1.25*values[i] + 0.25
			if !v.DType().IsFloat() { // a counter
				values[i] = 3
			}
		}
		changed[v.Path()] = values
		set(t, v, values)
	}
	b.tapped(t, "other weights bound", call(changed), b.run(t, other, dtypes.Float32, plain{}))
	call = b.runner(t, store, dtypes.Float32, plain{training: true, bind: every, seen: note})
	b.close(t, "other weights bound, in training", call(changed), b.run(t, other, dtypes.Float32, plain{training: true}))
	if got, before := state(store), state(first); got != before {
		t.Errorf("passes that bind every variable moved them from\n%s\nto\n%s", before, got)
	}

	one, two := copied(t, first), copied(t, first)
	want = b.run(t, one, dtypes.Float32, plain{training: true})
	got := b.run(t, two, dtypes.Float32, plain{training: true, bind: trained, seen: note})
	b.tapped(t, "its own weights bound, in training", got, want)
	if exact := !b.claims.writesOut || b.e.Kind == engine.KindGo; exact && state(one) != state(two) {
		t.Errorf("training moved the variables to\n%s\nand with bound weights to\n%s", state(one), state(two))
	}
}

// infer checks Infer in a training graph.
func (b bench) infer(t *testing.T) {
	store := b.prepared(t, dtypes.Float32)
	before := state(store)
	want := b.run(t, store, dtypes.Float32, plain{})
	got := b.run(t, store, dtypes.Float32, plain{training: true, within: pass.Pass{Mode: pass.Infer}})
	same(t, "Infer in a training graph", got, want)
	if after := state(store); after != before {
		t.Errorf("Infer moved the variables from\n%s\nto\n%s", before, after)
	}
}

// quiet checks TrainQuiet in an inference graph and in a training graph, and Train in an inference graph.
func (b bench) quiet(t *testing.T) {
	first := b.prepared(t, dtypes.Float32)
	store := copied(t, first)
	want := b.run(t, store, dtypes.Float32, plain{training: true})
	for _, training := range []bool{false, true} {
		quiet := copied(t, first)
		got := b.run(t, quiet, dtypes.Float32, plain{training: training, within: pass.Pass{Mode: pass.TrainQuiet}})
		b.close(t, fmt.Sprintf("TrainQuiet, store training %v", training), got, want)
		if after, before := state(quiet), state(first); after != before {
			t.Errorf("TrainQuiet, store training %v, moved the variables from\n%s\nto\n%s", training, before, after)
		}
	}
	loud := copied(t, first)
	same(t, "Train in an inference graph", b.run(t, loud, dtypes.Float32, plain{within: pass.Pass{Mode: pass.Train}}), want)
	if state(loud) != state(store) {
		t.Errorf("Train moved the variables to\n%s\na training graph to\n%s", state(loud), state(store))
	}
}

// gradient compares the gradient in each bound weight, along a random direction, with a central difference, in float64.
func (b bench) gradient(t *testing.T) {
	modes := []pass.Mode{pass.Infer, pass.TrainQuiet}
	if b.claims.detached {
		modes = modes[:1]
	}
	dtype, h, tolerance := dtypes.Float64, 1e-7, 1e-5 // a small step, which few kinks lie within
	if b.claims.vocabulary > 0 {
		dtype, h, tolerance = dtypes.Float32, 1e-2, 1e-2
	}

	for _, mode := range modes {
		store := b.prepared(t, dtype)
		w := gradcheck.Normal(5, len(b.run(t, store, dtype, plain{}).y)).Data
		call := b.runner(t, store, dtype, plain{
			within: pass.Pass{Mode: mode}, bind: trained,
			then: func(s *model.Scope, x *graph.Node) {
				for _, v := range variables(s.Store()) {
					if v.Trainable && v.InUseByGraph(x.Graph()) {
						t.Errorf("%s is bound and read all the same", v.Path())
					}
				}
			},
		})

		loss := func(r result) (sum float64) {
			for i, y := range r.y {
				sum += y * w[i]
			}
			return sum
		}

		grads := call(nil).bound
		k := 0
		for _, v := range variables(store) {
			if !v.Trainable {
				continue
			}
			values := numbers(v)
			direction := gradcheck.Normal(uint64(7+k), len(values)).Data
			for i := range direction { // of length 1 or so
				direction[i] /= math.Sqrt(float64(len(direction)))
			}

			moved := func(h float64) float64 {
				to := slices.Clone(values)
				for i := range to {
					to[i] += h * direction[i]
				}
				return loss(call(map[string][]float64{v.Path(): to}))
			}
			want, got := (moved(h)-moved(-h))/(2*h), 0.0
			for i, d := range direction {
				got += d * grads[k][i]
			}
			if !(math.Abs(got-want) <= tolerance*(1+math.Abs(want))) {
				t.Errorf("%s: along a direction in %s the gradient is %v, the difference %v", mode, v.Path(), got, want)
			}
			k++
		}
	}
}

// twice applies the network in two passes of one graph: clean in training and again at inference with what is bound.
func (b bench) twice(t *testing.T) {
	first := b.prepared(t, dtypes.Float32)
	store := copied(t, first)
	before := len(variables(store))
	exec, err := model.NewExec(b.e.Backend, store, func(s *model.Scope, x *graph.Node) []*graph.Node {
		g := x.Graph()
		s.Store().SetTraining(g, true)
		var one, two *graph.Node
		pass.Through(g, pass.Pass{Mode: pass.Infer}, func() { one = b.n.Apply(s.At(root), x) })
		loud := b.n.Apply(s.At(root), x)
		pass.Through(g, pass.Pass{Mode: pass.TrainQuiet}, func() { two = b.n.Apply(s.At(root), x) })
		return []*graph.Node{one, loud, two}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(exec.Finalize)
	out, err := exec.Call(b.input(dtypes.Float32))
	if err != nil {
		t.Fatal(err)
	}
	if after := len(variables(store)); after != before {
		t.Errorf("applied three times in a graph there are %d variables, once %d", after, before)
	}
	alone := copied(t, first)
	b.close(t, "Infer beside a training pass", result{y: floats(out[0])}, result{y: b.run(t, alone, dtypes.Float32, plain{}).y})
	b.close(t, "training between two quiet passes", result{y: floats(out[1])}, result{y: b.run(t, alone, dtypes.Float32, plain{training: true}).y})
}

// same compares to the bit.
func same(t *testing.T, what string, got, want result) {
	t.Helper()
	near(t, what+": output", got.y, want.y, 0)
	near(t, what+": gradient", got.gradient, want.gradient, 0)
}

// tapped compares a program with taps with one without.
func (b bench) tapped(t *testing.T, what string, got, want result) {
	t.Helper()
	if b.claims.writesOut {
		b.close(t, what, got, want)
		return
	}
	near(t, what+": output", got.y, want.y, 0)

	// The program with bound weights computes their gradients too, which XLA may fuse with that of x.
	tolerance := 0.0
	if b.e.Kind != engine.KindGo {
		tolerance = 1e-5
	}
	near(t, what+": gradient", got.gradient, want.gradient, tolerance)
}

// close compares programs of which one computes more than the other: XLA may fuse them otherwise, and round otherwise.
func (b bench) close(t *testing.T, what string, got, want result) {
	t.Helper()
	tolerance := 0.0
	if b.e.Kind != engine.KindGo {
		tolerance = 1e-5
	}
	near(t, what+": output", got.y, want.y, tolerance)
	near(t, what+": gradient", got.gradient, want.gradient, tolerance)
}

func near(t *testing.T, what string, got, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: got %d values, want %d", what, len(got), len(want))
		return
	}
	for i := range got {
		if !(math.Abs(got[i]-want[i]) <= tolerance*(1+math.Abs(want[i]))) {
			t.Errorf("%s: value %d is %v, want %v", what, i, got[i], want[i])
			return
		}
	}
}

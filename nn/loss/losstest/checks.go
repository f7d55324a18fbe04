package losstest

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/internal/gradcheck"
	"github.com/ballast-ml/ballast/nn/loss"
)

// scopeName is where the battery puts the variables of a loss.
const scopeName = "under_test"

// result is one update: values, the gradients of sum(y w) for what moves and for the trained variables by name, and the largest
// gradient of what must be constant.
type result struct {
	y         []float64
	gradients [][]float64
	trained   map[string][]float64
	constant  float64
}

// callee compiles the loss for batches like b in float64.
func (s subject) callee(t *testing.T, store *model.Store, b Batch, masked bool) func(b Batch, real int) result {
	t.Helper()
	var moves, constants int
	var names []string
	exec, err := model.NewExec(s.e.Backend, store, func(scope *model.Scope, x []*graph.Node) []*graph.Node {
		in, moving, constant := s.in(b, x, dtypes.Float64, masked)
		y := s.apply(scope.In(scopeName), in)
		s.checkShape(b, y)
		wanted := slices.Concat(moving, constant)
		names = nil
		for v := range store.IterVariables() {
			if v.Trainable {
				wanted, names = append(wanted, v.NodeValue(x[0].Graph())), append(names, v.Name())
			}
		}
		moves, constants = len(moving), len(constant)
		weights := graph.ConstTensor(x[0].Graph(), weightsOf(y))
		return append([]*graph.Node{y}, graph.Gradient(graph.ReduceAllSum(graph.Mul(y, weights)), wanted...)...)
	})
	if err != nil {
		t.Fatal(err)
	}
	return func(b Batch, real int) result {
		t.Helper()
		out, err := exec.Call(b.inputs(real)...)
		if err != nil {
			t.Fatal(err)
		}
		flat := make([][]float64, len(out))
		for i, o := range out {
			flat[i] = tensors.MustCopyFlatData[float64](o)
		}
		r := result{y: flat[0], gradients: flat[1 : 1+moves], trained: map[string][]float64{}}
		for _, g := range flat[1+moves : 1+moves+constants] {
			for _, v := range g {
				r.constant = max(r.constant, math.Abs(v))
			}
		}
		for i, name := range names {
			r.trained[name] = flat[1+moves+constants+i]
		}
		return r
	}
}

func (s subject) checkShape(b Batch, y *graph.Node) {
	if s.set && y.Rank() != 0 || !s.set && (y.Rank() != 1 || y.Shape().Dimensions[0] != b.N) {
		exceptions.Panicf("losstest: the loss is %s for %d examples; want a number for each, or one of a Set", y.Shape(), b.N)
	}
}

// weightsOf is the w of sum(y w).
func weightsOf(y *graph.Node) *tensors.Tensor {
	w := gradcheck.Normal(5, y.Shape().Dimensions...)
	if y.Rank() == 0 {
		return tensors.FromScalar(w.Data[0])
	}
	return tensors.FromFlatDataAndDimensions(w.Data, w.Shape...)
}

// values compares 50 updates with the loop.
func (s subject) values(t *testing.T, kind string) {
	store := model.NewStore()
	b := s.draw(1, kind, batchSize)
	call := s.callee(t, store, b, false)
	state := map[string][]float64{}
	for update := 1; update <= 50; update++ {
		b = s.draw(uint64(update), kind, batchSize)
		before := cloned(state)
		got := call(b, b.N)
		for name, values := range trained(store) {
			state[name], before[name] = values, values
		}
		compare(t, fmt.Sprintf("update %d: value", update), got.y, s.naive(b, state), 1e-9)
		if got.constant != 0 {
			t.Fatalf("update %d: targets or teacher get a gradient of %v; they are constants", update, got.constant)
		}
		if update == 1 || update == 2 || update == 50 {
			s.compareGradients(t, b, got, before)
			compareState(t, fmt.Sprintf("update %d", update), store, state)
		}
		if t.Failed() || !loss.NeedsIndex(s.value) && update == 2 { // without rows, one update is like another
			return
		}
	}
}

func cloned(state map[string][]float64) map[string][]float64 {
	copied := map[string][]float64{}
	for name, values := range state {
		copied[name] = slices.Clone(values)
	}
	return copied
}

// compareGradients holds the gradients against central differences of the loop.
func (s subject) compareGradients(t *testing.T, b Batch, got result, before map[string][]float64) {
	t.Helper()
	total := func(b Batch, state map[string][]float64) float64 {
		y := s.naive(b, cloned(state))
		shape := []int{len(y)}
		if s.set {
			shape = nil
		}
		sum := 0.0
		for i, w := range gradcheck.Normal(5, shape...).Data {
			sum += w * y[i]
		}
		return sum
	}
	const h = 1e-5
	difference := func(at *float64, f func() float64) float64 {
		old := *at
		*at = old + h
		up := f()
		*at = old - h
		down := f()
		*at = old
		return (up - down) / (2 * h)
	}
	moved := b
	for k, values := range s.moving(&moved) {
		for i := range *values {
			want := difference(&(*values)[i], func() float64 { return total(moved, before) })
			if g := got.gradients[k][i]; !near(g, want, 1e-6) {
				t.Fatalf("gradient %d of input %d is %v, the difference %v", i, k, g, want)
			}
		}
	}
	for name, gradient := range got.trained {
		values := before[name]
		for i := range values {
			want := difference(&values[i], func() float64 { return total(b, before) })
			if !near(gradient[i], want, 1e-6) {
				t.Fatalf("gradient %d of %s is %v, the difference %v", i, name, gradient[i], want)
			}
		}
	}
}

// compareState holds what the loss keeps against the loop's; the row behind the last example belongs to padding.
func compareState(t *testing.T, when string, store *model.Store, state map[string][]float64) {
	t.Helper()
	for v := range store.IterVariables() {
		if v.Trainable || v.DType() != dtypes.Float64 {
			continue
		}
		got := tensors.MustCopyFlatData[float64](v.MustValue())
		want, ok := state[v.Name()]
		if !ok || len(want) > len(got) {
			t.Fatalf("%s: the loop keeps %d numbers as %s, the loss %d", when, len(want), v.Name(), len(got))
		}
		compare(t, when+": "+v.Name(), got[:len(want)], want, 1e-9)
		for _, last := range got[len(want):] {
			if last != got[len(got)-1] || math.IsNaN(last) {
				t.Fatalf("%s: the row of padding is %v", when, got[len(want):])
			}
		}
	}
}

// padding holds a batch against the same one with rows behind it.
func (s subject) padding(t *testing.T, kind string) {
	b := s.draw(3, kind, batchSize)
	plain, filled := model.NewStore(), model.NewStore()
	want := s.callee(t, plain, b, false)(b, b.N)
	p := b.padded(2)
	got := s.callee(t, filled, p, true)(p, b.N)
	if !s.set {
		compare(t, "value of padding", got.y[b.N:], []float64{0, 0}, 0)
		got.y = got.y[:b.N]
		compare(t, "value beside padding", got.y, want.y, 1e-12)
	} else {
		compare(t, "value", got.y, want.y, 1e-12)
	}
	for k, gradient := range got.gradients {
		row := len(gradient) / p.N
		compare(t, "gradient of padding", gradient[b.N*row:], make([]float64, 2*row), 0)
		compare(t, "gradient beside padding", gradient[:b.N*row], want.gradients[k], 1e-9)
	}
	if g, w := state(filled), state(plain); g != w {
		t.Errorf("padding moved what the loss keeps from %s to %s", w, g)
	}
}

// types holds narrow types against the loop.
func (s subject) types(t *testing.T, kind string) {
	b := s.draw(4, kind, batchSize)
	for dtype, tolerance := range map[dtypes.DType]float64{dtypes.Float32: 1e-4, dtypes.BFloat16: 0.15} {
		store := model.NewStore()
		exec, err := model.NewExec(s.e.Backend, store, func(scope *model.Scope, x []*graph.Node) *graph.Node {
			in, _, _ := s.in(b, x, dtype, false)
			y := s.apply(scope.In(scopeName), in)
			if y.DType() != dtypes.Float32 {
				exceptions.Panicf("losstest: the loss of %s is %s; want float32", dtype, y.DType())
			}
			return y
		})
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.Call(b.inputs(b.N)...)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, dtype.String(), widened(out[0]), s.naive(b, trained(store)), tolerance)
	}
}

// trained are the trained variables of a store by name.
func trained(store *model.Store) map[string][]float64 {
	values := map[string][]float64{}
	for v := range store.IterVariables() {
		if v.Trainable {
			values[v.Name()] = widened(v.MustValue())
		}
	}
	return values
}

func widened(x *tensors.Tensor) []float64 {
	if x.DType() == dtypes.Float64 {
		return tensors.MustCopyFlatData[float64](x)
	}
	flat := tensors.MustCopyFlatData[float32](x)
	wide := make([]float64, len(flat))
	for i, v := range flat {
		wide[i] = float64(v)
	}
	return wide
}

// one is a batch of one example.
func (s subject) one(t *testing.T, kind string) {
	b := s.draw(5, kind, 1)
	store := model.NewStore()
	got := s.callee(t, store, b, false)(b, 1)
	compare(t, "value", got.y, s.naive(b, trained(store)), 1e-9)
	for _, gradient := range got.gradients {
		for _, v := range gradient {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				t.Fatalf("the gradient is %v", gradient)
			}
		}
	}
}

// copied goes on in another store: what a checkpoint must keep.
func (s subject) copied(t *testing.T, kind string) {
	store := model.NewStore()
	call := s.callee(t, store, s.draw(1, kind, batchSize), false)
	for update := range 3 {
		call(s.draw(uint64(20+update), kind, batchSize), batchSize)
	}
	other := model.NewStore()
	for v := range store.IterVariables() {
		if _, err := v.CloneToStore(other); err != nil {
			t.Fatal(err)
		}
	}
	again := s.callee(t, other, s.draw(1, kind, batchSize), false)
	for update := range 3 {
		b := s.draw(uint64(30+update), kind, batchSize)
		compare(t, "value in another store", again(b, batchSize).y, call(b, batchSize).y, 0)
	}
	if got, want := state(other), state(store); got != want {
		t.Errorf("the copy went on to %s, the first to %s", got, want)
	}
}

// repeated names an example twice.
func (s subject) repeated(t *testing.T, kind string) {
	b := s.draw(6, kind, batchSize)
	b.Index[4] = b.Index[1]
	got := s.callee(t, model.NewStore(), b, false)(b, b.N)
	for i, y := range got.y {
		if math.IsNaN(y) != (s.set || i == 1 || i == 4) {
			t.Errorf("example %d, of which 1 and 4 are the same, has the loss %v", i, y)
		}
	}
	want := fmt.Sprintf("example %d is twice in one batch", b.Index[1])
	if err := loss.Distinct("mine", b.Index); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v", err)
	}
}

// missing gives the loss nothing.
func (s subject) missing(t *testing.T) {
	err := exceptions.TryCatch[error](func() {
		graph.MustNewExec(s.e.Backend, func(x *graph.Node) *graph.Node {
			return graph.Add(s.apply(model.NewStore().RootScope(), loss.In{}), x)
		}).MustCall(1.0)
	})
	if err == nil || !strings.Contains(err.Error(), "; want ") {
		t.Errorf("nothing to compare gives %v; want a text that says what is needed", err)
	}
}

// state prints every variable.
func state(store *model.Store) string {
	var lines []string
	for v := range store.IterVariables() {
		lines = append(lines, fmt.Sprintf("%s %v", v.Path(), v.MustValue().Value()))
	}
	slices.Sort(lines)
	return strings.Join(lines, "; ")
}

func compare(t *testing.T, what string, got, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	for i := range want {
		if !near(got[i], want[i], tolerance) {
			t.Fatalf("%s %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

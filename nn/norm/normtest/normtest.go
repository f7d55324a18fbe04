// Package normtest tests the contract of normalisation layers on every engine. Your own layer can run it too.
package normtest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/internal/gradcheck"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/param"
)

// Batch is the batch of the battery; layers with groups need a group size that divides it, or of at least this size.
const Batch = 12

// Claim is something a layer promises, or does not, beyond what every layer must keep.
type Claim func(*claims)

type claims struct {
	collects       bool
	momentum       float64
	unbiased       bool
	groups         func(batch int) []int
	batchDependent bool
	stateful       bool
	detached       bool
	positions      bool
}

// Collects promises a running mean and variance of each channel: training moves them by the moments of consecutive groups of
// examples, one group after the other. groups returns the sizes of the groups, which add up to the batch. A layer with
// variables of the role Statistic must make this claim or check them itself.
func Collects(momentum float64, unbiased bool, groups func(batch int) []int) Claim {
	return func(c *claims) { c.collects, c.momentum, c.unbiased, c.groups = true, momentum, unbiased, groups }
}

// Whole is the groups of a layer that collects over the whole batch, for Collects.
func Whole(batch int) []int { return []int{batch} }

// GroupsOf is the groups of a layer that collects over groups of a size, which divides the batch, for Collects.
func GroupsOf(size int) func(batch int) []int {
	return func(batch int) []int { return slices.Repeat([]int{size}, batch/size) }
}

// DependsOnBatch says that at inference the result of an example depends on the others in the batch.
func DependsOnBatch() Claim { return func(c *claims) { c.batchDependent = true } }

// KeepsState says that training moves variables other than the mean and variance that Collects promises; the layer's own tests
// check how.
func KeepsState() Claim { return func(c *claims) { c.stateful = true } }

// DetachedStatistics says that the gradient does not follow the statistics, by design; that for x is compared with differences at
// inference alone, those for trained variables in training too, and none for the statistics.
func DetachedStatistics() Claim { return func(c *claims) { c.detached = true } }

// NeedsPositions says that an example must have more than one position: a dense layer is refused.
func NeedsPositions() Claim { return func(c *claims) { c.positions = true } }

// Run runs the battery on a layer, on every engine:
//
//   - y has the shape and the dtype of x, in float32, float64 and bfloat16, training or not, dense and image
//   - gradients of sum(y w), w random, for x and every trained variable, against central differences in float64, of batches of 1, 2 and 12;
//     at inference for collected statistics too, unless they are detached
//   - a batch of one image trains, a constant input gives a finite result and a finite gradient
//   - at inference an example does not see its batch, and no variable moves; without collected statistics training is inference
//   - collected statistics after 1, 2 and 50 steps against a plain loop
//   - variables copied to a new store in the middle of training give the same outputs and the same training, bit for bit
//   - x of a bad shape is refused with the layer, its scope, what it got and the fix
func Run(t *testing.T, layer norm.Layer, promises ...Claim) {
	var c claims
	for _, promise := range promises {
		promise(&c)
	}
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		b := bench{e: e, layer: layer, claims: c}
		t.Run("shape", b.shape)
		t.Run("gradient", b.gradient)
		t.Run("small batch", b.smallBatch)
		t.Run("inference", b.inference)
		t.Run("statistics", b.statistics)
		t.Run("copy", b.copied)
		t.Run("bad shape", b.badShape)
	})
}

// Input is an input of a layer, row-major.
type Input = gradcheck.Input

// Dense is a batch of the battery [batch, 3], drawn from N(0.7, 1.5^2) by the seed.
func Dense(seed uint64, batch int) Input { return dense(seed, batch) }

// Images is a batch of the battery [batch, 3, 1, 3], drawn in the same way.
func Images(seed uint64, batch int) Input { return images(seed, batch) }

// Apply runs a layer once in float64 and returns y, row-major. The store has its variables under the scope "/under_test": what is missing
// is created, and training moves what it moves.
func Apply(t *testing.T, e *engine.Engine, layer norm.Layer, store *model.Store, training bool, x Input) []float64 {
	t.Helper()
	y, _ := bench{e: e, layer: layer}.call(t, store, training, dtypes.Float64, x)
	return y
}

// CheckGradient compares the gradient of sum(y w), w random, with central differences in float64, for x and every trained variable.
func CheckGradient(t *testing.T, e *engine.Engine, layer norm.Layer, training bool, x Input) {
	t.Helper()
	b := bench{e: e, layer: layer}
	gradcheck.CheckModel(t, e.Backend, b.prepared(t, dtypes.Float64, x), func(scope *model.Scope, in []*graph.Node) *graph.Node {
		scope.Store().SetTraining(in[0].Graph(), training)
		return layer.Apply(scope.In("under_test"), in[0])
	}, x)
}

// bench runs a layer on an engine.
type bench struct {
	e      *engine.Engine
	layer  norm.Layer
	claims claims
}

// call applies the layer once to x, converted to a dtype, and returns y in float64 and its shape. It creates the variables
// that the store lacks, and moves those that training moves.
func (b bench) call(t *testing.T, store *model.Store, training bool, dtype dtypes.DType, x gradcheck.Input) (y []float64, shape shapes.Shape) {
	t.Helper()
	return b.callee(t, store, training, dtype)(x)
}

// callee is call for many x of one shape, compiled once.
func (b bench) callee(t *testing.T, store *model.Store, training bool, dtype dtypes.DType) func(x gradcheck.Input) ([]float64, shapes.Shape) {
	t.Helper()
	var shape shapes.Shape
	exec, err := model.NewExec(b.e.Backend, store, func(scope *model.Scope, x *graph.Node) *graph.Node {
		scope.Store().SetTraining(x.Graph(), training)
		y := b.layer.Apply(scope.In("under_test"), graph.ConvertDType(x, dtype))
		shape = y.Shape()
		return graph.ConvertDType(y, dtypes.Float64)
	})
	if err != nil {
		t.Fatal(err)
	}
	return func(x gradcheck.Input) ([]float64, shapes.Shape) {
		t.Helper()
		out, err := exec.Call(tensors.FromFlatDataAndDimensions(slices.Clone(x.Data), x.Shape...))
		if err != nil {
			t.Fatal(err)
		}
		return tensors.MustCopyFlatData[float64](out[0]), shape
	}
}

// prepared is a store with the variables of the layer for x, at values that differ from the first ones.
func (b bench) prepared(t *testing.T, dtype dtypes.DType, x gradcheck.Input) *model.Store {
	t.Helper()
	store := model.NewStore()
	gradcheck.Declare(t, b.e.Backend, store, shapes.Make(dtype, x.Shape...), func(scope *model.Scope, x *graph.Node) *graph.Node {
		return b.layer.Apply(scope.In("under_test"), x)
	})
	r := rand.New(rand.NewPCG(9, 9))
	for v := range store.IterVariables() {
		if !v.DType().IsFloat() {
			continue // a counter
		}
		values := make([]float64, v.Shape().Size())
		for i := range values {
			values[i] = 0.5 + r.Float64() // positive, so that it can be a variance
		}
		set(t, v, values)
	}
	return store
}

func set(t *testing.T, v *model.Variable, values []float64) {
	t.Helper()
	value := tensors.FromFlatDataAndDimensions(slices.Clone(values), v.Shape().Dimensions...)
	if v.DType() == dtypes.Float32 {
		narrow := make([]float32, len(values))
		for i, x := range values {
			narrow[i] = float32(x)
		}
		value = tensors.FromFlatDataAndDimensions(narrow, v.Shape().Dimensions...)
	}
	if err := v.SetValue(value); err != nil {
		t.Fatal(err)
	}
}

// dense and images are the inputs of the battery: away from zero, so that forgetting the mean is seen.
func dense(seed uint64, batch int) gradcheck.Input { return shifted(gradcheck.Normal(seed, batch, 3)) }
func images(seed uint64, batch int) gradcheck.Input {
	return shifted(gradcheck.Normal(seed, batch, 3, 1, 3))
}

// inputs are a dense and an image batch, or the image alone where the layer needs positions.
func (b bench) inputs(seed uint64) []gradcheck.Input {
	if b.claims.positions {
		return []gradcheck.Input{images(seed, Batch)}
	}
	return []gradcheck.Input{dense(seed, Batch), images(seed, Batch)}
}

func shifted(x gradcheck.Input) gradcheck.Input {
	for i := range x.Data {
		x.Data[i] = 0.7 + 1.5*x.Data[i]
	}
	return x
}

func (b bench) shape(t *testing.T) {
	for _, x := range b.inputs(1) {
		for _, training := range []bool{true, false} {
			of := func(dtype dtypes.DType) []float64 {
				y, shape := b.call(t, b.prepared(t, dtype, x), training, dtype, x)
				if want := shapes.Make(dtype, x.Shape...); !shape.Equal(want) {
					t.Errorf("x is %s, y %s", want, shape)
				}
				return y
			}
			wide := of(dtypes.Float64)
			for dtype, tolerance := range map[dtypes.DType]float64{dtypes.Float32: 2e-5, dtypes.BFloat16: 0.05} {
				near(t, fmt.Sprintf("%s, training %v", dtype, training), of(dtype), wide, tolerance)
			}
		}
	}
}

func (b bench) gradient(t *testing.T) {
	inputs := b.inputs(2)
	if b.e.Kind == engine.KindGo { // XLA would compile a graph for each
		inputs = append(inputs, images(2, 1), images(2, 2))
	}
	for _, x := range inputs {
		for _, training := range []bool{true, false} {
			gradcheck.CheckModel(t, b.e.Backend, b.prepared(t, dtypes.Float64, x), func(scope *model.Scope, in []*graph.Node) *graph.Node {
				scope.Store().SetTraining(in[0].Graph(), training)
				if b.claims.detached && training {
					constant := graph.ConstTensor(in[0].Graph(), tensors.FromFlatDataAndDimensions(slices.Clone(x.Data), x.Shape...))
					return b.layer.Apply(scope.In("under_test"), constant)
				}
				return b.layer.Apply(scope.In("under_test"), in[0])
			}, x)
		}
	}
	if b.claims.detached {
		return
	}
	x := images(2, 2)
	collected := func(v *model.Variable) bool { return param.Of(v) == param.Statistic && v.DType() == dtypes.Float64 }
	gradcheck.CheckVariables(t, b.e.Backend, b.prepared(t, dtypes.Float64, x), collected, func(scope *model.Scope, in []*graph.Node) *graph.Node {
		scope.Store().SetTraining(in[0].Graph(), false)
		return b.layer.Apply(scope.In("under_test"), in[0])
	}, x)
}

func (b bench) smallBatch(t *testing.T) {
	one := images(3, 1)
	constant := images(3, Batch)
	for i := range constant.Data {
		constant.Data[i] = 2.5
	}
	for name, x := range map[string]gradcheck.Input{"one image": one, "constant images": constant} {
		exec, err := model.NewExec(b.e.Backend, model.NewStore(), func(scope *model.Scope, x *graph.Node) []*graph.Node {
			scope.Store().SetTraining(x.Graph(), true)
			x = graph.ConvertDType(x, dtypes.Float32)
			y := b.layer.Apply(scope.In("under_test"), x)
			return []*graph.Node{y, graph.Gradient(graph.ReduceAllSum(graph.Square(y)), x)[0]}
		})
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.Call(tensors.FromFlatDataAndDimensions(slices.Clone(x.Data), x.Shape...))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i, what := range []string{"y", "the gradient"} {
			for _, v := range tensors.MustCopyFlatData[float32](out[i]) {
				if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
					t.Fatalf("%s: %s has a %v", name, what, v)
				}
			}
		}
	}
}

func (b bench) inference(t *testing.T) {
	x := images(4, Batch)
	store := b.prepared(t, dtypes.Float32, x)
	before := state(store)
	whole, _ := b.call(t, store, false, dtypes.Float32, x)
	if after := state(store); after != before {
		t.Errorf("inference moved the variables from %s to %s", before, after)
	}
	if !b.claims.batchDependent {
		per := len(x.Data) / Batch
		for _, part := range []int{1, 5} { // 5 divides no batch
			some := gradcheck.Input{Shape: append([]int{part}, x.Shape[1:]...), Data: x.Data[:part*per]}
			y, _ := b.call(t, store, false, dtypes.Float32, some)
			near(t, fmt.Sprintf("%d of %d examples", part, Batch), y, whole[:part*per], 1e-6)
		}
	}
	if !b.claims.collects && !b.claims.stateful && !b.claims.batchDependent {
		y, _ := b.call(t, store, true, dtypes.Float32, x)
		near(t, "training, without collected statistics", y, whole, 0)
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

func (b bench) statistics(t *testing.T) {
	x := images(5, Batch)
	store := model.NewStore()
	b.call(t, store, false, dtypes.Float64, x)

	var mean, variance *model.Variable
	for v := range store.IterVariables() {
		switch {
		case param.Of(v) != param.Statistic:
		case v.Name() == "mean":
			mean = v
		case v.Name() == "variance":
			variance = v
		case b.claims.stateful:
		default:
			t.Errorf("statistic %s is named neither mean nor variance", v.Path())
		}
	}

	if !b.claims.collects {
		if b.claims.stateful {
			return
		}
		if mean != nil || variance != nil {
			t.Error("the layer has statistics; claim Collects so that they are checked")
		}
		return
	}
	if mean == nil || variance == nil {
		t.Fatal("the layer claims to collect a mean and a variance; it does not have both")
	}

	wantMean, wantVariance := slices.Repeat([]float64{0}, 3), slices.Repeat([]float64{1}, 3)
	train := b.callee(t, store, true, dtypes.Float64)
	for step := 1; step <= 50; step++ {
		x := images(uint64(100+step), Batch)
		train(x)
		b.loop(x, wantMean, wantVariance)
		if step == 1 || step == 2 || step == 50 {
			near(t, fmt.Sprintf("mean after %d steps", step), tensors.MustCopyFlatData[float64](mean.MustValue()), wantMean, 1e-10)
			near(t, fmt.Sprintf("variance after %d steps", step), tensors.MustCopyFlatData[float64](variance.MustValue()), wantVariance, 1e-10)
		}
	}
}

// loop moves running values as the layer claims to, one group after the other, with nothing clever.
func (b bench) loop(x gradcheck.Input, mean, variance []float64) {
	channels := len(mean)
	per := len(x.Data) / x.Shape[0]
	from := 0
	for _, size := range b.claims.groups(x.Shape[0]) {
		group := x.Data[from*per : (from+size)*per]
		n := float64(len(group) / channels)
		for c := range channels {
			m, v := 0.0, 0.0
			for i := c; i < len(group); i += channels {
				m += group[i] / n
			}
			for i := c; i < len(group); i += channels {
				v += (group[i] - m) * (group[i] - m) / n
			}
			if b.claims.unbiased {
				v *= n / (n - 1)
			}
			mean[c] += b.claims.momentum * (m - mean[c])
			variance[c] += b.claims.momentum * (v - variance[c])
		}
		from += size
	}
}

// copied trains a few steps, copies the variables, and trains both on: what a checkpoint in the middle of a warm-up must keep.
func (b bench) copied(t *testing.T) {
	x := images(6, Batch)
	store := b.prepared(t, dtypes.Float32, x)
	train := b.trained(t, store)
	train(3)
	other := model.NewStore()
	for v := range store.IterVariables() {
		if _, err := v.CloneToStore(other); err != nil {
			t.Fatal(err)
		}
	}
	want, _ := b.call(t, store, false, dtypes.Float32, x)
	got, _ := b.call(t, other, false, dtypes.Float32, x)
	near(t, "the copied layer", got, want, 0)
	near(t, "training of the copied layer", b.trained(t, other)(5), train(5), 0)
	if got, want := state(other), state(store); got != want {
		t.Errorf("the copied layer trained to %s, the first to %s", got, want)
	}
}

// trained runs steps that compute y and the gradient of sum(y w), which moves what state the gradient moves, and returns the
// last y and gradient.
func (b bench) trained(t *testing.T, store *model.Store) func(steps int) []float64 {
	t.Helper()
	exec, err := model.NewExec(b.e.Backend, store, func(scope *model.Scope, x, w *graph.Node) []*graph.Node {
		scope.Store().SetTraining(x.Graph(), true)
		x = graph.ConvertDType(x, dtypes.Float32)
		y := b.layer.Apply(scope.In("under_test"), x)
		return []*graph.Node{y, graph.Gradient(graph.ReduceAllSum(graph.Mul(y, graph.ConvertDType(w, dtypes.Float32))), x)[0]}
	})
	if err != nil {
		t.Fatal(err)
	}
	return func(steps int) (last []float64) {
		for step := range steps {
			x, w := images(uint64(60+step), Batch), images(uint64(80+step), Batch)
			out, err := exec.Call(tensors.FromFlatDataAndDimensions(x.Data, x.Shape...), tensors.FromFlatDataAndDimensions(w.Data, w.Shape...))
			if err != nil {
				t.Fatal(err)
			}
			last = last[:0]
			for _, o := range out {
				for _, v := range tensors.MustCopyFlatData[float32](o) {
					last = append(last, float64(v))
				}
			}
		}
		return last
	}
}

func (b bench) badShape(t *testing.T) {
	name := fmt.Sprintf("%T", b.layer)
	for _, x := range []any{[]float32{1, 2, 3}, [][]int32{{1, 2}, {3, 4}}} {
		err := exceptions.TryCatch[error](func() {
			model.MustNewExec(b.e.Backend, model.NewStore(), func(scope *model.Scope, x *graph.Node) *graph.Node {
				return b.layer.Apply(scope.In("under_test"), x)
			}).MustCall(x)
		})
		if err == nil {
			t.Errorf("x of %T was accepted", x)
			continue
		}
		text, _, _ := strings.Cut(err.Error(), "\n")
		got := tensors.MustFromAnyValue(x)
		for _, part := range []string{name, "/under_test", got.Shape().String(), "want"} {
			if !strings.Contains(text, part) {
				t.Errorf("the message for x of %T lacks %q: %s", x, part, text)
			}
		}
	}
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

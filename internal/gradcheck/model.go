package gradcheck

import (
	"fmt"
	"math"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"
)

// Declare gives a store the variables of a network for inputs of a shape, at their first values. Their graph is built and not compiled,
// which on XLA takes most of a test's time.
func Declare(t testing.TB, backend compute.Backend, store *model.Store, x shapes.Shape, f func(scope *model.Scope, x *Node) *Node) {
	t.Helper()
	err := exceptions.TryCatch[error](func() {
		g := NewGraph(backend, "declare")
		defer g.Finalize()
		model.SetStore(g, store)
		f(store.RootScope(), Parameter(g, "x", x))
	})
	if err == nil {
		err = store.InitializeVariables(backend, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// CheckModel is Check for a function with variables: it compares the gradients of the inputs and of every trainable float64
// variable of the store. Every call of f starts from the values that the variables have when CheckModel is called, or that
// f gives them if the store is empty.
func CheckModel(t testing.TB, backend compute.Backend, store *model.Store, f func(scope *model.Scope, x []*Node) *Node, inputs ...Input) {
	t.Helper()
	CheckVariables(t, backend, store, func(v *model.Variable) bool { return v.Trainable }, f, inputs...)
}

// CheckVariables is CheckModel for the float64 variables that which picks, in place of the trainable ones.
func CheckVariables(t testing.TB, backend compute.Backend, store *model.Store, which func(v *model.Variable) bool, f func(scope *model.Scope, x []*Node) *Node, inputs ...Input) {
	t.Helper()
	args := func() []any {
		list := make([]any, len(inputs))
		for i, in := range inputs {
			list[i] = in.tensor()
		}
		return list
	}
	first, err := model.NewExec(backend, store, f)
	if err != nil {
		t.Fatal(err)
	}
	var picked []*model.Variable
	before := snapshot(store)
	out, err := first.Call(args()...)
	if err != nil {
		t.Fatal(err)
	}
	for v := range store.IterVariables() {
		if which(v) {
			picked = append(picked, v)
		}
	}
	if len(before.floats) == 0 {
		before = snapshot(store)
	}
	w := Normal(5, out[0].Shape().Dimensions...)
	exec, err := model.NewExec(backend, store, func(scope *model.Scope, x []*Node) []*Node {
		loss := ReduceAllSum(Mul(f(scope, x), Const(x[0].Graph(), w.tensor())))
		wanted := append([]*Node(nil), x...)
		for _, v := range picked {
			wanted = append(wanted, v.NodeValue(x[0].Graph()))
		}
		return append([]*Node{loss}, Gradient(loss, wanted...)...)
	})
	if err != nil {
		t.Fatal(err)
	}
	call := func() []*tensors.Tensor {
		before.restore(t, store)
		out, err := exec.Call(args()...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	grads := call()[1:]
	const h = 1e-5
	check := func(name string, grad *tensors.Tensor, data []float64) {
		got := tensors.MustCopyFlatData[float64](grad)
		for i, old := range data {
			data[i] = old + h
			up := tensors.ToScalar[float64](call()[0])
			data[i] = old - h
			down := tensors.ToScalar[float64](call()[0])
			data[i] = old
			want := (up - down) / (2 * h)
			if e := math.Abs(got[i]-want) / (1 + math.Abs(want)); !(e <= 1e-6) {
				t.Errorf("%s, element %d: gradient %v, central difference %v", name, i, got[i], want)
				return
			}
		}
	}
	for k := range inputs {
		check(fmt.Sprintf("input %d", k), grads[k], inputs[k].Data)
	}
	for k, v := range picked {
		check(v.Path(), grads[len(inputs)+k], before.floats[v.Path()])
	}
	before.restore(t, store)
}

// values are the float64 variables of a store, and its counters, by path.
type values struct {
	floats map[string][]float64
	counts map[string][]int32
}

func snapshot(store *model.Store) values {
	s := values{map[string][]float64{}, map[string][]int32{}}
	for v := range store.IterVariables() {
		switch {
		case !v.HasValue():
		case v.DType() == dtypes.Float64:
			s.floats[v.Path()] = tensors.MustCopyFlatData[float64](v.MustValue())
		case v.DType() == dtypes.Int32:
			s.counts[v.Path()] = tensors.MustCopyFlatData[int32](v.MustValue())
		}
	}
	return s
}

func (s values) restore(t testing.TB, store *model.Store) {
	t.Helper()
	set := func(path string, value func(dims ...int) *tensors.Tensor) {
		v := store.GetVariable(path)
		if err := v.SetValue(value(v.Shape().Dimensions...)); err != nil {
			t.Fatal(err)
		}
	}
	for path, data := range s.floats {
		set(path, func(dims ...int) *tensors.Tensor {
			return tensors.FromFlatDataAndDimensions(append([]float64(nil), data...), dims...)
		})
	}
	for path, data := range s.counts {
		set(path, func(dims ...int) *tensors.Tensor {
			return tensors.FromFlatDataAndDimensions(append([]int32(nil), data...), dims...)
		})
	}
}

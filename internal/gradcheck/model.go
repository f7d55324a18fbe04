package gradcheck

import (
	"fmt"
	"math"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// CheckModel is Check for a function with variables: it compares the gradients of the inputs and of every trainable float64
// variable of the store. Every call of f starts from the values that the variables have when CheckModel is called, or that
// f gives them if the store is empty.
func CheckModel(t testing.TB, backend compute.Backend, store *model.Store, f func(scope *model.Scope, x []*Node) *Node, inputs ...Input) {
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
	var trained []*model.Variable
	before := snapshot(store)
	out, err := first.Call(args()...)
	if err != nil {
		t.Fatal(err)
	}
	for v := range store.IterVariables() {
		if v.Trainable {
			trained = append(trained, v)
		}
	}
	if len(before) == 0 {
		before = snapshot(store)
	}
	w := Normal(5, out[0].Shape().Dimensions...)
	exec, err := model.NewExec(backend, store, func(scope *model.Scope, x []*Node) []*Node {
		loss := ReduceAllSum(Mul(f(scope, x), Const(x[0].Graph(), w.tensor())))
		wanted := append([]*Node(nil), x...)
		for _, v := range trained {
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
	for k, v := range trained {
		check(v.Path(), grads[len(inputs)+k], before[v.Path()])
	}
	before.restore(t, store)
}

// values are the float64 variables of a store by path.
type values map[string][]float64

func snapshot(store *model.Store) values {
	s := values{}
	for v := range store.IterVariables() {
		if v.HasValue() && v.DType() == dtypes.Float64 {
			s[v.Path()] = tensors.MustCopyFlatData[float64](v.MustValue())
		}
	}
	return s
}

func (s values) restore(t testing.TB, store *model.Store) {
	t.Helper()
	for path, data := range s {
		v := store.GetVariable(path)
		if err := v.SetValue(tensors.FromFlatDataAndDimensions(append([]float64(nil), data...), v.Shape().Dimensions...)); err != nil {
			t.Fatal(err)
		}
	}
}

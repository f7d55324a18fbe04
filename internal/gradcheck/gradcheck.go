// Package gradcheck compares gradients of graph functions with central differences, in float64.
package gradcheck

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/support/exceptions"
)

// Input is one input of the function, row-major.
type Input struct {
	Shape []int
	Data  []float64
}

// Normal draws an input from N(0, 1).
func Normal(seed uint64, shape ...int) Input {
	r := rand.New(rand.NewPCG(seed, 77))
	size := 1
	for _, d := range shape {
		size *= d
	}
	in := Input{Shape: shape, Data: make([]float64, size)}
	for i := range in.Data {
		in.Data[i] = r.NormFloat64()
	}
	return in
}

func (in Input) tensor() *tensors.Tensor {
	return tensors.FromFlatDataAndDimensions(append([]float64(nil), in.Data...), in.Shape...)
}

// Eval runs f once and returns its flat value and its shape.
func Eval(t testing.TB, backend compute.Backend, f func(x []*Node) *Node, inputs ...Input) (value []float64, shape []int) {
	t.Helper()
	y := call(t, backend, func(x []*Node) []*Node { return []*Node{f(x)} }, inputs)[0]
	return tensors.MustCopyFlatData[float64](y), y.Shape().Dimensions
}

// Check compares the gradient of sum(f(inputs) w), w random, with central differences, for every element of every input.
// Never of the plain sum: behind a normalisation its gradient is zero whatever the code does.
func Check(t testing.TB, backend compute.Backend, f func(x []*Node) *Node, inputs ...Input) {
	t.Helper()
	_, shape := Eval(t, backend, f, inputs...)
	w := Normal(5, shape...)
	weighted := func(x []*Node) *Node {
		return ReduceAllSum(Mul(f(x), Const(x[0].Graph(), w.tensor())))
	}
	grads := call(t, backend, func(x []*Node) []*Node { return Gradient(weighted(x), x...) }, inputs)
	exec := newExec(t, backend, func(x []*Node) []*Node { return []*Node{weighted(x)} }, len(inputs))
	at := func() float64 { return tensors.ToScalar[float64](run(t, exec, inputs)[0]) }
	const h = 1e-5
	worst := ""
	worstError := 0.0
	for k := range inputs {
		got := tensors.MustCopyFlatData[float64](grads[k])
		for i, old := range inputs[k].Data {
			inputs[k].Data[i] = old + h
			up := at()
			inputs[k].Data[i] = old - h
			down := at()
			inputs[k].Data[i] = old
			want := (up - down) / (2 * h)
			if e := math.Abs(got[i]-want) / (1 + math.Abs(want)); e > worstError || math.IsNaN(e) {
				worstError, worst = e, fmt.Sprintf("input %d element %d: gradient %v, central difference %v", k, i, got[i], want)
			}
		}
	}
	if worstError > 1e-6 || math.IsNaN(worstError) {
		t.Error(worst)
	}
}

// Panics returns the message with which building f fails, or "" if it does not.
func Panics(backend compute.Backend, f func(x []*Node) *Node, inputs ...Input) string {
	err := exceptions.TryCatch[error](func() {
		args := make([]any, len(inputs))
		for i, in := range inputs {
			args[i] = in.tensor()
		}
		MustNewExec(backend, func(x []*Node) *Node { return f(x) }).MustCall(args...)
	})
	if err == nil {
		return ""
	}
	return err.Error()
}

func call(t testing.TB, backend compute.Backend, f func(x []*Node) []*Node, inputs []Input) []*tensors.Tensor {
	t.Helper()
	return run(t, newExec(t, backend, f, len(inputs)), inputs)
}

func newExec(t testing.TB, backend compute.Backend, f func(x []*Node) []*Node, _ int) *Exec {
	t.Helper()
	exec, err := NewExec(backend, f)
	if err != nil {
		t.Fatal(err)
	}
	return exec
}

func run(t testing.TB, exec *Exec, inputs []Input) []*tensors.Tensor {
	t.Helper()
	args := make([]any, len(inputs))
	for i, in := range inputs {
		args[i] = in.tensor()
	}
	out, err := exec.Call(args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

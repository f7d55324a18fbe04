package bench

import (
	"fmt"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/nn/norm"
)

// norms are all norms that have a name, on activations of an image network and of a transformer, against the bytes that
// must be moved at least: forward x is read and y written, backward x and dy are read and dx written.
func norms() (lines []Line) {
	for _, dims := range [][]int{{64, 32, 32, 64}, {4096, 1024}} {
		size := 4.0
		for _, d := range dims {
			size *= float64(d)
		}
		for _, kind := range norm.All() {
			for _, backward := range []bool{false, true} {
				part, passes := "forward", 2.0
				if backward {
					part, passes = "forward and backward", 5
				}
				lines = append(lines, Line{
					Suite: "norm", Name: fmt.Sprintf("%s of %v, %s", kind.Name, dims, part), Limit: limitCopy, Least: passes * size,
					open: func(env *Env) (Case, error) { return normCase(env, kind.New(), dims, backward) },
				})
			}
		}
	}
	return lines
}

func normCase(env *Env, layer norm.Layer, dims []int, backward bool) (Case, error) {
	store := model.NewStore()
	x, v := normal(1, dims...), normal(2, dims...)
	// What is timed: the result, or the gradients of sum(y v).
	timed := func(scope *model.Scope, x, v *graph.Node) []*graph.Node {
		scope.Store().SetTraining(x.Graph(), true)
		y := layer.Apply(scope, x)
		if !backward {
			return []*graph.Node{y}
		}
		wrt := []*graph.Node{x}
		for w := range scope.Store().IterVariables() {
			if w.Trainable {
				wrt = append(wrt, w.NodeValue(x.Graph()))
			}
		}
		return graph.Gradient(graph.ReduceAllSum(graph.Mul(y, v)), wrt...)
	}
	weighted := func(scope *model.Scope, x, v *graph.Node) *graph.Node {
		scope.Store().SetTraining(x.Graph(), true)
		return graph.ReduceAllSum(graph.Mul(layer.Apply(scope, x), graph.Sin(graph.MulScalar(v, 3))))
	}
	exec, err := model.NewExec(env.Engine.Backend, store, timed)
	if err != nil {
		return Case{}, err
	}
	var last []*tensors.Tensor
	run := func() error {
		out, err := exec.Call(x, v)
		if err != nil {
			return err
		}
		if err := out[0].ConstFlatData(func(any) {}); err != nil {
			return err
		}
		err = free(last)
		last = out
		return err
	}
	return Case{
		// Along v the weighted sum of the results must change as differences say; normtest checks the rest.
		Check: func() error {
			const h = 1e-2
			one := func(f func(scope *model.Scope, x, v *graph.Node) *graph.Node) (float64, error) {
				e, err := model.NewExec(env.Engine.Backend, store, f)
				if err != nil {
					return 0, err
				}
				defer e.Finalize()
				out, err := e.Call(x, v)
				if err != nil {
					return 0, err
				}
				value := float64(tensors.ToScalar[float32](out[0]))
				return value, free(out)
			}
			at := func(step float64) (float64, error) {
				return one(func(scope *model.Scope, x, v *graph.Node) *graph.Node {
					return weighted(scope, graph.Add(x, graph.MulScalar(v, step)), v)
				})
			}
			up, err := at(h)
			if err != nil {
				return err
			}
			down, err := at(-h)
			if err != nil {
				return err
			}
			slope, err := one(func(scope *model.Scope, x, v *graph.Node) *graph.Node {
				return graph.ReduceAllSum(graph.Mul(graph.Gradient(weighted(scope, x, v), x)[0], v))
			})
			if err != nil {
				return err
			}
			return isNear((up-down)/(2*h), slope, 0.05)
		},
		Run: run, Close: func() { exec.Finalize(); store.Finalize() },
	}, nil
}

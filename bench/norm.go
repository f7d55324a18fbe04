package bench

import (
	"fmt"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/rnn"
)

// norms are all norms that have a name, on activations of an image network and of a transformer, against batch normalisation and the
// bytes that must be moved at least: forward x is read and y written, backward x and dy are read and dx written.
func norms() (lines []Line) {
	for _, dims := range [][]int{{64, 32, 32, 64}, {4096, 1024}} {
		size := 4.0
		for _, d := range dims {
			size *= float64(d)
		}
		for _, kind := range normsToMeasure() {
			if len(dims) == 2 && needPositions[kind.Name] {
				continue
			}
			for _, backward := range []bool{false, true} {
				part, passes := "forward", 2.0
				if backward {
					part, passes = "forward and backward", 5
				}
				name := func(kind string) string { return fmt.Sprintf("%s of %v, %s", kind, dims, part) }
				base := name(baseOf(kind.Name))
				if base == name(kind.Name) {
					base = ""
				}
				most := Most{OfBase: mostOfBase[kind.Name]}
				if kind.Name == "layer" && !backward {
					most.OfLimit = 2.5
				}
				lines = append(lines, Line{
					Suite: "norm", Name: name(kind.Name), Limit: limitCopy, Least: passes * size, Base: base, Most: most,
					open: func(env *Env) (Case, error) {
						return normCase(env, kind.New(), dims, backward, detached[kind.Name])
					},
				})
			}
		}
	}
	// A batch of 64 sequences of 32 steps: one training step of a recurrent layer.
	dims := []int{64, 32, 128}
	name := func(kind string) string { return fmt.Sprintf("%s of 128 over %v, forward and backward", kind, dims) }
	step := func(kind string, layer rnn.Layer) Line {
		return Line{Suite: "norm", Name: name(kind), open: func(env *Env) (Case, error) { return normCase(env, recurrent{layer}, dims, true, false) }}
	}
	normalised := step("LN-LSTM", rnn.NewLNLSTM(128))
	normalised.Base, normalised.Most.OfBase = name("LSTM"), 1.6
	return append(lines, step("LSTM", rnn.NewLSTM(128)), normalised)
}

// mostOfBase is how much more than its base a norm should take at most.
var mostOfBase = map[string]float64{"ghost": 1.1, "ibn": 1.2, "evonorm-s0": 1.5, "region": 1.5}

// baseOf is the norm that a norm stands beside.
func baseOf(name string) string {
	if name == "region" {
		return "instance"
	}
	return "batch"
}

// normsToMeasure are all norms that have a name, and region normalisation.
func normsToMeasure() []norm.Kind {
	return append(norm.All(), norm.Kind{Name: "region", New: func() norm.Layer { return twoRegions{} }})
}

var (
	needPositions = map[string]bool{
		"instance": true, "ibn": true, "evonorm-b0": true, "evonorm-b1": true, "evonorm-b2": true, "genome": true, "region": true,
	}
	// detached norms have a gradient that does not follow their statistics, which differences do.
	detached = map[string]bool{"estimated": true, "batch-channel": true, "power": true, "power-paper": true, "unified": true}
)

// twoRegions is region normalisation with a hole in the middle.
type twoRegions struct{}

func (twoRegions) Apply(_ *model.Scope, x *graph.Node) *graph.Node {
	d := x.Shape().Dimensions
	mask := make([]bool, d[0]*d[1]*d[2])
	for i := range mask {
		row, column := i/d[2]%d[1], i%d[2]
		mask[i] = row > d[1]/4 && row < d[1]/2 && column > d[2]/4 && column < d[2]/2
	}
	return norm.NewRegion().Normalize(x, graph.ConstTensor(x.Graph(), tensors.FromFlatDataAndDimensions(mask, d[0], d[1], d[2], 1)))
}

// recurrent is a recurrent layer as a norm: states of the same shape as x.
type recurrent struct{ layer rnn.Layer }

func (r recurrent) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	return r.layer.Apply(scope, x, rnn.Inputs{}).H
}

func normCase(env *Env, layer norm.Layer, dims []int, backward, detached bool) (Case, error) {
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
			if detached {
				value, err := one(weighted)
				if err == nil && value-value != 0 {
					err = fmt.Errorf("the result is %v", value)
				}
				return err
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

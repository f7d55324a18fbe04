package bench

import (
	"context"
	"fmt"
	"math"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/ops"
	"github.com/ballast-ml/ballast/train"
	"github.com/ballast-ml/ballast/train/grok"
	"github.com/ballast-ml/ballast/zoo"
)

// training are whole steps: forward, backward and a plain gradient step. bench/peers measures the same work.
func training() []Line {
	cnn := func(env *Env) *stepper { return classifier(env, zoo.NewCNN(), 64, 28, 28, 1) }
	resnet := func(env *Env) *stepper { return classifier(env, zoo.NewResNet(20), 128, 32, 32, 3) }
	frozen := func(env *Env) *stepper {
		s := resnet(env)
		s.policies = []string{string(train.GroupNorm)}
		return s
	}
	const resnetStep = "step of ResNet-20, batch 128"
	norms := stepLine(resnetStep+", norms trained alone", 0, frozen)
	norms.What, norms.Base, norms.Most.OfBase = "", resnetStep, 0.75
	const rows, width = 8 * 256, 256
	return []Line{
		stepLine("step of the small CNN, batch 64", 3*2*(64*28*28*9*16+64*14*14*9*16*32+64*1568*128+64*1280), cnn),
		stepLine(resnetStep, 3*2*128*40.5e6, resnet),
		norms,
		stepLine("step of a transformer stack, 4 layers", 3*4*(2*rows*width*(3+1+4+4)*width+2*2*8*8*256*256*32), transformer),
		{Suite: "train", Name: "layer norm of 4096x1024, forward and backward", Limit: limitCopy, Least: 4 * 5 * 4096 * 1024, open: func(env *Env) (Case, error) {
			return gradientCase(env, func(in []*graph.Node) *graph.Node {
				y, _, _ := ops.Normalize(in[0], in[1], in[2], []int{1}, 1e-5)
				return y
			}, 3, normal(1, 4096, 1024), normal(2, 1, 1024), normal(3, 1, 1024))
		}},
		{Suite: "train", Name: "AdamW on 5 million weights", Limit: limitCopy, Least: 4 * 7 * 5e6, open: adamW},
		{Suite: "train", Name: "compilation of the ResNet-20 step", once: true, open: func(env *Env) (Case, error) {
			s := resnet(env)
			// What takes time is the first step of a new program.
			return Case{Close: s.close, Run: func() error { return s.fresh() }}, nil
		}},
		{Suite: "train", Name: "grokking, 300 updates", once: true, Most: Most{Seconds: 20}, open: func(env *Env) (Case, error) {
			config := grok.NewConfig()
			config.Decay = 15
			if env.Quick {
				config.P, config.Steps = 11, 10
			}
			var test float64
			run := func() error {
				r, err := grok.Run(context.Background(), config, grok.Options{Engine: env.Engine})
				if err != nil {
					return err
				}
				defer r.Close()
				test = r.Final.Test
				return nil
			}
			return Case{Run: run, Check: func() error {
				if err := run(); err != nil {
					return err
				}
				if !env.Quick && test < 0.9 {
					return fmt.Errorf("it has not generalised: %.2f of the other pairs are right", test)
				}
				return nil
			}}, nil
		}},
	}
}

// stepper trains a network on one batch.
type stepper struct {
	env      *Env
	build    func(scope *model.Scope, in []*graph.Node) *graph.Node // the loss
	policies []string                                               // what is trained, as train.Freeze says it; nil = all
	args     []any
	store    *model.Store
	exec     *model.Exec
	rate     float64
}

func classifier(env *Env, network zoo.Network, batch, height, width, channels int) *stepper {
	labels := make([]int32, batch)
	for i := range labels {
		labels[i] = int32(i * 7 % 10)
	}
	return &stepper{
		env: env, rate: 1e-3, args: []any{normal(1, batch, height, width, channels), tensors.FromFlatDataAndDimensions(labels, batch)},
		build: func(scope *model.Scope, in []*graph.Node) *graph.Node {
			return loss.Mean(loss.CrossEntropy{}.Of(in[1], network.Apply(scope, in[0])), nil)
		},
	}
}

// transformer is 4 layers of width 256 with 8 heads and a feed-forward layer of 1024, normalised before each part, on 8
// sequences of 256; the loss is the mean square of the result.
func transformer(env *Env) *stepper {
	return &stepper{env: env, rate: 1e-3, args: []any{normal(1, 8, 256, 256)}, build: func(scope *model.Scope, in []*graph.Node) *graph.Node {
		x := in[0]
		for layer := range 4 {
			within := scope.In("layer_%d", layer+1)
			h := norm.NewLayerNorm(-1).Apply(within.In("norm_1"), x)
			qkv := graph.Reshape(linear.Dense{Units: 768}.Apply(within.In("qkv"), h), 8, 256, 3, 8, 32)
			heads := func(i int) *graph.Node {
				part := graph.Slice(qkv, graph.AxisRange(), graph.AxisRange(), graph.AxisElem(i))
				return graph.TransposeAllAxes(graph.Reshape(part, 8, 256, 8, 32), 0, 2, 1, 3)
			}
			y := graph.TransposeAllAxes(ops.Attention(heads(0), heads(1), heads(2), nil), 0, 2, 1, 3)
			x = graph.Add(x, linear.Dense{Units: 256}.Apply(within.In("out"), graph.Reshape(y, 8, 256, 256)))
			h = norm.NewLayerNorm(-1).Apply(within.In("norm_2"), x)
			h = linear.GELU.Apply(linear.Dense{Units: 1024}.Apply(within.In("wide"), h))
			x = graph.Add(x, linear.Dense{Units: 256}.Apply(within.In("narrow"), h))
		}
		return graph.ReduceAllMean(graph.Square(x))
	}}
}

// program compiles a step at a rate on a store.
func (s *stepper) program(store *model.Store, rate float64) (*model.Exec, error) {
	return model.NewExec(s.env.Engine.Backend, store, func(scope *model.Scope, in []*graph.Node) []*graph.Node {
		g := in[0].Graph()
		scope.Store().SetTraining(g, true)
		l := s.build(scope, in)
		var trained []*model.Variable
		for v := range scope.Store().IterVariables() {
			if v.Trainable && v.InUseByGraph(g) {
				trained = append(trained, v)
			}
		}
		if s.policies != nil {
			selected, err := train.Freeze{Train: s.policies}.Select(trained)
			if err != nil {
				Panicf("bench: %v", err)
			}
			trained = nil
			for _, t := range selected {
				trained = append(trained, t.Variable)
			}
		}
		var values []*graph.Node
		for _, v := range trained {
			values = append(values, v.NodeValue(g))
		}
		square := graph.ScalarZero(g, l.DType())
		for i, gradient := range graph.Gradient(l, values...) {
			square = graph.Add(square, graph.ReduceAllSum(graph.Square(gradient)))
			trained[i].SetNodeValue(graph.Sub(values[i], graph.MulScalar(gradient, rate)))
		}
		if rate == s.rate { // the timed program computes nothing that training does not need
			return []*graph.Node{l}
		}
		return []*graph.Node{l, square}
	})
}

func (s *stepper) open() (err error) {
	s.store = model.NewStore()
	param.Seed(s.store, 1)
	s.exec, err = s.program(s.store, s.rate)
	return err
}

// run takes a step and waits for its loss.
func (s *stepper) run() error {
	out, err := s.exec.Call(s.args...)
	if err != nil {
		return err
	}
	value := tensors.ToScalar[float32](out[0])
	if value != value {
		return fmt.Errorf("the loss is not a number")
	}
	return free(out)
}

// fresh compiles a new program and takes its first step.
func (s *stepper) fresh() error {
	if s.store != nil {
		s.close()
	}
	if err := s.open(); err != nil {
		return err
	}
	return s.run()
}

// check compares the fall of the loss along its gradient g with h |g|^2.
func (s *stepper) check() error {
	if err := s.run(); err != nil { // creates the variables
		return err
	}
	at := func(h float64) (loss, square float64, err error) {
		store, err := s.store.Clone()
		if err != nil {
			return 0, 0, err
		}
		defer store.Finalize()
		exec, err := s.program(store, h)
		if err != nil {
			return 0, 0, err
		}
		defer exec.Finalize()
		first, err := exec.Call(s.args...)
		if err != nil {
			return 0, 0, err
		}
		second, err := exec.Call(s.args...)
		if err != nil {
			return 0, 0, err
		}
		return float64(tensors.ToScalar[float32](second[0])), float64(tensors.ToScalar[float32](first[1])), nil
	}
	const h = 3e-3
	up, square, err := at(-h)
	if err != nil {
		return err
	}
	down, _, err := at(h)
	if err != nil {
		return err
	}
	if err := isNear((up-down)/(2*h), square, 0.1); err != nil {
		return fmt.Errorf("the loss does not fall as its gradient says: %w", err)
	}
	return nil
}

func (s *stepper) close() {
	if s.exec != nil {
		s.exec.Finalize()
	}
	if s.store != nil {
		s.store.Finalize()
	}
}

func stepLine(name string, flop float64, make func(env *Env) *stepper) Line {
	return Line{Suite: "train", Name: name, What: "flop", Work: flop, Limit: limitMatMul, Least: flop, open: func(env *Env) (Case, error) {
		s := make(env)
		if err := s.open(); err != nil {
			return Case{}, err
		}
		return Case{Check: s.check, Run: s.run, Close: s.close}, nil
	}}
}

// adamW updates 20 tensors of 250,000 weights; the gradients stay.
func adamW(env *Env) (Case, error) {
	const tensorsOf, size, lr, decay, beta1, beta2, epsilon = 20, 250_000, 1e-3, 0.01, 0.9, 0.999, 1e-8
	store := model.NewStore()
	var gradients []any
	for i := range tensorsOf {
		gradients = append(gradients, normal(uint64(i), size))
		for _, name := range []string{"weight", "first", "second"} {
			v, err := store.CreateVariable(fmt.Sprintf("/%s_%d", name, i), tensors.FromFlatDataAndDimensions(make([]float32, size), size))
			if err != nil {
				return Case{}, err
			}
			v.SetTrainable(false)
		}
	}
	exec, err := model.NewExec(env.Engine.Backend, store, func(_ *model.Scope, in []*graph.Node) *graph.Node {
		g := in[0].Graph()
		for i, gradient := range in {
			get := func(name string) *model.Variable { return store.GetVariable(fmt.Sprintf("/%s_%d", name, i)) }
			w, m, u := get("weight"), get("first"), get("second")
			first := graph.Add(graph.MulScalar(m.NodeValue(g), beta1), graph.MulScalar(gradient, 1-beta1))
			second := graph.Add(graph.MulScalar(u.NodeValue(g), beta2), graph.MulScalar(graph.Square(gradient), 1-beta2))
			direction := graph.Div(graph.MulScalar(first, 1/(1-beta1)), graph.AddScalar(graph.Sqrt(graph.MulScalar(second, 1/(1-beta2))), epsilon))
			w.SetNodeValue(graph.Sub(graph.MulScalar(w.NodeValue(g), 1-lr*decay), graph.MulScalar(direction, lr)))
			m.SetNodeValue(first)
			u.SetNodeValue(second)
		}
		return graph.ScalarZero(g, in[0].DType())
	})
	if err != nil {
		return Case{}, err
	}
	last := store.GetVariable(fmt.Sprintf("/weight_%d", tensorsOf-1))
	run := func() error {
		out, err := exec.Call(gradients...)
		if err != nil {
			return err
		}
		value, err := last.Value()
		if err != nil {
			return err
		}
		if err := value.ConstFlatData(func(any) {}); err != nil { // until it is there
			return err
		}
		return free(out)
	}
	return Case{
		Check: func() error {
			if err := run(); err != nil {
				return err
			}
			g := tensors.MustCopyFlatData[float32](gradients[tensorsOf-1].(*tensors.Tensor))
			w := tensors.MustCopyFlatData[float32](last.MustValue())
			for i := range w { // from zero, the first step is lr against the sign of the gradient
				if want := -lr * math.Copysign(1, float64(g[i])); math.Abs(float64(g[i])) > 1e-4 && math.Abs(float64(w[i])-want) > 1e-3*lr {
					return fmt.Errorf("weight %d moves by %v, want %v", i, w[i], want)
				}
			}
			return nil
		},
		Run: run, Close: func() { exec.Finalize(); store.Finalize() },
	}, nil
}

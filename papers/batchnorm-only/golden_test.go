package batchnormonly

import (
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/papers/paper/papertest"
	"github.com/ballast-ml/ballast/train"
	"github.com/ballast-ml/ballast/zoo"
)

func TestGolden(t *testing.T) { papertest.Golden(t, "batchnorm-only", kinds) }

func TestOptions(t *testing.T) { papertest.Options(t, "batchnorm-only", kinds) }

func kinds(e *engine.Engine) []golden.Kind {
	return []golden.Kind{
		{
			Name:  "parameter counts",
			Match: func(c *golden.Case) bool { return c.Has("inputs.depth_width", "outputs.counts") },
			Run: func(_ golden.T, c *golden.Case) {
				c.Params(&struct{}{})
				table := c.Tensor("inputs.depth_width")
				var counts []float64
				for i := 0; i < len(table.Data); i += 2 {
					r := countResNet(e, int(table.Data[i]), int(table.Data[i+1]))
					counts = append(counts, float64(r.Kernels), float64(r.Shortcuts), float64(r.Norms), float64(r.Output), float64(r.Total))
				}
				c.Got("counts", []int{table.Shape[0], 5}, counts)
			},
		},
		{
			Name: "diagnostics",
			Match: func(c *golden.Case) bool {
				return c.Has("params.gamma_thresholds", "inputs.gamma", "inputs.normalized")
			},
			Run: goldenGamma,
		},
		{
			Name:  "frozen training",
			Match: func(c *golden.Case) bool { return c.Has("params.mode", "weights.gamma1", "weights.fc_kernel") },
			Run:   func(t golden.T, c *golden.Case) { goldenFrozen(t, e, c) },
		},
	}
}

func countResNet(e *engine.Engine, depth, width int) train.ParamReport {
	network := zoo.NewResNet(depth)
	network.Base, network.Shortcut = width, "B"
	store := model.NewStore()
	g := graph.NewGraph(e.Backend, "count")
	defer g.Finalize()
	network.Apply(store.RootScope(), graph.Zeros(g, tensors.FromFlatDataAndDimensions(make([]float32, 32*32*3), 1, 32, 32, 3).Shape()))
	var variables []*model.Variable
	for v := range store.IterVariables() {
		if v.Trainable {
			variables = append(variables, v)
		}
	}
	return train.CountParams(variables)
}

func goldenGamma(t golden.T, c *golden.Case) {
	p := struct {
		Thresholds []float64 `json:"gamma_thresholds"`
	}{}
	c.Params(&p)
	gamma, beta, x := c.Tensor("inputs.gamma").Data, c.Tensor("inputs.beta").Data, c.Tensor("inputs.normalized").Data
	s, err := metric.Gammas(gamma, p.Thresholds)
	if err != nil {
		t.Fatalf("%v", err)
	}
	c.Got("fraction_below", []int{len(s.Below)}, s.Below)
	c.Scalar("gamma_mean_abs", s.MeanAbs)
	activations := make([]float64, len(x))
	for i, v := range x {
		activations[i] = max(0, gamma[i%len(gamma)]*v+beta[i%len(gamma)])
	}
	zero, dead, err := metric.DeadChannels(activations, len(gamma))
	if err != nil {
		t.Fatalf("%v", err)
	}
	c.Got("zero_activation_fraction_per_channel", []int{len(zero)}, zero)
	c.Scalar("fraction_channels_mostly_zero", dead)
}

func goldenFrozen(t golden.T, e *engine.Engine, c *golden.Case) {
	p := struct {
		Mode     string  `json:"mode"`
		Steps    int     `json:"steps"`
		LR       float64 `json:"lr"`
		Momentum float64 `json:"momentum"`
		Epsilon  float64 `json:"eps"`
		Decay    float64 `json:"weight_decay"`
	}{}
	c.Params(&p)
	policies := map[string][]string{
		"bn_only": {"bn"}, "bn_and_output": {"bn", "output"}, "output_only": {"output"}, "all": {"all"}, "all_except_bn": {"all-bn"},
	}
	if policies[p.Mode] == nil {
		t.Fatalf("no policy for mode %q", p.Mode)
	}
	paths := map[string]string{
		"kernel1": "/layer_1/kernel", "gamma1": "/layer_1/norm/scale", "beta1": "/layer_1/norm/offset",
		"kernel2": "/layer_2/kernel", "gamma2": "/layer_2/norm/scale", "beta2": "/layer_2/norm/offset",
		"fc_kernel": "/output/kernel", "fc_bias": "/output/bias",
	}
	batch := norm.NewBatch()
	batch.Epsilon = p.Epsilon
	classes := c.Tensor("weights.fc_bias").Shape[0]
	network := zoo.ConvNet{
		Filters: []int{c.Tensor("weights.gamma1").Shape[0], c.Tensor("weights.gamma2").Shape[0]}, Strides: []int{1, 1},
		Classes: classes, Norm: norm.Choice{Layer: batch}, Activation: linear.ReLU,
	}
	store := model.NewStore()
	first := map[string]golden.Tensor{}
	for name, path := range paths {
		first[name] = c.Tensor("weights." + name)
		papertest.Create(store, path, papertest.Tensor(first[name]))
	}
	o := optim.NewSGD()
	o.LR, o.Momentum, o.WeightDecay, o.Decay = p.LR, p.Momentum, p.Decay, []string{"all"}
	labels := make([]int32, len(c.Tensor("inputs.labels").Data))
	for i, v := range c.Tensor("inputs.labels").Data {
		labels[i] = int32(v)
	}
	exec := model.MustNewExec(e.Backend, store, func(scope *model.Scope, x, labels *graph.Node) *graph.Node {
		store.SetTraining(x.Graph(), true)
		l := loss.Mean(loss.CrossEntropy{}.Of(labels, network.Apply(scope, x)), nil)
		var variables []*model.Variable
		for v := range store.IterVariables() {
			if v.Trainable {
				variables = append(variables, v)
			}
		}
		trained, err := train.Freeze{Train: policies[p.Mode]}.Select(variables)
		if err != nil {
			t.Fatalf("%v", err)
		}
		variables = nil
		for _, v := range trained {
			variables = append(variables, v.Variable)
		}
		optim.Minimizer{Optimizer: o}.Step(scope.In("optimizer"), l, variables)
		return l
	})
	var losses []float64
	for range p.Steps {
		l := exec.MustCall(papertest.Tensor(c.Tensor("inputs.x")), tensors.FromFlatDataAndDimensions(labels, len(labels)))[0]
		losses = append(losses, float64(tensors.ToScalar[float32](l)))
	}
	c.Got("losses", []int{len(losses)}, losses)
	for name, path := range paths {
		value := store.GetVariable(path).MustValue()
		if c.Has("outputs.final_" + name) {
			papertest.Got(c, "final_"+name, value)
			continue
		}
		// What is frozen stays as it was, to the last bit.
		want := tensors.MustCopyFlatData[float32](papertest.Tensor(first[name]))
		for i, v := range tensors.MustCopyFlatData[float32](value) {
			if v != want[i] {
				t.Errorf("%s moved from %v to %v", name, want[i], v)
				break
			}
		}
	}
}

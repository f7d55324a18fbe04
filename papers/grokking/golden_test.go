package grokking

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/papers/paper/papertest"
	"github.com/ballast-ml/ballast/train/grok"
)

func TestGolden(t *testing.T) { papertest.Golden(t, "grokking", kinds) }

func TestOptions(t *testing.T) { papertest.Options(t, "grokking", kinds) }

func kinds(e *engine.Engine) []golden.Kind {
	return []golden.Kind{
		{
			Name:  "analytic solution",
			Match: func(c *golden.Case) bool { return c.Has("inputs.frequency", "inputs.phase1") },
			Run:   func(t golden.T, c *golden.Case) { goldenAnalytic(t, e, c) },
		},
		{
			Name:  "inverse participation ratio",
			Match: func(c *golden.Case) bool { return c.Has("inputs.U", "inputs.V", "inputs.W") },
			Run:   goldenIPR,
		},
		{
			Name:  "training",
			Match: func(c *golden.Case) bool { return c.Has("weights.W1", "weights.W2", "params.weight_decay") },
			Run:   func(t golden.T, c *golden.Case) { goldenGrok(t, e, c) },
		},
		{
			Name:  "pruning",
			Match: func(c *golden.Case) bool { return c.Has("params.fraction", "inputs.ipr") },
			Run: func(t golden.T, c *golden.Case) {
				p := struct {
					Fraction float64 `json:"fraction"`
				}{}
				c.Params(&p)
				for name, highest := range map[string]bool{"mask_prune_low_ipr": false, "mask_prune_high_ipr": true} {
					keep, err := grok.Prune(c.Tensor("inputs.ipr").Data, p.Fraction, highest)
					if err != nil {
						t.Fatalf("%v", err)
					}
					c.Got(name, []int{len(keep)}, ones(keep))
				}
			},
		},
	}
}

func ones(v []bool) []float64 {
	out := make([]float64, len(v))
	for i, yes := range v {
		if yes {
			out[i] = 1
		}
	}
	return out
}

func whole(v []float64) []int32 {
	out := make([]int32, len(v))
	for i, x := range v {
		out[i] = int32(x)
	}
	return out
}

// The kernels of the network.
const firstPath, secondPath = "/layer_1/kernel", "/output/kernel"

// quadratic is the network with given weights.
func quadratic(w1, w2 golden.Tensor) *model.Store {
	store := model.NewStore()
	papertest.Create(store, firstPath, papertest.Tensor(w1))
	papertest.Create(store, secondPath, papertest.Tensor(w2))
	return store
}

func goldenAnalytic(t golden.T, e *engine.Engine, c *golden.Case) {
	p := struct {
		P         int     `json:"p"`
		Neurons   int     `json:"neurons"`
		Amplitude float64 `json:"amplitude"`
	}{}
	c.Params(&p)
	frequency := make([]int, p.Neurons)
	for i, s := range c.Tensor("inputs.frequency").Data {
		frequency[i] = int(s)
	}
	w1, w2, err := grok.Analytic(p.P, frequency, c.Tensor("inputs.phase1").Data, c.Tensor("inputs.phase2").Data)
	if err != nil {
		t.Fatalf("%v", err)
	}
	if p.Amplitude > 0 { // of the file, in place of that for logits near one-hot
		for _, w := range [][]float64{w1, w2} {
			for i := range w {
				w[i] *= p.Amplitude / math.Cbrt(2/float64(p.Neurons))
			}
		}
	}
	config := grok.NewConfig()
	config.P, config.Neurons = p.P, p.Neurons
	var m, n, labels []int32
	for i := range p.P * p.P {
		m, n, labels = append(m, int32(i/p.P)), append(n, int32(i%p.P)), append(labels, int32((i/p.P+i%p.P)%p.P))
	}
	store := quadratic(golden.Tensor{Shape: []int{2 * p.P, p.Neurons}, Data: w1}, golden.Tensor{Shape: []int{p.Neurons, p.P}, Data: w2})
	out := model.MustNewExec(e.Backend, store, func(scope *model.Scope, m, n *graph.Node) []*graph.Node {
		logits := config.Logits(scope, m, n)
		return []*graph.Node{logits, graph.ArgMax(logits, -1, dtypes.Int32)}
	}).MustCall(tensors.FromFlatDataAndDimensions(m, len(m)), tensors.FromFlatDataAndDimensions(n, len(n)))
	rows := c.Tensor("outputs.logits_first_rows").Shape[0]
	first := tensors.MustCopyFlatData[float32](out[0])[:rows*p.P]
	papertest.Got(c, "logits_first_rows", tensors.FromFlatDataAndDimensions(first, rows, p.P))
	scores := grok.Dataset{P: p.P, M: m, N: n, Labels: labels, True: labels, Train: len(m)}.Score(tensors.MustCopyFlatData[int32](out[1]))
	c.Scalar("accuracy_all_pairs", scores.Train)
	neurons, err := grok.NeuronIPR(w1, w2, p.P, 2)
	if err != nil {
		t.Fatalf("%v", err)
	}
	some := c.Tensor("outputs.ipr_u_first").Shape[0]
	c.Got("ipr_u_first", []int{some}, neurons.U[:some])
}

func goldenIPR(t golden.T, c *golden.Case) {
	p := struct {
		P       int `json:"p"`
		Neurons int `json:"neurons"`
		R       int `json:"r"`
	}{}
	c.Params(&p)
	u, v, w := c.Tensor("inputs.U").Data, c.Tensor("inputs.V").Data, c.Tensor("inputs.W").Data
	// The case has neurons in rows of U and V and in columns of W; the network has them the other way round.
	w1, w2 := make([]float64, 2*p.P*p.Neurons), make([]float64, p.P*p.Neurons)
	for k := range p.Neurons {
		for i := range p.P {
			w1[i*p.Neurons+k], w1[(p.P+i)*p.Neurons+k] = u[k*p.P+i], v[k*p.P+i]
			w2[k*p.P+i] = w[i*p.Neurons+k]
		}
	}
	neurons, err := grok.NeuronIPR(w1, w2, p.P, p.R)
	if err != nil {
		t.Fatalf("%v", err)
	}
	shape := []int{p.Neurons}
	c.Got("ipr_u", shape, neurons.U)
	c.Got("ipr_v", shape, neurons.V)
	c.Got("ipr_w", shape, neurons.W)
	c.Got("ipr_neuron", shape, neurons.Mean)
	var order, gini []float64
	for _, k := range grok.Order(neurons.Mean) {
		order = append(order, float64(k))
	}
	for k := range p.Neurons {
		gini = append(gini, grok.Gini(grok.Amplitudes(u[k*p.P:(k+1)*p.P])))
	}
	c.Got("order_low_to_high", shape, order)
	c.Got("gini_per_neuron_u", shape, gini)
}

func goldenGrok(t golden.T, e *engine.Engine, c *golden.Case) {
	p := struct {
		P          int        `json:"p"`
		Neurons    int        `json:"neurons"`
		Train      int        `json:"train"`
		Corrupted  int        `json:"corrupted"`
		LR         float64    `json:"lr"`
		Decay      float64    `json:"weight_decay"`
		Betas      [2]float64 `json:"betas"`
		Epsilon    float64    `json:"adam_eps"`
		Steps      int        `json:"steps"`
		Loss       string     `json:"loss"`
		Activation string     `json:"activation"`
	}{}
	c.Params(&p)
	config := grok.NewConfig()
	config.P, config.Neurons, config.Square = p.P, p.Neurons, p.Activation
	switch {
	case p.Loss == "", strings.HasPrefix(p.Loss, "MSE mean over all entries"):
	case p.Loss == "cross-entropy":
		config.Loss = p.Loss
	default:
		t.Fatalf("no loss %q", p.Loss)
	}
	m, n, labels := whole(c.Tensor("inputs.m").Data), whole(c.Tensor("inputs.n").Data), whole(c.Tensor("inputs.labels").Data)
	store := quadratic(c.Tensor("weights.W1"), c.Tensor("weights.W2"))
	paths := []string{firstPath, secondPath}
	o := optim.NewAdamW()
	o.LR, o.Beta1, o.Beta2, o.Epsilon, o.WeightDecay, o.Decay = p.LR, p.Betas[0], p.Betas[1], p.Epsilon, p.Decay, []string{"all"}
	exec := model.MustNewExec(e.Backend, store, func(scope *model.Scope, m, n, labels *graph.Node) []*graph.Node {
		l := config.Objective(config.Logits(scope, m, n), labels)
		variables := []*model.Variable{store.GetVariable(paths[0]), store.GetVariable(paths[1])}
		gradients := graph.Gradient(l, variables[0].NodeValue(l.Graph()), variables[1].NodeValue(l.Graph()))
		optim.Minimizer{Optimizer: o}.Move(scope.In("optimizer"), variables, append([]*graph.Node{}, gradients...))
		return append([]*graph.Node{l}, gradients...)
	})
	part := func(v []int32) *tensors.Tensor { return tensors.FromFlatDataAndDimensions(v[:p.Train], p.Train) }
	var losses []float64
	for step := 1; step <= p.Steps; step++ {
		out := exec.MustCall(part(m), part(n), part(labels))
		losses = append(losses, float64(tensors.ToScalar[float32](out[0])))
		papertest.Got(c, fmt.Sprintf("grad_W1_step%d", step), out[1])
		papertest.Got(c, fmt.Sprintf("grad_W2_step%d", step), out[2])
	}
	c.Got("losses", []int{len(losses)}, losses)
	papertest.Got(c, "final_W1", store.GetVariable(paths[0]).MustValue())
	papertest.Got(c, "final_W2", store.GetVariable(paths[1]).MustValue())
	predictions := model.MustNewExec(e.Backend, store, func(scope *model.Scope, m, n *graph.Node) *graph.Node {
		return graph.ArgMax(config.Logits(scope, m, n), -1, dtypes.Int32)
	}).MustCall(tensors.FromFlatDataAndDimensions(m, len(m)), tensors.FromFlatDataAndDimensions(n, len(n)))[0]
	scores := grok.Dataset{P: p.P, M: m, N: n, Labels: labels, True: labels, Train: p.Train, Corrupted: p.Corrupted}.Score(tensors.MustCopyFlatData[int32](predictions))
	c.Scalar("train_accuracy", scores.Train)
	c.Scalar("clean_test_accuracy", scores.Test)
}

package corruptions

import (
	"context"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/adapt"
	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/papers/paper/papertest"
	"github.com/ballast-ml/ballast/zoo"
)

// adapterKinds test the baselines of test time that train.
func adapterKinds(e *engine.Engine) []golden.Kind {
	return []golden.Kind{{
		Name:  "a step of TENT",
		Match: func(c *golden.Case) bool { return c.Has("params.lr", "inputs.W", "outputs.entropy") },
		Run:   func(t golden.T, c *golden.Case) { tentStep(t, e, c) },
	}}
}

// normedLinear is the network of a case: batch normalisation, and a linear layer without offsets behind it.
type normedLinear struct{ classes, features int }

func (normedLinear) Name() string                      { return "normed-linear" }
func (normedLinear) Validate() error                   { return nil }
func (normedLinear) Task() zoo.Task                    { return zoo.Classify }
func (n normedLinear) Outputs() int                    { return n.classes }
func (n normedLinear) WithOutputs(int) zoo.Network     { return n }
func (n normedLinear) WithNorm(norm.Layer) zoo.Network { return n }

func (n normedLinear) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	x = norm.NewBatch().Apply(scope.In("norm"), x)
	kernel := param.Variable(scope.In("output"), "kernel", param.Output, x.DType(), param.Constant(0), n.features, n.classes)
	return graph.MatMul(x, kernel.NodeValue(x.Graph()))
}

// tentStep takes the step by the adapter, whose answers are those before it, and its loss and gradients beside.
func tentStep(t golden.T, e *engine.Engine, c *golden.Case) {
	p := struct {
		Method    string  `json:"method"`
		LR        float64 `json:"lr"`
		Optimizer string  `json:"optimizer"`
	}{}
	c.Params(&p)
	if p.Method != "TENT" || p.Optimizer != "sgd" {
		t.Fatalf("%s by %s", p.Method, p.Optimizer)
	}
	x, w := c.Tensor("inputs.x"), c.Tensor("inputs.W")
	n, features, classes := x.Shape[0], w.Shape[0], w.Shape[1]
	b := &bundle.Bundle{
		Manifest: bundle.NewManifest(zoo.Choice{Network: normedLinear{classes, features}}, []int{features}, make([]string, classes)), Store: model.NewStore(),
	}
	must(t, b.Declare(e.Backend))
	must(t, b.Store.GetVariable("/model/output/kernel").SetValue(papertest.Tensor(w)))

	sgd := optim.NewSGD()
	sgd.LR, sgd.Momentum, sgd.WeightDecay = p.LR, 0, 0
	method := adapt.NewTent()
	method.Optimizer = optim.Choice{Optimizer: sgd}
	a, err := method.Start(adapt.Model{Bundle: b, Engine: e, Batch: n})
	must(t, err)
	defer a.Close()
	logits, err := a.Answer(context.Background(), papertest.Narrowed(x.Data), n)
	must(t, err)
	papertest.Got(c, "logits", tensors.FromFlatDataAndDimensions(logits, n, classes))
	state, err := a.State()
	must(t, err)
	for name, tensor := range map[string]string{"gamma_after": "model/norm/scale", "beta_after": "model/norm/offset"} {
		moved, _ := state.Find(tensor)
		papertest.Got(c, name, tensors.FromFlatDataAndDimensions(moved.Values, features))
	}

	exec := model.MustNewExec(e.Backend, b.Store, func(scope *model.Scope, x *graph.Node) []*graph.Node {
		var logits *graph.Node
		norm.With(x.Graph(), norm.FromBatch{}, func() { logits = b.Logits(scope, x) })
		loss := adapt.Entropy(logits)
		of := func(name string) *graph.Node { return b.Store.GetVariable("/model/norm/" + name).NodeValue(x.Graph()) }
		return append([]*graph.Node{loss}, graph.Gradient(loss, of("scale"), of("offset"))...)
	})
	out := exec.MustCall(papertest.Tensor(x))
	for i, name := range []string{"entropy", "grad_gamma", "grad_beta"} {
		papertest.Got(c, name, out[i])
	}
}

func must(t golden.T, err error) {
	if err != nil {
		t.Fatalf("%v", err)
	}
}

package batchformer

import (
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/nn/attention"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/ops"
	"github.com/ballast-ml/ballast/papers/paper/papertest"
)

func TestGolden(t *testing.T) { papertest.Golden(t, "batchformer", kinds) }

func kinds(e *engine.Engine) []golden.Kind {
	return []golden.Kind{
		{
			Name:  "with a classifier",
			Match: func(c *golden.Case) bool { return c.Has("inputs.x", "inputs.labels", "weights.cls_w") },
			Run:   func(_ golden.T, c *golden.Case) { newLayer(e, c).classified() },
		},
		{
			Name:  "tokens",
			Match: func(c *golden.Case) bool { return c.Has("inputs.x", "inputs.w", "weights.wq") },
			Run:   func(_ golden.T, c *golden.Case) { newLayer(e, c).tokens() },
		},
		{
			Name:  "another order, and one example",
			Match: func(c *golden.Case) bool { return c.Has("inputs.x", "inputs.perm", "weights.wq") },
			Run:   func(_ golden.T, c *golden.Case) { newLayer(e, c).permuted() },
		},
	}
}

// weights: name in the case -> path of the variable.
var weights = map[string]string{
	"wq": "/query/kernel", "bq": "/query/bias", "wk": "/key/kernel", "bk": "/key/bias", "wv": "/value/kernel", "bv": "/value/bias",
	"wo": "/mix/kernel", "bo": "/mix/bias", "w1": "/widen/kernel", "b1": "/widen/bias", "w2": "/narrow/kernel", "b2": "/narrow/bias",
	"ln1_g": "/norm_1/scale", "ln1_b": "/norm_1/offset", "ln2_g": "/norm_2/scale", "ln2_b": "/norm_2/offset",
	"cls_w": "/classifier/kernel", "cls_b": "/classifier/bias",
}

// layer is the layer with the weights of a case.
type layer struct {
	attention.Batch
	e     *engine.Engine
	c     *golden.Case
	store *model.Store
}

func newLayer(e *engine.Engine, c *golden.Case) *layer {
	l := &layer{Batch: attention.NewBatch(), e: e, c: c, store: model.NewStore()}
	l.Dropout = 0 // a case of drawn numbers would say which
	c.Params(&l.Batch)
	for name, path := range weights {
		if c.Has("weights." + name) {
			papertest.Create(l.store, path, papertest.Tensor(c.Tensor("weights."+name)))
		}
	}
	return l
}

// classified is the loss of both streams behind one classifier, and the loss without the layer.
func (l *layer) classified() {
	var moved []string
	for name := range weights {
		if l.c.Has("outputs.grad_" + name) {
			moved = append(moved, name)
		}
	}
	exec := model.MustNewExec(l.e.Backend, l.store, func(scope *model.Scope, x, labels *graph.Node) []*graph.Node {
		g := x.Graph()
		value := func(name string) *graph.Node { return l.store.GetVariable(weights[name]).NodeValue(g) }
		classify := func(x *graph.Node) *graph.Node {
			return graph.Add(graph.MatMul(x, value("cls_w")), graph.ExpandAxes(value("cls_b"), 0))
		}
		logits := classify(l.Apply(scope, x, nil, ops.NewRandom(g, 1)))
		entropy := func(labels, logits *graph.Node) *graph.Node {
			return loss.Mean(loss.CrossEntropy{}.Of(labels, logits), nil)
		}
		total := entropy(graph.Concatenate([]*graph.Node{labels, labels}, 0), logits)
		plain := entropy(labels, classify(x))

		wanted := []*graph.Node{x}
		for _, name := range moved {
			wanted = append(wanted, value(name))
		}
		out := []*graph.Node{logits, total, plain, graph.Gradient(plain, x)[0]}
		return append(out, graph.Gradient(total, wanted...)...)
	})
	out := exec.MustCall(l.input("x"), papertest.Integers(l.c.Tensor("inputs.labels")))
	names := []string{"concat_logits", "loss", "loss_plain", "grad_x_plain", "grad_x"}
	for _, name := range moved {
		names = append(names, "grad_"+name)
	}
	for i, name := range names {
		papertest.Got(l.c, name, out[i])
	}
	z, attended := l.mixed("x")
	papertest.Got(l.c, "bf_features", z)
	papertest.Got(l.c, "attention", attended)
}

// mixed is the layer's own stream and attention for an input.
func (l *layer) mixed(name string) (z, attended *tensors.Tensor) {
	out := model.MustNewExec(l.e.Backend, l.store, func(scope *model.Scope, x *graph.Node) []*graph.Node {
		z, attended := l.Mixed(scope, x, nil, ops.NewRandom(x.Graph(), 1))
		return []*graph.Node{z, attended}
	}).MustCall(l.input(name))
	return out[0], out[1]
}

// tokens is the dense form, with the gradient of sum(y w).
func (l *layer) tokens() {
	exec := model.MustNewExec(l.e.Backend, l.store, func(scope *model.Scope, x, w *graph.Node) []*graph.Node {
		y := l.Apply(scope, x, nil, ops.NewRandom(x.Graph(), 1))
		return []*graph.Node{y, graph.Gradient(graph.ReduceAllSum(graph.Mul(y, w)), x)[0]}
	})
	out := exec.MustCall(l.input("x"), l.input("w"))
	papertest.Got(l.c, "y", out[0])
	papertest.Got(l.c, "grad_x", out[1])
	_, attended := l.mixed("x")
	papertest.Got(l.c, "attention", attended)
}

// permuted is the layer on a batch, on the batch in another order, and on one example.
func (l *layer) permuted() {
	exec := model.MustNewExec(l.e.Backend, l.store, func(scope *model.Scope, x *graph.Node) *graph.Node {
		z, _ := l.Mixed(scope, x, nil, ops.NewRandom(x.Graph(), 1))
		return z
	})
	x, perm := l.c.Tensor("inputs.x"), l.c.Tensor("inputs.perm")
	dim := x.Shape[1]
	other := golden.Tensor{Shape: x.Shape}
	for _, i := range perm.Data {
		other.Data = append(other.Data, x.Data[int(i)*dim:(int(i)+1)*dim]...)
	}
	papertest.Got(l.c, "bf", exec.MustCall(papertest.Tensor(x))[0])
	papertest.Got(l.c, "bf_of_permuted", exec.MustCall(papertest.Tensor(other))[0])
	papertest.Got(l.c, "bf_single", exec.MustCall(l.input("x_single"))[0])
}

func (l *layer) input(name string) *tensors.Tensor {
	return papertest.Tensor(l.c.Tensor("inputs." + name))
}

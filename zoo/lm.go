package zoo

import (
	"errors"
	"fmt"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/ops"
)

// LM is a small transformer that predicts the next token: tokens and positions embedded and added -> for each layer attention over what
// came before and a feed-forward part, each with a norm and a residual connection -> dense to the vocabulary. With a norm N,
//
//	pre-norm    x = x + attention(N(x)); x = x + feed(N(x)); a last N before the output
//	post-norm   x = N(x + attention(x)); x = N(x + feed(x))
//
// and feed(x) = gelu(x W1 + b1) W2 + b2 with 4 Dim units. The norm may be of any kind over [batch, time, Dim]; those that can leave out
// padding do. Embeddings start from N(0, 0.02^2), kernels from N(0, 1/fan-in).
// Sources: Vaswani et al., "Attention Is All You Need", arXiv 1706.03762; Xiong et al., "On Layer Normalization in the Transformer
// Architecture", arXiv 2002.04745.
type LM struct {
	Vocabulary int         `json:"vocabulary"` // tokens; 256, for bytes
	Context    int         `json:"context"`    // longest sequence; 32
	Layers     int         `json:"layers"`     // 2
	Dim        int         `json:"dim"`        // 64
	Heads      int         `json:"heads"`      // 4, dividing Dim
	PostNorm   bool        `json:"post_norm"`  // false
	Norm       norm.Choice `json:"norm"`       // layer
}

// NewLM returns a small model of bytes.
func NewLM() LM {
	return LM{Vocabulary: 256, Context: 32, Layers: 2, Dim: 64, Heads: 4, Norm: norm.Choice{Layer: norm.NewLayerNorm(-1)}}
}

// Validate says what is wrong with the options.
func (l LM) Validate() error {
	var errs []error
	for key, n := range map[string]int{"vocabulary": l.Vocabulary, "context": l.Context, "layers": l.Layers, "dim": l.Dim, "heads": l.Heads} {
		errs = append(errs, count("lm", key, n, 1))
	}
	if l.Layers > maxLayers {
		errs = append(errs, fmt.Errorf("lm: layers is %d; use at most %d", l.Layers, maxLayers))
	}
	if l.Heads > 0 && l.Dim%l.Heads != 0 {
		errs = append(errs, fmt.Errorf("lm: %d heads do not divide dim %d", l.Heads, l.Dim))
	}
	if l.Norm.Layer == nil {
		errs = append(errs, errors.New("lm: norm is missing; name one, or identity for none"))
	}
	return errors.Join(errs...)
}

// Apply returns logits [batch, time, Vocabulary] for tokens [batch, time], whole numbers. padding [batch, time], nil for none, is true for
// tokens that are none; they come last. Panics if the sequence is longer than Context.
func (l LM) Apply(scope *model.Scope, tokens, padding *Node) *Node {
	if tokens.Rank() != 2 || !tokens.DType().IsInt() || tokens.Shape().Dimensions[1] > l.Context {
		Panicf("zoo.LM: tokens are %s; want whole numbers [batch, time], at most %d of them", tokens.Shape(), l.Context)
	}
	g, d := tokens.Graph(), tokens.Shape().Dimensions
	embedding := func(name string, n int) *Node {
		return pass.Weight(param.Variable(scope.In("%s", name), "kernel", param.Kernel, dtypes.Float32, param.Scaled(0.02, param.LeCunNormal(1)), n, l.Dim), g)
	}
	x := ops.GatherRows(embedding("tokens", l.Vocabulary), Reshape(tokens, -1))
	places := Slice(embedding("positions", l.Context), AxisRange(0, d[1]), AxisRange())
	x = Add(Reshape(x, d[0], d[1], l.Dim), ExpandAxes(places, 0))
	for i := range l.Layers {
		layer := scope.In("layer_%d", i+1)
		for _, part := range []struct {
			name  string
			apply func(*model.Scope, *Node) *Node
		}{{"attention", l.attention}, {"feed", l.feed}} {
			at := layer.In("%s", part.name)
			if l.PostNorm {
				x = l.norm(at, Add(x, part.apply(at, x)), padding)
			} else {
				x = Add(x, part.apply(at, l.norm(at, x, padding)))
			}
			x = pass.See(at, pass.Stream, x)
		}
	}
	if !l.PostNorm {
		x = l.norm(scope.In("last"), x, padding)
	}
	x = pass.See(scope, pass.Features, x)
	return linear.Dense{Units: l.Vocabulary, Init: param.LeCunNormal(l.Dim)}.Apply(scope.In(param.OutputScope), x)
}

// NormConsumers are the scopes of the dense layers that read each norm's result, by the scope of the norm, of a pre-norm model under
// root.
func (l LM) NormConsumers(root string) map[string][]string {
	all := map[string][]string{root + "/last/norm": {root + "/" + param.OutputScope}}
	for i := range l.Layers {
		layer := fmt.Sprintf("%s/layer_%d", root, i+1)
		all[layer+"/attention/norm"] = []string{layer + "/attention/query", layer + "/attention/key", layer + "/attention/value"}
		all[layer+"/feed/norm"] = []string{layer + "/feed/in"}
	}
	return all
}

func (l LM) norm(scope *model.Scope, x, padding *Node) *Node {
	if masked, ok := l.Norm.Layer.(norm.Masked); ok && padding != nil {
		return masked.ApplyMasked(scope.In("norm"), x, padding)
	}
	return l.Norm.Apply(scope.In("norm"), x)
}

func (l LM) attention(scope *model.Scope, x *Node) *Node {
	d := x.Shape().Dimensions
	heads := func(name string) *Node {
		y := linear.Dense{Units: l.Dim, Init: param.LeCunNormal(l.Dim)}.Apply(scope.In("%s", name), x)
		return TransposeAllAxes(Reshape(y, d[0], d[1], l.Heads, l.Dim/l.Heads), 0, 2, 1, 3)
	}
	steps := func(axis int) *Node { return Iota(x.Graph(), shapes.Make(dtypes.Int32, 1, 1, d[1], d[1]), axis) }
	y := attend(scope, heads("query"), heads("key"), heads("value"), GreaterOrEqual(steps(2), steps(3)))
	y = Reshape(TransposeAllAxes(y, 0, 2, 1, 3), d[0], d[1], l.Dim)
	return linear.Dense{Units: l.Dim, Init: param.LeCunNormal(l.Dim)}.Apply(scope.In("out"), y)
}

func (l LM) feed(scope *model.Scope, x *Node) *Node {
	in := scope.In("in")
	y := activate(in, linear.GELU, linear.Dense{Units: 4 * l.Dim, Init: param.LeCunNormal(l.Dim)}.Apply(in, x))
	return linear.Dense{Units: l.Dim, Init: param.LeCunNormal(4 * l.Dim)}.Apply(scope.In("out"), y)
}

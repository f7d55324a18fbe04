package zoo

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/nn/attention"
	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/mixer"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/ops"
)

// Encoder is a transformer of BERT's kind that turns a text into a vector:
//
//	x = N(words + positions + types)
//	x = N(x + attention(x)); x = N(x + feed(x))       for each layer; N layer normalisation, feed(x) = activation(x W1 + b1) W2 + b2
//	y = mean of x over the tokens that count, or x of the first token; divided by its length if Normalize
//
// Attention has Heads heads with biases and sees the tokens that count alone. Embeddings start from N(0, 0.02^2), kernels from
// N(0, 1/fan-in).
// Sources: Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers", arXiv 1810.04805; Reimers, Gurevych, "Sentence-BERT",
// arXiv 1908.10084.
type Encoder struct {
	Vocabulary int               `json:"vocabulary"` // tokens; 30522
	Positions  int               `json:"positions"`  // longest text; 512
	Types      int               `json:"types"`      // kinds of segments; all tokens are of the first; 2
	Layers     int               `json:"layers"`     // 6
	Dim        int               `json:"dim"`        // 384
	Heads      int               `json:"heads"`      // dividing Dim; 12
	Feed       int               `json:"feed"`       // units in the feed-forward part; 1536
	Epsilon    float64           `json:"eps"`        // of the norms, added to the variance; 1e-12
	Activation linear.Activation `json:"activation"` // gelu, the exact one
	Pooling    string            `json:"pooling"`    // mean or first; mean
	Normalize  bool              `json:"normalize"`  // vectors of length 1; true
}

// The ways to make one vector of many.
const (
	PoolMean  = "mean"
	PoolFirst = "first"
)

// NewEncoder returns the shape of all-MiniLM-L6-v2.
func NewEncoder() Encoder {
	return Encoder{
		Vocabulary: 30522, Positions: 512, Types: 2, Layers: 6, Dim: 384, Heads: 12, Feed: 1536, Epsilon: 1e-12,
		Activation: linear.GELU, Pooling: PoolMean, Normalize: true,
	}
}

// Validate reports what is wrong with the options.
func (n Encoder) Validate() error {
	var errs []error
	for _, option := range []struct {
		key   string
		value int
	}{
		{"vocabulary", n.Vocabulary}, {"positions", n.Positions}, {"types", n.Types}, {"layers", n.Layers}, {"dim", n.Dim}, {"heads", n.Heads}, {"feed", n.Feed},
	} {
		errs = append(errs, count("encoder", option.key, option.value, 1))
	}
	if n.Layers > maxLayers {
		errs = append(errs, fmt.Errorf("encoder: layers is %d; use at most %d", n.Layers, maxLayers))
	}
	if n.Heads > 0 && n.Dim%n.Heads != 0 {
		errs = append(errs, fmt.Errorf("encoder: %d heads do not divide dim %d", n.Heads, n.Dim))
	}
	if !(n.Epsilon > 0) {
		errs = append(errs, fmt.Errorf("encoder: eps is %v; use a number above 0", n.Epsilon))
	}
	if ways := []string{PoolMean, PoolFirst}; !slices.Contains(ways, n.Pooling) {
		errs = append(errs, fmt.Errorf("encoder: no pooling %q; there are %s", n.Pooling, strings.Join(ways, ", ")))
	}
	if err := n.Activation.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("encoder: activation: %w", err))
	}
	return errors.Join(errs...)
}

// Apply returns vectors [batch, Dim] for tokens [batch, time], whole numbers. counts [batch, time], bool, is true for the tokens that
// count, nil for all of them; a text in which none does gets zeros from the mean. Panics if the texts are longer than Positions.
func (n Encoder) Apply(scope *model.Scope, tokens, counts *Node) *Node {
	x := n.Hidden(scope, tokens, counts)
	d := x.Shape().Dimensions
	var y *Node
	switch {
	case n.Pooling == PoolFirst:
		y = Reshape(Slice(x, AxisRange(), AxisRange(0, 1), AxisRange()), d[0], d[2])
	case counts == nil:
		y = ReduceMean(x, 1)
	default:
		weight := ConvertDType(counts, x.DType())
		sum := ReduceSum(Mul(x, ExpandAxes(weight, -1)), 1)
		y = Div(sum, MaxScalar(ReduceAndKeep(weight, ReduceSum, 1), 1e-9))
	}
	if n.Normalize {
		y = Div(y, MaxScalar(Sqrt(ReduceAndKeep(Square(y), ReduceSum, -1)), 1e-12))
	}
	return y
}

// Hidden returns what the last layer makes of each token, [batch, time, Dim].
func (n Encoder) Hidden(scope *model.Scope, tokens, counts *Node) *Node {
	if tokens.Rank() != 2 || !tokens.DType().IsInt() || tokens.Shape().Dimensions[1] > n.Positions {
		Panicf("zoo.Encoder: tokens are %s; want whole numbers [batch, time], at most %d of them", tokens.Shape(), n.Positions)
	}
	if counts != nil && (counts.DType() != dtypes.Bool || !counts.Shape().EqualDimensions(tokens.Shape())) {
		Panicf("zoo.Encoder: counts are %s, tokens %s; want a bool for each token", counts.Shape(), tokens.Shape())
	}
	g, d := tokens.Graph(), tokens.Shape().Dimensions
	embeddings := scope.In("embeddings")
	table := func(name string, rows int) *Node {
		return pass.Weight(param.Variable(embeddings.In("%s", name), "kernel", param.Kernel, dtypes.Float32, param.Scaled(0.02, param.LeCunNormal(1)), rows, n.Dim), g)
	}
	x := Reshape(ops.GatherRows(table("words", n.Vocabulary), Reshape(tokens, -1)), d[0], d[1], n.Dim)
	places := Slice(table("positions", n.Positions), AxisRange(0, d[1]), AxisRange())
	kind := Slice(table("types", n.Types), AxisRange(0, 1), AxisRange())
	x = n.norm(embeddings, Add(x, ExpandAxes(Add(places, kind), 0)))
	heads := mixer.Attention{
		Heads: n.Heads, Kernel: attention.Choice{Kernel: attention.Softmax{}},
		Positions: attention.PositionsChoice{Positions: attention.NoPositions{}}, // they are in x
	}
	context := mixer.Context{Layers: n.Layers}
	if counts != nil {
		context.Padding = LogicalNot(counts)
	}
	for i := range n.Layers {
		layer := scope.In("layer_%d", i+1)
		part, feed := layer.In("attention"), layer.In("feed")
		context.Layer = i
		x = pass.See(part, pass.Stream, n.norm(part, Add(x, heads.Apply(part, x, context))))
		y := activate(feed, n.Activation, n.dense(feed, "in", n.Feed, x))
		x = pass.See(feed, pass.Stream, n.norm(feed, Add(x, n.dense(feed, "out", n.Dim, y))))
	}
	return x
}

func (n Encoder) norm(scope *model.Scope, x *Node) *Node {
	return norm.LayerNorm{Axes: []int{-1}, Epsilon: n.Epsilon}.Apply(scope.In("norm"), x)
}

func (Encoder) dense(scope *model.Scope, name string, units int, x *Node) *Node {
	return linear.Dense{Units: units, Init: param.LeCunNormal(x.Shape().Dim(-1))}.Apply(scope.In("%s", name), x)
}

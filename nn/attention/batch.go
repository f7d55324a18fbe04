package attention

import (
	"fmt"
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/ops"
)

// Batch is BatchFormer: a transformer layer whose sequence is the batch, so that each example sees the others. It stands between
// features and head in training alone. For features x [n, dim], in heads:
//
//	A = softmax(Q K^T / sqrt(dim/Heads))         [Heads, n, n], Q, K, V = x kernel + bias
//	x1 = norm(x + drop(drop(A) V kernel + bias))
//	z  = norm(x1 + drop(drop(relu(x1 kernel + bias)) kernel + bias))
//
// x and z go through one head, each with the labels of the batch, and the loss is the mean over both: because the head is shared, the
// layer can be left out afterwards, and an answer does not depend on what else is asked. Dense features [n, tokens, dim] attend over
// the batch at each token by itself (BatchFormerV2). Norms are layer norms. An example alone attends to itself. The batch is the one of
// a device, as in the official code: two devices with halves of a batch compute something else than one with all of it.
//
// Variables: query, key, value, mix, widen and narrow, each with kernel [in, out] and bias; norm_1 and norm_2 with scale and offset.
// Sources: Hou, Yu, Tao, "BatchFormer: Learning to Explore Sample Relationships for Robust Representation Learning", arXiv 2203.01522;
// "BatchFormerV2", arXiv 2204.01254.
type Batch struct {
	Heads   int     `json:"heads"`   // divides dim; 4
	Width   int     `json:"ff_dim"`  // of the layer in the middle; -1 is dim, as in the paper
	Dropout float64 `json:"dropout"` // [0, 1), on the attention, inside, and on both branches; 0.5
	Epsilon float64 `json:"ln_eps"`  // added to the variance, above 0; 1e-5
}

// NewBatch returns the numbers of the paper.
func NewBatch() Batch { return Batch{Heads: 4, Width: -1, Dropout: 0.5, Epsilon: 1e-5} }

// Apply returns x and z one behind the other, [2n, ...] for x [n, dim] or [n, tokens, dim]: what the head gets in training, with the
// labels twice. At inference leave the layer out. mask, bool [n], is false for padding, which nobody attends to; nil is none. random
// draws what is dropped. Panics if an option does not fit.
func (b Batch) Apply(scope *model.Scope, x, mask *graph.Node, random ops.Random) *graph.Node {
	z, _ := b.Mixed(scope, x, mask, random)
	return graph.Concatenate([]*graph.Node{ops.Widen(x), z}, 0)
}

// Copies is how many times Apply returns each example.
func (Batch) Copies() int { return 2 }

// Again is Apply deeper in a network: of streams [2n, ...], what Apply or Again returned, only the second half goes through the layer.
func (b Batch) Again(scope *model.Scope, streams, mask *graph.Node, random ops.Random) *graph.Node {
	n := streams.Shape().Dimensions[0]
	if n%2 != 0 {
		Panicf("attention.Batch: streams are %s, which are not two of one size; want [2 batch, ...]", streams.Shape())
	}
	plain := graph.Slice(streams, graph.AxisRange(0, n/2))
	z, _ := b.Mixed(scope, graph.Slice(streams, graph.AxisRange(n/2)), mask, random)
	return graph.Concatenate([]*graph.Node{ops.Widen(plain), z}, 0)
}

// Mixed returns z, in float32 or wider, and the attention before anything is dropped: [Heads, n, n] for x [n, dim], and
// [tokens, Heads, n, n] for x [n, tokens, dim].
func (b Batch) Mixed(scope *model.Scope, x, mask *graph.Node, random ops.Random) (z, weights *graph.Node) {
	b.check(x, mask)
	dims := x.Shape().Dimensions
	n, dim := dims[0], dims[len(dims)-1]
	tokens := x.Shape().Size() / max(n*dim, 1)
	wide := ops.Widen(x)
	if x.Rank() == 3 {
		wide = graph.TransposeAllAxes(wide, 1, 0, 2)
	}
	wide = graph.Reshape(wide, tokens, n, dim)

	mixed, weights := b.attend(scope, wide, mask, random)
	z = b.norm(scope.In("norm_1"), graph.Add(wide, b.drop(mixed, random.Fold(1))))
	width := b.Width
	if width < 0 {
		width = dim
	}
	inside := dense(scope.In("widen"), z, width, spread(dim), spread(dim))
	inside = graph.Max(inside, graph.ScalarZero(z.Graph(), z.DType()))
	inside = dense(scope.In("narrow"), b.drop(inside, random.Fold(2)), dim, spread(width), spread(width))
	z = b.norm(scope.In("norm_2"), graph.Add(z, b.drop(inside, random.Fold(3))))

	if x.Rank() == 3 {
		return graph.TransposeAllAxes(z, 1, 0, 2), weights
	}
	return graph.Reshape(z, n, dim), graph.Reshape(weights, b.Heads, n, n)
}

// attend is the attention over the batch for x [tokens, n, dim].
func (b Batch) attend(scope *model.Scope, x, mask *graph.Node, random ops.Random) (y, weights *graph.Node) {
	d := x.Shape().Dimensions
	tokens, n, dim := d[0], d[1], d[2]
	size := dim / b.Heads
	zero := param.Constant(0)
	// One kernel [dim, 3 dim] in the official code, whose first values depend on its shape.
	together := param.Uniform(-math.Sqrt(6/float64(4*dim)), math.Sqrt(6/float64(4*dim)))
	heads := func(name string) *graph.Node { // [tokens, heads, n, size]
		y := dense(scope.In("%s", name), x, dim, together, zero)
		return graph.TransposeAllAxes(graph.Reshape(y, tokens, n, b.Heads, size), 0, 2, 1, 3)
	}
	q, k, v := heads("query"), heads("key"), heads("value")

	batch := []int{0, 1}
	scores := graph.MulScalar(graph.DotGeneral(q, []int{3}, batch, k, []int{3}, batch), 1/math.Sqrt(float64(size)))
	seen := mask
	if mask != nil {
		seen = graph.BroadcastToDims(graph.Reshape(mask, 1, 1, 1, n), scores.Shape().Dimensions...)
	}
	weights = ops.MaskedSoftmax(scores, seen, 3)
	y = graph.DotGeneral(b.drop(weights, random.Fold(0)), []int{3}, batch, v, []int{2}, batch) // [tokens, heads, n, size]
	y = graph.Reshape(graph.TransposeAllAxes(y, 0, 2, 1, 3), tokens, n, dim)
	return dense(scope.In("mix"), y, dim, spread(dim), zero), weights
}

// dense is x [..., in] kernel + bias, [..., out].
func dense(scope *model.Scope, x *graph.Node, out int, kernel, bias param.Init) *graph.Node {
	d := x.Shape().Dimensions
	in := d[len(d)-1]
	value := func(name string, role param.Role, init param.Init, dims ...int) *graph.Node {
		return pass.Weight(param.Variable(scope, name, role, x.DType(), init, dims...), x.Graph())
	}
	x = pass.See(scope, pass.Input, x)
	weights := pass.See(scope, pass.Kernel, value("kernel", param.Kernel, kernel, in, out))
	y := graph.MatMul(graph.Reshape(x, x.Shape().Size()/max(in, 1), in), weights)
	y = graph.Add(y, graph.Reshape(value("bias", param.Affine, bias, out), 1, out))
	return graph.Reshape(y, append(append([]int{}, d[:len(d)-1]...), out)...)
}

// spread draws from a uniform distribution of 1/sqrt(fan-in) to both sides.
func spread(fanIn int) param.Init {
	most := 1 / math.Sqrt(float64(max(fanIn, 1)))
	return param.Uniform(-most, most)
}

// norm is the layer norm over the last axis.
func (b Batch) norm(scope *model.Scope, x *graph.Node) *graph.Node {
	dim := x.Shape().Dimensions[x.Rank()-1]
	value := func(name string, first float64) *graph.Node {
		v := param.Variable(scope, name, param.Affine, x.DType(), param.Constant(first), dim)
		return graph.Reshape(pass.Weight(v, x.Graph()), 1, 1, dim)
	}
	y, _, _ := ops.Normalize(x, value("scale", 1), value("offset", 0), []int{-1}, b.Epsilon)
	return y
}

// drop puts 0 in place of a share Dropout of x, and scales the rest up.
func (b Batch) drop(x *graph.Node, random ops.Random) *graph.Node {
	if b.Dropout == 0 {
		return x
	}
	kept := random.Bernoulli(1-b.Dropout, x.Shape().Dimensions...)
	return graph.Where(kept, graph.DivScalar(x, 1-b.Dropout), graph.ZerosLike(x))
}

// Check says what is wrong with the options.
func (b Batch) Check() error {
	if !(b.Heads >= 1 && (b.Width > 0 || b.Width == -1) && b.Dropout >= 0 && b.Dropout < 1 && b.Epsilon > 0) ||
		math.IsInf(b.Epsilon, 0) {
		return fmt.Errorf("heads %d, ff_dim %d, dropout %v, ln_eps %v; use heads and width from 1, or -1 for the "+
			"width of the features, dropout from 0 to below 1, an epsilon above 0", b.Heads, b.Width, b.Dropout, b.Epsilon)
	}
	return nil
}

func (b Batch) check(x, mask *graph.Node) {
	if err := b.Check(); err != nil {
		Panicf("attention.Batch: %v", err)
	}
	if !x.DType().IsFloat() || x.Rank() != 2 && x.Rank() != 3 {
		Panicf("attention.Batch: x is %s; want features [batch, dim], or [batch, tokens, dim]", x.Shape())
	}
	n, dim := x.Shape().Dimensions[0], x.Shape().Dimensions[x.Rank()-1]
	if dim%b.Heads != 0 || dim == 0 {
		Panicf("attention.Batch: %d heads for x %s; use a number that divides %d", b.Heads, x.Shape(), dim)
	}
	if mask != nil && (mask.DType() != dtypes.Bool || mask.Rank() != 1 || mask.Shape().Dimensions[0] != n) {
		Panicf("attention.Batch: the mask is %s for x %s; want bools [batch]", mask.Shape(), x.Shape())
	}
}

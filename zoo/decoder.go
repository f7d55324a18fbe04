package zoo

import (
	"errors"
	"fmt"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/mixer"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/nn/residual"
	"github.com/ballast-ml/ballast/ops"
)

// Decoder is a language model: it answers each token of a text with what the next one may be,
//
//	h = tokens embedded, and the places if the mixer embeds them
//	h = block of h, Layers times: the mixer over what came before, then feed, each with a norm and a residual connection
//	features = N(h)        without a norm where the placement has none behind the last block
//	logits = features Wo + bo, or features E^T with the embeddings E if Tied
//
// and feed(x) = gelu(x W1 + b1) W2 + b2 with MLPRatio Dim units, or SwiGLU. The norm may be of any kind over [batch, time, Dim]; those that
// can leave out padding do. Dropout is applied to h in front of the first block and to what each part adds.
//
// Paths: tokens/kernel [Vocabulary, Dim], positions/kernel [Context, Dim], layer_1/attention/{norm, query, key, value, out} and
// layer_1/feed/{norm, in, gate, out} of each layer, last/norm, output. With V tokens, H = MLPRatio Dim, learned positions, layer
// normalisation and biases there are (V + Context) Dim + Layers (4 (Dim + 1) Dim + (Dim + 1) H + (H + 1) Dim + 4 Dim) + 2 Dim + (Dim + 1) V
// parameters: 135,168 for the default. Embeddings start from N(0, 0.02^2), kernels from N(0, 1/fan-in).
// Sources: Vaswani et al., "Attention Is All You Need", arXiv 1706.03762; Xiong et al., "On Layer Normalization in the Transformer
// Architecture", arXiv 2002.04745; Press, Wolf, "Using the Output Embedding to Improve Language Models", arXiv 1608.05859.
type Decoder struct {
	Vocabulary int             `json:"vocabulary"` // tokens; 256, for bytes
	Context    int             `json:"context"`    // longest sequence; 32
	Layers     int             `json:"layers"`     // 2
	Dim        int             `json:"dim"`        // 64
	Mixer      mixer.Choice    `json:"mixer"`      // attention of 4 heads with learned positions
	MLPRatio   float64         `json:"mlp_ratio"`  // units of the feed-forward part over Dim; 4
	Feed       string          `json:"feed"`       // gelu; relu, silu, tanh or swiglu
	Norm       norm.Choice     `json:"norm"`       // layer
	Placement  residual.Choice `json:"placement"`  // pre
	Dropout    float64         `json:"dropout"`    // 0
	Tied       bool            `json:"tied"`       // the output has the embeddings' weights and no bias; false
	NoBias     bool            `json:"no_bias"`    // leave out the biases of feed and output; the mixer has an option of its own; false
	Causal     bool            `json:"causal"`     // a token sees what came before it alone; true
}

var (
	_ Featured = Decoder{}
	_ Blocked  = Decoder{}
)

// NewDecoder returns a small model of bytes.
func NewDecoder() Decoder {
	return Decoder{
		Vocabulary: 256, Context: 32, Layers: 2, Dim: 64, Mixer: mixer.Choice{Mixer: mixer.NewAttention()}, MLPRatio: 4, Feed: linear.GELU.String(),
		Norm: norm.Choice{Layer: norm.NewLayerNorm(-1)}, Placement: residual.Choice{Placement: residual.Pre{}}, Causal: true,
	}
}

func (n Decoder) transformer() transformer {
	return transformer{
		layers: n.Layers, dim: n.Dim, mixer: n.Mixer.Mixer, norm: n.Norm.Layer, placement: n.Placement.Placement,
		feed: n.Feed, ratio: n.MLPRatio, dropout: linear.Dropout{Rate: n.Dropout}, noBias: n.NoBias,
	}
}

// Validate reports what is wrong with the options.
func (n Decoder) Validate() error {
	return errors.Join(
		n.transformer().validate("decoder", "layers"), count("decoder", "vocabulary", n.Vocabulary, 2), count("decoder", "context", n.Context, 1),
	)
}

// Task is Language.
func (Decoder) Task() Task { return Language }

// Outputs is the number of tokens.
func (n Decoder) Outputs() int { return n.Vocabulary }

// WithOutputs returns the same network for another vocabulary.
func (n Decoder) WithOutputs(tokens int) Network { n.Vocabulary = tokens; return n }

// WithNorm returns the same network with another norm.
func (n Decoder) WithNorm(layer norm.Layer) Network { n.Norm = norm.Choice{Layer: layer}; return n }

// Apply returns logits [batch, time, Vocabulary] for tokens [batch, time], whole numbers from 0 to Vocabulary-1. Panics if the
// sequence is longer than Context.
func (n Decoder) Apply(scope *model.Scope, tokens *Node) *Node {
	return throughBlocks(n, scope, tokens)
}

// Features returns what the last layer sees of each token, [batch, time, Dim].
func (n Decoder) Features(scope *model.Scope, tokens *Node) *Node {
	return n.Hidden(scope, tokens, nil)
}

// Hidden is Features of texts with padding: [batch, time] bools, true for tokens that are none. No token sees them, and norms that can
// leave them out do.
func (n Decoder) Hidden(scope *model.Scope, tokens, padding *Node) *Node {
	c := n.Around(tokens)
	c.Padding = padding
	h := n.Begin(scope, tokens)
	for i := range n.Layers {
		h = n.Block(scope, i, h, c)
	}
	return n.transformer().last(scope, h, padding)
}

// Head returns logits for features.
func (n Decoder) Head(scope *model.Scope, features *Node) *Node {
	features = pass.See(scope, pass.Features, features)
	if n.Tied {
		return DotGeneral(features, []int{2}, nil, n.embeddings(scope, features.Graph(), features.DType()), []int{1}, nil)
	}
	return linear.Dense{Units: n.Vocabulary, NoBias: n.NoBias, InitOf: param.LeCunNormal}.Apply(scope.In(param.OutputScope), features)
}

// Around is what the blocks must know of a text.
func (n Decoder) Around(tokens *Node) mixer.Context {
	return mixer.Context{Causal: n.Causal, Most: n.Context, Layers: n.Layers, Random: ops.RandomIn(tokens.Graph())}
}

// Begin returns tokens as vectors [batch, time, Dim].
func (n Decoder) Begin(scope *model.Scope, tokens *Node) *Node {
	if tokens.Rank() != 2 || !tokens.DType().IsInt() || tokens.Shape().Dimensions[1] > n.Context {
		Panicf("zoo.Decoder: tokens are %s; want whole numbers [batch, time], at most %d of them", tokens.Shape(), n.Context)
	}
	c, d := n.Around(tokens), tokens.Shape().Dimensions
	h := Reshape(ops.GatherRows(n.embeddings(scope, tokens.Graph(), dtypes.Float32), Reshape(tokens, -1)), d[0], d[1], n.Dim)
	h = n.Mixer.Embed(scope, h, c)
	return n.transformer().dropout.Apply(scope.At("tokens"), h, c.Random)
}

// Blocks are the blocks.
func (n Decoder) Blocks() []Block { return n.transformer().blocks() }

// Block is block i, from 0, of h [batch, time, Dim].
func (n Decoder) Block(scope *model.Scope, i int, h *Node, c mixer.Context) *Node {
	return n.transformer().block(scope, i, h, c)
}

// End returns logits for what the last block gives.
func (n Decoder) End(scope *model.Scope, h *Node) *Node {
	return n.Head(scope, n.transformer().last(scope, h, nil))
}

// NormConsumers are the scopes of the dense layers that read each norm's result, by the scope of the norm, of a network under root whose
// norms come before its parts. An error says why there are norms that others read too.
func (n Decoder) NormConsumers(root string) (map[string][]string, error) {
	if _, pre := n.Placement.Placement.(residual.Pre); !pre {
		return nil, fmt.Errorf("decoder: norms come before dense layers only with placement pre; this one is %s", residual.Name(n.Placement.Placement))
	}
	if n.Tied {
		return nil, errors.New("decoder: the last norm is read by the embedding, which a tied network also uses at its input")
	}

	all := map[string][]string{root + "/last/norm": {root + "/" + param.OutputScope}}
	for _, block := range n.Blocks() {
		seen := map[string]bool{}
		for _, stage := range block.Linears {
			part := block.Part[stage[0]]
			if seen[part] {
				continue
			}
			seen[part] = true
			at := root + "/" + block.Scope
			for _, scope := range stage {
				all[at+"/"+part+"/norm"] = append(all[at+"/"+part+"/norm"], at+"/"+scope)
			}
		}
	}
	return all, nil
}

// embeddings are the vectors of the tokens [Vocabulary, Dim].
func (n Decoder) embeddings(scope *model.Scope, g *Graph, dtype dtypes.DType) *Node {
	init := param.Scaled(0.02, param.LeCunNormal(1))
	if dtype != dtypes.Float64 {
		dtype = dtypes.Float32
	}
	return pass.Weight(param.Variable(scope.At("tokens"), "kernel", param.Kernel, dtype, init, n.Vocabulary, n.Dim), g)
}

package zoo

import (
	"fmt"

	"github.com/ballast-ml/ballast/format/hf"
	"github.com/ballast-ml/ballast/nn/linear"
)

// EncoderOfBERT is the encoder that a config.json of model_type "bert" describes, with mean pooling and vectors of length 1. What it
// cannot do, as relative positions, is an error that names the key.
func EncoderOfBERT(c hf.BERT) (Encoder, error) {
	n := Encoder{
		Vocabulary: c.VocabSize, Positions: c.MaxPositions, Types: c.TypeVocabSize, Layers: c.Layers, Dim: c.HiddenSize, Heads: c.Heads,
		Feed: c.IntermediateSize, Epsilon: c.LayerNormEpsilon, Pooling: PoolMean, Normalize: true,
	}
	if c.PositionEmbedding != "absolute" {
		return Encoder{}, fmt.Errorf("encoder: position_embedding_type is %q; only absolute positions are known here", c.PositionEmbedding)
	}
	switch c.Activation {
	case "gelu":
		n.Activation = linear.GELU
	case "relu":
		n.Activation = linear.ReLU
	case "silu", "swish":
		n.Activation = linear.SiLU
	default:
		return Encoder{}, fmt.Errorf("encoder: hidden_act is %q; gelu, relu and silu are known here", c.Activation)
	}
	return n, n.Validate()
}

// Imports maps the names of Hugging Face's BertModel. prefix is put before them for files of a larger model, "bert."; else it is empty.
func (n Encoder) Imports(prefix string) []Import {
	var all []Import
	for _, table := range []struct{ ours, theirs string }{{"words", "word"}, {"positions", "position"}, {"types", "token_type"}} {
		all = append(all, Import{Variable: "embeddings/" + table.ours + "/kernel", Tensor: prefix + "embeddings." + table.theirs + "_embeddings.weight"})
	}
	norm := func(ours, theirs string) {
		all = append(all,
			Import{Variable: ours + "/norm/scale", Tensor: prefix + theirs + ".LayerNorm.weight"},
			Import{Variable: ours + "/norm/offset", Tensor: prefix + theirs + ".LayerNorm.bias"})
	}
	norm("embeddings", "embeddings")
	for i := range n.Layers {
		ours, theirs := fmt.Sprintf("layer_%d/", i+1), fmt.Sprintf("encoder.layer.%d.", i)
		for _, part := range [][2]string{
			{"attention/query", "attention.self.query"}, {"attention/key", "attention.self.key"}, {"attention/value", "attention.self.value"},
			{"attention/out", "attention.output.dense"}, {"feed/in", "intermediate.dense"}, {"feed/out", "output.dense"},
		} {
			all = append(all, denseImports(ours+part[0], prefix+theirs+part[1])...)
		}
		norm(ours+"attention", theirs+"attention.output")
		norm(ours+"feed", theirs+"output")
	}
	return all
}

package convert

import (
	"strings"

	"github.com/ballast-ml/ballast/format/hf"
	"github.com/ballast-ml/ballast/format/weights"
)

// llama translates tensors of the llama architecture between Hugging Face and GGUF.
type llama struct {
	weights.Llama
	toGGUF bool
}

// findLlama sees whether names are to be translated, and how many heads the model has.
func (p *plan) findLlama() {
	if p.options.KeepNames {
		return
	}
	var names []string
	for _, t := range p.file.Tensors() {
		names = append(names, t.Name)
	}
	guess := hf.Guess(names)
	if guess.Name != "llama" {
		return
	}
	l := &llama{toGGUF: p.options.To == ToGGUF}
	switch {
	case guess.Style == "gguf" && !l.toGGUF:
		l.Llama = weights.LlamaOf(p.file)
	case guess.Style == "transformers" && l.toGGUF:
		if p.config != nil && p.config.Llama != nil {
			l.Llama = weights.Llama{Heads: p.config.Llama.Heads, KeyValueHeads: p.config.Llama.KeyValueHeads}
		} else {
			l.Llama = weights.LlamaOf(p.file)
		}
	default:
		return
	}
	if l.Heads == 0 {
		p.remark("the tensors are named like a llama's, but nothing says how many heads it has, so they keep their names and order; put config.json beside the weights")
		return
	}
	p.llama = l
}

// drop tells whether a tensor is computed on the other side.
func (l *llama) drop(name string) bool {
	return l.toGGUF && strings.HasSuffix(name, ".rotary_emb.inv_freq")
}

// translate sets the name and the order of the rows.
func (l *llama) translate(t *planned) {
	if t.forward = l.toGGUF; l.toGGUF {
		t.name, t.heads = l.ToGGUF(t.from.Name)
	} else {
		t.name, t.heads = l.ToTransformers(t.from.Name)
	}
}

// sourceRow tells which row of the input row r of the output is.
func (t *planned) sourceRow(r int) int {
	if t.heads == 0 {
		return r
	}
	return weights.LlamaRow(r, t.from.Shape[0], t.heads, t.forward)
}

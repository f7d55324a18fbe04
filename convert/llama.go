package convert

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"

	"github.com/ballast-ml/ballast/format/hf"
	"github.com/ballast-ml/ballast/format/weights"
)

// llama translates tensors of the llama architecture between Hugging Face and GGUF.
//
// GGUF wants rotary positions that turn neighbouring values (2i, 2i+1) of a head, Hugging Face those that turn value i of the
// first half and of the second: for each head of d values, row 2i+j of GGUF's query and key weights is row j d/2 + i of
// Hugging Face's, j = 0, 1.
type llama struct {
	heads, keyValueHeads int
	toGGUF               bool
}

// llamaTop and llamaBlock are the names on both sides, without ".weight" or ".bias".
var (
	llamaTop   = map[string]string{"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
	llamaBlock = map[string]string{
		"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
		"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
		"mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
	}
	hfBlock   = regexp.MustCompile(`^model\.layers\.(\d+)\.(.+)\.(weight|bias)$`)
	ggufBlock = regexp.MustCompile(`^blk\.(\d+)\.(.+)\.(weight|bias)$`)
)

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
		l.heads, l.keyValueHeads = ggufHeads(p.meta, p.file.Kind() == weights.GGUF)
	case guess.Style == "transformers" && l.toGGUF:
		if p.config != nil && p.config.Llama != nil {
			l.heads, l.keyValueHeads = p.config.Llama.Heads, p.config.Llama.KeyValueHeads
		} else {
			l.heads, l.keyValueHeads = ggufHeads(p.meta, false)
		}
	default:
		return
	}
	if l.heads == 0 {
		p.remark("the tensors are named like a llama's, but nothing says how many heads it has, so they keep their names and order; put config.json beside the weights")
		return
	}
	p.llama = l
}

// ggufHeads reads the number of heads from GGUF's keys, or from those that a file carries from one.
func ggufHeads(meta map[string]string, isGGUF bool) (heads, keyValueHeads int) {
	number := func(key string) int {
		text := meta[key]
		if !isGGUF {
			text = ""
			var carried carriedValue
			if json.Unmarshal([]byte(meta[carryGGUF+key]), &carried) == nil {
				text = strings.Trim(string(carried.Value), `"`)
			}
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > 1<<16 {
			return 0
		}
		return n
	}
	heads, keyValueHeads = number("llama.attention.head_count"), number("llama.attention.head_count_kv")
	if keyValueHeads == 0 {
		keyValueHeads = heads
	}
	return heads, keyValueHeads
}

// drop tells whether a tensor is computed on the other side.
func (l *llama) drop(name string) bool {
	return l.toGGUF && strings.HasSuffix(name, ".rotary_emb.inv_freq")
}

// translate sets the name and the order of the rows.
func (l *llama) translate(t *planned) {
	part := ""
	if l.toGGUF {
		t.name, part = l.names(t.from.Name, hfBlock, llamaTop, llamaBlock, "blk.")
	} else {
		t.name, part = l.names(t.from.Name, ggufBlock, inverse(llamaTop), inverse(llamaBlock), "model.layers.")
	}
	t.forward = l.toGGUF
	switch part {
	case "attn_q", "self_attn.q_proj":
		t.heads = l.heads
	case "attn_k", "self_attn.k_proj":
		t.heads = l.keyValueHeads
	}
}

// names translates one name; a name that is not in the tables stays. part is the translated part of a block.
func (l *llama) names(name string, block *regexp.Regexp, top, blocks map[string]string, prefix string) (translated, part string) {
	if m := block.FindStringSubmatch(name); m != nil {
		if other, ok := blocks[m[2]]; ok {
			return prefix + m[1] + "." + other + "." + m[3], other
		}
		return name, ""
	}
	for _, ending := range []string{".weight", ".bias"} {
		if stem, ok := strings.CutSuffix(name, ending); ok {
			if other, ok := top[stem]; ok {
				return other + ending, ""
			}
		}
	}
	return name, ""
}

func inverse(m map[string]string) map[string]string {
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[v] = k
	}
	return out
}

// sourceRow tells which row of the input row r of the output is.
func (t *planned) sourceRow(r int) int {
	if t.heads == 0 {
		return r
	}
	d := t.from.Shape[0] / t.heads
	head, at := r/d, r%d
	if t.forward {
		return head*d + at%2*(d/2) + at/2
	}
	return head*d + at%(d/2)*2 + at/(d/2)
}

package convert

import (
	"testing"

	"github.com/ballast-ml/ballast/format/weights"
)

// The order of the rows is that of the known reshape: [heads, 2, d/2] to [heads, d/2, 2] towards GGUF, and back.
func TestLlamaRows(t *testing.T) {
	const heads, d = 3, 8
	there := planned{from: weights.Info{Shape: []int{heads * d, 5}}, heads: heads, forward: true}
	back := there
	back.forward = false
	var order []int
	for h := range heads {
		for i := range d / 2 {
			for j := range 2 {
				order = append(order, h*d+j*(d/2)+i)
			}
		}
	}
	for r, want := range order {
		if got := there.sourceRow(r); got != want {
			t.Errorf("row %d of GGUF's is %d of Hugging Face's, want %d", r, got, want)
		}
		if got := back.sourceRow(want); got != r {
			t.Errorf("row %d of Hugging Face's is %d of GGUF's, want %d", want, got, r)
		}
	}
	if plain := (&planned{from: there.from}).sourceRow(7); plain != 7 {
		t.Errorf("without heads row 7 is %d", plain)
	}
}

// Every name of a llama goes to GGUF's and back; others stay.
func TestLlamaNames(t *testing.T) {
	to, from := llama{weights.Llama{Heads: 4, KeyValueHeads: 2}, true}, llama{weights.Llama{Heads: 4, KeyValueHeads: 2}, false}
	for theirs, want := range map[string]string{
		"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight", "lm_head.weight": "output.weight",
		"model.layers.7.self_attn.q_proj.weight": "blk.7.attn_q.weight", "model.layers.7.self_attn.k_proj.bias": "blk.7.attn_k.bias",
		"model.layers.0.self_attn.v_proj.weight": "blk.0.attn_v.weight", "model.layers.0.self_attn.o_proj.weight": "blk.0.attn_output.weight",
		"model.layers.31.mlp.gate_proj.weight": "blk.31.ffn_gate.weight", "model.layers.31.mlp.up_proj.weight": "blk.31.ffn_up.weight",
		"model.layers.31.mlp.down_proj.weight": "blk.31.ffn_down.weight", "model.layers.2.input_layernorm.weight": "blk.2.attn_norm.weight",
		"model.layers.2.post_attention_layernorm.weight": "blk.2.ffn_norm.weight", "rope_freqs.weight": "rope_freqs.weight",
		"model.layers.2.novelty.weight": "model.layers.2.novelty.weight",
	} {
		there := planned{from: weights.Info{Name: theirs}}
		to.translate(&there)
		back := planned{from: weights.Info{Name: there.name}}
		from.translate(&back)
		if there.name != want || back.name != theirs || there.heads != back.heads {
			t.Errorf("%s becomes %s with %d heads and then %s with %d, want %s", theirs, there.name, there.heads, back.name, back.heads, want)
		}
		if heads := map[string]int{"blk.7.attn_q.weight": 4, "blk.7.attn_k.bias": 2}[want]; there.heads != heads {
			t.Errorf("%s is put in order for %d heads, want %d", theirs, there.heads, heads)
		}
	}
	if !to.drop("model.layers.0.self_attn.rotary_emb.inv_freq") || from.drop("x") {
		t.Error("what is computed on the other side is not left out")
	}
}

package weights

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"

	"github.com/ballast-ml/ballast/format/hf"
)

// Llama tells how tensors of the llama architecture differ between Hugging Face and GGUF: by their names, and by the order of the rows of
// query and key weights.
//
// GGUF wants rotary positions that turn neighbouring values (2i, 2i+1) of a head, Hugging Face those that turn value i of the first half
// and of the second: for each head of d values, row 2i+j of GGUF's weights is row j d/2 + i of Hugging Face's, j = 0, 1.
type Llama struct{ Heads, KeyValueHeads int }

// llamaTop and llamaBlock are the names on both sides, without ".weight" or ".bias".
var (
	llamaTop   = map[string]string{"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
	llamaBlock = map[string]string{
		"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
		"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
		"mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
	}
	llamaTopBack, llamaBlockBack = inverse(llamaTop), inverse(llamaBlock)

	hfBlock   = regexp.MustCompile(`^model\.layers\.(\d+)\.(.+)\.(weight|bias)$`)
	ggufBlock = regexp.MustCompile(`^blk\.(\d+)\.(.+)\.(weight|bias)$`)
)

// LlamaOf reads the numbers of heads from GGUF's keys, or from those that a file carries from one; both are 0 where nothing tells them.
func LlamaOf(f File) Llama {
	meta := f.Metadata()
	number := func(key string) int {
		text := meta[key]
		if f.Kind() != GGUF {
			text = ""
			var carried carriedValue
			if json.Unmarshal([]byte(meta[CarriedGGUF+key]), &carried) == nil {
				text = strings.Trim(string(carried.Value), `"`)
			}
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > 1<<16 {
			return 0
		}
		return n
	}
	l := Llama{number("llama.attention.head_count"), number("llama.attention.head_count_kv")}
	if l.KeyValueHeads == 0 {
		l.KeyValueHeads = l.Heads
	}
	return l
}

// ToGGUF translates a name of Hugging Face; one that is not a llama's stays. heads is that of the tensor whose rows GGUF has in another order,
// else 0.
func (l Llama) ToGGUF(name string) (renamed string, heads int) {
	renamed, part := rename(name, hfBlock, llamaTop, llamaBlock, "blk.")
	return renamed, l.heads(part)
}

// ToTransformers is the other way round.
func (l Llama) ToTransformers(name string) (renamed string, heads int) {
	renamed, part := rename(name, ggufBlock, llamaTopBack, llamaBlockBack, "model.layers.")
	return renamed, l.heads(part)
}

func (l Llama) heads(part string) int {
	switch part {
	case "attn_q", "self_attn.q_proj":
		return l.Heads
	case "attn_k", "self_attn.k_proj":
		return l.KeyValueHeads
	}
	return 0
}

// rename translates one name; a name that is not in the tables stays. part is the translated part of a block.
func rename(name string, block *regexp.Regexp, top, blocks map[string]string, prefix string) (renamed, part string) {
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

// LlamaRow tells which row of a tensor with so many rows and heads becomes row r towards GGUF, or from it.
func LlamaRow(r, rows, heads int, toGGUF bool) int {
	d := rows / heads
	head, at := r/d, r%d
	if toGGUF {
		return head*d + at%2*(d/2) + at/2
	}
	return head*d + at%(d/2)*2 + at/(d/2)
}

// llamaView is a llama of GGUF with the names and the order of Hugging Face.
type llamaView struct {
	File
	tensors []Info
	theirs  map[string]llamaTensor // by Hugging Face's names
}

type llamaTensor struct {
	name  string // GGUF's
	info  Info   // with Hugging Face's name
	heads int    // 0 = the order is the same
}

// AsTransformers shows a llama of GGUF with the names and the order of rows of Hugging Face. ok is false for any other model, and for one that
// does not tell its number of heads.
func AsTransformers(f File) (view File, ok bool) {
	var names []string
	for _, t := range f.Tensors() {
		names = append(names, t.Name)
	}
	guess, l := hf.Guess(names), LlamaOf(f)
	if guess.Name != "llama" || guess.Style != "gguf" || l.Heads == 0 {
		return nil, false
	}
	v := &llamaView{File: f, theirs: map[string]llamaTensor{}}
	for _, info := range f.Tensors() {
		t := llamaTensor{name: info.Name, info: info}
		t.info.Name, t.heads = l.ToTransformers(info.Name)
		if _, twice := v.theirs[t.info.Name]; twice || t.heads > 0 && (len(info.Shape) == 0 || info.Shape[0]%(2*t.heads) != 0) {
			return nil, false
		}
		v.theirs[t.info.Name] = t
		v.tensors = append(v.tensors, t.info)
	}
	return v, true
}

func (v *llamaView) Tensors() []Info { return v.tensors }

func (v *llamaView) Info(name string) (Info, bool) {
	t, ok := v.theirs[name]
	return t.info, ok
}

func (v *llamaView) ReadFloat32s(name string, at int, dst []float32) error {
	t, ok := v.theirs[name]
	if !ok || t.heads == 0 || at < 0 || at+len(dst) > t.info.Elements {
		return v.File.ReadFloat32s(v.name(name), at, dst)
	}
	if len(dst) == 0 { // also of a tensor without rows
		return nil
	}
	row := t.info.Elements / t.info.Shape[0]
	for len(dst) > 0 {
		r, from := at/row, at%row
		n := min(row-from, len(dst))
		if err := v.File.ReadFloat32s(t.name, LlamaRow(r, t.info.Shape[0], t.heads, false)*row+from, dst[:n]); err != nil {
			return err
		}
		at, dst = at+n, dst[n:]
	}
	return nil
}

func (v *llamaView) ReadBytes(name string, at int64, dst []byte) error {
	t, ok := v.theirs[name]
	if !ok || t.heads == 0 || at < 0 || at+int64(len(dst)) > t.info.Bytes {
		return v.File.ReadBytes(v.name(name), at, dst)
	}
	if len(dst) == 0 {
		return nil
	}
	row := t.info.Bytes / int64(t.info.Shape[0])
	for len(dst) > 0 {
		r, from := at/row, at%row
		n := min(row-from, int64(len(dst)))
		if err := v.File.ReadBytes(t.name, int64(LlamaRow(int(r), t.info.Shape[0], t.heads, false))*row+from, dst[:n]); err != nil {
			return err
		}
		at, dst = at+n, dst[n:]
	}
	return nil
}

// name is GGUF's, or the one given where there is none: the file says what is wrong with it.
func (v *llamaView) name(name string) string {
	if t, ok := v.theirs[name]; ok {
		return t.name
	}
	return name
}

package decoder

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// sourcesOf reads lines of "name dim dim ...", as many as a test wants; ok is false where a product of dimensions is no number of elements.
func sourcesOf(text string) (out []Source, elements map[string]int, ok bool) {
	elements = map[string]int{}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if _, twice := elements[words[0]]; twice || len(out) == 100 || len(words) > 8 {
			return nil, nil, false
		}
		s, n := Source{Name: words[0], Shape: []int{}}, 1
		for _, word := range words[1:] {
			dim, err := strconv.Atoi(word)
			if err != nil || dim < 0 || dim > 1<<20 || n*max(dim, 1) > 1<<40 {
				return nil, nil, false
			}
			s.Shape, n = append(s.Shape, dim), n*dim
		}
		out, elements[s.Name] = append(out, s), n
	}
	return out, elements, true
}

// checkTensors holds a plan against the tensors that it is made of: parts lie within them, a shape is as large as its parts, and rows can be
// put in order.
func checkTensors(t *testing.T, tensors []Tensor, elements map[string]int) {
	t.Helper()
	for _, x := range tensors {
		shape, parts := 1, len(x.Values)
		for _, dim := range x.Shape {
			shape *= dim
		}
		for _, p := range x.Parts {
			n, known := elements[p.Name]
			if parts += p.Elements; !known || p.At < 0 || p.Elements < 0 || p.At > n-p.Elements {
				t.Fatalf("%s takes %d elements from %d on of %s, which has %d", x.Name, p.Elements, p.At, p.Name, n)
			}
		}
		if shape != parts {
			t.Fatalf("%s of shape %v is made of %d elements", x.Name, x.Shape, parts)
		}
	}
}

// FuzzRead: whatever a config.json and the tensors beside it are, they are refused, or the keys of GGUF and the plan for its tensors hold.
func FuzzRead(f *testing.F) {
	const layer = "model.layers.0."
	tensors := "model.embed_tokens.weight 40 64\n" + layer + "self_attn.q_proj.weight 64 64\n" + layer + "self_attn.qkv_proj.weight 128 64\n" +
		layer + "mlp.gate_up_proj.weight 192 64\n" + layer + "input_layernorm.weight 64\nlm_head.weight 40 64\n"
	experts := layer + "block_sparse_moe.experts.0.w1.weight 6 5\n" + layer + "block_sparse_moe.experts.2.w1.weight 6 5\n" + layer + "mlp.experts.1.up_proj.weight 6 5\n"
	for _, modelType := range Types() {
		f.Add([]byte(configOf(modelType)), tensors+experts)
	}
	for _, scaling := range []string{
		`{"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 64}`,
		`{"type": "yarn", "factor": 1e300, "original_max_position_embeddings": 4}`, `{"rope_type": "longrope", "long_factor": [1, 2], "short_factor": []}`,
		`{"rope_type": "dynamic"}`, `[]`, `null`,
	} {
		f.Add([]byte(`{"model_type": "llama", `+sizes+`, "rope_scaling": `+scaling+`}`), tensors)
	}
	f.Add([]byte(`{"model_type": "llama", "num_attention_heads": 9223372036854775807, "hidden_size": 1}`), "")
	f.Fuzz(func(t *testing.T, config []byte, text string) {
		var keys map[string]json.RawMessage
		var modelType string
		if json.Unmarshal(config, &keys) != nil || json.Unmarshal(keys["model_type"], &modelType) != nil {
			return
		}
		c, err := Read(modelType, keys)
		if err != nil {
			return
		}

		there := c.Keys()
		if back, err := FromKeys(func(key string) any { return there[key] }, c.Tied, nil); err == nil {
			if _, err := json.Marshal(back.JSON()); err != nil {
				t.Fatalf("a config.json that cannot be written: %v", err)
			}
		}
		sources, elements, ok := sourcesOf(text)
		if !ok {
			return
		}
		for _, plan := range []func([]Source) ([]Tensor, []string, error){c.ToGGUF, c.FromGGUF} {
			if tensors, _, err := plan(slices.Clone(sources)); err == nil {
				checkTensors(t, tensors, elements)
			}
		}
	})
}

// FuzzKeys: whatever the keys of a GGUF file say, they are refused, or make a config.json.
func FuzzKeys(f *testing.F) {
	for _, modelType := range Types() {
		var keys map[string]json.RawMessage
		if err := json.Unmarshal([]byte(configOf(modelType)), &keys); err != nil {
			f.Fatal(err)
		}
		c, err := Read(modelType, keys)
		if err != nil {
			f.Fatal(err)
		}
		text, err := json.Marshal(c.Keys())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, true, "blk.0.attn_q.weight 64 64\nblk.0.ffn_gate_exps.weight 3 6 5\nrope_freqs.weight 8\noutput.weight 40 64\n")
	}
	f.Add([]byte(`{"general.architecture": "llama", "llama.attention.head_count": [4, 4], "llama.block_count": 1e300}`), false, "")
	f.Fuzz(func(t *testing.T, text []byte, tied bool, tensors string) {
		var keys map[string]any
		if json.Unmarshal(text, &keys) != nil {
			return
		}
		value := func(key string) any { return ggufValue(keys[key]) }
		sources, elements, ok := sourcesOf(tensors)
		if c, err := NamesFromKeys(value); err == nil && ok {
			if made, _, err := c.FromGGUF(slices.Clone(sources)); err == nil {
				checkTensors(t, made, elements)
			}
		}
		c, err := FromKeys(value, tied, map[string][]float32{"rope_freqs.weight": {1, 2}, "rope_factors_long.weight": {1}, "rope_factors_short.weight": nil})
		if err != nil {
			return
		}
		if _, err := json.Marshal(c.JSON()); err != nil {
			t.Fatalf("a config.json that cannot be written: %v", err)
		}
		if made, _, err := c.FromGGUF(slices.Clone(sources)); err == nil && ok {
			checkTensors(t, made, elements)
		}
	})
}

// ggufValue is a value of JSON as a reader of GGUF gives one.
func ggufValue(v any) any {
	switch v := v.(type) {
	case float64:
		switch {
		case v == math.Trunc(v) && v >= 0 && v <= math.MaxUint32:
			return uint32(v)
		case v == math.Trunc(v) && math.Abs(v) <= 1<<53:
			return int64(v)
		}
		return float32(v)
	case []any:
		numbers := make([]uint32, 0, len(v))
		for _, item := range v {
			n, _ := item.(float64)
			numbers = append(numbers, uint32(int64(math.Mod(n, 1<<32))))
		}
		return numbers
	}
	return v
}

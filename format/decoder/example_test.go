package decoder_test

import (
	"encoding/json"
	"fmt"
	"log"
	"maps"
	"slices"

	"github.com/ballast-ml/ballast/format/decoder"
)

// What config.json says of a llama, as the keys of GGUF.
func ExampleRead() {
	var keys map[string]json.RawMessage
	text := `{"model_type": "llama", "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
		"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128}`
	if err := json.Unmarshal([]byte(text), &keys); err != nil {
		log.Fatal(err)
	}
	c, err := decoder.Read("llama", keys)
	if err != nil {
		log.Fatal(err)
	}
	gguf := c.Keys()
	for _, key := range slices.Sorted(maps.Keys(gguf)) {
		fmt.Println(key, gguf[key])
	}
	// Output:
	// general.architecture llama
	// llama.attention.head_count 4
	// llama.attention.head_count_kv 2
	// llama.attention.layer_norm_rms_epsilon 1e-06
	// llama.block_count 2
	// llama.context_length 128
	// llama.embedding_length 32
	// llama.feed_forward_length 48
	// llama.rope.dimension_count 8
	// llama.rope.freq_base 10000
	// llama.vocab_size 64
}

package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/hf"
)

// tower are the words in names of what stands beside a language model: encoders of pictures and sounds, what joins them to it, layers that
// foretell several tokens.
var tower = regexp.MustCompile(`(?i)(^|[._])(vision|visual|vit|image|video|audio|speech|sound|whisper|perceiver|resampler|connector|projector|multi_modal|multimodal|mm|mtp)([._]|$)`)

// stackOf is what stands before the number of a layer: "model.layers.".
func stackOf(name string) (stack string, ok bool) {
	m := layerPattern.FindStringSubmatchIndex(name)
	if m == nil {
		return "", false
	}
	return name[:m[6]], true
}

// text finds the one stack of layers that slices are cut from, and how many it has; those of towers stay whole. "" for a model without.
func (in *Input) text() (stack string, layers int, err error) {
	count := map[string]int{}
	for _, name := range in.names {
		if s, ok := stackOf(name); ok {
			layer, _ := layerOf(name)
			count[s] = max(count[s], layer+1)
		}
	}
	stacks := slices.Sorted(maps.Keys(count))
	if text := slices.DeleteFunc(slices.Clone(stacks), tower.MatchString); len(text) > 0 {
		stacks = text
	}
	switch len(stacks) {
	case 0:
		return "", 0, nil
	case 1:
		return stacks[0], count[stacks[0]], nil
	}
	var words []string
	for _, s := range stacks {
		words = append(words, fmt.Sprintf("%s* (%d)", s, count[s]))
	}
	return "", 0, &fault.Input{File: in.Path, Field: "layer_range", Err: fmt.Errorf("the model has several stacks of layers, and nothing says which is meant: %s", strings.Join(words, ", ")),
		Fix: "slice models of one stack; others can be merged whole, with models"}
}

// checkLayers refuses layers that the stack which is sliced has not.
func (in *Input) checkLayers(s Source) error {
	if len(s.LayerRange) != 2 {
		return nil
	}
	_, layers, err := in.text()
	if err == nil && s.LayerRange[1] > layers {
		err = &fault.Input{File: in.Path, Field: "layer_range", Err: fmt.Errorf("it is %v; the model has %d layers", s.LayerRange, layers), Fix: "choose layers that are there"}
	}
	return err
}

// layerIn is the layer of a stack that a tensor belongs to.
func layerIn(stack, name string) (layer int, ok bool) {
	if s, is := stackOf(name); !is || s != stack {
		return 0, false
	}
	return layerOf(name)
}

// cutFrom is where a layer of the output comes from.
type cutFrom struct {
	in    *Input
	layer int
}

// textParts are the keys under which the config of a model of several parts keeps that of its language model.
var textParts = []string{"text_config", "llm_config", "language_config", "language_model_config", "thinker_config"}

// textOf is the part of a config that describes the stack that is sliced.
func textOf(config map[string]any) map[string]any {
	for _, key := range textParts {
		if inner, ok := config[key].(map[string]any); ok {
			return textOf(inner)
		}
	}
	return config
}

// Keys of configs that say something of each layer.
var (
	layerCounts = []string{"num_hidden_layers", "n_layer", "num_layers", "n_layers"}
	layerLists  = []string{"layer_types", "no_rope_layers", "layers_block_type", "layer_block_types", "block_types", "attention_types", "moe_layer_freq", "mlp_layer_types", "num_kv_heads_per_layer", "layerwise_num_heads"}
	layerPlaces = []string{"mlp_only_layers", "cross_attention_layers", "attn_layer_indices", "full_attn_idxs", "moe_layers", "hybrid_layer_ids"}
)

// restack makes a config say what the slices have made of the layers: their number, and what it says of each.
func (p *Plan) restack(whole map[string]any) error {
	config := textOf(whole)
	for _, key := range layerCounts {
		if _, ok := config[key]; ok {
			config[key] = json.Number(fmt.Sprint(p.layers))
		}
	}
	if inOrder(p.cuts) {
		return nil // nothing has moved
	}
	sources := map[*Input]map[string]any{}
	for _, c := range p.cuts {
		if sources[c.in] != nil {
			continue
		}
		source, err := c.in.config()
		if err != nil {
			return err
		}
		if source == nil {
			source = config
		}
		sources[c.in] = withTypes(textOf(source))
	}
	for _, key := range layerLists {
		if err := p.restackList(config, key, sources); err != nil {
			return err
		}
	}
	for _, key := range layerPlaces {
		if _, ok := config[key].([]any); ok {
			places := []any{}
			for i, c := range p.cuts {
				if has(sources[c.in][key], c.layer) {
					places = append(places, json.Number(fmt.Sprint(i)))
				}
			}
			config[key] = places
		}
	}
	return p.restackCounts(config)
}

// inOrder tells whether the layers are those of one model from its first on.
func inOrder(cuts []cutFrom) bool {
	for i, c := range cuts {
		if c.layer != i || c.in != cuts[0].in {
			return false
		}
	}
	return true
}

// has tells whether a list of places has one.
func has(list any, place int) bool {
	places, _ := list.([]any)
	return slices.ContainsFunc(places, func(v any) bool { return fmt.Sprint(v) == fmt.Sprint(place) })
}

// restackList deals a list of one value a layer anew.
func (p *Plan) restackList(config map[string]any, key string, sources map[*Input]map[string]any) error {
	var out []any
	for _, c := range p.cuts {
		list, _ := sources[c.in][key].([]any)
		switch {
		case c.layer < len(list):
			out = append(out, list[c.layer])
		case out != nil || len(list) > 0:
			return &fault.Input{File: c.in.Path, Field: key, Err: fmt.Errorf("its config.json has no value for layer %d, which other slices have", c.layer), Fix: "slice models whose configs say the same, or complete the config"}
		}
	}
	if len(out) == len(p.cuts) && out != nil {
		config[key] = out
	} else if out != nil {
		return &fault.Input{File: p.cuts[0].in.Path, Field: key, Err: errors.New("only some of the models that are sliced have it in their config.json"), Fix: "slice models whose configs say the same"}
	}
	return nil
}

// restackCounts mends what says that the first layers, or one in so many, are of another kind.
func (p *Plan) restackCounts(config map[string]any) error {
	if dense, ok := number(config["first_k_dense_replace"]); ok {
		first := 0
		for i, c := range p.cuts {
			if c.layer < dense && first == i {
				first++
			} else if c.layer < dense {
				return &fault.Input{Field: "first_k_dense_replace", Err: fmt.Errorf("it is %d, and layer %d of the output would be a dense layer after layers that are not", dense, i), Fix: "begin the slices with the dense layers, once"}
			}
		}
		config["first_k_dense_replace"] = json.Number(fmt.Sprint(first))
	}
	for _, key := range []string{"decoder_sparse_step", "interleave_moe_layer_step", "attn_layer_period", "expert_layer_period", "num_kv_shared_layers"} {
		every, ok := number(config[key])
		if !ok || every <= 1 && key != "num_kv_shared_layers" || every == 0 {
			continue
		}
		for i, c := range p.cuts {
			if key == "num_kv_shared_layers" || c.layer%every != i%every {
				return &fault.Input{Field: key, Err: fmt.Errorf("it is %d, and layer %d of the output, which was layer %d, would change its kind", every, i, c.layer), Fix: fmt.Sprintf("cut slices at multiples of %d", every)}
			}
		}
	}
	return nil
}

// number is a whole number of a config.
func number(v any) (n int, ok bool) {
	text, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	whole, err := text.Int64()
	return int(whole), err == nil
}

// every is which layer in so many has full attention, for the model types whose configs leave out layer_types where the turn is the usual one.
var every = map[string]int{"gemma2": 2, "gemma3_text": 6, "gemma3": 6, "cohere2": 4, "olmo3": 4, "exaone4": 4}

// withTypes is a config with the list that its type implies: a stack may not have the usual turn any more.
func withTypes(config map[string]any) map[string]any {
	name, _ := config["model_type"].(string)
	turn := every[name]
	for _, key := range []string{"sliding_window_pattern", "_sliding_window_pattern"} {
		if n, ok := number(config[key]); ok {
			turn = n
		}
	}
	layers, ok := number(config["num_hidden_layers"])
	const most = 100_000 // layers of any model
	if config["layer_types"] != nil || !ok || layers > most || turn < 1 || every[name] == 0 {
		return config
	}
	out := maps.Clone(config)
	kinds := []any{}
	for i := range layers {
		kind := "sliding_attention"
		if (i+1)%turn == 0 {
			kind = "full_attention"
		}
		kinds = append(kinds, kind)
	}
	out["layer_types"] = kinds
	return out
}

// config reads the config.json of a model; nil where it has none.
func (in *Input) config() (map[string]any, error) {
	text, err := hf.ReadCompanion(in.dir(), hf.ConfigFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("merge: %w", err)
	}
	var config map[string]any
	d := json.NewDecoder(bytes.NewReader(hf.Standard(text)))
	d.UseNumber()
	if err := d.Decode(&config); err != nil {
		return nil, &fault.Input{File: in.dir(), Field: hf.ConfigFile, Err: err}
	}
	return config, nil
}

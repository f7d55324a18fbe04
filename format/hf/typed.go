package hf

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/internal/untrusted"
)

// QuantisationKeys are the keys of a config.json that say how its model's tensors are quantised.
var QuantisationKeys = []string{"quantization_config", "compression_config"}

// Typed is a config.json for weights that are plain values. dtype is their type as a config has it, such as "float16": dtype and torch_dtype
// say so in the config and in its parts (text_config, vision_config), where they are there, since loaders bring weights to the type
// that a config names; "" leaves them as they are. The keys that say how tensors are quantised are left out and listed. A text in which
// nothing changes is returned as it is.
func Typed(text []byte, dtype string) (out []byte, dropped []string, err error) {
	var config map[string]any
	d := json.NewDecoder(bytes.NewReader(Standard(text)))
	d.UseNumber()
	if err := d.Decode(&config); err != nil {
		return nil, nil, &Error{Kind: ErrConfig, Err: untrusted.JSONError(err), Fix: fixDownload}
	}
	changed := false
	var visit func(path string, part map[string]any)
	visit = func(path string, part map[string]any) {
		for _, key := range QuantisationKeys {
			if _, ok := part[key]; ok {
				delete(part, key)
				changed, dropped = true, append(dropped, path+key)
			}
		}
		for _, key := range []string{"torch_dtype", "dtype"} {
			if word, ok := part[key].(string); ok && dtype != "" && word != dtype {
				part[key], changed = dtype, true
			}
		}
		for key, value := range part {
			if inner, ok := value.(map[string]any); ok && strings.HasSuffix(key, "_config") {
				visit(path+key+".", inner)
			}
		}
	}
	visit("", config)
	if !changed {
		return text, nil, nil
	}

	slices.Sort(dropped)
	out, err = json.MarshalIndent(config, "", "  ")
	return append(Restore(out), '\n'), dropped, err
}

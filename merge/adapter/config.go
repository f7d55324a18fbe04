package adapter

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// ConfigFile is the name of an adapter's configuration in its folder.
const ConfigFile = "adapter_config.json"

// maxConfig and maxConfigValues bound an adapter_config.json; those with a rank for each module of a large model have 100 kB.
const (
	maxConfig       = 4 << 20
	maxConfigValues = 200_000
)

// Config is what an adapter_config.json says about how the adapter is applied.
type Config struct {
	Base       string             `json:"base_model_name_or_path"` // what it was trained on, as its author named it
	Rank       int                `json:"r"`
	Alpha      float64            `json:"lora_alpha"`
	Ranks      map[string]int     `json:"rank_pattern"`   // of modules whose name ends in what the key, a regular expression, matches
	Alphas     map[string]float64 `json:"alpha_pattern"`  // the same
	Root       bool               `json:"use_rslora"`     // s = alpha / sqrt(r)
	DoRA       bool               `json:"use_dora"`       // a magnitude for each output
	Transposed bool               `json:"fan_in_fan_out"` // the base keeps weights as [inputs, outputs], as GPT-2 does
	Bias       string             `json:"bias"`           // none, all or lora_only: which biases were trained
	LoRABias   bool               `json:"lora_bias"`      // B has a bias, s times which is added to the base's
	Whole      []string           `json:"modules_to_save"`

	ranks, alphas []pattern
}

// pattern gives a number to the modules that a regular expression matches.
type pattern struct {
	key   string
	match *regexp.Regexp
	value float64
}

// irrelevant are keys that say how the adapter was trained, or who wrote it; what they change is in the tensors.
var irrelevant = []string{
	"peft_type", "task_type", "auto_mapping", "base_model_class", "parent_library", "revision", "peft_version", "inference_mode", "lora_dropout",
	"target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "megatron_core", "eva_config", "runtime_config", "qalora_group_size",
	"ensure_weight_tying", "loftq_config", "corda_config", "lora_ga_config", "monteclora_config",
}

// kept are the ways to begin training that leave the base as it is. The others (PiSSA, OLoRA, CorDA, LoftQ, LoRA-GA) take a part out of it.
var kept = []string{"true", "false", `"gaussian"`, `"eva"`, `"orthogonal"`}

const fixMerge = "merge it into its base with the library that trained it"

// loadConfig reads the adapter_config.json of a folder.
func loadConfig(dir string) (c Config, err error) {
	if !Is(dir) {
		return c, &fault.Input{File: dir, Err: errors.New("it is not an adapter: it has no " + ConfigFile), Fix: "name the folder that the peft library wrote"}
	}
	path, err := untrusted.Inside(dir, ConfigFile)
	if err != nil {
		return c, fmt.Errorf("adapter: %w", err)
	}
	text, err := untrusted.ReadFile(path, maxConfig)
	if err != nil {
		return c, fmt.Errorf("adapter: %w", err)
	}
	if c, err = parseConfig(text); err != nil {
		if input := new(fault.Input); errors.As(err, &input) {
			input.File = filepath.Join(dir, ConfigFile)
		}
		return c, err
	}
	return c, nil
}

// parseConfig reads the text of an adapter_config.json.
func parseConfig(text []byte) (c Config, err error) {
	if err := untrusted.CheckJSON(ConfigFile, text, maxConfigValues); err != nil {
		return c, &fault.Input{Err: err, Fix: "get the adapter again"}
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(text, &keys); err != nil {
		return c, &fault.Input{Err: untrusted.JSONError(err), Fix: "get the adapter again"}
	}
	var kind string
	if err := json.Unmarshal(keys["peft_type"], &kind); err != nil || kind != "LORA" {
		return c, &fault.Input{Field: "peft_type", Err: fmt.Errorf("it is %s; only LORA can be applied", short(keys["peft_type"])), Fix: fixMerge}
	}
	if start, ok := keys["init_lora_weights"]; ok && string(start) != "null" && !slices.Contains(kept, string(start)) {
		return c, &fault.Input{
			Field: "init_lora_weights", Err: fmt.Errorf("it is %s, which takes a part out of the base's weights before training", short(start)),
			Fix: "save the adapter with path_initial_model_for_weight_conversion, which makes it a plain one",
		}
	}
	delete(keys, "init_lora_weights")

	c = Config{Bias: "none"}
	if err := c.take(keys); err != nil {
		return c, err
	}
	return c, c.validate()
}

// take fills the fields from their keys, and refuses what is set and not known.
func (c *Config) take(keys map[string]json.RawMessage) error {
	fields := map[string]any{
		"base_model_name_or_path": &c.Base, "r": &c.Rank, "lora_alpha": &c.Alpha, "rank_pattern": &c.Ranks, "alpha_pattern": &c.Alphas, "use_rslora": &c.Root,
		"use_dora": &c.DoRA, "fan_in_fan_out": &c.Transposed, "bias": &c.Bias, "lora_bias": &c.LoRABias, "modules_to_save": &c.Whole,
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		raw := keys[key]
		field, known := fields[key]
		switch {
		case slices.Contains(irrelevant, key) || empty(raw):
		case !known:
			return &fault.Input{Field: key, Err: fmt.Errorf("it is %s, and is not applied here", short(raw)), Fix: fixMerge}
		default:
			if err := json.Unmarshal(raw, field); err != nil {
				return &fault.Input{Field: key, Err: fmt.Errorf("it is %s: %w", short(raw), untrusted.JSONError(err)), Fix: "correct the value"}
			}
		}
	}
	return nil
}

// empty reports whether a value says nothing: a key that is not used.
func empty(raw json.RawMessage) bool {
	return slices.Contains([]string{"null", "false", "[]", "{}", `""`}, string(raw))
}

// validate says what is wrong with the values, and prepares the patterns.
func (c *Config) validate() error {
	wrong := func(field string, got any, fix string) error {
		return &fault.Input{Field: field, Err: fmt.Errorf("it is %v", got), Fix: fix}
	}
	switch {
	case c.Rank < 1:
		return wrong("r", c.Rank, "use at least 1")
	case math.IsNaN(c.Alpha) || math.IsInf(c.Alpha, 0):
		return wrong("lora_alpha", c.Alpha, "use a finite number")
	case !slices.Contains([]string{"none", "all", "lora_only"}, c.Bias):
		return wrong("bias", printable.Quote(c.Bias), "use none, all or lora_only")
	}
	for _, key := range slices.Sorted(maps.Keys(c.Ranks)) {
		if c.Ranks[key] < 1 {
			return wrong("rank_pattern."+key, c.Ranks[key], "use at least 1")
		}
		p, err := newPattern("rank_pattern", key, float64(c.Ranks[key]))
		if err != nil {
			return err
		}
		c.ranks = append(c.ranks, p)
	}
	for _, key := range slices.Sorted(maps.Keys(c.Alphas)) {
		p, err := newPattern("alpha_pattern", key, c.Alphas[key])
		if err != nil {
			return err
		}
		c.alphas = append(c.alphas, p)
	}
	return nil
}

// newPattern compiles a key as peft means it: the end of a module's name, whole components of it.
func newPattern(field, key string, value float64) (pattern, error) {
	match, err := regexp.Compile(`^(?:.*\.)?(?:` + key + `)$`)
	if err != nil {
		return pattern{}, &fault.Input{Field: field + "." + key, Err: err, Fix: "write a regular expression that Go knows"}
	}
	return pattern{key: key, match: match, value: value}, nil
}

// scale is s of a module with a rank. Where several patterns match, all must give one number: their order in the file is not kept.
func (c Config) scale(module string, rank int) (float64, error) {
	want, err := valueOf(c.ranks, module, float64(c.Rank))
	if err == nil && float64(rank) != want {
		err = fmt.Errorf("its matrices have rank %d, and %s says %v", rank, ConfigFile, want)
	}
	if err != nil {
		return 0, err
	}
	alpha, err := valueOf(c.alphas, module, c.Alpha)
	if err != nil {
		return 0, err
	}
	if c.Root {
		return alpha / math.Sqrt(float64(rank)), nil
	}
	return alpha / float64(rank), nil
}

func valueOf(patterns []pattern, module string, usual float64) (float64, error) {
	var found []pattern
	for _, p := range patterns {
		if p.match.MatchString(module) {
			found = append(found, p)
		}
	}
	if len(found) == 0 {
		return usual, nil
	}
	for _, p := range found[1:] {
		if p.value != found[0].value {
			return 0, fmt.Errorf("the patterns %s and %s both match it, and give %v and %v", printable.Quote(found[0].key), printable.Quote(p.key), found[0].value, p.value)
		}
	}
	return found[0].value, nil
}

// short is a value of JSON as an error shows it.
func short(raw json.RawMessage) string {
	if raw == nil {
		return "missing"
	}
	const most = 60
	text := strings.Join(strings.Fields(string(raw)), " ")
	if len(text) > most {
		text = text[:most] + "..."
	}
	return printable.Line(text)
}

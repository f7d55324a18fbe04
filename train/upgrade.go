package train

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/choice"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/own"
)

// upgraded returns a resolved recipe, as run folders keep it, in the form of today: the keys that have moved (see moved) are where they
// are now, and what did not exist then has the value that changes nothing.
func upgraded(then map[string]any, mine own.Registry) (map[string]any, error) {
	number := func(v any) float64 { n, _ := v.(json.Number); f, _ := n.Float64(); return f }
	section := func(key string) map[string]any { m, _ := then[key].(map[string]any); return m }
	take := func(key string) any { v := then[key]; delete(then, key); return v }

	if _, old := then["ema"]; !old {
		return normal(then, mine)
	}
	schedule := section("schedule")
	if b, ok := take("large_batch").(map[string]any); ok && schedule != nil {
		then["weigh"] = map[string]any{"examples": take("example_weights"), "gradient_noise": b["gradient_noise"]}
		delete(b, "gradient_noise")
		schedule["large_batch"] = b
	}
	then["init"] = map[string]any{"norms": take("norm_init"), "kernels": take("kernel_init")}
	if most := number(take("clip_norm")); most > 0 {
		then["rules"] = []any{map[string]any{"name": "clip-norm", "most": most}}
	}
	if ema, ok := take("ema").(map[string]any); ok {
		then["average"] = ema
	}
	if d, ok := take("distance").(map[string]any); ok && number(d["points"]) > 0 {
		d["name"] = "distance"
		then["watch"] = []any{d}
	}
	prepare := []any{}
	if n := take("subset"); number(n) > 0 {
		prepare = append(prepare, map[string]any{"name": "subset", "examples": n})
	}
	if noise, ok := take("label_noise").(map[string]any); ok && number(noise["rate"]) > 0 {
		noise["name"] = "label-noise"
		prepare = append(prepare, noise)
	}
	then["prepare"] = prepare
	if l, ok := take("loss").(map[string]any); ok {
		l["name"] = "cross-entropy"
		then["objective"] = map[string]any{"name": "supervised", "loss": l}
	}
	return normal(then, mine)
}

// normal is a recipe with every key, as a run would write it today.
func normal(settings map[string]any, mine own.Registry) (map[string]any, error) {
	objective, _ := settings["objective"].(map[string]any)
	if name, _ := objective["name"].(string); strings.Contains(name, ".") { // a Go type, which only its program knows
		settings = maps.Clone(settings)
		delete(settings, "objective")
		full, err := normal(settings, mine)
		if err == nil {
			full["objective"] = objective
		}
		return full, err
	}

	r := NewRecipe()
	if err := strict.DecodeMapOwn(settings, &r, mine); err != nil {
		return nil, err
	}
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	return tree(text)
}

// readable refuses a recipe with values of the program's own that nothing could read again: those that are not in the registry.
func readable(resolved []byte, mine own.Registry) error {
	settings, err := tree(resolved)
	if err != nil {
		return fmt.Errorf("train: recipe: %w", err)
	}
	_, err = normal(settings, mine)
	if missing, ok := choice.Missing(err); ok {
		return &fault.Usage{Err: fmt.Errorf("train: the recipe has the %s %q, which Options.Registry does not have; pass it there, "+
			"so that checkpoints and the bundle can be read again", missing.What, missing.Name)}
	}
	var misuse *choice.Misuse
	if errors.As(err, &misuse) { // what else is wrong is told where it is looked at
		return fmt.Errorf("train: %w", err)
	}
	return nil
}

// tree reads JSON with its numbers as they are written: a seed may have more digits than a float.
func tree(text []byte) (m map[string]any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return m, d.Decode(&m)
}

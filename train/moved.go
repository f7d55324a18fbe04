package train

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// moved are the keys that recipes of earlier versions had, and where each of them is now.
var moved = map[string]string{
	"subset":                     "prepare: [{name: subset, examples: NUMBER}]",
	"label_noise":                "prepare: [{name: label-noise, kind: symmetric, rate: NUMBER}]",
	"loss":                       "objective: {name: supervised, loss: {name: cross-entropy, label_smoothing: NUMBER}}",
	"example_weights":            "weigh: {examples: FILE.npy}",
	"norm_init":                  "init: {norms: NAME}",
	"kernel_init":                "init: {kernels: NAME}",
	"clip_norm":                  "rules: [{name: clip-norm, most: NUMBER}]",
	"ema":                        "average: {decay: NUMBER}",
	"large_batch.gradient_noise": "weigh: {gradient_noise: NUMBER}",
	"large_batch":                "schedule: {large_batch: {rule: ..., small_batch: ..., regime_adaptation: ...}}",
	"distance":                   "watch: [{name: distance, points: 40, from: 5, variables: first}]",
}

// CheckKeys refuses a recipe with keys of an earlier version, and says where they are now.
func CheckKeys(settings map[string]any) error {
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		if nested, ok := settings[key].(map[string]any); ok {
			for _, inner := range slices.Sorted(maps.Keys(nested)) {
				if err := CheckKey(key + "." + inner); err != nil {
					return err
				}
			}
		}
		if err := CheckKey(key); err != nil {
			return err
		}
	}
	return nil
}

// CheckKey refuses a key of an earlier version, a path with dots, and says where it is now.
func CheckKey(path string) error {
	for at := path; at != ""; {
		if to, ok := moved[at]; ok {
			return fmt.Errorf("recipe: %s has moved; write %s", at, to)
		}
		cut := strings.LastIndexByte(at, '.')
		at = at[:max(cut, 0)]
	}
	return nil
}

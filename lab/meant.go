package lab

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/train"
)

// unknown is the error of a key that is not there.
type unknown struct {
	path string
	text string
}

func (u *unknown) Error() string { return u.text }

// sayings are names that other programs have for settings of a recipe.
var sayings = map[string]string{
	"learning_rate": "optimizer.lr", "dataset": "data", "model": "network", "arch": "network", "architecture": "network", "batch": "batch_size", "bs": "batch_size",
	"num_epochs": "epochs", "max_epochs": "epochs", "n_epochs": "epochs", "num_steps": "steps", "max_steps": "steps", "iterations": "steps", "updates": "steps",
	"optim": "optimizer", "lr_scheduler": "schedule", "normalization": "norm", "normalisation": "norm", "wd": "optimizer.weight_decay", "random_seed": "seed",
	"augment": "views", "augmentation": "views", "criterion": "objective", "val_fraction": "validation.fraction", "ema_decay": "average.decay",
}

// last is the last name of a path.
func last(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }

// container is a path without its last name.
func container(path string) string { return path[:max(strings.LastIndexByte(path, '.'), 0)] }

// meant finds the setting of a recipe that an unknown key most likely means: one of that very name in another place, one that other
// programs call so, or one of a name that is near. now has what the recipe's choices are at present, which goes before what they could be.
func meant(path string, keys []Key, now Config) (k Key, ok bool) {
	name := last(path)
	if k, ok := named(name, keys, now); ok {
		return k, true
	}
	if said, ok := sayings[name]; ok {
		i := slices.IndexFunc(keys, func(k Key) bool { return k.Path == said })
		return keys[max(i, 0)], i >= 0
	}
	var beside, all []string
	for _, k := range keys {
		if k.List != "" {
			continue
		}
		if all = append(all, last(k.Path)); container(k.Path) == container(path) {
			beside = append(beside, last(k.Path))
		}
	}
	if _, near := strict.Nearest(name, beside); near {
		return Key{}, false // the error says it already
	}
	near, ok := strict.Nearest(name, all)
	if !ok {
		return Key{}, false
	}
	return named(near, keys, now)
}

// Setting is the path of the setting of a recipe that has a name, or that other programs call so; ok is false if there is none.
func Setting(name string) (path string, ok bool) {
	now, err := ConfigOf(train.NewRecipe())
	if err != nil {
		return "", false
	}
	keys := Keys()
	k, ok := named(name, keys, now)
	if said, known := sayings[name]; !ok && known {
		return said, true
	}
	if !ok || k.List != "" {
		return "", false
	}
	return k.Path, true
}

// named is the setting of a name: one that the recipe has as it is, one that is not in a list, one that is less deep, the first.
func named(name string, keys []Key, now Config) (best Key, ok bool) {
	rank := func(k Key) int {
		n := 10 * strings.Count(k.Path, ".")
		if k.List != "" {
			n += 1000
		}
		if !now.has(k) {
			n += 100
		}
		return n
	}
	for _, k := range keys {
		if last(k.Path) == name && (!ok || rank(k) < rank(best)) {
			best, ok = k, true
		}
	}
	return best, ok
}

// has reports whether the recipe has a setting as its choices are.
func (c Config) has(k Key) bool {
	at, chosen, ok := strings.Cut(k.Of, "=")
	return !ok || c.chosen(at) == chosen
}

// chosen is the name of the choice at a path, "" if there is none.
func (c Config) chosen(path string) string {
	var at any = map[string]any(c)
	for _, name := range strings.Split(path, ".") {
		m, ok := at.(map[string]any)
		if !ok {
			return ""
		}
		at = strict.Plain(m[name])
	}
	if m, ok := at.(map[string]any); ok {
		at = strict.Plain(m["name"])
	}
	name, _ := at.(string)
	return name
}

// offer is how to write a setting.
func (k Key) offer(now Config) string {
	if k.List != "" {
		_, chosen, _ := strings.Cut(k.Of, "=")
		return fmt.Sprintf("%s=[{name: %s, %s: ...}]", k.List, chosen, last(k.Path))
	}
	if !now.has(k) {
		return k.Path + ", of " + k.Of
	}
	return k.Path
}

// unknownIn is what a key that the recipe does not know should have been; nil where there is nothing to say that the error does not say.
func unknownIn(path string, now Config) error {
	k, ok := meant(path, Keys(), now)
	if !ok || k.Path == path {
		return nil
	}
	return fmt.Errorf("unknown key %s (did you mean %s?)", strict.Short(path), k.offer(now))
}

// mostMeant is the most unknown keys of a recipe whose meaning is looked for; each is held against every setting.
const mostMeant = 100

// checkNames looks for keys that no recipe has where they stand, and for options of another choice than the one that is made.
func checkNames(paths []string, now Config) error {
	keys := Keys()
	known, holds := map[string][]Key{}, map[string]bool{"": true}
	for _, k := range keys {
		known[k.Path] = append(known[k.Path], k)
		holds[container(k.Path)] = true
	}

	unknown := 0
	for _, path := range paths {
		under := container(path)
		if !holds[under] || under != "" && (len(known[under]) == 0 || known[under][0].List != "" || known[under][0].Values == nil && known[under][0].Kind == "any") {
			continue // free, or not a part of the recipe
		}

		options := known[path]
		if len(options) == 0 && last(path) != "name" && unknown < mostMeant {
			unknown++
			if k, ok := meant(path, keys, now); ok && k.Path != path {
				return fmt.Errorf("unknown key %s (did you mean %s?)", strict.Short(path), k.offer(now))
			}
		}
		if len(options) == 0 || slices.ContainsFunc(options, now.has) || options[0].List != "" {
			continue
		}

		var of []string
		for _, k := range options {
			of = append(of, k.Of)
		}
		at, _, _ := strings.Cut(options[0].Of, "=")
		chosen := now.chosen(at)
		if at == "optimizer" || chosen == "" {
			continue // what stays behind when the optimizer is changed is ignored; and where nothing is chosen, the choice says so
		}
		return fmt.Errorf("unknown key %s: %s=%s has no %s; %s has it", strict.Short(path), at, strict.Short(chosen), last(path), few(of))
	}
	return nil
}

// pathsOf are the keys of settings, with dots; lists are not gone into.
func pathsOf(under string, settings map[string]any) (paths []string) {
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		path := strings.TrimPrefix(under+"."+name, ".")
		paths = append(paths, path)
		if inner, ok := settings[name].(map[string]any); ok {
			paths = append(paths, pathsOf(path, inner)...)
		}
	}
	return paths
}

// elsewhere adds to an error of a choice that its value is one of another setting.
func elsewhere(err error, paths map[string]string) error {
	if err == nil {
		return nil
	}
	keys := Keys()
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		value := paths[path]
		i := slices.IndexFunc(keys, func(k Key) bool { return k.Path == path && k.Values != nil })
		if i < 0 || slices.Contains(keys[i].Values, value) || value == "" {
			continue
		}
		var best Key
		for _, k := range keys {
			if slices.Contains(k.Values, value) && k.List == "" && k.Of == "" && value != "none" && value != "true" && value != "false" && best.Path == "" {
				best = k
			}
		}
		if best.Path != "" {
			return fmt.Errorf("%w; %s is for another key: %s=%s", err, value, best.Path, value)
		}
	}
	return err
}

// unknownKeyIn is the unknown key that an error is of.
func unknownKeyIn(err error) (path string, ok bool) {
	var u *unknown
	if errors.As(err, &u) {
		return u.path, true
	}
	return "", false
}

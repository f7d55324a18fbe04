package checkpoint_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/merge"
	"github.com/ballast-ml/ballast/merge/checkpoint"
)

// mapping is a recipe, or a part of one.
type mapping = map[string]any

// walkModels writes three models of two layers: b is near a, base is far from both, and each has a token of its own.
func walkModels(t *testing.T, dir string) {
	draw := rand.New(rand.NewPCG(3, 4))
	normal := func(n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(draw.NormFloat64())
		}
		return x
	}
	tensors := map[string]int{"model.embed_tokens.weight": 6, "model.layers.0.w": 4, "model.layers.1.w": 4, "model.norm.weight": 4, "lm_head.weight": 6}
	first := map[string][]float32{}
	for _, model := range []string{"a", "b", "base"} {
		var list []safetensors.Tensor
		for _, name := range slices.Sorted(maps.Keys(tensors)) {
			x := normal(4 * tensors[name])
			if model == "a" {
				first[name] = x
			}
			if model == "b" {
				for i := range x {
					x[i] = first[name][i] + 0.2*x[i]
				}
			}
			list = append(list, floats(name, []int{tensors[name], 4}, x...))
		}
		at := filepath.Join(dir, model)
		writeTensors(t, at, list, 0)
		put(t, at, "config.json", `{"model_type": "llama", "num_hidden_layers": 2, "vocab_size": 6, "torch_dtype": "float32", "tie_word_embeddings": false}`)
		put(t, at, "tokenizer.json", `{"model": {"vocab": {"r": 0, "s": 1, "t": 2, "u": 3, "v": 4, "`+model+`": 5}}, "added_tokens": []}`)
		put(t, at, "tokenizer_config.json", `{}`)
	}
}

// walkChanges is another value than the recipe's for each parameter.
var walkChanges = mapping{
	"weight": 0.9, "density": 0.3, "gamma": 0.2, "epsilon": 0.05, "lambda": 0.7, "t": 0.9, "max_iter": 1, "tol": 0.5, "eps": 0.3, "select_topk": 0.3,
	"r": 0.9, "alpha": 0.05, "scale": 0.5, "filter_wise": true, "nuslerp_flatten": true, "nuslerp_row_wise": true, "normalize_weights": false,
	"dot_threshold": 0.001, "norm_epsilon": 1000, "int8_mask": true,
}

// walkRecipe is a recipe by a method in which each of its parameters matters.
func walkRecipe(c merge.Choice) (recipe, parameters mapping) {
	parameters = mapping{}
	for name, value := range (mapping{"weight": 0.5, "density": 0.6, "t": 0.3, "nuslerp_flatten": false}) {
		if c.Has(name) {
			parameters[name] = value
		}
	}
	models := []any{mapping{"model": "a"}, mapping{"model": "b"}, mapping{"model": "base"}}
	if c.Has("weight") { // one model keeps its own, else weights for all might cancel out
		models[1] = mapping{"model": "b", "parameters": mapping{"weight": 0.3}}
	}
	recipe = mapping{"merge_method": c.Name}
	switch {
	case c.First:
		models, recipe["base_model"] = []any{models[0], models[2]}, "base"
	case c.Base == merge.NoBase && c.Models == 1:
		models = models[:1]
	case c.Models == 1:
		models, recipe["base_model"] = []any{models[0], models[2]}, "base"
	case c.Base != merge.NoBase:
		recipe["base_model"] = "base"
	}
	if c.Name == "ram" || c.Name == "ramplus_tl" {
		parameters["epsilon"] = 0.5
	}
	recipe["models"] = models
	return recipe, parameters
}

// otherThanDefault is what changes a parameter that is true or false, or a word, by default.
func otherThanDefault(c merge.Choice, name string) (any, bool) {
	v := reflect.ValueOf(c.New())
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("json") != name {
			continue
		}
		switch field := v.Field(i); field.Kind() {
		case reflect.Bool:
			return !field.Bool(), true
		case reflect.String:
			return field.String() == merge.RescaleNone, true
		}
	}
	return nil, false
}

// walkLevels are where parameters stand in a recipe: each takes the recipe and the parameter, and returns the recipe that has it there.
var walkLevels = []struct {
	name string
	put  func(recipe, parameters, more mapping) mapping
}{
	{"recipe", func(r, p, more mapping) mapping { return with(r, "parameters", merged(p, more)) }},
	{"model", func(r, p, more mapping) mapping {
		list := slices.Clone(r["models"].([]any))
		list[0] = with(list[0].(mapping), "parameters", more)
		return with(with(r, "models", list), "parameters", p)
	}},
	{"base", func(r, p, more mapping) mapping {
		list := slices.Clone(r["models"].([]any))
		last := len(list) - 1
		list[last] = with(list[last].(mapping), "parameters", more)
		return with(with(r, "models", list), "parameters", p)
	}},
	{"module", func(r, p, more mapping) mapping {
		return without(with(with(r, "modules", mapping{"default": mapping{"models": r["models"], "parameters": more}}), "parameters", p), "models")
	}},
	{"slice", func(r, p, more mapping) mapping {
		return without(with(with(r, "slices", []any{mapping{"sources": ranged(r["models"].([]any)), "parameters": more}}), "parameters", p), "models")
	}},
	{"source", func(r, p, more mapping) mapping {
		list := ranged(r["models"].([]any))
		list[0] = with(list[0].(mapping), "parameters", more)
		return without(with(with(r, "slices", []any{mapping{"sources": list}}), "parameters", p), "models")
	}},
}

func with(m mapping, key string, value any) mapping {
	out := maps.Clone(m)
	out[key] = value
	return out
}

func without(m mapping, key string) mapping {
	out := maps.Clone(m)
	delete(out, key)
	return out
}

func merged(a, b mapping) mapping {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

func ranged(models []any) (out []any) {
	for _, m := range models {
		out = append(out, with(m.(mapping), "layer_range", []int{0, 2}))
	}
	return out
}

// outcome is what a recipe gives: the files of the output but for the record of the recipe, and what was said.
func outcome(t *testing.T, recipe any) (files map[string]string, said string) {
	t.Helper()
	text, err := yaml.Marshal(recipe)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	result, err := run(t, string(text), checkpoint.Options{Out: out})
	if err != nil {
		if bad := new(fault.Input); !errors.As(err, &bad) {
			t.Fatalf("%s\n%v is not bad input", text, err)
		}
		return nil, err.Error()
	}
	files = contents(t, out)
	delete(files, checkpoint.ManifestFile)
	delete(files, checkpoint.RecipeFile)
	return files, strings.Join(result.Notes, "\n")
}

// TestWalkParameters puts every parameter of every method under every level of a recipe by every method: it changes the tensors, or what is said
// names it. Without BALLAST_TEST_WALK=all it walks the parameters that the method has, under the recipe and one of the other levels by turns.
func TestWalkParameters(t *testing.T) {
	dir := t.TempDir()
	walkModels(t, dir)
	t.Chdir(dir)
	names := map[string]bool{"int8_mask": true}
	for _, c := range merge.Methods() {
		for _, name := range c.Parameters() {
			names[name] = true
		}
	}

	all := os.Getenv("BALLAST_TEST_WALK") == "all"
	walked := 0
	for m, c := range merge.Methods() {
		recipe, parameters := walkRecipe(c)
		for l, level := range walkLevels {
			var plain map[string]string
			for n, name := range slices.Sorted(maps.Keys(names)) {
				if !all && (!c.Has(name) || l > 0 && l != 1+(m+n)%(len(walkLevels)-1)) {
					continue
				}
				if plain == nil {
					said := ""
					if plain, said = outcome(t, level.put(recipe, parameters, mapping{})); plain == nil {
						t.Fatalf("%s, %s: %s", c.Name, level.name, said)
					}
				}
				value, ok := otherThanDefault(c, name)
				if !ok || name == "nuslerp_flatten" {
					value, ok = walkChanges[name]
				}
				if !ok && c.Has(name) {
					t.Fatalf("%s of %s: the walk has no other value for it", name, c.Name)
				}
				if value == nil {
					value = true
				}
				more := mapping{name: value}
				if name == "rescale" && c.Name == "della" || name == "rescale" && c.Name == "della_linear" {
					more["density"] = 0.4
				}
				files, said := outcome(t, level.put(recipe, parameters, more))
				walked++
				changed := files != nil && files["model.safetensors"] != plain["model.safetensors"]
				if !changed && !strings.Contains(said, name) {
					t.Errorf("%s: parameter %s of the %s is accepted and changes nothing; said is %q", c.Name, name, level.name, said)
				}
			}
		}
	}
	t.Logf("%d parameters walked", walked)
	if walked < 120 {
		t.Errorf("only %d parameters were walked", walked)
	}
}

// keysOf are the keys of a part of a recipe.
func keysOf(v any) (names []string) {
	for i := range reflect.TypeOf(v).NumField() {
		name, _, _ := strings.Cut(reflect.TypeOf(v).Field(i).Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

// TestWalkKeys changes every key of every part of a recipe: the output is another, or the error names the key.
func TestWalkKeys(t *testing.T) {
	dir := t.TempDir()
	walkModels(t, dir)
	t.Chdir(dir)
	source := func(model string, weight float64) mapping {
		return mapping{"model": model, "parameters": mapping{"weight": weight}}
	}
	plain := mapping{"merge_method": "linear", "models": []any{source("a", 0.9), source("b", 0.7)}} // they do not sum to 1
	cut := func(more mapping, sources ...any) mapping {
		return mapping{"merge_method": "linear", "slices": []any{merged(mapping{"sources": sources}, more)}}
	}
	layer := func(model string, from, to int) mapping {
		return with(source(model, 0.6), "layer_range", []int{from, to})
	}
	tokens := func(more mapping) mapping {
		return with(plain, "tokenizer", merged(mapping{"source": "union"}, more))
	}
	token := func(more mapping) mapping {
		return tokens(mapping{"tokens": mapping{"a": merged(mapping{"source": "a"}, more)}})
	}
	module := func(more mapping) mapping {
		return mapping{"merge_method": "linear", "modules": mapping{"default": more}}
	}
	slice := mapping{"sources": []any{layer("a", 0, 1), layer("b", 0, 1)}}

	type change struct{ from, to mapping }
	table := map[string]map[string]change{
		"recipe": {
			"merge_method":     {plain, with(plain, "merge_method", "nuslerp")},
			"base_model":       {with(plain, "merge_method", "nuslerp"), with(with(plain, "merge_method", "nuslerp"), "base_model", "base")},
			"models":           {plain, with(plain, "models", []any{source("a", 0.3), source("base", 0.7)})},
			"slices":           {plain, cut(nil, layer("a", 0, 1), layer("b", 0, 1))},
			"modules":          {plain, module(mapping{"models": []any{source("a", 0.4), source("b", 0.7)}})},
			"parameters":       {plain, with(plain, "parameters", mapping{"normalize": false})},
			"dtype":            {plain, with(plain, "dtype", "bfloat16")},
			"out_dtype":        {with(plain, "dtype", "bfloat16"), with(with(plain, "dtype", "bfloat16"), "out_dtype", "float16")},
			"tokenizer_source": {plain, with(plain, "tokenizer_source", "union")},
			"tokenizer":        {plain, tokens(nil)},
			"chat_template":    {plain, with(plain, "chat_template", "chatml")},
			"name":             {plain, with(plain, "name", "x")}, // of use to other recipes of the file: see TestSeveral
		},
		"source": {
			"model":       {plain, with(plain, "models", []any{source("a", 0.3), source("base", 0.7)})},
			"layer_range": {cut(nil, layer("a", 0, 1)), cut(nil, layer("a", 1, 2))},
			"parameters":  {plain, with(plain, "models", []any{source("a", 0.4), source("b", 0.7)})},
		},
		"slice": {
			"sources":         {cut(nil, layer("a", 0, 1)), cut(nil, layer("b", 0, 1))},
			"base_model":      {with(cut(nil, layer("a", 0, 1), layer("base", 0, 1)), "merge_method", "nearswap"), nil},
			"residual_weight": {cut(nil, layer("a", 0, 1)), cut(mapping{"residual_weight": 0.5}, layer("a", 0, 1))},
			"parameters":      {cut(nil, layer("a", 0, 1), layer("b", 0, 1)), cut(mapping{"parameters": mapping{"normalize": false}}, layer("a", 0, 1), layer("b", 0, 1))},
		},
		"module": {
			"models":     {plain, module(mapping{"models": []any{source("a", 0.4), source("b", 0.7)}})},
			"slices":     {plain, module(mapping{"slices": []any{slice}})},
			"parameters": {plain, module(mapping{"models": plain["models"], "parameters": mapping{"normalize": false, "weight": 1}})},
		},
		"tokenizer": {
			"source":             {tokens(nil), tokens(mapping{"source": "b"})},
			"tokens":             {tokens(nil), tokens(mapping{"tokens": mapping{"r": mapping{"source": mapping{"kind": "zero"}, "force": true}}})},
			"pad_to_multiple_of": {tokens(nil), tokens(mapping{"pad_to_multiple_of": 5})},
		},
		"token": {
			"source": {token(nil), token(mapping{"source": mapping{"kind": "zero"}})},
			"force":  {token(mapping{"source": mapping{"kind": "zero"}}), token(mapping{"source": mapping{"kind": "zero"}, "force": true})},
		},
	}
	nearswap := with(with(table["slice"]["base_model"].from, "base_model", "base"), "parameters", mapping{"t": 0.3})
	table["slice"]["base_model"] = change{nearswap, with(nearswap, "slices", []any{with(nearswap["slices"].([]any)[0].(mapping), "base_model", "a")})}

	for part, v := range map[string]any{
		"recipe": checkpoint.Recipe{}, "source": checkpoint.Source{}, "slice": checkpoint.Slice{}, "module": checkpoint.Module{}, "tokenizer": checkpoint.Tokenizer{}, "token": checkpoint.Token{},
	} {
		for _, key := range keysOf(v) {
			c, ok := table[part][key]
			if !ok {
				t.Errorf("%s of a %s: the walk does not change it", key, part)
				continue
			}
			from, said := outcome(t, c.from)
			if from == nil {
				t.Errorf("%s of a %s: %s", key, part, said)
				continue
			}
			to, said := outcome(t, c.to)
			if key == "name" {
				continue
			}
			if to == nil && !strings.Contains(said, key) || to != nil && reflect.DeepEqual(from, to) {
				text, _ := json.Marshal(c.to)
				t.Errorf("%s of a %s is accepted and changes nothing, or the error does not name it: %q\n%s", key, part, said, text)
			}
		}
	}
}

// A key that no part of a recipe has is refused by name, wherever it stands.
func TestWalkUnknownKeys(t *testing.T) {
	for i, text := range []string{
		"merge_method: linear\nqqq: 1\nmodels: [{model: a}]", "merge_method: linear\nmodels: [{model: a, qqq: 1}]",
		"merge_method: linear\nslices: [{qqq: 1, sources: [{model: a, layer_range: [0, 1]}]}]", "merge_method: linear\nmodules: {default: {qqq: 1, models: [{model: a}]}}",
		"merge_method: linear\nmodels: [{model: a}]\ntokenizer: {source: base, qqq: 1}", "merge_method: linear\nmodels: [{model: a}]\ntokenizer: {tokens: {x: {qqq: 1}}}",
		"merge_method: linear\nmodels: [{model: a}]\nparameters: {qqq: 1}", "merge_method: linear\nmodels: [{model: {path: a, qqq: 1}}]",
		"merge_method: linear\nmodels: [{model: a, parameters: {weight: {value: 1, qqq: 1}}}]",
	} {
		if _, err := checkpoint.ParseRecipe("r.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), "qqq") {
			t.Errorf("%d: the error is %v", i, fmt.Sprint(err))
		}
	}
}

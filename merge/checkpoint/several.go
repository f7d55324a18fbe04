package checkpoint

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/strict"
)

// Order puts the recipes of one file into an order in which each comes after those whose output it merges: a model that has the name of a recipe
// is that recipe's output, in the folder of that name in dir. The last one, which makes the output of all, is the one without a name, or else the
// one that no other uses.
func Order(recipes []Recipe, dir string) ([]Recipe, error) {
	index := map[string]int{}
	for i, r := range recipes {
		if r.Name == "" {
			continue
		}
		if r.Name == "." || r.Name == ".." || strings.ContainsAny(r.Name, `/\`) {
			return nil, &fault.Input{Field: "name", Err: fmt.Errorf("%q is not the name of a folder", strict.Short(r.Name)), Fix: "use letters and digits"}
		}
		index[r.Name] = i
	}

	uses, used := make([][]int, len(recipes)), make([]bool, len(recipes))
	for i := range recipes {
		recipes[i].eachModel(func(ref Ref) Ref {
			name, _, _ := strings.Cut(string(ref), "+")
			k, ok := index[name]
			if !ok {
				return ref
			}
			uses[i], used[k] = append(uses[i], k), true
			return Ref(filepath.Join(dir, name) + strings.TrimPrefix(string(ref), name))
		})
	}
	last, err := lastOf(recipes, used)
	if err != nil {
		return nil, err
	}

	o := ordering{recipes: recipes, uses: uses, state: make([]int, len(recipes))}
	for i := range recipes {
		if i != last {
			err = errors.Join(err, o.visit(i))
		}
	}
	if err = errors.Join(err, o.visit(last)); err != nil {
		return nil, err
	}
	return o.done, nil
}

// lastOf is the recipe that makes the output.
func lastOf(recipes []Recipe, used []bool) (int, error) {
	if i := slices.IndexFunc(recipes, func(r Recipe) bool { return r.Name == "" }); i >= 0 {
		return i, nil
	}
	var free []string
	last := 0
	for i, r := range recipes {
		if !used[i] {
			free, last = append(free, strict.Short(r.Name)), i
		}
	}
	if len(free) != 1 {
		return 0, &fault.Input{Field: "name", Err: fmt.Errorf("all %d recipes have names, and %d of them are used by no other", len(recipes), len(free)), Fix: "leave out the name of the recipe that makes the output"}
	}
	return last, nil
}

// ordering goes through recipes, what they use first.
type ordering struct {
	recipes []Recipe
	uses    [][]int
	state   []int // of each: 0, begun, or ended
	done    []Recipe
}

const begun, ended = 1, 2

func (o *ordering) visit(i int) error {
	switch o.state[i] {
	case ended:
		return nil
	case begun:
		return &fault.Input{Field: "name", Err: fmt.Errorf("%s is merged from its own output", strict.Short(o.recipes[i].Name)), Fix: "take it out of its own models"}
	}
	o.state[i] = begun
	for _, k := range o.uses[i] {
		if err := o.visit(k); err != nil {
			return err
		}
	}
	o.state[i] = ended
	o.done = append(o.done, o.recipes[i])
	return nil
}

// eachModel replaces the models that a recipe names.
func (r *Recipe) eachModel(replace func(Ref) Ref) {
	change := func(ref *Ref) {
		if *ref != "" {
			*ref = replace(*ref)
		}
	}
	sources := func(list []Source) {
		for i := range list {
			change(&list[i].Model)
		}
	}
	cut := func(list []Slice) {
		for i := range list {
			change(&list[i].BaseModel)
			sources(list[i].Sources)
		}
	}

	change(&r.BaseModel)
	change(&r.TokenizerSource)
	sources(r.Models)
	cut(r.Slices)
	for _, m := range r.Modules {
		sources(m.Models)
		cut(m.Slices)
	}
	if r.Tokenizer != nil {
		change(&r.Tokenizer.Source)
		for _, t := range r.Tokenizer.Tokens {
			if t.Source != nil {
				change(&t.Source.Model)
			}
		}
	}
}

// Done reports whether the output of the plan is there already, made by the same recipe of the same files, and whole: every file is read.
func (p *Plan) Done(ctx context.Context) (bool, error) {
	m, err := readManifest(filepath.Join(p.Out, ManifestFile))
	if err != nil { // there is none, or it is another's: a merge says so
		return false, nil
	}
	recipe, err := json.Marshal(p.Recipe)
	if err != nil {
		return false, err
	}
	var compact bytes.Buffer
	if json.Compact(&compact, m.Recipe) != nil || !bytes.Equal(compact.Bytes(), recipe) || m.Seed != p.Seed || !maps.Equal(m.Versions, p.options.Versions) {
		return false, nil
	}
	sums := map[string]InputFile{}
	for _, in := range m.Inputs {
		sums[in.File] = in
	}

	buffer := make([]byte, copyBuffer)
	for _, in := range p.Inputs {
		for _, file := range in.files {
			sum, ok := sums[file]
			if !ok {
				return false, nil
			}
			if status, err := compare(ctx, file, sum.Bytes, sum.SHA256, buffer, true); err != nil || status != "ok" {
				return false, err
			}
		}
	}
	for _, out := range m.Outputs {
		if status, err := compare(ctx, filepath.Join(p.Out, out.File), out.Bytes, out.SHA256, buffer, false); err != nil || status != "ok" {
			return false, err
		}
	}
	return true, nil
}

// Missing returns an error about the first model of a recipe that is neither there nor among made, which other recipes make first.
func (r *Recipe) Missing(dir string, made []string) (err error) {
	r.eachModel(func(ref Ref) Ref {
		p := Plan{options: Options{RecipeDir: dir}}
		path := string(p.existing(ref))
		if err != nil || path == "union" || path == "base" || slices.Contains(made, filepath.Clean(path)) {
			return ref
		}
		if model, behind, ok := strings.Cut(path, "+"); ok && slices.Contains(made, filepath.Clean(model)) {
			path = behind // the model comes later, its adapters are there
		}
		_, _, err = placed(path, dir)
		return ref
	})
	return err
}

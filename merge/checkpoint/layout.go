package checkpoint

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/merge"
)

// layout is one slice, or all of a recipe with models.
type layout struct {
	sources []Source
	inputs  []*Input
	base    int   // among the sources: what the others are differences from; -1 = none
	first   int   // among the sources: whose order, config and tokenizer count
	models  []int // among the sources: what the method sees as models
	scope   scope
}

// reference is the input whose order the output takes.
func (l layout) reference() *Input { return l.inputs[l.first] }

// layout opens the sources and finds what the method sees of them. at is where the recipe has them.
func (p *Plan) layout(at string, sources []Source, base Ref, outer []Parameters) (layout, error) {
	l := layout{sources: slices.Clone(sources), base: -1, scope: scope{outer: outer, only: -1}}
	c := p.Method
	if base == "" && c.Base == merge.NeedsBase {
		return l, &fault.Input{Field: "base_model", Err: fmt.Errorf("it is missing; %s merges differences from a base", c.Name), Fix: "name the model that the others were fine-tuned from"}
	}
	if base == "" && c.First {
		base = l.sources[0].Model
		p.note("no base_model is given; %s, the first of the models, is the first end", base)
	}
	where := slices.IndexFunc(l.sources, func(s Source) bool { return s.Model == base })
	switch {
	case base == "":
	case c.Base != merge.NoBase || c.First:
		if l.base = where; l.base < 0 { // recipes need not list it
			l.base = len(l.sources)
			l.sources = append(l.sources, Source{Model: base, LayerRange: l.sources[0].LayerRange})
		}
		l.first = l.base
	case where >= 0:
		l.first = where
	case at == "models" && p.counts(outer): // a model like the others
		l.first = len(l.sources)
		l.sources = append(l.sources, Source{Model: base})
		p.note("base_model %s is not among the models: it is counted as one more of them", base)
	default:
		p.note("base_model %s is not among the models, and %s takes no base: only its config and tokenizer are used", base, c.Name)
	}

	if err := p.openSources(&l); err != nil {
		return l, err
	}
	if c.First && l.base > 0 { // the base first, then the others
		slices.SortStableFunc(l.models, func(a, b int) int {
			return cmp.Compare(map[bool]int{true: 0, false: 1}[a == l.base], map[bool]int{true: 0, false: 1}[b == l.base])
		})
	}
	if c.Models != 0 && len(l.models) != c.Models {
		beside := ""
		if l.base >= 0 && !c.First {
			beside = " beside the base"
		}
		return l, &fault.Input{Field: "models", Err: fmt.Errorf("%s merges %d%s, the recipe gives %d: %v", c.Name, c.Models, beside, len(l.models), refs(l))}
	}
	if c.Base == merge.NeedsBase && len(l.models) == 0 {
		return l, &fault.Input{Field: "models", Err: errors.New("the base is the only model"), Fix: "give at least one model that was fine-tuned from it"}
	}
	if len(l.models) == 1 {
		l.scope.only = l.models[0]
	}
	return l, p.checkSources(at, l)
}

// counts reports whether a method that takes no base counts one that is not listed as a model: where it is weighed by what the recipe says for all, or
// not at all.
func (p *Plan) counts(outer []Parameters) bool {
	if p.Method.Models != 0 {
		return false
	}
	if !p.Method.Has("weight") {
		return true
	}
	return slices.ContainsFunc(outer, func(of Parameters) bool { _, ok := of["weight"]; return ok })
}

// openSources opens the models of a layout.
func (p *Plan) openSources(l *layout) error {
	for i, s := range l.sources {
		in, err := p.input(s.Model)
		if err != nil {
			return err
		}
		if err := in.checkLayers(s); err != nil {
			return err
		}
		l.inputs = append(l.inputs, in)
		l.scope.sources = append(l.scope.sources, s.Parameters)
		if i != l.base || p.Method.First {
			l.models = append(l.models, i)
		}
	}
	return nil
}

// checkSources refuses parameters under one of several sources that hold for whole tensors: none of them would count more than another. What
// stands under the base, of which nothing is weighed, is said.
func (p *Plan) checkSources(at string, l layout) error {
	perModel := map[string]bool{}
	t := reflect.TypeOf(p.Method.New())
	for i := range t.NumField() {
		perModel[t.Field(i).Tag.Get("json")] = t.Field(i).Type.Kind() == reflect.Slice
	}
	for i, s := range l.sources {
		for _, name := range slices.Sorted(maps.Keys(s.Parameters)) {
			isPerModel, known := perModel[name]
			switch {
			case !known || i == l.scope.only: // unused notes what is not known
			case !isPerModel:
				return &fault.Input{
					Field: fmt.Sprintf("%s[%d].parameters.%s", at, i, name), Err: fmt.Errorf("it holds for tensors as a whole, and %s merges %d models", p.Method.Name, len(l.models)),
					Fix: "give it under parameters of the slice or of the recipe",
				}
			case i == l.base && !p.Method.First:
				p.note("parameter %s of %s is not used: it is the base, and %s weighs differences from it", name, s.Model, p.Method.Name)
			}
		}
	}
	return nil
}

func refs(l layout) (out []string) {
	for _, i := range l.models {
		out = append(out, l.inputs[i].Model)
	}
	return out
}

// choose finds the models whose order, config and tokenizer the output takes.
func (p *Plan) choose(l layout) error {
	p.reference = l.reference()
	p.donor = p.reference
	if base := p.Recipe.BaseModel; base != "" {
		in, err := p.input(base)
		if err != nil {
			return err
		}
		p.donor = in
	}
	p.copied = p.donor.dir()
	return nil
}

// unused notes parameters that the method has not.
func (p *Plan) unused(parts []layout) {
	names := p.Method.Parameters()
	for _, l := range parts {
		for _, list := range [][]Parameters{l.scope.sources, l.scope.outer} {
			for _, parameters := range list {
				for _, name := range slices.Sorted(maps.Keys(parameters)) {
					switch {
					case slices.Contains(names, name):
					case slices.Contains(ignored, name):
						p.note("parameter %s changes nothing: signs are compared without masks that take memory", name)
					default:
						p.note("parameter %s is not used: %s has none", name, p.Method.Name)
					}
				}
			}
		}
	}
}

package lab

import (
	"reflect"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/augment"
	"github.com/ballast-ml/ballast/data/sample"
	"github.com/ballast-ml/ballast/internal/choice"
	"github.com/ballast-ml/ballast/nn/attention"
	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/mixer"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/nn/residual"
	"github.com/ballast-ml/ballast/train"
	"github.com/ballast-ml/ballast/train/objective"
	"github.com/ballast-ml/ballast/zoo"
)

// Key is one setting that a recipe may have, the options of every choice among them.
type Key struct {
	Path   string   // with dots: network.hidden
	Kind   string   // of its value, as in Types
	Of     string   // the choice that has it, as key=name: network=mlp; "" = every recipe has it
	List   string   // the list in whose items it stands: rules; "" = it stands in none
	Values []string // what can be chosen; nil = anything of the kind
}

// Keys are all settings of a recipe, in its order.
func Keys() []Key {
	w := keyWalk{}
	w.fields("", "", "", reflect.TypeFor[train.Recipe](), nil)
	return w.keys
}

// KeysOf are all settings of another struct, by its json tags.
func KeysOf(v any) []Key {
	w := keyWalk{}
	w.fields("", "", "", reflect.TypeOf(v), nil)
	return w.keys
}

// words are the values of settings that are texts of which a few are known. A test holds them against Validate.
var words = map[string][]string{
	"part": {"train", "all"}, "test": {"test", "train", "all"}, "preprocess": {"standardize", "none"}, "schedule.name": {"constant", "step", "cosine", "cosine-7-16"},
	"schedule.large_batch.rule": {"none", "sqrt", "linear"}, "average.statistics": {"average", "copy", "own"},
	"init.norms": {"fixed", "oneone", "uniform", "positivenegative"}, "init.kernels": {"binary", "uniform", "orthogonal"},
}

// family is what can be chosen by name where a recipe has a value of one type.
type family struct {
	names []string
	types []reflect.Type
}

func familyOf[T any](kinds []choice.Kind[T]) family {
	var f family
	for _, k := range kinds {
		f.names, f.types = append(f.names, k.Name), append(f.types, reflect.TypeOf(k.New()))
	}
	return f
}

// families is every family, by the type of the field that holds a choice.
func families() map[reflect.Type]family {
	return map[reflect.Type]family{
		reflect.TypeFor[zoo.Choice]():                familyOf(zoo.All()),
		reflect.TypeFor[norm.Choice]():               familyOf(norm.All()),
		reflect.TypeFor[optim.Choice]():              familyOf(optim.All()),
		reflect.TypeFor[optim.RuleChoice]():          familyOf(optim.Rules()),
		reflect.TypeFor[optim.WatcherChoice]():       familyOf(optim.Watchers()),
		reflect.TypeFor[objective.Choice]():          familyOf(objective.All()),
		reflect.TypeFor[objective.BetweenChoice]():   familyOf(objective.Betweens()),
		reflect.TypeFor[loss.Choice]():               familyOf(loss.All()),
		reflect.TypeFor[loss.SetChoice]():            familyOf(loss.AllSets()),
		reflect.TypeFor[sample.Choice]():             familyOf(sample.All()),
		reflect.TypeFor[augment.Choice]():            familyOf(augment.All()),
		reflect.TypeFor[augment.MixingChoice]():      familyOf(augment.Mixings()),
		reflect.TypeFor[data.Step]():                 familyOf(data.Preparations()),
		reflect.TypeFor[residual.Choice]():           familyOf(residual.All()),
		reflect.TypeFor[mixer.Choice]():              familyOf(mixer.All()),
		reflect.TypeFor[attention.Choice]():          familyOf(attention.All()),
		reflect.TypeFor[attention.PositionsChoice](): familyOf(attention.AllPositions()),
	}
}

// keyWalk collects keys.
type keyWalk struct {
	keys     []Key
	families map[reflect.Type]family
}

// fields adds the fields of a struct that stands at path. within are the families that it is an option of: a network made of networks is
// not gone into.
func (w *keyWalk) fields(path, of, list string, t reflect.Type, within []reflect.Type) {
	if w.families == nil {
		w.families = families()
	}
	if t.Kind() != reflect.Struct {
		return
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || !f.IsExported() {
			continue
		}
		if f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct {
			w.fields(path, of, list, f.Type, within)
			continue
		}
		if name == "" {
			name = f.Name
		}
		w.add(strings.TrimPrefix(path+"."+name, "."), of, list, f.Type, within)
	}
}

// add adds one field and what stands below it.
func (w *keyWalk) add(path, of, list string, t reflect.Type, within []reflect.Type) {
	key := Key{Path: path, Kind: kindOfType(t), Of: of, List: list, Values: words[path]}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	element := t
	for element.Kind() == reflect.Slice && element.Elem().Kind() != reflect.Uint8 {
		element = element.Elem()
	}
	inside := list
	if element != t && list == "" {
		inside = path
	}

	f, chosen := w.families[element]
	switch {
	case chosen:
		key.Values = f.names
	case element == reflect.TypeFor[linear.Activation]():
		key.Values = linear.Activations()
	case t.Kind() == reflect.Bool:
		key.Values = []string{"true", "false"}
	case t == reflect.TypeFor[data.Choice]():
		key.Values = data.Names()
	}
	w.keys = append(w.keys, key)

	switch {
	case chosen && !slices.Contains(within, element):
		for i, kind := range f.types {
			w.fields(path, path+"="+f.names[i], inside, kind, append(slices.Clone(within), element))
		}
	case !chosen && element.Kind() == reflect.Struct && key.Kind != "any":
		w.fields(path, of, inside, element, within)
	}
}

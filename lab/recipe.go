package lab

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/own"
	"github.com/ballast-ml/ballast/train"
)

//go:embed norms.yaml
var normsRecipe []byte

// NormsRecipe is the YAML of the recipe that compares norms fairly.
func NormsRecipe() []byte { return normsRecipe }

// Recipe makes a training recipe: the defaults, what settings say, and the overrides on top (see Apply). The result is
// checked.
func Recipe(settings map[string]any, overrides ...string) (train.Recipe, error) {
	return recipe(nil, settings, overrides)
}

// RecipeOwn is Recipe where names may be a program's own, see package own.
func RecipeOwn(mine own.Registry, settings map[string]any, overrides ...string) (train.Recipe, error) {
	return recipe(mine, settings, overrides)
}

func recipe(mine own.Registry, settings map[string]any, overrides []string) (train.Recipe, error) {
	r := train.NewRecipe()
	if err := checkKeys(settings, overrides); err != nil {
		return r, err
	}
	if err := fromFile(settings, &r, mine); err != nil {
		return r, err
	}
	base, err := ConfigOf(r)
	if err != nil { // JSON has no numbers that are not finite, and no recipe either
		return r, errors.Join(r.Validate(), err)
	}
	config, err := Apply(base, TypesOf(r), overrides)
	if err != nil {
		return r, instead(err, overrides, base)
	}
	if config, err = config.Resolve(); err != nil {
		return r, err
	}
	// A choice given anew brings its own defaults, so decoding starts from a new recipe.
	r = train.NewRecipe()
	if err := strict.DecodeMapOwn(config, &r, mine); err != nil {
		if len(mine) > 0 {
			return r, err // what is looked for below knows Ballast's names alone
		}
		paths, values := given(overrides)
		if better := checkNames(paths, config); better != nil {
			return r, better
		}
		return r, elsewhere(err, values)
	}
	return r, r.Validate()
}

// fromFile puts settings over the defaults.
func fromFile(settings map[string]any, r *train.Recipe, mine own.Registry) error {
	defaults, err := ConfigOf(*r)
	if err != nil {
		return err
	}
	if err = strict.DecodeMapOwn(settings, r, mine); err == nil || len(mine) > 0 {
		return err
	}
	values := map[string]string{}
	for key, value := range settings {
		defaults[key] = value
		values[key], _ = strict.Plain(value).(string)
	}
	if better := checkNames(pathsOf("", settings), defaults); better != nil {
		return better
	}
	return elsewhere(err, values)
}

// instead is an error of an override, with the key of the whole recipe that was meant in the place of those beside it.
func instead(err error, overrides []string, now Config) error {
	path, ok := unknownKeyIn(err)
	if !ok {
		return err
	}
	better := unknownIn(path, now)
	if better == nil {
		return err
	}
	for _, o := range overrides {
		if key, _, _ := strings.Cut(strings.TrimLeft(o, "+~"), "="); key == path || strings.HasPrefix(key, path+".") {
			return fmt.Errorf("%s: %w", strict.Short(o), better)
		}
	}
	return err
}

// given are the keys of overrides, and their values as they stand.
func given(overrides []string) (paths []string, values map[string]string) {
	values = map[string]string{}
	for _, o := range overrides {
		path, value, _ := strings.Cut(strings.TrimLeft(o, "+~"), "=")
		paths = append(paths, path)
		values[path] = value
	}
	return paths, values
}

// checkKeys refuses keys that have moved.
func checkKeys(settings map[string]any, overrides []string) error {
	if err := train.CheckKeys(settings); err != nil {
		return err
	}
	for _, o := range overrides {
		path, _, _ := strings.Cut(strings.TrimLeft(o, "+~"), "=")
		if err := train.CheckKey(path); err != nil {
			return err
		}
	}
	return nil
}

// RunDir is the folder of a recipe's run where none is given: runs/NAME. A name that leads out of runs, or is runs itself, is an
// error.
func RunDir(name string) (string, error) {
	local := filepath.FromSlash(name)
	const most = 200 // bytes of a name; file systems take 255
	if len(name) > most || !filepath.IsLocal(local) || filepath.Clean(local) == "." || strings.ContainsRune(name, 0) {
		return "", fmt.Errorf("recipe: name is %q, which is no folder within runs; use another name, or say with --out where the run goes", strict.Short(name))
	}
	return filepath.Join("runs", local), nil
}

// ConfigOf is the settings of a value, by its JSON.
func ConfigOf(v any) (Config, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	var m map[string]any
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.UseNumber()
	if err := d.Decode(&m); err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	return clone(m).(map[string]any), nil
}

// TypesOf is the kinds of a struct's fields, by their json tags. A field that decodes itself takes anything.
func TypesOf(v any) Types {
	types := Types{}
	collectTypes("", reflect.TypeOf(v), types)
	return types
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

func collectTypes(path string, t reflect.Type, types Types) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || !f.IsExported() {
			continue
		}
		if f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct {
			collectTypes(path, f.Type, types)
			continue
		}
		if name == "" {
			name = f.Name
		}
		at := strings.TrimPrefix(path+"."+name, ".")
		types[at] = kindOfType(f.Type)
		if types[at] == "mapping" && f.Type.Kind() == reflect.Struct {
			collectTypes(at, f.Type, types)
		}
	}
}

func kindOfType(t reflect.Type) string {
	if t.Implements(unmarshaler) || reflect.PointerTo(t).Implements(unmarshaler) {
		return "any"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "bool"
	case reflect.Float32, reflect.Float64:
		return "float"
	case reflect.String:
		return "string"
	case reflect.Struct, reflect.Map:
		return "mapping"
	case reflect.Slice, reflect.Array:
		return "list<" + kindOfType(t.Elem()) + ">"
	case reflect.Pointer:
		return kindOfType(t.Elem()) + " or null"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "int"
	}
	return "any"
}

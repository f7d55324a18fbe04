package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/merge"
)

// Recipe says what is merged and how, in the words that users of other tools know. Exactly one of Models, Slices and Modules is given.
type Recipe struct {
	Method          string            `json:"merge_method"`
	BaseModel       Ref               `json:"base_model,omitempty"`
	Models          []Source          `json:"models,omitempty"`
	Slices          []Slice           `json:"slices,omitempty"`
	Modules         map[string]Module `json:"modules,omitempty"` // one module, whose models or slices count
	Parameters      Parameters        `json:"parameters,omitempty"`
	DType           string            `json:"dtype,omitempty"`     // type of the output unless out_dtype says another; sums are always float32
	OutDType        string            `json:"out_dtype,omitempty"` // float32, float16, bfloat16
	TokenizerSource Ref               `json:"tokenizer_source,omitempty"`
	Tokenizer       *Tokenizer        `json:"tokenizer,omitempty"`
	ChatTemplate    string            `json:"chat_template,omitempty"` // auto, or a template
	Name            string            `json:"name,omitempty"`          // for people
}

// Source is a model, or layers of one.
type Source struct {
	Model      Ref        `json:"model"`
	LayerRange []int      `json:"layer_range,omitempty"` // [first, end), of slices
	Parameters Parameters `json:"parameters,omitempty"`
}

// Slice is a stretch of the output's layers; all its sources have equally many.
type Slice struct {
	Sources    []Source   `json:"sources"`
	Parameters Parameters `json:"parameters,omitempty"`
}

// Module is a part of a model.
type Module struct {
	Models     []Source   `json:"models,omitempty"`
	Slices     []Slice    `json:"slices,omitempty"`
	Parameters Parameters `json:"parameters,omitempty"`
}

// Tokenizer says which vocabulary the output has.
type Tokenizer struct {
	Source          Ref                        `json:"source"`                       // union, base, or a model
	Tokens          map[string]json.RawMessage `json:"tokens,omitempty"`             // not supported
	PadToMultipleOf int                        `json:"pad_to_multiple_of,omitempty"` // rows of embeddings; 0 = as many as tokens
}

// Ref names a model: a file or a folder.
type Ref string

// UnmarshalJSON reads a path, or {model: {path: ...}} and {path: ...}.
func (r *Ref) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(data, []byte("{")) {
		var long struct {
			Model Ref `json:"model"`
			Path  Ref `json:"path"`
		}
		if err := strict.Decode(data, &long); err != nil {
			return err
		}
		*r = long.Model + long.Path
		return nil
	}
	if bytes.Equal(data, []byte("null")) {
		return nil
	}
	text := ""
	if err := strict.Decode(data, &text); err != nil {
		return err
	}
	*r = Ref(text)
	return nil
}

// Parameters are values by their names.
type Parameters map[string]Value

// Value is a number, true, false or a word for all tensors; a list of numbers, a Gradient over the layers; or a list of {filter, value}, of
// which the first counts whose filter is a part of the tensor's name, or "*", or missing.
type Value struct {
	scalar   any
	gradient Gradient
	filters  []filtered
}

type filtered struct {
	Filter string `json:"filter,omitempty"`
	Value  *Value `json:"value"`
}

// Number is a value that is a number.
func Number(v float64) Value { return Value{scalar: v} }

// UnmarshalJSON reads any of the forms.
func (v *Value) UnmarshalJSON(data []byte) error {
	if !bytes.HasPrefix(data, []byte("[")) {
		var scalar any
		if err := json.Unmarshal(data, &scalar); err != nil {
			return err
		}
		switch scalar.(type) {
		case float64, bool, string:
			v.scalar = scalar
			return nil
		}
		return fmt.Errorf("want a number, a list of numbers or a list of {filter, value}, got %s", strict.Short(string(data)))
	}
	var list []json.RawMessage
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	if len(list) == 0 {
		return errors.New("the list is empty; give a number, or numbers from the first layer to the last")
	}
	if bytes.HasPrefix(list[0], []byte("{")) {
		return strict.Decode(data, &v.filters)
	}
	return strict.Decode(data, (*[]float64)(&v.gradient))
}

// MarshalJSON writes what was read.
func (v Value) MarshalJSON() ([]byte, error) {
	switch {
	case v.filters != nil:
		return json.Marshal(v.filters)
	case v.gradient != nil:
		return json.Marshal([]float64(v.gradient))
	}
	return json.Marshal(v.scalar)
}

// at is the value for a tensor at a position of the layers; ok is false where no filter fits.
func (v Value) at(tensor string, position float64) (value any, ok bool) {
	switch {
	case v.filters != nil:
		for _, f := range v.filters {
			if f.Value != nil && (f.Filter == "" || f.Filter == "*" || strings.Contains(tensor, f.Filter)) {
				return f.Value.at(tensor, position)
			}
		}
		return nil, false
	case v.gradient != nil:
		return v.gradient.At(position), true
	}
	return v.scalar, v.scalar != nil
}

// MaxRecipe is the most bytes of a recipe file that are read.
const MaxRecipe = strict.MaxYAML

// ParseRecipe reads a recipe in YAML. Keys that are not known are errors that name the nearest.
func ParseRecipe(file string, text []byte) (Recipe, error) {
	var r Recipe
	if err := strict.DecodeYAML(text, &r); err != nil {
		return r, &fault.Input{File: file, Err: err}
	}
	if err := r.validate(); err != nil {
		return r, &fault.Input{File: file, Err: err}
	}
	return r, nil
}

// ignored are parameters of other tools that change nothing here.
var ignored = []string{"int8_mask"}

// validate checks what needs no model.
func (r *Recipe) validate() error {
	if err := r.validateForm(); err != nil {
		return err
	}

	f := faults{}
	f.parameters("parameters", r.Parameters)
	f.sources("models", r.Models, false)
	f.slices("slices", r.Slices)
	for name, m := range r.Modules {
		at := "modules." + strict.Short(name)
		f.parameters(at+".parameters", m.Parameters)
		f.sources(at+".models", m.Models, false)
		f.slices(at+".slices", m.Slices)
	}
	return f.join()
}

// validateForm checks that the recipe says one thing: a method, models in one of three ways, one tokenizer, types.
func (r *Recipe) validateForm() error {
	if r.Method == "" {
		return errors.New("merge_method: it is missing; name a method, such as linear")
	}
	if _, err := merge.FindMethod(r.Method); err != nil {
		return err
	}

	given := 0
	for _, n := range []int{len(r.Models), len(r.Slices), len(r.Modules)} {
		if n > 0 {
			given++
		}
	}
	if given != 1 {
		return fmt.Errorf("models, slices, modules: %d of them are given; give exactly one", given)
	}
	if len(r.Modules) > 1 {
		return fmt.Errorf("modules: there are %d; models of one module can be merged: name its models or slices", len(r.Modules))
	}
	for name, m := range r.Modules {
		if (len(m.Models) > 0) == (len(m.Slices) > 0) {
			return fmt.Errorf("modules.%s: give exactly one of models and slices", name)
		}
	}

	if r.TokenizerSource != "" && r.Tokenizer != nil {
		return errors.New("tokenizer_source: tokenizer is given too; keep one of the two")
	}
	if r.Tokenizer != nil && len(r.Tokenizer.Tokens) > 0 {
		return errors.New("tokenizer.tokens: single tokens cannot be chosen yet; leave it out: a token has the base's embedding, else its only owner's, else the mean")
	}
	for _, t := range []string{r.DType, r.OutDType} {
		if _, err := outputType(t); err != nil {
			return err
		}
	}
	return nil
}

// mostFaults is how many faults of a recipe are named; others are counted.
const mostFaults = 8

// faults are what is wrong with the parts of a recipe.
type faults struct {
	errs []error
	more int
}

func (f *faults) add(format string, args ...any) {
	if len(f.errs) < mostFaults {
		f.errs = append(f.errs, fmt.Errorf(format, args...))
	} else {
		f.more++
	}
}

func (f *faults) join() error {
	if f.more > 0 {
		return errors.Join(append(f.errs, fmt.Errorf("and %d more faults", f.more))...)
	}
	return errors.Join(f.errs...)
}

func (f *faults) parameters(where string, p Parameters) {
	for _, name := range slices.Sorted(maps.Keys(p)) {
		if err := knownParameter(name); err != nil {
			f.add("%s.%w", where, err)
		}
	}
}

// sources checks models, or with ranged layers of models.
func (f *faults) sources(where string, list []Source, ranged bool) {
	for i, s := range list {
		at := fmt.Sprintf("%s[%d]", where, i)
		f.parameters(at+".parameters", s.Parameters)
		if s.Model == "" {
			f.add("%s.model: it is missing; name a file or a folder", at)
		}
		if ranged && (len(s.LayerRange) != 2 || s.LayerRange[0] < 0 || s.LayerRange[1] <= s.LayerRange[0]) {
			f.add("%s.layer_range: it is %v; give [first, end) with first below end", at, s.LayerRange)
		}
	}
}

func (f *faults) slices(where string, list []Slice) {
	for i, s := range list {
		at := fmt.Sprintf("%s[%d]", where, i)
		f.parameters(at+".parameters", s.Parameters)
		f.sources(at+".sources", s.Sources, true)
		if len(s.Sources) == 0 {
			f.add("%s.sources: it is empty; give a model", at)
			continue
		}
		first := s.Sources[0].LayerRange
		for j, source := range s.Sources {
			own := source.LayerRange
			if len(own) == 2 && len(first) == 2 && own[1]-own[0] != first[1]-first[0] {
				f.add("%s.sources[%d].layer_range: %v has another number of layers than %v; sources of a slice have equally many", at, j, own, first)
			}
		}
	}
}

// knownParameter refuses names that no method has.
func knownParameter(name string) error {
	known := slices.Clone(ignored)
	for _, c := range merge.Methods() {
		known = append(known, c.Parameters()...)
	}
	if slices.Contains(known, name) {
		return nil
	}
	if near, ok := strict.Nearest(name, known); ok {
		return fmt.Errorf("%s: unknown parameter; did you mean %q?", strict.Short(name), near)
	}
	slices.Sort(known)
	return fmt.Errorf("%s: unknown parameter; there are %s", strict.Short(name), strings.Join(slices.Compact(known), ", "))
}

// perModelDefaults are the values of parameters that a model need not have. weight has none.
var perModelDefaults = map[string]float64{"density": 1, "gamma": 0.01, "epsilon": 0.15}

// scope is where parameters of a tensor are looked up, from the narrowest: those of each source, then those of the slice, the module and
// the recipe.
type scope struct {
	sources []Parameters
	outer   []Parameters
}

// configure returns a method with its parameters for a tensor. models are the places of the models among the sources.
func (s scope) configure(c merge.Choice, models []int, tensor string, position float64) (merge.Method, error) {
	m := c.New()
	v := reflect.New(reflect.TypeOf(m)).Elem()
	v.Set(reflect.ValueOf(m))
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("json")
		if name == "-" {
			continue
		}
		if v.Field(i).Kind() == reflect.Slice {
			values := make([]float64, len(models))
			for k, source := range models {
				value, ok := lookup(append([]Parameters{s.sources[source]}, s.outer...), name, tensor, position)
				if !ok {
					fallback, has := perModelDefaults[name]
					if !has {
						return nil, fmt.Errorf("%s: model %d has none for tensor %s; give it under the model's parameters", name, k+1, tensor)
					}
					value = fallback
				}
				if err := set(reflect.ValueOf(&values[k]).Elem(), value); err != nil {
					return nil, fmt.Errorf("%s: %w", name, err)
				}
			}
			v.Field(i).Set(reflect.ValueOf(values))
			continue
		}
		if value, ok := lookup(s.outer, name, tensor, position); ok {
			if err := set(v.Field(i), value); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return v.Interface().(merge.Method), nil
}

func lookup(scopes []Parameters, name, tensor string, position float64) (any, bool) {
	for _, p := range scopes {
		if v, ok := p[name]; ok {
			if value, ok := v.at(tensor, position); ok {
				return value, true
			}
		}
	}
	return nil, false
}

// set puts a value of a recipe into a field; 0 and 1 stand for false and true.
func set(field reflect.Value, value any) error {
	if field.Kind() == reflect.Bool {
		if number, ok := value.(float64); ok {
			field.SetBool(number != 0)
			return nil
		}
	}
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return strict.Decode(text, field.Addr().Interface())
}

// outputType is the type of a recipe's word for it, "" for none and for auto.
func outputType(word string) (string, error) {
	words := map[string]string{
		"": "", "auto": "", "float32": "F32", "fp32": "F32", "f32": "F32", "float16": "F16", "fp16": "F16", "f16": "F16", "half": "F16", "bfloat16": "BF16", "bf16": "BF16",
	}
	if t, ok := words[strings.ToLower(word)]; ok {
		return t, nil
	}
	fix := "use float32, float16 or bfloat16"
	if near, ok := strict.Nearest(word, slices.Collect(maps.Keys(words))); ok {
		fix = fmt.Sprintf("did you mean %q?", near)
	}
	return "", fmt.Errorf("dtype: no type %q; %s", strict.Short(word), fix)
}

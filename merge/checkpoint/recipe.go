package checkpoint

import (
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
	DType           string            `json:"dtype,omitempty"`     // type of the output unless out_dtype says another; see Plan for what sums are
	OutDType        string            `json:"out_dtype,omitempty"` // float64, float32, float16, bfloat16
	TokenizerSource Ref               `json:"tokenizer_source,omitempty"`
	Tokenizer       *Tokenizer        `json:"tokenizer,omitempty"`
	ChatTemplate    string            `json:"chat_template,omitempty"` // auto, the name of one, or a template
	Name            string            `json:"name,omitempty"`          // of the output, for other recipes of the same file
}

// Source is a model, or layers of one.
type Source struct {
	Model      Ref        `json:"model"`
	LayerRange []int      `json:"layer_range,omitempty"` // [first, end), of slices
	Parameters Parameters `json:"parameters,omitempty"`
}

// Slice is a stretch of the output's layers; all its sources have equally many.
type Slice struct {
	Sources        []Source        `json:"sources"`
	BaseModel      Ref             `json:"base_model,omitempty"`      // in place of the recipe's
	ResidualWeight json.RawMessage `json:"residual_weight,omitempty"` // refused
	Parameters     Parameters      `json:"parameters,omitempty"`
}

// Module is a part of a model.
type Module struct {
	Models     []Source   `json:"models,omitempty"`
	Slices     []Slice    `json:"slices,omitempty"`
	Parameters Parameters `json:"parameters,omitempty"`
}

// Tokenizer says which vocabulary the output has.
type Tokenizer struct {
	Source          Ref              `json:"source"`                       // union, base, or a model
	Tokens          map[string]Token `json:"tokens,omitempty"`             // single tokens; those that no model has are added
	PadToMultipleOf int              `json:"pad_to_multiple_of,omitempty"` // rows of embeddings; 0 = as many as tokens
}

// Token says which embedding a token has in the models that lack it, or with Force in all of them.
type Token struct {
	Source *TokenSource `json:"source,omitempty"` // nil = as without an entry
	Force  bool         `json:"force,omitempty"`
}

// TokenSource is a model whose embedding of the same token is taken, or of another token, or zeros.
type TokenSource struct {
	Kind    string // "" = the same token of Model, TokenOfModel, or ZeroToken
	Model   Ref
	TokenID *int   // of TokenOfModel: its row,
	Token   string // or its text
}

// Kinds of TokenSource.
const (
	TokenOfModel = "model_token"
	ZeroToken    = "zero"
)

// UnmarshalJSON reads a model, {kind: zero} or {kind: model_token, model: ..., token_id or token: ...}.
func (s *TokenSource) UnmarshalJSON(data []byte) error {
	var kind struct {
		Kind *string `json:"kind"`
	}
	if json.Unmarshal(data, &kind) != nil || kind.Kind == nil {
		return s.Model.UnmarshalJSON(data)
	}
	var long tokenSource
	if err := strict.Decode(data, &long); err != nil {
		return err
	}
	*s = TokenSource(long)
	switch {
	case s.Kind == ZeroToken && s.Model == "" && s.TokenID == nil && s.Token == "":
	case s.Kind == ZeroToken:
		return errors.New("kind: zero takes no model and no token")
	case s.Kind != TokenOfModel:
		return fmt.Errorf("kind: no kind %q; use %s or %s", strict.Short(s.Kind), TokenOfModel, ZeroToken)
	case s.Model == "" || (s.TokenID == nil) == (s.Token == ""):
		return errors.New("kind: model_token takes a model, and either token_id or token")
	}
	return nil
}

// MarshalJSON writes what was read.
func (s TokenSource) MarshalJSON() ([]byte, error) {
	if s.Kind == "" {
		return json.Marshal(s.Model)
	}
	return json.Marshal(tokenSource(s))
}

// tokenSource is the long form of TokenSource.
type tokenSource struct {
	Kind    string `json:"kind"`
	Model   Ref    `json:"model,omitempty"`
	TokenID *int   `json:"token_id,omitempty"`
	Token   string `json:"token,omitempty"`
}

// MaxRecipe is the most bytes of a recipe file that are read.
const MaxRecipe = strict.MaxYAML

// ParseRecipe reads a file of one recipe in YAML. Keys that are not known are errors that name the nearest, unless all that they are for is an
// anchor that another key uses.
func ParseRecipe(file string, text []byte) (Recipe, error) {
	list, err := ParseRecipes(file, text)
	if err != nil {
		return Recipe{}, err
	}
	if len(list) > 1 {
		err = &fault.Input{File: file, Err: fmt.Errorf("it has %d documents, each a recipe", len(list)), Fix: "give one"}
	}
	return list[0], err
}

// ParseRecipes reads a file of recipes, one a document. Names are given once at most, and one recipe at most has none.
func ParseRecipes(file string, text []byte) ([]Recipe, error) {
	docs, err := strict.Documents(text)
	if err != nil {
		return nil, &fault.Input{File: file, Err: err}
	}
	if len(docs) == 0 {
		docs = []strict.Document{{Values: map[string]any{}}}
	}
	list := make([]Recipe, len(docs))
	seen := map[string]bool{}
	for i, doc := range docs {
		where := ""
		if len(docs) > 1 {
			where = fmt.Sprintf("document %d", i+1)
		}
		forget(doc)
		if err := strict.DecodeMap(doc.Values, &list[i]); err != nil {
			return nil, &fault.Input{File: file, Field: where, Err: err}
		}
		if err := list[i].validate(); err != nil {
			return nil, &fault.Input{File: file, Field: where, Err: err}
		}
		if name := list[i].Name; seen[name] {
			err := fmt.Errorf("another recipe has the name %q too", strict.Short(name))
			if name == "" {
				err = errors.New("another recipe has no name either; the one without is the output, the others need names")
			}
			return nil, &fault.Input{File: file, Field: where + ": name", Err: err}
		}
		seen[list[i].Name] = true
	}
	return list, nil
}

// optionalKeys may be there without a value, as if they were not.
var optionalKeys = []string{
	"base_model", "models", "slices", "modules", "parameters", "dtype", "out_dtype", "tokenizer_source", "tokenizer", "chat_template", "name",
	"residual_weight", "tokens", "source", "pad_to_multiple_of",
}

// forget takes out of a document what says nothing: keys without a value, and keys of which the recipe knows nothing and whose anchors other
// keys use.
func forget(doc strict.Document) {
	known := keysOf(reflect.TypeFor[Recipe]())
	for _, key := range doc.Anchors {
		if _, near := strict.Nearest(key, known); !near && !slices.Contains(known, key) {
			delete(doc.Values, key)
		}
	}
	forgetNulls(doc.Values)
}

func forgetNulls(value any) {
	switch v := value.(type) {
	case []any:
		for _, item := range v {
			forgetNulls(item)
		}
	case map[string]any:
		for key, item := range v {
			if item == nil && slices.Contains(optionalKeys, key) {
				delete(v, key)
			} else if key != "parameters" {
				forgetNulls(item)
			}
		}
	}
}

// keysOf are the keys of a struct.
func keysOf(t reflect.Type) (keys []string) {
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		keys = append(keys, name)
	}
	return keys
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
	for _, t := range []string{r.DType, r.OutDType} {
		if _, err := outputType(t); err != nil {
			return err
		}
	}
	return checkTemplate(r.ChatTemplate)
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
		if s.ResidualWeight != nil {
			f.add("%s.residual_weight: no method uses it, here or where the key comes from; leave it out", at)
		}
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

// outputType is the type of a recipe's word for it, "" for none and for auto.
func outputType(word string) (string, error) {
	words := map[string]string{
		"": "", "auto": "", "float64": "F64", "fp64": "F64", "f64": "F64", "double": "F64", "float32": "F32", "fp32": "F32", "f32": "F32", "float16": "F16", "fp16": "F16", "f16": "F16", "half": "F16", "bfloat16": "BF16", "bf16": "BF16",
	}
	if t, ok := words[strings.TrimPrefix(strings.ToLower(word), "torch.")]; ok {
		return t, nil
	}
	fix := "use float64, float32, float16 or bfloat16"
	if near, ok := strict.Nearest(word, slices.Collect(maps.Keys(words))); ok {
		fix = fmt.Sprintf("did you mean %q?", near)
	}
	return "", fmt.Errorf("dtype: no type %q; %s", strict.Short(word), fix)
}

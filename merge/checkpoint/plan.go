package checkpoint

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/merge"
)

// Options are how a recipe is carried out. Zero values of Memory, ShardSize, Threads and SyncBytes mean the defaults.
type Options struct {
	Out          string            // a folder, or a file that ends in .safetensors
	RecipeDir    string            // where relative paths of the recipe may count from
	Memory       int64             // bytes; 1 GiB
	ShardSize    int64             // bytes of tensors in a file of a folder; 5e9
	DType        string            // in place of the recipe's out_dtype
	Threads      int               // cores that work; all
	Seed         uint64            // of what is random
	Overwrite    bool              // an output that is there is replaced once the new one is whole
	AllowMissing string            // "", or union or intersection: tensors that not all models have are merged of those that do, or left out
	Saturate     bool              // values beyond the output type become its largest; else they are an error
	SyncBytes    int64             // written between two points to which a merge that was killed goes back; 64 MiB
	Versions     map[string]string // for the manifest
}

// Defaults of Options.
const (
	DefaultMemory    = 1 << 30
	DefaultShardSize = 5_000_000_000
	defaultSync      = 64 << 20
)

// Values of Options.AllowMissing.
const (
	Union        = "union"
	Intersection = "intersection"
)

func (o Options) withDefaults() (Options, error) {
	o.Memory = cmp.Or(o.Memory, DefaultMemory)
	o.ShardSize = cmp.Or(o.ShardSize, DefaultShardSize)
	o.Threads = cmp.Or(o.Threads, runtime.GOMAXPROCS(0))
	o.SyncBytes = cmp.Or(o.SyncBytes, defaultSync)
	switch {
	case o.Out == "":
		return o, errors.New("merge: no output is named")
	case o.Memory < 0 || o.ShardSize < 0 || o.Threads < 0 || o.SyncBytes < 0:
		return o, fmt.Errorf("merge: memory is %d, shard size %d, threads %d; give more than 0", o.Memory, o.ShardSize, o.Threads)
	case o.AllowMissing != "" && o.AllowMissing != Union && o.AllowMissing != Intersection:
		return o, fmt.Errorf("merge: allow missing is %q; use union or intersection", o.AllowMissing)
	}
	return o, nil
}

// Plan is a merge that was checked against its models. Close gives the models back.
type Plan struct {
	Recipe  Recipe       `json:"recipe"`
	Method  merge.Choice `json:"method"`
	Seed    uint64       `json:"seed"`
	Inputs  []*Input     `json:"inputs"`
	Out     string       `json:"out"`
	Files   []Output     `json:"files"`
	Tensors int          `json:"tensors"`
	Read    int64        `json:"read_bytes"`  // of one pass over the inputs
	Write   int64        `json:"write_bytes"` // of the output
	Memory  int64        `json:"memory_bytes"`
	Notes   []string     `json:"notes"`

	options Options
	tensors []*planned
	budget  budget

	reference *Input // whose order, config and tokenizer the output takes
	copied    string // its folder
	layers    int    // of the output, if slices made another number
	vocab     *vocabulary
	untied    bool // the output layer was tied in the model whose config is copied, and is not in the output
}

// Output is a file of tensors.
type Output struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`

	header []byte
}

// mismatches is everything wrong between models, at most so many in words.
const mostMismatches = 20

// NewPlan checks a recipe against its models: every mismatch is named, at most 20 of them.
func NewPlan(r Recipe, o Options) (*Plan, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := r.validate(); err != nil {
		return nil, &fault.Input{Err: err}
	}
	choice, err := merge.FindMethod(r.Method)
	if err != nil {
		return nil, err
	}
	p := &Plan{Recipe: r, Method: choice, Seed: o.Seed, Out: o.Out, options: o, Notes: []string{}}
	if err := p.build(); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// Close closes the models.
func (p *Plan) Close() error {
	var errs []error
	for _, in := range p.Inputs {
		errs = append(errs, in.file.Close())
	}
	return errors.Join(errs...)
}

func (p *Plan) note(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(p.Notes, text) {
		p.Notes = append(p.Notes, text)
	}
}

// input opens a model once.
func (p *Plan) input(ref Ref) (*Input, error) {
	for _, in := range p.Inputs {
		if in.Model == string(ref) {
			return in, nil
		}
	}
	in, err := openInput(ref, p.options.RecipeDir)
	if err != nil {
		return nil, err
	}
	p.Inputs = append(p.Inputs, in)
	return in, nil
}

// layout is one slice, or all of a recipe with models.
type layout struct {
	sources []Source
	inputs  []*Input
	base    int   // among the sources; -1 = none
	models  []int // among the sources: what the method sees as models
	scope   scope
}

func (p *Plan) build() error {
	models, cut, module := p.Recipe.Models, p.Recipe.Slices, Parameters(nil)
	for _, m := range p.Recipe.Modules {
		models, cut, module = m.Models, m.Slices, m.Parameters
	}

	outer := []Parameters{module, p.Recipe.Parameters}
	if err := p.oneStyle(models, cut); err != nil {
		return err
	}
	var parts []layout
	if len(models) > 0 {
		l, err := p.layout(models, outer)
		if err != nil {
			return err
		}
		parts = append(parts, l)
	}

	for _, s := range cut {
		l, err := p.layout(s.Sources, append([]Parameters{s.Parameters}, outer...))
		if err != nil {
			return err
		}
		parts = append(parts, l)
	}

	p.unused(parts)
	if err := p.refuseInputAsOutput(); err != nil {
		return err
	}
	p.reference = parts[0].reference()
	p.copied = p.reference.dir()
	if err := p.planVocabulary(parts[0]); err != nil {
		return err
	}
	var wrong []error
	if len(models) > 0 {
		wrong = p.planModels(parts[0])
	} else {
		wrong = p.planSlices(parts)
	}
	if n := len(wrong); n > mostMismatches {
		wrong = append(wrong[:mostMismatches], &fault.Input{Err: fmt.Errorf("and %d more tensors that do not fit", n-mostMismatches)})
	}
	if err := errors.Join(wrong...); err != nil {
		return err
	}
	if len(p.tensors) == 0 {
		return &fault.Input{Err: errors.New("the models have no tensor in common"), Fix: "merge models of one architecture"}
	}
	if err := p.arrange(); err != nil {
		return err
	}
	return p.plan()
}

// reference is the input whose order, config and tokenizer the output takes.
func (l layout) reference() *Input {
	if l.base >= 0 {
		return l.inputs[l.base]
	}
	return l.inputs[0]
}

// layout opens the sources and finds what the method sees of them.
func (p *Plan) layout(sources []Source, outer []Parameters) (layout, error) {
	l := layout{sources: slices.Clone(sources), base: -1, scope: scope{outer: outer}}
	c, base := p.Method, p.Recipe.BaseModel
	if base == "" && c.Base == merge.NeedsBase {
		return l, &fault.Input{Field: "base_model", Err: fmt.Errorf("it is missing; %s merges differences from a base", c.Name), Fix: "name the model that the others were fine-tuned from"}
	}
	if base == "" && c.First {
		base = l.sources[0].Model
		p.note("no base_model is given; %s, the first of the models, is the first end", base)
	}
	if base != "" && (c.Base != merge.NoBase || c.First) {
		l.base = slices.IndexFunc(l.sources, func(s Source) bool { return s.Model == base })
		if l.base < 0 { // recipes need not list it
			l.base = len(l.sources)
			l.sources = append(l.sources, Source{Model: base, LayerRange: l.sources[0].LayerRange})
		}
	} else if base != "" && !slices.ContainsFunc(l.sources, func(s Source) bool { return s.Model == base }) {
		p.note("base_model %s is not among the models, and %s takes no base: it is not used", base, c.Name)
	}

	for i, s := range l.sources {
		in, err := p.input(s.Model)
		if err != nil {
			return l, err
		}
		if len(s.LayerRange) == 2 && s.LayerRange[1] > in.Layers {
			return l, &fault.Input{File: in.Path, Field: "layer_range", Err: fmt.Errorf("it is %v; the model has %d layers", s.LayerRange, in.Layers), Fix: "choose layers that are there"}
		}
		l.inputs = append(l.inputs, in)
		l.scope.sources = append(l.scope.sources, s.Parameters)
		switch {
		case i != l.base:
			l.models = append(l.models, i)
		case c.First:
			l.models = append([]int{i}, l.models...)
		}
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
	return l, nil
}

func refs(l layout) (out []string) {
	for _, i := range l.models {
		out = append(out, l.inputs[i].Model)
	}
	return out
}

// unused notes parameters that the method has not.
func (p *Plan) unused(parts []layout) {
	names := append(p.Method.Parameters(), ignored...)
	for _, l := range parts {
		for _, list := range [][]Parameters{l.scope.sources, l.scope.outer} {
			for _, parameters := range list {
				for _, name := range slices.Sorted(maps.Keys(parameters)) {
					if !slices.Contains(names, name) {
						p.note("parameter %s is not used: %s has none", name, p.Method.Name)
					}
				}
			}
		}
	}
}

// refuseInputAsOutput keeps a merge from writing over what it reads.
func (p *Plan) refuseInputAsOutput() error {
	out, err := os.Stat(p.Out)
	for _, in := range p.Inputs {
		for _, path := range append([]string{in.dir()}, in.files...) {
			if same, e := os.Stat(path); err == nil && e == nil && os.SameFile(out, same) {
				return &fault.Input{File: p.Out, Err: fmt.Errorf("the output is the input %s", in.Model), Fix: "choose another output"}
			}
		}
	}
	return nil
}

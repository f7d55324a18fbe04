package checkpoint

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/printable"
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

	// Beside gives further files of an output that is a folder, by their names, and what there is to note. It is asked when all is planned
	// and before anything is written; the same inputs and tensors must give the same bytes. nil knows none.
	Beside func(method string, inputs []*Input, tensors []Tensor) (files map[string][]byte, notes []string, err error)

	// Find gives the path of a model that is named otherwise, such as one of "ballast data get"; nil knows none.
	Find func(name string) (path string, err error)
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

// Validate says what is wrong with the options, before a model is opened: a *fault.Usage.
func (o Options) Validate() error {
	if _, err := o.withDefaults(); err != nil {
		return &fault.Usage{Err: err}
	}
	if _, err := outputType(o.DType); err != nil {
		return &fault.Usage{Err: err}
	}
	return nil
}

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
	refused refusals
	budget  budget

	reference *Input    // whose order the output takes
	donor     *Input    // whose config and tokenizer the output takes: the base, else the reference
	copied    string    // its folder
	template  string    // chat template of the output; "" = that of the tokenizer
	layers    int       // of the output, if slices made another number
	cuts      []cutFrom // where each comes from
	vocab     *vocabulary
	beside    map[string][]byte // further files of the output
	untied    bool              // the output layer was tied in the model whose config is copied, and is not in the output
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
	ref = p.existing(ref)
	for _, in := range p.Inputs {
		if in.Model == string(ref) {
			return in, nil
		}
	}
	in, err := openInput(ref, p.options.RecipeDir, p.options.Find)
	if err != nil {
		return nil, err
	}
	for _, note := range in.notes {
		p.note("%s: %s", printable.Line(in.Model), note)
	}
	p.Inputs = append(p.Inputs, in)
	return in, nil
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
		l, err := p.layout("models", models, p.Recipe.BaseModel, outer)
		if err != nil {
			return err
		}
		parts = append(parts, l)
	}

	for i, s := range cut {
		l, err := p.layout(fmt.Sprintf("slices[%d].sources", i), s.Sources, cmp.Or(s.BaseModel, p.Recipe.BaseModel), append([]Parameters{s.Parameters}, outer...))
		if err != nil {
			return err
		}
		parts = append(parts, l)
	}

	p.unused(parts)
	if err := p.refuseInputAsOutput(); err != nil {
		return err
	}
	if err := p.choose(parts[0]); err != nil {
		return err
	}
	if err := p.planVocabulary(); err != nil {
		return err
	}
	if err := p.planTemplate(); err != nil {
		return err
	}
	var wrong []error
	if len(models) > 0 {
		wrong = p.planModels(parts[0])
	} else {
		wrong = p.planSlices(parts)
	}
	wrong = append(wrong, p.refused.list()...)
	if n := len(wrong); n > mostMismatches {
		wrong = append(wrong[:mostMismatches], &fault.Input{Err: fmt.Errorf("and %d more tensors that do not fit", n-mostMismatches)})
	}
	if err := errors.Join(wrong...); err != nil {
		return err
	}
	if len(p.tensors) == 0 {
		return &fault.Input{Err: errors.New("the models have no tensor in common"), Fix: "merge models of one architecture"}
	}
	if err := p.common(); err != nil {
		return err
	}
	if err := p.arrange(); err != nil {
		return err
	}
	if !p.single() {
		if err := p.copies(func(string, []byte) error { return nil }); err != nil {
			return err
		}
		if err := p.askBeside(); err != nil {
			return err
		}
	}
	return p.plan()
}

// Tensor is a tensor of the output.
type Tensor struct {
	Name  string
	Type  string // in the words of safetensors: F32, BF16, I64
	Shape []int
}

// askBeside asks for the further files of the output.
func (p *Plan) askBeside() (err error) {
	if p.options.Beside == nil {
		return nil
	}
	tensors := make([]Tensor, len(p.tensors))
	for i, t := range p.tensors {
		tensors[i] = Tensor{t.name, t.typ, t.shape}
	}
	var notes []string
	p.beside, notes, err = p.options.Beside(p.Method.Name, p.Inputs, tensors)
	for _, n := range notes {
		p.note("%s", n)
	}
	return err
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

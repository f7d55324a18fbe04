package checkpoint

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/format/weights"
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

// planned is a tensor of the output.
type planned struct {
	name   string
	shape  []int
	typ    string
	file   int
	at     int64 // in the file
	bytes  int64
	target merge.Target
	method merge.Method
	base   *reader
	models []*reader
	whole  bool // bytes are copied: the type is none that can be merged
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

// planModels plans all tensors of whole models.
func (p *Plan) planModels(l layout) (wrong []error) {
	reference := l.reference()
	layers := reference.Layers
	names := slices.Clone(reference.names)
	known := map[string]bool{}
	for _, n := range names {
		known[n] = true
	}
	for _, in := range l.inputs {
		for _, n := range in.names {
			if !known[n] {
				known[n] = true
				names = append(names, n)
			}
		}
	}
	for _, name := range names {
		position := 0.0
		if layer, ok := layerOf(name); ok {
			position = LayerPosition(layer, layers)
		}
		wrong = append(wrong, p.planTensor(l, name, func(int) string { return name }, position)...)
	}
	return wrong
}

// planSlices plans stacked layers.
func (p *Plan) planSlices(parts []layout) (wrong []error) {
	first := parts[0].inputs[0]
	same := func(name string) func(int) string { return func(int) string { return name } }
	for _, name := range first.names {
		if _, ok := layerOf(name); !ok && beforeLayers(name) {
			wrong = append(wrong, p.planTensor(parts[0], name, same(name), 0)...)
		}
	}
	for _, l := range parts {
		from := l.sources[0].LayerRange
		for i := range from[1] - from[0] {
			for _, name := range l.inputs[0].names {
				layer, ok := layerOf(name)
				if !ok || layer != from[0]+i {
					continue
				}
				in := func(source int) string { return withLayer(name, l.sources[source].LayerRange[0]+i) }
				wrong = append(wrong, p.planTensor(l, withLayer(name, p.layers), in, LayerPosition(i, from[1]-from[0]))...)
			}
			p.layers++
		}
	}
	last := parts[len(parts)-1]
	for _, name := range last.inputs[0].names {
		if _, ok := layerOf(name); !ok && !beforeLayers(name) {
			wrong = append(wrong, p.planTensor(last, name, same(name), 0)...)
		}
	}
	return wrong
}

// optional tells whether a tensor is a buffer that models may lack.
func optional(name string) bool { return strings.HasSuffix(name, "rotary_emb.inv_freq") }

// planTensor plans one tensor of the output. inputName is its name in each source.
func (p *Plan) planTensor(l layout, name string, inputName func(source int) string, position float64) []error {
	t := &planned{name: name}
	var missing, has []*Input
	readers := make([]*reader, len(l.sources))
	aliased := 0
	for i, in := range l.inputs {
		info, alias, ok := in.find(inputName(i))
		if alias {
			aliased++
		}
		if !ok {
			missing = append(missing, in)
			continue
		}
		has = append(has, in)
		readers[i] = newReader(in, info)
	}
	if aliased == len(l.inputs) { // only because another slice has it
		return nil
	}
	if _, alias, ok := l.reference().find(name); ok && alias {
		p.untied = true
	}
	if len(missing) > 0 {
		switch {
		case p.options.AllowMissing == Intersection || optional(name):
			return nil
		case p.options.AllowMissing != Union:
			return []error{&fault.Input{
				File: missing[0].Path, Field: name, Err: fmt.Errorf("the tensor is missing in %s; %s has it", modelList(missing), modelList(has)),
				Fix: "merge models of one architecture, or allow missing tensors: union or intersection",
			}}
		}
	}
	models := slices.DeleteFunc(slices.Clone(l.models), func(i int) bool { return readers[i] == nil })
	choice := p.Method
	if l.base >= 0 && !choice.First {
		t.base = readers[l.base]
	}
	// With union, what lacks the base or all others, or one of two, is the mean of what there is.
	if len(missing) > 0 && (len(models) == 0 || t.base == nil && choice.Base == merge.NeedsBase || choice.Models > 0 && len(models) != choice.Models) {
		if len(models) == 0 {
			models = []int{l.base}
		}
		t.base = nil
		choice = merge.Choice{Name: "linear", New: func() merge.Method { return merge.NewLinear() }}
	}
	for _, i := range models {
		t.models = append(t.models, readers[i])
		t.target.Which = append(t.target.Which, i)
	}
	all := t.all()
	reference := all[0]
	if t.base != nil {
		reference = t.base
	}
	t.shape = reference.info.Shape
	for _, r := range all {
		if isFloat(elementType(r.info.Type)) != isFloat(elementType(reference.info.Type)) {
			return []error{&fault.Input{File: r.in.Path, Field: name, Err: fmt.Errorf("the type is %s, in %s it is %s", r.info.Type, reference.in.Path, reference.info.Type), Fix: "convert one of the models"}}
		}
	}
	if p.vocab != nil && isVocabulary(name) {
		if err := p.vocab.apply(t); err != nil {
			return []error{err}
		}
	} else {
		for _, r := range all {
			if slices.Equal(r.info.Shape, t.shape) {
				continue
			}
			if isVocabulary(name) && len(r.info.Shape) == len(t.shape) && len(t.shape) > 0 && slices.Equal(r.info.Shape[1:], t.shape[1:]) {
				t.shape = append([]int{min(t.shape[0], r.info.Shape[0])}, t.shape[1:]...)
				p.note("tensor %s has a row for each token, and the models have different numbers of them: the first %d rows are merged; give tokenizer_source to match tokens", name, t.shape[0])
				continue
			}
			return []error{&fault.Input{
				File: r.in.Path, Field: name, Err: fmt.Errorf("the shape is %v, in %s it is %v", r.info.Shape, reference.in.Path, reference.info.Shape),
				Fix: "merge models of one architecture",
			}}
		}
	}
	t.typ = p.typeOf(reference.info.Type)
	if !isFloat(elementType(reference.info.Type)) {
		t.whole = true
		p.tensors = append(p.tensors, t)
		return nil
	}
	t.target.Name, t.target.Shape, t.target.Seed = name, t.shape, p.Seed
	t.target.Models, t.target.Base = len(t.models), t.base != nil
	var err error
	if t.method, err = l.scope.configure(choice, models, name, position); err != nil {
		return []error{&fault.Input{Field: "parameters", Err: err}}
	}
	if _, err := t.method.Start(t.target); err != nil {
		return []error{&fault.Input{Field: "parameters", Err: err}}
	}
	p.tensors = append(p.tensors, t)
	return nil
}

// all is the readers, the base first.
func (t *planned) all() []*reader {
	if t.base == nil {
		return t.models
	}
	return append([]*reader{t.base}, t.models...)
}

func modelList(list []*Input) string {
	var names []string
	for _, in := range list {
		names = append(names, in.Model)
	}
	return strings.Join(names, ", ")
}

// typeOf is the type of an output tensor.
func (p *Plan) typeOf(input string) string {
	t := elementType(input)
	if !isFloat(t) {
		return t
	}
	for _, word := range []string{p.options.DType, p.Recipe.OutDType, p.Recipe.DType} {
		if chosen, err := outputType(word); err == nil && chosen != "" {
			return chosen
		}
	}
	if t == "Q" {
		return "F16"
	}
	return t
}

// ManifestFile is the name of a merge's manifest in the folder of its output.
const ManifestFile = "ballast-merge.json"

// RecipeFile is the name of the resolved recipe in the folder of the output.
const RecipeFile = "ballast-merge-recipe.json"

// single tells whether the output is one file.
func (p *Plan) single() bool { return strings.HasSuffix(p.Out, ".safetensors") }

// arrange deals the tensors into files and gives each its place.
func (p *Plan) arrange() error {
	if _, err := outputType(p.options.DType); err != nil {
		return &fault.Input{Field: "dtype", Err: err}
	}
	var shards [][]*planned
	inShard := int64(0)
	for _, t := range p.tensors {
		bits := safetensors.DType(t.typ).Bits()
		if bits == 0 {
			return &fault.Input{Field: t.name, Err: fmt.Errorf("tensors of type %s can be neither merged nor copied", t.typ), Fix: "leave it out with allow missing: intersection"}
		}
		n := 1
		for _, d := range t.shape {
			n *= d
		}
		t.bytes = int64(n) * int64(bits) / 8
		if len(shards) == 0 || !p.single() && inShard+t.bytes > p.options.ShardSize {
			shards, inShard = append(shards, nil), 0
		}
		shards[len(shards)-1] = append(shards[len(shards)-1], t)
		inShard += t.bytes
	}
	byName := map[string]*planned{}
	for _, t := range p.tensors {
		byName[t.name] = t
	}
	p.tensors = p.tensors[:0]
	for i, shard := range shards {
		var list []safetensors.Tensor
		for _, t := range shard {
			list = append(list, safetensors.Tensor{Name: t.name, DType: safetensors.DType(t.typ), Shape: t.shape})
		}
		meta := map[string]string{"format": "pt"}
		if i == 0 {
			p.carry(meta)
		}
		header, order, err := safetensors.Header(list, meta)
		if err != nil {
			return err
		}
		at := int64(len(header))
		for _, o := range order {
			t := byName[o.Name]
			t.file, t.at = i, at
			at += t.bytes
			p.tensors = append(p.tensors, t)
		}
		name := "model.safetensors"
		if p.single() {
			name = filepath.Base(p.Out)
		} else if len(shards) > 1 {
			name = fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, len(shards))
		}
		p.Files = append(p.Files, Output{Name: name, Bytes: at, header: header})
		p.Write += at
	}
	p.Tensors = len(p.tensors)
	for _, t := range p.tensors {
		for _, r := range t.all() {
			p.Read += r.info.Bytes
		}
	}
	return nil
}

// fingerprint is the same for merges that write the same bytes: what a resumed merge must share with the one that was stopped.
func (p *Plan) fingerprint() string {
	h := sha256.New()
	e := json.NewEncoder(h)
	_ = e.Encode(p.Recipe)
	_ = e.Encode([]any{p.Seed, p.Files, p.options.AllowMissing, p.options.Saturate, p.options.Versions})
	for _, in := range p.Inputs {
		_, _ = io.WriteString(h, in.stamp)
	}
	for _, f := range p.Files {
		h.Write(f.header)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Describe prints the plan for people.
func (p *Plan) Describe(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s of %d models into %s\n", p.Method.Name, len(p.Inputs), p.Out)
	for _, in := range p.Inputs {
		role := ""
		if in.Model == string(p.Recipe.BaseModel) {
			role = ", the base"
		}
		fmt.Fprintf(&b, "  %s: %s, %d tensors, %s%s\n", in.Model, in.Kind, in.Tensors, size(in.Bytes), role)
	}
	types := map[string]int{}
	for _, t := range p.tensors {
		types[t.typ]++
	}
	var list []string
	for _, t := range slices.Sorted(maps.Keys(types)) {
		list = append(list, fmt.Sprintf("%d %s", types[t], t))
	}
	fmt.Fprintf(&b, "tensors: %s, in %d files, %d bytes\n", strings.Join(list, ", "), len(p.Files), p.Write)
	fmt.Fprintf(&b, "memory:  %d bytes (%s)\n", p.Memory, size(p.Memory))
	fmt.Fprintf(&b, "disk:    %d bytes (%s)\n", p.Write, size(p.Write))
	for _, n := range p.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func size(bytes int64) string {
	switch {
	case bytes >= 1e9:
		return fmt.Sprintf("%.2f GB", float64(bytes)/1e9)
	case bytes >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(bytes)/1e6)
	}
	return fmt.Sprintf("%.1f kB", float64(bytes)/1e3)
}

// width is the bytes of an element of the output, 0 where tensors are copied.
func (t *planned) width() int { return weights.Width(t.typ) }

package checkpoint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/merge"
)

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
	first  bool // those of the first of the models alone: the others may differ
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
		wrong = appendError(wrong, p.planTensor(l, everywhere(name, position), false))
	}
	return wrong
}

// planSlices plans stacked layers.
func (p *Plan) planSlices(parts []layout) (wrong []error) {
	first, last := parts[0], parts[len(parts)-1]
	sliced := map[*Input]string{}
	for _, l := range parts {
		stack, _, err := l.inputs[0].text()
		if err != nil {
			return append(wrong, err)
		}
		sliced[l.inputs[0]] = stack
	}
	apart := func(in *Input, name string) bool { _, ok := layerIn(sliced[in], name); return !ok }
	for _, name := range first.inputs[0].names {
		if apart(first.inputs[0], name) && (beforeLayers(name) || tower.MatchString(name)) {
			wrong = appendError(wrong, p.planTensor(first, everywhere(name, 0), false))
		}
	}

	for _, l := range parts {
		from := l.sources[0].LayerRange
		for i := range from[1] - from[0] {
			for _, name := range l.inputs[0].names {
				layer, ok := layerIn(sliced[l.inputs[0]], name)
				if !ok || layer != from[0]+i {
					continue
				}
				in := func(source int) string { return withLayer(name, l.sources[source].LayerRange[0]+i) }
				at := place{withLayer(name, p.layers), in, LayerPosition(i, from[1]-from[0])}
				wrong = appendError(wrong, p.planTensor(l, at, false))
			}
			p.layers++
			p.cuts = append(p.cuts, cutFrom{l.inputs[0], from[0] + i})
		}
	}

	for _, name := range last.inputs[0].names {
		if apart(last.inputs[0], name) && !beforeLayers(name) && !tower.MatchString(name) {
			wrong = appendError(wrong, p.planTensor(last, everywhere(name, 0), false))
		}
	}
	return append(wrong, p.planHead(last)...)
}

// planHead gives stacked layers whose config has an output layer of its own, while that of the last slice is tied to its embeddings, those
// embeddings for one.
func (p *Plan) planHead(last layout) (wrong []error) {
	for _, pair := range tied {
		_, own := p.donor.file.Info(pair[0])
		_, planned := p.planned(pair[0])
		_, alias, ok := last.inputs[0].find(pair[0])
		if own && !planned && ok && alias {
			wrong = appendError(wrong, p.planTensor(last, everywhere(pair[0], 0), true))
			p.note("%s ties its output layer to its embeddings, which the first slice does not have: %s is written beside them", last.inputs[0].Model, pair[0])
		}
	}
	return wrong
}

// planned finds a tensor of the output.
func (p *Plan) planned(name string) (*planned, bool) {
	i := slices.IndexFunc(p.tensors, func(t *planned) bool { return t.name == name })
	if i < 0 {
		return nil, false
	}
	return p.tensors[i], true
}

func appendError(list []error, err error) []error {
	if err != nil {
		list = append(list, err)
	}
	return list
}

// buffers are the ends of names of tensors that networks compute anew, so that models may lack them.
var buffers = []string{
	"rotary_emb.inv_freq", "rotary_emb.cos_cached", "rotary_emb.sin_cached", ".position_ids", ".attn.masked_bias", ".attention.masked_bias",
}

// optional tells whether a tensor is a buffer that models may lack. GPT-2 and its kin keep a mask under the name of a bias.
func optional(name string, shape []int) bool {
	if weights.IsComputed(weights.Info{Name: name, Shape: shape}) {
		return true
	}
	if (strings.HasSuffix(name, ".attn.bias") || strings.HasSuffix(name, ".attention.bias")) && len(shape) == 4 {
		return true
	}
	return slices.ContainsFunc(buffers, func(end string) bool { return strings.HasSuffix(name, end) })
}

// isCounter reports whether a tensor counts the batches that a norm has seen, as PyTorch's norms do beside their statistics. No two models
// that were trained apart have the same number, and no output depends on it.
func isCounter(name string) bool {
	return name == "num_batches_tracked" || strings.HasSuffix(name, ".num_batches_tracked")
}

// planTensor plans one tensor of the output. One that all models tie to another is left to that one, unless own says that it is written.
func (p *Plan) planTensor(l layout, at place, own bool) error {
	name := at.name
	t := &planned{name: name}
	readers, missing, aliased := l.find(at.in)
	if aliased == len(l.inputs) && !own { // only because another slice has it
		return nil
	}
	if _, alias, ok := p.donor.find(name); ok && alias {
		p.untied = true
	}
	if len(missing) > 0 {
		has := slices.IndexFunc(readers, func(r *reader) bool { return r != nil })
		if p.options.AllowMissing == Intersection {
			return nil
		}
		if has >= 0 && optional(name, readers[has].info.Shape) {
			p.note("tensor %s is left out: %s does not have it, and networks compute it", name, missing[0].Model)
			return nil
		}
		if p.options.AllowMissing != Union {
			return l.missingError(name, readers)
		}
	}

	choice, models := p.assign(t, l, readers, len(missing) > 0)
	reference := t.reference()
	for _, r := range t.all() {
		if err := weights.Readable(r.in.file, r.info); err != nil {
			return err
		}
	}
	if err := p.fit(t, reference); err != nil {
		return err
	}
	t.typ = p.typeOf(t.all())
	if t.whole = !isFloat(elementType(reference.info.Type)); !t.whole {
		if err := p.configure(t, l, choice, models, at); err != nil {
			p.refused.add(name, err)
			return nil
		}
	}
	if t.whole && isCounter(name) && len(t.all()) > 1 {
		t.first = true
		p.note("counters of batches, which training alone reads, are those of %s: they are not merged", reference.in.Model)
	}
	p.tensors = append(p.tensors, t)
	return nil
}

// refusals are what methods say of their parameters, once where they say the same of several tensors.
type refusals struct {
	errs   []error
	texts  []string // of each, without the tensor's name
	others []int    // tensors, beside the first
}

func (r *refusals) add(tensor string, err error) {
	text := strings.ReplaceAll(err.Error(), tensor, "")
	if i := slices.Index(r.texts, text); i >= 0 {
		r.others[i]++
		return
	}
	r.errs, r.texts, r.others = append(r.errs, err), append(r.texts, text), append(r.others, 0)
}

// list is an error for each.
func (r *refusals) list() (out []error) {
	for i, err := range r.errs {
		if n := r.others[i]; n > 0 {
			err = fmt.Errorf("%w; and so for %d more tensors", err, n)
		}
		out = append(out, &fault.Input{Field: "parameters", Err: err})
	}
	return out
}

// find looks a tensor up in each source. readers is nil where it is missing; aliased is how many have only one it is tied to.
func (l layout) find(inputName func(source int) string) (readers []*reader, missing []*Input, aliased int) {
	readers = make([]*reader, len(l.sources))
	for i, in := range l.inputs {
		info, alias, ok := in.find(inputName(i))
		if alias {
			aliased++
		}
		if !ok {
			missing = append(missing, in)
			continue
		}
		readers[i] = newReader(in, info)
	}
	return readers, missing, aliased
}

// missingError says which models lack a tensor, and which have it.
func (l layout) missingError(name string, readers []*reader) error {
	var missing, has []*Input
	for i, in := range l.inputs {
		if readers[i] == nil {
			missing = append(missing, in)
		} else {
			has = append(has, in)
		}
	}
	return &fault.Input{
		File: missing[0].Path, Field: name, Err: fmt.Errorf("the tensor is missing in %s; %s has it", modelList(missing), modelList(has)),
		Fix: "merge models of one architecture, or allow missing tensors: union or intersection",
	}
}

// assign gives a tensor its base and models, and returns the method that merges it, and the places of the models among the sources.
func (p *Plan) assign(t *planned, l layout, readers []*reader, missing bool) (merge.Choice, []int) {
	models := slices.DeleteFunc(slices.Clone(l.models), func(i int) bool { return readers[i] == nil })
	choice := p.Method
	if l.base >= 0 && !choice.First {
		t.base = readers[l.base]
	}

	// With union, what lacks the base or all others, or one of two, is the mean of the tensors that are there.
	if missing && (len(models) == 0 || t.base == nil && choice.Base == merge.NeedsBase || choice.Models > 0 && len(models) != choice.Models) {
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
	return choice, models
}

// reference is the reader whose shape and type the others must have.
func (t *planned) reference() *reader { return t.all()[0] }

// fit checks types and shapes, and gives the tensor its own shape. Tensors with a row for each token may have different numbers of rows.
func (p *Plan) fit(t *planned, reference *reader) error {
	t.shape = reference.info.Shape
	for _, r := range t.all() {
		if isFloat(elementType(r.info.Type)) != isFloat(elementType(reference.info.Type)) {
			return &fault.Input{
				File: r.in.Path, Field: t.name, Err: fmt.Errorf("the type is %s, in %s it is %s", r.info.Type, reference.in.Path, reference.info.Type),
				Fix: "convert one of the models",
			}
		}
	}
	if p.vocab != nil && isVocabulary(t.name) {
		return p.vocab.apply(t)
	}

	for _, r := range t.all() {
		shape := r.info.Shape
		if slices.Equal(shape, t.shape) {
			continue
		}
		if isVocabulary(t.name) && len(shape) == len(t.shape) && len(t.shape) > 0 && slices.Equal(shape[1:], t.shape[1:]) {
			t.shape = append([]int{min(t.shape[0], shape[0])}, t.shape[1:]...)
			p.note("tensor %s has a row for each token, and the models have different numbers of them: the first %d rows are merged; give tokenizer_source to match tokens", t.name, t.shape[0])
			continue
		}
		return &fault.Input{
			File: r.in.Path, Field: t.name, Err: fmt.Errorf("the shape is %v, in %s it is %v", shape, reference.in.Path, reference.info.Shape),
			Fix: "merge models of one architecture",
		}
	}
	return nil
}

// configure gives a tensor its method, with the parameters that the recipe has for it, and tries it.
func (p *Plan) configure(t *planned, l layout, choice merge.Choice, models []int, at place) (err error) {
	t.target.Name, t.target.Shape, t.target.Seed = t.name, t.shape, p.Seed
	t.target.Models, t.target.Base = len(t.models), t.base != nil
	if t.method, err = l.scope.configure(choice, models, at); err != nil {
		return err
	}
	_, err = t.method.Start(t.target)
	return err
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

// typeOf is the type of an output tensor: the chosen one, else that of its inputs, or the smallest that holds the values of all of them.
func (p *Plan) typeOf(readers []*reader) string {
	common := elementType(readers[0].info.Type)
	if !isFloat(common) {
		return common
	}
	for _, word := range []string{p.options.DType, p.Recipe.OutDType, p.Recipe.DType} {
		if chosen, err := outputType(word); err == nil && chosen != "" {
			return chosen
		}
	}

	for _, r := range readers[1:] {
		common = promote(common, elementType(r.info.Type))
	}
	if common == "Q" {
		return "F16"
	}
	return common
}

// promote is the smallest type that holds the values of two: float32 for float16 and bfloat16, neither of which holds the other's. What is
// quantised goes with the other.
func promote(a, b string) string {
	for _, t := range []string{"F64", "F32"} {
		if a == t || b == t {
			return t
		}
	}
	switch {
	case a == b, b == "Q":
		return a
	case a == "Q":
		return b
	}
	return "F32"
}

// width is the bytes of an element of the output, 0 where tensors are copied.
func (t *planned) width() int { return weights.Width(t.typ) }

package objective

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas

	"github.com/ballast-ml/ballast/data/augment"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/ops"
	"github.com/ballast-ml/ballast/train/update"
	"github.com/ballast-ml/ballast/zoo"
)

// Contrastive makes a loss smaller that compares the vectors of a batch with each other, and the same loss of mixed examples:
//
//	Loss(f(x), labels) + Weight Loss(f(x) against f(mixed), shares of classes) + sum of Extra
//
// A network that classifies becomes a zoo.Embedder with vectors of Dim numbers; one whose task is embed stays as it is. The vectors are
// given to the losses as they come out.
//
// Mix makes the mixed examples at one of three levels: of the inputs, which go through the whole network once more; of the features
// behind a layer, which go through the rest; or of the vectors, which cost nothing. Every example of the batch is compared with every
// mixed one, and their label is the share that its class has of the mixture. The second pass moves no state.
// Source: Venkataramanan et al., "It Takes Two to Tango: Mixup for Deep Metric Learning", arXiv 2106.04990. There an anchor is compared
// with the mixtures that were made for it alone.
//
// Where a recipe draws several views, a loss without labels gets each by itself, and a loss with labels all of them as one batch.
// On several devices each takes the loss of the whole batch; a mixing is refused there.
type Contrastive struct {
	Loss   loss.SetChoice       `json:"loss"`   // of the batch; multi-similarity
	Dim    int                  `json:"dim"`    // numbers of a vector, where the network classifies; 64
	Mix    augment.MixingChoice `json:"mix"`    // how mixed examples are made; none
	Level  string               `json:"level"`  // of what: input, feature or embedding; embedding
	After  string               `json:"after"`  // the layer behind which features are mixed, such as layer_1; "" = in front of the output
	Weight float64              `json:"weight"` // of the loss of mixed examples; 0.4
	Extra  []Extra              `json:"extra"`  // other losses of the same batch; none
}

var _ update.Shaped = Contrastive{}

// NewContrastive returns the multi-similarity loss of vectors of 64 numbers, unmixed, and Metrix's weight 0.4 at the level of vectors.
func NewContrastive() Contrastive {
	return Contrastive{
		Loss: loss.SetChoice{Set: loss.NewPairs("multi_similarity")}, Dim: 64,
		Mix: augment.MixingChoice{Mixing: augment.NoMixing{}}, Level: "embedding", Weight: 0.4, Extra: []Extra{},
	}
}

// Network is n with vectors for answers.
func (o Contrastive) Network(n zoo.Network, _ int) zoo.Network {
	if n.Task() != zoo.Classify {
		return n
	}
	return zoo.Embedder{Trunk: zoo.Choice{Network: n}, Size: o.Dim}
}

// Warning says what is odd about the losses, and what has no effect.
func (o Contrastive) Warning() string {
	if usual := NewContrastive(); !o.mixes() && (o.Level != usual.Level || o.Weight != usual.Weight) {
		return "objective.level and objective.weight have no effect: they apply to mixed examples, and mix is none"
	}
	for _, l := range o.losses() {
		if w, ok := l.Set.(interface{ Warning() string }); ok && w.Warning() != "" {
			return w.Warning()
		}
	}
	return ""
}

// losses is the loss and what stands beside it.
func (o Contrastive) losses() []loss.SetChoice {
	all := []loss.SetChoice{o.Loss}
	for _, e := range o.Extra {
		all = append(all, e.Loss)
	}
	return all
}

// Validate refuses losses that the batch cannot be given to, and mixings that the loss or the network has no place for.
func (o Contrastive) Validate(p update.Plan) error {
	if p.Network.Task() != zoo.Embed {
		return usage("objective contrastive compares vectors, and network %s is for the task %s; take one that "+
			"classifies or embeds",
			zoo.Name(p.Network), p.Network.Task())
	}
	train := p.Streams[update.Train]
	var errs []error
	for i, l := range o.losses() {
		if l.Set == nil {
			return usage("objective.%s is missing; name one, for example multi-similarity",
				append([]string{"loss"}, extraKeys(o.Extra)...)[i])
		}
		name := loss.SetName(l.Set)
		errs = append(errs, checkLoss(name, l.Set, l.Wants(), train), checkWhole(name, p), noRanking(l.Set))
		if alone(l.Set) && train.Views < 2 {
			errs = append(errs, usage("loss %s compares views of an example, and the recipe draws %d; use two "+
				"or more, for example views: [[shift], [shift]]",
				name, max(train.Views, 1)))
		}
		if loss.NeedsIndex(l.Set) && p.Devices > 1 {
			errs = append(errs, usage("loss %s keeps a row for each example, and each of %d devices would move "+
				"it; use one device",
				name, p.Devices))
		}
	}
	for i, e := range o.Extra {
		if !(e.Weight >= 0) || math.IsInf(e.Weight, 0) {
			errs = append(errs, usage("objective.extra.%d.weight is %v; use a finite number from 0", i, e.Weight))
		}
	}
	return errors.Join(append(errs, o.checkMix(p), fed("contrastive", p, anyViews))...)
}

// extraKeys are the keys of the losses in extra.
func extraKeys(extra []Extra) []string {
	keys := make([]string, len(extra))
	for i := range extra {
		keys[i] = fmt.Sprintf("extra.%d.loss", i)
	}
	return keys
}

// checkMix refuses a mixing without a place.
func (o Contrastive) checkMix(p update.Plan) error {
	if !slices.Contains([]string{"input", "feature", "embedding"}, o.Level) {
		return usage("objective.level is %q; use input, feature or embedding", strict.Short(o.Level))
	}
	if !(o.Weight >= 0) || math.IsInf(o.Weight, 0) {
		return usage("objective.weight is %v; use a finite number from 0", o.Weight)
	}
	if o.After != "" && o.Level != "feature" {
		return usage("objective.after is %s, and the level is %s; use level: feature, or leave it out",
			strict.Short(o.After), o.Level)
	}
	if !o.mixes() {
		return nil
	}

	mixing := augment.MixingName(o.Mix.Mixing)
	if _, ok := o.Loss.Set.(loss.Mixable); !ok {
		return usage("objective.mix is %s, and loss %s has no place for mixed examples; use %s",
			mixing, loss.SetName(o.Loss.Set), strings.Join(mixable(), ", "))
	}
	if _, later := o.Mix.Mixing.(augment.Retargeting); later {
		return usage("objective.mix is %s, whose targets come from attention; use pairs", mixing)
	}
	if p.Devices > 1 {
		return usage("objective.mix is %s, which draws from the whole batch, and %d devices would each draw "+
			"their own; use one device",
			mixing, p.Devices)
	}
	if err := o.Mix.Validate(); err != nil {
		return usage("objective.mix: %w", err)
	}
	if o.Level != "feature" {
		return nil
	}
	_, err := cutAfter(p.Network, o.After)
	return err
}

// mixes says whether there are mixed examples.
func (o Contrastive) mixes() bool { return mixes(o.Mix) }

// mixable are the losses that take mixed examples.
func mixable() []string {
	var names []string
	for _, k := range loss.AllSets() {
		if _, ok := k.New().(loss.Mixable); ok {
			names = append(names, k.Name)
		}
	}
	return names
}

// alone says whether a loss goes by views and not by labels.
func alone(set loss.Set) bool { return slices.Contains(set.Wants(), loss.Alone) }

// Phases is one phase of one turn, with the numbers that the mixing draws.
func (o Contrastive) Phases(p update.Plan) []update.Phase {
	phase := update.Phase{Name: "train", Turns: []update.Turn{{Build: func(s *update.Step) []update.Goal {
		return []update.Goal{{Name: "train", Terms: o.terms(s, p)}}
	}}}}
	if o.mixes() {
		phase.Columns = o.Mix.Columns()
	}
	return []update.Phase{phase}
}

func (o Contrastive) terms(s *update.Step, p update.Plan) []update.Term {
	b := s.Batch(update.Train)
	x := joined(b.Views)
	apart := cut{}
	var features, vectors *Node
	if o.mixes() && o.Level == "feature" {
		apart, _ = cutAfter(p.Network, o.After) // Validate has seen that it can be
		features = apart.lower(s, pass.Pass{}, x)
		vectors = apart.upper(s, pass.Pass{}, features)
	} else {
		vectors = s.Apply("/model", p.Network, pass.Pass{}, x)
	}

	c := compared{step: s, batch: b, vectors: split(s, vectors, len(b.Views))}
	name := loss.SetName(o.Loss.Set)
	terms := []update.Term{update.Whole(name, o.Loss.Apply(s.At(update.Own), c.in(o.Loss.Set)), 1)}
	c.note(o.Loss.Set, name)
	if o.mixes() {
		var mixed augment.Mixed
		var answers *Node
		switch d := c.draws(); o.Level {
		case "input":
			mixed = o.Mix.Mix(d, x)
			answers = s.Apply("/model", p.Network, pass.Pass{Mode: pass.TrainQuiet}, mixed.X)
		case "feature":
			mixed = o.Mix.Mix(d, features)
			answers = apart.upper(s, pass.Pass{Mode: pass.TrainQuiet}, mixed.X)
		default:
			mixed = o.Mix.Mix(d, vectors)
			answers = mixed.X
		}
		in := c.in(o.Loss.Set)
		shares := mixed.Targets(OneHot(in.Labels, p.Streams[update.Train].Outputs, ops.Widen(answers).DType()))
		in = o.Loss.Set.(loss.Mixable).Mixed(in, answers, shares)
		terms = append(terms, update.Whole(name+"_mixed", o.Loss.Apply(s.At(update.Own), in), o.Weight))
	}
	return append(terms, c.extra(o.Extra, terms)...)
}

// compared is the vectors of a batch, of each view and of all devices, with what is known of their examples.
type compared struct {
	step    *update.Step
	batch   update.Batch
	vectors []*Node
}

// in is what a loss sees: one without labels each view, one with labels all views as one batch.
func (c compared) in(set loss.Set) loss.In {
	in := c.step.In(c.batch, c.vectors[0])
	in.Labels, in.Index = everywhere(c.batch.Labels), everywhere(c.batch.Index)
	if m := c.batch.Mask; m != nil {
		in.Mask = NotEqual(everywhere(ConvertDType(m, dtypes.Int32)), ScalarZero(m.Graph(), dtypes.Int32))
	}
	in.Features = c.vectors
	if k := len(c.vectors); k > 1 && !alone(set) {
		in.Features = []*Node{joined(c.vectors)}
		in.Labels, in.Index = joined(slices.Repeat([]*Node{in.Labels}, k)), joined(slices.Repeat([]*Node{in.Index}, k))
		if in.Mask != nil {
			in.Mask = joined(slices.Repeat([]*Node{in.Mask}, k))
		}
		in.Out = in.Features[0]
	}
	return in
}

// draws is what a mixing needs of all views as one batch.
func (c compared) draws() augment.Draws {
	repeat := func(x *Node) *Node {
		if x == nil {
			return nil
		}
		return joined(slices.Repeat([]*Node{x}, len(c.vectors)))
	}
	return augment.Draws{
		Column: c.step.Column, Random: c.step.Random("mix"), Live: repeat(c.batch.Mask), Labels: repeat(c.batch.Labels),
	}
}

// extra is the terms of other losses; one whose name is taken gets its place behind it.
func (c compared) extra(all []Extra, before []update.Term) []update.Term {
	taken := map[string]bool{}
	for _, t := range before {
		taken[t.Name] = true
	}
	var terms []update.Term
	for i, e := range all {
		name := loss.SetName(e.Loss.Set)
		if taken[name] {
			name = fmt.Sprintf("%s_%d", name, i)
		}
		taken[name] = true
		scope := c.step.At(fmt.Sprintf("%s/extra_%d", update.Own, i))
		terms = append(terms, update.Whole(name, e.Loss.Apply(scope, c.in(e.Loss.Set)), e.Weight))
		c.note(e.Loss.Set, name)
	}
	return terms
}

// note has the pairs logged that a loss takes, where it takes a part of them.
func (c compared) note(set loss.Set, name string) {
	selective, ok := set.(loss.Selective)
	if !ok {
		return
	}
	positives, negatives := selective.Active(c.in(set))
	c.step.Note(name+"_positives", positives)
	c.step.Note(name+"_negatives", negatives)
}

// split is the vectors of each of k views, of all devices.
func split(s *update.Step, vectors *Node, k int) []*Node {
	n := vectors.Shape().Dimensions[0] / k
	views := make([]*Node, k)
	for i := range views {
		views[i] = vectors
		if k > 1 {
			views[i] = SliceAxis(vectors, 0, AxisRange(i*n, (i+1)*n))
		}
		views[i] = s.Gather(views[i])
	}
	return views
}

// everywhere is x [n] of all devices; nil of nil.
func everywhere(x *Node) *Node {
	if x == nil {
		return nil
	}
	return ops.GatherAcross(x)
}

// joined is tensors one behind the other.
func joined(all []*Node) *Node {
	if len(all) == 1 {
		return all[0]
	}
	if all[0] == nil {
		return nil
	}
	return Concatenate(all, 0)
}

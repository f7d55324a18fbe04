// Package loss has the losses that training minimises. A Loss returns one value per example; a Set returns one value for a whole batch,
// because it compares the examples with each other. Both are plain values, chosen in a recipe by name.
//
//	loss               wants     formula, for one example
//	cross-entropy      labels    -sum over k of t'_k log softmax(out)_k
//	balanced-softmax   labels    the same of out + log(examples of each class)
//	elr                labels    cross-entropy + Lambda log(1 - <average of the example's predictions, softmax(out)>)
//	kd                 labels    w T^2 KL(softmax(teacher/T) || softmax(out/T)) + (1 - w) cross-entropy
//	mse, l1            values    mean of (out - t)^2, mean of |out - t|
//	bce                masks     mean of log(1 + exp(out)) - t out
//	dice               masks     1 - soft Dice overlap
//
// and for a batch, from the cosines s of its embeddings:
//
//	Set                                    wants    formula, for an anchor or for the pairs
//	contrastive                            labels   mean of d, same class + mean of max(0.5 - d, 0), different; d the distance
//	contrastive-cosine, multi-similarity,  labels   tau(up(sum of p(s), same class) + un(sum of q(s), different))
//	lifted, binomial
//	proxy-anchor                           labels   the same with a learned vector for each class
//	supcon, ntxent                         labels,  -log softmax(s/T) of the examples of its class, or of its other views
//	                                       none
//	tcm                                    labels   mean of 0.9 - s, same class too far + mean of s - 0.5, different too near
//	mrl, mndcg                             labels   how far the order of confidences in examples and their mixtures is from right
//
// A loss may keep one row for each example of the training set (see Table). A loss does not weight examples and does not take the mean
// over the batch: the trainer does both, once, for every loss.
package loss

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/choice"
	"github.com/ballast-ml/ballast/ops"
	"github.com/ballast-ml/ballast/own"
)

// Loss is a loss that gives one value for each example, [n], in float32 or wider, and 0 for padding. Weights are not in it.
type Loss interface {
	Apply(s *model.Scope, in In) *Node
	Wants() []Targets // what it can compare with
}

// Set is a loss of a batch whose examples cannot be taken apart: one number, in float32 or wider. Padding is left out of it.
type Set interface {
	Apply(s *model.Scope, in In) *Node
	Wants() []Targets // what it can compare with
	OfBatch()         // tells a Set from a Loss
}

// In is what a loss may look at. Each loss says what it needs; what it needs and In lacks makes it panic with a text.
type In struct {
	Out     *Node // what the network gave: logits [n, classes], or [n, ...]
	Labels  *Node // class of each example [n], int32; -1 for padding
	Targets *Node // shares of classes [n, classes], where labels are mixed or soft: it goes before Labels; or values, or masks, [n, ...]

	Teacher *Node // logits [n, classes] of a network that is learned from, constants

	Mixed        *Node // logits of mixtures of the batch [copies n, classes], copy after copy, for a Ranking
	MixedTargets *Node // the mixtures' shares of classes, as large

	Features []*Node // what the head gets, or embeddings, [n, d], one for each view

	Index    *Node // place of each example in the training set [n], int32, the same in every pass; -1 for padding
	Examples int   // how many examples the training set has: the rows of a Table
	Counts   []int // how many of them each class has

	Weights *Node // of examples [n], constants; a Set uses them, the trainer applies them to a Loss
	Mask    *Node // bool [n]: false is padding; nil is none

	Column func(name string) *Node // a number of this update by name, a scalar; see optim.Column

	Note func(name string, each *Node) // has the mean of a value of each example [n] logged; nil = nobody listens
}

// Targets is a kind of what a loss compares with.
type Targets string

// The kinds of targets.
const (
	Labels Targets = "labels" // one class for each example
	Values Targets = "values" // real numbers [d]
	Masks  Targets = "masks"  // 0 or 1 for each place [height, width, channels]
	Images Targets = "images" // brightness in [0,1] of each place [height, width, channels]
	Tokens Targets = "tokens" // of a text, whose next tokens are to be foretold
	Alone  Targets = "none"   // what the network gave is enough
)

// Accepts returns a *fault.Usage unless one of the kinds of targets that a loss wants is what the data has. name is the loss's.
func Accepts(name string, wants []Targets, have Targets) error {
	if slices.Contains(wants, have) || slices.Contains(wants, Alone) {
		return nil
	}
	kinds := make([]string, len(wants))
	for i, w := range wants {
		kinds[i] = string(w)
	}
	return &fault.Usage{Err: fmt.Errorf("loss %s compares with %s, the data has %s; choose another loss or other data",
		name, strings.Join(kinds, " or "), have)}
}

// Kind is a Loss that can be chosen by name: its Name, and New, which returns it with its defaults.
type Kind = choice.Kind[Loss]

// All is every Loss that has a name, with its defaults.
func All() []Kind {
	return []Kind{
		{Name: "cross-entropy", New: func() Loss { return CrossEntropy{} }},
		{Name: "balanced-softmax", New: func() Loss { return BalancedSoftmax{} }},
		{Name: "elr", New: func() Loss { return NewELR() }},
		{Name: "kd", New: func() Loss { return NewKD() }},
		{Name: "mse", New: func() Loss { return MSE{} }},
		{Name: "l1", New: func() Loss { return L1{} }},
		{Name: "bce", New: func() Loss { return BCE{} }},
		{Name: "dice", New: func() Loss { return NewDice() }},
	}
}

// Choice is a Loss chosen by name in a recipe: "elr", or {"name": "elr", "beta": 0.9}.
type Choice struct{ Loss }

// MarshalJSON writes the name and the options.
func (c Choice) MarshalJSON() ([]byte, error) { return choice.Encode("loss", All(), c.Loss) }

// UnmarshalJSON reads a name, or a name with options; an unknown name or option is an error that names the nearest.
func (c *Choice) UnmarshalJSON(data []byte) error { return c.UnmarshalOwn(data, nil) }

// UnmarshalOwn is UnmarshalJSON where names may be a program's own.
func (c *Choice) UnmarshalOwn(data []byte, r own.Registry) (err error) {
	if c.Loss, err = choice.Decode("loss", All(), data, r); err != nil && among(AllSets(), data) {
		return fmt.Errorf("no loss %q; it is a loss of a whole batch, and is used only where those are", nameIn(data))
	}
	return err
}

// Name returns the name a Loss has in All, or its Go type.
func Name(l Loss) string { return choice.NameOf(All(), l) }

// SetKind is a Set that can be chosen by name: its Name, and New, which returns it with its defaults.
type SetKind = choice.Kind[Set]

// AllSets is every Set that has a name, with its defaults.
func AllSets() []SetKind {
	return []SetKind{
		{Name: "contrastive", New: func() Set { return NewContrastive() }},
		{Name: "contrastive-cosine", New: func() Set { return NewPairs("contrastive") }},
		{Name: "multi-similarity", New: func() Set { return NewPairs("multi_similarity") }},
		{Name: "lifted", New: func() Set { return NewPairs("lifted_structure") }},
		{Name: "binomial", New: func() Set { return NewPairs("binomial_deviance") }},
		{Name: "proxy-anchor", New: func() Set { return NewProxyAnchor() }},
		{Name: "supcon", New: func() Set { return NewSupCon() }},
		{Name: "ntxent", New: func() Set { return NewNTXent() }},
		{Name: "tcm", New: func() Set { return NewTCM() }},
		{Name: "mrl", New: func() Set { return NewMRL() }},
		{Name: "mndcg", New: func() Set { return NewMNDCG() }},
	}
}

// SetChoice is a Set chosen by name in a recipe: "tcm", or {"name": "pairs", "form": "contrastive"}.
type SetChoice struct{ Set }

// MarshalJSON writes the name and the options.
func (c SetChoice) MarshalJSON() ([]byte, error) {
	return choice.Encode("batch loss", AllSets(), c.Set)
}

// UnmarshalJSON reads a name, or a name with options; an unknown name or option is an error that names the nearest.
func (c *SetChoice) UnmarshalJSON(data []byte) error { return c.UnmarshalOwn(data, nil) }

// UnmarshalOwn is UnmarshalJSON where names may be a program's own.
func (c *SetChoice) UnmarshalOwn(data []byte, r own.Registry) (err error) {
	if c.Set, err = choice.Decode("batch loss", AllSets(), data, r); err != nil && among(All(), data) {
		return fmt.Errorf("no batch loss %q; it gives a value for each example, and is used only where such losses are",
			nameIn(data))
	}
	return err
}

// SetName returns the name a Set has in AllSets, or its Go type.
func SetName(s Set) string { return choice.NameOf(AllSets(), s) }

// among reports whether the name that data chooses is one of kinds.
func among[T any](kinds []choice.Kind[T], data []byte) bool {
	return slices.ContainsFunc(kinds, func(k choice.Kind[T]) bool { return k.Name == nameIn(data) })
}

// nameIn is the name that data chooses, a string or an object with it.
func nameIn(data []byte) string {
	var named struct{ Name string }
	if json.Unmarshal(data, &named.Name) != nil && json.Unmarshal(data, &named) != nil {
		return ""
	}
	return named.Name
}

// Mean is the weighted mean over the batch, (1/batch) sum of w_n loss_n; weights [batch] may be nil (all 1) and carry no
// gradient. It divides by the batch and not by the sum of the weights, so that a weight scales its example's gradient
// whatever the others are.
func Mean(perExample, weights *Node) *Node {
	if perExample.Rank() != 1 {
		Panicf("loss.Mean: losses are %s; want one per example, [batch]", perExample.Shape())
	}
	if weights != nil {
		if !weights.Shape().EqualDimensions(perExample.Shape()) {
			Panicf("loss.Mean: weights are %s for losses %s; want one per example", weights.Shape(), perExample.Shape())
		}
		perExample = Mul(perExample, ConvertDType(StopGradient(weights), perExample.DType()))
	}
	return ReduceAllMean(perExample)
}

// hidden is y [n] with 0 for padding.
func (in In) hidden(y *Node) *Node {
	if in.Mask == nil {
		return y
	}
	return Where(in.Mask, y, ZerosLike(y))
}

// classes returns the logits and what they are compared with: shares of classes [n, classes], or labels [n]. Panics for the loss
// named who if the network gave no logits or there is neither.
func (in In) classes(who string) (logits, targets *Node) {
	if in.Out == nil || in.Out.Rank() != 2 {
		Panicf("loss.%s: the network gave %s; want logits [batch, classes]", who, shapeOf(in.Out))
	}
	n, k := in.Out.Shape().Dimensions[0], in.Out.Shape().Dimensions[1]
	if t := in.Targets; t != nil {
		if !t.DType().IsFloat() || t.Rank() != 2 || t.Shape().Dimensions[0] != n || t.Shape().Dimensions[1] != k {
			Panicf("loss.%s: targets are %s for logits %s; want the share of each class, of the logits' shape", who, t.Shape(),
				in.Out.Shape())
		}
		return in.Out, StopGradient(t)
	}
	if l := in.Labels; l == nil || !l.DType().IsInt() || l.Rank() != 1 || l.Shape().Dimensions[0] != n {
		Panicf("loss.%s: labels are %s for logits %s; want integers [batch], or shares of classes as targets", who,
			shapeOf(l), in.Out.Shape())
	}
	return in.Out, in.Labels
}

// shares is what classes returns, as shares of classes in the logits' dtype, widened.
func shares(logits, targets *Node) *Node {
	wide := ops.Widen(logits).DType()
	if targets.DType().IsFloat() {
		return ConvertDType(targets, wide)
	}
	return OneHot(targets, logits.Shape().Dimensions[1], wide)
}

func shapeOf(x *Node) string {
	if x == nil {
		return "nothing"
	}
	return x.Shape().String()
}

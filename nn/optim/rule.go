package optim

import (
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/internal/choice"
	"github.com/ballast-ml/ballast/own"
)

// Rule stands between the gradients of an update and the weights: it changes gradients before the optimizer sees them, or weights after
// it has moved them. It is a plain struct value. At its neutral option a rule changes no bit.
type Rule interface {
	Validate() error // says what is wrong with the options, and how to fix it

	// Before returns the gradients that the optimizer gets.
	Before(at Update, variables []*model.Variable, gradients []*Node) []*Node

	// After may move the variables once more, with Variable.SetNodeValue; was are their values before the update.
	After(at Update, variables []*model.Variable, was []*Node)
}

// Update is the update that a rule acts in.
type Update struct {
	Scope *model.Scope // of the rule's own state
	Norm  *Node        // L2 norm of all gradients together, as the rule gets them
	Rate  *Node        // learning rate, float32
}

// RuleKind is a rule that can be chosen by name: its Name, and New, which returns it with its defaults.
type RuleKind = choice.Kind[Rule]

// Rules is every rule that has a name, with its defaults.
func Rules() []RuleKind {
	return []RuleKind{
		{Name: "clip-norm", New: func() Rule { return NewClipNorm() }},
		{Name: "clip-value", New: func() Rule { return NewClipValue() }},
	}
}

// RuleChoice is a rule chosen by name in a recipe: "clip-norm", or {"name": "clip-norm", "most": 5}.
type RuleChoice struct{ Rule }

// MarshalJSON writes the name and the options.
func (c RuleChoice) MarshalJSON() ([]byte, error) { return choice.Encode("rule", Rules(), c.Rule) }

// UnmarshalJSON reads a name, or a name with options; an unknown name or option is an error that names the nearest.
func (c *RuleChoice) UnmarshalJSON(data []byte) error { return c.UnmarshalOwn(data, nil) }

// UnmarshalOwn is UnmarshalJSON where names may be a program's own.
func (c *RuleChoice) UnmarshalOwn(data []byte, r own.Registry) (err error) {
	c.Rule, err = choice.Decode("rule", Rules(), data, r)
	return err
}

// ClipNorm scales all gradients down together, so that their norm is at most Most:
//
//	g <- g min(1, Most / (||g||_2 + 1e-6))
//
// Source: Pascanu, Mikolov, Bengio, "On the difficulty of training Recurrent Neural Networks", arXiv 1211.5063; the 1e-6 is PyTorch's.
type ClipNorm struct {
	Most float64 `json:"most"` // largest norm of the whole gradient; 1; 0 clips nothing
}

// NewClipNorm returns a largest norm of 1.
func NewClipNorm() ClipNorm { return ClipNorm{Most: 1} }

// Validate says what is wrong with the options, and how to fix it.
func (r ClipNorm) Validate() error {
	c := checks{key: "rules.clip-norm"}
	c.that(finite(r.Most) && r.Most >= 0, "most", r.Most, "use 0 for no clipping")
	return c.err()
}

// Before clips.
func (r ClipNorm) Before(at Update, _ []*model.Variable, gradients []*Node) []*Node {
	if r.Most == 0 {
		return gradients
	}
	scale := MinScalar(Div(Scalar(at.Norm.Graph(), at.Norm.DType(), r.Most), AddScalar(at.Norm, 1e-6)), 1.0)
	clipped := make([]*Node, len(gradients))
	for i, gradient := range gradients {
		clipped[i] = Mul(gradient, ConvertDType(scale, gradient.DType()))
	}
	return clipped
}

// After does nothing.
func (ClipNorm) After(Update, []*model.Variable, []*Node) {}

// ClipValue keeps every number of the gradients in [-Most, Most].
type ClipValue struct {
	Most float64 `json:"most"` // largest size of a number; 10; 0 clips nothing
}

// NewClipValue returns a largest size of 10.
func NewClipValue() ClipValue { return ClipValue{Most: 10} }

// Validate says what is wrong with the options, and how to fix it.
func (r ClipValue) Validate() error {
	c := checks{key: "rules.clip-value"}
	c.that(finite(r.Most) && r.Most >= 0, "most", r.Most, "use 0 for no clipping")
	return c.err()
}

// Before clips.
func (r ClipValue) Before(_ Update, _ []*model.Variable, gradients []*Node) []*Node {
	if r.Most == 0 {
		return gradients
	}
	clipped := make([]*Node, len(gradients))
	for i, gradient := range gradients {
		clipped[i] = ClipScalar(gradient, -r.Most, r.Most)
	}
	return clipped
}

// After does nothing.
func (ClipValue) After(Update, []*model.Variable, []*Node) {}

// GlobalNorm is the L2 norm of all gradients together, float32.
func GlobalNorm(gradients []*Node) *Node {
	sum := ScalarZero(gradients[0].Graph(), dtypes.Float32)
	for _, gradient := range gradients {
		sum = Add(sum, ConvertDType(ReduceAllSum(Square(gradient)), dtypes.Float32))
	}
	return Sqrt(sum)
}

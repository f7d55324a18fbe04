package objective

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas

	"github.com/ballast-ml/ballast/internal/choice"
	"github.com/ballast-ml/ballast/own"
	"github.com/ballast-ml/ballast/train/update"
)

// Between is a module that stands between a network's features and its head in training alone. The saved model does not have it.
type Between interface {
	// Validate says what is wrong with the options, or with the run they are for, and how to fix it.
	Validate(p update.Plan) error

	// Apply returns answers for features [n, dim] of the examples of at: k times n rows, copy after copy, each of which is held against
	// the targets of its example.
	Apply(at Middle, features *Node) *Node
}

// Middle is the place between features and head.
type Middle struct {
	Step  *update.Step
	Batch update.Batch // that the features are of
	Mask  *Node        // [n] bool, of the features: false is padding; nil = there is none

	// Head is a head of the network on features: the one that is trained and saved at "/model", one of the module's own at another path.
	Head func(at string, features *Node) *Node
}

// betweenScope is where a module has its variables.
const betweenScope = update.Own + "/between"

// Betweens is every module that has a name, with its defaults.
func Betweens() []choice.Kind[Between] {
	return []choice.Kind[Between]{
		{Name: "none", New: func() Between { return Nothing{} }},
		{Name: "batchformer", New: func() Between { return NewBatchFormer() }},
	}
}

// BetweenChoice is a module chosen by name in a recipe: "batchformer", or {"name": "batchformer", "dropout": 0.1}. Without a value it is
// none.
type BetweenChoice struct{ Between }

// MarshalJSON writes the name and the options.
func (c BetweenChoice) MarshalJSON() ([]byte, error) {
	return choice.Encode("module between features and head", Betweens(), c.or())
}

// UnmarshalJSON reads a name, or a name with options; an unknown name or option is an error that names the nearest.
func (c *BetweenChoice) UnmarshalJSON(b []byte) error { return c.UnmarshalOwn(b, nil) }

// UnmarshalOwn is UnmarshalJSON where names may be a program's own.
func (c *BetweenChoice) UnmarshalOwn(b []byte, r own.Registry) (err error) {
	c.Between, err = choice.Decode("module between features and head", Betweens(), b, r)
	return err
}

// or is the module, Nothing where there is none.
func (c BetweenChoice) or() Between {
	if c.Between == nil {
		return Nothing{}
	}
	return c.Between
}

// BetweenName returns the name a module has in Betweens, or its Go type.
func BetweenName(b Between) string { return choice.NameOf(Betweens(), b) }

// Nothing stands between features and head: the head gets the features.
type Nothing struct{}

var _ Between = Nothing{}

// Validate finds nothing wrong.
func (Nothing) Validate(update.Plan) error { return nil }

// Apply is the head on the features.
func (Nothing) Apply(at Middle, features *Node) *Node { return at.Head("/model", features) }

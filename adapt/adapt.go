// Package adapt changes a trained model while it answers, so that it keeps working on inputs that are not like those it was trained on.
// Nothing is trained beforehand and no labels are needed.
//
//	method     acts on                                   keeps between batches             needs
//	batch      statistics: the batch's                   nothing                           norms that collect, batches of 2
//	alpha-bn   statistics: running mixed with batch's    nothing                           the same
//	prior      the same, by the size of the batch        nothing                           the same
//	ema        statistics: running ones that move on     the running statistics            the same
//	unmix      statistics: K components, by example      the components                    norms that collect a mean
//	tent       scales and offsets: sure answers          weights, optimizer                norms, and a classifier
//	core       scales and offsets: classes set apart     the same                          the same
//	cotta      all weights: a slow teacher's answers     weights, teacher, optimizer       a classifier of images
//	lame       answers: those of neighbours              nothing                           a classifier with features
//	note       scales and offsets: sure answers          memory, weights, statistics       norms that collect a mean
//	rotta      scales and offsets: a slow teacher's      memory, teacher, weights          norms that collect
//	crops      inputs: a crop chosen by its pixels       nothing                           images
//	heads      answers: of the head that suits           nothing                           heads that distil-heads trained
//
// Where batches are large and drawn from all classes, batch is hard to beat; with small batches or sorted ones take alpha-bn or unmix. The
// methods that train (tent, core, cotta) gain most on long streams and can break a model on small batches: compare them with the model as it
// was. docs/adapt.md has the numbers.
//
// A Method is a value with options. Started on a model it is an Adapter, which has a state of its own and leaves the model alone:
//
//	a, err := adapt.NewAlphaBN().Start(adapt.Model{Bundle: b, Engine: e, Batch: 64})
//	logits, err := a.Answer(ctx, x, n) // x [n, InputShape...]; logits [n, classes]
//	err = a.Reset()                    // as it was started, to the bit
//
// Create and Open keep an adapter in a folder; Run takes one through a data set.
package adapt

import (
	"context"
	"fmt"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/choice"
	"github.com/ballast-ml/ballast/own"
)

// Model is what is adapted, and where. The bundle is not changed.
type Model struct {
	Bundle *bundle.Bundle
	Engine *engine.Engine
	Batch  int    // examples of a step; 1 or more
	Seed   uint64 // of whatever a method draws
}

// Method is a way of adapting. It is a plain struct value; Start makes an adapter, or says why there is none for the model: a *fault.Usage
// where the method does not fit the network, the batch or its own options.
type Method interface {
	Start(m Model) (Adapter, error)
}

// Adapter is a model that changes while it answers. It owns a copy of the model's weights. It is for one goroutine at a time.
type Adapter interface {
	// Answer returns the answers to n examples, row after row, and adapts to them; x is [n, InputShape...] in the units of the data set. It
	// goes through them in steps of Model.Batch examples, in order; what is left is a smaller step of its own, with statistics of its
	// own examples alone. A step is taken whole or not at all: after an error the state is that behind the last whole step.
	Answer(ctx context.Context, x []float32, n int) ([]float32, error)

	// Reset makes the adapter what it was when it was started, to the bit.
	Reset() error

	// State is a copy of all that answering has moved or may move, in an order that stays. Another adapter of the same method, model, batch
	// and seed that is given it by SetState goes on as this one would, to the bit. A method that keeps nothing has an empty state.
	State() (weights.Set, error)

	// SetState gives the adapter a state. One of another layout is a *fault.Input, and nothing has changed.
	SetState(state weights.Set) error

	// Close frees what the adapter holds.
	Close()
}

// Preparer is an adapter that can be told how many examples a step will have, so that what that takes, or why it cannot be, is known before
// any example is answered.
type Preparer interface {
	Adapter
	Prepare(n int) error
}

// Warner is an adapter that has something to say about how it went.
type Warner interface {
	Adapter
	Warnings() []string
}

// Kind is a method that can be chosen by name: its Name, and New, which returns it with its defaults.
type Kind = choice.Kind[Method]

// All is every method, with its defaults.
func All() []Kind {
	return []Kind{
		{Name: "batch", New: func() Method { return NewBatch() }},
		{Name: "alpha-bn", New: func() Method { return NewAlphaBN() }},
		{Name: "prior", New: func() Method { return NewPrior() }},
		{Name: "ema", New: func() Method { return NewEMA() }},
		{Name: "unmix", New: func() Method { return NewUnMix() }},
		{Name: "tent", New: func() Method { return NewTent() }},
		{Name: "core", New: func() Method { return NewCore() }},
		{Name: "cotta", New: func() Method { return NewCotta() }},
		{Name: "lame", New: func() Method { return NewLame() }},
		{Name: "note", New: func() Method { return NewNote() }},
		{Name: "rotta", New: func() Method { return NewRotta() }},
		{Name: "crops", New: func() Method { return NewCrops() }},
		{Name: "heads", New: func() Method { return NewHeads() }},
	}
}

// Choice is a method chosen by name: "batch", or {"name": "alpha-bn", "source_weight": 0.5}.
type Choice struct{ Method }

// MarshalJSON writes the name and the options.
func (c Choice) MarshalJSON() ([]byte, error) { return choice.Encode("adapt method", All(), c.Method) }

// UnmarshalJSON reads a name, or a name with options; an unknown name or option is an error that names the nearest.
func (c *Choice) UnmarshalJSON(data []byte) error { return c.UnmarshalOwn(data, nil) }

// UnmarshalOwn is UnmarshalJSON where names may be a program's own.
func (c *Choice) UnmarshalOwn(data []byte, r own.Registry) (err error) {
	if c.Method, err = choice.Decode("adapt method", All(), data, r); err != nil {
		return err
	}
	if v, ok := c.Method.(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			return fmt.Errorf("%s: %w", Name(c.Method), err)
		}
	}
	return nil
}

// Name returns the name a method has in All, or its Go type.
func Name(m Method) string { return choice.NameOf(All(), m) }

// Names are the names of all methods.
func Names() []string {
	var names []string
	for _, k := range All() {
		names = append(names, k.Name)
	}
	return names
}

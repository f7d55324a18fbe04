package adapt

import (
	"context"
	"errors"
	"fmt"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/weights"
)

// Outside is a model that is seen from outside: it answers, and its network cannot be reached. The graph of an ONNX file and a process are such.
type Outside struct {
	Name  string
	Shape []int // of an example
	Batch int   // examples of a step; 1 or more

	// Answer returns logits [n, classes] of x [n, Shape...].
	Answer Answerer

	// Look is Answer, and returns what the model makes of each example in front of its last layer, [n, d]; nil = there is no telling.
	Look func(ctx context.Context, x []float32, n int) (logits, features []float32, err error)
}

// Outer is a method that works on inputs and answers alone, so that it needs no network. lame and crops are such.
type Outer interface {
	Method
	StartOutside(m Outside) (Adapter, error)
}

// StartOutside starts a method on a model that is seen from outside, or says why it cannot be: a *fault.Usage.
func StartOutside(method Method, m Outside) (Adapter, error) {
	who := Name(method)
	switch {
	case m.Answer == nil:
		return nil, fmt.Errorf("adapt %s: there is no model; give its Answer", who)
	case m.Batch < 1:
		return nil, usage(who, "the batch is %d; use at least 1", m.Batch)
	}
	outer, err := OuterOf(method, m.Name)
	if err != nil {
		return nil, err
	}
	return outer.StartOutside(m)
}

// OuterOf is a method that works on inputs and answers alone, or says of another why a model of a name that only answers is not for it: a
// *fault.Usage.
func OuterOf(method Method, name string) (Outer, error) {
	if outer, ok := method.(Outer); ok {
		return outer, nil
	}
	return nil, usage(Name(method), "it %s, and %s only answers, so that nothing in it can be changed; use lame or crops, which work on inputs and answers, "+
		"or name the network's weights in its place", changes(method), name)
}

// changes is what a method does to a network.
func changes(m Method) string {
	switch m.(type) {
	case Batch, AlphaBN, Prior, EMA, UnMix:
		return "takes other statistics in the network's norms"
	case Heads:
		return "chooses among heads that the network was trained with"
	}
	return "trains the network's weights"
}

// outside is what an adapter of such a model holds: nothing that moves.
type outside struct{ who string }

// Reset has nothing to put back.
func (o outside) Reset() error { return nil }

// SetState refuses a state of something else.
func (o outside) SetState(state weights.Set) error {
	if len(state) > 0 {
		return &fault.Input{Field: state[0].Name, Err: errors.New("adapt " + o.who + " keeps nothing, and this state does")}
	}
	return nil
}

// Close has nothing to free: the model is the caller's.
func (o outside) Close() {}

package objective

import (
	"errors"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas

	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/train/update"
	"github.com/ballast-ml/ballast/zoo"
)

// Language has a network foretell each token of a text from those before it. Of an example, tokens x [time], it makes smaller
//
//	-1/|C| sum over t in C of log softmax(network(x)_t)[x_(t+1)]      C = {t < time: x_(t+1) counts}
//
// A token of -1 does not count: it pads a text that is shorter than the window, the network reads 0 in its place, and an example of such
// tokens alone adds nothing. What the network answers to the last token is held against nothing.
//
// Source: Bengio, Ducharme, Vincent, Jauvin, "A Neural Probabilistic Language Model", Journal of Machine Learning Research 3, 2003.
type Language struct{}

var _ update.Objective = Language{}

// NewLanguage returns the objective; it has no options.
func NewLanguage() Language { return Language{} }

// Validate refuses networks that do not foretell tokens, and data that are no text.
func (Language) Validate(p update.Plan) error {
	var errs []error
	refuse := func(when bool, format string, args ...any) {
		if when {
			errs = append(errs, usage(format, args...))
		}
	}
	task := p.Network.Task()
	refuse(task != zoo.Language, "network %s is for the task %s, and objective language trains networks that foretell tokens; use network: decoder",
		zoo.Name(p.Network), task)
	train := p.Streams[update.Train]
	refuse(train.Targets != loss.Tokens, "objective language learns from a text, and the data has %s; use data with tokens, such as {name: go-source}",
		train.Targets)
	refuse(train.Views > 0, "views has %d views, which a text does not have; leave views out", train.Views)
	refuse(train.Targets == loss.Tokens && train.Shape[0] < 2, "an example is %d token, behind which nothing can be foretold; use a larger context", train.Shape[0])
	return errors.Join(append(errs, fed("language", p, anyViews))...)
}

// Phases is one phase of one turn.
func (o Language) Phases(p update.Plan) []update.Phase {
	return []update.Phase{{Name: "train", Turns: []update.Turn{{Build: func(s *update.Step) []update.Goal {
		b := s.Batch(update.Train)
		read := Max(b.X, ZerosLike(b.X))
		logits := s.Apply("/model", p.Network, pass.Pass{}, read)
		return []update.Goal{{Name: "train", Terms: []update.Term{b.Each("cross-entropy", o.Of(b.X, logits), 1)}}}
	}}}}}
}

// Of is the loss of each example [n]: of tokens [n, time], where those below 0 do not count, and logits [n, time, vocabulary].
func (Language) Of(tokens, logits *Node) *Node {
	d := logits.Shape().Dimensions
	n, time, vocabulary := d[0], d[1], d[2]
	next := SliceAxis(tokens, 1, AxisRange(1, time))
	counts := GreaterOrEqual(next, ZerosLike(next))
	answers := SliceAxis(logits, 1, AxisRange(0, time-1))

	flat := Reshape(Max(next, ZerosLike(next)), n*(time-1))
	each := Reshape(loss.CrossEntropy{}.Of(flat, Reshape(answers, n*(time-1), vocabulary)), n, time-1)
	each = Where(counts, each, ZerosLike(each))
	many := ReduceSum(ConvertDType(counts, dtypes.Float32), 1)
	return Div(ReduceSum(each, 1), ConvertDType(MaxScalar(many, 1), each.DType()))
}

// Package update defines the interface between an objective and the trainer: what one update minimises, and which variables it moves.
//
// An Objective is a plain value that a recipe names. It divides a run into phases and a phase into turns, and for each turn it builds the
// graph of one update, from the examples of the recipe's streams to terms. The trainer turns terms into updates: it weights and adds up
// the losses of examples, spreads them over micro-batches and devices, computes the gradients of all goals before it changes a variable,
// and then updates the variables that each goal names.
package update

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/own"
	"github.com/ballast-ml/ballast/zoo"
)

// Objective is what the updates of a run make smaller.
type Objective interface {
	// Validate says what is wrong with the options, or with the run they are for, and how to fix it.
	Validate(p Plan) error

	// Phases are the stretches of the run in which all updates are built alike, one after the other. At least one.
	Phases(p Plan) []Phase
}

// Shaped is an Objective that decides what the network answers. Others get one output for each class of the data.
type Shaped interface {
	Objective
	Network(n zoo.Network, classes int) zoo.Network
}

// Warner is an Objective that finds something odd about options which it accepts.
type Warner interface {
	Objective
	Warning(p Plan) string // one line for a person; "" = nothing
}

// Yielding is an Objective whose run yields more than a network.
type Yielding interface {
	Objective
	Yield(ctx context.Context, h Host) (Yield, error) // host work behind the last update
}

// Yield is what a run yields beside its network.
type Yield struct {
	Numbers map[string]float64 // beside what is measured; finite
	Files   []File             // to stand beside the model
}

// File is a small file in memory.
type File struct {
	Name    string
	Content []byte
}

// SuspectsFile lists examples whose labels are suspected to be wrong; see loss.WriteSuspects.
const SuspectsFile = "suspects.csv"

// Plan is what an objective knows of its run.
type Plan struct {
	Network      zoo.Network       // as it is trained
	Streams      map[string]Stream // what the recipe feeds; Train is always there
	Standardized bool              // examples are standardised in front of the network
	Updates      int               // of the run
	PerPass      int               // updates of a pass over Train
	Accumulate   int               // micro-batches of an update
	Devices      int               // that share each of them
	Registry     own.Registry      // what the program brings itself, for models that an objective opens
}

// Train is the stream that every run has; its passes are the run's.
const Train = "train"

// Stream is what an objective knows of a stream of examples.
type Stream struct {
	Examples int          // how many there are
	Batch    int          // of an update
	Shape    []int        // of an example
	Views    int          // how many views of an example are drawn; 0 = the example alone
	Moves    string       // a transform of a view that takes pixels to other places; "" = none
	Targets  loss.Targets // what an example is to be answered with
	Outputs  int          // classes, or numbers of a target
	Counts   []int        // examples of each class; nil without classes
	Distinct bool         // no example is twice in an update
}

// Need returns a stream, or an error that says how a recipe names it.
func (p Plan) Need(objective, stream string) (Stream, error) {
	s, ok := p.Streams[stream]
	if ok {
		return s, nil
	}
	return s, &fault.Usage{Err: fmt.Errorf("recipe: objective %s needs the stream %s, and the recipe has %s; add streams: {%s: {data: ..., batch: ...}}",
		objective, stream, strings.Join(slices.Sorted(maps.Keys(p.Streams)), ", "), stream)}
}

// Phase is a stretch of a run in which all updates are built alike.
type Phase struct {
	Name    string
	Updates int // how many; 0 = the rest of the run

	Columns  []optim.Column // numbers of each update, by name; see Step.Column
	Averages []Average      // that move in this phase, beside that of the recipe; one that the phase before has not begins as what it follows
	Turns    []Turn         // taken in turn; at least one

	// Before is host work when the phase begins, After host work behind each pass of it, from 0; nil = none. What they make is in
	// variables of the host's store. They depend on nothing else, so that a run which resumes from a checkpoint does them again.
	Before func(ctx context.Context, h Host) error
	After  func(ctx context.Context, h Host, pass int) error
}

// Turn is one way to build an update.
type Turn struct {
	Updates int // in a row, before the next turn; 0 = a pass
	Build   func(s *Step) []Goal
}

// Goal is what some variables move for.
type Goal struct {
	Name      string
	Terms     []Term       // added up
	Moves     string       // scope whose trainable variables move, "/second/model"; of a part of "/model" what the recipe trains; "" = all that it trains, and all under Own
	Optimizer *optim.Setup // nil = the recipe's
	SkipBad   bool         // an update whose loss or gradient is not finite moves nothing and is counted, instead of ending the run
}

// Own is the scope of an objective's own variables: heads, tables and modules that the saved model does not have. Those that can be
// trained move with the network.
const Own = "/objective"

// Term is a part of a goal's loss.
type Term struct {
	Name   string
	Value  *Node // a scalar: its gradient is followed
	Report *Node // a scalar: what is logged
	Whole  bool  // of a batch that cannot be taken apart
	Free   bool  // of no examples: micro-batches and devices have a part each
}

// Whole is a term of a batch that cannot be taken apart, weight scalar. The trainer refuses it with several micro-batches, and with several
// devices unless what it was made of went through Step.Gather.
func Whole(name string, scalar *Node, weight float64) Term {
	v := scaled(scalar, weight)
	return Term{Name: name, Value: v, Report: StopGradient(v), Whole: true}
}

// Free is a term that has nothing to do with examples, such as a penalty on weights: weight scalar, once per update.
func Free(name string, scalar *Node, weight float64) Term {
	t := Whole(name, scalar, weight)
	t.Whole, t.Free = false, true
	return t
}

// Average is a copy of a network that follows it: average <- decay average + (1-decay) weights after each update. It is under
// AverageScope and the path of what it follows.
type Average struct {
	Of         string  // scope: "/model"
	Decay      float64 // [0, 1)
	Column     string  // name of the column that has the decay of each update; "" = Decay
	Statistics string  // of norms: average (as the weights), copy (those of the network) or own (what passes through the copy move)
}

// AverageScope is where averages stand: that of /model is /average/model.
const AverageScope = "/average"

// How an average takes the statistics of norms.
const (
	StatisticsAverage = "average"
	StatisticsCopy    = "copy"
	StatisticsOwn     = "own"
)

// Host is what host work sees of the run.
type Host interface {
	Store() *model.Store
	Data(stream string) (set data.Dataset, labels []int32)

	// Truth is the labels of a stream before wrong ones were put in their place on purpose; those of Data where none were.
	Truth(stream string) []int32

	// Forward returns, for the examples of a stream in their order, what f builds of them, x preprocessed; nothing is trained.
	Forward(ctx context.Context, stream string, f func(scope *model.Scope, x *Node) *Node) (values []float32, width int, err error)

	// Rand is a generator for a use; it depends on the seed, the use and the update alone.
	Rand(use string) *rand.Rand
}

// CheckPhases says what is wrong with what Phases returned, for a run of so many updates.
func CheckPhases(phases []Phase, updates int) error {
	var errs []error
	if len(phases) == 0 {
		errs = append(errs, errors.New("there are no phases; return at least one"))
	}
	left := updates
	for i, p := range phases {
		switch {
		case len(p.Turns) == 0:
			errs = append(errs, fmt.Errorf("phase %s has no turns", p.Name))
		case p.Updates < 0:
			errs = append(errs, fmt.Errorf("phase %s has %d updates", p.Name, p.Updates))
		case p.Updates == 0 && i < len(phases)-1:
			errs = append(errs, fmt.Errorf("phase %s takes the rest of the run, and is not the last", p.Name))
		}
		for k, t := range p.Turns {
			if t.Updates < 0 || t.Build == nil {
				errs = append(errs, fmt.Errorf("turn %d of phase %s has %d updates, or nothing that builds them", k, p.Name, t.Updates))
			}
		}
		left -= p.Updates
	}
	if n := len(phases); n > 0 && phases[n-1].Updates > 0 && left > 0 {
		errs = append(errs, fmt.Errorf("the phases end %d updates before the run; the last one may take the rest with Updates 0", left))
	}
	return errors.Join(errs...)
}

// PhaseAt returns the phase of an update, from 0, and the update at which it began.
func PhaseAt(phases []Phase, update int) (phase, began int) {
	for phase < len(phases)-1 && phases[phase].Updates > 0 && update >= began+phases[phase].Updates {
		began += phases[phase].Updates
		phase++
	}
	return phase, began
}

// TurnAt returns the turn of the update that is the given number of updates into its phase; perPass is the length of a pass.
func (p Phase) TurnAt(into, perPass int) int {
	lengths := make([]int, len(p.Turns))
	round := 0
	for i, t := range p.Turns {
		lengths[i] = t.Updates
		if t.Updates == 0 {
			lengths[i] = perPass
		}
		round += lengths[i]
	}
	into %= round
	for i, n := range lengths {
		if into < n {
			return i
		}
		into -= n
	}
	return 0
}

func scaled(x *Node, weight float64) *Node {
	if weight == 1 {
		return x
	}
	return MulScalar(x, weight)
}

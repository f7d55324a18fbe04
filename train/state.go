package train

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/train/update"
)

// What a run moves besides the weights lives in the same store, as variables that do not train: a checkpoint of the store
// is a checkpoint of everything.
const (
	modelScope       = "/model"                 // the network
	optimizerScope   = "/optimizer"             // a scope for each slot of the optimizer
	rulesScope       = "rules"                  // what rules keep
	accumulatedScope = "/optimizer/accumulated" // gradients of the micro-batches so far
	initialScope     = "/initial"               // first values of what is watched
	trainScope       = "/train"                 // how far the run is
	noteScope        = "/train/note"            // float32: sums, since the last log, of what the objective notes
	stepPath         = "/train/step"            // int32: updates done
	microPath        = "/train/micro"           // int32: micro-batches done of the present update
	badPath          = "/train/bad"             // int32: first update whose loss or gradient was not finite, 0 = none
	skippedPath      = "/train/skipped"         // int32: updates of goals that leave out bad ones
	lossPath         = "/train/loss"            // float32: loss of the micro-batches so far of the present update
	lossSumPath      = "/train/loss_sum"        // float32: sum of the losses since the last one logged
	gradNormPath     = "/train/grad_norm"       // float32: norm of the last gradient, before the rules
)

// state is the store of a run and its variables by use.
type state struct {
	store    *model.Store
	model    []*model.Variable // everything under /model, in the order of creation
	recipe   mover             // what the recipe trains of the network
	initial  []*model.Variable // variables whose first values are kept
	averages []average
	notes    []string // names of what the objective notes, sorted
	step     *model.Variable
	micro    *model.Variable
	bad      *model.Variable
	skipped  *model.Variable
	loss     *model.Variable
	lossSum  *model.Variable
	gradNorm *model.Variable
}

// mover is variables that move together.
type mover struct {
	variables []*model.Variable
	only      []*tensors.Tensor // of each, where it is moved; nil = everywhere
}

// average is a copy that follows some variables.
type average struct {
	update.Average
	of, to []*model.Variable
	recipe bool // moves in all phases
}

// newState creates the variables of the network with their first values.
func newState(r Recipe, b *bundle.Bundle, backend model.Backend) (*state, error) {
	s := &state{store: b.Store}
	param.Seed(s.store, r.Seed)
	if err := s.store.SetRNGStateFromSeed(int64(r.Seed)); err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	if err := b.Declare(backend); err != nil {
		return nil, badRecipe("network", err)
	}
	if err := s.store.InitializeVariables(backend, nil); err != nil {
		return nil, fmt.Errorf("train: first values of the weights: %w", err)
	}
	s.model = s.under(modelScope)
	trainable := trainableOf(s.model)
	if len(trainable) == 0 {
		return nil, fmt.Errorf("train: the network has no trainable variable")
	}
	if err := redraw(r, s.store, trainable); err != nil {
		return nil, err
	}
	selected, err := r.Freeze.Select(trainable)
	if err != nil {
		return nil, err
	}
	for _, t := range selected {
		s.recipe.variables, s.recipe.only = append(s.recipe.variables, t.Variable), append(s.recipe.only, t.Only)
	}
	for _, w := range r.Watch {
		for _, v := range w.Watched(s.recipe.variables) {
			if !slices.Contains(s.initial, v) {
				s.initial = append(s.initial, v)
			}
		}
	}
	return s, nil
}

// under are the variables of a scope, in the order of creation.
func (s *state) under(scope string) []*model.Variable {
	var all []*model.Variable
	for v := range s.store.IterVariables() {
		if strings.HasPrefix(v.Path(), scope+"/") {
			all = append(all, v)
		}
	}
	return all
}

func trainableOf(variables []*model.Variable) []*model.Variable {
	var all []*model.Variable
	for _, v := range variables {
		if v.Trainable {
			all = append(all, v)
		}
	}
	return all
}

// moves are the variables of a goal: what the recipe trains with what is the objective's own, what it trains of a part of the network, or
// everything trainable under another scope.
func (s *state) moves(scope string) mover {
	if scope == modelScope || strings.HasPrefix(scope, modelScope+"/") {
		var m mover
		for i, v := range s.recipe.variables {
			if strings.HasPrefix(v.Path(), scope+"/") {
				m.variables, m.only = append(m.variables, v), append(m.only, s.recipe.only[i])
			}
		}
		return m
	}
	if scope != "" {
		variables := trainableOf(s.under(scope))
		return mover{variables, make([]*tensors.Tensor, len(variables))}
	}
	own := trainableOf(s.under(update.Own))
	return mover{
		slices.Concat(s.recipe.variables, own),
		slices.Concat(s.recipe.only, make([]*tensors.Tensor, len(own))),
	}
}

// badRecipe is what building a graph says against the options of a recipe, or against the machine's memory.
func badRecipe(field string, err error) error {
	var short *memory.Error
	if errors.As(err, &short) {
		return fmt.Errorf("train: %w", err)
	}
	return &fault.Input{File: "recipe", Field: field, Err: err, Fix: "correct the network's options or take other data"}
}

// goal is a goal of a turn, as far as it is known before the run.
type goal struct {
	name  string
	setup optim.Setup
	own   bool // the setup is not the recipe's
	mover
	skips bool
}

// rate is the name of the column of its learning rate.
func (g goal) rate() string { return g.column("rate") }

// column is the name of a column of its optimizer.
func (g goal) column(name string) string {
	if g.own {
		return g.name + "." + name
	}
	return name
}

// affordable holds the run's copies of the weights against the memory's limit before extend makes them.
func (s *state) affordable(r Recipe, goals []goal) error {
	size := func(variables []*model.Variable) (bytes int64) {
		for _, v := range variables {
			bytes += int64(v.Shape().ByteSize())
		}
		return bytes
	}
	need := size(s.model) + size(s.under(update.Own)) + size(s.initial)
	counted := map[*model.Variable]bool{}
	for _, g := range goals {
		copies := int64(1 + len(g.setup.Optimizer.Slots())) // gradients and moments
		if r.Accumulate > 1 {
			copies++
		}
		for _, v := range g.variables {
			if counted[v] {
				continue
			}
			counted[v] = true
			need += copies * int64(v.Shape().ByteSize())
			if !strings.HasPrefix(v.Path(), modelScope+"/") && !strings.HasPrefix(v.Path(), update.Own+"/") {
				need += int64(v.Shape().ByteSize()) // a further network
			}
		}
	}
	for _, a := range s.averages {
		need += size(a.of)
	}
	if err := memory.Need("training: weights, gradients and the optimizer's state", need); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	return nil
}

// extend creates what belongs to the run rather than to networks.
func (s *state) extend(r Recipe, goals []goal) (err error) {
	create := func(path string, value func() (*tensors.Tensor, error)) *model.Variable {
		if err != nil {
			return nil
		}
		if v := s.store.GetVariable(path); v != nil {
			return v
		}
		var t *tensors.Tensor
		if t, err = value(); err != nil {
			return nil
		}
		var v *model.Variable
		if v, err = s.store.CreateVariable(path, t); err == nil {
			v.SetTrainable(false)
		}
		return v
	}
	whole := func() (*tensors.Tensor, error) { return tensors.FromScalar(int32(0)), nil }
	zero := func() (*tensors.Tensor, error) { return tensors.FromScalar(float32(0)), nil }
	zeros := func(scope string, of []*model.Variable) {
		for _, v := range of {
			create(scope+v.Path(), func() (*tensors.Tensor, error) { return tensors.FromShape(v.Shape()), nil })
		}
	}
	copies := func(scope string, of []*model.Variable) (made []*model.Variable) {
		for _, v := range of {
			made = append(made, create(scope+v.Path(), func() (*tensors.Tensor, error) { return v.MustValue().LocalClone() }))
		}
		return made
	}

	s.step, s.bad = create(stepPath, whole), create(badPath, whole)
	s.lossSum, s.gradNorm = create(lossSumPath, zero), create(gradNormPath, zero)
	if r.Accumulate > 1 {
		s.micro, s.loss = create(microPath, whole), create(lossPath, zero)
	}
	for _, name := range s.notes {
		create(noteScope+"/"+name, zero)
	}
	for _, g := range goals {
		for _, slot := range g.setup.Optimizer.Slots() {
			zeros(optimizerScope+"/"+slot, g.variables)
		}
		if r.Accumulate > 1 {
			zeros(accumulatedScope, g.variables)
		}
		if g.skips {
			s.skipped = create(skippedPath, whole)
		}
	}
	for i, a := range s.averages {
		s.averages[i].to = copies(update.AverageScope, a.of)
		if err == nil {
			err = s.averages[i].begin()
		}
	}
	copies(initialScope, s.initial)
	return err
}

// begin gives an average the first values of what it follows. Where the objective passes through the average, building the graphs made
// its variables as those of any network: trainable, with draws of their own.
func (a average) begin() error {
	for i, v := range a.of {
		value, err := v.MustValue().LocalClone()
		if err != nil {
			return err
		}
		if err := a.to[i].SetValue(value); err != nil {
			return err
		}
		a.to[i].SetTrainable(false)
	}
	return nil
}

// follow adds an average, unless what it follows has one already.
func (s *state) follow(a update.Average, recipe bool) error {
	of := s.under(a.Of)
	if len(of) == 0 {
		return fmt.Errorf("train: the average of %s follows nothing: there are no variables", a.Of)
	}
	for _, other := range s.averages {
		if other.Average == a {
			return nil
		}
		if slices.ContainsFunc(of, func(v *model.Variable) bool { return slices.Contains(other.of, v) }) {
			return fmt.Errorf("train: the objective averages %s, and so does the recipe in another way; leave average out of the recipe", a.Of)
		}
	}
	s.averages = append(s.averages, average{Average: a, of: of, recipe: recipe})
	return nil
}

// slots are what an optimizer keeps of a variable.
func (s *state) slots(o optim.Optimizer, v *model.Variable) []*model.Variable {
	var slots []*model.Variable
	for _, slot := range o.Slots() {
		slots = append(slots, s.beside(optimizerScope+"/"+slot, v))
	}
	return slots
}

// beside returns the variable that holds what a scope keeps for v.
func (s *state) beside(scope string, v *model.Variable) *model.Variable {
	return s.store.GetVariable(scope + v.Path())
}

// finite says whether every number of the state is finite, and which variable holds one that is not.
func (s *state) finite() (name string, ok bool) {
	for v := range s.store.IterVariables() {
		ok := true
		if v.DType() == dtypes.Float32 && v.HasValue() {
			tensors.MustConstFlatData(v.MustValue(), func(flat []float32) {
				for _, x := range flat {
					if x-x != 0 { // NaN or infinite
						ok = false
						return
					}
				}
			})
		}
		if !ok {
			return v.Path(), false
		}
	}
	return "", true
}

// scalar reads a variable of one number; it waits until the device has computed it.
func scalar[T int32 | float32](v *model.Variable) (T, error) {
	value, err := v.Value()
	if err != nil {
		return 0, fmt.Errorf("train: %w", err)
	}
	flat, err := tensors.CopyFlatData[T](value)
	if err != nil {
		return 0, fmt.Errorf("train: read %s: %w", v.Path(), err)
	}
	return flat[0], nil
}

// first are the first values of variables.
func (s *state) first(of []*model.Variable) []*model.Variable {
	kept := make([]*model.Variable, len(of))
	for i, v := range of {
		kept[i] = s.beside(initialScope, v)
	}
	return kept
}

// lookProgram compiles what a watcher measures.
func (s *state) lookProgram(backend model.Backend, w optim.Watcher) (*model.Exec, error) {
	watched := w.Watched(s.recipe.variables)
	return model.NewExec(backend, s.store, func(_ *model.Scope, g *Graph) []*Node {
		return w.Look(g, watched, s.first(watched))
	})
}

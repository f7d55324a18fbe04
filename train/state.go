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
)

// What a run moves besides the weights lives in the same store, as variables that do not train: a checkpoint of the store
// is a checkpoint of everything.
const (
	modelScope       = "/model"                 // the network
	optimizerScope   = "/optimizer"             // a scope for each slot of the optimizer
	rulesScope       = "rules"                  // what rules keep
	accumulatedScope = "/optimizer/accumulated" // gradients of the micro-batches so far
	averageScope     = "/average"               // average of everything under /model
	initialScope     = "/initial"               // first values of what is watched
	stepPath         = "/train/step"            // int32: updates done
	microPath        = "/train/micro"           // int32: micro-batches done of the present update
	badPath          = "/train/bad"             // int32: first update whose loss or gradient was not finite, 0 = none
	lossPath         = "/train/loss"            // float32: loss of the micro-batches so far of the present update
	lossSumPath      = "/train/loss_sum"        // float32: sum of the losses since the last one logged
	gradNormPath     = "/train/grad_norm"       // float32: norm of the last gradient, before clipping
)

// state is the store of a run and its variables by use.
type state struct {
	store     *model.Store
	model     []*model.Variable // everything under /model, in the order of creation
	trainable []*model.Variable
	only      []*tensors.Tensor   // of each trainable, where it is trained; nil = everywhere
	slots     [][]*model.Variable // of each trainable, what the optimizer keeps of it
	initial   []*model.Variable   // variables whose first values are kept
	step      *model.Variable
	micro     *model.Variable
	bad       *model.Variable
	loss      *model.Variable
	lossSum   *model.Variable
	gradNorm  *model.Variable
}

// newState creates every variable of the run with its first value.
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
	for v := range s.store.IterVariables() {
		if !strings.HasPrefix(v.Path(), modelScope+"/") {
			continue
		}
		s.model = append(s.model, v)
		if v.Trainable {
			s.trainable = append(s.trainable, v)
		}
	}
	if len(s.trainable) == 0 {
		return nil, fmt.Errorf("train: the network has no trainable variable")
	}
	if err := redraw(r, s.store, s.trainable); err != nil {
		return nil, err
	}
	selected, err := r.Freeze.Select(s.trainable)
	if err != nil {
		return nil, err
	}
	s.trainable = nil
	for _, t := range selected {
		s.trainable, s.only = append(s.trainable, t.Variable), append(s.only, t.Only)
	}
	for _, w := range r.Watch {
		for _, v := range w.Watched(s.trainable) {
			if !slices.Contains(s.initial, v) {
				s.initial = append(s.initial, v)
			}
		}
	}
	if err := s.affordable(r); err != nil {
		return nil, err
	}
	if err := s.extend(r); err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	return s, nil
}

// badRecipe is what building a graph says against the options of a recipe, or against the machine's memory.
func badRecipe(field string, err error) error {
	var short *memory.Error
	if errors.As(err, &short) {
		return fmt.Errorf("train: %w", err)
	}
	return &fault.Input{File: "recipe", Field: field, Err: err, Fix: "correct the network's options or take other data"}
}

// affordable holds the run's copies of the weights against the memory's limit before extend makes them.
func (s *state) affordable(r Recipe) error {
	size := func(variables []*model.Variable) (bytes int64) {
		for _, v := range variables {
			bytes += int64(v.Shape().ByteSize())
		}
		return bytes
	}
	need, trained := size(s.model), size(s.trainable)
	copies := int64(1 + len(r.Optimizer.Slots())) // gradients and moments
	if r.Accumulate > 1 {
		copies++
	}
	need += copies*trained + size(s.initial)
	if r.Average.Decay > 0 {
		need += size(s.model)
	}
	if err := memory.Need("training: weights, gradients and the optimizer's state", need); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	return nil
}

// extend creates what belongs to the run rather than to the network.
func (s *state) extend(r Recipe) (err error) {
	create := func(path string, value *tensors.Tensor) *model.Variable {
		if err != nil {
			return nil
		}
		var v *model.Variable
		if v, err = s.store.CreateVariable(path, value); err == nil {
			v.SetTrainable(false)
		}
		return v
	}
	zeros := func(scope string, of []*model.Variable) {
		for _, v := range of {
			create(scope+v.Path(), tensors.FromShape(v.Shape()))
		}
	}
	copies := func(scope string, of []*model.Variable) {
		for _, v := range of {
			value, cloneErr := v.MustValue().LocalClone()
			if cloneErr != nil {
				err = cloneErr
				return
			}
			create(scope+v.Path(), value)
		}
	}
	s.step = create(stepPath, tensors.FromScalar(int32(0)))
	s.bad = create(badPath, tensors.FromScalar(int32(0)))
	s.lossSum = create(lossSumPath, tensors.FromScalar(float32(0)))
	s.gradNorm = create(gradNormPath, tensors.FromScalar(float32(0)))
	for _, slot := range r.Optimizer.Slots() {
		zeros(optimizerScope+"/"+slot, s.trainable)
	}
	if r.Accumulate > 1 {
		s.micro = create(microPath, tensors.FromScalar(int32(0)))
		s.loss = create(lossPath, tensors.FromScalar(float32(0)))
		zeros(accumulatedScope, s.trainable)
	}
	if r.Average.Decay > 0 {
		copies(averageScope, s.model)
	}
	copies(initialScope, s.initial)
	if err != nil {
		return err
	}
	for _, v := range s.trainable {
		var slots []*model.Variable
		for _, slot := range r.Optimizer.Slots() {
			slots = append(slots, s.beside(optimizerScope+"/"+slot, v))
		}
		s.slots = append(s.slots, slots)
	}
	return nil
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
	watched := w.Watched(s.trainable)
	return model.NewExec(backend, s.store, func(_ *model.Scope, g *Graph) []*Node {
		return w.Look(g, watched, s.first(watched))
	})
}

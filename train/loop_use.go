package train

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/train/update"
)

// Step is how many updates have been made since Open or Begin.
func (l *Loop) Step() int { return l.step }

// Store has every variable that the run moves: networks, averages, the objective's own, what optimizers keep, and how far the run is.
func (l *Loop) Store() (*model.Store, error) { return l.state.store, l.gather() }

// Phases are the updates, from 0, at which the phases of the objective begin, as far as they are within the run.
func (l *Loop) Phases() []int {
	var all []int
	began := 0
	for _, p := range l.phases {
		if began < l.plan.steps {
			all = append(all, began)
		}
		began += p.Updates
	}
	return all
}

// Moves are the paths of the variables that an update, from 0, moves for its goals.
func (l *Loop) Moves(update int) []string {
	var paths []string
	for _, g := range l.goals[l.at(update)] {
		for _, v := range g.variables {
			paths = append(paths, v.Path())
		}
	}
	return paths
}

// Updates makes n more updates. Ending ctx stops between two of them; when an update's loss or gradient was not finite, the error behind
// all n is a *Diverged.
func (l *Loop) Updates(ctx context.Context, n int) error {
	for range n {
		if ctx.Err() != nil {
			return fmt.Errorf("train: stopped after step %d: %w", l.step, context.Cause(ctx))
		}
		if err := l.next(ctx); err != nil {
			return err
		}
	}
	bad, err := scalar[int32](l.state.bad)
	if err != nil {
		return err
	}
	if bad != 0 {
		return &Diverged{Step: int(bad)}
	}
	return nil
}

// Begin starts anew with a seed, as Open would with a recipe of that seed: first values of the weights and of all other state, the order
// of the examples, and what is random in the graphs. What was done to the data once stays as it is.
func (l *Loop) Begin(seed uint64) error {
	fresh := *l
	fresh.recipe.Seed = seed
	store := model.NewStore()
	defer store.Finalize()
	var err error
	if fresh.state, err = l.firstState(fresh.recipe, &bundle.Bundle{Manifest: l.trained, Store: store}, func(string) {}); err != nil {
		return err
	}
	goals, err := fresh.trace()
	if err != nil {
		return err
	}
	if err := fresh.average(); err != nil {
		return err
	}
	if err := fresh.state.extend(fresh.recipe, goals); err != nil {
		return fmt.Errorf("train: %w", err)
	}

	if err := l.gather(); err != nil {
		return err
	}
	for v := range l.state.store.IterVariables() {
		from := store.GetVariable(v.Path())
		if from == nil {
			return fmt.Errorf("train: begin anew: %s is not a variable of the recipe", v.Path())
		}
		if err := assign(v, from); err != nil {
			return err
		}
	}
	l.recipe.Seed, l.course.seed, l.trained.Provenance.Seed = seed, seed, seed
	for _, s := range l.material.streams {
		s.seed = streamSeed(seed, s.name)
	}
	l.step, l.begun = 0, false
	return nil
}

// assign gives a variable a copy of the value of another.
func assign(to, from *model.Variable) error {
	value, err := from.Value()
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	own, err := value.LocalClone()
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if err := to.SetValue(own); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	return nil
}

// streamSeed is the seed of the order of a stream.
func streamSeed(seed uint64, name string) uint64 {
	if name == update.Train {
		return seed
	}
	return seed ^ hashed(name)
}

// Rate has the updates from here on take another learning rate: what optimizer.lr is in the recipe, before its schedule.
func (l *Loop) Rate(lr float64) error {
	rates, err := l.recipe.Schedule.Course(lr, l.recipe.BatchSize, l.plan.stepsPerEpoch, l.plan.steps)
	if err != nil {
		return err
	}
	l.plan.course = rates
	l.course.columns = slices.Clone(l.course.columns)
	l.course.columns[0] = rateColumn(goal{}.rate(), rates)
	l.begun = false // the table of the present pass is made again
	return nil
}

// Weights returns a copy of the network's float32 variables; see bundle.Bundle.Weights.
func (l *Loop) Weights() (weights.Set, error) {
	if err := l.gather(); err != nil {
		return nil, err
	}
	return l.bundle.Weights()
}

// Set gives the network other weights, a set with the layout of Weights, where its averages begin anew. What the optimizer keeps stays:
// Begin before Set starts from other weights as if nothing had been trained.
func (l *Loop) Set(w weights.Set) error {
	if err := l.gather(); err != nil {
		return err
	}
	if err := l.bundle.SetWeights(w); err != nil {
		return err
	}
	for _, a := range l.state.averages {
		for i, v := range a.of {
			if err := assign(a.to[i], v); err != nil {
				return err
			}
		}
	}
	for i, v := range l.state.first(l.state.initial) {
		if err := assign(v, l.state.initial[i]); err != nil {
			return err
		}
	}
	return nil
}

// Data has the updates from here on see other examples, of the shape and classes of those of Open and at most as many. A pass of the loop
// stays as long as it was: a smaller set is gone through again, in another order each time. How many examples a class has, which some
// losses count by, stays as in the set of Open.
func (l *Loop) Data(ctx context.Context, set data.Dataset) error {
	s := l.material.train()
	if set.Len() > s.capacity || set.Len() < 1 {
		return fmt.Errorf("train: the set has %d examples, the programs are made for at most %d; open the loop with the largest set", set.Len(), s.capacity)
	}
	if have, want := set.Info().Shape, s.examples.Set.Info().Shape; !slices.Equal(have, want) {
		return fmt.Errorf("train: the examples are %v, the programs are made for %v", have, want)
	}
	if have, want := len(set.Info().Classes), len(s.examples.Set.Info().Classes); have != want {
		return fmt.Errorf("train: the examples have %d classes, the programs are made for %d", have, want)
	}
	if s.examples.Weights != nil {
		return fmt.Errorf("train: the examples have weights, which belong to one set; open a loop without weigh.examples")
	}
	before := s.examples
	s.examples = data.Begin(set, nil)
	if err := l.give(ctx, s); err != nil {
		s.examples = before
		return err
	}
	l.begun = false
	return nil
}

// give has the feed of a stream take its set.
func (l *Loop) give(ctx context.Context, s *stream) error {
	if err := s.check(); err != nil {
		return err
	}
	fresh := s.fields(l.recipe, l.plan)
	switch f := l.feeds[slices.Index(l.material.streams, s)].(type) {
	case *hostFeed:
		if !fresh.like(f.fields) {
			return errKind
		}
		f.fields = fresh
	case *deviceFeed:
		if set := s.examples.Set; !fresh.like(f.fields) || f.bytes != (bytesOf(set) != nil && fresh.tokens == nil) {
			return errKind
		}
		was := f.fields
		f.fields = fresh
		if err := f.bring(ctx, s.examples.Set); err != nil {
			f.fields = was
			return err
		}
	}
	return nil
}

// errKind is the error of a set that the programs of a loop have no room for.
var errKind = errors.New("train: one set gives bytes and the other floats, or only one has targets, domains or text; give sets of one kind")

// Bundle is a copy of the network as it is now.
func (l *Loop) Bundle() (*bundle.Bundle, error) {
	if err := l.gather(); err != nil {
		return nil, err
	}
	b, err := l.bundle.Clone(l.options.Engine.Backend)
	if err != nil {
		return nil, err
	}
	b.Manifest = l.trained
	b.Manifest.Provenance.Steps = l.step
	return b, nil
}

// Loss is the mean loss of the updates since the last multiple of log_every; it is not finite once that of an update was not.
func (l *Loop) Loss() (float64, error) {
	if l.step == 0 {
		return 0, fmt.Errorf("train: there is no loss before the first update")
	}
	sum, err := scalar[float32](l.state.lossSum)
	return float64(sum) / float64((l.step-1)%l.recipe.LogEvery+1), err
}

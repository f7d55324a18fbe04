package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gomlx/compute/distributed"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data/sample"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/train/update"
	"github.com/ballast-ml/ballast/zoo"
)

// Loop is the compiled programs of a recipe with the state that they update. Run goes through it; procedures of many runs use it
// repeatedly. Other examples, weights, rates and seeds do not need new programs.
type Loop struct {
	recipe   Recipe
	options  Options
	plan     plan
	material material
	state    *state
	feeds    []feed
	trained  bundle.Manifest
	bundle   *bundle.Bundle // of the network being trained
	start    *start         // the model whose weights the network begins with; nil = none

	objective update.Plan
	phases    []update.Phase
	course    course
	spread    spread
	programs  map[[2]int]*programs // by phase and turn
	goals     map[[2]int][]goal    // of the same

	step   int // updates given to the device
	begun  bool
	tables [][]*tensors.Tensor // on each device: the columns of the pass, the updates done before it, and the key
	ranks  []*tensors.Tensor   // the number of each device; nil for one

	callSpent time.Duration // spent inside the engine
}

// programs are those of a turn.
type programs struct{ update, tail, micro *model.Exec } // tail: the last, smaller batch of a pass; nil where there is none

// Open gets everything ready for the first update: data, first values, programs. It writes nothing; Options.Dir and what reports are for
// Run. Close it.
func Open(ctx context.Context, r Recipe, o Options) (*Loop, error) {
	l, err := newLoop(r, o)
	if err != nil {
		return nil, err
	}
	if err := l.open(ctx); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// newLoop checks what can be checked without data.
func newLoop(r Recipe, o Options) (*Loop, error) {
	if o.Engine == nil {
		return nil, errors.New("train: no engine; give Options.Engine what engine.Open returns")
	}
	if err := r.Validate(); err != nil {
		return nil, err
	}
	resolved, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	if err := readable(resolved, o.Registry); err != nil {
		return nil, err
	}
	o.Devices = max(o.Devices, 1)
	if have := int(o.Engine.NumDevices()); o.Devices > have {
		return nil, &fault.Usage{Err: fmt.Errorf("train: %d devices; engine %s has %d", o.Devices, o.Engine.Kind, have)}
	}
	if part := r.BatchSize / r.Accumulate; part%o.Devices != 0 {
		return nil, &fault.Usage{Err: fmt.Errorf("train: %d devices do not divide the %d examples of a batch evenly; use a batch_size that they divide", o.Devices, part)}
	}
	if o.Remark == nil {
		o.Remark = func(string) {}
	}
	return &Loop{recipe: r, options: o, programs: map[[2]int]*programs{}}, nil
}

// open prepares data, state and programs.
func (l *Loop) open(ctx context.Context) (err error) {
	if l.material, err = prepare(l.recipe, l.options); err != nil {
		return err
	}
	if l.start, err = l.recipe.start(ctx, l.options.Registry); err != nil {
		return err
	}
	if l.trained, err = l.manifest(ctx); err != nil {
		return err
	}
	l.warn()

	if err := l.planned(); err != nil {
		return err
	}

	l.bundle = &bundle.Bundle{Manifest: l.trained, Store: model.NewStore()}
	if l.state, err = l.firstState(l.recipe, l.bundle, l.options.Remark); err != nil {
		return err
	}
	if err := l.feed(ctx); err != nil {
		return err
	}
	return l.build()
}

// planned lays out the passes and updates, and refuses what cannot be drawn.
func (l *Loop) planned() (err error) {
	if l.plan, err = l.recipe.plan(l.material.train().examples.Set.Len()); err != nil {
		return err
	}
	if err := l.checkPadding(); err != nil {
		return err
	}
	if l.material.train().pads() {
		l.plan.last = 0 // padding fills the last batch
	}

	for _, s := range l.material.streams { // what a sampler cannot draw it says before the run is accepted
		if _, err := s.epoch(l.recipe, l.plan, 0); err != nil {
			return err
		}
	}
	return nil
}

// firstState is the variables of the network with the values that they begin with: drawn, or those of a trained model.
func (l *Loop) firstState(r Recipe, b *bundle.Bundle, say func(string)) (*state, error) {
	s, err := newState(r, b, l.options.Engine.Backend)
	if err != nil || l.start == nil {
		return s, err
	}

	remark, err := l.start.fill(l.trained.Network, s.model)
	if remark != "" {
		say(remark)
	}
	return s, err
}

// checkPadding refuses padding for a batch that is left out.
func (l *Loop) checkPadding() error {
	s := l.material.train()
	shuffle, ok := s.sampler.(sample.Shuffle)
	if rest := s.examples.Set.Len() % s.batch; ok && shuffle.Pad && l.recipe.DropLast && rest > 0 {
		return &fault.Usage{Err: fmt.Errorf("recipe: sampler.pad fills up the last batch of a pass, which has %d examples, and drop_last leaves it out; "+
			"use drop_last: false, or leave pad out", rest)}
	}
	return nil
}

// warn passes on what networks, norms and objectives find odd about their options, and says what has no effect.
func (l *Loop) warn() {
	b, usual := l.recipe.Schedule.LargeBatch, optim.NewSchedule().LargeBatch
	if b.SmallBatch != usual.SmallBatch && b.Rule == optim.ScaleNone && !b.RegimeAdaptation && l.recipe.Weigh.GradientNoise != -1 {
		l.options.Remark(fmt.Sprintf("schedule.large_batch.small_batch is %d and has no effect: nothing is adapted to it without rule: sqrt or linear, "+
			"regime_adaptation: true, or weigh.gradient_noise: -1", b.SmallBatch))
	}
	type warner interface{ Warning() string }
	network := l.trained.Network.Network
	candidates := []any{network, l.recipe.Objective.Objective}
	if f, ok := network.(zoo.Foldable); ok {
		candidates = append(candidates, f.NormLayer())
	}
	for _, c := range candidates {
		if w, ok := c.(warner); ok && w.Warning() != "" {
			l.options.Remark(w.Warning())
		}
	}
}

// manifest describes the model that is about to be trained.
func (l *Loop) manifest(ctx context.Context) (bundle.Manifest, error) {
	network, err := l.recipe.network()
	if err != nil {
		return bundle.Manifest{}, err
	}

	set := l.material.train().examples.Set
	info := set.Info()
	classes := l.material.train().told().Outputs
	if shaped, ok := l.recipe.Objective.Objective.(update.Shaped); ok {
		network.Network = shaped.Network(network.Network, classes)
		if err := network.Network.Validate(); err != nil {
			return bundle.Manifest{}, badRecipe("objective", err)
		}
	} else {
		network.Network = network.WithOutputs(classes) // the data decide
	}

	labels := info.Classes
	switch {
	case network.Task() == zoo.Embed || network.Task() == zoo.Translate:
		labels = nil // the numbers of a vector have no names, nor have the channels of an image
	case network.Outputs() != len(labels):
		labels = make([]string, network.Outputs())
		for i := range labels {
			labels[i] = fmt.Sprint(i)
		}
	}

	m := bundle.NewManifest(network, info.Shape, labels)
	m.Name = l.recipe.Name
	if l.start != nil && l.recipe.Preprocess != "none" {
		m.Preprocess = l.start.Manifest.Preprocess // what its weights are used to
	} else if m.Preprocess, err = preprocess(ctx, l.recipe, set); err != nil {
		return bundle.Manifest{}, err
	}

	resolved, err := json.Marshal(l.recipe)
	if err != nil {
		return bundle.Manifest{}, fmt.Errorf("train: %w", err)
	}
	m.Provenance = bundle.Provenance{
		Recipe: json.RawMessage(resolved), Seed: l.recipe.Seed,
		Data: info.Name, DataChecksum: l.material.checksum, DataLicence: info.Licence,
		ClassCounts: l.material.train().counted(),
		Engine:      l.options.Engine.Kind, Versions: bundle.Versions(), Created: time.Now().UTC().Truncate(time.Second),
	}
	return m, nil
}

// feed brings the data to the device, where it fits.
func (l *Loop) feed(ctx context.Context) error {
	devices := l.options.Devices
	if l.plan.last%devices != 0 {
		return &fault.Usage{Err: fmt.Errorf("train: the last batch of an epoch has %d examples, which %d devices do not divide evenly; use drop_last: true", l.plan.last, devices)}
	}

	left := l.options.DeviceBytes
	if left == 0 {
		left = 1 << 30
	}
	for _, s := range l.material.streams {
		if part := s.batch / l.recipe.Accumulate; s.batch%l.recipe.Accumulate != 0 || part%devices != 0 {
			return &fault.Input{Err: fmt.Errorf("train: stream %s has %d examples an update, which %d micro-batches on %d devices do not divide evenly; use another batch",
				s.name, s.batch, l.recipe.Accumulate, devices)}
		}

		set := s.examples.Set
		bytes := int64(set.Len()) * int64(volume(set.Info().Shape))
		if bytesOf(set) == nil {
			bytes *= 4
		}
		f := s.fields(l.recipe, l.plan)
		if f.tokens != nil { // the text is there once, whatever its windows share
			bytes = 4 * int64(len(f.tokens.Stream())+set.Len())
		}
		if f.targets != nil {
			bytes += 4 * int64(set.Len()) * int64(volume(f.targets.TargetShape()))
		}

		if bytes > left && f.tokens == nil {
			l.feeds = append(l.feeds, &hostFeed{fields: f, cut: l.cut(s), dropLast: l.recipe.DropLast})
			continue
		}
		left -= bytes
		feed, err := newDeviceFeed(ctx, f, devices)
		if err != nil {
			return err
		}
		l.feeds = append(l.feeds, feed)
	}
	return nil
}

// cut says how an update is cut from a stream.
func (l *Loop) cut(s *stream) cut {
	return cut{size: s.batch / l.recipe.Accumulate / l.options.Devices, devices: l.options.Devices, whole: s.batch, stride: s.batch}
}

// build asks the objective for its phases, makes every variable of the run, and gets ready to compile.
func (l *Loop) build() error {
	o := l.recipe.Objective.Objective
	l.objective = update.Plan{
		Network: l.trained.Network.Network, Streams: map[string]update.Stream{}, Standardized: len(l.trained.Preprocess.Mean) > 0,
		Updates: l.plan.steps, PerPass: l.plan.stepsPerEpoch, Accumulate: l.recipe.Accumulate, Devices: l.options.Devices,
		Registry: l.options.Registry,
	}
	for _, s := range l.material.streams {
		l.objective.Streams[s.name] = s.told()
	}
	if err := o.Validate(l.objective); err != nil {
		return err
	}
	if w, ok := o.(update.Warner); ok && w.Warning(l.objective) != "" {
		l.options.Remark(w.Warning(l.objective))
	}
	l.phases = o.Phases(l.objective)
	if err := update.CheckPhases(l.phases, l.plan.steps); err != nil {
		return fmt.Errorf("train: objective: %w", err)
	}

	goals, err := l.trace()
	if err != nil {
		return err
	}
	if l.course, err = l.recipe.course(l.plan, goals, asked(l.phases)); err != nil {
		return err
	}
	if err := l.average(); err != nil {
		return err
	}
	if err := l.state.affordable(l.recipe, goals); err != nil {
		return err
	}
	if err := l.state.extend(l.recipe, goals); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	return l.devices()
}

// trace builds every turn of every phase on placeholders, so that all variables are there, and returns their goals.
func (l *Loop) trace() (goals []goal, err error) {
	var names []string
	for _, c := range asked(l.phases) {
		names = append(names, c.Name)
	}

	backend := l.options.Engine.Backend
	// What a later turn makes may move for the goals of an earlier one: a second time sees all.
	l.goals = map[[2]int][]goal{}
	for range 2 {
		had := l.state.store.NumVariables()
		for i, p := range l.phases {
			for k, turn := range p.Turns {
				s := l.turn(i, turn, names)
				of, notes, err := s.trace(backend)
				if err != nil {
					return nil, err
				}
				l.goals[[2]int{i, k}] = of
				for _, n := range notes {
					if !slices.Contains(l.state.notes, n) {
						l.state.notes = append(l.state.notes, n)
					}
				}
			}
		}
		if err := l.state.store.InitializeVariables(backend, nil); err != nil {
			return nil, fmt.Errorf("train: first values of the objective's variables: %w", err)
		}
		if l.state.store.NumVariables() == had {
			break
		}
	}

	for i, p := range l.phases {
		for k := range p.Turns {
			of := l.goals[[2]int{i, k}]
			if err := checkGoals(of); err != nil {
				return nil, err
			}
			goals = append(goals, of...)
		}
	}
	slices.Sort(l.state.notes)
	return goals, nil
}

// average lists the copies that follow networks: the recipe's and the objective's.
func (l *Loop) average() error {
	if a := l.recipe.Average; a.Decay > 0 {
		if err := l.state.follow(update.Average{Of: modelScope, Decay: a.Decay, Statistics: a.Statistics}, true); err != nil {
			return err
		}
	}
	for _, p := range l.phases {
		for _, a := range p.Averages {
			if err := l.state.follow(a, false); err != nil {
				return err
			}
		}
	}
	return nil
}

// devices spreads the programs.
func (l *Loop) devices() error {
	devices := l.options.Devices
	l.tables = make([][]*tensors.Tensor, devices)
	l.spread = spread{backend: l.options.Engine.Backend, store: l.state.store}
	if devices == 1 {
		return nil
	}
	for i := range devices {
		l.ranks = append(l.ranks, tensors.FromScalar(int32(i)))
	}
	mesh, err := distributed.NewDeviceMesh([]int{devices}, []string{"data"})
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	l.spread.mesh = mesh
	return nil
}

// turn is what builds the graphs of a turn.
func (l *Loop) turn(phase int, t update.Turn, columns []string) step {
	s := step{
		averages: l.phases[phase].Averages,
		recipe:   l.recipe, state: l.state, turn: t, preprocess: l.trained.Preprocess.Apply, columns: columns,
		streams: l.material.streams, feeds: l.feeds, devices: l.options.Devices,
	}
	for _, stream := range l.material.streams {
		s.cuts = append(s.cuts, l.cut(stream))
	}
	return s
}

// at is the phase and the turn of an update, by which programs and goals are kept.
func (l *Loop) at(step int) [2]int {
	phase, began := update.PhaseAt(l.phases, step)
	return [2]int{phase, l.phases[phase].TurnAt(step-began, l.plan.stepsPerEpoch)}
}

// programsAt are the programs of the present update, which are made when they are first needed.
func (l *Loop) programsAt(step int) (*programs, error) {
	at := l.at(step)
	if p, ok := l.programs[at]; ok {
		return p, nil
	}
	s := l.turn(at[0], l.phases[at[0]].Turns[at[1]], l.course.names)
	p := &programs{}
	var err error
	if p.update, err = l.spread.compile(s.update); err != nil {
		return nil, err
	}
	if l.recipe.Accumulate > 1 {
		if p.micro, err = l.spread.compile(s.micro); err != nil {
			return nil, err
		}
	}
	if l.plan.last > 0 {
		t := s
		t.cuts = slices.Clone(s.cuts)
		t.cuts[0].size, t.cuts[0].whole = l.plan.last/l.options.Devices, l.plan.last
		if p.tail, err = l.spread.compile(t.update); err != nil {
			return nil, err
		}
	}
	l.programs[at] = p
	return p, nil
}

// begin gets ready for the rest of a pass: its places and its columns go to the device.
func (l *Loop) begin(ctx context.Context, pass, local int) error {
	for i, s := range l.material.streams {
		e, err := s.epoch(l.recipe, l.plan, pass)
		if err != nil {
			return err
		}
		if err := l.feeds[i].begin(ctx, e, local); err != nil {
			return err
		}
	}
	first := pass * l.plan.stepsPerEpoch
	rows := l.course.table(first, l.plan.stepsPerEpoch)
	l.release()
	for i := range l.tables {
		l.tables[i] = []*tensors.Tensor{
			tensors.FromFlatDataAndDimensions(rows, l.plan.stepsPerEpoch, len(l.course.columns)), tensors.FromScalar(int32(first)),
			tensors.FromFlatDataAndDimensions([]uint32{uint32(l.recipe.Seed), uint32(l.recipe.Seed >> 32)}, 2),
		}
	}
	l.begun = true
	return nil
}

// release frees the tables of the last pass.
func (l *Loop) release() {
	for i, own := range l.tables {
		_ = finalize(own) // nobody uses them any more; there is nothing to do about a failure
		l.tables[i] = nil
	}
}

// next gives one update to the device.
func (l *Loop) next(ctx context.Context) error {
	pass, local := l.step/l.plan.stepsPerEpoch, l.step%l.plan.stepsPerEpoch
	if phase, began := update.PhaseAt(l.phases, l.step); began == l.step {
		if err := l.enter(ctx, phase); err != nil {
			return err
		}
	}
	if local == 0 || !l.begun {
		if err := l.begin(ctx, pass, local); err != nil {
			return err
		}
	}
	// An update is not cut in two: its micro-batches are few, and half of one cannot be saved.
	if err := l.advance(context.WithoutCancel(ctx), local); err != nil {
		return err
	}
	l.step++
	if l.step%l.plan.stepsPerEpoch != 0 {
		return nil
	}
	phase, began := update.PhaseAt(l.phases, l.step-1)
	if p := l.phases[phase]; p.After != nil {
		if err := l.gather(); err != nil {
			return err
		}
		// Half of it cannot be saved either.
		if err := p.After(context.WithoutCancel(ctx), l.host(), l.step/l.plan.stepsPerEpoch-1-began/l.plan.stepsPerEpoch); err != nil {
			return fmt.Errorf("train: after a pass of phase %s: %w", p.Name, err)
		}
	}
	return nil
}

// enter begins a phase: averages that the phase before has not become what they follow, and then there is host work.
func (l *Loop) enter(ctx context.Context, phase int) error {
	p := l.phases[phase]
	var fresh []update.Average
	if phase > 0 {
		for _, a := range p.Averages {
			if !slices.Contains(l.phases[phase-1].Averages, a) {
				fresh = append(fresh, a)
			}
		}
	}
	if p.Before == nil && len(fresh) == 0 {
		return nil
	}
	if err := l.gather(); err != nil {
		return err
	}
	for _, a := range l.state.averages {
		if !slices.Contains(fresh, a.Average) {
			continue
		}
		if err := a.begin(); err != nil {
			return fmt.Errorf("train: %w", err)
		}
	}
	if p.Before == nil {
		return nil
	}
	if err := p.Before(ctx, l.host()); err != nil {
		return fmt.Errorf("train: before phase %s: %w", p.Name, err)
	}
	return nil
}

// advance calls the programs of the present update.
func (l *Loop) advance(ctx context.Context, local int) error {
	p, err := l.programsAt(l.step)
	if err != nil {
		return err
	}
	for micro := range l.recipe.Accumulate {
		exec := p.update
		switch {
		case micro < l.recipe.Accumulate-1:
			exec = p.micro
		case p.tail != nil && local == l.plan.stepsPerEpoch-1:
			exec = p.tail
		}
		if err := l.call(ctx, exec); err != nil {
			return err
		}
	}
	return nil
}

// call gives the next micro-batch to a program.
func (l *Loop) call(ctx context.Context, exec *model.Exec) error {
	args := make([][]any, l.options.Devices)
	for rank := range args {
		args[rank] = anys(l.tables[rank])
	}
	for _, f := range l.feeds {
		inputs, err := f.next(ctx)
		if err != nil {
			return err
		}
		for rank, own := range inputs {
			args[rank] = append(args[rank], own...)
		}
	}
	var all []any
	for rank, own := range args {
		if all = append(all, own...); len(args) > 1 {
			all = append(all, l.ranks[rank])
		}
	}

	called := time.Now()
	if _, err := exec.Call(all...); err != nil {
		return fmt.Errorf("train: step %d: %w", l.step+1, root(err))
	}
	l.callSpent += time.Since(called)
	for _, f := range l.feeds {
		if err := f.done(); err != nil {
			return fmt.Errorf("train: step %d: %w", l.step+1, err)
		}
	}
	return nil
}

// Close frees what the loop holds on the device; it may be called however far Open came.
func (l *Loop) Close() {
	l.release()
	for _, f := range l.feeds {
		f.close()
	}
	for _, p := range l.programs {
		for _, exec := range []*model.Exec{p.update, p.tail, p.micro} {
			if exec != nil {
				exec.Finalize()
			}
		}
	}
	if l.state != nil {
		l.state.store.Finalize()
	}
	if l.start != nil {
		l.start.Store.Finalize()
	}
}

// root is the error at the bottom: what a layer said when its graph was built, without the engine's account of where.
func root(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

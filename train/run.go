package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/safepoint"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/own"
	"github.com/ballast-ml/ballast/train/update"
)

// Options is what a run needs besides its recipe. But for the data and their weights nothing in it changes the numbers
// beyond rounding.
type Options struct {
	Engine *engine.Engine // required
	Dir    string         // run folder: checkpoints go to Dir/checkpoints; "" writes none
	Resume bool           // resume from the newest valid checkpoint in Dir, if there is one
	Anew   bool           // Accept removes what Dir holds; until then Dir is not read

	// Accept is called once everything was checked and before anything is written or removed; an error ends the run. nil = nothing to do.
	Accept func() error

	Sink     Sink           // receives what is measured; nil = nobody
	Progress func(Progress) // called a few times a second, and at the end; nil = nobody
	Look     *Look          // measured besides what the recipe watches; nil = nothing
	Remark   func(string)   // receives one line for a person: a broken checkpoint skipped, ...; nil = nobody

	Data    data.Dataset            // training examples; nil = opened from the recipe
	Test    data.Dataset            // test examples; nil = opened from the recipe
	Weights []float32               // loss weight of each example of Data; nil = the recipe's file, or all 1
	Streams map[string]data.Dataset // examples of the recipe's other streams, by name; those that are missing are opened

	// Registry is what the program brings itself: every name of a norm, a loss and so on that the recipe has and Ballast does not. It is
	// what DecodeYAML read the recipe with, and what bundle.Open takes for the bundle.
	Registry own.Registry

	Devices     int   // the batch is spread over this many devices of the engine; 0 = 1. Any number resumes from any checkpoint
	DeviceBytes int64 // data sets up to this many bytes live on the device; 0 = 1 GiB
}

// Sink receives the measurements of a run. Log is called in the order of steps. Rewind is called when a run resumes from a
// checkpoint: what was logged after step must go, since it will be logged again; a kill in the
// middle of Rewind must lose nothing before step, so write anew and rename. A sink with a method Sync() error has it
// called before each checkpoint, so that no checkpoint is ahead of what was logged.
type Sink interface {
	Log(step int, values map[string]float64) error
	Rewind(step int) error
}

// Progress reports how far a run is.
type Progress struct {
	Step, Steps  int
	Epoch        int           // passes begun, from 1
	Loss         float64       // the last one logged; NaN before the first
	ExamplesRate float64       // examples per second
	Left         time.Duration // until the last update, at the present rate
}

// Result is a finished run.
type Result struct {
	Bundle  *bundle.Bundle           // the trained model; the weight average where the recipe asks for one
	Steps   int                      // updates done
	Epochs  int                      // passes begun
	Metrics map[string]float64       // loss (training, last logged), skipped (updates left out, where a goal leaves out bad ones), what the objective notes and yields, and on the test part what measures the task; validation_...; fits of the watchers
	Watched map[string][]optim.Point // measurements of the watchers, by the first of their numbers
	Trained data.Prepared            // the examples that were trained on, with the labels they had and the true ones
	Files   []update.File            // files from the objective, stored beside the model
	Seconds float64                  // wall time of this process
	Resumed bool                     // resumed from a checkpoint
	From    int                      // the step from which it resumed
	Best    float64                  // best of the first number on the validation examples, 0 without them
}

// Diverged is the error of a run whose loss or gradient is not finite.
type Diverged struct {
	Step       int    // the first update that went wrong, from 1
	Checkpoint string // newest checkpoint, written before it; "" = none
}

// Error names the step, the checkpoint and the fix.
func (d *Diverged) Error() string {
	text := fmt.Sprintf("train: loss or gradient of step %d is not finite; lower optimizer.lr, add rules: [clip-norm] or a warm-up", d.Step)
	if d.Checkpoint != "" {
		text += "; the last good checkpoint is " + d.Checkpoint
	}
	return text
}

// Run trains a network. It stops early with an error when ctx is cancelled (after saving a checkpoint), when the loss is
// not finite (*Diverged; the last good checkpoint stays) and when a checkpoint cannot be written (the earlier ones stay).
func Run(ctx context.Context, r Recipe, o Options) (result *Result, err error) {
	began := time.Now()
	l, err := newLoop(r, o)
	if err != nil {
		return nil, err
	}
	run := &run{Loop: l, record: record{SchemaVersion: 1, Metrics: map[string]float64{}, Watched: map[string][]optim.Point{}}}
	defer run.close()
	if o.Dir != "" && !o.Anew {
		if run.checkpoints, err = openCheckpoints(o.Dir, r.Checkpoint); err != nil {
			return nil, err
		}
	}
	defer func() { err = errors.Join(err, run.checkpoints.close()) }()
	if err := run.open(ctx); err != nil {
		return nil, err
	}
	from := run.step
	if err := run.run(ctx); err != nil {
		return nil, err
	}
	result, err = run.finish(ctx)
	if err != nil {
		return nil, err
	}
	result.Resumed, result.From, result.Seconds = from > 0, from, time.Since(began).Seconds()
	return result, nil
}

// run is a loop with its measurements, logs and checkpoints.
type run struct {
	*Loop
	meter       *meter // nil when nothing is measured
	watchers    []watcher
	checkpoints *checkpoints // nil = none
	record      record
	pace        pace
}

// watcher is a watcher of the recipe with its program.
type watcher struct {
	optim.Watcher
	exec *model.Exec
	due  []int // updates after which it looks
}

// pace keeps the host at most a moment ahead of the device, so that the run stops soon after it is told to.
type pace struct {
	began     time.Time
	from      int // step at began
	synced    time.Time
	at        int // step at synced
	every     int // steps between two synchronisations
	saved     time.Time
	reported  time.Time
	loopSpent time.Duration // spent in the loop in all
}

// syncEvery is how far the host may run ahead.
const syncEvery = 250 * time.Millisecond

// open gets everything ready for the first step: the loop, saved state, what measures.
func (l *run) open(ctx context.Context) error {
	if err := l.Loop.open(ctx); err != nil {
		return err
	}
	resolved, err := json.Marshal(l.recipe)
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	p := l.trained.Provenance
	l.record.Recipe, l.record.Seed, l.record.DataChecksum, l.record.Engine = resolved, p.Seed, p.DataChecksum, p.Engine
	if l.start != nil {
		l.record.StartChecksum = l.start.checksum
	}
	saved, err := l.resume()
	if err != nil {
		return err
	}
	for _, w := range l.recipe.Watch {
		if len(w.At(l.plan.steps, l.plan.stepsPerEpoch)) == 0 {
			l.options.Remark(fmt.Sprintf("watch measures no %s: the run ends at update %d, before the first measurement", w.Numbers()[0], l.plan.steps))
		}
		exec, err := l.state.lookProgram(l.options.Engine.Backend, w)
		if err != nil {
			return fmt.Errorf("train: %w", err)
		}
		l.watchers = append(l.watchers, watcher{Watcher: w, exec: exec})
	}
	switch {
	case l.material.validation == nil && l.material.test == nil:
	case !measured(l.trained):
		l.options.Remark(fmt.Sprintf("network %s answers with %s, which nothing measures during training", l.trained.Name, l.trained.Network.Task()))
	default:
		if l.meter, err = newMeter(l.options.Engine, l.trained, l.state, l.averaged()); err != nil {
			return err
		}
	}
	return l.accept(saved)
}

// accept writes for the first time: all that can be refused has been. saved is the checkpoint that the run goes on from, step 0 for none.
func (l *run) accept(saved record) error {
	if l.options.Accept != nil {
		if err := l.options.Accept(); err != nil {
			return err
		}
	}
	if l.options.Dir != "" && l.checkpoints == nil {
		var err error
		if l.checkpoints, err = openCheckpoints(l.options.Dir, l.recipe.Checkpoint); err != nil {
			return err
		}
	}
	if l.checkpoints == nil {
		return nil
	}
	if err := l.checkpoints.begin(); err != nil {
		return err
	}
	if !l.options.Resume {
		return nil
	}
	// A run that was killed between saving and pruning left one too many.
	if saved.Step > 0 {
		if err := l.checkpoints.prune(saved); err != nil {
			return err
		}
	}
	if l.options.Sink != nil {
		if err := l.options.Sink.Rewind(saved.Step); err != nil {
			return fmt.Errorf("train: resume: %w", err)
		}
	}
	return nil
}

// averaged says whether the average of the network is what is measured and saved.
func (l *run) averaged() bool { return l.recipe.Average.Decay > 0 }

// resume goes on from the newest checkpoint that is whole, if there is one and it belongs to this recipe and data. It only reads.
func (l *run) resume() (record, error) {
	if l.checkpoints == nil {
		return record{}, nil
	}
	if !l.options.Resume {
		steps, err := l.checkpoints.steps()
		if err == nil && len(steps) > 0 {
			err = &fault.Usage{Err: fmt.Errorf("train: %s has checkpoints of an earlier run; resume it, or use another folder", l.options.Dir)}
		}
		return record{}, err
	}
	r, err := l.checkpoints.newest(l.options.Remark)
	if err != nil || r.Step == 0 {
		return r, err
	}
	if err := sameRecipe(r.Recipe, l.record.Recipe, l.options.Registry); err != nil {
		return r, err
	}
	if r.DataChecksum != l.record.DataChecksum {
		return r, &fault.Usage{Err: fmt.Errorf("train: resume: the training data are not those of %s; bring them back, or start anew in another folder", l.checkpoints.last)}
	}
	if r.StartChecksum != l.record.StartChecksum {
		return r, &fault.Usage{Err: fmt.Errorf("train: resume: init.model: %s is not the model that %s began with; bring it back, or start anew in another folder",
			l.recipe.Init.Model, l.checkpoints.last)}
	}
	if r.Engine != l.record.Engine {
		l.options.Remark(fmt.Sprintf("the checkpoint was made on engine %s, this is %s: the run resumes, but not bit for bit", r.Engine, l.record.Engine))
	}
	if err := bundle.ReadTensors(r.tensors, slices.Collect(l.state.store.IterVariables())); err != nil {
		return r, fmt.Errorf("train: resume: %w", err)
	}
	r.Engine, r.Recipe = l.record.Engine, l.record.Recipe
	l.record, l.step = r, r.Step
	return r, nil
}

// run goes on from the present step to the last one.
func (l *run) run(ctx context.Context) error {
	now := time.Now()
	l.pace = pace{began: now, from: l.step, synced: now, at: l.step, every: 1, saved: now}
	for i := range l.watchers {
		w := &l.watchers[i]
		w.due = w.At(l.plan.steps, l.plan.stepsPerEpoch)
	}
	if l.record.ValidationDue {
		if _, err := l.validate(ctx); err != nil {
			return err
		}
	}
	release := func() {}
	defer func() { release() }()
	for l.step < l.plan.steps {
		if ctx.Err() != nil {
			return l.interrupted(ctx)
		}
		if err := l.boundary(); err != nil {
			return err
		}
		if err := l.next(ctx); err != nil {
			return err
		}
		// From the first update on there is something to lose: the run ends by itself, once it has saved.
		if l.step == l.pace.from+1 && l.checkpoints != nil {
			release = safepoint.Hold(ctx)
		}
		if err := l.after(ctx); err != nil {
			if ctx.Err() != nil {
				return l.interrupted(ctx)
			}
			return err
		}
	}
	l.pace.loopSpent = time.Since(l.pace.began)
	return nil
}

// boundary saves before a phase's host work, which is done whole or again.
func (l *run) boundary() error {
	phase, began := update.PhaseAt(l.phases, l.step)
	if l.checkpoints == nil || l.step == 0 || began != l.step || l.phases[phase].Before == nil || l.record.Step == l.step {
		return nil
	}
	return l.save()
}

// after does what is due once an update is on its way: log, measure, save, report.
func (l *run) after(ctx context.Context) error {
	last := l.step == l.plan.steps
	if l.step%l.recipe.LogEvery == 0 || last {
		if err := l.log(); err != nil {
			return err
		}
		if l.options.Look != nil {
			if err := l.lookAround(ctx); err != nil {
				return err
			}
		}
	}
	for _, w := range l.watchers {
		if _, due := slices.BinarySearch(w.due, l.step); due {
			if err := l.look(w); err != nil {
				return err
			}
		}
	}
	better := false
	every := l.recipe.EvaluateEvery * l.plan.stepsPerEpoch
	if l.material.validation != nil && l.meter != nil && every > 0 && (l.step%every == 0 || last) {
		var err error
		if better, err = l.validate(ctx); err != nil {
			return err
		}
	}
	if last {
		if err := l.test(ctx); err != nil {
			return l.untested(ctx, err)
		}
	}
	policy := l.recipe.Checkpoint
	due := policy.EverySteps > 0 && l.step%policy.EverySteps == 0 || policy.KeepBest && better ||
		policy.EverySeconds > 0 && time.Since(l.pace.saved).Seconds() >= policy.EverySeconds
	if l.checkpoints != nil && (due || last) {
		if err := l.save(); err != nil {
			return err
		}
	}
	if last || l.step-l.pace.at >= l.pace.every {
		return l.sync()
	}
	return nil
}

// sync waits for the device, sees whether all went well and says where the run stands.
func (l *run) sync() error {
	if err := l.sane(); err != nil {
		return err
	}
	now := time.Now()
	perStep := now.Sub(l.pace.synced) / time.Duration(max(1, l.step-l.pace.at))
	l.pace.every = int(max(1, min(10_000, syncEvery/max(1, perStep))))
	l.pace.synced, l.pace.at = now, l.step
	if l.options.Progress != nil && (now.Sub(l.pace.reported) >= syncEvery || l.step == l.plan.steps) {
		l.pace.reported = now
		l.options.Progress(l.progress(now))
	}
	return nil
}

// progress says where the run stands.
func (l *run) progress(now time.Time) Progress {
	p := Progress{Step: l.step, Steps: l.plan.steps, Epoch: (l.step + l.plan.stepsPerEpoch - 1) / l.plan.stepsPerEpoch, Loss: math.NaN()}
	if loss, logged := l.record.Metrics["loss"]; logged {
		p.Loss = loss
	}
	if spent := now.Sub(l.pace.began); l.step > l.pace.from && spent > 0 {
		perStep := spent / time.Duration(l.step-l.pace.from)
		p.ExamplesRate = float64(l.recipe.BatchSize) / perStep.Seconds()
		p.Left = time.Duration(l.plan.steps-l.step) * perStep
	}
	return p
}

// sane reads the one number that says whether any update went wrong.
func (l *run) sane() error {
	bad, err := scalar[int32](l.state.bad)
	if err != nil {
		return err
	}
	if bad != 0 {
		d := &Diverged{Step: int(bad)}
		if l.checkpoints != nil {
			d.Checkpoint = l.checkpoints.last
		}
		return d
	}
	return nil
}

// log reads the mean loss and notes since the last time.
func (l *run) log() error {
	if err := l.sane(); err != nil {
		return err
	}
	count := float64((l.step-1)%l.recipe.LogEvery + 1)
	sum, err := scalar[float32](l.state.lossSum)
	if err != nil {
		return err
	}
	norm, err := scalar[float32](l.state.gradNorm)
	if err != nil {
		return err
	}
	values := map[string]float64{
		"loss": float64(sum) / count, "lr": l.plan.course.Rate(l.step - 1), "grad_norm": float64(norm),
		"epoch": float64(l.step) / float64(l.plan.stepsPerEpoch),
	}
	if l.state.skipped != nil {
		skipped, err := scalar[int32](l.state.skipped)
		if err != nil {
			return err
		}
		values["skipped"] = float64(skipped)
	}
	for _, name := range l.state.notes {
		sum, err := scalar[float32](l.state.store.GetVariable(noteScope + "/" + name))
		if err != nil {
			return err
		}
		values[name] = float64(sum) / count
	}
	return l.note(values)
}

// note remembers what was measured and hands it to the sink.
func (l *run) note(values map[string]float64) error {
	maps.Copy(l.record.Metrics, values)
	if l.options.Sink == nil {
		return nil
	}
	if err := l.options.Sink.Log(l.step, values); err != nil {
		return fmt.Errorf("train: log of step %d: %w", l.step, err)
	}
	return nil
}

// look remembers what a watcher measures.
func (l *run) look(w watcher) error {
	names := w.Numbers()
	out, err := w.exec.Call()
	if err != nil {
		return fmt.Errorf("train: %s of step %d: %w", names[0], l.step, err)
	}
	point := optim.Point{Step: l.step}
	values := map[string]float64{}
	for i, t := range out {
		v := tensors.ToScalar[float64](t)
		point.Values, values[names[i]] = append(point.Values, v), v
	}
	_ = finalize(out) // read already
	l.record.Watched[names[0]] = append(l.record.Watched[names[0]], point)
	return l.note(values)
}

// validate measures the present model on the examples kept aside and says whether it is the best so far. When it is
// interrupted the checkpoint remembers that it is due.
func (l *run) validate(ctx context.Context) (better bool, err error) {
	if err := l.sane(); err != nil {
		return false, err
	}
	l.record.ValidationDue = true
	if err := l.meter.take(l.state, l.averaged()); err != nil {
		return false, err
	}
	numbers, err := l.meter.measure(ctx, l.material.validation)
	if err != nil {
		return false, err
	}
	l.record.ValidationDue = false
	values := map[string]float64{}
	for _, n := range numbers {
		values[ValidationPrefix+n.Name] = n.Value
	}
	if better = l.record.BestStep == 0 || numbers[0].Better.Than(numbers[0].Value, l.record.BestAccuracy); better {
		l.record.BestStep, l.record.BestAccuracy = l.step, numbers[0].Value
	}
	return better, l.note(values)
}

// untested saves what was trained where the test examples could not be measured; a run that was told to stop saves by itself.
func (l *run) untested(ctx context.Context, err error) error {
	if l.checkpoints == nil || ctx.Err() != nil {
		return err
	}
	return errors.Join(err, l.save())
}

// test measures the trained model on the test examples, and logs it, once in a run: before the last checkpoint, so that a run that is taken
// up once more does not log it again.
func (l *run) test(ctx context.Context) error {
	if l.material.test == nil || l.meter == nil || l.record.Tested {
		return nil
	}
	if err := l.sane(); err != nil {
		return err
	}
	if err := l.meter.take(l.state, l.averaged()); err != nil {
		return err
	}
	numbers, err := l.meter.measure(ctx, l.material.test)
	if err != nil {
		return err
	}
	values := map[string]float64{}
	for _, n := range numbers {
		values[n.Name] = n.Value
	}
	l.record.Tested = true
	return l.note(values)
}

// save writes a checkpoint, unless an update went wrong: none ever holds a NaN.
func (l *run) save() error {
	if err := l.sane(); err != nil {
		return err
	}
	if name, ok := l.state.finite(); !ok {
		return fmt.Errorf("train: %s is not finite after step %d; lower optimizer.lr or add rules: [clip-norm]", name, l.step)
	}
	if s, ok := l.options.Sink.(interface{ Sync() error }); ok {
		if err := s.Sync(); err != nil {
			return fmt.Errorf("train: log of step %d: %w", l.step, err)
		}
	}
	l.record.Step = l.step
	l.record.Epoch, l.record.Position = l.step/l.plan.stepsPerEpoch, l.step%l.plan.stepsPerEpoch
	if err := l.checkpoints.save(l.state, l.record); err != nil {
		return err
	}
	l.pace.saved = time.Now()
	return nil
}

// interrupted saves where the run stands and says why it ends.
func (l *run) interrupted(ctx context.Context) error {
	err := fmt.Errorf("train: stopped after step %d of %d: %w", l.step, l.plan.steps, context.Cause(ctx))
	if l.checkpoints == nil || l.step == 0 {
		return err
	}
	return errors.Join(err, l.save())
}

// close frees what the run held on the device; it may be called however far open came.
func (l *run) close() {
	l.Close()
	for _, w := range l.watchers {
		w.exec.Finalize()
	}
	if l.meter != nil && l.meter.forward != nil {
		l.meter.forward.Close()
	}
}

// finish puts the result together, and measures the trained model where a run was stopped before it could.
func (l *run) finish(ctx context.Context) (*Result, error) {
	if err := l.test(ctx); err != nil {
		return nil, err
	}
	m := l.meter
	if m == nil {
		m = &meter{bundle: &bundle.Bundle{Store: model.NewStore()}}
	}
	if err := m.take(l.state, l.averaged()); err != nil {
		return nil, err
	}
	metrics := maps.Clone(l.record.Metrics)
	delete(metrics, "lr")
	result := &Result{
		Steps: l.step, Epochs: l.plan.epochs, Metrics: metrics, Watched: l.record.Watched, Best: l.record.BestAccuracy,
		Trained: l.material.train().examples,
	}
	for _, w := range l.watchers {
		fit, err := w.Fit(l.record.Watched[w.Numbers()[0]])
		if err != nil {
			return nil, err
		}
		maps.Copy(metrics, fit)
	}
	if o, ok := l.recipe.Objective.Objective.(update.Yielding); ok {
		if err := l.gather(); err != nil {
			return nil, err
		}
		yield, err := o.Yield(ctx, l.host())
		if err != nil {
			return nil, fmt.Errorf("train: what the objective yields: %w", err)
		}
		maps.Copy(metrics, yield.Numbers)
		result.Files = yield.Files
	}
	m.bundle.Manifest = l.trained
	m.bundle.Manifest.Metrics = metrics
	m.bundle.Manifest.Provenance.Steps = l.step
	result.Bundle = m.bundle
	return result, nil
}

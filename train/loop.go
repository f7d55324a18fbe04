package train

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/internal/safepoint"
	"github.com/ballast-ml/ballast/nn/optim"
)

// Diverged is the error of a run whose loss or gradient is not finite.
type Diverged struct {
	Step       int    // the first update that went wrong, from 1
	Checkpoint string // newest checkpoint, written before it; "" = none
}

// Error names the step, the checkpoint and the fix.
func (d *Diverged) Error() string {
	text := fmt.Sprintf("train: loss or gradient of step %d is not finite; lower optimizer.lr, set clip_norm or a warm-up", d.Step)
	if d.Checkpoint != "" {
		text += "; the last good checkpoint is " + d.Checkpoint
	}
	return text
}

// loop runs the compiled programs over the epochs.
type loop struct {
	recipe   Recipe
	options  Options
	plan     plan
	material material
	state    *state
	feed     feed
	meter    *meter // nil when nothing is measured
	trained  bundle.Manifest

	update, tail, micro *model.Exec // tail: the last, smaller batch of an epoch; nil where there is none
	watchers            []watcher

	checkpoints *checkpoints // nil = none
	record      record

	step   int                 // updates given to the device
	tables [][]*tensors.Tensor // on each device: the rates of the epoch, and the updates done before it
	ranks  []*tensors.Tensor   // the number of each device; nil for one

	pace pace
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
	callSpent time.Duration // spent inside the engine
	loopSpent time.Duration // spent in the loop in all
}

// syncEvery is how far the host may run ahead.
const syncEvery = 250 * time.Millisecond

// run goes on from the present step to the last one.
func (l *loop) run(ctx context.Context) error {
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
	started := false
	release := func() {}
	defer func() { release() }()
	for l.step < l.plan.steps {
		if ctx.Err() != nil {
			return l.interrupted(ctx)
		}
		epoch, local := l.step/l.plan.stepsPerEpoch, l.step%l.plan.stepsPerEpoch
		if local == 0 || !started {
			if err := l.begin(ctx, epoch, local); err != nil {
				return err
			}
			started = true
		}
		// An update is not cut in two: its micro-batches are few, and half of one cannot be saved.
		if err := l.advance(context.WithoutCancel(ctx), local); err != nil {
			return err
		}
		// From the first update on there is something to lose: the run ends by itself, once it has saved.
		if l.step++; l.step == l.pace.from+1 && l.checkpoints != nil {
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

// begin gets ready for the rest of an epoch: its order and its rates go to the device.
func (l *loop) begin(ctx context.Context, epoch, local int) error {
	e, err := l.material.train.epoch(l.recipe, l.plan, epoch)
	if err != nil {
		return err
	}
	if err := l.feed.begin(ctx, e, local); err != nil {
		return err
	}
	first := epoch * l.plan.stepsPerEpoch
	columns := l.recipe.Optimizer.Columns()
	width := columnRate + 1 + len(columns)
	rates := make([]float32, 0, l.plan.stepsPerEpoch*width)
	for s := first; s < first+l.plan.stepsPerEpoch; s++ {
		rates = append(rates, float32(l.plan.course.Rate(s)))
		for _, c := range columns {
			rates = append(rates, float32(c.At(s, l.plan.steps, nil)))
		}
	}
	l.release()
	for i := range l.tables {
		l.tables[i] = []*tensors.Tensor{tensors.FromFlatDataAndDimensions(rates, l.plan.stepsPerEpoch, width), tensors.FromScalar(int32(first))}
	}
	return nil
}

// release frees the tables of the last epoch.
func (l *loop) release() {
	for i, own := range l.tables {
		_ = finalize(own) // nobody uses them any more; there is nothing to do about a failure
		l.tables[i] = nil
	}
}

// advance gives one update to the device.
func (l *loop) advance(ctx context.Context, local int) error {
	for micro := range l.recipe.Accumulate {
		inputs, err := l.feed.next(ctx)
		if err != nil {
			return err
		}
		exec := l.update
		switch {
		case micro < l.recipe.Accumulate-1:
			exec = l.micro
		case l.tail != nil && local == l.plan.stepsPerEpoch-1:
			exec = l.tail
		}
		called := time.Now()
		var args []any
		for rank, own := range inputs {
			args = append(append(args, anys(l.tables[rank])...), own...)
			if len(inputs) > 1 {
				args = append(args, l.ranks[rank])
			}
		}
		if _, err := exec.Call(args...); err != nil {
			return fmt.Errorf("train: step %d: %w", l.step+1, root(err))
		}
		l.pace.callSpent += time.Since(called)
		if err := l.feed.done(); err != nil {
			return fmt.Errorf("train: step %d: %w", l.step+1, err)
		}
	}
	return nil
}

// after does what is due once an update is on its way: log, measure, save, report.
func (l *loop) after(ctx context.Context) error {
	last := l.step == l.plan.steps
	if l.step%l.recipe.LogEvery == 0 || last {
		if err := l.log(); err != nil {
			return err
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
	if l.material.validation != nil && every > 0 && (l.step%every == 0 || last) {
		var err error
		if better, err = l.validate(ctx); err != nil {
			return err
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
func (l *loop) sync() error {
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
func (l *loop) progress(now time.Time) Progress {
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
func (l *loop) sane() error {
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

// log reads the mean loss since the last time.
func (l *loop) log() error {
	if err := l.sane(); err != nil {
		return err
	}
	sum, err := scalar[float32](l.state.lossSum)
	if err != nil {
		return err
	}
	norm, err := scalar[float32](l.state.gradNorm)
	if err != nil {
		return err
	}
	count := (l.step-1)%l.recipe.LogEvery + 1
	return l.note(map[string]float64{
		"loss": float64(sum) / float64(count), "lr": l.plan.course.Rate(l.step - 1), "grad_norm": float64(norm),
		"epoch": float64(l.step) / float64(l.plan.stepsPerEpoch),
	})
}

// note remembers what was measured and hands it to the sink.
func (l *loop) note(values map[string]float64) error {
	maps.Copy(l.record.Metrics, values)
	if l.options.Sink == nil {
		return nil
	}
	if err := l.options.Sink.Log(l.step, values); err != nil {
		return fmt.Errorf("train: log of step %d: %w", l.step, err)
	}
	return nil
}

// watcher is a watcher of the recipe with its program.
type watcher struct {
	optim.Watcher
	exec *model.Exec
	due  []int // updates after which it looks
}

// look remembers what a watcher measures.
func (l *loop) look(w watcher) error {
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
func (l *loop) validate(ctx context.Context) (better bool, err error) {
	if err := l.sane(); err != nil {
		return false, err
	}
	l.record.ValidationDue = true
	if err := l.meter.take(l.state, l.recipe.Average.Decay > 0); err != nil {
		return false, err
	}
	accuracy, nll, err := l.meter.measure(ctx, l.material.validation)
	if err != nil {
		return false, err
	}
	l.record.ValidationDue = false
	if better = accuracy > l.record.BestAccuracy || l.record.BestStep == 0; better {
		l.record.BestStep, l.record.BestAccuracy = l.step, accuracy
	}
	return better, l.note(map[string]float64{"validation_accuracy": accuracy, "validation_nll": nll})
}

// save writes a checkpoint, unless an update went wrong: none ever holds a NaN.
func (l *loop) save() error {
	if err := l.sane(); err != nil {
		return err
	}
	if name, ok := l.state.finite(); !ok {
		return fmt.Errorf("train: %s is not finite after step %d; lower optimizer.lr or set clip_norm", name, l.step)
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
func (l *loop) interrupted(ctx context.Context) error {
	err := fmt.Errorf("train: stopped after step %d of %d: %w", l.step, l.plan.steps, context.Cause(ctx))
	if l.checkpoints == nil || l.step == 0 {
		return err
	}
	return errors.Join(err, l.save())
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

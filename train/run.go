package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/gomlx/compute/distributed"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/zoo"
)

// Options is what a run needs besides its recipe. But for the data and their weights nothing in it changes the numbers
// beyond rounding.
type Options struct {
	Engine *engine.Engine // required
	Dir    string         // run folder: checkpoints go to Dir/checkpoints; "" writes none
	Resume bool           // go on from the newest valid checkpoint in Dir, if there is one

	Sink     Sink           // receives what is measured; nil = nobody
	Progress func(Progress) // called a few times a second, and at the end; nil = nobody
	Remark   func(string)   // receives one line for a person: a broken checkpoint skipped, ...; nil = nobody

	Data    data.Dataset // training examples; nil = opened from the recipe
	Test    data.Dataset // test examples; nil = opened from the recipe
	Weights []float32    // loss weight of each example of Data; nil = the recipe's file, or all 1

	Devices     int   // the batch is spread over this many devices of the engine; 0 = 1. Any number goes on from any checkpoint
	DeviceBytes int64 // data sets up to this many bytes live on the device; 0 = 1 GiB
}

// Sink takes what a run measures. Log is called in the order of steps. Rewind is called when a run goes on from a
// checkpoint: what was logged after step must go, since it will be logged again; a kill in the
// middle of Rewind must lose nothing before step, so write anew and rename. A sink with a method Sync() error has it
// called before each checkpoint, so that no checkpoint is ahead of what was logged.
type Sink interface {
	Log(step int, values map[string]float64) error
	Rewind(step int) error
}

// Progress is where a run stands.
type Progress struct {
	Step, Steps  int
	Epoch        int           // passes begun, from 1
	Loss         float64       // the last one logged; NaN before the first
	ExamplesRate float64       // examples a second
	Left         time.Duration // until the last update, at the present rate
}

// Result is a finished run.
type Result struct {
	Bundle  *bundle.Bundle           // the trained model; the weight average where the recipe asks for one
	Steps   int                      // updates done
	Epochs  int                      // passes begun
	Metrics map[string]float64       // loss (training, last logged), and on the test part accuracy, nll; validation_...; fits of the watchers
	Watched map[string][]optim.Point // measurements of the watchers, by the first of their numbers
	Seconds float64                  // wall time of this process
	Resumed bool                     // went on from a checkpoint
	From    int                      // the step it went on from
	Best    float64                  // best validation accuracy, 0 without validation examples
}

// Run trains a network. It stops early with an error when ctx is cancelled (after saving a checkpoint), when the loss is
// not finite (*Diverged; the last good checkpoint stays) and when a checkpoint cannot be written (the earlier ones stay).
func Run(ctx context.Context, r Recipe, o Options) (result *Result, err error) {
	began := time.Now()
	if o.Engine == nil {
		return nil, errors.New("train: no engine; give Options.Engine what engine.Open returns")
	}
	if err := r.Validate(); err != nil {
		return nil, err
	}
	o.Devices = max(o.Devices, 1)
	if have := int(o.Engine.NumDevices()); o.Devices > have {
		return nil, fmt.Errorf("train: %d devices; engine %s has %d", o.Devices, o.Engine.Kind, have)
	}
	if part := r.BatchSize / r.Accumulate; part%o.Devices != 0 {
		return nil, fmt.Errorf("train: %d devices do not divide the %d examples of a batch evenly; use a batch_size that they divide", o.Devices, part)
	}
	l := &loop{recipe: r, options: o, record: record{SchemaVersion: 1, Metrics: map[string]float64{}, Watched: map[string][]optim.Point{}}}
	defer l.close()
	if o.Dir != "" {
		if l.checkpoints, err = openCheckpoints(o.Dir, r.Checkpoint); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, l.checkpoints.close()) }()
	}
	if err := l.open(ctx); err != nil {
		return nil, err
	}
	from := l.step
	if err := l.run(ctx); err != nil {
		return nil, err
	}
	result, err = l.finish(ctx)
	if err != nil {
		return nil, err
	}
	result.Resumed, result.From, result.Seconds = from > 0, from, time.Since(began).Seconds()
	return result, nil
}

// open gets everything ready for the first step: data, first or saved state, programs.
func (l *loop) open(ctx context.Context) (err error) {
	if l.options.Remark == nil {
		l.options.Remark = func(string) {}
	}
	if l.material, err = prepare(l.recipe, l.options); err != nil {
		return err
	}
	if l.trained, err = l.manifest(ctx); err != nil {
		return err
	}
	l.warn()
	if l.plan, err = l.recipe.plan(l.material.train.set.Len()); err != nil {
		return err
	}
	b := &bundle.Bundle{Manifest: l.trained, Store: model.NewStore()}
	if l.state, err = newState(l.recipe, b, l.options.Engine.Backend); err != nil {
		return err
	}
	if err := l.resume(); err != nil {
		return err
	}
	return l.compile(ctx, b)
}

// warn passes on what networks and norms find odd about their options.
func (l *loop) warn() {
	type warner interface{ Warning() string }
	network := l.trained.Network.Network
	candidates := []any{network}
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
func (l *loop) manifest(ctx context.Context) (bundle.Manifest, error) {
	network, err := l.recipe.network()
	if err != nil {
		return bundle.Manifest{}, err
	}
	info := l.material.train.set.Info()
	network.Network = network.WithOutputs(len(info.Classes)) // the data decide
	m := bundle.NewManifest(network, info.Shape, info.Classes)
	m.Name = l.recipe.Name
	if m.Preprocess, err = preprocess(ctx, l.recipe, l.material.train.set); err != nil {
		return bundle.Manifest{}, err
	}
	resolved, err := json.Marshal(l.recipe)
	if err != nil {
		return bundle.Manifest{}, fmt.Errorf("train: %w", err)
	}
	m.Provenance = bundle.Provenance{
		Recipe: json.RawMessage(resolved), Seed: l.recipe.Seed,
		Data: info.Name, DataChecksum: l.material.checksum, DataLicence: info.Licence,
		Engine: l.options.Engine.Kind, Versions: bundle.Versions(), Created: time.Now().UTC().Truncate(time.Second),
	}
	l.record.Recipe, l.record.Seed, l.record.DataChecksum, l.record.Engine = resolved, l.recipe.Seed, l.material.checksum, l.options.Engine.Kind
	return m, nil
}

// resume goes on from the newest checkpoint that is whole, if there is one and it belongs to this recipe and data.
func (l *loop) resume() error {
	if l.checkpoints == nil {
		return nil
	}
	if !l.options.Resume {
		steps, err := l.checkpoints.steps()
		if err == nil && len(steps) > 0 {
			err = fmt.Errorf("train: %s has checkpoints of an earlier run; resume it, or use another folder", l.options.Dir)
		}
		return err
	}
	r, err := l.checkpoints.newest(l.options.Remark)
	if err != nil {
		return err
	}
	if r.Step > 0 {
		if err := sameRecipe(r.Recipe, l.record.Recipe); err != nil {
			return err
		}
		if r.DataChecksum != l.record.DataChecksum {
			return fmt.Errorf("train: resume: the training data are not those of %s; bring them back, or start anew in another folder", l.checkpoints.last)
		}
		if r.Engine != l.record.Engine {
			l.options.Remark(fmt.Sprintf("the checkpoint was made on engine %s, this is %s: the run goes on, but not bit for bit", r.Engine, l.record.Engine))
		}
		if err := bundle.ReadTensors(r.tensors, slices.Collect(l.state.store.IterVariables())); err != nil {
			return fmt.Errorf("train: resume: %w", err)
		}
		r.Engine, r.Recipe = l.record.Engine, l.record.Recipe
		l.record, l.step = r, r.Step
		// A run that was killed between saving and pruning left one too many.
		if err := l.checkpoints.prune(r); err != nil {
			return err
		}
	}
	if l.options.Sink != nil {
		if err := l.options.Sink.Rewind(r.Step); err != nil {
			return fmt.Errorf("train: resume: %w", err)
		}
	}
	return nil
}

// compile brings the data to the device, where it fits, and builds the programs.
func (l *loop) compile(ctx context.Context, b *bundle.Bundle) error {
	x := l.material.train
	devices := l.options.Devices
	if l.plan.last%devices != 0 {
		return fmt.Errorf("train: the last batch of an epoch has %d examples, which %d devices do not divide evenly; use drop_last: true", l.plan.last, devices)
	}
	whole := cut{size: l.recipe.BatchSize / l.recipe.Accumulate / devices, devices: devices, whole: l.recipe.BatchSize, stride: l.recipe.BatchSize}
	limit := l.options.DeviceBytes
	if limit == 0 {
		limit = 1 << 30
	}
	bytes := int64(x.set.Len()) * int64(volume(x.set.Info().Shape))
	if bytesOf(x.set) == nil {
		bytes *= 4
	}
	if bytes <= limit {
		feed, err := newDeviceFeed(ctx, x, devices)
		if err != nil {
			return err
		}
		l.feed = feed
	} else {
		l.feed = &hostFeed{examples: x, cut: whole, dropLast: l.recipe.DropLast}
	}
	l.tables = make([][]*tensors.Tensor, devices)
	for i := range devices {
		if devices > 1 {
			l.ranks = append(l.ranks, tensors.FromScalar(int32(i)))
		}
	}
	s := step{recipe: l.recipe, bundle: b, state: l.state, feed: l.feed, cut: whole}
	backend := l.options.Engine.Backend
	var err error
	if devices > 1 {
		if s.mesh, err = distributed.NewDeviceMesh([]int{devices}, []string{"data"}); err != nil {
			return fmt.Errorf("train: %w", err)
		}
	}
	if l.update, err = s.compile(backend, s.update); err != nil {
		return err
	}
	if l.recipe.Accumulate > 1 {
		if l.micro, err = s.compile(backend, s.micro); err != nil {
			return err
		}
	}
	if l.plan.last > 0 {
		t := s
		t.cut.size, t.cut.whole = l.plan.last/devices, l.plan.last
		if l.tail, err = t.compile(backend, t.update); err != nil {
			return err
		}
	}
	for _, w := range l.recipe.Watch {
		exec, err := l.state.lookProgram(backend, w)
		if err != nil {
			return fmt.Errorf("train: %w", err)
		}
		l.watchers = append(l.watchers, watcher{Watcher: w, exec: exec})
	}
	if l.material.validation != nil || l.material.test != nil {
		if l.meter, err = newMeter(l.options.Engine, b.Manifest, l.state, l.recipe.Average.Decay > 0); err != nil {
			return err
		}
	}
	return nil
}

// close frees what the run held on the device; it may be called however far open came.
func (l *loop) close() {
	l.release()
	if l.feed != nil {
		l.feed.close()
	}
	programs := []*model.Exec{l.update, l.tail, l.micro}
	for _, w := range l.watchers {
		programs = append(programs, w.exec)
	}
	for _, exec := range programs {
		if exec != nil {
			exec.Finalize()
		}
	}
	if l.meter != nil && l.meter.forward != nil {
		l.meter.forward.Close()
	}
	if l.state != nil {
		l.state.store.Finalize()
	}
}

// finish measures the trained model and puts the result together.
func (l *loop) finish(ctx context.Context) (*Result, error) {
	averaged := l.recipe.Average.Decay > 0
	if l.meter == nil {
		l.meter = &meter{bundle: &bundle.Bundle{Store: model.NewStore()}}
	}
	if err := l.meter.take(l.state, averaged); err != nil {
		return nil, err
	}
	metrics := maps.Clone(l.record.Metrics)
	delete(metrics, "lr")
	if l.material.test != nil {
		accuracy, nll, err := l.meter.measure(ctx, l.material.test)
		if err != nil {
			return nil, err
		}
		metrics["accuracy"], metrics["nll"] = accuracy, nll
	}
	result := &Result{
		Steps: l.step, Epochs: l.plan.epochs, Metrics: metrics, Watched: l.record.Watched, Best: l.record.BestAccuracy,
	}
	for _, w := range l.watchers {
		fit, err := w.Fit(l.record.Watched[w.Numbers()[0]])
		if err != nil {
			return nil, err
		}
		maps.Copy(metrics, fit)
	}
	l.meter.bundle.Manifest = l.trained
	l.meter.bundle.Manifest.Metrics = metrics
	l.meter.bundle.Manifest.Provenance.Steps = l.step
	result.Bundle = l.meter.bundle
	return result, nil
}

// Package evaluate audits a trained model: suites of measurements give one report.
//
//	suite         asks                                     needs
//	clean         how right are the answers?               outputs and labels
//	calibration   can the confidences be trusted?          outputs and labels
//	shift         what happens when the inputs change?     the model and images
//
// The model is a bundle, or the saved outputs of any framework's model.
package evaluate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/corrupt"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/report"
)

// The suites.
const (
	Clean       = "clean"
	Calibration = "calibration"
	Shift       = "shift"
)

// Suites is every suite.
func Suites() []string { return []string{Clean, Calibration, Shift} }

// CheckSuites refuses a suite that does not exist.
func CheckSuites(names []string) error {
	for _, name := range names {
		if slices.Contains(Suites(), name) {
			continue
		}
		if near, ok := strict.Nearest(name, Suites()); ok {
			return &fault.Usage{Err: fmt.Errorf("evaluate: no suite %q; did you mean %q?", name, near)}
		}
		return &fault.Usage{Err: fmt.Errorf("evaluate: no suite %q; there are %s", name, strings.Join(Suites(), ", "))}
	}
	return nil
}

// Options say what to measure.
type Options struct {
	Suites []string // nil = all
	Seed   uint64   // of what is random in shifts
	Bins   int      // of the calibration metrics; 0 = 15
	Batch  int      // examples in one run of the model; 0 = 256

	// Progress, if not nil, is told how many examples of how many were run through the model.
	Progress func(done, total int)
}

func (o Options) complete() (Options, error) {
	if o.Suites == nil {
		o.Suites = Suites()
	}
	if o.Bins == 0 {
		o.Bins = metric.DefaultBins
	}
	if o.Batch == 0 {
		o.Batch = 256
	}
	return o, CheckSuites(o.Suites)
}

// Bundle audits a model on a data set.
func Bundle(ctx context.Context, b *bundle.Bundle, ds data.Dataset, e *engine.Engine, o Options) (report.Report, error) {
	o, err := o.complete()
	if err != nil {
		return report.Report{}, err
	}
	start := time.Now()
	info := ds.Info()
	if !slices.Equal(info.Shape, b.Manifest.InputShape) {
		return report.Report{}, fmt.Errorf("evaluate: %s has examples of shape %v, the model %s takes %v; choose the data the model was made for",
			info.Name, info.Shape, b.Manifest.Name, b.Manifest.InputShape)
	}
	if len(info.Classes) > len(b.Manifest.Labels) {
		return report.Report{}, fmt.Errorf("evaluate: %s has %d classes, the model %s knows %d", info.Name, len(info.Classes), b.Manifest.Name, len(b.Manifest.Labels))
	}
	run, err := newRunner(ctx, b, e, ds, o)
	if err != nil {
		return report.Report{}, err
	}
	defer run.close()

	r := newReport(b.Manifest.Name, datasetName(info), ds.Len(), o)
	r.Engine = e.Kind
	labels := data.Labels(ds)
	classes := len(b.Manifest.Labels)
	if slices.Contains(o.Suites, Clean) || slices.Contains(o.Suites, Calibration) {
		run.total += ds.Len()
	}
	if slices.Contains(o.Suites, Shift) {
		run.total += ds.Len() * corrupt.Severities * len(corrupt.All())
	}
	if slices.Contains(o.Suites, Clean) || slices.Contains(o.Suites, Calibration) {
		logits, err := run.logits(ds)
		if err != nil {
			return report.Report{}, err
		}
		if err := outputs(&r, logits, labels, classes, b.Manifest.Labels, o); err != nil {
			return report.Report{}, err
		}
	}
	if slices.Contains(o.Suites, Shift) {
		if r.Shift, err = shifts(run, ds, labels, classes, o); err != nil {
			return report.Report{}, err
		}
	}
	r.Seconds = time.Since(start).Seconds()
	return r, nil
}

// Logits runs a whole data set through a model and returns [examples, classes].
func Logits(ctx context.Context, b *bundle.Bundle, ds data.Dataset, e *engine.Engine, o Options) ([]float32, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	run, err := newRunner(ctx, b, e, ds, o)
	if err != nil {
		return nil, err
	}
	defer run.close()
	run.total = ds.Len()
	return run.logits(ds)
}

// Outputs audits saved logits [examples, classes], row after row. The suite shift is left out: it needs the model.
func Outputs[F metric.Float, L metric.Label](model, dataName string, logits []F, labels []L, classes int, o Options) (report.Report, error) {
	o, err := o.complete()
	if err != nil {
		return report.Report{}, err
	}
	start := time.Now()
	r := newReport(model, dataName, len(labels), o)
	if err := outputs(&r, logits, labels, classes, nil, o); err != nil {
		return report.Report{}, err
	}
	r.Seconds = time.Since(start).Seconds()
	return r, nil
}

// outputs fills in the suites that need outputs and labels alone.
func outputs[F metric.Float, L metric.Label](r *report.Report, logits []F, labels []L, classes int, names []string, o Options) error {
	scores, err := metric.Score(logits, labels, classes)
	if err != nil {
		return err
	}
	if slices.Contains(o.Suites, Clean) {
		if names == nil {
			for c := range classes {
				names = append(names, fmt.Sprint(c))
			}
		}
		r.Clean = &report.Clean{Accuracy: scores.Accuracy(), Labels: names}
		const most = 100 // a larger confusion matrix helps nobody
		if classes <= most {
			r.Clean.Confusion = scores.Confusion()
		}
		if classes > 5 {
			r.Clean.Top = 5
			if r.Clean.TopK, err = metric.TopK(logits, labels, classes, 5); err != nil {
				return err
			}
		}
	}
	if !slices.Contains(o.Suites, Calibration) {
		return nil
	}
	c := &report.Calibration{NLL: scores.MeanNLL(), Brier: scores.MeanBrier(), Bins: o.Bins}
	for _, v := range scores.Confidence {
		c.Confidence += v / float64(len(scores.Confidence))
	}
	var errs [5]error
	c.ECE, errs[0] = scores.ECE(metric.EqualWidth, o.Bins)
	c.ECEMass, errs[1] = scores.ECE(metric.EqualMass, o.Bins)
	c.MCE, errs[2] = scores.MCE(metric.EqualWidth, o.Bins)
	c.Curve, errs[3] = scores.Reliability(metric.EqualWidth, o.Bins)
	c.ClasswiseECE, errs[4] = metric.ClasswiseECE(logits, labels, classes, o.Bins)
	r.Calibration = c
	return errors.Join(errs[:]...)
}

// shifts runs the data set through every shift at every severity.
func shifts(run *runner, ds data.Dataset, labels []int32, classes int, o Options) (*report.Shift, error) {
	s := &report.Shift{}
	for _, shift := range corrupt.All() {
		row := report.ShiftRow{Name: shift.Name()}
		for severity := 1; severity <= corrupt.Severities; severity++ {
			shifted, err := corrupt.Wrap(ds, shift, severity, o.Seed)
			if err != nil {
				return nil, err
			}
			logits, err := run.logits(shifted)
			if err != nil {
				return nil, err
			}
			scores, err := metric.Score(logits, labels, classes)
			if err != nil {
				return nil, err
			}
			ece, err := scores.ECE(metric.EqualWidth, o.Bins)
			if err != nil {
				return nil, err
			}
			row.Severities = append(row.Severities, severity)
			row.Accuracy = append(row.Accuracy, scores.Accuracy())
			row.NLL = append(row.NLL, scores.MeanNLL())
			row.ECE = append(row.ECE, ece)
			s.Mean += scores.Accuracy() / float64(corrupt.Severities*len(corrupt.All()))
		}
		s.Rows = append(s.Rows, row)
	}
	return s, nil
}

// runner runs data sets through a model and counts.
type runner struct {
	ctx         context.Context
	free        chan *bundle.Forward // as many as calls at once make it faster
	batch       int
	done, total int
	progress    func(done, total int)
}

func newRunner(ctx context.Context, b *bundle.Bundle, e *engine.Engine, ds data.Dataset, o Options) (*runner, error) {
	r := &runner{ctx: ctx, free: make(chan *bundle.Forward, e.Calls()), progress: o.Progress}
	for range e.Calls() {
		forward, err := b.NewForward(e, min(o.Batch, max(ds.Len(), 1)))
		if err != nil {
			r.close()
			return nil, err
		}
		r.batch = forward.Batch()
		r.free <- forward
	}
	return r, nil
}

func (r *runner) close() {
	for len(r.free) > 0 {
		(<-r.free).Close()
	}
}

func (r *runner) logits(ds data.Dataset) ([]float32, error) {
	order := make([]int32, ds.Len())
	for i := range order {
		order[i] = int32(i)
	}
	reader := data.NewReader(ds, order, r.batch, runtime.GOMAXPROCS(0), false)
	defer reader.Close()
	var (
		parts   [][]float32 // in the order of the batches
		mu      sync.Mutex  // guards all but the forwards
		wait    sync.WaitGroup
		failure error
	)
	for {
		batch, err := reader.Next(r.ctx)
		mu.Lock()
		if failure == nil && err != nil && !errors.Is(err, io.EOF) {
			failure = err
		}
		stop := err != nil || failure != nil
		place := len(parts)
		if !stop {
			parts = append(parts, nil)
		}
		mu.Unlock()
		if stop {
			break
		}
		forward := <-r.free
		wait.Go(func() {
			out, err := forward.Logits(batch.X, batch.N)
			mu.Lock()
			defer mu.Unlock()
			r.free <- forward
			if err != nil {
				failure = errors.Join(failure, err)
				return
			}
			parts[place] = out
			reader.Recycle(batch)
			if r.done += batch.N; r.progress != nil {
				r.progress(r.done, r.total)
			}
		})
	}
	wait.Wait()
	return slices.Concat(parts...), failure
}

func newReport(model, dataName string, n int, o Options) report.Report {
	return report.Report{
		SchemaVersion: report.SchemaVersion, Model: model, Data: dataName, Examples: n, Seed: o.Seed,
		Created: time.Now().UTC().Truncate(time.Second),
	}
}

func datasetName(info data.Info) string {
	if info.Part == "" {
		return info.Name
	}
	return info.Name + " " + info.Part
}

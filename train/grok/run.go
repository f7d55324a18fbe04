package grok

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/train"
	"github.com/ballast-ml/ballast/train/update"
)

// Point is what was measured after a number of updates.
type Point struct {
	Step int     `json:"step"`
	Loss float64 `json:"loss"` // mean since the point before
	Scores
}

// Result is a finished run.
type Result struct {
	Config  Config         `json:"config"`
	History []Point        `json:"history"`
	Final   Scores         `json:"final"`
	Phase   Phase          `json:"phase"`
	IPR     Neurons        `json:"-"`
	MeanIPR float64        `json:"mean_ipr"`
	Gamma   []float64      `json:"-"` // scales of the norm, nil without
	Data    Dataset        `json:"-"`
	Bundle  *bundle.Bundle `json:"-"` // the trained network

	all *predictor // answers of the trained network
}

// Close frees what the run holds on the engine.
func (r *Result) Close() {
	r.all.close()
	r.Bundle.Store.Finalize()
}

// Pruned scores the trained network without some neurons: nothing of them reaches the logits. It stays as it was.
func (r *Result) Pruned(keep []bool) (Scores, error) {
	second := r.Bundle.Store.GetVariable(secondPath)
	whole := tensors.MustCopyFlatData[float32](second.MustValue())
	dims := second.Shape().Dimensions
	set := func(values []float32) error {
		return second.SetValue(tensors.FromFlatDataAndDimensions(values, dims...))
	}
	part := slices.Clone(whole)
	for i, stays := range keep {
		if !stays {
			clear(part[i*dims[1] : (i+1)*dims[1]])
		}
	}
	if err := set(part); err != nil {
		return Scores{}, fmt.Errorf("grok: %w", err)
	}
	predictions, err := r.all.predict()
	if err = errors.Join(err, set(whole)); err != nil {
		return Scores{}, err
	}
	return r.Data.Score(predictions), nil
}

// Pruning is the scores of the network with a share of its neurons taken out.
type Pruning struct {
	Share float64 `json:"share"`
	Scores
}

// Curve prunes the trained network by IPR, a share after the other, from the low or the high end.
func (r *Result) Curve(shares []float64, highest bool) ([]Pruning, error) {
	var curve []Pruning
	for _, share := range shares {
		keep, err := Prune(r.IPR.Mean, share, highest)
		if err != nil {
			return nil, err
		}
		scores, err := r.Pruned(keep)
		if err != nil {
			return nil, err
		}
		curve = append(curve, Pruning{share, scores})
	}
	return curve, nil
}

// Options are what a run needs besides its configuration.
type Options struct {
	Engine   *engine.Engine
	Dir      string      // where checkpoints are saved, so that a run cut short resumes; "" saves nothing
	Progress func(Point) // told of every measurement; nil = nobody
}

// oldRun is the file of a run's state in the folders of earlier versions.
const oldRun = "run.json"

// Run trains a network by the recipe of the configuration. An interrupted run resumes, with the same numbers, when called again with the
// same Dir and configuration. A folder of a version that had a loop of its own is refused.
func Run(ctx context.Context, c Config, o Options) (result *Result, err error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	d, err := NewDataset(c.P, c.Op, c.Share, c.Noise, c.Seed, c.Labels)
	if err != nil {
		return nil, err
	}
	if o.Dir != "" {
		if _, err := os.Lstat(filepath.Join(o.Dir, oldRun)); err == nil {
			return nil, &fault.Usage{Err: fmt.Errorf("grok: %s holds a run of an earlier version, which had a loop of its own; this version cannot go on with it, "+
				"so use another folder, or remove this one", o.Dir)}
		}
	}
	set, err := c.examples(d)
	if err != nil {
		return nil, err
	}
	look := &looker{config: c, data: d, engine: o.Engine, progress: o.Progress}
	defer look.close()
	trained, err := train.Run(ctx, c.Recipe(d.Train), train.Options{
		Engine: o.Engine, Dir: o.Dir, Resume: true, Data: set, Look: &train.Look{Names: lookNames, Measure: look.measure},
	})
	if err != nil {
		return nil, fmt.Errorf("grok: %w", err)
	}
	return newResult(c, d, o.Engine, trained)
}

// newResult reads what a finished run measured, and looks at its neurons.
func newResult(c Config, d Dataset, e *engine.Engine, trained *train.Result) (*Result, error) {
	r := &Result{Config: c, Data: d, Bundle: trained.Bundle}
	for _, p := range trained.Watched[lookNames[0]] {
		r.History = append(r.History, pointOf(p))
	}
	r.Final = r.History[len(r.History)-1].Scores
	r.Phase = PhaseOf(r.Final)
	store := r.Bundle.Store
	var err error
	if r.IPR, err = NeuronIPR(wide(store.GetVariable(firstPath)), wide(store.GetVariable(secondPath)), c.P, 2); err != nil {
		return nil, err
	}
	for _, v := range r.IPR.Mean {
		r.MeanIPR += v / float64(len(r.IPR.Mean))
	}
	if v := store.GetVariable(scalePath); v != nil {
		r.Gamma = wide(v)
	}
	if r.all, err = newPredictor(c, d, e, store); err != nil {
		return nil, err
	}
	return r, nil
}

// The variables of the network.
const (
	firstPath  = "/model/layer_1/kernel"
	secondPath = "/model/output/kernel"
	scalePath  = "/model/layer_1/norm/scale"
)

// lookNames are what is measured on the way: Scores, and the loss.
var lookNames = []string{"train", "memorised", "corrected", "test", "loss_mean"}

// pointOf is a point from the numbers of lookNames.
func pointOf(p optim.Point) Point {
	v := p.Values
	return Point{Step: p.Step, Loss: v[4], Scores: Scores{Train: v[0], Memorised: v[1], Corrected: v[2], Test: v[3]}}
}

// looker measures the network on all pairs while it is trained.
type looker struct {
	config   Config
	data     Dataset
	engine   *engine.Engine
	progress func(Point)
	all      *predictor // nil before the first measurement
}

func (l *looker) measure(_ context.Context, h update.Host, at train.Progress) ([]float64, error) {
	if l.all == nil {
		var err error
		if l.all, err = newPredictor(l.config, l.data, l.engine, h.Store()); err != nil {
			return nil, err
		}
	}
	predictions, err := l.all.predict()
	if err != nil {
		return nil, err
	}
	s := l.data.Score(predictions)
	values := []float64{s.Train, s.Memorised, s.Corrected, s.Test, at.Loss}
	if l.progress != nil {
		l.progress(pointOf(optim.Point{Step: at.Step, Values: values}))
	}
	return values, nil
}

func (l *looker) close() {
	if l.all != nil {
		l.all.close()
	}
}

// predictor answers all pairs with the network in a store.
type predictor struct {
	exec *model.Exec
	m, n *tensors.Tensor
}

func newPredictor(c Config, d Dataset, e *engine.Engine, store *model.Store) (*predictor, error) {
	exec, err := model.NewExec(e.Backend, store, func(scope *model.Scope, m, n *Node) *Node {
		store.SetTraining(m.Graph(), false)
		return ArgMax(c.Logits(scope.At("model"), m, n), -1, dtypes.Int32)
	})
	if err != nil {
		return nil, fmt.Errorf("grok: %w", err)
	}
	column := func(v []int32) *tensors.Tensor { return tensors.FromFlatDataAndDimensions(v, len(v)) }
	return &predictor{exec, column(d.M), column(d.N)}, nil
}

// predict is the answer for every pair.
func (p *predictor) predict() ([]int32, error) {
	out, err := p.exec.Call(p.m, p.n)
	if err != nil {
		return nil, fmt.Errorf("grok: %w", err)
	}
	return tensors.MustCopyFlatData[int32](out[0]), nil
}

func (p *predictor) close() { p.exec.Finalize() }

func wide(v *model.Variable) []float64 {
	flat := tensors.MustCopyFlatData[float32](v.MustValue())
	out := make([]float64, len(flat))
	for i, x := range flat {
		out[i] = float64(x)
	}
	return out
}

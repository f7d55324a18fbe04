package grok

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/safepoint"
	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/ops"
	"github.com/ballast-ml/ballast/train"
)

// Config says everything about one run. The network is
//
//	logits = norm(activation(dropout(x W1))) W2      x = the two numbers of a pair, one-hot, [2p]; no biases
//
// with W1 [2p, Neurons] and W2 [Neurons, p] from N(0, s^2), s = 0.5/(2 Neurons)^(1/3). The loss is the mean over all pairs and logits of
// (logit - one-hot)^2, or the cross-entropy; the optimizer is AdamW with the decay decoupled, on all parameters: WeightDecay 15 at a rate of
// 0.01 takes 15 % off every weight at every step, and is right.
type Config struct {
	P       int     `json:"p"`              // a prime; 97
	Op      string  `json:"op"`             // add or mul
	Share   float64 `json:"alpha"`          // share of the pairs trained on; 0.5
	Noise   float64 `json:"noise"`          // share of these with wrong labels; 0.35
	Seed    uint64  `json:"seed"`           // of the order of pairs, the weights, batches and dropout
	Labels  uint64  `json:"labels"`         // of the wrong labels
	Neurons int     `json:"neurons"`        // 500
	Square  string  `json:"activation"`     // square or relu
	Norm    string  `json:"norm"`           // none, batch or layer, after the activation
	Dropout float64 `json:"dropout"`        // share of the sums before the activation put to 0; 0
	Loss    string  `json:"loss"`           // mse or cross-entropy
	LR      float64 `json:"lr"`             // 0.01
	Beta1   float64 `json:"beta1"`          // 0.9
	Beta2   float64 `json:"beta2"`          // 0.98
	Epsilon float64 `json:"eps"`            // 1e-8
	Decay   float64 `json:"wd"`             // 5
	Batch   int     `json:"batch"`          // pairs an update; 0 = all
	Steps   int     `json:"steps"`          // updates; 300
	Every   int     `json:"evaluate_every"` // updates between two measurements; 10
}

// NewConfig returns the paper's setting with a weight decay of 5.
func NewConfig() Config {
	return Config{
		P: 97, Op: "add", Share: 0.5, Noise: 0.35, Seed: 1, Labels: 1, Neurons: 500, Square: "square", Norm: "none", Loss: "mse",
		LR: 0.01, Beta1: 0.9, Beta2: 0.98, Epsilon: 1e-8, Decay: 5, Steps: 300, Every: 10,
	}
}

// Validate says what is wrong with the configuration, and how to fix it.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, key string, got any, fix string) {
		if !ok {
			errs = append(errs, fmt.Errorf("grok: %s is %v; %s", key, got, fix))
		}
	}
	if _, err := NewDataset(c.P, c.Op, c.Share, c.Noise, c.Seed, c.Labels); err != nil {
		errs = append(errs, err)
	}
	check(c.Neurons >= 1, "neurons", c.Neurons, "use at least 1")
	check(c.Square == "square" || c.Square == "relu", "activation", c.Square, "use square or relu")
	check(c.Norm == "none" || c.Norm == "batch" || c.Norm == "layer", "norm", c.Norm, "use none, batch or layer")
	check(c.Loss == "mse" || c.Loss == "cross-entropy", "loss", c.Loss, "use mse or cross-entropy")
	check(c.Dropout >= 0 && c.Dropout < 1, "dropout", c.Dropout, "use a share from 0 to below 1")
	check(c.LR > 0, "lr", c.LR, "use a number above 0")
	check(c.Beta1 >= 0 && c.Beta1 < 1, "beta1", c.Beta1, "use a number from 0 to below 1")
	check(c.Beta2 >= 0 && c.Beta2 < 1, "beta2", c.Beta2, "use a number from 0 to below 1")
	check(c.Epsilon > 0, "eps", c.Epsilon, "use a number above 0")
	check(c.Decay >= 0, "wd", c.Decay, "use 0 or more")
	check(c.Batch >= 0, "batch", c.Batch, "use 0 for all pairs at once")
	check(c.Steps >= 1, "steps", c.Steps, "use at least 1")
	check(c.Every >= 1, "evaluate_every", c.Every, "use at least 1")
	return errors.Join(errs...)
}

// Point is what was measured after a number of updates.
type Point struct {
	Step int     `json:"step"`
	Loss float64 `json:"loss"` // of the last update
	Scores
}

// Result is a finished run.
type Result struct {
	Config  Config    `json:"config"`
	History []Point   `json:"history"`
	Final   Scores    `json:"final"`
	Phase   Phase     `json:"phase"`
	IPR     Neurons   `json:"-"`
	MeanIPR float64   `json:"mean_ipr"`
	Gamma   []float64 `json:"-"` // scales of the norm, nil without
	Data    Dataset   `json:"-"`

	net *network
}

// Close frees what the run holds on the engine.
func (r *Result) Close() { r.net.close() }

// Options are what a run needs besides its configuration.
type Options struct {
	Engine   *engine.Engine
	Dir      string      // where the state is saved, so that a run cut short goes on; "" saves nothing
	Progress func(Point) // told of every measurement; nil = nobody
}

// Run trains a network. A run cut short goes on, with the same numbers, when called again with the same Dir and configuration.
func Run(ctx context.Context, c Config, o Options) (result *Result, err error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	d, err := NewDataset(c.P, c.Op, c.Share, c.Noise, c.Seed, c.Labels)
	if err != nil {
		return nil, err
	}
	net, err := newNetwork(c, d, o.Engine)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			net.close()
		}
	}()
	r := &Result{Config: c, Data: d, net: net}
	journal := train.Journal[Config, Point]{Config: c}
	if err := journal.Load(o.Dir, net.variables(), c.goesOn); err != nil {
		return nil, err
	}
	r.History = journal.History
	step := 0
	if n := len(r.History); n > 0 {
		step = r.History[n-1].Step
	}
	for step < c.Steps {
		lossValue := math.NaN()
		for until := min(step+c.Every-step%c.Every, c.Steps); step < until; step++ {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if lossValue, err = net.step(step); err != nil {
				return nil, err
			}
		}
		predictions, err := net.predict(nil)
		if err != nil {
			return nil, err
		}
		p := Point{Step: step, Loss: lossValue, Scores: d.Score(predictions)}
		r.History = append(r.History, p)
		if math.IsNaN(lossValue) || math.IsInf(lossValue, 0) {
			return nil, fmt.Errorf("grok: the loss is %v after %d updates; use a smaller lr or wd", lossValue, step)
		}
		if o.Progress != nil {
			o.Progress(p)
		}
		journal.History = r.History
		release := safepoint.Hold(ctx)
		err = journal.Save(o.Dir, step, net.variables())
		release()
		if err != nil {
			return nil, err
		}
	}
	r.Final = r.History[len(r.History)-1].Scores
	r.Phase = PhaseOf(r.Final)
	w1, w2 := net.weights()
	if r.IPR, err = NeuronIPR(w1, w2, c.P, 2); err != nil {
		return nil, err
	}
	for _, v := range r.IPR.Mean {
		r.MeanIPR += v / float64(len(r.IPR.Mean))
	}
	if v := net.store.GetVariable("/norm/scale"); v != nil {
		r.Gamma = wide(v)
	}
	return r, nil
}

// Pruned scores the trained network without some neurons.
func (r *Result) Pruned(keep []bool) (Scores, error) {
	predictions, err := r.net.predict(keep)
	if err != nil {
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

// goesOn says whether a saved run may be gone on with: one of the same configuration that has not gone further.
func (c Config) goesOn(saved train.Journal[Config, Point]) error {
	longer := saved.Config
	longer.Steps = c.Steps
	if longer != c {
		return errors.New("grok: the folder holds a run of another configuration")
	}
	if n := len(saved.History); n == 0 || saved.History[n-1].Step > c.Steps {
		return fmt.Errorf("grok: the run in the folder has gone on beyond %d steps", c.Steps)
	}
	return nil
}

// network is the network on an engine, with its data.
type network struct {
	config          Config
	store           *model.Store
	update, forward *model.Exec
	m, n, labels    *tensors.Tensor // all pairs, on the device
	data            Dataset
	order           []int32 // of the present epoch of mini-batches
}

func newNetwork(c Config, d Dataset, e *engine.Engine) (*network, error) {
	net := &network{config: c, store: model.NewStore(), data: d}
	param.Seed(net.store, c.Seed)
	column := func(v []int32) *tensors.Tensor { return tensors.FromFlatDataAndDimensions(v, len(v)) }
	net.m, net.n, net.labels = column(d.M), column(d.N), column(d.Labels)
	var err error
	net.forward, err = model.NewExec(e.Backend, net.store, func(scope *model.Scope, m, n, keep *Node) *Node {
		net.store.SetTraining(m.Graph(), false)
		return ArgMax(c.Logits(scope, m, n, nil, keep), -1, dtypes.Int32)
	})
	if err != nil {
		return nil, fmt.Errorf("grok: %w", err)
	}
	o := optim.NewAdamW()
	o.LR, o.Beta1, o.Beta2, o.Epsilon, o.WeightDecay, o.Decay = c.LR, c.Beta1, c.Beta2, c.Epsilon, c.Decay, []string{"all"}
	net.update, err = model.NewExec(e.Backend, net.store, func(scope *model.Scope, inputs []*Node) *Node {
		m, n, labels, seed := inputs[0], inputs[1], inputs[2], inputs[3]
		net.store.SetTraining(m.Graph(), true)
		if len(inputs) > 4 { // a mini-batch
			pick := func(v *Node) *Node { return Reshape(ops.GatherRows(ExpandAxes(v, -1), inputs[4]), -1) }
			m, n, labels = pick(m), pick(n), pick(labels)
		}
		logits := c.Logits(scope, m, n, seed, nil)
		l := c.Objective(logits, labels)
		var variables []*model.Variable
		for v := range net.store.IterVariables() {
			if v.Trainable {
				variables = append(variables, v)
			}
		}
		optim.Minimizer{Optimizer: o}.Step(scope.In("optimizer"), l, variables)
		return l
	})
	if err != nil {
		return nil, fmt.Errorf("grok: %w", err)
	}
	// Every variable is made before a saved state can be read.
	if _, err := net.predict(nil); err != nil {
		return nil, err
	}
	net.declare()
	return net, nil
}

// declare makes the optimizer's variables without moving anything.
func (net *network) declare() {
	scope := net.store.RootScope()
	var variables []*model.Variable
	for v := range net.store.IterVariables() {
		if v.Trainable {
			variables = append(variables, v)
		}
	}
	optim.Minimizer{Optimizer: optim.NewAdamW()}.Declare(scope.In("optimizer"), variables)
}

// Logits are those of the network, [pairs, p], for pairs of numbers m and n [pairs]. dropout is a key for the dropout, uint32 [2], nil
// for none; keep [neurons] is 1 for neurons that stay and 0 for those taken out, nil for all.
func (c Config) Logits(scope *model.Scope, m, n, dropout, keep *Node) *Node {
	g := m.Graph()
	deviation := 0.5 / math.Cbrt(2*float64(c.Neurons))
	normal := func(r *rand.Rand, values []float64) {
		for i := range values {
			values[i] = deviation * r.NormFloat64()
		}
	}
	w1 := param.Variable(scope.In("first"), "kernel", param.Kernel, dtypes.Float32, normal, 2*c.P, c.Neurons).NodeValue(g)
	w2 := param.Variable(scope.In("second"), "kernel", param.Kernel, dtypes.Float32, normal, c.Neurons, c.P).NodeValue(g)
	oneHot := func(v *Node) *Node { return OneHot(v, c.P, dtypes.Float32) }
	h := MatMul(Concatenate([]*Node{oneHot(m), oneHot(n)}, -1), w1)
	if c.Dropout > 0 && dropout != nil {
		kept := ops.RandomOf(dropout).Bernoulli(1-c.Dropout, h.Shape().Dimensions...)
		h = Where(kept, DivScalar(h, 1-c.Dropout), ZerosLike(h))
	}
	if c.Square == "relu" {
		h = linear.ReLU.Apply(h)
	} else {
		h = Square(h)
	}
	switch c.Norm {
	case "batch":
		h = norm.NewBatch().Apply(scope.In("norm"), h)
	case "layer":
		h = norm.NewLayerNorm(-1).Apply(scope.In("norm"), h)
	}
	if keep != nil {
		h = Mul(h, ExpandAxes(keep, 0))
	}
	return MatMul(h, w2)
}

// Objective is the loss, a scalar, of logits [pairs, p] for labels [pairs].
func (c Config) Objective(logits, labels *Node) *Node {
	if c.Loss == "cross-entropy" {
		return loss.Mean(loss.CrossEntropy{}.Of(labels, logits), nil)
	}
	return ReduceAllMean(Square(Sub(logits, OneHot(labels, c.P, dtypes.Float32))))
}

// step does one update and returns its loss. It waits for the device: updates that are queued could not be stopped.
func (net *network) step(number int) (float64, error) {
	c := net.config
	args := []any{net.m, net.n, net.labels, tensors.FromFlatDataAndDimensions([]uint32{uint32(c.Seed), uint32(number)}, 2)}
	args = append(args, tensors.FromFlatDataAndDimensions(net.batch(number), c.size(net.data.Train)))
	out, err := net.update.Call(args...)
	if err != nil {
		return 0, fmt.Errorf("grok: %w", err)
	}
	return float64(tensors.ToScalar[float32](out[0])), out[0].FinalizeAll()
}

func (c Config) size(train int) int {
	if c.Batch == 0 || c.Batch > train {
		return train
	}
	return c.Batch
}

// batch is the pairs of an update: all of the training set, or the next ones of a permutation that each epoch draws anew.
func (net *network) batch(number int) []int32 {
	size, n := net.config.size(net.data.Train), net.data.Train
	perEpoch := n / size
	if net.order == nil || number%perEpoch == 0 || size == n {
		net.order = make([]int32, n)
		for i := range net.order {
			net.order[i] = int32(i)
		}
		if size < n {
			r := rand.New(rand.NewPCG(net.config.Seed, uint64(number/perEpoch)))
			r.Shuffle(n, func(i, j int) { net.order[i], net.order[j] = net.order[j], net.order[i] })
		}
	}
	from := number % perEpoch * size
	return net.order[from : from+size]
}

// predict is the answer for every pair, with the neurons that stay.
func (net *network) predict(keep []bool) ([]int32, error) {
	mask := make([]float32, net.config.Neurons)
	for i := range mask {
		if keep == nil || keep[i] {
			mask[i] = 1
		}
	}
	out, err := net.forward.Call(net.m, net.n, tensors.FromFlatDataAndDimensions(mask, len(mask)))
	if err != nil {
		return nil, fmt.Errorf("grok: %w", err)
	}
	return tensors.MustCopyFlatData[int32](out[0]), nil
}

func (net *network) variables() []*model.Variable {
	var all []*model.Variable
	for v := range net.store.IterVariables() {
		all = append(all, v)
	}
	return all
}

func (net *network) weights() (w1, w2 []float64) {
	return wide(net.store.GetVariable("/first/kernel")), wide(net.store.GetVariable("/second/kernel"))
}

func (net *network) close() {
	net.update.Finalize()
	net.forward.Finalize()
	net.store.Finalize()
}

func wide(v *model.Variable) []float64 {
	flat := tensors.MustCopyFlatData[float32](v.MustValue())
	out := make([]float64, len(flat))
	for i, x := range flat {
		out[i] = float64(x)
	}
	return out
}

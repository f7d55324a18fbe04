// Package layernorm is the paper "Layer Normalization": its claims and its recipe.
package layernorm

import (
	"context"
	_ "embed"
	"math"
	"math/rand/v2"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/nn/rnn"
	"github.com/ballast-ml/ballast/papers/paper"
)

//go:embed recipe.yaml
var recipe []byte

// Paper is Ba, Kiros, Hinton, "Layer Normalization", arXiv 1607.06450.
//
// Speed of training at small scale, on optdigits: an MLP 64-256-256-10 in batches of 4 and 128, and a recurrent layer of 32 units that reads
// digits row by row. Test accuracy does not separate the norms here, and is not claimed.
var Paper = paper.Paper{
	Slug:    "layer-norm",
	Title:   "Layer Normalization",
	Authors: "Jimmy Lei Ba, Jamie Ryan Kiros, Geoffrey E. Hinton",
	Year:    2016,
	ArXiv:   "1607.06450",
	Summary: "normalise over the units of one example: the same in training and inference, at batch size 1 and inside recurrences",
	Symbols: []string{"nn/norm.LayerNorm", "nn/rnn.LNLSTM", "nn/rnn.LNGRU", "zoo.RNN"},
	Recipe:  recipe,
	Claims: []paper.Claim{
		{
			Name:      "small-batch",
			Statement: "with layer normalisation an MLP trains at batch 4 where batch normalisation does not, and no slower at batch 128 (mean training loss of the last 100 of 300 updates)",
			Seeds:     3,
			Arms: []paper.Arm{
				{Name: "batch-4", Overrides: []string{"norm=batch", "batch_size=4"}}, {Name: "layer-4", Overrides: []string{"batch_size=4"}},
				{Name: "batch-128", Overrides: []string{"norm=batch", "batch_size=128"}}, {Name: "layer-128", Overrides: []string{"batch_size=128"}},
			},
			Check: func(m paper.Measured) []paper.Inequality {
				return []paper.Inequality{
					paper.AtMost("batch 4: LN <= 0.5 BN", m.Mean("layer-4", "loss"), 0.5*m.Mean("batch-4", "loss")),
					paper.AtMost("batch 128: LN <= 0.8 BN", m.Mean("layer-128", "loss"), 0.8*m.Mean("batch-128", "loss")),
				}
			},
		},
		{
			Name:      "recurrent",
			Statement: "LN-LSTM converges faster than LSTM, also from first weights 8 times too large (mean training loss of the last 50 of 150 updates)",
			Seeds:     3,
			Arms: []paper.Arm{
				{Name: "lstm", Overrides: recurrentArm("{name:rnn,cell:lstm,hidden:32}")}, {Name: "ln-lstm", Overrides: recurrentArm("{name:rnn,cell:ln-lstm,hidden:32}")},
				{Name: "lstm-x8", Overrides: recurrentArm("{name:rnn,cell:lstm,hidden:32,init_scale:8}")},
				{Name: "ln-lstm-x8", Overrides: recurrentArm("{name:rnn,cell:ln-lstm,hidden:32,init_scale:8}")},
			},
			Check: func(m paper.Measured) []paper.Inequality {
				return []paper.Inequality{
					paper.AtMost("LN-LSTM <= 0.8 LSTM", m.Mean("ln-lstm", "loss"), 0.8*m.Mean("lstm", "loss")),
					paper.AtMost("weights x 8: LN-LSTM <= 0.75 LSTM", m.Mean("ln-lstm-x8", "loss"), 0.75*m.Mean("lstm-x8", "loss")),
				}
			},
		},
		{
			Name:       "invariance",
			Statement:  "4 times the weights leave the states of LN-LSTM as they are and change those of LSTM; x and 3x+2 are the same to a layer norm",
			Seeds:      3,
			Experiment: paper.NewExperiment(invariance{Hidden: 32, Steps: 8, Features: 8, Batch: 16, Factor: 4}, func(_ context.Context, at paper.Place, v invariance) (map[string]float64, error) { return v.run(at) }),
			Arms:       []paper.Arm{{Name: "change"}},
			Check: func(m paper.Measured) []paper.Inequality {
				return []paper.Inequality{
					paper.AtMost("LN-LSTM changes by < 1e-3", m.Mean("change", "ln-lstm"), 1e-3),
					paper.AtLeast("LSTM changes by > 0.1", m.Mean("change", "lstm"), 0.1),
					paper.AtMost("LN(3x+2) - LN(x) <= 1e-4", m.Mean("change", "layer"), 1e-4),
				}
			},
		},
	},
	Published: []paper.Published{
		{What: "MS COCO retrieval, order embeddings, caption / image R@1: LN", Value: "48.5 / 38.9"},
		{What: "MS COCO retrieval: without", Value: "46.7 / 37.9"},
		{What: "DRAW on MNIST, variational bound after 200 epochs: LN / without", Value: "82.09 / 82.36 nats"},
		{What: "permutation-invariant MNIST at batch 4", Value: "LN robust, BN degrades"},
	},
}

func recurrentArm(network string) []string {
	return []string{"network=" + network, "~norm", "steps=150", "batch_size=64", "optimizer.lr=0.003", "log_every=50"}
}

// invariance measures how much states change when all kernels are multiplied, relative to their length.
type invariance struct {
	Hidden   int     `json:"hidden"`
	Steps    int     `json:"steps"`
	Features int     `json:"features"`
	Batch    int     `json:"batch"`
	Factor   float64 `json:"factor"`
}

func (v invariance) run(at paper.Place) (map[string]float64, error) {
	r := rand.New(rand.NewPCG(at.Seed, 9))
	flat := make([]float32, v.Batch*v.Steps*v.Features)
	for i := range flat {
		flat[i] = float32(r.NormFloat64())
	}
	x := tensors.FromFlatDataAndDimensions(flat, v.Batch, v.Steps, v.Features)
	run := func(apply func(scope *model.Scope, x *graph.Node) *graph.Node) ([]float32, error) {
		store := model.NewStore()
		defer store.Finalize()
		param.Seed(store, at.Seed)
		exec, err := model.NewExec(at.Engine.Backend, store, apply)
		if err != nil {
			return nil, err
		}
		defer exec.Finalize()
		out, err := exec.Call(x)
		if err != nil {
			return nil, err
		}
		return tensors.MustCopyFlatData[float32](out[0]), nil
	}
	change := func(first, second func(scope *model.Scope, x *graph.Node) *graph.Node) (float64, error) {
		a, err := run(first)
		if err != nil {
			return 0, err
		}
		b, err := run(second)
		if err != nil {
			return 0, err
		}
		var moved, length float64
		for i := range a {
			moved, length = moved+math.Pow(float64(a[i]-b[i]), 2), length+math.Pow(float64(a[i]), 2)
		}
		return math.Sqrt(moved / length), nil
	}
	states := func(l rnn.Layer) func(scope *model.Scope, x *graph.Node) *graph.Node {
		return func(scope *model.Scope, x *graph.Node) *graph.Node { return l.Apply(scope, x, rnn.Inputs{}).H }
	}
	normed, plain := rnn.NewLNLSTM(v.Hidden), rnn.NewLSTM(v.Hidden)
	largeNormed, largePlain := normed, plain
	largeNormed.InitScale, largePlain.InitScale = v.Factor, v.Factor
	layer := norm.NewLayerNorm(-1)
	metrics := map[string]float64{}
	var err error
	if metrics["ln-lstm"], err = change(states(normed), states(largeNormed)); err != nil {
		return nil, err
	}
	if metrics["lstm"], err = change(states(plain), states(largePlain)); err != nil {
		return nil, err
	}
	metrics["layer"], err = change(layer.Apply, func(scope *model.Scope, x *graph.Node) *graph.Node {
		return layer.Apply(scope, graph.AddScalar(graph.MulScalar(x, 3), 2))
	})
	return metrics, err
}

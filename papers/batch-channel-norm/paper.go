// Package batchchannelnorm is the paper "Micro-Batch Training with Batch-Channel Normalization and Weight
// Standardization": its claims and its recipe.
package batchchannelnorm

import (
	"context"
	_ "embed"
	"math/rand/v2"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/papers/paper"
)

//go:embed recipe.yaml
var recipe []byte

// Paper is Qiao, Wang, Liu, Shen, Yuille, "Micro-Batch Training with Batch-Channel Normalization and Weight Standardization",
// arXiv 1903.10520.
//
// Speed of training at small scale: a convolutional network on optdigits in batches of two, 800 updates.
var Paper = paper.Paper{
	Slug:    "batch-channel-norm",
	Title:   "Micro-Batch Training with Batch-Channel Normalization and Weight Standardization",
	Authors: "Siyuan Qiao, Huiyu Wang, Chenxi Liu, Wei Shen, Alan Yuille",
	Year:    2019,
	ArXiv:   "1903.10520",
	Summary: "train convolutional networks with one or two images a device: standardised kernels, and group normalisation behind estimated batch statistics",
	Symbols: []string{"nn/norm.BatchChannel", "nn/norm.Estimated", "nn/norm.SetRates", "nn/linear.Standardization", "convert.FoldNorms"},
	Recipe:  recipe,
	Claims: []paper.Claim{
		{
			Name:      "batch-of-two",
			Statement: "in batches of two standardised kernels make group normalisation train faster, and with batch-channel normalisation faster than batch normalisation",
			Seeds:     3,
			Arms: []paper.Arm{
				{Name: "bn", Overrides: []string{"norm=batch"}},
				{Name: "gn", Overrides: []string{"norm={name:group,groups:4}"}},
				{Name: "gn_ws", Overrides: []string{"norm={name:group,groups:4}", "network.weight_standardization=paper"}},
				{Name: "bcn_ws", Overrides: []string{"norm={name:batch-channel,groups:4,update_rate:0.02}", "network.weight_standardization=paper"}},
			},
			Check: func(m paper.Measured) []paper.Inequality {
				accuracy := func(arm string) float64 { return m.Mean(arm, "accuracy") }
				return []paper.Inequality{
					paper.AtLeast("GN+WS >= GN + 0.05", accuracy("gn_ws"), accuracy("gn")+0.05),
					paper.AtLeast("BCN+WS >= BN + 0.08", accuracy("bcn_ws"), accuracy("bn")+0.08),
					paper.AtLeast("BCN+WS >= GN+WS - 0.005", accuracy("bcn_ws"), accuracy("gn_ws")-0.005),
				}
			},
		},
		{
			Name:       "channel-spread",
			Statement:  "group normalisation leaves the means of channels far apart, batch-channel normalisation brings them together",
			Seeds:      3,
			Experiment: paper.NewExperiment(channelSpread{Steps: 200, Rate: 0.1, Batch: 2, Side: 8, Channels: 16, Offsets: 2}, func(_ context.Context, at paper.Place, s channelSpread) (map[string]float64, error) { return s.run(at) }),
			Arms:       []paper.Arm{{Name: "spread"}},
			Check: func(m paper.Measured) []paper.Inequality {
				return []paper.Inequality{
					paper.AtLeast("GN: deviation of channel means >= 0.5", m.Mean("spread", "group"), 0.5),
					paper.AtMost("BCN: deviation of channel means <= 0.1", m.Mean("spread", "batch_channel"), 0.1),
				}
			},
		},
	},
	Published: []paper.Published{
		{What: "ImageNet ResNet-50, one image a GPU, top-1 error: GN+WS / GN; BN with large batches", Value: "23.72 / 24.81 %; 24.30 %"},
		{What: "ImageNet ResNet-101, one image a GPU, top-1 error: GN+WS; BN with large batches", Value: "22.10 %; 22.44 %"},
		{What: "PASCAL VOC, DeepLabv3 ResNet-101, mIoU: BCN+WS / GN+WS / BN", Value: "78.10 / 77.20 / 76.49"},
	},
}

// channelSpread sends activations whose channels have means of their own through two norms, and measures how far apart the means of
// the channels are behind them, over many images.
type channelSpread struct {
	Steps    int     `json:"steps"`
	Rate     float64 `json:"update_rate"`
	Batch    int     `json:"batch"`
	Side     int     `json:"side"`
	Channels int     `json:"channels"`
	Offsets  float64 `json:"offsets"` // standard deviation of the channels' means
}

func (s channelSpread) run(at paper.Place) (map[string]float64, error) {
	r := rand.New(rand.NewPCG(at.Seed, 11))
	means := make([]float64, s.Channels)
	for c := range means {
		means[c] = s.Offsets * r.NormFloat64()
	}
	draw := func(n int) *tensors.Tensor {
		flat := make([]float32, n*s.Side*s.Side*s.Channels)
		for i := range flat {
			flat[i] = float32(means[i%s.Channels] + r.NormFloat64())
		}
		return tensors.FromFlatDataAndDimensions(flat, n, s.Side, s.Side, s.Channels)
	}
	channel := norm.NewBatchChannel()
	channel.Groups, channel.Rate = 1, s.Rate
	metrics := map[string]float64{}
	for name, layer := range map[string]norm.Layer{"group": norm.Group{Groups: 1, Epsilon: 1e-5}, "batch_channel": channel} {
		store := model.NewStore()
		defer store.Finalize()
		exec := func(training bool) (*model.Exec, error) {
			return model.NewExec(at.Engine.Backend, store, func(scope *model.Scope, x *graph.Node) *graph.Node {
				store.SetTraining(x.Graph(), training)
				return graph.ReduceMean(layer.Apply(scope, x), 0, 1, 2)
			})
		}
		train, err := exec(true)
		if err != nil {
			return nil, err
		}
		defer train.Finalize()
		for range s.Steps {
			if _, err := train.Call(draw(s.Batch)); err != nil {
				return nil, err
			}
		}
		inference, err := exec(false)
		if err != nil {
			return nil, err
		}
		defer inference.Finalize()
		out, err := inference.Call(draw(64))
		if err != nil {
			return nil, err
		}
		var values []float64
		for _, v := range tensors.MustCopyFlatData[float32](out[0]) {
			values = append(values, float64(v))
		}
		metrics[name] = paper.Summarise(values).SD
	}
	return metrics, nil
}

// Package ibnnet is the paper "Two at Once: Enhancing Learning and Generalization Capacities via IBN-Net": its claims
// and its recipe.
package ibnnet

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/papers/paper"
	"github.com/ballast-ml/ballast/report"
	"github.com/ballast-ml/ballast/report/figure"
	"github.com/ballast-ml/ballast/train"
	"github.com/ballast-ml/ballast/zoo"
)

//go:embed recipe.yaml
var recipe []byte

// Paper is Pan, Luo, Shi, Tang, "Two at Once: Enhancing Learning and Generalization Capacities via IBN-Net", arXiv 1807.09441.
//
// At small scale: three residual blocks on optdigits resized to 16x16, trained on clean digits, tested on digits whose brightness and contrast
// have shifted. Inversion is no change that a positive scale undoes, and is not claimed.
var Paper = paper.Paper{
	Slug:    "ibn-net",
	Title:   "Two at Once: Enhancing Learning and Generalization Capacities via IBN-Net",
	Authors: "Xingang Pan, Ping Luo, Jianping Shi, Xiaoou Tang",
	Year:    2018,
	ArXiv:   "1807.09441",
	Summary: "instance normalisation in some channels or at the end of some blocks of the shallow layers: as good at home, far more robust to changes of appearance",
	Symbols: []string{"nn/norm.IBN", "zoo.IBNResNet", "zoo.IBNDenseNet", "metric.FeatureDivergence"},
	Recipe:  recipe,
	Claims: []paper.Claim{{
		Name: "appearance",
		Statement: "both forms are as good on clean digits; IBN-b holds where brightness and contrast shift, IBN-a where contrast does; and the features of " +
			"IBN-b's first block hardly see the shift",
		Seeds: 3,
		Arms: []paper.Arm{
			{Name: "bn"},
			{Name: "ibn-a", Overrides: []string{`network.config=["a","a",""]`}},
			{Name: "ibn-b", Overrides: []string{`network.config=["b","b",""]`}},
		},
		After: appearance,
		Check: func(m paper.Measured) []paper.Inequality {
			get := m.Mean
			return []paper.Inequality{
				paper.AtLeast("clean: IBN-a >= BN - 0.01", get("ibn-a", "accuracy"), get("bn", "accuracy")-0.01),
				paper.AtLeast("clean: IBN-b >= BN - 0.01", get("ibn-b", "accuracy"), get("bn", "accuracy")-0.01),
				paper.AtLeast("0.4x+0.3: IBN-b >= BN + 0.3", get("ibn-b", "0.4x+0.3"), get("bn", "0.4x+0.3")+0.3),
				paper.AtLeast("x+0.5: IBN-b >= BN + 0.3", get("ibn-b", "x+0.5"), get("bn", "x+0.5")+0.3),
				paper.AtLeast("1.8x-0.2: IBN-b >= BN + 0.1", get("ibn-b", "1.8x-0.2"), get("bn", "1.8x-0.2")+0.1),
				paper.AtLeast("0.4x+0.3: IBN-a >= BN + 0.1", get("ibn-a", "0.4x+0.3"), get("bn", "0.4x+0.3")+0.1),
				paper.AtMost("divergence of block 1: IBN-b <= 0.2 BN", get("ibn-b", "divergence_1"), 0.2*get("bn", "divergence_1")),
			}
		},
	}},
	Published: []paper.Published{
		{What: "ImageNet ResNet-50, top-1 / top-5 error: IBN-a", Value: "22.54 / 6.32 %"},
		{What: "ImageNet ResNet-50, top-1 / top-5 error: BN", Value: "24.27 / 7.08 %"},
		{What: "GTA5 -> Cityscapes without target data, mIoU: IBN-b / BN", Value: "29.6 / 22.2"},
		{What: "Market1501, rank-1 (mAP): IBN-a / BN", Value: "95.0 (88.2) / 94.5 (85.9)"},
	},
	Figures: []paper.Figure{{Name: "divergence", Title: "How far a shift of contrast (0.4x+0.3) moves the features of each block", Draw: drawDivergence}},
}

// drawDivergence draws the divergence of features between clean and shifted digits, by block.
func drawDivergence(e paper.Entry) ([]byte, error) {
	var lines []report.Series
	for _, arm := range []string{"bn", "ibn-a", "ibn-b"} {
		line, err := e.Series(arm, "appearance", paper.Point{X: 1, Arm: arm, Metric: "divergence_1"}, paper.Point{X: 2, Arm: arm, Metric: "divergence_2"}, paper.Point{X: 3, Arm: arm, Metric: "divergence_3"})
		if err != nil {
			return nil, err
		}
		lines = append(lines, line)
	}
	return figure.Lines("Clean against 0.4x+0.3", "block", "feature divergence", true, lines...)
}

// shifts of appearance: a x + b.
var shifts = []struct {
	name string
	a, b float64
}{{"0.4x+0.3", 0.4, 0.3}, {"x+0.5", 1, 0.5}, {"1-x", -1, 1}, {"1.8x-0.2", 1.8, -0.2}}

// appearance measures accuracy on shifted test digits, and the divergence of each block's features between clean and shifted ones.
func appearance(_ context.Context, at paper.Place, trained *train.Result) (map[string]float64, error) {
	ds, err := data.Open("optdigits", "test")
	if err != nil {
		return nil, err
	}
	n, size := ds.Len(), ds.Info().Size()
	x := make([]float32, n*size)
	for i := range n {
		if err := ds.Read(i, x[i*size:(i+1)*size]); err != nil {
			return nil, err
		}
	}

	network, ok := trained.Bundle.Manifest.Network.Network.(zoo.IBNResNet)
	if !ok {
		return nil, fmt.Errorf("the network is %T, not an IBN-ResNet", trained.Bundle.Manifest.Network.Network)
	}

	store := trained.Bundle.Store
	exec, err := model.NewExec(at.Engine.Backend, store, func(scope *model.Scope, x *graph.Node) []*graph.Node {
		store.SetTraining(x.Graph(), false)
		var means []*graph.Node
		for _, f := range network.Activations(scope.In("model"), x) {
			means = append(means, graph.ReduceMean(f, 1, 2))
		}
		return means
	})
	if err != nil {
		return nil, err
	}
	defer exec.Finalize()

	forward, err := trained.Bundle.NewForward(at.Engine, n)
	if err != nil {
		return nil, err
	}
	defer forward.Close()

	features := func(x []float32) ([]*tensors.Tensor, error) {
		return exec.Call(tensors.FromFlatDataAndDimensions(x, append([]int{n}, ds.Info().Shape...)...))
	}

	clean, err := features(x)
	if err != nil {
		return nil, err
	}
	metrics := map[string]float64{}
	for _, s := range shifts {
		moved := make([]float32, len(x))
		for i, v := range x {
			moved[i] = float32(s.a*float64(v) + s.b)
		}
		logits, err := forward.Logits(moved, n)
		if err != nil {
			return nil, err
		}

		classes := len(logits) / n
		for i := range n {
			best := 0
			for c := range classes {
				if logits[i*classes+c] > logits[i*classes+best] {
					best = c
				}
			}
			if int32(best) == ds.Label(i) {
				metrics[s.name] += 1 / float64(n)
			}
		}

		if s.name != shifts[0].name {
			continue
		}
		seen, err := features(moved)
		if err != nil {
			return nil, err
		}
		for block, f := range seen {
			d, _, err := metric.FeatureDivergence(doubles(clean[block]), doubles(f), f.Shape().Dimensions[1], metric.DivergenceFloor)
			if err != nil {
				return nil, err
			}
			metrics[fmt.Sprintf("divergence_%d", block+1)] = d
		}
	}
	return metrics, nil
}

func doubles(t *tensors.Tensor) []float64 {
	flat := tensors.MustCopyFlatData[float32](t)
	out := make([]float64, len(flat))
	for i, v := range flat {
		out[i] = float64(v)
	}
	return out
}

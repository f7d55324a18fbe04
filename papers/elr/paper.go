// Package elr is the paper "Early-Learning Regularization Prevents Memorization of Noisy Labels": its claim and its recipe.
package elr

import (
	"context"
	_ "embed"
	"fmt"
	"runtime"
	"slices"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/lab"
	"github.com/ballast-ml/ballast/papers/paper"
	"github.com/ballast-ml/ballast/report"
	"github.com/ballast-ml/ballast/report/figure"
	"github.com/ballast-ml/ballast/train"
)

//go:embed recipe.yaml
var recipe []byte

// Paper is Liu, Niles-Weed, Razavian, Fernandez-Granda, "Early-Learning Regularization Prevents Memorization of Noisy Labels",
// arXiv 2007.00151.
//
// At small scale, an MLP 64-256-256-10 on 1,200 optdigits, 480 of which have a wrong label, for 120 epochs at the learning rate of the
// paper, 0.02; measured after each on 597 others.
var Paper = paper.Paper{
	Slug:    "elr",
	Title:   "Early-Learning Regularization Prevents Memorization of Noisy Labels",
	Authors: "Sheng Liu, Jonathan Niles-Weed, Narges Razavian, Carlos Fernandez-Granda",
	Year:    2020,
	ArXiv:   "2007.00151",
	Summary: "train on labels some of which are wrong without learning these by heart, and get a list of the labels that are suspected",
	Symbols: []string{"nn/loss.ELR", "nn/loss.ELRPlus", "nn/loss.Suspects", "nn/loss.Detect", "train/objective.TwoNetworks", "zoo.Ensemble"},
	Recipe:  recipe,
	Claims: []paper.Claim{{
		Name: "memorisation",
		Statement: "with two fifths of the labels wrong, cross-entropy first learns the true labels and then the wrong ones by heart; early-learning regularisation " +
			"keeps what was learned first, and its memory names the wrong labels (elr_plus, and both losses at a rate of 0.05, at which elr too forgets about half, " +
			"are measured beside them and decide nothing)",
		Seeds: 5,
		Arms: []paper.Arm{
			{Name: "ce", Overrides: []string{crossEntropy}},
			{Name: "elr"},
			{Name: "elr_plus", Overrides: []string{"objective={name:two-networks,beta:0.7,lambda:3}", "epochs=240"}},
			{Name: "ce_fast", Overrides: []string{crossEntropy, "optimizer.lr=0.05"}},
			{Name: "elr_fast", Overrides: []string{"optimizer.lr=0.05"}},
		},
		After: remembered,
		Check: func(m paper.Measured) []paper.Inequality {
			return []paper.Inequality{
				paper.AtLeast("final accuracy: ELR >= CE + 0.15", m.Mean("elr", "final"), m.Mean("ce", "final")+0.15),
				paper.AtLeast("CE: best - final >= 0.15", m.Mean("ce", "best")-m.Mean("ce", "final"), 0.15),
				paper.AtLeast("CE: wrong labels learned >= 0.9", m.Mean("ce", "memorised"), 0.9),
				paper.AtMost("ELR: wrong labels learned <= 0.35", m.Mean("elr", "memorised"), 0.35),
				paper.AtLeast("ELR: suspects that are wrong >= 0.9", m.Mean("elr", "suspect_precision"), 0.9),
				paper.AtLeast("ELR: wrong labels suspected >= 0.85", m.Mean("elr", "suspect_recall"), 0.85),
			}
		},
	}},
	Published: []paper.Published{
		{What: "CIFAR-10, ResNet-34, symmetric noise 20/40/60/80 %, test accuracy: cross-entropy", Value: "86.98 / 81.88 / 74.14 / 53.82 %"},
		{What: "CIFAR-10, ResNet-34, symmetric noise 20/40/60/80 %: ELR", Value: "92.12 / 91.43 / 88.87 / 80.69 %"},
		{What: "CIFAR-100, ResNet-34, symmetric noise 20/40/60/80 %: cross-entropy", Value: "58.72 / 48.20 / 37.41 / 18.10 %"},
		{What: "CIFAR-100, ResNet-34, symmetric noise 20/40/60/80 %: ELR", Value: "74.68 / 68.43 / 60.05 / 30.27 %"},
		{What: "Clothing1M: cross-entropy / ELR / ELR+", Value: "69.1 / 72.87 / 74.81 %"},
	},
	Figures: []paper.Figure{{Name: "epochs", Title: "Accuracy on digits that were kept aside, after each epoch, with two fifths of the labels wrong", Draw: drawEpochs}},
}

const crossEntropy = "objective={name:supervised,loss:cross-entropy}"

// remembered measures how an arm learned, and which of the labels that it ends with: best and final accuracy, that after the drawn epochs,
// and what it answers to the examples it was trained on with a wrong label: the share that gets this label (memorised), and the true one
// (recovered).
func remembered(_ context.Context, at paper.Place, trained *train.Result) (map[string]float64, error) {
	log, err := lab.ReadLog(at.Dir)
	if err != nil {
		return nil, err
	}
	var accuracy []float64
	for _, line := range log {
		if v, ok := line.Values[train.ValidationPrefix+"accuracy"]; ok {
			accuracy = append(accuracy, v)
		}
	}
	if len(accuracy) < drawn[len(drawn)-1] {
		return nil, fmt.Errorf("%d measurements in the log; want one after each of %d epochs", len(accuracy),
			drawn[len(drawn)-1])
	}
	metrics := map[string]float64{"best": slices.Max(accuracy), "final": accuracy[len(accuracy)-1]}
	for _, epoch := range drawn {
		metrics[afterEpoch(epoch)] = accuracy[epoch*len(accuracy)/drawn[len(drawn)-1]-1] // two networks take a pass each
	}

	answers, err := classes(at, trained)
	if err != nil {
		return nil, err
	}
	wrong, memorised, recovered := 0, 0, 0
	for i, label := range trained.Trained.Labels {
		truth := trained.Trained.True[i]
		if label == truth {
			continue
		}
		wrong++
		switch answers[i] {
		case label:
			memorised++
		case truth:
			recovered++
		}
	}
	if wrong == 0 {
		return nil, fmt.Errorf("no label is wrong")
	}
	metrics["memorised"], metrics["recovered"] = float64(memorised)/float64(wrong), float64(recovered)/float64(wrong)
	return metrics, nil
}

// classes are the model's answers to the examples that it was trained on.
func classes(at paper.Place, trained *train.Result) ([]int32, error) {
	const batch = 300
	forward, err := trained.Bundle.NewForward(at.Engine, batch)
	if err != nil {
		return nil, err
	}
	defer forward.Close()
	set := trained.Trained.Set
	order := make([]int32, set.Len())
	for i := range order {
		order[i] = int32(i)
	}
	size := 1
	for _, d := range set.Info().Shape {
		size *= d
	}
	reader := data.NewReader(set, order, batch, runtime.GOMAXPROCS(0), false)
	defer reader.Close()

	var answers []int32
	for len(answers) < len(order) {
		b, err := reader.Next(context.Background())
		if err != nil {
			return nil, err
		}
		logits, err := forward.Logits(b.X[:b.N*size], b.N)
		if err != nil {
			return nil, err
		}
		for row := range slices.Chunk(logits, len(logits)/b.N) {
			answers = append(answers, int32(slices.Index(row, slices.Max(row))))
		}
		reader.Recycle(b)
	}
	return answers, nil
}

// drawn are the epochs of the figure; the last one is that of the run.
var drawn = []int{1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 35, 40, 50, 60, 70, 80, 90, 100, 110, 120}

func afterEpoch(epoch int) string { return fmt.Sprintf("%saccuracy_%d", paper.CurvePrefix, epoch) }

// drawEpochs draws how the accuracy of the arms goes.
func drawEpochs(e paper.Entry) ([]byte, error) {
	var lines []report.Series
	for _, arm := range []struct{ name, arm string }{{"cross-entropy", "ce"}, {"ELR", "elr"}, {"ELR+", "elr_plus"}} {
		var points []paper.Point
		for _, epoch := range drawn {
			points = append(points, paper.Point{X: float64(epoch), Arm: arm.arm, Metric: afterEpoch(epoch)})
		}
		line, err := e.Series(arm.name, "memorisation", points...)
		if err != nil {
			return nil, err
		}
		lines = append(lines, line)
	}
	return figure.Lines("40 % of the labels wrong", "epoch", "accuracy", false, lines...)
}

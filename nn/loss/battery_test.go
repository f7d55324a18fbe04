package loss_test

import (
	"math"
	"testing"

	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/loss/losstest"
)

// TestBattery goes over every Loss that has a name, so that none escapes.
func TestBattery(t *testing.T) {
	naive := map[string]losstest.Naive{
		"cross-entropy": crossEntropy(0), "balanced-softmax": balanced, "elr": elr, "kd": distilled(loss.NewKD()),
		"mse": mse, "l1": l1, "bce": bce, "dice": dice,
	}
	for _, k := range loss.All() {
		if naive[k.Name] == nil {
			t.Errorf("loss %s has no loop to be compared with", k.Name)
			continue
		}
		t.Run(k.Name, func(t *testing.T) { losstest.Run(t, k.New(), naive[k.Name]) })
	}
	t.Run("smoothed", func(t *testing.T) { losstest.Run(t, loss.CrossEntropy{Smoothing: 0.1}, crossEntropy(0.1)) })
	certain := loss.KD{Temperature: 4, ByCertainty: true}
	t.Run("kd by certainty", func(t *testing.T) { losstest.Run(t, certain, distilled(certain)) })
}

// TestSetBattery goes over every Set that has a name.
func TestSetBattery(t *testing.T) {
	naive := map[string]losstest.Naive{
		"contrastive": contrastive, "contrastive-cosine": pairs(contrastiveCosine), "multi-similarity": pairs(multiSimilarity),
		"lifted": pairs(lifted), "binomial": pairs(binomial), "proxy-anchor": proxyAnchor,
		"supcon": supcon(0.1, true), "ntxent": supcon(0.5, false), "tcm": tcm, "mrl": mrl(loss.NewMRL()), "mndcg": mndcg,
	}
	claims := map[string][]losstest.Claim{
		"contrastive": {losstest.Mixed()}, "contrastive-cosine": {losstest.Mixed()}, "multi-similarity": {losstest.Mixed()},
		"lifted": {losstest.Mixed()}, "binomial": {losstest.Mixed()}, "proxy-anchor": {losstest.MixedInPlace()},
		"supcon": {losstest.Views(2)}, "ntxent": {losstest.Views(3)}, "mrl": {losstest.Ranks(1)}, "mndcg": {losstest.Ranks(3)},
	}
	for _, k := range loss.AllSets() {
		if naive[k.Name] == nil {
			t.Errorf("batch loss %s has no loop to be compared with", k.Name)
			continue
		}
		t.Run(k.Name, func(t *testing.T) { losstest.RunSet(t, k.New(), naive[k.Name], claims[k.Name]...) })
	}
	other := loss.MRL{Margin: 0.3, Confidence: "prob", Broadcast: true, Copies: 2, Alpha: 1}
	t.Run("mrl as the code has it", func(t *testing.T) { losstest.RunSet(t, other, mrl(other), losstest.Ranks(2)) })
}

// softmax of row i of k values, over a temperature.
func softmax(values []float64, i, k int, temperature float64) []float64 {
	p := make([]float64, k)
	sum := 0.0
	for j := range p {
		p[j] = math.Exp(values[i*k+j] / temperature)
		sum += p[j]
	}
	for j := range p {
		p[j] /= sum
	}
	return p
}

// share of class j that example i has.
func share(b losstest.Batch, i, j int) float64 {
	if b.Targets != nil {
		return b.Targets[i*b.Classes+j]
	}
	if int(b.Labels[i]) == j {
		return 1
	}
	return 0
}

func crossEntropy(smoothing float64) losstest.Naive {
	return func(b losstest.Batch, _ map[string][]float64) []float64 {
		y := make([]float64, b.N)
		for i := range y {
			for j, p := range softmax(b.Out, i, b.Classes, 1) {
				y[i] -= ((1-smoothing)*share(b, i, j) + smoothing/float64(b.Classes)) * math.Log(p)
			}
		}
		return y
	}
}

func balanced(b losstest.Batch, state map[string][]float64) []float64 {
	shifted := b
	shifted.Out = make([]float64, len(b.Out))
	for i := range b.Out {
		shifted.Out[i] = b.Out[i] + math.Log(float64(b.Counts[i%b.Classes]))
	}
	return crossEntropy(0)(shifted, state)
}

func elr(b losstest.Batch, state map[string][]float64) []float64 {
	e, k := loss.NewELR(), b.Classes
	if state["targets"] == nil {
		state["targets"] = make([]float64, b.Examples*k)
	}
	limited := func(values []float64, i int) []float64 {
		p := softmax(values, i, k, 1)
		for j := range p {
			p[j] = min(max(p[j], e.Clamp), 1-e.Clamp)
		}
		return p
	}
	y := crossEntropy(0)(b, nil)
	for i := range y {
		q := state["targets"][int(b.Index[i])*k : (int(b.Index[i])+1)*k]
		now, sum := limited(b.Fixed, i), 0.0
		for _, p := range now {
			sum += p
		}
		agreement := 0.0
		for j, p := range limited(b.Out, i) {
			q[j] = e.Beta*q[j] + (1-e.Beta)*now[j]/sum
			agreement += q[j] * p
		}
		y[i] += e.Lambda * math.Log(1-agreement)
	}
	return y
}

func distilled(k loss.KD) losstest.Naive {
	return func(b losstest.Batch, _ map[string][]float64) []float64 {
		y := crossEntropy(0)(b, nil)
		for i := range y {
			weight := k.Weight
			if k.ByCertainty {
				weight = 1
				for _, p := range softmax(b.Teacher, i, b.Classes, 1) {
					weight += p * math.Log(p) / math.Log(float64(b.Classes))
				}
			}
			divergence := 0.0
			q := softmax(b.Out, i, b.Classes, k.Temperature)
			for j, p := range softmax(b.Teacher, i, b.Classes, k.Temperature) {
				divergence += p * math.Log(p/q[j])
			}
			y[i] = weight*k.Temperature*k.Temperature*divergence + (1-weight)*y[i]
		}
		return y
	}
}

// byValue is the mean over the values of each example.
func byValue(b losstest.Batch, f func(out, target float64) float64) []float64 {
	y := make([]float64, b.N)
	row := len(b.Out) / b.N
	for i, out := range b.Out {
		y[i/row] += f(out, b.Targets[i]) / float64(row)
	}
	return y
}

func mse(b losstest.Batch, _ map[string][]float64) []float64 {
	return byValue(b, func(out, target float64) float64 { return (out - target) * (out - target) })
}

func l1(b losstest.Batch, _ map[string][]float64) []float64 {
	return byValue(b, func(out, target float64) float64 { return math.Abs(out - target) })
}

func bce(b losstest.Batch, _ map[string][]float64) []float64 {
	return byValue(b, func(out, target float64) float64 {
		p := 1 / (1 + math.Exp(-out))
		return -target*math.Log(p) - (1-target)*math.Log(1-p)
	})
}

func dice(b losstest.Batch, _ map[string][]float64) []float64 {
	const smooth = 1e-5
	y := make([]float64, b.N)
	row, channels := len(b.Out)/b.N, b.Shape[len(b.Shape)-1]
	for i := range y {
		for c := range channels {
			overlap, size := 0.0, 0.0
			for j := i*row + c; j < (i+1)*row; j += channels {
				p := 1 / (1 + math.Exp(-b.Out[j]))
				overlap += p * b.Targets[j]
				size += p + b.Targets[j]
			}
			y[i] += (1 - (2*overlap+smooth)/(size+smooth)) / float64(channels)
		}
	}
	return y
}

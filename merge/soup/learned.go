package soup

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/descent"
	"github.com/ballast-ml/ballast/internal/strict"
)

// How the coefficients of a learned soup are shared.
const (
	ShareAll    = "all"    // one row of coefficients
	ShareLayer  = "layer"  // one row for the tensors whose names differ in their last part alone
	ShareTensor = "tensor" // one row per tensor
)

// Learned learns the share of each model, by AdamW on a loss on held-out examples:
//
//	alpha = softmax over models of r           one row of r [models], or one per layer or tensor
//	minimise the loss of beta f(x; sum over m of alpha_m theta_m)
//
// All models are in memory. r starts at ones, an equal share each; beta is one factor on the logits, the inverse of a
// temperature, and is learned only if LearnBeta is set.
// Source: Wortsman et al., "Model soups", arXiv 2203.05482; defaults of the released code.
type Learned struct {
	Share       string  `json:"share"`        // all, layer or tensor; tensor
	Beta        float64 `json:"beta"`         // first factor on the logits; 1
	LearnBeta   bool    `json:"learn_beta"`   // learn it; false
	LR          float64 `json:"lr"`           // learning rate of AdamW; 0.05
	WeightDecay float64 `json:"weight_decay"` // decoupled, on r; 0
	Beta1       float64 `json:"beta1"`        // of AdamW; 0.9
	Beta2       float64 `json:"beta2"`        // of AdamW; 0.999
	Epsilon     float64 `json:"eps"`          // of AdamW; 1e-8
	Epochs      int     `json:"epochs"`       // passes over the batches; 5
}

// NewLearned returns the defaults of the released code.
func NewLearned() Learned {
	return Learned{Share: ShareTensor, Beta: 1, LR: 0.05, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, Epochs: 5}
}

// LossAt is a loss and its derivatives.
type LossAt struct {
	Value    float64
	Gradient weights.Set // in the weights, of their layout
	Beta     float64     // derivative in beta; not read where beta is not learned
}

// Loss is the loss of one batch for weights and a factor on the logits. step counts from 0 through all epochs; the batch is
// the caller's to choose. It keeps no reference to w.
type Loss func(step int, w weights.Set, beta float64) (LossAt, error)

// LearnedResult is a learned soup.
type LearnedResult struct {
	Weights weights.Set `json:"-"`
	Models  []string    `json:"models"`
	Groups  []string    `json:"groups"` // name of each row: "all", or the layer or tensor
	Alpha   [][]float64 `json:"alpha"`  // [groups][models], each row sums to 1
	Raw     [][]float64 `json:"raw"`    // the same before softmax
	Beta    float64     `json:"beta"`   // factor on the logits; not in the weights
	Losses  []float64   `json:"losses"` // of each step, before it
}

// Validate reports what is wrong with the options.
func (l Learned) Validate() error {
	var errs []error
	if l.Share != ShareAll && l.Share != ShareLayer && l.Share != ShareTensor {
		text := "use all, layer or tensor"
		if near, ok := strict.Nearest(l.Share, []string{ShareAll, ShareLayer, ShareTensor}); ok {
			text = fmt.Sprintf("did you mean %q?", near)
		}
		errs = append(errs, fmt.Errorf("merge: learned soup: share is %q; %s", l.Share, text))
	}

	for _, f := range []struct {
		name       string
		value, low float64
		open       bool
	}{{"beta", l.Beta, 0, true}, {"lr", l.LR, 0, true}, {"weight_decay", l.WeightDecay, 0, false}, {"eps", l.Epsilon, 0, true}} {
		if !(f.value > f.low || f.value == f.low && !f.open) || math.IsInf(f.value, 0) {
			errs = append(errs, fmt.Errorf("merge: learned soup: %s is %v; it must be above 0%s", f.name, f.value, map[bool]string{false: " or 0"}[f.open]))
		}
	}

	for _, f := range []struct {
		name  string
		value float64
	}{{"beta1", l.Beta1}, {"beta2", l.Beta2}} {
		if !(f.value >= 0 && f.value < 1) {
			errs = append(errs, fmt.Errorf("merge: learned soup: %s is %v; it must be in [0, 1)", f.name, f.value))
		}
	}

	if l.Epochs < 0 {
		errs = append(errs, fmt.Errorf("merge: learned soup: epochs is %d; use 0 for the first mix alone", l.Epochs))
	}
	return errors.Join(errs...)
}

// groups returns the names of the rows and the row of each tensor.
func (l Learned) groups(w weights.Set) (names []string, of []int) {
	rows := map[string]int{}
	for _, t := range w {
		name := "all"
		switch l.Share {
		case ShareTensor:
			name = t.Name
		case ShareLayer:
			name = t.Name
			if i := strings.LastIndexAny(t.Name, "/."); i >= 0 {
				name = t.Name[:i]
			}
		}
		row, ok := rows[name]
		if !ok {
			row = len(names)
			rows[name], names = row, append(names, name)
		}
		of = append(of, row)
	}
	return names, of
}

// Alpha returns the shares: the softmax of each row of raw, [groups][models].
func (l Learned) Alpha(raw [][]float64) [][]float64 {
	alpha := make([][]float64, len(raw))
	for g, row := range raw {
		alpha[g] = make([]float64, len(row))
		top, sum := math.Inf(-1), 0.0
		for _, r := range row {
			top = math.Max(top, r)
		}
		for m, r := range row {
			alpha[g][m] = math.Exp(r - top)
			sum += alpha[g][m]
		}
		for m := range row {
			alpha[g][m] /= sum
		}
	}
	return alpha
}

// Mix returns the weighted mean of the models for raw coefficients [groups][models]; groups are in the order in which the
// tensors name them.
func (l Learned) Mix(models []weights.Set, raw [][]float64) (weights.Set, error) {
	if err := weights.CheckSets("merge: learned soup", models, nil); err != nil {
		return nil, err
	}
	if err := l.checkRaw(models, raw); err != nil {
		return nil, err
	}
	mixed := models[0].ZerosLike()
	_, of := l.groups(models[0])
	mixInto(mixed, models, l.Alpha(raw), of)
	return mixed, nil
}

func (l Learned) checkRaw(models []weights.Set, raw [][]float64) error {
	if err := l.Validate(); err != nil {
		return err
	}
	names, _ := l.groups(models[0])
	if len(raw) != len(names) {
		return fmt.Errorf("merge: learned soup: %d rows of coefficients for %d groups of tensors; share is %s", len(raw), len(names), l.Share)
	}
	for g, row := range raw {
		if len(row) != len(models) {
			return fmt.Errorf("merge: learned soup: row %s has %d coefficients for %d models", names[g], len(row), len(models))
		}
	}
	return nil
}

func mixInto(mixed weights.Set, models []weights.Set, alpha [][]float64, of []int) {
	for t := range mixed {
		row, out := alpha[of[t]], mixed[t].Values
		for j := range out {
			sum := 0.0
			for m := range models {
				sum += row[m] * float64(models[m][t].Values[j])
			}
			out[j] = float32(sum)
		}
	}
}

// Gradient turns the gradient of a loss in the mixed weights into that in raw, [groups][models]:
//
//	d/dalpha_m = <G, theta_m> over the group's tensors      d/dr_m = alpha_m (d/dalpha_m - sum over k of alpha_k d/dalpha_k)
func (l Learned) Gradient(models []weights.Set, raw [][]float64, gradient weights.Set) ([][]float64, error) {
	if err := weights.CheckSets("merge: learned soup", append(models[:len(models):len(models)], gradient), nil); err != nil {
		return nil, err
	}
	if err := l.checkRaw(models, raw); err != nil {
		return nil, err
	}
	_, of := l.groups(models[0])
	return rawGradient(models, l.Alpha(raw), of, gradient), nil
}

func rawGradient(models []weights.Set, alpha [][]float64, of []int, gradient weights.Set) [][]float64 {
	out := make([][]float64, len(alpha))
	for g := range out {
		out[g] = make([]float64, len(models))
	}
	for t := range gradient {
		for m := range models {
			out[of[t]][m] += weights.Dot(gradient[t].Values, models[m][t].Values)
		}
	}
	for g, row := range out {
		mean := 0.0
		for m, d := range row {
			mean += alpha[g][m] * d
		}
		for m := range row {
			row[m] = alpha[g][m] * (row[m] - mean)
		}
	}
	return out
}

// Fit learns the soup: Epochs passes over so many batches. names may be nil.
func (l Learned) Fit(models []weights.Set, names []string, loss Loss, batches int) (LearnedResult, error) {
	if err := l.Validate(); err != nil {
		return LearnedResult{}, err
	}
	if batches < 1 || loss == nil {
		return LearnedResult{}, fmt.Errorf("merge: learned soup: a loss and at least 1 batch are needed, got %d batches", batches)
	}
	if err := weights.CheckSets("merge: learned soup", models, names); err != nil {
		return LearnedResult{}, err
	}
	var r LearnedResult
	for m := range models {
		r.Models = append(r.Models, weights.NameOf(names, m))
	}

	rows, of := l.groups(models[0])
	r.Groups, r.Beta = rows, l.Beta
	for range rows {
		row := make([]float64, len(models))
		for m := range row {
			row[m] = 1
		}
		r.Raw = append(r.Raw, row)
	}

	adam := descent.Adam{Rate: l.LR, Decay: l.WeightDecay, Beta1: l.Beta1, Beta2: l.Beta2, Epsilon: l.Epsilon}
	temperature := adam
	temperature.Decay = 0 // a decay of beta would pull the logits together
	r.Weights = models[0].ZerosLike()
	for step := range l.Epochs * batches {
		mixInto(r.Weights, models, l.Alpha(r.Raw), of)
		at, err := loss(step, r.Weights, r.Beta)
		if err != nil {
			return r, fmt.Errorf("merge: learned soup: loss of step %d: %w", step, err)
		}
		if err := descent.CheckLoss("merge: learned soup", step, at.Value, r.Weights, at.Gradient); err != nil {
			return r, err
		}
		r.Losses = append(r.Losses, at.Value)
		var flat, slope []float64
		for g, row := range rawGradient(models, l.Alpha(r.Raw), of, at.Gradient) {
			flat, slope = append(flat, r.Raw[g]...), append(slope, row...)
		}
		adam.Step(flat, slope)
		for g := range r.Raw {
			copy(r.Raw[g], flat[g*len(models):])
		}
		if l.LearnBeta {
			log := []float64{math.Log(r.Beta)} // so that beta stays above 0
			temperature.Step(log, []float64{at.Beta * r.Beta})
			r.Beta = math.Exp(log[0])
		}
	}

	r.Alpha = l.Alpha(r.Raw)
	mixInto(r.Weights, models, r.Alpha, of)
	return r, nil
}

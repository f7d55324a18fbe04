package soup

import (
	"errors"
	"fmt"
	"math"
)

// Ensemble returns the mean of the outputs of several models, which costs one run of each: of logits, [examples, classes] a
// model, or of probabilities.
func Ensemble(outputs [][]float64) ([]float64, error) {
	if len(outputs) == 0 {
		return nil, errors.New("merge: ensemble: there is no model; give the outputs of at least one")
	}
	mean := make([]float64, len(outputs[0]))
	for m, values := range outputs {
		if len(values) != len(mean) {
			return nil, fmt.Errorf("merge: ensemble: model %d has %d outputs, model 0 has %d; run all on the same examples", m, len(values), len(mean))
		}
		for i, v := range values {
			mean[i] += v / float64(len(outputs))
		}
	}
	return mean, nil
}

// VersusEnsemble says by how much the loss of a soup of two models differs from that of their ensemble, for
// theta_a = (1-a) theta_0 + a theta_1 and ensemble logits (1-a) f_0 + a f_1:
//
//	L_soup - L_ensemble ~ a (1-a)/2 (-L_soup'' + beta^2 mean over x of Var_{Y ~ softmax(beta f(x; theta_a))}(f_1(x)_Y - f_0(x)_Y))
//
// L is the mean cross-entropy of softmax(beta f), L_soup” its second derivative in a. A soup is as good as the ensemble where the
// loss is flat along the line and the two models are sure, or alike.
// Source: Wortsman et al., "Model soups", arXiv 2203.05482, section 4.
type VersusEnsemble struct {
	Alpha float64 `json:"alpha"` // share of the second model, (0, 1); 0.5
	Beta  float64 `json:"beta"`  // factor on the logits; 1
	Step  float64 `json:"step"`  // of the difference that the second derivative is taken by, in a; 0.1
}

// NewVersusEnsemble returns the middle of the line.
func NewVersusEnsemble() VersusEnsemble {
	return VersusEnsemble{Alpha: 0.5, Beta: 1, Step: 0.1}
}

// Gap is what VersusEnsemble finds.
type Gap struct {
	Soup     float64 `json:"loss_soup"`
	Ensemble float64 `json:"loss_ensemble"`
	Second   float64 `json:"second_derivative"` // of the soup's loss in a
	Variance float64 `json:"variance_term"`     // beta^2 mean of the variance
	Approx   float64 `json:"approx_gap"`
	Gap      float64 `json:"true_gap"` // Soup - Ensemble
}

// Measure computes both sides. logits returns [examples, classes] at a point of the line: at 0 the first model's, at 1 the
// second's. It is called seven times. labels are the classes of the examples.
func (s VersusEnsemble) Measure(logits func(a float64) ([]float64, error), labels []int, classes int) (Gap, error) {
	switch {
	case !(s.Alpha > 0 && s.Alpha < 1):
		return Gap{}, fmt.Errorf("merge: soup versus ensemble: alpha is %v; it must be in (0, 1)", s.Alpha)
	case !(s.Beta > 0) || math.IsInf(s.Beta, 0):
		return Gap{}, fmt.Errorf("merge: soup versus ensemble: beta is %v; it must be above 0", s.Beta)
	case !(s.Step > 0 && s.Step < 1):
		return Gap{}, fmt.Errorf("merge: soup versus ensemble: step is %v; it must be in (0, 1)", s.Step)
	}

	var at [5][]float64
	var losses [5]float64
	for i := range at {
		var err error
		if at[i], err = logits(s.Alpha + float64(i-2)*s.Step); err != nil {
			return Gap{}, err
		}
		if losses[i], err = crossEntropy(at[i], labels, classes, s.Beta); err != nil {
			return Gap{}, err
		}
	}

	f0, err := logits(0)
	if err != nil {
		return Gap{}, err
	}
	f1, err := logits(1)
	if err != nil {
		return Gap{}, err
	}
	if len(f0) != len(at[2]) || len(f1) != len(f0) {
		return Gap{}, fmt.Errorf("merge: soup versus ensemble: %d, %d and %d logits along the line", len(f0), len(at[2]), len(f1))
	}
	ensemble := make([]float64, len(f0))
	for i := range ensemble {
		ensemble[i] = (1-s.Alpha)*f0[i] + s.Alpha*f1[i]
	}

	g := Gap{Soup: losses[2]}
	if g.Ensemble, err = crossEntropy(ensemble, labels, classes, s.Beta); err != nil {
		return Gap{}, err
	}
	g.Second = (-losses[0] + 16*losses[1] - 30*losses[2] + 16*losses[3] - losses[4]) / (12 * s.Step * s.Step)
	for x := range labels {
		row := at[2][x*classes : (x+1)*classes]
		p := softmaxRow(row, s.Beta)
		mean, square := 0.0, 0.0
		for y, q := range p {
			d := f1[x*classes+y] - f0[x*classes+y]
			mean += q * d
			square += q * d * d
		}
		g.Variance += s.Beta * s.Beta * (square - mean*mean) / float64(len(labels))
	}

	g.Approx = s.Alpha * (1 - s.Alpha) / 2 * (g.Variance - g.Second)
	g.Gap = g.Soup - g.Ensemble
	return g, nil
}

func softmaxRow(row []float64, beta float64) []float64 {
	p := make([]float64, len(row))
	top, sum := math.Inf(-1), 0.0
	for _, v := range row {
		top = math.Max(top, beta*v)
	}
	for i, v := range row {
		p[i] = math.Exp(beta*v - top)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

// crossEntropy is the mean of -log softmax(beta logits)[label].
func crossEntropy(logits []float64, labels []int, classes int, beta float64) (float64, error) {
	if classes < 1 || len(labels) == 0 || len(logits) != len(labels)*classes {
		return 0, fmt.Errorf("merge: soup versus ensemble: %d logits for %d labels of %d classes", len(logits), len(labels), classes)
	}
	sum := 0.0
	for x, label := range labels {
		if label < 0 || label >= classes {
			return 0, fmt.Errorf("merge: soup versus ensemble: label %d of example %d is outside the %d classes", label, x, classes)
		}
		row := logits[x*classes : (x+1)*classes]
		top := math.Inf(-1)
		for _, v := range row {
			top = math.Max(top, beta*v)
		}
		total := 0.0
		for _, v := range row {
			total += math.Exp(beta*v - top)
		}
		sum += math.Log(total) + top - beta*row[label]
	}
	return sum / float64(len(labels)), nil
}

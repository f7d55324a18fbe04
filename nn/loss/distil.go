package loss

import (
	"math"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/ops"
)

// KD is distillation: the network learns from the probabilities of a teacher, softened by a temperature T, and from the labels:
//
//	loss = w T^2 KL(softmax(teacher/T) || softmax(out/T)) + (1 - w) cross-entropy(out, labels)
//
// w is Weight; or, with ByCertainty, 1 - entropy(softmax(teacher)) / log(classes) for each example, so that a teacher who does not
// know is not followed. Sources: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", arXiv 1503.02531; the
// uncertainty-aware form as in "Efficiently Robustify Pre-trained Models", arXiv 2309.07499.
type KD struct {
	Temperature float64 `json:"temperature"`  // above 0; 1
	Weight      float64 `json:"weight"`       // [0, 1], without ByCertainty; 0.5
	ByCertainty bool    `json:"by_certainty"` // false
}

var _ Loss = KD{}

// NewKD returns equal weights and no softening.
func NewKD() KD { return KD{Temperature: 1, Weight: 0.5} }

// Wants is labels.
func (KD) Wants() []Targets { return []Targets{Labels} }

// Apply returns the loss of each example [n]; it needs In.Teacher. Panics where Parts does.
func (k KD) Apply(s *model.Scope, in In) *Node {
	weight, divergence, entropy := k.Parts(s, in)
	return in.hidden(Add(Mul(weight, divergence), Mul(OneMinus(weight), entropy)))
}

// Parts returns, for each example [n], the weight of the teacher, T^2 times the divergence, and the cross-entropy. Panics if an
// option is outside its range or the teacher's logits are not of the network's shape.
func (k KD) Parts(_ *model.Scope, in In) (weight, divergence, entropy *Node) {
	if !(k.Temperature > 0) || math.IsInf(k.Temperature, 0) || !(k.Weight >= 0 && k.Weight <= 1) {
		Panicf("loss.KD: temperature is %v, weight %v; use a temperature above 0 and a weight from 0 to 1", k.Temperature,
			k.Weight)
	}
	logits, targets := in.classes("KD")
	if in.Teacher == nil || !in.Teacher.Shape().EqualDimensions(logits.Shape()) {
		Panicf("loss.KD: the teacher gave %s for logits %s; want logits of the same shape", shapeOf(in.Teacher),
			logits.Shape())
	}
	logits = ops.Widen(logits)
	teacher := ConvertDType(StopGradient(in.Teacher), logits.DType())

	// -sum p log p, where log p is finite whatever the logits are.
	entropyOf := func(p, logp *Node) *Node { return Neg(ReduceSum(Mul(p, logp), -1)) }
	soft := ops.MaskedLogSoftmax(DivScalar(teacher, k.Temperature), nil, -1)
	p := Exp(soft)
	divergence = Sub(ops.SoftmaxCrossEntropy(DivScalar(logits, k.Temperature), p), entropyOf(p, soft))
	divergence = MulScalar(divergence, k.Temperature*k.Temperature)

	entropy = ops.SoftmaxCrossEntropy(logits, targets)
	weight = MulScalar(OnesLike(entropy), k.Weight)
	if k.ByCertainty {
		sure := ops.MaskedLogSoftmax(teacher, nil, -1)
		classes := float64(max(logits.Shape().Dimensions[1], 2))
		weight = OneMinus(DivScalar(entropyOf(Exp(sure), sure), math.Log(classes)))
	}
	return weight, divergence, entropy
}

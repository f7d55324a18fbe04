package objective

import (
	"errors"
	"math"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas

	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/train/update"
	"github.com/ballast-ml/ballast/zoo"
)

// Inpaint has a network fill holes in images, against a discriminator that learns to tell what it paints from what was there. Two goals
// move in every update, both from the weights of before it:
//
//	network:        Loss.L1 |truth - merged| / share of the hole + Loss.GAN BCE(judged prediction, 1)
//	discriminator:  (BCE(judged truth, 1) + BCE(judged prediction, 0)) / 2
//
// as loss.Inpainting has them. Without adversarial loss (Loss.GAN 0) there is no discriminator. Both take the recipe's optimizer. The
// discriminator is in /objective/discriminator, and the saved model does not have it; its spectral norms move three times per update,
// with the truth, the prediction, and the prediction once more for the network.
//
// Source: Yu et al., "Region Normalization for Image Inpainting", arXiv 1911.10375, and its official code.
type Inpaint struct {
	Loss          loss.Inpainting          `json:"loss"`          // l1_weight 1, gan_weight 0.1
	Discriminator zoo.InpaintDiscriminator `json:"discriminator"` // base 64, halves 3
}

var _ update.Warner = Inpaint{}

// NewInpaint returns the official weights and discriminator, which takes images of 24 pixels and more.
func NewInpaint() Inpaint {
	return Inpaint{Loss: loss.NewInpainting(), Discriminator: zoo.NewInpaintDiscriminator()}
}

// discriminatorScope is where the discriminator stands.
const discriminatorScope = update.Own + "/discriminator"

// Validate refuses networks that do not fill holes, data without holes, and images that are too small for the discriminator.
func (o Inpaint) Validate(p update.Plan) error {
	var errs []error
	refuse := func(when bool, format string, args ...any) {
		if when {
			errs = append(errs, usage(format, args...))
		}
	}
	weight := func(v float64) bool { return v >= 0 && !math.IsInf(v, 0) }
	refuse(!weight(o.Loss.L1) || !weight(o.Loss.GAN) || o.Loss.L1+o.Loss.GAN == 0,
		"objective.loss has l1_weight %v and gan_weight %v; use finite weights from 0, not both 0", o.Loss.L1, o.Loss.GAN)

	_, fills := p.Network.(zoo.Inpainter)
	refuse(!fills, "network %s does not fill holes, and objective inpaint trains one that does; use network: inpainter", zoo.Name(p.Network))
	train := p.Streams[update.Train]
	holes := train.Targets == loss.Images && len(train.Shape) == 3 && train.Shape[2] == train.Outputs+1
	refuse(!holes, "objective inpaint learns from images with holes, and an example of the data is %v with %s; use data: {name: holes, of: ...}",
		train.Shape, train.Targets)
	refuse(p.Standardized, "preprocess is standardize, and objective inpaint takes images as they are, in [0,1]; use preprocess: none")
	refuse(train.Views > 0, "views has %d views, which would change the image and not its target; leave views out", train.Views)
	errs = append(errs, checkWhole("inpaint", p), fed("inpaint", p, anyViews))
	if holes && o.Loss.GAN > 0 {
		errs = append(errs, o.checkDiscriminator(train.Shape))
	}
	return errors.Join(errs...)
}

// Warning says what has no effect.
func (o Inpaint) Warning(update.Plan) string {
	if o.Loss.GAN == 0 && o.Discriminator != zoo.NewInpaintDiscriminator() {
		return "objective.discriminator has no effect: with gan_weight 0 there is none"
	}
	return ""
}

// checkDiscriminator refuses options, and images of which the discriminator leaves nothing.
func (o Inpaint) checkDiscriminator(shape []int) error {
	if err := o.Discriminator.Validate(); err != nil {
		return usage("objective.discriminator: %w", err)
	}
	// Each of the two last convolutions takes a pixel off each side.
	if side := min(shape[0], shape[1]); side>>o.Discriminator.Halves <= 2 {
		return usage("objective.discriminator.halves is %d, which leaves %d of %d pixels; leave more than 2, so use fewer halves or larger patches",
			o.Discriminator.Halves, side>>o.Discriminator.Halves, side)
	}
	return nil
}

// Phases is one phase of one turn.
func (o Inpaint) Phases(p update.Plan) []update.Phase {
	return []update.Phase{{Name: "train", Turns: []update.Turn{{Build: func(s *update.Step) []update.Goal {
		return o.goals(s, p.Network.(zoo.Inpainter))
	}}}}}
}

// goals are those of the network and of the discriminator.
func (o Inpaint) goals(s *update.Step, network zoo.Inpainter) []update.Goal {
	b := s.Batch(update.Train)
	live := living(b)
	prediction := s.Apply("/model", network, pass.Pass{}, b.X)
	hole := live.without(network.Hole(b.X))
	terms := []update.Term{update.Whole("l1", o.Loss.Reconstruction(prediction, b.Targets, hole), o.Loss.L1)}
	if o.Loss.GAN == 0 {
		return []update.Goal{{Name: "network", Terms: terms, Moves: "/model"}}
	}

	judge := func(x *Node) *Node { return o.Discriminator.Apply(s.At(discriminatorScope), x) }
	truth, painted := live.real(judge(b.Targets)), live.without(judge(StopGradient(prediction)))
	discriminator := live.mean(o.Loss.Discriminator(truth, painted))
	terms = append(terms, update.Whole("gan", live.mean(o.Loss.Adversarial(live.real(judge(prediction)))), o.Loss.GAN))
	return []update.Goal{
		{Name: "network", Terms: terms, Moves: "/model"},
		{Name: "discriminator", Terms: []update.Term{update.Whole("discriminator", discriminator, 1)}, Moves: discriminatorScope},
	}
}

// alive keeps padding out of means over a batch: it has no hole, and it is judged as is wanted, which costs nothing.
type alive struct {
	each  *Node // [n, 1, 1, 1]: 1, and 0 for padding; nil where there is none
	scale *Node // examples with padding over those without, a scalar
}

func living(b update.Batch) alive {
	if b.Mask == nil {
		return alive{}
	}
	n := b.X.Shape().Dimensions[0]
	each := ConvertDType(b.Mask, dtypes.Float32)
	return alive{Reshape(each, n, 1, 1, 1), Div(Scalar(each.Graph(), dtypes.Float32, float64(n)), MaxScalar(ReduceAllSum(each), 1))}
}

// without is x [n, height, width, 1] with 0 for padding: no hole, or the probability to be real of what is not.
func (a alive) without(p *Node) *Node {
	if a.each == nil {
		return p
	}
	return Mul(p, a.each)
}

// real is probabilities with 1 for padding.
func (a alive) real(p *Node) *Node {
	if a.each == nil {
		return p
	}
	return Add(Mul(p, a.each), OneMinus(a.each))
}

// mean is a mean over the batch, to which padding adds nothing, as one over the others.
func (a alive) mean(x *Node) *Node {
	if a.each == nil {
		return x
	}
	return Mul(x, a.scale)
}

package loss

import (
	"github.com/gomlx/gomlx/core/graph"
)

// Inpainting are the losses of a generator that fills holes and of the discriminator that judges it. mask is 1 in the hole;
// BCE is the mean of -[t log p + (1-t) log(1-p)], logarithms at least -100:
//
//	merged    = prediction mask + truth (1-mask)
//	L1        = mean |truth - merged| / mean(mask)
//	Generator = GAN BCE(judged prediction, 1) + L1 weight x L1
//	Discriminator = (BCE(judged truth, 1) + BCE(judged prediction, 0)) / 2
//
// The discriminator judges the prediction itself, not the merged image. Source: the official code of Yu et al., "Region Normalization
// for Image Inpainting", arXiv 1911.10375.
type Inpainting struct {
	L1  float64 `json:"l1_weight"`  // 1
	GAN float64 `json:"gan_weight"` // 0.1
}

// NewInpainting returns the official weights.
func NewInpainting() Inpainting { return Inpainting{L1: 1, GAN: 0.1} }

// Merged puts the prediction into the hole: prediction and truth [batch, height, width, channels], mask [batch, height, width, 1].
func (Inpainting) Merged(prediction, truth, mask *graph.Node) *graph.Node {
	return graph.Add(graph.Mul(prediction, mask), graph.Mul(truth, graph.OneMinus(mask)))
}

// Reconstruction is L1, a scalar. A mask without a hole gives 0.
func (l Inpainting) Reconstruction(prediction, truth, mask *graph.Node) *graph.Node {
	// The size of the difference, with a gradient of 0 where it is 0.
	difference := graph.Sub(l.Merged(prediction, truth, mask), truth)
	error := graph.ReduceAllMean(graph.Mul(difference, graph.StopGradient(graph.Sign(difference))))
	share := graph.ReduceAllMean(mask)
	none := graph.Equal(share, graph.ScalarZero(share.Graph(), share.DType()))
	return graph.Div(error, graph.Where(none, graph.OnesLike(share), share))
}

// Adversarial is the generator's BCE(judged, 1), a scalar; judged are the discriminator's probabilities of the prediction.
func (Inpainting) Adversarial(judged *graph.Node) *graph.Node {
	return graph.Neg(graph.ReduceAllMean(boundedLog(judged)))
}

// Generator is the generator's loss, a scalar.
func (l Inpainting) Generator(prediction, truth, mask, judged *graph.Node) *graph.Node {
	return graph.Add(graph.MulScalar(l.Adversarial(judged), l.GAN), graph.MulScalar(l.Reconstruction(prediction, truth, mask), l.L1))
}

// Discriminator is the discriminator's loss, a scalar, from its probabilities of the truth and of the prediction.
func (Inpainting) Discriminator(judgedTruth, judgedPrediction *graph.Node) *graph.Node {
	both := graph.Add(graph.ReduceAllMean(boundedLog(judgedTruth)), graph.ReduceAllMean(boundedLog(graph.OneMinus(judgedPrediction))))
	return graph.MulScalar(both, -0.5)
}

// boundedLog is log(p), at least -100, with a gradient of 0 below.
func boundedLog(p *graph.Node) *graph.Node {
	const least = 3.8e-44 // exp(-100)
	low := graph.LessOrEqual(p, graph.BroadcastToDims(graph.Scalar(p.Graph(), p.DType(), least), p.Shape().Dimensions...))
	return graph.Where(low, graph.BroadcastToDims(graph.Scalar(p.Graph(), p.DType(), -100), p.Shape().Dimensions...), graph.Log(graph.Where(low, graph.OnesLike(p), p)))
}

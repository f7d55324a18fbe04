// Package norm has the normalisation layers. All take their moments from the primitives of ops (Moments, MeanSquare, Normalize),
// and those with collected statistics say with a Source value where inference takes them from.
//
//	norm           statistics over                           state                    at inference              foldable   paper
//	Batch          batch and positions                       mean, variance           the running values        yes        arXiv 1502.03167
//	Ghost          groups of the batch, and positions        mean, variance           the running values        yes        arXiv 1705.08741
//	LayerNorm      given axes of one example                 none                     the same as in training   no         arXiv 1607.06450
//	RMS            given axes of one example, no mean        none                     the same as in training   no         arXiv 1910.07467
//	Group          positions and groups of channels          none                     the same as in training   no         arXiv 1803.08494
//	Instance       positions                                 none                     the same as in training   no         arXiv 1607.08022
//	IBN            positions, for some channels the batch too   mean, variance of some   running and own        no         arXiv 1807.09441
//	Estimated      earlier batches                           mean, variance, rate     the estimates             yes        arXiv 1903.10520
//	BatchChannel   Batch or Estimated, then Group            as the first step        first running, then own   no         arXiv 1903.10520
//	Power          batch and positions, no mean              variance, ema_gz, count  the running value         if ungrouped   arXiv 2003.07845
//	Unified        the last batches, no mean                 variance, windows, count the running value         yes        arXiv 2208.01313
//	EvoNorm B      batch and positions, and positions        variance                 running and own           no         arXiv 2004.02967
//	EvoNorm S      positions and groups of channels          none                     the same as in training   no         arXiv 2004.02967
//	Region         regions of an image, or of all images     none                     the same as in training   no         arXiv 1911.10375
//	RegionBasic    a known hole, and what is around it       none                     the same as in training   no         arXiv 1911.10375
//	RegionLearned  the hole where it finds it, and the rest  none                     the same as in training   no         arXiv 1911.10375
//	Genome         what its nodes say                        what they collect        what they collected       no         arXiv 2004.02967
//	Offset         nothing                                   none                     x + offset                yes
//	Identity       nothing                                   none                     x
//
// How to choose: Batch for batches of 16 and more; Ghost when the batch is made large for speed and accuracy falls; Group, EvoNorm S0
// or BatchChannel with standardised kernels (linear.Standardization) for images in batches of one or two; LayerNorm or RMS for
// recurrences and attention, Power or Unified there when inference should have no statistics at all; Instance where
// contrast and colour say nothing about the answer; Region where images have holes. docs/norms.md measures the choice.
//
// In a recipe a norm is a name, norm: ghost, or a name with options, norm: {name: ghost, ghost_size: 16}; in code it is a value,
// norm.NewGhost(16), which stands in a network as norm.Choice{Layer: norm.NewGhost(16)}. A norm of one's own is any value with Apply;
// Enter, Affine and Statistic are what Ballast's own begin with, package own says how recipes and bundles name it.
//
// Every norm passes normtest.Run. What is foldable implements Foldable, and convert.FoldNorms takes it out of a trained model. Kernels are
// standardised by a hook of their own layer: linear.Standardization.
//
// Activations are x [batch, ..., channels]. Variables are scale and offset (trained), mean and variance (collected), and what the
// table names. Layers know whether they train from pass.Training. EvoNorm contains its activation: see Activated.
package norm

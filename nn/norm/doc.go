// Package norm has the normalisation layers. All compute their moments with the primitives of ops (Moments, MeanSquare, Normalize). In
// those with collected statistics a Source value selects the statistics that inference uses.
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
//	RegionBasic    a known hole, and its surroundings        none                     the same as in training   no         arXiv 1911.10375
//	RegionLearned  a hole that it finds, and the rest        none                     the same as in training   no         arXiv 1911.10375
//	Genome         as its nodes define                       as its nodes define      what they collected       no         arXiv 2004.02967
//	Offset         nothing                                   none                     x + offset                yes
//	Identity       nothing                                   none                     x
//
// How to choose: Batch for batches of 16 and more; Ghost when the batch is made large for speed and accuracy falls; Group, EvoNorm S0
// or BatchChannel with standardised kernels (linear.Standardization) for images in batches of one or two; LayerNorm or RMS for
// recurrences and attention, or Power or Unified if inference should not compute statistics at all; Instance if
// contrast and colour do not matter for the answer; Region if images have holes. docs/norms.md measures the choice.
//
// In a recipe a norm is a name, norm: ghost, or a name with options, norm: {name: ghost, ghost_size: 16}. In code it is a value,
// norm.NewGhost(16), and in a network norm.Choice{Layer: norm.NewGhost(16)}. Your own norm is any value with Apply; begin it with Enter,
// Affine and Statistic, as Ballast's norms do. Package own explains how recipes and bundles name it.
//
// Every norm passes normtest.Run. Foldable norms implement Foldable, and convert.FoldNorms removes them from a trained model. Kernels are
// standardised by a hook of their own layer: linear.Standardization.
//
// Activations are x [batch, ..., channels]. Variables are scale and offset (trained), mean and variance (collected), and those that the
// table names. pass.Training says whether a layer trains. EvoNorm contains its activation: see Activated.
package norm

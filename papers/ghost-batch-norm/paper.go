// Package ghostbatchnorm is the paper "Train longer, generalize better: closing the generalization gap in large batch
// training of neural networks": its claims and its recipe.
package ghostbatchnorm

import (
	_ "embed"

	"github.com/ballast-ml/ballast/papers/paper"
)

//go:embed recipe.yaml
var recipe []byte

// Paper is Hoffer, Hubara, Soudry, "Train longer, generalize better: closing the generalization gap in large
// batch training of neural networks", arXiv 1705.08741.
//
// Both claims are measured at small scale: optdigits (1,280 training and 517 test digits), an MLP 64 -> 5 x [256, norm,
// ReLU] -> 10, SGD with momentum 0.9, weight decay 1e-4, clipping at 5. The recipe is the small-batch arm.
var Paper = paper.Paper{
	Slug:    "ghost-batch-norm",
	Title:   "Train longer, generalize better: closing the generalization gap in large batch training of neural networks",
	Authors: "Elad Hoffer, Itay Hubara, Daniel Soudry",
	Year:    2017,
	ArXiv:   "1705.08741",
	Summary: "keep the accuracy of small batches when the batch is large: statistics over ghost batches, a learning rate scaled by the square root, as many updates as before",
	Symbols: []string{
		"nn/norm.Ghost", "nn/optim.ScaleLR", "nn/optim.AdaptRegime", "train.GradNoiseWeights", "nn/optim.FitDistance",
	},
	Recipe: recipe,
	Claims: []paper.Claim{
		{
			Name: "large-batch",
			Statement: "a large batch loses accuracy; ghost batches of the small size with the learning rate scaled by the square root of the batch ratio win it back " +
				"(lb_lr_gbn_ra, training for as many updates, is measured beside them and decides nothing)",
			Seeds: 5,
			Arms: []paper.Arm{
				{Name: "sb"},
				{Name: "lb", Overrides: []string{"batch_size=640"}},
				{Name: "lb_lr", Overrides: []string{"batch_size=640", "schedule.large_batch.rule=sqrt"}},
				{Name: "lb_lr_gbn", Overrides: []string{"batch_size=640", "schedule.large_batch.rule=sqrt", "norm={name:ghost,ghost_size:32}"}},
				{Name: "lb_lr_gbn_ra", Overrides: []string{
					"batch_size=640", "schedule.large_batch.rule=sqrt", "norm={name:ghost,ghost_size:32}", "schedule.large_batch.regime_adaptation=true",
				}},
			},
			Check: func(m paper.Measured) []paper.Inequality {
				sb, lb, mended := m.Mean("sb", "accuracy"), m.Mean("lb", "accuracy"), m.Mean("lb_lr_gbn", "accuracy")
				return []paper.Inequality{
					paper.AtLeast("SB - LB >= 0.006", sb-lb, 0.006),
					paper.AtLeast("(LB+LR+GBN) - LB >= 0.006", mended-lb, 0.006),
					paper.AtLeast("(LB+LR+GBN) >= SB - 0.004", mended, sb-0.004),
				}
			},
		},
		{
			Name:      "ultra-slow-diffusion",
			Statement: "at a constant high learning rate the distance of the weights from where they began grows as the logarithm of the number of updates",
			Seeds:     5,
			Arms: []paper.Arm{{Name: "walk", Overrides: []string{
				"steps=1000", "schedule.name=constant", "schedule.milestones=[]", "watch=[{name:distance,points:40,from:5,variables:first}]",
			}}},
			Check: func(m paper.Measured) []paper.Inequality {
				log, sqrt := m.Mean("walk", "log_r2"), m.Mean("walk", "sqrt_r2")
				return []paper.Inequality{
					paper.AtLeast("R2(log t) >= 0.97", log, 0.97),
					paper.Above("R2(log t) > R2(sqrt t) + 0.05", log, sqrt+0.05),
				}
			},
		},
	},
	Published: []paper.Published{
		{What: "F1 on MNIST, validation accuracy: small batch 128", Value: "98.27 %"},
		{What: "F1 on MNIST: large batch 4096", Value: "97.05 %"},
		{What: "F1 on MNIST: + learning rate", Value: "97.55 %"},
		{What: "F1 on MNIST: + ghost batch normalisation", Value: "97.60 %"},
		{What: "F1 on MNIST: + regime adaptation", Value: "98.53 %"},
		{What: "ResNet-44 on CIFAR-10: small / large / + LR / + GBN / + RA", Value: "92.83 / 86.10 / 89.30 / 90.50 / 93.07 %"},
	},
}

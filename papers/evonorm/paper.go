// Package evonorm is the paper "Evolving Normalization-Activation Layers": its claims and its recipe.
package evonorm

import (
	_ "embed"

	"github.com/ballast-ml/ballast/papers/paper"
)

//go:embed recipe.yaml
var recipe []byte

// Paper is Liu, Brock, Simonyan, Le, "Evolving Normalization-Activation Layers", arXiv 2004.02967.
//
// At small scale: the network of batch-channel-norm on optdigits in batches of two, and short runs in batches of 64, where the EvoNorms train
// but are not claimed to beat batch normalisation; and the search itself on two tiny networks.
var Paper = paper.Paper{
	Slug:    "evonorm",
	Title:   "Evolving Normalization-Activation Layers",
	Authors: "Hanxiao Liu, Andrew Brock, Karen Simonyan, Quoc V. Le",
	Year:    2020,
	ArXiv:   "2004.02967",
	Summary: "normalisation and activation in one layer, found by evolution: EvoNorm B0 with batch statistics, S0 without",
	Symbols: []string{"nn/norm.EvoNorm", "nn/norm.Genome", "train/evosearch"},
	Recipe:  recipe,
	Claims: []paper.Claim{
		{
			Name:      "batch-of-two",
			Statement: "in batches of two S0 trains faster than group normalisation and ReLU, and B0 than batch normalisation and ReLU",
			Seeds:     3,
			Arms: []paper.Arm{
				{Name: "bn", Overrides: []string{"norm=batch"}}, {Name: "gn", Overrides: []string{"norm={name:group,groups:4}"}},
				{Name: "s0", Overrides: []string{"norm={name:evonorm-s0,groups:4}"}}, {Name: "b0", Overrides: []string{"norm=evonorm-b0"}},
			},
			Check: func(m paper.Measured) []paper.Inequality {
				accuracy := func(arm string) float64 { return m.Mean(arm, "accuracy") }
				return []paper.Inequality{
					paper.AtLeast("S0 >= GN + 0.02", accuracy("s0"), accuracy("gn")+0.02),
					paper.AtLeast("B0 >= BN + 0.06", accuracy("b0"), accuracy("bn")+0.06),
				}
			},
		},
		{
			Name:      "against-nothing",
			Statement: "after 100 updates in batches of 64 both are far ahead of a network without normalisation",
			Seeds:     3,
			Arms: []paper.Arm{
				{Name: "none", Overrides: shortArm("identity")}, {Name: "bn", Overrides: shortArm("batch")},
				{Name: "s0", Overrides: shortArm("{name:evonorm-s0,groups:4}")}, {Name: "b0", Overrides: shortArm("evonorm-b0")},
			},
			Check: func(m paper.Measured) []paper.Inequality {
				none := m.Mean("none", "accuracy")
				return []paper.Inequality{
					paper.AtLeast("S0 >= none + 0.2", m.Mean("s0", "accuracy"), none+0.2),
					paper.AtLeast("B0 >= none + 0.2", m.Mean("b0", "accuracy"), none+0.2),
				}
			},
		},
		search,
	},
	Published: []paper.Published{
		{What: "ImageNet ResNet-50, batch 1024, top-1: BN-ReLU / GN-ReLU / B0 / S0", Value: "76.3 / 75.3 / 77.8 / 76.5 %"},
		{What: "ImageNet ResNet-50, 4 images a worker: BN-ReLU / GN-ReLU / S0", Value: "70 to 75 / 75.3 / 76.5 %"},
		{What: "search", Value: "Pareto selection over several architectures with rejection beats random search"},
	},
}

func shortArm(n string) []string {
	return []string{"norm=" + n, "network.filters=[8,8,16]", "network.strides=[1,1,2]", "steps=100", "batch_size=64", "optimizer.lr=0.05", "schedule.name=constant"}
}

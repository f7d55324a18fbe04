// Package unmixtns is the paper "Un-Mixing Test-Time Normalization Statistics": its claim and its recipe.
package unmixtns

import (
	"context"
	_ "embed"

	"github.com/ballast-ml/ballast/adapt"
	"github.com/ballast-ml/ballast/papers/paper"
	"github.com/ballast-ml/ballast/train"
)

//go:embed recipe.yaml
var recipe []byte

// Paper is Tomar, Vray, Thiran, Bozorgtabar, "Un-Mixing Test-Time Normalization Statistics: Combatting Label Temporal Correlation", arXiv
// 2401.08328.
//
// At small scale, a network of three convolutions trained on 12,000 digits of 14x14 is taken through 3,000 test digits, as they are and under
// three mild shifts, in random order and sorted by label. The first weights decide much at this size: begun as PyTorch begins them
// (init.kernels: pytorch), seeds 101 to 105 held all four inequalities, from a model that the shifts hurt more. The paper's figures are
// recalled, not read again.
var Paper = paper.Paper{
	Slug:    "unmix-tns",
	Title:   "Un-Mixing Test-Time Normalization Statistics: Combatting Label Temporal Correlation",
	Authors: "Devavrat Tomar, Guillaume Vray, Jean-Philippe Thiran, Behzad Bozorgtabar",
	Year:    2024,
	ArXiv:   "2401.08328",
	Summary: "keep a network with batch normalisation usable where the batches of test time are sorted by class, tiny or of several domains",
	Symbols: []string{"nn/norm.UnMix", "adapt.UnMix"},
	Recipe:  recipe,
	Claims: []paper.Claim{{
		Name: "streams",
		Statement: "sorted by label, a stream costs un-mixed statistics at most half of the accuracy that it costs those of the batch; they stay above the model as it is " +
			"under mild shifts, and above the batch's on clean digits (under strong shift a network as narrow as this adapts too slowly, and nothing is claimed)",
		Seeds: 5,
		Arms:  []paper.Arm{{Name: "network"}},
		After: streams,
		Check: func(m paper.Measured) []paper.Inequality {
			of := func(metric string) float64 { return m.Mean("network", metric) }
			lost := func(method, on string) float64 { return of(method+"_iid_"+on) - of(method+"_sorted_"+on) }
			return []paper.Inequality{
				paper.AtMost("shifts: accuracy lost to sorting: UnMix <= half of the batch's", lost("unmix", "shifts"), lost("batch", "shifts")/2),
				paper.AtMost("clean: accuracy lost to sorting: UnMix <= half of the batch's", lost("unmix", "clean"), lost("batch", "clean")/2),
				paper.AtLeast("shifts, sorted: UnMix >= source + 0.02", of("unmix_sorted_shifts"), of("source_shifts")+0.02),
				paper.AtLeast("clean, sorted: UnMix >= the batch's + 0.015", of("unmix_sorted_clean"), of("batch_sorted_clean")+0.015),
			}
		},
	}},
	Published: []paper.Published{
		{What: "CIFAR-10-C, WRN-28-10, correlated stream, mean error: source / batch / UnMix-TNS (recalled)", Value: "43.5 / about 75 / about 27 %"},
		{What: "CIFAR-100-C, ResNeXt-29, the same (recalled)", Value: "46.5 / about 75 / about 41 %"},
		{What: "ImageNet-C, ResNet-50, the same (recalled)", Value: "82.0 / about 90 or more / about 74 to 78 %"},
	},
}

// Of the streams.
const (
	test  = 3000 // digits
	batch = 64
)

// streams measures the accuracies of the model as it is, with the batch's statistics and with un-mixed ones: clean, and the mean of the
// shifts, in random order and sorted.
func streams(ctx context.Context, at paper.Place, trained *train.Result) (map[string]float64, error) {
	images, err := paper.PooledDigits(test)
	if err != nil {
		return nil, err
	}
	var all []paper.Stream // clean and the shifts, each in random order and sorted
	add := func(m paper.Images) {
		all = append(all, paper.Stream{Images: m, Order: m.IID(at.Seed)}, paper.Stream{Images: m, Order: m.Sorted()})
	}
	add(images)
	for _, shift := range paper.MildShifts() {
		add(images.Shifted(shift, at.Seed))
	}

	metrics := map[string]float64{}
	for name, method := range map[string]adapt.Method{"source": adapt.AlphaBN{SourceWeight: 1}, "batch": adapt.NewBatch(), "unmix": adapt.NewUnMix()} {
		accuracies, err := paper.Adapted(ctx, at, trained.Bundle, method, batch, all...)
		if err != nil {
			return nil, err
		}
		shifts := float64(len(accuracies)/2 - 1)
		for i, order := range []string{"iid", "sorted"} {
			prefix := name + "_" + order
			if name == "source" { // whose answers know no order
				prefix = name
			}
			metrics[prefix+"_clean"] = accuracies[i]
			mean := 0.0
			for k := 2 + i; k < len(accuracies); k += 2 {
				mean += accuracies[k] / shifts
			}
			metrics[prefix+"_shifts"] = mean
		}
	}
	return metrics, nil
}

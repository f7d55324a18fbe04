// Package alphabn is the paper "Test-time Batch Statistics Calibration for Covariate Shift": its claims and its recipe.
package alphabn

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/ballast-ml/ballast/adapt"
	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/lab"
	"github.com/ballast-ml/ballast/papers/paper"
	"github.com/ballast-ml/ballast/train"
)

//go:embed recipe.yaml
var recipe []byte

// Paper is You, Li, Zhao, "Test-time Batch Statistics Calibration for Covariate Shift", arXiv 2110.04065.
//
// At small scale, a network of three convolutions trained on 12,000 digits is taken through 3,000 test digits. Only the abstract was read; the
// layer is that of the benchmarks, and the objective CORE is reconstructed from its description.
var Paper = paper.Paper{
	Slug:    "alpha-bn",
	Title:   "Test-time Batch Statistics Calibration for Covariate Shift",
	Authors: "Fuming You, Jingjing Li, Zhou Zhao",
	Year:    2021,
	ArXiv:   "2110.04065",
	Summary: "mix the statistics of test batches into those of training, without training anything, and set classes apart that batches confuse",
	Symbols: []string{"nn/norm.Mixed", "adapt.AlphaBN", "adapt.Core"},
	Recipe:  recipe,
	Claims: []paper.Claim{
		{
			Name: "mixing",
			Statement: "in streams sorted by label, half of the batch's statistics are better than none of them under mild shifts, and better than nothing but them, on clean " +
				"digits too; in random order more of the batch's is no worse, so that the mixture gains with skewed batches alone",
			Seeds: 5,
			Arms:  []paper.Arm{{Name: "network"}},
			After: mixing,
			Check: func(m paper.Measured) []paper.Inequality {
				of := func(metric string) float64 { return m.Mean("network", metric) }
				list := []paper.Inequality{
					paper.AtLeast("shifts, sorted: t = 0.5 >= t = 0 + 0.03", of("sorted_shifts_t0.5"), of("sorted_shifts_t0")+0.03),
					paper.AtLeast("shifts, sorted: t = 0.5 >= t = 1 + 0.007", of("sorted_shifts_t0.5"), of("sorted_shifts_t1")+0.007),
					paper.AtLeast("clean, sorted: t = 0.5 >= t = 1 + 0.007", of("sorted_clean_t0.5"), of("sorted_clean_t1")+0.007),
				}
				for i := 1; i < len(targets); i++ {
					low, high := targets[i-1], targets[i]
					list = append(list, paper.AtLeast(fmt.Sprintf("shifts, random order: t = %v >= t = %v - 0.005", high, low), of(named("iid_shifts", high)), of(named("iid_shifts", low))-0.005))
				}
				return list
			},
		},
		{
			Name: "core",
			Statement: "under hard shifts, with half of the batch's statistics, setting classes apart by CORE is no worse on average than training nothing, nor than making the " +
				"answers surer",
			Seeds:      5,
			Parity:     true,
			Experiment: paper.NewExperiment(settings{}, hard),
			Arms: []paper.Arm{
				{Name: "alpha-bn"},
				{Name: "entropy", Overrides: []string{"method={name:tent,statistics:{name:mixed,source_weight:0.5}}"}},
				{Name: "core", Overrides: []string{"method={name:core,statistics:{name:mixed,source_weight:0.5}}"}},
			},
			Check: func(m paper.Measured) []paper.Inequality {
				core := m.Mean("core", "shifts")
				return []paper.Inequality{
					paper.AtLeast("hard shifts: CORE >= alpha-BN alone", core, m.Mean("alpha-bn", "shifts")),
					paper.AtLeast("hard shifts: CORE >= entropy", core, m.Mean("entropy", "shifts")),
				}
			},
		},
	},
	Published: []paper.Published{
		{What: "GTA5 to Cityscapes, mean IoU: source / alpha-BN alone", Value: "28.4 / 43.9 %"},
	},
}

// targets are the weights of the batch's statistics that are measured; the source weight is 1 - t.
var targets = []float64{0, 0.1, 0.3, 0.5, 1}

func named(what string, t float64) string { return fmt.Sprintf("%s_t%v", what, t) }

// Of the streams.
const (
	test  = 3000 // digits
	batch = 64
)

// mixing measures accuracies at every weight: clean, and the mean of the mild shifts, in random order and sorted.
func mixing(ctx context.Context, at paper.Place, trained *train.Result) (map[string]float64, error) {
	images, err := paper.PooledDigits(test)
	if err != nil {
		return nil, err
	}
	sets := []paper.Images{images}
	for _, shift := range paper.MildShifts() {
		sets = append(sets, images.Shifted(shift, at.Seed))
	}

	metrics := map[string]float64{}
	for _, t := range targets {
		all, err := paper.Adapted(ctx, at, trained.Bundle, adapt.AlphaBN{SourceWeight: 1 - t}, batch, slices.Concat(inOrder("iid", at.Seed, sets), inOrder("sorted", at.Seed, sets))...)
		if err != nil {
			return nil, err
		}
		for i, order := range []string{"iid", "sorted"} {
			clean, shifts := summary(all[i*len(sets) : (i+1)*len(sets)])
			metrics[named(order+"_clean", t)], metrics[named(order+"_shifts", t)] = clean, shifts
		}
	}
	return metrics, nil
}

// inOrder are streams of sets, each in random order or sorted.
func inOrder(order string, seed uint64, sets []paper.Images) (streams []paper.Stream) {
	for _, set := range sets {
		s := paper.Stream{Images: set, Order: set.IID(seed)}
		if order == "sorted" {
			s.Order = set.Sorted()
		}
		streams = append(streams, s)
	}
	return streams
}

// summary is the accuracy on the first set, which is clean, and the mean of those on the shifts.
func summary(all []float64) (clean, shifts float64) {
	for _, v := range all[1:] {
		shifts += v / float64(len(all)-1)
	}
	return all[0], shifts
}

// settings are those of the claim core.
type settings struct {
	Recipe map[string]any `json:"recipe"` // of the network
	Method adapt.Choice   `json:"method"`
	Test   int            `json:"test"`  // digits
	Batch  int            `json:"batch"` // of a step
}

// hardShifts are such that half of the batch's statistics leave about two fifths of the digits right, as in the card; they were chosen by that
// on a seed that is not among those measured.
func hardShifts() []paper.Shift {
	return []paper.Shift{{Name: "noise", Noise: 0.8, Contrast: 1}, {Name: "contrast", Contrast: 0.15}, {Name: "light", Contrast: 1, Light: 0.75}}
}

// network trains the network of a seed, or opens it where another arm has: they all have the same.
func (s settings) network(ctx context.Context, at paper.Place) (*bundle.Bundle, error) {
	r, err := lab.Recipe(s.Recipe, fmt.Sprintf("seed=%d", at.Seed))
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	folder := filepath.Join(filepath.Dir(filepath.Dir(at.Dir)), "network", fmt.Sprintf("%x", sum[:8]))
	if bundle.Is(folder) {
		return bundle.Open(folder)
	}
	trained, err := train.Run(ctx, r, train.Options{Engine: at.Engine})
	if err != nil {
		return nil, err
	}
	return trained.Bundle, trained.Bundle.Replace(folder)
}

// hard trains the network and measures the mean accuracy of a method on the hard shifts, which it meets one after the other, each anew.
func hard(ctx context.Context, at paper.Place, s settings) (map[string]float64, error) {
	b, err := s.network(ctx, at)
	if err != nil {
		return nil, err
	}
	set, err := data.Open("mnist", "test")
	if err != nil {
		return nil, err
	}
	images, err := paper.NewImages(set, s.Test)
	if err != nil {
		return nil, err
	}
	sets := []paper.Images{images}
	for _, shift := range hardShifts() {
		sets = append(sets, images.Shifted(shift, at.Seed))
	}
	all, err := paper.Adapted(ctx, at, b, s.Method.Method, s.Batch, inOrder("iid", at.Seed, sets)...)
	if err != nil {
		return nil, err
	}
	clean, shifts := summary(all)
	return map[string]float64{"clean": clean, "shifts": shifts}, nil
}

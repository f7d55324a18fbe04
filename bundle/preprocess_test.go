package bundle_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/internal/gradcheck"
	"github.com/ballast-ml/ballast/zoo"
)

// TestPreprocess takes an image of 5 x 4 whose pixels are numbered through each step, and through all of them.
func TestPreprocess(t *testing.T) {
	grey := gradcheck.Input{Shape: []int{1, 5, 4, 1}}
	for i := range 20 {
		grey.Data = append(grey.Data, float64(i))
	}
	colour := gradcheck.Input{Shape: []int{1, 1, 2, 3}, Data: []float64{1, 0, 0, 0.5, 0.5, 0.5}}
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for name, c := range map[string]struct {
			x    gradcheck.Input
			p    bundle.Preprocess
			want []float64
		}{
			"nothing":  {colour, bundle.Preprocess{}, colour.Data},
			"crop":     {grey, bundle.Preprocess{Crop: []int{2, 2}}, []float64{5, 6, 9, 10}},
			"resize":   {grey, bundle.Preprocess{Crop: []int{1, 2}, Resize: []int{1, 4}}, []float64{9, 9.25, 9.75, 10}},
			"channels": {grey, bundle.Preprocess{Crop: []int{1, 2}, Channels: 3}, []float64{9, 9, 9, 10, 10, 10}},
			"to grey":  {colour, bundle.Preprocess{Channels: 1}, []float64{0.299, 0.5}},
			// Two pixels become one: the triangle reaches 2 and is as high over both.
			"all": {grey, bundle.Preprocess{Crop: []int{2, 2}, Resize: []int{1, 1}, Channels: 2, Mean: []float64{7, 5}, Std: []float64{2, 5}}, []float64{0.25, 0.5}},
		} {
			got, _ := gradcheck.Eval(t, e, func(in []*graph.Node) *graph.Node { return c.p.Apply(in[0]) }, c.x)
			if len(got) != len(c.want) {
				t.Fatalf("%s: got %v, want %v", name, got, c.want)
			}
			for i := range got {
				if math.Abs(got[i]-c.want[i]) > 1e-12 {
					t.Errorf("%s: got %v, want %v", name, got, c.want)
					break
				}
			}
		}
	})
}

func TestPreprocessValidate(t *testing.T) {
	for want, c := range map[string]struct {
		input []int
		p     bundle.Preprocess
	}{
		"want an image [height, width, channels]":                                {[]int{64}, bundle.Preprocess{Channels: 3}},
		"preprocessing.crop is [9 4]; want height and width, at most 8 and 8":    {[]int{8, 8, 1}, bundle.Preprocess{Crop: []int{9, 4}}},
		"preprocessing.resize is [0 4]; want height and width, 1 to 16384":       {[]int{8, 8, 1}, bundle.Preprocess{Resize: []int{0, 4}}},
		"preprocessing.channels is 3 for 2 in the input":                         {[]int{8, 8, 2}, bundle.Preprocess{Channels: 3}},
		"preprocessing has 1 means and 1 deviations, the input has 3 channels":   {[]int{8, 8, 1}, bundle.Preprocess{Channels: 3, Mean: []float64{0}, Std: []float64{1}}},
		"preprocessing of channel 0 is mean 0, std 0; the mean must be finite":   {[]int{8, 8, 3}, bundle.Preprocess{Channels: 1, Mean: []float64{0}, Std: []float64{0}}},
		"preprocessing.channels is -1 for 1 in the input; a grey image can beco": {[]int{8, 8, 1}, bundle.Preprocess{Channels: -1}},
	} {
		m := bundle.NewManifest(zoo.Choice{Network: zoo.NewMLP()}, c.input, slices.Repeat([]string{"a"}, 10))
		m.Preprocess = c.p
		if err := m.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

package adapt_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/adapt"
	"github.com/ballast-ml/ballast/adapt/adapttest"
	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/calibrate"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/nn/norm"
)

// TestHeadsPick: heads that agree, and of others the one with the larger score, the clean one of two as large.
func TestHeadsPick(t *testing.T) {
	o := adapt.NewHeads()
	sure := adapt.StatsOfHead([]float32{5, 0, 5, 0}, 2)
	other := adapt.StatsOfHead([]float32{0, 5, 0, 5}, 2)
	shaky := adapt.StatsOfHead([]float32{0, 5, 0, 1}, 2)
	for name, c := range map[string]struct {
		clean, robust adapt.HeadStats
		want          adapt.Picked
	}{
		"agree":     {sure, sure, adapt.PickAgreed},
		"as sure":   {sure, other, adapt.PickClean},
		"clean":     {sure, shaky, adapt.PickClean},
		"robust":    {shaky, sure, adapt.PickRobust},
		"far apart": {adapt.StatsOfHead([]float32{1e4, 0, 1e4, 0}, 2), adapt.StatsOfHead([]float32{0, 1e4, 0, 9e3}, 2), adapt.PickClean},
	} {
		if got := o.Pick(c.clean, c.robust); got != c.want {
			t.Errorf("%s: head %d; want %d", name, got, c.want)
		}
		if d := adapt.HeadDivergence(c.clean, c.robust); d < 0 || math.IsNaN(d) || math.IsInf(d, 0) {
			t.Errorf("%s: the divergence is %v", name, d)
		}
	}
}

// TestHeadsAnswersByItself: an example has one answer whatever is beside it, and it is the answer of one of the heads: with a delta of 0 and
// heads that are copies, the network's own.
func TestHeadsAnswersByItself(t *testing.T) {
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		b := adapttest.NewBundle(t, e, branched(adapttest.Network(norm.NewBatch())), []int{6, 6, 1})
		a, err := adapt.NewHeads().Start(adapt.Model{Bundle: b, Engine: e, Batch: 3})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		x := adapttest.Inputs(4, 3, 6, 6, 1)
		all := answer(t, a, x, 3)
		for i := range 3 {
			if one := answer(t, a, x[i*36:(i+1)*36], 1); !near(one, all[i*3:i*3+3]) {
				t.Errorf("example %d alone: %v, among others %v", i, one, all[i*3:i*3+3])
			}
		}

		average := adapt.NewHeads()
		average.Agree, average.Delta = adapt.HeadsAverage, 1e9
		m, err := average.Start(adapt.Model{Bundle: b, Engine: e, Batch: 3})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		for row := range slices.Chunk(answer(t, m, x, 3), 3) {
			sum := 0.0
			for _, v := range row {
				sum += math.Exp(float64(v))
			}
			if math.Abs(sum-1) > 1e-5 {
				t.Errorf("the mean of probabilities adds up to %v", sum)
			}
		}
	})
}

// TestHeadsRefuses: options, and networks without heads.
func TestHeadsRefuses(t *testing.T) {
	for want, o := range map[string]adapt.Heads{
		"one alone has no deviation": {Passes: 1, Dropout: 0.1, Agree: "combined"},
		"above 0 and below 1":        {Passes: 2, Agree: "combined"},
		"use combined or average":    {Passes: 2, Dropout: 0.1, Agree: "both"},
		"use a divergence in nats":   {Passes: 2, Dropout: 0.1, Agree: "combined", Delta: -1},
	} {
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		b := adapttest.NewBundle(t, e, adapttest.Network(norm.NewBatch()), []int{6, 6, 1})
		if _, err := adapt.NewHeads().Start(adapt.Model{Bundle: b, Engine: e, Batch: 3}); err == nil || !strings.Contains(err.Error(), "distil-heads") {
			t.Errorf("a network without heads: %v", err)
		}
	})
}

// TestCalibrationsOfAdapters: methods that look behind the last layer give the answers that the model's calibration makes of them.
func TestCalibrationsOfAdapters(t *testing.T) {
	halves, none := []float64{0.5, 0.5, 0.5}, []float64{0, 0, 0}
	double := bundle.Calibration{Temperature: 2}
	vector := bundle.Calibration{Temperature: 1, Map: &calibrate.FittedChoice{Fitted: calibrate.VectorMap{Weights: halves, Bias: none}}}
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		x := adapttest.Inputs(4, 6, 6, 6, 1)
		for name, method := range map[string]adapt.Method{"lame": adapt.NewLame(), "heads": adapt.NewHeads(), "alpha-bn": adapt.NewAlphaBN()} {
			var all [][]float32
			for _, c := range []bundle.Calibration{bundle.Uncalibrated(), double, vector} {
				b := adapttest.NewBundle(t, e, branched(adapttest.Network(norm.NewBatch())), []int{6, 6, 1})
				b.Manifest.Calibration = c
				a, err := method.Start(adapt.Model{Bundle: b, Engine: e, Batch: 6})
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, answer(t, a, x, 6))
				a.Close()
			}
			if !near(all[1], all[2]) || near(all[0], all[1]) {
				t.Errorf("%s: %v as the network answers, %v with a temperature of 2, and %v with weights of a half", name, all[0][:3], all[1][:3], all[2][:3])
			}
		}
	})
}

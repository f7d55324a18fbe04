package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/adapt"
	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/calibrate"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/corrupt"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/evaluate"
	"github.com/ballast-ml/ballast/report"
	"github.com/ballast-ml/ballast/subject"
)

// demoBatch is how many digits the demo's adapter answers at a time.
const demoBatch = 200

// demoMethod is what adapts the demo's network: the statistics of training and of the batch, half and half.
func demoMethod() adapt.Method {
	m := adapt.NewAlphaBN()
	m.SourceWeight = 0.5
	return m
}

// demoSuites are what the demo audits: the corruptions of CIFAR-10-C, which are for images as small as digits, at every other severity.
func demoSuites() []evaluate.Suite {
	shift := evaluate.NewShift()
	shift.Table, shift.Severities = corrupt.CIFARC, []int{1, 3, 5}
	return []evaluate.Suite{evaluate.Clean{}, evaluate.NewCalibration(), shift}
}

// demoAudit audits a model or an adapter as it is on the disk.
func (a *app) demoAudit(ctx context.Context, path string, ds data.Dataset, e *engine.Engine) (report.Report, error) {
	m, err := subject.Open(path, subject.Options{})
	if err != nil {
		return report.Report{}, err
	}
	progress, done := a.counter("audit")
	defer done()
	return a.auditSubject(ctx, m, ds, e, evaluate.Options{Suites: demoSuites(), Seed: a.seed, Progress: progress})
}

// demoMend adapts the network, fits a temperature to what the adapter answers to digits as they are and shifted, and writes both.
func (a *app) demoMend(ctx context.Context, b *bundle.Bundle, held data.Dataset, e *engine.Engine, dir string) (found evaluate.Mended, err error) {
	method, m := demoMethod(), adapt.Model{Bundle: b, Engine: e, Batch: demoBatch, Seed: a.seed}
	adapter, err := method.Start(m)
	if err != nil {
		return found, err
	}
	defer adapter.Close()
	s, err := evaluate.NewAdapted(adapter, m, method)
	if err != nil {
		return found, err
	}

	progress, done := a.counter("mend")
	found, err = evaluate.MendSubjectShifted(ctx, s, held, nil, calibrate.NewTemperatureScaling(), evaluate.Options{Seed: a.seed, Progress: progress})
	done()
	if err != nil {
		return found, err
	}
	if t, ok := found.Fitted.Fitted.(calibrate.TemperatureMap); ok && !found.Saturated { // what is no optimum is nobody's temperature
		b.Manifest.Calibration.Temperature = t.T
	}

	made := adapt.Manifest{Method: adapt.Choice{Method: method}, Batch: demoBatch, Seed: a.seed, Engine: e.Kind}
	if err := adapt.Create(dir, b, made); err != nil {
		return found, err
	}
	return found, adapt.SaveState(dir, adapter, adapt.Progress{})
}

// whatMends are the two mends in a few words.
func whatMends(found evaluate.Mended) string {
	what := fmt.Sprintf("%s in batches of %d", adapt.Describe(demoMethod()), demoBatch)
	if t, ok := found.Fitted.Fitted.(calibrate.TemperatureMap); ok && !found.Saturated {
		return fmt.Sprintf("%s, and a temperature, T = %.4f", what, t.T)
	}
	return what + "; no temperature is best: " + string(found.Why)
}

// whyDemo says where the demo's faults come from, and what the mends do about them.
func whyDemo(found evaluate.Mended, before, after report.Report) string {
	text := "The demo trains on clean digits alone, and with label smoothing, which teaches a network to be less sure than it should be. " +
		"Alpha-BN gives the norms statistics of the digits that they see. "
	gains := evaluate.ShiftGains(before, after)
	slices.SortStableFunc(gains, func(a, b evaluate.ShiftGain) int {
		return cmp.Compare(b.AccuracyAfter-b.AccuracyBefore, a.AccuracyAfter-a.AccuracyBefore)
	})
	if len(gains) > 2 {
		text += fmt.Sprintf("The accuracy rises most under %s, %s and %s, and least under %s. ", gained(gains[0]), gained(gains[1]), gained(gains[2]), gained(gains[len(gains)-1]))
	}

	if found.Shift != nil && len(found.Shift.Rows) > 0 && !found.Saturated {
		clean := found.Shift.Rows[0]
		text += fmt.Sprintf("The temperature is fitted to digits as they are and shifted: on digits as they are it gives an NLL of %.4f, where one fitted to them alone would give %.4f. ",
			clean.NLLMixed, clean.NLLClean)
	}

	var worse []string
	for _, g := range gains {
		if g.Worse() {
			worse = append(worse, fmt.Sprintf("%s (NLL %.4f, before %.4f)", g.Shift, g.NLLAfter, g.NLLBefore))
		}
	}
	if len(worse) > 0 {
		text += "The confidences became worse under " + strings.Join(worse, " and ") + ", where many answers stay wrong and are now surer."
	}
	return strings.TrimSpace(text)
}

// gained is a shift with its accuracies.
func gained(g evaluate.ShiftGain) string {
	return fmt.Sprintf("%s (from %.1f to %.1f %%)", g.Shift, 100*g.AccuracyBefore, 100*g.AccuracyAfter)
}

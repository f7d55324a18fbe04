package metric_test

import (
	"math"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/metric"
)

func TestCorruptionErrors(t *testing.T) {
	errs := [][]float64{{0.2, 0.4}, {0.5, 0.7}}
	reference := [][]float64{{0.4, 0.8}, {0.8, 0.8}}
	near := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-12 {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
	ce, mean, err := metric.CorruptionErrors(errs, reference)
	if err != nil {
		t.Fatal(err)
	}
	near("CE 0", ce[0], 0.6/1.2)
	near("CE 1", ce[1], 1.2/1.6)
	near("mCE", mean, (0.5+0.75)/2)
	if _, mean, err = metric.CorruptionErrors(errs, [][]float64{{0.6}, {0.8}}); err != nil { // its means alone
		t.Fatal(err)
	}
	near("mCE by means", mean, (0.5+0.75)/2)
	if _, mean, err = metric.CorruptionErrors(errs, nil); err != nil {
		t.Fatal(err)
	}
	near("unnormalised", mean, 0.45)
	if ce, _, err = metric.RelativeCorruptionErrors(errs, 0.1, reference, 0.2); err != nil {
		t.Fatal(err)
	}
	near("relative CE", ce[0], (0.6-0.2)/(1.2-0.4))

	for want, call := range map[string]func() error{
		"nothing to divide by": func() error {
			_, _, err := metric.RelativeCorruptionErrors(errs, 0.1, [][]float64{{0.3}, {0.2}}, 0.2)
			return err
		},
		"makes no error: there is nothing": func() error { _, _, err := metric.CorruptionErrors(errs, [][]float64{{0}, {1}}); return err },
		"no corruptions":                   func() error { _, _, err := metric.CorruptionErrors(nil, nil); return err },
		"2 severities, its reference has 3": func() error {
			_, _, err := metric.CorruptionErrors(errs, [][]float64{{1, 1, 1}, {1}})
			return err
		},
		"reference has 1 corruptions": func() error { _, _, err := metric.CorruptionErrors(errs, [][]float64{{1}}); return err },
		"NaN at severity 2":           func() error { _, _, err := metric.CorruptionErrors([][]float64{{1, math.NaN()}}, nil); return err },
		`no error for "rain"`:         func() error { _, err := metric.AlexNet().Of([]string{"fog", "rain"}); return err },
	} {
		if err := call(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}

	// By definition the reference has an mCE of 1.
	names := []string{"fog", "jpeg", "gaussian-noise"}
	rows, err := metric.AlexNet().Of(names)
	if err != nil {
		t.Fatal(err)
	}
	if _, mean, _ = metric.CorruptionErrors(rows, rows); mean != 1 {
		t.Errorf("AlexNet has an mCE of %v", mean)
	}
}

package main

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/engine"
)

// TestRealDigitNetsAdapted: statistics of MNIST's digits raise the network for USPS from 87.88 % to 89.31 % (alpha-BN, half and half) and 89.72 %
// (TENT), and do not help that for SVHN, whose digits are in colour; the network for MNIST has no norms. Of SVHN 1,000 digits are answered.
func TestRealDigitNetsAdapted(t *testing.T) {
	fetched(t, "mnist", "digit-nets")
	e, err := engine.Open("")
	if err != nil {
		t.Fatal(err)
	}
	kind := e.Kind
	e.Close()
	if kind == engine.KindGo {
		t.Skip("the Go engine takes minutes for these networks, so nothing is tested on them; ballast engine install brings a faster one")
	}

	for _, c := range []struct {
		args          []string
		before, after float64
	}{
		{[]string{"digit-nets/usps", "--method", "alpha-bn", "--set", "source_weight=0.5"}, 0.8788, 0.8931},
		{[]string{"digit-nets/usps", "--method", "tent"}, 0.8788, 0.8972},
		{[]string{"digit-nets/svhn", "--method", "alpha-bn", "--set", "source_weight=0.5", "--sample", "1000"}, 0.7300, 0.7020},
	} {
		var found adaptReport
		text := command(t, append(append([]string{"adapt"}, c.args...), "--data", "mnist", "--json", "--quiet")...)
		if err := json.Unmarshal([]byte(text), &found); err != nil {
			t.Fatal(err)
		}
		// A few digits fall otherwise on another engine, the more where weights move.
		if n := float64(found.Progress.Examples); math.Abs(*found.AccuracyBefore-c.before) > 2.1/n || math.Abs(*found.Accuracy-c.after) > 0.003 {
			t.Errorf("%s: from %.4f to %.4f, want %.4f to %.4f", strings.Join(c.args, " "), *found.AccuracyBefore, *found.Accuracy, c.before, c.after)
		}
	}

	for method, want := range map[string]string{"alpha-bn": "no norm that collects statistics", "tent": "no norm with a scale or an offset"} {
		code, _, errs := commandCode(t, "adapt", "digit-nets/mnist", "--data", "mnist", "--method", method)
		if code != 2 || !strings.Contains(errs, want) {
			t.Errorf("%s on a network without norms: exit code %d, %s", method, code, errs)
		}
	}
}

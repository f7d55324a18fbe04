package main

import (
	"testing"

	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/report"
)

// TestNextOfAnAudit: the command that is offered fits what was measured, names what was audited, and a shell reads it back.
func TestNextOfAnAudit(t *testing.T) {
	of := func(acc, ece float64) report.Report {
		return report.Report{Sections: []report.Section{{Suite: "s", Numbers: []metric.Number{{Name: "acc", Value: acc}, {Name: "ece", Value: ece}}}}}
	}
	saved := evaluateFlags{part: "test", saved: savedFlags{logits: "z.npy", labels: "my labels.npy", outputs: "logits", ignore: []int64{-100}}}
	for _, c := range []struct {
		f      evaluateFlags
		r      report.Report
		model  string
		fitted bool
		want   string
	}{
		{evaluateFlags{data: "mnist", part: "test"}, of(0.99, 0.1), "runs/a/model", false, "ballast calibrate runs/a/model --data mnist --out model-calibrated"},
		{evaluateFlags{data: "dir:pics", part: "val", byPlace: true}, of(0.99, 0.1), "m", false, "ballast calibrate m --data dir:pics --part val --by-place --out m-calibrated"},
		{evaluateFlags{data: "mnist", part: "test"}, of(0.99, 0.031), "m", true, "ballast evaluate m --data mnist --require 'acc>=0.99,ece<=0.04'"},
		{evaluateFlags{data: "mnist", part: "train"}, of(0.99, 0.1), "m", false, "ballast calibrate m --data mnist --out m-calibrated"},
		{evaluateFlags{data: "mnist", part: "test"}, of(0.9876, 0.0034), "it's", false, `ballast evaluate 'it'\''s' --data mnist --require 'acc>=0.98,ece<=0.01'`},
		{saved, of(0.9, 0.1), "", false, "ballast calibrate --logits z.npy --labels 'my labels.npy' --outputs logits --ignore-label=-100 --out scaled.npy"},
		{saved, of(0.9, 0.015), "", false, "ballast evaluate --logits z.npy --labels 'my labels.npy' --outputs logits --ignore-label=-100 --require 'acc>=0.90,ece<=0.02'"},
		{evaluateFlags{data: "mnist", part: "test", require: "acc>=0.9"}, of(0.99, 0.001), "m", false, ""},
		{evaluateFlags{data: "mnist", part: "test"}, report.Report{}, "m", false, ""},
	} {
		got := ""
		for _, n := range c.f.next(c.r, c.model, c.fitted) {
			got += n.Command
		}
		if got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

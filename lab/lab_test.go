package lab_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/format/tfevents"
	"github.com/ballast-ml/ballast/lab"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/train/objective"
)

func TestRecipeTakesOverridesStrictly(t *testing.T) {
	r, err := lab.Recipe(map[string]any{"epochs": 7}, "norm=ghost", "norm.ghost_size=8", "network={name: mlp, hidden: [4, 4]}", "prepare=[{name: label-noise, rate: 0.25}]", "batch_size=1_6", "schedule.name=step", "schedule.milestones=[2,3.5]")
	if err != nil {
		t.Fatal(err)
	}
	if g, ok := r.Norm.Layer.(norm.Ghost); !ok || g.GroupSize != 8 || g.Momentum != 0.1 || r.Epochs != 7 || len(r.Prepare) != 1 || r.Prepare[0].Preparation.(data.LabelNoise).Rate != 0.25 || r.BatchSize != 16 || r.Schedule.Milestones[1] != 3.5 {
		t.Errorf("got %+v", r)
	}
	r, err = lab.Recipe(nil, "objective.loss=balanced-softmax")
	if err != nil || objective.Name(r.Objective.Objective) != "supervised" || loss.Name(r.Objective.Objective.(objective.Supervised).Loss.Loss) != "balanced-softmax" {
		t.Errorf("a choice within a choice, by its name alone: %+v, %v", r.Objective, err)
	}
	for override, want := range map[string]string{
		"epoch=3":                           "unknown key epoch (did you mean epochs?)",
		"optimizer.lrr=1":                   "optimizer: unknown key lrr (did you mean lr?)",
		"norm=gost":                         `no norm "gost" (did you mean ghost?)`,
		"epochs=1.5":                        "type: int expected, got 1.5",
		"norm={name: ghost, ghost_sise: 3}": "unknown key ghost_sise (did you mean ghost_size?)",
		"batch_size=0":                      "batch_size is 0",
		"lr=0.1,0.2":                        "are a sweep",
	} {
		if _, err := lab.Recipe(nil, override); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", override, err, want)
		}
	}
}

func TestInterpolation(t *testing.T) {
	t.Setenv("BALLAST_LAB_TEST", "from outside")
	c := lab.Config{"a": map[string]any{"b": int64(3), "c": "${.b}", "d": "${..top}-${a.b}", "e": "${oc.env:BALLAST_LAB_TEST}", "f": "${oc.env:BALLAST_LAB_NONE,7}"}, "top": "x", "loop": "${pool}", "pool": "${loop}"}
	for path, want := range map[string]any{"a.c": int64(3), "a.d": "x-3", "a.e": "from outside", "a.f": int64(7)} {
		if got, err := c.Get(path); err != nil || got != want {
			t.Errorf("%s: got %v, %v; want %v", path, got, err, want)
		}
	}
	if _, err := c.Get("loop"); err == nil || !strings.Contains(err.Error(), "loop -> pool -> loop") {
		t.Errorf("a circle gave %v", err)
	}
}

func TestRunFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	o := lab.StartOptions{Dir: dir, Config: lab.Config{"lr": 0.1}, Overrides: []string{"lr=0.1"}, Engine: "go", Seed: 3}
	run, err := lab.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lab.Start(o); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("in use by process %d", os.Getpid())) {
		t.Errorf("a second writer got %v", err)
	}
	for step := range 5 {
		if err := run.Log(step, map[string]float64{"loss": 1 / float64(step+1), "odd": math.NaN()}); err != nil {
			t.Fatal(err)
		}
	}
	if err := run.Log(2, map[string]float64{"loss": 0}); err == nil {
		t.Error("a step went back")
	}
	if err := run.Finish(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := lab.Start(o); err == nil || !strings.Contains(err.Error(), "resume it with --resume") {
		t.Errorf("a used folder gave %v", err)
	}

	// A killed writer may leave half a line.
	file := filepath.Join(dir, "metrics.jsonl")
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"step": 5, "lo`); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	o.Resume = true
	if run, err = lab.Start(o); err != nil {
		t.Fatal(err)
	}
	if err := run.Rewind(2); err != nil {
		t.Fatal(err)
	}
	if err := run.Log(3, map[string]float64{"loss": 9}); err != nil {
		t.Fatal(err)
	}
	if err := run.Finish(nil); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var steps []float64
	for line := range strings.Lines(string(content)) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		steps = append(steps, v["step"].(float64))
	}
	if fmt.Sprint(steps) != "[0 1 2 3]" {
		t.Errorf("steps are %v", steps)
	}
	log, err := lab.ReadLog(dir)
	if err != nil || len(log) != 4 || log[3].Step != 3 || !maps.Equal(log[3].Values, map[string]float64{"loss": 9}) || len(log[0].Values) != 1 {
		t.Errorf("the log is read as %v (%v)", log, err)
	}
	if err := os.WriteFile(file, append(content, "half a line"...), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := lab.ReadLog(dir); err == nil || !strings.Contains(err.Error(), "line 5") {
		t.Errorf("a broken log gives %v", err)
	}
	if _, err := lab.ReadLog(t.TempDir()); err == nil {
		t.Error("there is a log in an empty folder")
	}
	curves, err := tfevents.ReadScalars(dir)
	if err != nil {
		t.Fatal(err)
	}
	if loss := curves["loss"]; len(loss) != 4 || loss[3].Value != 9 {
		t.Errorf("TensorBoard sees %v", loss)
	}
	var meta lab.Meta
	content, err = os.ReadFile(filepath.Join(dir, "meta.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, &meta); err != nil || meta.Status != "finished" || len(meta.Started) != 2 || meta.Seed != 3 {
		t.Errorf("meta is %+v, %v", meta, err)
	}
}

func TestExpandRefuses(t *testing.T) {
	for arg, want := range map[string]string{"a=range(3,1)": "no values", "a=interval(0,1)": "one by one", "a=glob(*)": "one by one", "a=range(x)": "not a number", "a='b": "unterminated quote", "a=1,,2": "empty"} {
		if _, err := lab.Expand([]string{arg}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", arg, err, want)
		}
	}
	runs, err := lab.Expand([]string{"norm={name: ghost, ghost_size: 8},batch", "x='a,b'"})
	if err != nil || len(runs) != 2 || runs[0][0] != "norm={name: ghost, ghost_size: 8}" || runs[1][1] != "x='a,b'" {
		t.Errorf("got %q, %v", runs, err)
	}
}

// TestCompare makes real runs, and repeated makes only the missing one.
func TestCompare(t *testing.T) {
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	o := lab.CompareOptions{
		Settings: map[string]any{"network": map[string]any{"name": "mlp", "hidden": []any{uint64(8)}}, "steps": uint64(20), "evaluate_every": uint64(0)},
		Sweep:    []string{"norm=batch,identity", "optimizer.lr=0.05", "seed=1,2,3"}, Dir: t.TempDir(), Engine: e,
	}
	c, err := lab.Compare(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	curves, err := tfevents.ReadScalars(filepath.Join(o.Dir, "norm=batch", "seed-1"))
	if err != nil || len(curves["accuracy"]) != 1 || len(curves["nll"]) != 1 || math.Abs(curves["accuracy"][0].Value-c.Variants[0].Values[0]) > 1e-6 {
		t.Errorf("the event file has the test's accuracy %v and NLL %v (%v); want %v once", curves["accuracy"], curves["nll"], err, c.Variants[0].Values[0])
	}
	if c.Ran != 6 || len(c.Variants) != 2 || len(c.Variants[0].Values) != 3 || len(c.Pairs) != 1 || c.Variants[1].Name != "norm=identity" {
		t.Fatalf("got %+v", c)
	}
	if err := os.RemoveAll(filepath.Join(o.Dir, "norm=identity", "seed-2")); err != nil {
		t.Fatal(err)
	}
	again, err := lab.Compare(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if again.Ran != 1 || fmt.Sprint(again.Variants) != fmt.Sprint(c.Variants) {
		t.Errorf("again: %d runs made, %v; want 1 and %v", again.Ran, again.Variants, c.Variants)
	}
	for _, file := range []string{"comparison.json", "comparison.png", "report.md", "norm=batch/seed-1/metrics.jsonl", "norm=batch/seed-1/config.yaml"} {
		if info, err := os.Stat(filepath.Join(o.Dir, file)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func ExampleApply() {
	base := lab.Config{"lr": 0.1, "model": map[string]any{"width": int64(64)}}
	c, err := lab.Apply(base, nil, []string{"model.width=128", "+seed=7", "~lr"})
	fmt.Println(c, err)
	_, err = lab.Apply(base, nil, []string{"model.widht=1"})
	fmt.Println(err)
	// Output:
	// map[model:map[width:128] seed:7] <nil>
	// model.widht=1: unknown key model.widht (did you mean model.width?)
}

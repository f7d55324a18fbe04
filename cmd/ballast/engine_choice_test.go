package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/lab"
	"github.com/ballast-ml/ballast/papers/paper"
	"github.com/ballast-ml/ballast/train"
)

// TestEngineOfARunStays: what is in a folder keeps its engine, which only a name overrules, and one that cannot be had is an error that says
// how to continue.
func TestEngineOfARunStays(t *testing.T) {
	t.Setenv("BALLAST_HOME", t.TempDir()) // without XLA
	t.Setenv("BALLAST_ENGINE", "")
	var said bytes.Buffer
	a := &app{out: &bytes.Buffer{}, err: &said}
	large := engine.Work{Weights: 1, Updates: 1e6, MultiplyAdds: 1e15}

	e, err := a.openEngineOf("runs/x", engine.KindGo, large)
	if err != nil || e.Kind != engine.KindGo || !strings.Contains(said.String(), "engine: go (that of what is in runs/x)") {
		t.Errorf("got %+v, %v, %q", e, err, said.String())
	}
	if _, err = a.openEngineOf("runs/x", engine.KindCPU, large); err == nil || !strings.Contains(err.Error(), "--engine names another") {
		t.Errorf("got %v", err)
	}
	a.engine = engine.KindGo
	if e, err = a.openEngineOf("runs/x", engine.KindCPU, large); err != nil || e.Kind != engine.KindGo {
		t.Errorf("by name: got %+v, %v", e, err)
	}
	a.engine = ""
	t.Setenv("BALLAST_ENGINE", engine.KindGo)
	if e, err = a.openEngineOf("runs/x", engine.KindCPU, large); err != nil || e.Kind != engine.KindGo {
		t.Errorf("by the environment: got %+v, %v", e, err)
	}
	t.Setenv("BALLAST_ENGINE", "")

	said.Reset()
	stands := paper.Ledger{Entries: []paper.Entry{{Slug: "grokking", Engine: engine.KindCPU}}}
	if e, err = a.openEngineOfClaims("grokking", stands); err != nil || e.Kind != engine.KindGo || !strings.Contains(said.String(), "measured on xla:cpu, which cannot be had here") {
		t.Errorf("claims: got %+v, %v, %q", e, err, said.String())
	}
}

// TestOneEngineForAComparison: runs in the folder say which, and another one is refused.
func TestOneEngineForAComparison(t *testing.T) {
	dir := t.TempDir()
	run := filepath.Join(dir, "norm=batch", "seed-1")
	if err := os.MkdirAll(run, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(run, "meta.json"), []byte(`{"engine": "xla:cpu"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := lab.EngineOfRuns(dir); got != "xla:cpu" {
		t.Errorf("got %q", got)
	}
	if lab.EngineOf(run) != "xla:cpu" || lab.EngineOf(dir) != "" || lab.EngineOfRuns(filepath.Join(dir, "[none")) != "" {
		t.Error("the engine of a folder is another")
	}
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	settings, err := strict.Settings([]byte("network: {name: mlp, hidden: [4]}\nsteps: 2\n"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = lab.Compare(t.Context(), lab.CompareOptions{Settings: settings, Sweep: []string{"norm=batch,identity", "seed=1"}, Dir: dir, Engine: e})
	if err == nil || !strings.Contains(err.Error(), "holds a run on engine xla:cpu, and this one is go") || codeOf(err) != exitUsage {
		t.Errorf("got %v", err)
	}
}

// TestLargestDecides: the largest of several runs decides about the engine of all.
func TestLargestDecides(t *testing.T) {
	small, err := lab.Recipe(nil, "network=mlp", "network.hidden=[4]", "steps=10")
	if err != nil {
		t.Fatal(err)
	}
	big, err := lab.Recipe(nil, "network=mlp", "network.hidden=[512,512]", "steps=5000")
	if err != nil {
		t.Fatal(err)
	}
	w := largest([]train.Recipe{small, big, small})
	if w.Updates != 5000 || w.Small() || !largest([]train.Recipe{small}).Small() {
		t.Errorf("got %+v", w)
	}
	bad := small
	bad.BatchSize = 1 << 20
	if w := largest([]train.Recipe{small, bad}); w.MultiplyAdds != 0 || w.Small() {
		t.Errorf("with one that is not known: %+v", w)
	}
}

package paper_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/engine"
	ghostbatchnorm "github.com/ballast-ml/ballast/papers/ghost-batch-norm"
	"github.com/ballast-ml/ballast/papers/paper"
)

// TestReproduceGoesOn measures one small arm, and again from what is there.
func TestReproduceGoesOn(t *testing.T) {
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	p := ghostbatchnorm.Paper
	p.Claims = []paper.Claim{{Name: "small", Seeds: 2, Arms: []paper.Arm{{Name: "arm", Overrides: []string{"network.hidden=[8]", "steps=20"}}}, Check: func(m paper.Measured) []paper.Inequality {
		return []paper.Inequality{paper.AtLeast("accuracy >= 0", m.Mean("arm", "accuracy"), 0)}
	}}}
	o := paper.Options{Engine: e, Dir: t.TempDir(), Seeds: []uint64{1}}
	if _, err := paper.Reproduce(t.Context(), p, o); err == nil || !strings.Contains(err.Error(), "needs 2 seeds, got 1") {
		t.Errorf("got %v", err)
	}
	o.Seeds = []uint64{1, 2}
	first, err := paper.Reproduce(t.Context(), p, o)
	if err != nil || !first.Stands() {
		t.Fatalf("%+v, %v", first, err)
	}
	again, err := paper.Reproduce(t.Context(), p, o)
	if err != nil || !slices.Equal(first.Claims[0].Arms[0].Metrics["nll"].Values, again.Claims[0].Arms[0].Metrics["nll"].Values) {
		t.Errorf("%+v, %v; first %+v", again, err, first)
	}
	if first.Made != 2 || again.Made != 0 {
		t.Errorf("%d runs made, and again %d; want 2 and 0", first.Made, again.Made)
	}

	// A result of before a setting was there is that of the setting's default; one of another configuration is none.
	for dropped, made := range map[string]int{`"log_every":`: 0, `"steps":`: 1} {
		file := filepath.Join(o.Dir, p.Slug, "go", "small", "arm", "seed-1", "result.json")
		result, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		short := regexp.MustCompile(regexp.QuoteMeta(dropped)+`\d*,?`).ReplaceAll(result, nil)
		if len(short) == len(result) {
			t.Fatalf("no %s in %s", dropped, result)
		}
		if err := os.WriteFile(file, short, 0o644); err != nil {
			t.Fatal(err)
		}
		if again, err = paper.Reproduce(t.Context(), p, o); err != nil || again.Made != made {
			t.Errorf("without %s: %d runs made (%v), want %d", dropped, again.Made, err, made)
		}
	}
	o.Dir, o.Workers = t.TempDir(), 2
	together, err := paper.Reproduce(t.Context(), p, o)
	if err != nil || !slices.Equal(first.Claims[0].Arms[0].Metrics["nll"].Values, together.Claims[0].Arms[0].Metrics["nll"].Values) {
		t.Errorf("two runs at once: %+v, %v; first %+v", together, err, first)
	}

	path := filepath.Join(t.TempDir(), "ledger.json")
	book, err := paper.ReadLedger(path)
	if err != nil {
		t.Fatal(err)
	}
	book.Put(first)
	book.Put(again)
	if err := book.Write(path); err != nil {
		t.Fatal(err)
	}
	book, err = paper.ReadLedger(path)
	if e, ok := book.Evidence(p.Slug); err != nil || !ok || len(book.Entries) != 1 || e.Claims[0].Arms[0].Metrics["nll"].Mean != again.Claims[0].Arms[0].Metrics["nll"].Mean {
		t.Errorf("the ledger holds %+v, %v", book, err)
	}
}

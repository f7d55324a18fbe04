package paper_test

import (
	"path/filepath"
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
	if err != nil || !first.Held() {
		t.Fatalf("%+v, %v", first, err)
	}
	again, err := paper.Reproduce(t.Context(), p, o)
	if err != nil || !slices.Equal(first.Claims[0].Arms[0].Metrics["nll"].Values, again.Claims[0].Arms[0].Metrics["nll"].Values) {
		t.Errorf("%+v, %v; first %+v", again, err, first)
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
	if e, ok := book.Entry(p.Slug); err != nil || !ok || len(book.Entries) != 1 || e.Claims[0].Arms[0].Metrics["nll"].Mean != again.Claims[0].Arms[0].Metrics["nll"].Mean {
		t.Errorf("the ledger holds %+v, %v", book, err)
	}
}

package papers

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/lab"
)

// TestEveryPaperIsWhole goes over the list, so that no paper escapes.
func TestEveryPaperIsWhole(t *testing.T) {
	all := List()
	if !slices.IsSortedFunc(all, func(a, b Paper) int { return strings.Compare(a.Slug, b.Slug) }) {
		t.Error("the list is not in order of slugs")
	}
	for _, p := range all {
		if p.Slug == "" || p.Title == "" || p.Authors == "" || p.ArXiv == "" || p.Year == 0 || p.Summary == "" || len(p.Symbols) == 0 || len(p.Claims) == 0 {
			t.Errorf("%s: something is missing: %+v", p.Slug, p)
		}
		base, err := strict.YAML(p.Recipe)
		if err != nil {
			t.Fatalf("%s: %v", p.Slug, err)
		}
		for _, c := range p.Claims {
			measured := Measured{}
			for _, arm := range c.Arms {
				if _, err := lab.Recipe(base, arm.Overrides...); err != nil {
					t.Errorf("%s: %s: %s: %v", p.Slug, c.Name, arm.Name, err)
				}
				measured[arm.Name] = map[string][]float64{"accuracy": {0.5}, "log_r2": {0.5}, "sqrt_r2": {0.5}}
			}
			// Where every arm measures the same, no claim of a difference may hold.
			if judge(c, measured).Held {
				t.Errorf("%s: %s holds whatever is measured", p.Slug, c.Name)
			}
		}
	}
}

func TestGhostBatchNormClaims(t *testing.T) {
	accuracy := func(sb, lb, mended float64) Measured {
		return Measured{"sb": {"accuracy": {sb, sb}}, "lb": {"accuracy": {lb, lb}}, "lb_lr": {}, "lb_lr_gbn": {"accuracy": {mended, mended}}, "lb_lr_gbn_ra": {}}
	}
	for _, c := range []struct {
		measured Measured
		held     bool
	}{
		{accuracy(0.98, 0.97, 0.98), true},
		{accuracy(0.98, 0.975, 0.98), false},  // the large batch loses too little
		{accuracy(0.98, 0.97, 0.975), false},  // too little is won back
		{accuracy(0.99, 0.97, 0.9855), false}, // not as good as the small batch
	} {
		if got := judge(ghostBatchNorm.Claims[0], c.measured); got.Held != c.held {
			t.Errorf("%v: held is %v", c.measured, got.Held)
		}
	}
	walk := func(log, sqrt float64) Measured { return Measured{"walk": {"log_r2": {log}, "sqrt_r2": {sqrt}}} }
	for _, c := range []struct {
		measured Measured
		held     bool
	}{{walk(0.99, 0.88), true}, {walk(0.96, 0.88), false}, {walk(0.99, 0.95), false}} {
		if got := judge(ghostBatchNorm.Claims[1], c.measured); got.Held != c.held {
			t.Errorf("%v: held is %v", c.measured, got.Held)
		}
	}
}

// TestReproduceGoesOn measures one small arm, and again from what is there.
func TestReproduceGoesOn(t *testing.T) {
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	p := ghostBatchNorm
	p.Claims = []Claim{{Name: "small", Seeds: 2, Arms: []Arm{{Name: "arm", Overrides: []string{"network.hidden=[8]", "steps=20"}}}, Check: func(m Measured) []Inequality {
		return []Inequality{AtLeast("accuracy >= 0", m.Mean("arm", "accuracy"), 0)}
	}}}
	o := Options{Engine: e, Dir: t.TempDir(), Seeds: []uint64{1}}
	if _, err := Reproduce(t.Context(), p, o); err == nil || !strings.Contains(err.Error(), "needs 2 seeds, got 1") {
		t.Errorf("got %v", err)
	}
	o.Seeds = []uint64{1, 2}
	first, err := Reproduce(t.Context(), p, o)
	if err != nil || !first.Held() {
		t.Fatalf("%+v, %v", first, err)
	}
	again, err := Reproduce(t.Context(), p, o)
	if err != nil || !slices.Equal(first.Claims[0].Arms[0].Metrics["nll"].Values, again.Claims[0].Arms[0].Metrics["nll"].Values) {
		t.Errorf("%+v, %v; first %+v", again, err, first)
	}

	path := filepath.Join(t.TempDir(), "ledger.json")
	book, err := ReadLedger(path)
	if err != nil {
		t.Fatal(err)
	}
	book.Put(first)
	book.Put(again)
	if err := book.Write(path); err != nil {
		t.Fatal(err)
	}
	book, err = ReadLedger(path)
	if e, ok := book.Entry(p.Slug); err != nil || !ok || len(book.Entries) != 1 || e.Claims[0].Arms[0].Metrics["nll"].Mean != again.Claims[0].Arms[0].Metrics["nll"].Mean {
		t.Errorf("the ledger holds %+v, %v", book, err)
	}
}

func TestTheLedgerOfThisBuild(t *testing.T) {
	book, err := EmbeddedLedger()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range book.Entries {
		p, err := Find(e.Slug)
		if err != nil {
			t.Fatal(err)
		}
		if len(e.Claims) != len(p.Claims) {
			t.Errorf("%s: %d claims measured of %d", e.Slug, len(e.Claims), len(p.Claims))
		}
		for i, c := range e.Claims {
			if len(e.Seeds) < p.Claims[i].Seeds || c.Name != p.Claims[i].Name {
				t.Errorf("%s: claim %s with %d seeds", e.Slug, c.Name, len(e.Seeds))
			}
			// The verdict follows from the numbers in it.
			measured := Measured{}
			for _, arm := range c.Arms {
				measured[arm.Name] = map[string][]float64{}
				for name, s := range arm.Metrics {
					measured[arm.Name][name] = s.Values
				}
			}
			if judge(p.Claims[i], measured).Held != c.Held {
				t.Errorf("%s: claim %s: the verdict does not follow from the numbers", e.Slug, c.Name)
			}
		}
	}
}

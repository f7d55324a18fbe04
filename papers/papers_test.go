package papers

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/engine"
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
		base, experiments, err := p.recipe()
		if err != nil {
			t.Fatalf("%s: %v", p.Slug, err)
		}
		for _, c := range p.Claims {
			for _, arm := range c.Arms {
				if c.Experiment != nil {
					_, err = lab.Apply(experiments[c.Name], nil, arm.Overrides)
				} else {
					_, err = lab.Recipe(base, arm.Overrides...)
				}
				if err != nil {
					t.Errorf("%s: %s: %s: %v", p.Slug, c.Name, arm.Name, err)
				}
			}
			// Where every arm measures the same, no claim of a difference may hold, and one of parity must fail when some arm is worse.
			same := judgeAll(t, c, func(string) float64 { return 0.5 }).Held
			worse := false
			for _, arm := range c.Arms {
				worse = worse || !judgeAll(t, c, func(name string) float64 {
					if name == arm.Name {
						return 5
					}
					return 0.5
				}).Held
			}
			if same != c.Parity || c.Parity && !worse {
				t.Errorf("%s: %s holds whatever is measured", p.Slug, c.Name)
			}
		}
	}
}

// judgeAll is the verdict where every metric that the claim reads of an arm has one value, in arms that the claim has.
func judgeAll(t *testing.T, c Claim, value func(arm string) float64) (result ClaimResult) {
	measured := Measured{}
	for _, arm := range c.Arms {
		measured[arm.Name] = map[string][]float64{}
	}
	for missing := true; missing; {
		missing = false
		func() {
			defer func() {
				switch p := recover().(type) {
				case nil:
				case notMeasured:
					if measured[p.arm] == nil {
						t.Fatalf("%s: %v: there is no such arm", c.Name, p)
					}
					measured[p.arm][p.metric], missing = []float64{value(p.arm)}, true
				default:
					panic(p)
				}
			}()
			result = judge(c, measured)
		}()
	}
	return result
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
	o.Dir, o.Workers = t.TempDir(), 2
	together, err := Reproduce(t.Context(), p, o)
	if err != nil || !slices.Equal(first.Claims[0].Arms[0].Metrics["nll"].Values, together.Claims[0].Arms[0].Metrics["nll"].Values) {
		t.Errorf("two runs at once: %+v, %v; first %+v", together, err, first)
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

// TestTheDocumentOfThisLedger: docs/papers.md is what the ledger says.
func TestTheDocumentOfThisLedger(t *testing.T) {
	book, err := EmbeddedLedger()
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	if err := Markdown(&want, book); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../docs/papers.md")
	if err != nil || string(got) != want.String() {
		t.Errorf("docs/papers.md is not what the ledger says (%v): write it again with ballast papers --markdown > docs/papers.md", err)
	}
}

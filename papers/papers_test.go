package papers

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/lab"
	"github.com/ballast-ml/ballast/papers/paper"
)

// TestEveryPaperIsWhole goes over the list, so that no paper escapes.
func TestEveryPaperIsWhole(t *testing.T) {
	all := List()
	if !slices.IsSortedFunc(all, func(a, b paper.Paper) int { return strings.Compare(a.Slug, b.Slug) }) {
		t.Error("the list is not in order of slugs")
	}
	for _, p := range all {
		if p.Slug == "" || p.Title == "" || p.Authors == "" || p.ArXiv == "" || p.Year == 0 || p.Summary == "" || len(p.Symbols) == 0 || len(p.Claims) == 0 {
			t.Errorf("%s: something is missing: %+v", p.Slug, p)
		}
		base, experiments, err := p.Parts()
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
			same := judgeAll(t, c, func(string) float64 { return 0.5 }).MeansHold
			worse := false
			for _, arm := range c.Arms {
				worse = worse || !judgeAll(t, c, func(name string) float64 {
					if name == arm.Name {
						return 5
					}
					return 0.5
				}).MeansHold
			}
			if same != c.Parity || c.Parity && !worse {
				t.Errorf("%s: %s holds whatever is measured", p.Slug, c.Name)
			}
		}
	}
}

// judgeAll is the verdict where every metric that the claim reads of an arm has one value, in arms that the claim has.
func judgeAll(t *testing.T, c paper.Claim, value func(arm string) float64) (result paper.ClaimResult) {
	measured := paper.Measured{}
	for _, arm := range c.Arms {
		measured[arm.Name] = map[string][]float64{}
	}
	for missing := true; missing; {
		missing = false
		func() {
			defer func() {
				switch p := recover().(type) {
				case nil:
				case paper.NotMeasured:
					if measured[p.Arm] == nil {
						t.Fatalf("%s: %v: there is no such arm", c.Name, p)
					}
					measured[p.Arm][p.Metric], missing = []float64{value(p.Arm)}, true
				default:
					panic(p)
				}
			}()
			result = paper.Judge(c, measured)
		}()
	}
	return result
}

func TestTheLedgerOfThisBuild(t *testing.T) {
	book, err := EmbeddedLedger()
	if err != nil {
		t.Fatal(err)
	}
	anew := paper.Ledger{} // the same numbers without verdicts
	for _, e := range book.Entries {
		p, err := Find(e.Slug)
		if err != nil {
			t.Fatal(err)
		}
		if len(e.Claims) != len(p.Claims) {
			t.Errorf("%s: %d claims measured of %d", e.Slug, len(e.Claims), len(p.Claims))
		}
		e.Claims = slices.Clone(e.Claims)
		for i, c := range e.Claims {
			if len(e.Seeds) < p.Claims[i].Seeds || c.Name != p.Claims[i].Name {
				t.Errorf("%s: claim %s with %d seeds", e.Slug, c.Name, len(e.Seeds))
			}
			e.Claims[i].Certainty, e.Claims[i].Inequalities = paper.Certainty{}, nil
		}
		anew.Put(e)
	}
	anew.Judge(List())

	if !reflect.DeepEqual(anew.Entries, book.Entries) || !reflect.DeepEqual(anew.Together, book.Together) {
		t.Error("the verdicts of the ledger do not follow from its numbers")
	}
}

// TestTheDocumentOfThisLedger: docs/papers.md is what the ledger says.
func TestTheDocumentOfThisLedger(t *testing.T) {
	book, err := EmbeddedLedger()
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	if err := paper.Markdown(&want, List(), book); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../docs/papers.md")
	if err != nil || string(got) != want.String() {
		t.Errorf("docs/papers.md is not what the ledger says (%v): write it again with ballast papers --markdown > docs/papers.md", err)
	}
	for _, p := range List() {
		if _, ok := book.Evidence(p.Slug); !ok {
			continue
		}
		for _, f := range p.Figures {
			if _, err := os.Stat("../docs/papers/" + p.Slug + "/" + f.Name + ".png"); err != nil {
				t.Errorf("%v: draw it with ballast papers %s --figures docs/papers", err, p.Slug)
			}
		}
	}
}

// Package samplertest tests the contract of samplers. Your own sampler can run it too.
package samplertest

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ballast-ml/ballast/data/sample"
)

// Claim is something a sampler promises beyond what every sampler must keep.
type Claim func(*claims)

type claims struct {
	labels, domains bool
	once            bool
	still           bool
	updates         int
	check           func(t *testing.T, r sample.Rows, batch int, places []int32)
}

// NeedsLabels says that rows without labels are refused.
func NeedsLabels() Claim { return func(c *claims) { c.labels = true } }

// NeedsDomains says that rows without domains are refused.
func NeedsDomains() Claim { return func(c *claims) { c.domains = true } }

// EachOnce promises that no example comes twice in N/batch updates.
func EachOnce() Claim { return func(c *claims) { c.once = true } }

// Still says that all seeds and epochs give the same.
func Still() Claim { return func(c *claims) { c.still = true } }

// Updates says how many updates the battery asks for, in the place of those that N/batch makes.
func Updates(n int) Claim { return func(c *claims) { c.updates = n } }

// Check adds a test of the places of an epoch.
func Check(f func(t *testing.T, r sample.Rows, batch int, places []int32)) Claim {
	return func(c *claims) { c.check = f }
}

// Run runs the battery on a sampler with rows that suit it:
//
//   - an epoch has updates x batch places of the rows, padding behind the examples of an update alone
//   - the same arguments give the same places, other seeds and epochs other ones, and the rows stay as they are
//   - Distinct holds, over 20 epochs and over rows in another order
//   - no update, no batch, an empty set, labels or domains of another number than examples: errors, no panic
//   - labels and domains that are needed are asked for, by name
//   - one example where a batch has more: an error, or padding, and each example once where Distinct says so
func Run(t *testing.T, s sample.Sampler, r sample.Rows, batch int, promises ...Claim) {
	c := claims{updates: max(1, r.N/batch)}
	for _, promise := range promises {
		promise(&c)
	}
	b := bench{sampler: s, rows: r, batch: batch, claims: c}
	t.Run("places", b.places)
	t.Run("draws", b.draws)
	t.Run("distinct", b.distinct)
	t.Run("refuses", b.refuses)
	t.Run("small set", b.small)
}

type bench struct {
	sampler sample.Sampler
	rows    sample.Rows
	batch   int
	claims  claims
}

// epoch is an epoch that must not fail.
func (b bench) epoch(t *testing.T, r sample.Rows, seed uint64, number int) []int32 {
	t.Helper()
	places, err := b.sampler.Epoch(r, b.batch, b.claims.updates, seed, number)
	if err != nil {
		t.Fatal(err)
	}
	return places
}

func (b bench) places(t *testing.T) {
	for number := range 3 {
		places := b.epoch(t, b.rows, 7, number)
		if len(places) != b.claims.updates*b.batch {
			t.Fatalf("epoch %d has %d places, want %d updates of %d", number, len(places), b.claims.updates, b.batch)
		}
		inOrder(t, places, b.rows.N, b.batch)
		if b.claims.once {
			once(t, places)
		}
		if b.claims.check != nil {
			b.claims.check(t, b.rows, b.batch, places)
		}
	}
}

func (b bench) draws(t *testing.T) {
	before := clone(b.rows)
	first := b.epoch(t, b.rows, 7, 1)
	if !slices.Equal(b.rows.Labels, before.Labels) || !slices.Equal(b.rows.Domains, before.Domains) {
		t.Error("the rows were changed")
	}
	if again := b.epoch(t, before, 7, 1); !slices.Equal(first, again) {
		t.Errorf("the same arguments gave %v, then %v", first, again)
	}
	if slices.Equal(first, b.epoch(t, b.rows, 7, 2)) != b.claims.still {
		t.Errorf("epochs 1 and 2: the same is %v, the claim says %v", !b.claims.still, b.claims.still)
	}
	if slices.Equal(first, b.epoch(t, b.rows, 8, 1)) != b.claims.still {
		t.Errorf("seeds 7 and 8: the same is %v, the claim says %v", !b.claims.still, b.claims.still)
	}
}

func (b bench) distinct(t *testing.T) {
	if !b.sampler.Distinct() {
		return
	}
	random, tried := rand.New(rand.NewPCG(1, 2)), 0
	for number := range 20 {
		r := clone(b.rows)
		random.Shuffle(r.N, func(i, j int) {
			if r.Labels != nil {
				r.Labels[i], r.Labels[j] = r.Labels[j], r.Labels[i]
			}
			if r.Domains != nil {
				r.Domains[i], r.Domains[j] = r.Domains[j], r.Domains[i]
			}
		})
		places, err := b.sampler.Epoch(r, b.batch, b.claims.updates, 3, number)
		if err != nil {
			continue // the shuffled labels and domains need not suit the sampler together
		}
		tried++
		for from := 0; from < len(places); from += b.batch {
			once(t, places[from:from+b.batch])
		}
	}
	if tried == 0 {
		t.Error("no epoch of 20 could be drawn")
	}
}

func (b bench) refuses(t *testing.T) {
	for name, try := range map[string]func() (sample.Rows, int, int){
		"no update": func() (sample.Rows, int, int) { return b.rows, b.batch, 0 },
		"no batch":  func() (sample.Rows, int, int) { return b.rows, 0, 1 },
		"empty":     func() (sample.Rows, int, int) { return sample.Rows{}, b.batch, 1 },
		"few labels": func() (sample.Rows, int, int) {
			r := clone(b.rows)
			r.Labels = make([]int32, r.N-1)
			return r, b.batch, 1
		},
		"many domains": func() (sample.Rows, int, int) {
			r := clone(b.rows)
			r.Domains = make([]int32, r.N+1)
			return r, b.batch, 1
		},
	} {
		r, batch, updates := try()
		if places, err := b.sampler.Epoch(r, batch, updates, 1, 0); err == nil {
			t.Errorf("%s: got %v, want an error", name, places)
		}
	}
	without := clone(b.rows)
	without.Labels = nil
	if _, err := b.sampler.Epoch(without, b.batch, b.claims.updates, 1, 0); (err != nil) != b.claims.labels {
		t.Errorf("without labels: got %v, the claim is %v", err, b.claims.labels)
	}
	without = clone(b.rows)
	without.Domains = nil
	if _, err := b.sampler.Epoch(without, b.batch, b.claims.updates, 1, 0); b.claims.domains && err == nil {
		t.Error("without domains: got no error")
	}
}

func (b bench) small(t *testing.T) {
	r := sample.Rows{N: 1, Labels: []int32{0}, Domains: []int32{0}}
	batch := max(b.batch, 2)
	places, err := b.sampler.Epoch(r, batch, 1, 1, 0)
	if err != nil {
		return
	}
	if len(places) != batch {
		t.Fatalf("got %d places, want %d", len(places), batch)
	}
	inOrder(t, places, 1, batch)
	if b.sampler.Distinct() {
		once(t, places)
	}
}

// inOrder checks that places are examples, and padding behind them.
func inOrder(t *testing.T, places []int32, n, batch int) {
	t.Helper()
	for k, p := range places {
		if p < sample.Padding || int(p) >= n {
			t.Fatalf("place %d is %d, outside -1 to %d", k, p, n-1)
		}
		if k%batch > 0 && p >= 0 && places[k-1] == sample.Padding {
			t.Fatalf("example %d stands behind padding, at place %d", p, k)
		}
	}
}

// once checks that no example comes twice.
func once(t *testing.T, places []int32) {
	t.Helper()
	seen := map[int32]bool{}
	for _, p := range places {
		if p != sample.Padding && seen[p] {
			t.Fatalf("example %d comes twice in %v", p, places)
		}
		seen[p] = true
	}
}

func clone(r sample.Rows) sample.Rows {
	return sample.Rows{N: r.N, Labels: slices.Clone(r.Labels), Domains: slices.Clone(r.Domains)}
}

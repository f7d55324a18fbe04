package sample

import "math"

// Mixture sees the domains of a set in fixed shares: each next example is of the domain that is furthest behind its share, so that an
// update has batch x share of each, rounded down or up as the updates before it left off. Within a domain every example comes once before one comes again.
//
// Source of the use: Nguyen et al., "Quality Not Quantity: On the Interaction between Dataset Design and Robustness of CLIP",
// arXiv 2208.05516.
type Mixture struct {
	Shares []float64 `json:"shares"` // one for each domain, at least 0, not all 0; divided by their sum. Empty = equal
}

var _ Sampler = Mixture{}

// NewMixture returns equal shares.
func NewMixture() Mixture { return Mixture{} }

// Distinct is false: a domain with fewer examples than its share of a batch repeats within an update.
func (Mixture) Distinct() bool { return false }

// Epoch errors if there are no domains, or a domain has a share and no example.
func (m Mixture) Epoch(r Rows, batch, updates int, seed uint64, epoch int) ([]int32, error) {
	if err := check("mixture", r, batch, updates, false, true); err != nil {
		return nil, err
	}
	shares, err := m.shares(r)
	if err != nil {
		return nil, err
	}
	random := newRandom(seed, "mixture", epoch)
	decks := make([]*deck, len(shares))
	for _, d := range groups(r.Domains, ascending(r.N)) {
		decks[d.key] = newDeck(d.places, random)
	}

	var places []int32
	given := make([]int, len(shares))
	for range updates {
		first := len(places)
		counts := make([]int, len(shares))
		for range batch {
			d := furthestBehind(shares, given)
			given[d]++
			counts[d]++
		}
		for d, n := range counts {
			if n > 0 {
				places = append(places, decks[d].hand(n)...)
			}
		}
		random.shuffle(places[first:])
	}
	return places, nil
}

// furthestBehind is the domain that the next item goes to, so that all stay in proportion.
func furthestBehind(shares []float64, given []int) int {
	total := 1
	for _, n := range given {
		total += n
	}
	behind := func(d int) float64 { return shares[d]*float64(total) - float64(given[d]) }
	best := 0
	for d := range shares {
		if behind(d) > behind(best) {
			best = d
		}
	}
	return best
}

// shares is one share for each domain, which add up to 1.
func (m Mixture) shares(r Rows) ([]float64, error) {
	counts := make([]int, max(len(m.Shares), 1))
	for i, d := range r.Domains {
		if d < 0 || int(d) >= r.N && int(d) >= len(m.Shares) {
			return nil, wrong("mixture", "the domain of example %d is %d; number the domains from 0 on", i, d)
		}
		for int(d) >= len(counts) {
			counts = append(counts, 0)
		}
		counts[d]++
	}
	if len(m.Shares) == 0 {
		shares := make([]float64, len(counts))
		present := 0.0
		for _, n := range counts {
			present += float64(min(n, 1))
		}
		for d, n := range counts {
			shares[d] = float64(min(n, 1)) / present
		}
		return shares, nil
	}

	if len(m.Shares) != len(counts) {
		return nil, wrong("mixture", "there are %d shares for %d domains; give one each", len(m.Shares), len(counts))
	}
	sum := 0.0
	for d, share := range m.Shares {
		if !(share >= 0) || math.IsInf(share, 0) {
			return nil, wrong("mixture", "the share of domain %d is %v; use finite numbers from 0 on", d, share)
		}
		if share > 0 && counts[d] == 0 {
			return nil, wrong("mixture", "domain %d has the share %v and no example; give it share 0", d, share)
		}
		sum += share
	}
	if !(sum > 0) || math.IsInf(sum, 0) {
		return nil, wrong("mixture", "the shares add up to %v; give at least one above 0", sum)
	}
	shares := make([]float64, len(counts))
	for d := range shares {
		shares[d] = m.Shares[d] / sum
	}
	return shares, nil
}

package sample

import "slices"

// Episode sees, in each update, one few-shot task: of every domain, Ways known classes with Shots support and Queries query examples
// each, and Unknown further classes with Queries query examples each, which have no support. Classes and examples are drawn anew for
// each episode. A set without domains counts as one domain.
//
// An update holds, domain after domain, first the support of all known classes, then their queries, then those of the unknown; a batch
// is domains x (Ways (Shots + Queries) + Unknown Queries) examples.
//
// Source: Snell et al., "Prototypical Networks for Few-shot Learning", arXiv 1703.05175; with domains and unknown classes, Pal et al.,
// "Domain Adaptive Few-Shot Open-Set Learning", arXiv 2309.12814.
type Episode struct {
	Ways    int `json:"ways"`    // known classes of a domain; 5
	Shots   int `json:"shots"`   // support examples of each; 5
	Queries int `json:"queries"` // query examples of each; 5
	Unknown int `json:"unknown"` // classes of a domain that are in the queries alone; 0
}

var _ Sampler = Episode{}

// NewEpisode returns 5 ways, 5 shots and 5 queries, all of known classes.
func NewEpisode() Episode { return Episode{Ways: 5, Shots: 5, Queries: 5} }

// Distinct is true.
func (Episode) Distinct() bool { return true }

// Size is the number of examples of one domain in an update.
func (e Episode) Size() int { return e.Ways*(e.Shots+e.Queries) + e.Unknown*e.Queries }

// Epoch errors if a domain has too few classes with enough examples.
func (e Episode) Epoch(r Rows, batch, updates int, seed uint64, epoch int) ([]int32, error) {
	if err := check("episode", r, batch, updates, true, false); err != nil {
		return nil, err
	}
	if e.Ways < 1 || e.Shots < 1 || e.Queries < 0 || e.Unknown < 0 {
		return nil, wrong("episode", "%d ways, %d shots, %d queries, %d unknown; use at least 1 way and 1 shot, and none below 0",
			e.Ways, e.Shots, e.Queries, e.Unknown)
	}
	keys := r.Domains
	if keys == nil {
		keys = make([]int32, r.N)
	}
	domains := groups(keys, ascending(r.N))
	if batch != len(domains)*e.Size() {
		return nil, wrong("episode", "%d domains with %d examples are %d, a batch is %d; make them equal",
			len(domains), e.Size(), len(domains)*e.Size(), batch)
	}

	// The classes that can take part, of each domain.
	classes := make([][]group, len(domains))
	for k, d := range domains {
		for _, c := range groups(r.Labels, d.places) {
			if len(c.places) >= e.Shots+e.Queries {
				classes[k] = append(classes[k], c)
			}
		}
		if len(classes[k]) < e.Ways+e.Unknown {
			return nil, wrong("episode", "domain %d has %d classes of at least %d examples, an episode takes %d; "+
				"lower ways, unknown, shots or queries",
				d.key, len(classes[k]), e.Shots+e.Queries, e.Ways+e.Unknown)
		}
	}

	random := newRandom(seed, "episode", epoch)
	var places []int32
	for range updates {
		for _, of := range classes {
			places = append(places, e.draw(of, random)...)
		}
	}
	return places, nil
}

// draw is one episode of one domain.
func (e Episode) draw(classes []group, r random) []int32 {
	order := ascending(len(classes))
	r.shuffle(order)
	var support, queries []int32
	for k, class := range order[:e.Ways+e.Unknown] {
		members := slices.Clone(classes[class].places)
		r.shuffle(members)
		if k < e.Ways {
			support = append(support, members[:e.Shots]...)
			members = members[e.Shots:]
		}
		queries = append(queries, members[:e.Queries]...)
	}
	return append(support, queries...)
}

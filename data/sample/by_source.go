package sample

// BySource sees one domain in each update, so that the negatives of an example are of its own kind. Domains come as often as they have
// whole batches; what is less than a batch in a domain is left out of the pass. An epoch with more updates continues with further passes.
//
// Source of the use: Wu et al., "Towards Robust Text Retrieval with Progressive Learning", arXiv 2311.11691.
type BySource struct{}

var _ Sampler = BySource{}

// NewBySource returns the sampler.
func NewBySource() BySource { return BySource{} }

// Distinct is true.
func (BySource) Distinct() bool { return true }

// Epoch errors if there are no domains, or none has as many examples as a batch.
func (BySource) Epoch(r Rows, batch, updates int, seed uint64, epoch int) ([]int32, error) {
	if err := check("by-source", r, batch, updates, false, true); err != nil {
		return nil, err
	}
	domains := groups(r.Domains, ascending(r.N))
	most := 0
	for _, d := range domains {
		most = max(most, len(d.places))
	}
	if most < batch {
		return nil, wrong("by-source", "the largest of %d domains has %d examples, a batch is %d; use a smaller batch",
			len(domains), most, batch)
	}

	random := newRandom(seed, "by-source", epoch)
	places := make([]int32, 0, updates*batch)
	for len(places) < cap(places) {
		var batches [][]int32
		for _, d := range domains {
			random.shuffle(d.places)
			for from := 0; from+batch <= len(d.places); from += batch {
				batches = append(batches, d.places[from:from+batch])
			}
		}
		order := ascending(len(batches))
		random.shuffle(order)
		for _, k := range order[:min(len(order), (cap(places)-len(places))/batch)] {
			places = append(places, batches[k]...)
		}
	}
	return places, nil
}

package sample

import "github.com/ballast-ml/ballast/data"

// Shuffle sees every example once in a pass, in random order: the order of data.Order(N, seed, epoch), cut into batches. What a pass
// leaves over that is less than a batch is left out, or padded. An epoch of more updates than a pass has continues with further passes,
// each in an order of its own: this is how a small stream keeps up with a large one.
type Shuffle struct {
	Pad bool `json:"pad"` // keep the last, smaller batch of a pass, padded; false leaves it out
}

var _ Sampler = Shuffle{}

// NewShuffle returns whole batches alone.
func NewShuffle() Shuffle { return Shuffle{} }

// Distinct is true.
func (Shuffle) Distinct() bool { return true }

// Epoch errors if the set is smaller than a batch and nothing is padded.
func (s Shuffle) Epoch(r Rows, batch, updates int, seed uint64, epoch int) ([]int32, error) {
	if err := check("shuffle", r, batch, updates, false, false); err != nil {
		return nil, err
	}
	if r.N < batch && !s.Pad {
		return nil, wrong("shuffle", "the set has %d examples, a batch is %d; use a smaller batch, or pad: true",
			r.N, batch)
	}

	places := make([]int32, 0, updates*batch)
	for pass := 0; len(places) < cap(places); pass++ {
		order := data.Order(r.N, passSeed(seed, pass), epoch)
		rest := r.N % batch
		if !s.Pad {
			order = order[:r.N-rest]
		} else if rest > 0 {
			order = append(order, padding(batch-rest)...)
		}
		places = append(places, order[:min(len(order), cap(places)-len(places))]...)
	}
	return places, nil
}

// passSeed is the seed of a further pass of an epoch; that of the first is the epoch's own.
func passSeed(seed uint64, pass int) uint64 {
	if pass == 0 {
		return seed
	}
	return newRandom(seed, "pass", pass).Uint64()
}

func padding(n int) []int32 {
	places := make([]int32, n)
	for i := range places {
		places[i] = Padding
	}
	return places
}

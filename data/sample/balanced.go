package sample

// Balanced sees all classes equally often, however many examples they have: each update takes batch/C examples of each of the C
// classes, and the remainder goes round among them. Within a class every example comes once before one comes again; a class with fewer
// examples than its part of a batch is in it more than once.
type Balanced struct{}

var _ Sampler = Balanced{}

// NewBalanced returns the sampler.
func NewBalanced() Balanced { return Balanced{} }

// Distinct is false: a small class repeats within an update.
func (Balanced) Distinct() bool { return false }

// Epoch errors if there are no labels.
func (Balanced) Epoch(r Rows, batch, updates int, seed uint64, epoch int) ([]int32, error) {
	if err := check("balanced", r, batch, updates, true, false); err != nil {
		return nil, err
	}
	random := newRandom(seed, "balanced", epoch)
	classes := groups(r.Labels, ascending(r.N))
	decks := make([]*deck, len(classes))
	for k, c := range classes {
		decks[k] = newDeck(c.places, random)
	}
	extra := newDeck(ascending(len(classes)), random)

	var places []int32
	for range updates {
		counts := make([]int, len(classes))
		for k := range counts {
			counts[k] = batch / len(classes)
		}
		for _, k := range extra.hand(batch % len(classes)) {
			counts[k]++
		}
		first := len(places)
		for k, n := range counts {
			places = append(places, decks[k].hand(n)...)
		}
		random.shuffle(places[first:])
	}
	return places, nil
}

package sample

// PK sees, in each update, Classes classes and Members examples of each: what losses over pairs need. Classes go round, all of them
// before one comes again, and so do the examples of a class. The batch is Classes x Members.
type PK struct {
	Classes int `json:"classes"` // of an update; 16
	Members int `json:"members"` // examples of each, at least 1; 6
}

var _ Sampler = PK{}

// NewPK returns 16 classes with 6 examples each.
func NewPK() PK { return PK{Classes: 16, Members: 6} }

// Distinct is true.
func (PK) Distinct() bool { return true }

// Epoch errors if a class has fewer than Members examples, or there are fewer than Classes classes.
func (s PK) Epoch(r Rows, batch, updates int, seed uint64, epoch int) ([]int32, error) {
	if err := check("pk", r, batch, updates, true, false); err != nil {
		return nil, err
	}
	if s.Classes < 1 || s.Members < 1 || s.Classes*s.Members != batch {
		return nil, wrong("pk", "%d classes with %d members are %d examples, a batch is %d; make them equal",
			s.Classes, s.Members, s.Classes*s.Members, batch)
	}
	classes := groups(r.Labels, ascending(r.N))
	if len(classes) < s.Classes {
		return nil, wrong("pk", "the set has %d classes, an update takes %d; lower classes", len(classes), s.Classes)
	}
	for _, c := range classes {
		if len(c.places) < s.Members {
			return nil, wrong("pk", "class %d has %d examples, an update takes %d of each; lower members, or leave the class out",
				c.key, len(c.places), s.Members)
		}
	}

	random := newRandom(seed, "pk", epoch)
	decks := make([]*deck, len(classes))
	for k, c := range classes {
		decks[k] = newDeck(c.places, random)
	}
	turns := newDeck(ascending(len(classes)), random)

	var places []int32
	for range updates {
		for _, k := range turns.hand(s.Classes) {
			places = append(places, decks[k].hand(s.Members)...)
		}
	}
	return places, nil
}

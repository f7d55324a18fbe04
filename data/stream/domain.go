package stream

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/bits"
	"math/rand/v2"

	"github.com/ballast-ml/ballast/data/corrupt"
	"github.com/ballast-ml/ballast/data/sample"
)

// clean is the name of the one domain of a stream that shifts nothing.
const clean = "clean"

// domain is a part of a stream: some examples, all shifted alike.
type domain struct {
	name     string
	shift    string
	severity int
	places   []int32 // nil = all of the set
}

// shifted are the domains of shifts at a severity.
func shifted(names []string, severity int) []domain {
	var all []domain
	for _, name := range names {
		all = append(all, domain{name: label(name, severity), shift: name, severity: severity})
	}
	return all
}

// label names a shift at a severity, as corrupt.Wrap does.
func label(shift string, severity int) string { return fmt.Sprintf("%s:%d", shift, severity) }

// domains are those of shifts; without names those of the set where it has some, else all shifts.
func (s Shifts) domains(who string, r sample.Rows) ([]domain, error) {
	if err := checkRows(who, r); err != nil {
		return nil, err
	}
	switch {
	case len(s.Names) > 0:
		return shifted(s.Names, s.Severity), nil
	case r.Domains == nil:
		return shifted(every(), s.Severity), nil
	}
	var all []domain
	for i, d := range r.Domains {
		for int(d) >= len(all) {
			all = append(all, domain{name: fmt.Sprintf("domain %d", len(all)), places: []int32{}})
		}
		all[d].places = append(all[d].places, int32(i))
	}
	return all, nil
}

// asIs are the domains of shifts; without names one domain in which nothing is shifted.
func (s Shifts) asIs() []domain {
	if len(s.Names) == 0 {
		return []domain{{name: clean}}
	}
	return shifted(s.Names, s.Severity)
}

// pass is the places of a domain in the order of a sampler, which draws by the seed and the number of the pass.
func (d domain) pass(order sample.Sampler, r sample.Rows, seed uint64, number int) ([]int32, error) {
	part := r
	if d.places != nil {
		part = sample.Rows{N: len(d.places)}
		if r.Labels != nil {
			part.Labels = make([]int32, len(d.places))
			for i, p := range d.places {
				part.Labels[i] = r.Labels[p]
			}
		}
	}
	if part.N == 0 {
		return nil, nil
	}

	places, err := order.Epoch(part, part.N, 1, seed, number)
	if err != nil {
		return nil, err
	}
	if d.places != nil {
		for i, p := range places {
			places[i] = d.places[p]
		}
	}
	return places, nil
}

// oneAfterTheOther are the steps of domains, one after the other, each in an order of its own.
func oneAfterTheOther(who string, order sample.Sampler, domains []domain, r sample.Rows, seed uint64) (Steps, error) {
	if err := checkRows(who, r); err != nil {
		return Steps{}, err
	}
	var all Steps
	numbers := map[string]int32{} // a domain may come twice
	for number, d := range domains {
		places, err := d.pass(order, r, seed, number)
		if err != nil {
			return Steps{}, fmt.Errorf("stream: %s: %w", who, err)
		}
		if _, known := numbers[d.name]; !known {
			numbers[d.name] = int32(len(all.Domains))
			all.Domains = append(all.Domains, d.name)
		}
		for _, p := range places {
			all.Steps = append(all.Steps, Step{Example: p, Domain: numbers[d.name], Shift: d.shift, Severity: d.severity})
		}
	}
	return all, nil
}

// checkRows refuses rows that are none.
func checkRows(who string, r sample.Rows) error {
	switch {
	case r.N < 1:
		return wrong(who, "the set is empty; give it examples")
	case r.Labels != nil && len(r.Labels) != r.N:
		return wrong(who, "there are %d labels for %d examples; give one each", len(r.Labels), r.N)
	case r.Domains != nil && len(r.Domains) != r.N:
		return wrong(who, "there are %d domains for %d examples; give one each", len(r.Domains), r.N)
	}
	for i, d := range r.Domains {
		if d < 0 || int(d) >= r.N {
			return wrong(who, "example %d is of domain %d; number domains from 0 without gaps", i, d)
		}
	}
	return nil
}

// shuffle puts steps in random order.
func shuffle(steps []Step, seed uint64, purpose string) {
	h := fnv.New64a()
	h.Write([]byte("stream " + purpose))
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], seed)
	h.Write(b[:])
	r := rand.NewPCG(seed, h.Sum64())
	for i := len(steps) - 1; i > 0; i-- {
		high, _ := bits.Mul64(r.Uint64(), uint64(i+1))
		steps[i], steps[high] = steps[high], steps[i]
	}
}

// ramp is the severities of a gradual stream: 1 to the largest and back, the largest once.
func ramp(most int) []int {
	var all []int
	for s := 1; s <= most; s++ {
		all = append(all, s)
	}
	for s := most - 1; s >= 1; s-- {
		all = append(all, s)
	}
	return all
}

// The severities of a gradual stream go to the largest that there is unless it says otherwise.
const mostSeverity = corrupt.Severities

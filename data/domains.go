package data

import (
	"slices"
	"strings"
)

// Domains is the source "domains": several sets of one shape and the same classes, one after the other, each a domain.
type Domains struct {
	Sets  []Choice `json:"sets"`  // at least one
	Names []string `json:"names"` // of the domains; empty = the names of the sets
}

var _ Source = Domains{}

// NewDomains returns a source whose sets have yet to be said.
func NewDomains() Domains { return Domains{} }

// Open opens that part of each set.
func (d Domains) Open(part string) (Dataset, error) {
	if len(d.Sets) == 0 {
		return nil, usage("data: domains: there is no set; list them under sets")
	}
	var sets []Dataset
	for _, s := range d.Sets {
		set, err := s.open("domains", part)
		if err != nil {
			return nil, err
		}
		sets = append(sets, set)
	}
	return joinDomains(sets, d.Names)
}

// Join is the preparation "domains": it joins other sets to the one of the run, which is the first domain. All parts get it: of a set
// that is tested on, the same part of the others is opened.
type Join struct {
	With  []Choice `json:"with"`  // the other sets, at least one
	Names []string `json:"names"` // of the domains, the run's own first; empty = the names of the sets
}

var _ Preparation = Join{}

// NewJoin returns a preparation whose sets have yet to be said.
func NewJoin() Join { return Join{} }

// Reach is ReachAll.
func (Join) Reach() Reach { return ReachAll }

// Prepare opens the others and puts them behind p's. Their examples have weight 1.
func (j Join) Prepare(p Prepared, _ uint64) (Prepared, error) {
	if len(j.With) == 0 {
		return p, usage("domains: there is no other set; list them under with")
	}
	part := p.Set.Info().Part
	if !slices.Contains(parts, part) {
		part = "all" // folders and arrays have no parts
	}
	sets := []Dataset{p.Set}
	for _, w := range j.With {
		set, err := w.open("domains", part)
		if err != nil {
			return p, err
		}
		sets = append(sets, set)
	}
	joined, err := joinDomains(sets, j.Names)
	if err != nil {
		return p, err
	}

	rest := Labels(joined)[len(p.Labels):]
	p.Set, p.Labels, p.True = joined, slices.Concat(p.Labels, rest), slices.Concat(p.True, rest)
	if p.Weights != nil {
		p.Weights = slices.Concat(p.Weights, slices.Repeat([]float32{1}, len(rest)))
	}
	return p, nil
}

// joined is sets one after the other.
type joined struct {
	sets    []Dataset
	starts  []int // of each set, and the number of examples
	info    Info
	domains []string
}

func joinDomains(sets []Dataset, names []string) (*joined, error) {
	first := sets[0].Info()
	j := &joined{sets: sets, info: first, starts: []int{0}, domains: names}
	var all, sums []string
	for _, s := range sets {
		info := s.Info()
		if !slices.Equal(info.Shape, first.Shape) {
			return nil, usage("data: domains: an example of %s is %v, one of %s %v; make them alike first",
				first.Name, first.Shape, info.Name, info.Shape)
		}
		if !slices.Equal(info.Classes, first.Classes) {
			return nil, usage("data: domains: %s and %s have different classes; join sets of the same",
				first.Name, info.Name)
		}
		all, sums = append(all, info.Name), append(sums, info.Checksum)
		j.starts = append(j.starts, j.starts[len(j.starts)-1]+s.Len())
		j.info.Images = j.info.Images && info.Images
	}
	if len(names) == 0 {
		j.domains = all
	}
	if len(j.domains) != len(sets) {
		return nil, usage("data: domains: there are %d names for %d sets; give one each, or none",
			len(j.domains), len(sets))
	}
	j.info.Name, j.info.Examples = strings.Join(all, "+"), j.starts[len(sets)]
	j.info.Checksum = ""
	if !slices.Contains(sums, "") {
		j.info.Checksum = derived(sums[0], "joined "+strings.Join(sums[1:], " "))
	}
	return j, nil
}

// at is the set of an example, and its place there.
func (j *joined) at(i int) (set, place int) {
	set, found := slices.BinarySearch(j.starts, i)
	if !found {
		set--
	}
	for j.starts[set+1] == j.starts[set] { // an empty set begins where the next one does
		set++
	}
	return set, i - j.starts[set]
}

func (j *joined) Info() Info        { return j.info }
func (j *joined) Len() int          { return j.info.Examples }
func (j *joined) Domains() []string { return j.domains }

func (j *joined) Domain(i int) int32 {
	set, _ := j.at(i)
	return int32(set)
}

func (j *joined) Label(i int) int32 {
	set, place := j.at(i)
	return j.sets[set].Label(place)
}

func (j *joined) Read(i int, dst []float32) error {
	set, place := j.at(i)
	return j.sets[set].Read(place, dst)
}

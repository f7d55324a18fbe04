// Package sample chooses the examples of each update: an order, classes in proportion, sources, episodes, and test-time streams.
//
// A sampler is a plain value. Its result depends only on its arguments: the rows, the batch, the number of updates, the seed and the
// epoch.
package sample

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/bits"
	"math/rand/v2"
	"slices"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/choice"
	"github.com/ballast-ml/ballast/own"
)

// Rows is what a sampler may know of a set.
type Rows struct {
	N       int     // examples
	Labels  []int32 // [N]; nil where there are none
	Domains []int32 // [N]; nil where there are none
}

// RowsOf is what a sampler may know of a set with these labels.
func RowsOf(ds data.Dataset, labels []int32) Rows {
	return Rows{N: ds.Len(), Labels: labels, Domains: data.DomainsOf(ds)}
}

// Padding is the place of no example. It comes at the end of an update, after all examples.
const Padding = -1

// Sampler says which examples each update of an epoch sees.
type Sampler interface {
	// Epoch returns updates x batch places of r, update after update, Padding where there is none. Errors if the rows lack what the
	// sampler goes by or are too few.
	Epoch(r Rows, batch, updates int, seed uint64, epoch int) ([]int32, error)

	// Distinct reports whether no example is twice in one update, whatever the rows.
	Distinct() bool
}

// Kind is a sampler that can be chosen by name: its Name, and New, which returns it with its defaults.
type Kind = choice.Kind[Sampler]

// All is every sampler that has a name, with its defaults.
func All() []Kind {
	return []Kind{
		{Name: "shuffle", New: func() Sampler { return NewShuffle() }},
		{Name: "balanced", New: func() Sampler { return NewBalanced() }},
		{Name: "pk", New: func() Sampler { return NewPK() }},
		{Name: "mixture", New: func() Sampler { return NewMixture() }},
		{Name: "by-source", New: func() Sampler { return NewBySource() }},
		{Name: "episode", New: func() Sampler { return NewEpisode() }},
		{Name: "sorted", New: func() Sampler { return NewSorted() }},
		{Name: "dirichlet", New: func() Sampler { return NewDirichlet() }},
		{Name: "gradual", New: func() Sampler { return NewGradual() }},
	}
}

// Choice is a sampler chosen by name in a recipe: "shuffle", or {"name": "pk", "classes": 16, "members": 6}.
type Choice struct{ Sampler }

// MarshalJSON writes the name and the options.
func (c Choice) MarshalJSON() ([]byte, error) { return choice.Encode("sampler", All(), c.Sampler) }

// UnmarshalJSON reads a name, or a name with options; an unknown name or option is an error that names the nearest.
func (c *Choice) UnmarshalJSON(b []byte) error { return c.UnmarshalOwn(b, nil) }

// UnmarshalOwn is UnmarshalJSON where names may be a program's own.
func (c *Choice) UnmarshalOwn(b []byte, r own.Registry) (err error) {
	c.Sampler, err = choice.Decode("sampler", All(), b, r)
	return err
}

// Name returns the name a sampler has in All, or its Go type.
func Name(s Sampler) string { return choice.NameOf(All(), s) }

// wrong is an error of a sampler used wrongly.
func wrong(who, format string, a ...any) error {
	return &fault.Usage{Err: fmt.Errorf("sample: "+who+": "+format, a...)}
}

// check refuses what no sampler can do, and rows without what one needs.
func check(who string, r Rows, batch, updates int, labels, domains bool) error {
	switch {
	case batch < 1 || updates < 1:
		return wrong(who, "%d updates of %d examples; use at least 1 of each", updates, batch)
	case r.N < 1:
		return wrong(who, "the set is empty; give it examples")
	case r.Labels != nil && len(r.Labels) != r.N:
		return wrong(who, "there are %d labels for %d examples; give one each", len(r.Labels), r.N)
	case r.Domains != nil && len(r.Domains) != r.N:
		return wrong(who, "there are %d domains for %d examples; give one each", len(r.Domains), r.N)
	case labels && r.Labels == nil:
		return wrong(who, "the examples have no labels; use a set with classes, or another sampler")
	case domains && r.Domains == nil:
		return wrong(who, "the examples have no domains; join sets with prepare: [{name: domains}], or use another sampler")
	}
	return nil
}

// group is the examples with one label, or of one domain.
type group struct {
	key    int32
	places []int32
}

// groups puts places together by their keys, in ascending order of the keys.
func groups(keys []int32, places []int32) []group {
	var all []group
	at := map[int32]int{}
	for _, p := range places {
		k, ok := at[keys[p]]
		if !ok {
			k = len(all)
			at[keys[p]] = k
			all = append(all, group{key: keys[p]})
		}
		all[k].places = append(all[k].places, p)
	}
	slices.SortFunc(all, func(a, b group) int { return cmp.Compare(a.key, b.key) })
	return all
}

// ascending is 0 to n-1.
func ascending(n int) []int32 {
	places := make([]int32, n)
	for i := range places {
		places[i] = int32(i)
	}
	return places
}

// random is a stream of random numbers for one purpose in one epoch.
type random struct{ *rand.PCG }

func newRandom(seed uint64, purpose string, epoch int) random {
	h := fnv.New64a()
	h.Write([]byte(purpose))
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(epoch))
	h.Write(b[:])
	return random{rand.NewPCG(seed, h.Sum64())}
}

// below draws a number in [0, n) with a bias under n/2^64.
func (r random) below(n int) int {
	high, _ := bits.Mul64(r.Uint64(), uint64(n))
	return int(high)
}

// unit draws from (0, 1).
func (r random) unit() float64 { return (float64(r.Uint64()>>11) + 0.5) / (1 << 53) }

// shuffle puts places in random order.
func (r random) shuffle(places []int32) {
	for i := len(places) - 1; i > 0; i-- {
		j := r.below(i + 1)
		places[i], places[j] = places[j], places[i]
	}
}

// deck deals items in random order, all of them before one comes again, and none twice in one hand of at most as many as there are.
type deck struct {
	items []int32
	left  []int32 // yet to be dealt; the next one is the last
	r     random
}

func newDeck(items []int32, r random) *deck { return &deck{items: items, r: r} }

// hand deals n items that differ, if there are so many.
func (d *deck) hand(n int) []int32 {
	var hand []int32
	for len(hand) < n {
		if len(d.left) > 0 {
			last := len(d.left) - 1
			hand = append(hand, d.left[last])
			d.left = d.left[:last]
			continue
		}
		d.left = slices.Clone(d.items)
		d.r.shuffle(d.left)
		// What this hand holds already waits at the bottom, to be dealt last.
		if n <= len(d.items) {
			slices.SortStableFunc(d.left, func(a, b int32) int {
				return cmp.Compare(held(hand, b), held(hand, a))
			})
		}
	}
	return hand
}

func held(hand []int32, item int32) int {
	if slices.Contains(hand, item) {
		return 1
	}
	return 0
}

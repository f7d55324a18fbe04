package merge

import (
	"math"
	"sync"
)

// places finds which values of at least 0 stand at given places of the ascending order, exactly and in two passes: their bits, which order them,
// are counted by the upper half, then by the lower half where the upper one is that of the wanted value.
type places struct {
	mu    sync.Mutex
	all   []place
	first *[1 << 16]int // of upper halves
}

type place struct {
	left   int           // how many values of the upper half, then of those bits, come before
	upper  uint32        // upper half of the bits
	lower  *[1 << 16]int // counts of lower halves
	answer uint32
}

// The passes of places, and the bytes that it takes beside the blocks.
const (
	placesPasses  = 2
	placesScratch = 4 << 20
)

func newPlaces(at ...int) *places {
	p := &places{first: new([1 << 16]int)}
	for _, k := range at {
		p.all = append(p.all, place{left: k})
	}
	return p
}

// scan sees values.
func (p *places) scan(pass int, x []float32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if pass == 0 {
		for _, v := range x {
			p.first[math.Float32bits(v)>>16]++
		}
		return
	}
	for i := range p.all {
		q := &p.all[i]
		for _, v := range x {
			if b := math.Float32bits(v); b>>16 == q.upper {
				q.lower[b&0xffff]++
			}
		}
	}
}

// scanned ends a pass.
func (p *places) scanned(pass int) {
	for i := range p.all {
		q := &p.all[i]
		if pass == 0 {
			q.upper = q.find(p.first)
			q.lower = new([1 << 16]int)
			continue
		}
		q.answer = q.upper<<16 | q.find(q.lower)
	}
}

// find returns the half in which the place lies.
func (q *place) find(counts *[1 << 16]int) uint32 {
	for half, n := range counts {
		if q.left < n {
			return uint32(half)
		}
		q.left -= n
	}
	return 0
}

// values are the answers, in the order of the questions.
func (p *places) values() (out []float32) {
	for _, q := range p.all {
		out = append(out, math.Float32frombits(q.answer))
	}
	return out
}

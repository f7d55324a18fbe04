package merge

import (
	"math"

	"github.com/ballast-ml/ballast/internal/vector"
)

// DELLA drops differences from a base at random, small ones more often than large ones, then acts as DARE. Within a row (the last axis; a
// vector is one row) with ranks r = 1 for the smallest |D| to n:
//
//	p = density - epsilon + 2 epsilon (r-1)/(n-1)        the chance to be kept; density where n = 1
//
// A density of 1 keeps all, one of 0 nothing. Of equal magnitudes the one with the lower index has the lower rank. inverse_density divides by p; l1 is as in DARE.
// Source: Deep, Bhardwaj, Poria, "DELLA-Merging: Reducing Interference in Model Merging through Magnitude-Based Sampling", arXiv 2406.11617.
type DELLA struct {
	Weight    []float64 `json:"weight"`    // a model; required
	Density   []float64 `json:"density"`   // a model; more than epsilon away from 0 and 1, or one of the two
	Epsilon   []float64 `json:"epsilon"`   // a model; 0.15
	Rescale   Rescale   `json:"rescale"`   // l1
	Normalize bool      `json:"normalize"` // false; recipes with della: true
	Lambda    float64   `json:"lambda"`    // 1
	Elect     bool      `json:"-"`         // della, else della_linear
}

var _ Method = DELLA{}

// NewDELLA returns the defaults of della_linear.
func NewDELLA() DELLA { return DELLA{Rescale: RescaleL1, Lambda: 1} }

// Start checks weights, densities and epsilons.
func (d DELLA) Start(t Target) (Merger, error) {
	name := "della_linear"
	if d.Elect {
		name = "della"
	}
	c := consensus{weight: d.Weight, elect: d.Elect, normalize: d.Normalize, lambda: d.Lambda}
	if err := c.check(name, t); err != nil {
		return nil, err
	}
	if err := t.densities(name, d.Density); err != nil {
		return nil, err
	}
	if err := t.perModel(name, "epsilon", d.Epsilon); err != nil {
		return nil, err
	}
	for i, e := range d.Epsilon {
		some := d.Density[i] > 0 && d.Density[i] < 1
		if e < 0 || some && (!(d.Density[i]-e > 0) || !(d.Density[i]+e < 1)) {
			return nil, t.wrong(name, "density", "%v and epsilon %v of model %d: density - epsilon must lie above 0 and density + epsilon below 1", d.Density[i], e, i)
		}
	}
	if err := d.Rescale.check(name, t); err != nil {
		return nil, err
	}
	m := &della{dropper: newDropper(t.Models, d.Rescale), c: c, d: d, row: t.Row()}
	for i := range t.Models {
		m.keys = append(m.keys, maskKey(t, i))
	}
	return m, nil
}

// KeepProbabilities puts the chance of each value of a row to be kept into dst.
func (DELLA) KeepProbabilities(dst, row []float32, density, epsilon float64) {
	n := len(row)
	if n == 1 {
		dst[0] = float32(density)
		return
	}
	order := make([]uint64, 2*n)
	for rank, key := range byMagnitude(order[:n], order[n:], row) {
		dst[uint32(key)] = float32(density - epsilon + 2*epsilon*float64(rank)/float64(n-1))
	}
}

// byMagnitude sorts by magnitude, then index: keys are the bits of the magnitude above the index. It is a radix sort by 11, 11 and 9 bits.
func byMagnitude(keys, spare []uint64, x []float32) []uint64 {
	for i, v := range x {
		keys[i] = uint64(math.Float32bits(v)&magnitude)<<32 | uint64(uint32(i))
	}
	for shift := 32; shift < 64; shift += 11 {
		var count [1 << 11]int
		for _, k := range keys {
			count[k>>shift&(1<<11-1)]++
		}
		at := 0
		for i, n := range count {
			count[i] = at
			at += n
		}
		for _, k := range keys {
			digit := k >> shift & (1<<11 - 1)
			spare[count[digit]] = k
			count[digit]++
		}
		keys, spare = spare, keys
	}
	return keys
}

type della struct {
	dropper
	c    consensus
	d    DELLA
	row  int
	keys []uint64
}

func (m *della) WholeRows() bool { return true }

// drop clears values by their rows' ranks.
func (m *della) drop(model, at int, x []float32) {
	switch m.d.Density[model] {
	case 1:
		return
	case 0:
		clear(x)
		return
	}
	p := make([]float32, m.row)
	for from := 0; from < len(x); from += m.row {
		row := x[from : from+m.row]
		m.d.KeepProbabilities(p, row, m.d.Density[model], m.d.Epsilon[model])
		for i := range row {
			switch {
			case float64(draw(m.keys[model], at+from+i)) >= float64(p[i])*(1<<32):
				row[i] = 0
			case m.rescale == RescaleInverseDensity:
				row[i] /= p[i]
			}
		}
	}
}

func (m *della) Scan(_ int, b Block) {
	b.deltas()
	m.scan(b, m.drop)
}

func (m *della) Merge(dst []float32, b Block) {
	b.deltas()
	for i, x := range b.Models {
		m.drop(i, b.At, x)
		if k := float32(m.scale[i]); k != 1 {
			vector.ScaleTo(x, k, x)
		}
	}
	m.c.merge(dst, b)
}

package merge

import (
	"encoding/binary"
	"hash/fnv"
	"math"
)

// maskKey is the number that the draws of a tensor of a model begin with. Draws are a function of seed, tensor, model and element alone: not of
// threads, shards, memory or the order of work.
func maskKey(t Target, model int) uint64 {
	h := fnv.New64a()
	h.Write(binary.LittleEndian.AppendUint64(nil, t.Seed))
	h.Write(binary.LittleEndian.AppendUint64(nil, uint64(t.which(model))))
	h.Write([]byte(t.Name))
	return mix(h.Sum64())
}

const mixFirst, mixSecond = 0xbf58476d1ce4e5b9, 0x94d049bb133111eb

// mix is a bijection of 64 bits in which each bit of the input turns half of the output: the finaliser of SplitMix64 (Steele, Lea, Flood, "Fast
// splittable pseudorandom number generators", OOPSLA 2014).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * mixFirst
	x = (x ^ x>>27) * mixSecond
	return x ^ x>>31
}

// golden is what the draws of two neighbouring pairs of elements are apart before mix: 2^64 over the golden ratio.
const golden = 0x9e3779b97f4a7c15

// draw is the number of an element, uniform in 32 bits. Two neighbours share a call of mix.
func draw(key uint64, element int) uint32 {
	return uint32(mix(key+uint64(element>>1)*golden) >> (element & 1 * 32))
}

// dropRandomly clears each value with the chance 1 - density.
func dropRandomly(x []float32, key uint64, at int, density float64) {
	if density >= 1 || len(x) == 0 {
		return
	}
	limit := uint32(density * (1 << 32))
	i := at & 1
	if i > 0 && draw(key, at) >= limit {
		x[0] = 0
	}
	pairs := (len(x) - i) / 2
	dropPairs(x[i:i+2*pairs], key+uint64((at+i)>>1)*golden, limit)
	if i += 2 * pairs; i < len(x) && draw(key, at+i) >= limit {
		x[i] = 0
	}
}

// dropPairsPlain clears the values whose draws are not below a limit; first is what the draw of the first two is mixed from.
func dropPairsPlain(x []float32, first uint64, limit uint32) {
	for i := 0; i+2 <= len(x); i += 2 {
		m := mix(first)
		first += golden
		x[i] = math.Float32frombits(math.Float32bits(x[i]) & less(uint32(m), limit))
		x[i+1] = math.Float32frombits(math.Float32bits(x[i+1]) & less(uint32(m>>32), limit))
	}
}

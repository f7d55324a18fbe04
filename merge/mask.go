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

// mix is a bijection of 64 bits in which each bit of the input turns half of the output: the finaliser of SplitMix64 (Steele, Lea, Flood, "Fast
// splittable pseudorandom number generators", OOPSLA 2014).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// draw is the number of an element, uniform in 32 bits. Two neighbours share a call of mix.
func draw(key uint64, element int) uint32 {
	return uint32(mix(key+uint64(element>>1)*0x9e3779b97f4a7c15) >> (element & 1 * 32))
}

// dropRandomly clears each value with the chance 1 - density.
func dropRandomly(x []float32, key uint64, at int, density float64) {
	if density >= 1 {
		return
	}
	limit := uint64(density * (1 << 32))
	i := 0
	if at&1 != 0 && len(x) > 0 {
		if uint64(draw(key, at)) >= limit {
			x[0] = 0
		}
		i = 1
	}
	for ; i+2 <= len(x); i += 2 {
		m := mix(key + uint64((at+i)>>1)*0x9e3779b97f4a7c15)
		// All bits where the draw is below the limit, none elsewhere: a branch would be guessed wrong half of the time.
		low, high := uint32((int64(m&0xffffffff)-int64(limit))>>63), uint32((int64(m>>32)-int64(limit))>>63)
		x[i] = math.Float32frombits(math.Float32bits(x[i]) & low)
		x[i+1] = math.Float32frombits(math.Float32bits(x[i+1]) & high)
	}
	if i < len(x) && uint64(draw(key, at+i)) >= limit {
		x[i] = 0
	}
}

package merge

import (
	"math"
	"sync"
)

// ranking finds, for each of several questions, which k values of a model have the largest magnitudes, exactly and in three passes: the
// magnitudes' bits are counted by their upper half, then by the lower half where the upper one is that of the k-th, then equal ones are counted
// block by block. Of equal magnitudes the one with the lower index is the larger.
type ranking struct {
	questions []question
	n         int // values of the tensor

	mu   sync.Mutex
	free [][]*histogram // of goroutines that are not counting
	all  [][]*histogram
}

// question asks for the k largest of a model.
type question struct {
	model, k int

	upper uint32 // upper half of the bits of the k-th largest
	left  int    // how many of that upper half, then of those bits, belong to the k largest
	bits  uint32
	equal []int32 // of each block, how many have these bits
	quota []int32 // of each block, how many of them belong to the k largest
}

// histogram counts halves of magnitudes; two, by turns, so that runs of equal ones do not wait for each other.
type histogram [2][1 << 15]uint32

// rankingScratch is the bytes of histograms that a goroutine needs for each model: a ranking has at most two questions about it.
const rankingScratch = 2 * (2 << 15) * 4

// histograms are empty ones.
var histograms = sync.Pool{New: func() any { return new(histogram) }}

// everything and nothing: whether a question has its answer without counting.
func (q *question) everything(n int) bool { return q.k >= n }
func (q *question) nothing() bool         { return q.k <= 0 }

func (r *ranking) ask(model, k int) { r.questions = append(r.questions, question{model: model, k: k}) }

// rankingPasses is how many passes a ranking takes.
const rankingPasses = 3

// passes is 0 where all questions have their answers.
func (r *ranking) passes() int {
	for i := range r.questions {
		if q := &r.questions[i]; !q.everything(r.n) && !q.nothing() {
			return rankingPasses
		}
	}
	return 0
}

// histograms lends a goroutine one histogram a question.
func (r *ranking) histograms() []*histogram {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.free); n > 0 {
		h := r.free[n-1]
		r.free = r.free[:n-1]
		return h
	}
	h := make([]*histogram, len(r.questions))
	for i := range h {
		h[i] = histograms.Get().(*histogram)
	}
	r.all = append(r.all, h)
	return h
}

func (r *ranking) giveBack(h []*histogram) {
	r.mu.Lock()
	r.free = append(r.free, h)
	r.mu.Unlock()
}

const magnitude = 1<<31 - 1

// scan sees the differences of a block.
func (r *ranking) scan(pass int, b Block) {
	if pass == 2 {
		r.countEqual(b)
		return
	}
	h := r.histograms()
	defer r.giveBack(h)
	for i := range r.questions {
		q := &r.questions[i]
		if q.everything(r.n) || q.nothing() {
			continue
		}
		x := b.Models[q.model]
		if pass == 0 {
			if i > 0 && r.questions[i-1].model == q.model && !r.questions[i-1].nothing() && !r.questions[i-1].everything(r.n) {
				continue // the same counts as for the question before
			}
			even, odd := &h[i][0], &h[i][1]
			j := 0
			for ; j+2 <= len(x); j += 2 {
				even[math.Float32bits(x[j])&magnitude>>16]++
				odd[math.Float32bits(x[j+1])&magnitude>>16]++
			}
			if j < len(x) {
				even[math.Float32bits(x[j])&magnitude>>16]++
			}
			continue
		}
		countUpper(h[i], x, q.upper)
	}
}

// countUpperPlain counts lower halves, 16 bits in two tables of 15, of magnitudes with an upper half.
func countUpperPlain(h *histogram, x []float32, upper uint32) {
	for _, v := range x {
		if m := math.Float32bits(v) & magnitude; m>>16 == upper {
			h[m>>15&1][m&0x7fff]++
		}
	}
}

func (r *ranking) countEqual(b Block) {
	for i := range r.questions {
		q := &r.questions[i]
		if q.everything(r.n) || q.nothing() {
			continue
		}
		n := int32(countEqual(b.Models[q.model], q.bits))
		r.mu.Lock()
		for len(q.equal) <= b.Index {
			q.equal = append(q.equal, 0)
		}
		q.equal[b.Index] = n
		r.mu.Unlock()
	}
}

// scanned ends a pass.
func (r *ranking) scanned(pass int) {
	for i := range r.questions {
		q := &r.questions[i]
		if q.everything(r.n) || q.nothing() {
			continue
		}
		switch pass {
		case 0:
			of := i
			for of > 0 && r.questions[of-1].model == q.model && !r.questions[of-1].nothing() && !r.questions[of-1].everything(r.n) {
				of--
			}
			q.left = q.k
			for half := 1<<15 - 1; half >= 0; half-- {
				n := 0
				for _, h := range r.all {
					n += int(h[of][0][half]) + int(h[of][1][half])
				}
				if n >= q.left {
					q.upper = uint32(half)
					break
				}
				q.left -= n
			}
		case 1:
			for half := 1<<16 - 1; half >= 0; half-- {
				n := 0
				for _, h := range r.all {
					n += int(h[i][half>>15][half&0x7fff])
				}
				if n >= q.left {
					q.bits = q.upper<<16 | uint32(half)
					break
				}
				q.left -= n
			}
		case 2:
			q.quota = make([]int32, len(q.equal))
			left := q.left
			for b, n := range q.equal {
				q.quota[b] = int32(min(left, int(n)))
				left -= int(q.quota[b])
			}
		}
	}

	for _, list := range r.all {
		for _, h := range list {
			*h = histogram{}
			if pass == 1 {
				histograms.Put(h)
			}
		}
	}

	if pass == 1 {
		r.all, r.free = nil, nil
	}
}

// threshold is, for a block, from which bits on a magnitude belongs to the k largest, and how many of those equal to it do; all of them where
// it is negative.
func (q *question) threshold(n, block int) (bits uint32, quota int32) {
	switch {
	case q.everything(n):
		return 0, -1
	case q.nothing():
		return math.MaxUint32, 0
	case q.quota[block] == q.equal[block]:
		return q.bits, -1
	case q.quota[block] == 0:
		return q.bits + 1, -1
	}
	return q.bits, q.quota[block]
}

// keep clears what does not belong to the k largest.
func (q *question) keep(x []float32, n, block int) {
	bits, quota := q.threshold(n, block)
	if quota < 0 {
		if bits > 0 {
			clearBelow(x, bits)
		}
		return
	}
	for i, v := range x {
		m := math.Float32bits(v) & magnitude
		if m < bits {
			x[i] = 0
		} else if m == bits {
			if quota == 0 {
				x[i] = 0
			} else {
				quota--
			}
		}
	}
}

// drop clears what belongs to the k largest.
func (q *question) drop(x []float32, n, block int) {
	bits, quota := q.threshold(n, block)
	for i, v := range x {
		m := math.Float32bits(v) & magnitude
		if m > bits {
			x[i] = 0
		} else if m == bits && quota != 0 {
			x[i] = 0
			quota--
		}
	}
}

package checkpoint

import (
	"fmt"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/merge"
)

// source is where blocks of a tensor come from.
type source struct {
	t       *planned
	readers []*reader // each once: the base may be one of the models
	base    int       // -1 = none
	models  []int
	length  int
	n       int
	cached  bool // raw bytes stay in memory between passes
	cache   []byte
	at      []int64 // of each reader in the cache
}

// blocks is the number of blocks of the tensor.
func (s *source) blocks() int { return (s.n + s.length - 1) / s.length }

// bounds are the elements [from, to) of block k.
func (s *source) bounds(k int) (from, to int) { return k * s.length, min((k+1)*s.length, s.n) }

func (e *execution) source(t *planned, merger merge.Merger, n, length int) *source {
	s := &source{t: t, base: -1, length: length, n: n}
	add := func(r *reader) int {
		s.readers = append(s.readers, r)
		return len(s.readers) - 1
	}

	if t.base != nil {
		s.base = add(t.base)
	}
	for _, r := range t.models {
		s.models = append(s.models, add(r))
	}

	if merger.Passes() == 0 {
		return s
	}
	total := int64(0)
	s.cached = true
	for _, r := range s.readers {
		s.at = append(s.at, total)
		s.cached = s.cached && r.plain != "" && r.rows == nil
		total += int64(n) * int64(r.width)
	}

	s.cached = s.cached && total <= int64(len(e.cache))
	s.cache = e.cache
	return s
}

// keepPace tells the hashing of the models that a block is going to be read.
func (e *execution) keepPace(s *source, k int) {
	share := float64(min(s.length, s.n-k*s.length)) / float64(s.n)
	for _, r := range s.readers {
		e.paces[r.in].merge(int64(share * float64(r.info.Bytes)))
	}
}

// worker is the buffers of a goroutine.
type worker struct {
	e      *execution
	values [][]float32
	raw    []byte
	out    []float32
	block  merge.Block
}

func (e *execution) newWorker() *worker {
	b := e.p.budget
	w := &worker{e: e, raw: make([]byte, b.block*4), out: make([]float32, b.block)}
	for range b.readers {
		w.values = append(w.values, make([]float32, b.block))
	}
	return w
}

// load reads a block of all models. The first time its values are checked.
func (w *worker) load(s *source, k int, first bool) (merge.Block, error) {
	from, to := s.bounds(k)
	for i, r := range s.readers {
		dst := w.values[i][:to-from]
		if s.cached {
			raw := s.cache[s.at[i]+int64(from*r.width) : s.at[i]+int64(to*r.width)]
			if first {
				if err := r.in.file.ReadBytes(r.info.Name, int64(from)*int64(r.width), raw); err != nil {
					return merge.Block{}, err
				}
			}
			weights.Decode(dst, r.plain, raw)
		} else if err := r.read(dst, from, w.raw); err != nil {
			return merge.Block{}, err
		}
		if first && !weights.AllFinite(dst) {
			return merge.Block{}, w.notFinite(r, s)
		}
	}
	return w.arrange(s, k), nil
}

func (w *worker) arrange(s *source, k int) merge.Block {
	from, to := s.bounds(k)
	w.block.Index, w.block.At, w.block.Base, w.block.Models = k, from, nil, w.block.Models[:0]
	if s.base >= 0 {
		w.block.Base = w.values[s.base][:to-from]
	}
	for _, m := range s.models {
		w.block.Models = append(w.block.Models, w.values[m][:to-from])
	}
	return w.block
}

// empty is a block of zeros, in place of one that could not be read.
func (w *worker) empty(s *source, k int) merge.Block {
	for i := range s.readers {
		clear(w.values[i])
	}
	return w.arrange(s, k)
}

// notFinite counts what is not finite in a tensor of a model.
func (w *worker) notFinite(r *reader, s *source) error {
	n, first := 0, -1
	for from := 0; from < s.n; from += s.length {
		dst := w.values[0][:min(s.length, s.n-from)]
		if err := r.read(dst, from, w.raw); err != nil {
			return err
		}
		for i, v := range dst {
			if v-v != 0 {
				if n++; first < 0 {
					first = from + i
				}
			}
		}
	}
	return &fault.Input{
		File: r.in.Path, Field: r.info.Name, Err: fmt.Errorf("%d of %d values are infinite or NaN, the first is element %d", n, s.n, first),
		Fix: "leave this model out, or get it again",
	}
}

package checkpoint

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/merge"
)

// wideType is the type whose values float32 does not hold.
const wideType = "F64"

// wideMerge merges a tensor of float64 in float64: sums of models times coefficients, which are found in float32 where they depend on values.
type wideMerge struct {
	t       *planned
	readers []*reader
	c       []float64
}

// wide is how a tensor of float64 is merged, nil for other tensors and for methods that do more than sums. The passes of the merger are done.
func (t *planned) wide(merger merge.Merger) *wideMerge {
	combiner, ok := merger.(merge.Combiner)
	if !ok || t.typ != wideType {
		return nil
	}
	w := &wideMerge{t: t, readers: t.models}
	models, base := combiner.Combination()
	w.c = append(w.c, models...)
	if t.base != nil {
		w.readers, w.c = append(w.readers[:len(w.readers):len(w.readers)], t.base), append(w.c, base)
	}
	return w
}

// merge writes the elements [from, to) of the tensor.
func (w *wideMerge) merge(dst []byte, from, to int) error {
	sums, values := make([]float64, to-from), make([]float64, to-from)
	for k, r := range w.readers {
		if w.c[k] == 0 {
			continue
		}
		if err := r.readWide(values, from); err != nil {
			return err
		}
		for i, v := range values {
			sums[i] += float64(w.c[k] * v) // rounded once more: the same on all machines
		}
	}
	for i, v := range sums {
		if v-v != 0 {
			return &fault.Input{Field: w.t.name, Err: fmt.Errorf("merged value %d is infinite or NaN", from+i), Fix: "make weights, lambda or the parameters that scale smaller"}
		}
		binary.LittleEndian.PutUint64(dst[8*i:], math.Float64bits(v))
	}
	return nil
}

// readWide decodes elements from at on, those of float64 whole. Rows of embeddings that tokens are matched by come by way of float32.
func (r *reader) readWide(dst []float64, at int) error {
	if r.rows == nil && r.info.BlockBytes == 8 && r.info.Block == 1 && elementType(r.info.Type) == wideType {
		raw := make([]byte, 8*len(dst))
		if err := r.in.file.ReadBytes(r.info.Name, 8*int64(at), raw); err != nil {
			return err
		}
		for i := range dst {
			dst[i] = math.Float64frombits(binary.LittleEndian.Uint64(raw[8*i:]))
		}
		return nil
	}
	narrow := make([]float32, len(dst))
	if err := r.read(narrow, at, make([]byte, 4*len(dst))); err != nil {
		return err
	}
	for i, v := range narrow {
		dst[i] = float64(v)
	}
	return nil
}

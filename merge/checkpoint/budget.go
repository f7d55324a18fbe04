package checkpoint

import (
	"fmt"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/merge"
)

// budget is how the memory of a merge is dealt out.
type budget struct {
	block   int   // elements of the largest block
	readers int   // most tensors read for one
	workers int   // goroutines that merge
	widest  int   // bytes of an element of the output
	slots   int   // blocks that are merged and not yet written
	cache   int64 // bytes of inputs kept between the passes over a tensor
}

const (
	// Taken by the program, its stacks, file tables, and what is not worth counting.
	programMemory = 40 << 20
	copyBuffer    = 256 << 10
)

// plan deals the memory: blocks of the workers, blocks that wait to be written, and what is left keeps inputs from being read twice.
func (p *Plan) plan() error {
	b := budget{workers: p.options.Threads + 1, block: merge.BlockElements, widest: 4}
	passes, scratch := 0, int64(0)
	largest := int64(0) // bytes that the cache could use
	wide := int64(0)    // bytes of an element that is merged in float64
	for _, t := range p.tensors {
		if t.whole {
			continue
		}
		merger, err := t.method.Start(t.target)
		if err != nil {
			return err
		}
		b.block = max(b.block, min(t.target.BlockLength(merger.WholeRows()), t.target.Elements()))
		b.readers = max(b.readers, len(t.all()))
		b.widest = max(b.widest, t.width())
		if t.typ == wideType {
			wide = 3 * 8 // sums, values and their bytes
			if _, exact := merger.(merge.Combiner); !exact {
				p.note("%s merges in float32: values of float64 have its 24 bits", p.Method.Name)
			}
		}
		passes = max(passes, merger.Passes())
		if s, ok := merger.(merge.Scratcher); ok {
			scratch = max(scratch, s.Scratch())
		}
		if merger.Passes() > 0 {
			bytes := int64(0)
			for _, r := range t.all() {
				bytes += int64(t.target.Elements()) * int64(r.width)
			}
			largest = max(largest, bytes)
		}
	}

	worker := func() int64 {
		n := int64(b.block) * 4 * int64(2*b.readers+3) // decoded values, their bytes, the result, and room for what methods need
		return n + int64(b.readers)*scratch + int64(b.block)*wide
	}

	slot := int64(b.block) * int64(b.widest)
	b.slots = 4 * b.workers
	need := func() int64 {
		return programMemory + int64(b.workers)*worker() + int64(b.slots)*slot + int64(len(p.Inputs)+1)*copyBuffer
	}

	for need() > p.options.Memory && b.workers > 1 {
		b.workers--
		b.slots = 2 * b.workers
	}

	if need() > p.options.Memory {
		return &fault.Input{
			Field: "memory", Err: fmt.Errorf("%d bytes are allowed; %s of %d models with rows of up to %d values needs %d", p.options.Memory, p.Method.Name, b.readers, b.block, need()),
			Fix: "allow as much",
		}
	}

	if passes > 0 {
		b.cache = min(largest, p.options.Memory-need())
	}
	p.budget, p.Memory = b, need()+b.cache
	return nil
}

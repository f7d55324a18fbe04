package checkpoint

import (
	"context"
	"fmt"
	"math"
	"sync"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/merge"
)

// dispatcher hands out the work of an execution to its workers, in the order of the output.
type dispatcher struct {
	*execution
	jobs   chan<- func(*worker)
	number int // of the next block of the output
}

// dispatch hands out all tensors that no earlier run has finished.
func (e *execution) dispatch(jobs chan<- func(*worker)) error {
	d := &dispatcher{execution: e, jobs: jobs}
	for i := e.done; i < len(e.p.tensors); i++ {
		t := e.p.tensors[i]
		work := d.merge
		if t.whole || t.bytes == 0 {
			work = d.copy
		}
		if err := work(i, t); err != nil {
			return err
		}
	}
	return nil
}

// send gives a job to the next free worker.
func (d *dispatcher) send(job func(*worker)) error {
	select {
	case d.jobs <- job:
		return nil
	case <-d.ctx.Done():
		return context.Cause(d.ctx)
	}
}

// emit sends the job that makes the next block of the output, of length bytes of tensor i. wait counts it until it is made.
func (d *dispatcher) emit(i, length int, last bool, wait *sync.WaitGroup, work func(w *worker, dst []byte) error) error {
	var slot []byte
	select {
	case slot = <-d.slots:
	case <-d.ctx.Done():
		return context.Cause(d.ctx)
	}
	r := result{number: d.number, tensor: i, last: last, data: slot[:length]}
	d.number++

	wait.Add(1)
	err := d.send(func(w *worker) {
		defer wait.Done()
		if err := work(w, r.data); err != nil {
			d.fail(err)
			return
		}
		d.results <- r // has room for all slots
	})
	if err != nil {
		wait.Done()
	}
	return err
}

// copy hands out a tensor whose bytes are copied.
func (d *dispatcher) copy(i int, t *planned) error {
	var copying sync.WaitGroup
	step := int64(merge.BlockElements * 4)
	for at := int64(0); at < max(1, t.bytes); at += step {
		n := min(step, t.bytes-at)
		for _, r := range t.all() {
			d.paces[r.in].merge(n)
		}
		if err := d.emit(i, int(n), at+n == t.bytes, &copying, func(_ *worker, dst []byte) error { return t.copyBytes(dst, at) }); err != nil {
			return err
		}
	}
	return nil
}

// merge hands out a tensor: its passes one after the other, then its merged blocks.
func (d *dispatcher) merge(i int, t *planned) error {
	merger, err := t.method.Start(t.target)
	if err != nil {
		return err
	}
	length := t.target.BlockLength(merger.WholeRows())
	src := d.source(t, merger, t.target.Elements(), length)

	for pass := range merger.Passes() {
		if err := d.scan(merger, src, pass); err != nil {
			return err
		}
	}
	d.noteTensor(t, merger.Notes())

	wide := t.wide(merger)
	var merging sync.WaitGroup
	for k := range src.blocks() {
		if merger.Passes() == 0 {
			d.keepPace(src, k)
		}
		from, to := src.bounds(k)
		err := d.emit(i, (to-from)*t.width(), k == src.blocks()-1, &merging, func(w *worker, dst []byte) error {
			b, err := w.load(src, k, merger.Passes() == 0)
			if err != nil {
				return err
			}
			if wide != nil {
				return wide.merge(dst, from, to)
			}
			out := w.out[:to-from]
			merger.Merge(out, b)
			return d.round(t, dst, out)
		})
		if err != nil {
			merging.Wait()
			return err
		}
	}
	if src.cached {
		merging.Wait() // the next tensor takes the cache
	}
	return nil
}

// scan hands out the blocks of one pass, and ends it when all are done.
func (d *dispatcher) scan(merger merge.Merger, src *source, pass int) error {
	var scanning sync.WaitGroup
	for k := range src.blocks() {
		if pass == 0 {
			d.keepPace(src, k)
		}
		scanning.Add(1)
		err := d.send(func(w *worker) {
			defer scanning.Done()
			b, err := w.load(src, k, pass == 0)
			if err != nil {
				d.fail(err)
				b = w.empty(src, k) // others wait for this block's turn
			}
			merger.Scan(pass, b)
		})
		if err != nil {
			scanning.Done()
			scanning.Wait()
			return err
		}
	}

	scanning.Wait()
	if d.ctx.Err() != nil {
		return context.Cause(d.ctx)
	}
	return merger.Scanned(pass)
}

func (e *execution) noteTensor(t *planned, notes []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, note := range notes {
		e.notes = append(e.notes, fmt.Sprintf("tensor %s: %s", t.name, note))
	}
}

// round checks merged values and writes them in the type of the output.
func (e *execution) round(t *planned, dst []byte, out []float32) error {
	if !weights.AllFinite(out) {
		n := 0
		for _, v := range out {
			if v-v != 0 {
				n++
			}
		}
		return &fault.Input{Field: t.name, Err: fmt.Errorf("%d merged values of a block are infinite or NaN in float32", n), Fix: "make weights, lambda or the parameters that scale smaller"}
	}

	overflowed, err := weights.Round(dst, t.typ, out)
	if err != nil || overflowed == 0 {
		return err
	}
	if !e.p.options.Saturate {
		return &fault.Input{Field: t.name, Err: fmt.Errorf("%d merged values of a block are too large for %s", overflowed, t.typ), Fix: "use bfloat16 or float32, or let them saturate"}
	}
	e.saturated.Add(int64(overflowed))
	largest := float32(65504)
	if t.typ == "BF16" {
		largest = math.Float32frombits(0x7f7f0000)
	}
	for i, v := range out {
		out[i] = min(largest, max(-largest, v))
	}

	_, err = weights.Round(dst, t.typ, out)
	return err
}

// copyBytes copies a tensor that cannot be merged; it must be the same in all models, unless the first alone counts.
func (t *planned) copyBytes(dst []byte, at int64) error {
	readers := t.all()
	if t.first {
		readers = readers[:1]
	}
	other := make([]byte, len(dst))
	for i, r := range readers {
		into := dst
		if i > 0 {
			into = other
		}
		if err := r.in.file.ReadBytes(r.info.Name, at, into); err != nil {
			return err
		}
		if i > 0 && string(other) != string(dst) {
			return &fault.Input{
				File: r.in.Path, Field: t.name, Err: fmt.Errorf("it differs from that of %s, and tensors of type %s are not merged", t.all()[0].in.Path, r.info.Type),
				Fix: "merge models that have it in common",
			}
		}
	}
	return nil
}

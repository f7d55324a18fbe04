package data

import (
	"context"
	"fmt"
	"io"
	"sync"
)

// Batch is a number of examples. Index holds their places in the data set, the same in every epoch.
type Batch struct {
	Index  []int32
	X      []float32 // N examples, row-major
	Labels []int32
	N      int
}

// Reader deals a data set into batches in a given order. Workers read examples ahead at the same time; what comes out does
// not depend on how many there are.
type Reader struct {
	batches chan pending
	stop    context.CancelFunc
	wg      sync.WaitGroup
	buffers sync.Pool
	turn    *pending // the batch that Next waits for
	failed  error
}

// pending is a batch being read.
type pending struct{ done chan result }

type result struct {
	batch Batch
	err   error
}

// NewReader starts reading the examples of order, places in ds, in batches of the given size. dropLast leaves out a last
// batch that is smaller. At most 2 workers + 1 batches are in memory. Close it when it is not read to the end.
func NewReader(ds Dataset, order []int32, batch, workers int, dropLast bool) *Reader {
	ctx, stop := context.WithCancel(context.Background())
	workers = max(workers, 1)
	r := &Reader{batches: make(chan pending, workers), stop: stop}
	if batch < 1 {
		r.failed = fmt.Errorf("data: NewReader: batches of %d examples; use at least 1", batch)
		order = nil
	}
	type job struct {
		order []int32
		done  chan result
	}
	jobs := make(chan job)
	for range workers {
		r.wg.Go(func() {
			for j := range jobs {
				b, err := r.read(ds, j.order)
				j.done <- result{b, err}
			}
		})
	}
	r.wg.Go(func() {
		defer close(r.batches)
		defer close(jobs)
		for from := 0; from < len(order); from += batch {
			part := order[from:min(from+batch, len(order))]
			if dropLast && len(part) < batch {
				return
			}
			done := make(chan result, 1)
			select {
			case r.batches <- pending{done}: // the place in line comes first, so that batches come out in order
			case <-ctx.Done():
				return
			}
			select {
			case jobs <- job{part, done}:
			case <-ctx.Done():
				done <- result{err: ctx.Err()}
				return
			}
		}
	})
	return r
}

// Next returns the next batch, or io.EOF after the last. An error of an example comes in its batch's turn, and again after.
func (r *Reader) Next(ctx context.Context) (Batch, error) {
	if r.failed != nil {
		return Batch{}, r.failed
	}
	if r.turn == nil {
		select {
		case p, ok := <-r.batches:
			if !ok {
				r.failed = io.EOF
				return Batch{}, io.EOF
			}
			r.turn = &p
		case <-ctx.Done():
			return Batch{}, context.Cause(ctx)
		}
	}
	select {
	case done := <-r.turn.done:
		r.turn, r.failed = nil, done.err
		return done.batch, done.err
	case <-ctx.Done():
		return Batch{}, context.Cause(ctx) // and the batch stays the next one
	}
}

// Recycle gives a batch's memory back for later batches. The batch must not be used any more.
func (r *Reader) Recycle(b Batch) { r.buffers.Put(&b) }

// Close stops the workers and waits for them. After it Next returns io.EOF or the error that came before.
func (r *Reader) Close() {
	r.stop()
	for range r.batches { //nolint:revive // drain, so that nobody waits to hand over
	}
	r.wg.Wait()
	if r.failed == nil {
		r.failed = io.EOF
	}
}

func (r *Reader) read(ds Dataset, order []int32) (Batch, error) {
	size := ds.Info().Size()
	var b Batch
	if old, ok := r.buffers.Get().(*Batch); ok && cap(old.X) >= len(order)*size && cap(old.Index) >= len(order) {
		b = Batch{Index: old.Index[:len(order)], X: old.X[:len(order)*size], Labels: old.Labels[:len(order)]}
	} else {
		b = Batch{Index: make([]int32, len(order)), X: make([]float32, len(order)*size), Labels: make([]int32, len(order))}
	}
	b.N = len(order)
	indexed, _ := ds.(Indexed)
	for k, i := range order {
		if i < 0 || int(i) >= ds.Len() {
			return Batch{}, fmt.Errorf("data: the order names example %d, the set has %d", i, ds.Len())
		}
		b.Index[k] = i
		if indexed != nil {
			b.Index[k] = indexed.StableIndex(int(i))
		}
		b.Labels[k] = ds.Label(int(i))
		if err := ds.Read(int(i), b.X[k*size:(k+1)*size]); err != nil {
			return Batch{}, fmt.Errorf("data: example %d: %w", i, err)
		}
	}
	return b, nil
}

package gguf

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// share is about how many elements a goroutine takes at a time: a multiple of every block.
const share = 32 << 10

// EncodeParallel is Encode on all processors.
func EncodeParallel(t Type, dst []byte, src []float32) error {
	elements, size := t.Block()
	if elements == 0 || len(src) <= share || len(src)%elements != 0 || len(dst) != len(src)/elements*size {
		return Encode(t, dst, src)
	}
	return inParallel(len(src), func(begin, end int) error {
		return encode(t, dst[begin/elements*size:end/elements*size], src[begin:end], begin)
	})
}

// inParallel cuts n elements into shares and returns the error of the first that fails.
func inParallel(n int, do func(begin, end int) error) error {
	var next atomic.Int64
	var all sync.WaitGroup
	var lock sync.Mutex
	var failed error
	first := n
	for range min(runtime.GOMAXPROCS(0), (n+share-1)/share) {
		all.Go(func() {
			for {
				begin := int(next.Add(share)) - share
				if begin >= n {
					return
				}
				if err := do(begin, min(begin+share, n)); err != nil {
					lock.Lock()
					if begin < first {
						first, failed = begin, err
					}
					lock.Unlock()
					return
				}
			}
		})
	}
	all.Wait()
	return failed
}

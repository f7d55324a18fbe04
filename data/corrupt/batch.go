package corrupt

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/ballast-ml/ballast/fault"
)

// Batch shifts images on all processors, an image each. src holds them one after the other, dst is as long; image i is the example
// indices[i], nil = i. What an image becomes does not depend on the others. Errors if the shapes do not fit, or the shift and the shape do
// not; see Fits.
func Batch(dst, src []float32, shape []int, s Shift, severity int, seed uint64, indices []int) error {
	if err := checkWrap(s, shape, severity, "the batch"); err != nil {
		return err
	}
	size := shape[0] * shape[1] * shape[2]
	if size < 1 || len(src)%size != 0 || len(dst) != len(src) {
		return fmt.Errorf("corrupt: %s: %d values in and %d out are not whole images of shape %v", s.Name(), len(src), len(dst), shape)
	}
	n := len(src) / size
	if indices != nil && len(indices) != n {
		return fmt.Errorf("corrupt: %s: %d indices for %d images", s.Name(), len(indices), n)
	}

	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), n) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				index := i
				if indices != nil {
					index = indices[i]
				}
				s.Apply(dst[i*size:(i+1)*size], src[i*size:(i+1)*size], shape, severity, seed, index)
			}
		})
	}
	wg.Wait()
	return nil
}

// checkWrap refuses what Apply would panic at.
func checkWrap(s Shift, shape []int, severity int, of string) error {
	if len(shape) != 3 {
		return fmt.Errorf("corrupt: %s: an example of %s has shape %v; shifts need images [height, width, channels]", s.Name(), of, shape)
	}
	if severity < 1 || severity > Severities {
		return &fault.Usage{Err: fmt.Errorf("corrupt: %s: severity is %d; use 1 to %d", s.Name(), severity, Severities)}
	}
	if _, err := settingsOf(s); err != nil {
		return err
	}
	return Fits(s, shape)
}

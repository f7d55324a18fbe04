package weights

import (
	"sync"
)

// chunk is how many bytes of a tensor are read at a time.
const chunk = 256 << 10

// chunks are buffers of that size, which readers share.
var chunks = sync.Pool{New: func() any { b := make([]byte, chunk); return &b }}

// ReadConverted is ReadFloat32s for adapters of formats whose elements all take size bytes: it reads the bytes of elements [at, at+len(dst))
// piece by piece and has them converted, so that no more than a piece is in memory beside dst.
func ReadConverted(f interface {
	ReadBytes(name string, at int64, dst []byte) error
}, name string, at int, dst []float32, size int, convert func(dst []float32, raw []byte) error,
) error {
	buffer := chunks.Get().(*[]byte)
	defer chunks.Put(buffer)
	for step := chunk / size; len(dst) > 0; {
		n := min(step, len(dst))
		raw := (*buffer)[:n*size]
		if err := f.ReadBytes(name, int64(at)*int64(size), raw); err != nil {
			return err
		}
		if err := convert(dst[:n], raw); err != nil {
			return err
		}
		dst, at = dst[n:], at+n
	}
	return nil
}

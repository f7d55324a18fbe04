package convert

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"runtime"
	"sync"

	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/printable"
)

// piece is how many elements are converted at a time by one core: a multiple of every block.
const piece = 1 << 17

// stream gives the converted bytes of one tensor.
type stream struct {
	p      *plan
	t      *planned
	at     int // next element of the output
	ready  []byte
	values []float32
	raw    []byte
	out    []byte
}

// open begins to read a tensor.
func (p *plan) open(t *planned) io.Reader {
	t.over = 0
	return &stream{p: p, t: t}
}

// Read converts another piece when the last one is used up.
func (s *stream) Read(b []byte) (int, error) {
	if len(s.ready) == 0 {
		if s.at >= s.t.from.Elements {
			return 0, io.EOF
		}
		if err := s.next(); err != nil {
			return 0, err
		}
	}
	n := copy(b, s.ready)
	s.ready = s.ready[n:]
	return n, nil
}

// next converts pieces, one on each core.
func (s *stream) next() error {
	total := min(s.t.from.Elements-s.at, piece*min(runtime.GOMAXPROCS(0), 16))
	width := encodedSize(s.t.to, total)
	s.out = resize(s.out, width)
	before := s.p.bytesOf(s.t.from, s.at)
	var err error
	if s.t.raw {
		err = s.copyRaw()
	} else {
		err = s.encode(total)
	}
	if err != nil {
		return err
	}
	s.at += total
	s.ready = s.out
	return s.p.step(s.p.bytesOf(s.t.from, s.at) - before)
}

// bytesOf is how many stored bytes come before an element, near enough for progress.
func (p *plan) bytesOf(i weights.Info, element int) int64 {
	if i.Elements == 0 {
		return 0
	}
	return int64(float64(i.Bytes) * float64(element) / float64(i.Elements))
}

func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

func (s *stream) copyRaw() error {
	size := encodedSize(s.t.to, 8) // of 8 elements, which are whole bytes in every type
	err := s.p.file.ReadBytes(s.t.from.Name, int64(s.at)*int64(size)/8, s.out)
	if s.t.to == "BOOL" && s.p.options.To == ToNPZ { // NumPy's truth values are 0 and 1 alone
		for i, b := range s.out {
			s.out[i] = min(b, 1)
		}
	}
	return err
}

func (s *stream) encode(total int) error {
	if isWhole(s.t.to) {
		return s.encodeWhole(total)
	}
	s.values = resize(s.values, total)
	if from, raw := typeOf(s.t.from); from == "F64" && raw {
		if err := s.readWide(total); err != nil {
			return err
		}
	} else if err := s.p.file.ReadFloat32s(s.t.from.Name, s.at, s.values); err != nil {
		return err
	}
	var all sync.WaitGroup
	var lock sync.Mutex
	var failed error
	for begin := 0; begin < total; begin += piece {
		end := min(begin+piece, total)
		all.Go(func() {
			over, err := encodeValues(s.t.to, s.out[encodedSize(s.t.to, begin):encodedSize(s.t.to, end)], s.values[begin:end])
			lock.Lock()
			defer lock.Unlock()
			s.t.over += over
			if err != nil {
				failed = fmt.Errorf("convert: %s: %w", printable.Line(s.t.from.Name), err)
			}
		})
	}
	all.Wait()
	return failed
}

// readWide reads float64 values and counts those that are too large for float32 already.
func (s *stream) readWide(total int) error {
	s.raw = resize(s.raw, 8*total)
	if err := s.p.file.ReadBytes(s.t.from.Name, 8*int64(s.at), s.raw); err != nil {
		return err
	}
	for i := range s.values {
		v := math.Float64frombits(binary.LittleEndian.Uint64(s.raw[8*i:]))
		s.values[i] = float32(v)
		if math.IsInf(float64(s.values[i]), 0) && !math.IsInf(v, 0) {
			s.t.over++
		}
	}
	return nil
}

// isWhole tells whether a type is one of whole numbers.
func isWhole(t string) bool {
	switch t {
	case "U8", "I8", "I16", "I32", "I64":
		return true
	}
	return false
}

// encodeWhole widens whole numbers.
func (s *stream) encodeWhole(total int) error {
	from, raw := typeOf(s.t.from)
	values := make([]int64, total)
	if raw && !isFloat(from) {
		size := encodedSize(from, 8) / 8
		s.raw = resize(s.raw, total*size)
		if err := s.p.file.ReadBytes(s.t.from.Name, int64(s.at)*int64(size), s.raw); err != nil {
			return err
		}
		for i := range values {
			v, ok := wholeOf(from, s.raw[i*size:])
			if !ok {
				return fmt.Errorf("convert: %s: element %d is %d, %s holds less than 2^63", printable.Line(s.t.from.Name), s.at+i, uint64(v), s.t.to)
			}
			values[i] = v
		}
	} else {
		s.values = resize(s.values, total)
		if err := s.p.file.ReadFloat32s(s.t.from.Name, s.at, s.values); err != nil {
			return err
		}
		for i, v := range s.values {
			values[i] = int64(v)
		}
	}
	le := binary.LittleEndian
	for i, v := range values {
		switch s.t.to {
		case "U8", "I8":
			s.out[i] = byte(v)
		case "I16":
			le.PutUint16(s.out[2*i:], uint16(v))
		case "I32":
			le.PutUint32(s.out[4*i:], uint32(v))
		case "I64":
			le.PutUint64(s.out[8*i:], uint64(v))
		}
	}
	return nil
}

// wholeOf reads one whole number; ok is false if it is 2^63 or more.
func wholeOf(t string, b []byte) (v int64, ok bool) {
	le := binary.LittleEndian
	switch t {
	case "BOOL":
		return int64(min(b[0], 1)), true
	case "U8":
		return int64(b[0]), true
	case "I8":
		return int64(int8(b[0])), true
	case "U16":
		return int64(le.Uint16(b)), true
	case "I16":
		return int64(int16(le.Uint16(b))), true
	case "U32":
		return int64(le.Uint32(b)), true
	case "I32":
		return int64(int32(le.Uint32(b))), true
	case "U64":
		u := le.Uint64(b)
		return int64(u), u <= math.MaxInt64
	}
	return int64(le.Uint64(b)), true
}

package zipread

import (
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
	"sync/atomic"

	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/printable"
)

// state is what is known of an entry that is used.
type state struct {
	lock     sync.Mutex
	checked  bool  // the checksum was compared
	bad      error // what that gave
	in       *inflater
	restarts int
	held     atomic.Pointer[[]byte] // the entry as a whole
}

// inflater unpacks an entry from front to back.
type inflater struct {
	owner *state
	flate io.ReadCloser
	at    int64
	crc   uint32
}

const (
	// maxStreams is how many entries are unpacked side by side; each takes some 50 kB. Merging reads a few tensors at once.
	maxStreams = 16

	// nearFront is how far an entry is unpacked again without counting: the header of an array is read first, its values later.
	nearFront = 1 << 16

	// maxRestarts is how often an entry is unpacked again from its front for reads that go back; then it is held in memory, so
	// that the time stays linear in its size.
	maxRestarts = 3

	// maxHeld is how much of an archive's entries is held together; one alone may be larger, up to the memory limit.
	maxHeld = 256 << 20
)

func (e *Entry) use() (*state, error) {
	a := e.archive
	a.lock.Lock()
	defer a.lock.Unlock()
	if a.closed {
		return nil, &Error{Entry: e.Name, Kind: ErrClosed}
	}
	if e.state == nil {
		e.state = &state{}
	}
	return e.state, nil
}

// ReadAt reads unpacked bytes. The checksum of a stored entry is compared before its first bytes are given, that of a packed one when
// its end has been reached: unpacking it twice would cost more than reading it.
func (e *Entry) ReadAt(p []byte, at int64) (int, error) {
	if at < 0 || at > e.Size || int64(len(p)) > e.Size-at {
		return 0, &Error{Entry: e.Name, Kind: ErrTruncated, Text: fmt.Sprintf("bytes %d to %d of %d", at, at+int64(len(p)), e.Size)}
	}
	s, err := e.use()
	if err != nil {
		return 0, err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if e.Method == Store {
		if err := e.Verify(context.Background()); err != nil {
			return 0, err
		}
		return e.stored(p, at)
	}
	return e.unpack(s, p, at)
}

// Peek is ReadAt for a header at the entry's front, for which its checksum need not be compared: that would read all of the entry. What
// is made of it holds only if what follows is read through ReadAt, Verify or Whole.
func (e *Entry) Peek(p []byte, at int64) (int, error) {
	if e.Method != Store || at < 0 || at > e.Size || int64(len(p)) > e.Size-at {
		return e.ReadAt(p, at)
	}
	return e.stored(p, at)
}

// unpack reads a packed entry.
func (e *Entry) unpack(s *state, p []byte, at int64) (int, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if s.bad != nil {
		return 0, s.bad
	}
	if held := s.held.Load(); held != nil {
		return copy(p, (*held)[at:]), nil
	}
	if s.in == nil || at < s.in.at {
		if at > nearFront {
			s.restarts++
		}
		if s.restarts > maxRestarts {
			whole, err := e.hold(s)
			if err != nil {
				return 0, err
			}
			return copy(p, whole[at:]), nil
		}
		if err := e.start(s); err != nil {
			return 0, err
		}
	}
	if err := e.skip(s, at-s.in.at); err != nil {
		return 0, err
	}
	return len(p), e.next(s, p)
}

func (e *Entry) stored(p []byte, at int64) (int, error) {
	n, err := e.archive.source.ReadAt(p, e.begin+at)
	if n == len(p) {
		return n, nil
	}
	return n, &Error{Entry: e.Name, Kind: ErrTruncated, Err: err}
}

// spares are values that wait for their next user. A sync.Pool lets them go with every second collection of garbage, and where little
// memory is to be used these come one after the other: each entry would be unpacked by a reader of its own.
type spares[T any] chan T

func (s spares[T]) take() (v T, ok bool) {
	select {
	case v = <-s:
		return v, true
	default:
		return v, false
	}
}

func (s spares[T]) put(v T) {
	select {
	case s <- v:
	default: // there are enough
	}
}

var (
	// buffers are what is read of an entry at a time.
	buffers = make(spares[[]byte], 4)

	// unpackers are flate readers.
	unpackers = make(spares[io.ReadCloser], maxStreams)
)

// nothing is a reader without bytes of its own to give, in front of which a flate reader keeps its buffer.
var nothing = io.LimitReader(nil, 0)

// putUnpacker keeps a flate reader for the next entry, without what it read from.
func putUnpacker(r io.ReadCloser) {
	if r.(flate.Resetter).Reset(nothing, nil) == nil {
		unpackers.put(r)
	}
}

// buffered is one of the buffers.
func buffered() []byte {
	if b, ok := buffers.take(); ok {
		return b
	}
	return make([]byte, 1<<18)
}

// Verify reads the entry once and compares its checksum; a second call returns what the first found. What is encrypted or packed in
// another way has no bytes to compare: nil.
func (e *Entry) Verify(ctx context.Context) error {
	if !e.Readable() {
		return nil
	}
	s, err := e.use()
	if err != nil {
		return err
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	if s.checked {
		return s.bad
	}
	buffer := buffered()
	defer buffers.put(buffer)
	if e.Method == Deflate {
		e.stop(s)
		if err := e.start(s); err != nil {
			return err
		}
		for s.in != nil {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			if err := e.next(s, buffer[:min(int64(len(buffer)), e.Size-s.in.at)]); err != nil {
				return err
			}
		}
		return nil
	}
	crc := uint32(0)
	for at := int64(0); at < e.Size; {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		n, err := e.stored(buffer[:min(int64(len(buffer)), e.Size-at)], at)
		if err != nil {
			return err
		}
		crc = crc32.Update(crc, crc32.IEEETable, buffer[:n])
		at += int64(n)
	}
	s.compare(e, crc)
	return s.bad
}

// compare remembers whether the checksum of all bytes is the one that the archive has.
func (s *state) compare(e *Entry, crc uint32) {
	s.checked = true
	if crc != e.CRC && !e.archive.unsummed {
		s.bad = &Error{Entry: e.Name, Kind: ErrChecksum, Text: fmt.Sprintf("their checksum (CRC-32) is %08x, the archive says %08x", crc, e.CRC)}
	}
}

// Whole returns the bytes of the entry for reading at any place: a view of the mapped file where it is stored, else a copy in
// memory, or a *memory.Error where that would be above the limit. The caller must not write to them, nor use them after Close.
func (e *Entry) Whole() ([]byte, error) {
	if err := e.archive.open(e); err != nil {
		return nil, err
	}
	if e.Method == Store {
		if err := e.Verify(context.Background()); err != nil {
			return nil, err
		}
		if mapped := e.archive.mapping(); mapped != nil {
			return mapped[e.begin : e.begin+e.Size], nil
		}
	}
	s, err := e.use()
	if err != nil {
		return nil, err
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	if s.bad != nil {
		return nil, s.bad
	}
	if held := s.held.Load(); held != nil {
		return *held, nil
	}
	return e.hold(s)
}

func (a *Archive) open(e *Entry) error {
	a.lock.Lock()
	defer a.lock.Unlock()
	if a.closed {
		return &Error{Entry: e.Name, Kind: ErrClosed}
	}
	return nil
}

// hold reads the entry into memory and lets others go. The state is locked.
func (e *Entry) hold(s *state) ([]byte, error) {
	if err := memory.Need("entry "+printable.Quote(e.Name)+" as a whole, which is not read in its order,", e.Size); err != nil {
		return nil, err
	}
	e.archive.makeRoom(e)
	whole := make([]byte, e.Size)
	if e.Method == Store {
		if _, err := e.stored(whole, 0); err != nil {
			return nil, err
		}
	} else {
		e.stop(s)
		if err := e.start(s); err != nil {
			return nil, err
		}
		if err := e.next(s, whole); err != nil {
			return nil, err
		}
	}
	s.held.Store(&whole)
	return whole, nil
}

// makeRoom lets entries go that were held before, the oldest first, so that those that stay and e are within maxHeld.
func (a *Archive) makeRoom(e *Entry) {
	a.lock.Lock()
	defer a.lock.Unlock()
	total := e.Size
	for _, other := range a.held {
		total += other.Size
	}
	for len(a.held) > 0 && total > maxHeld {
		total -= a.held[0].Size
		a.held[0].state.held.Store(nil)
		a.held = a.held[1:]
	}
	a.held = append(a.held, e)
}

// start begins to unpack from the front. The state is locked.
func (e *Entry) start(s *state) error {
	e.stop(s)
	packed := io.NewSectionReader(e.archive.source, e.begin, e.Packed)
	in := &inflater{owner: s}
	if pooled, ok := unpackers.take(); ok {
		in.flate = pooled
		if err := pooled.(flate.Resetter).Reset(packed, nil); err != nil {
			return &Error{Entry: e.Name, Kind: ErrForm, Err: err}
		}
	} else {
		in.flate = flate.NewReader(packed)
	}
	s.in = in

	a := e.archive
	a.lock.Lock()
	defer a.lock.Unlock()
	if len(a.streams) >= maxStreams {
		for i, old := range a.streams {
			if old.owner.lock.TryLock() { // one that is being read stays
				old.owner.in = nil
				old.owner.lock.Unlock()
				a.streams = append(a.streams[:i], a.streams[i+1:]...)
				putUnpacker(old.flate)
				break
			}
		}
	}
	a.streams = append(a.streams, in)
	return nil
}

// stop ends unpacking. The state is locked.
func (e *Entry) stop(s *state) {
	if s.in == nil {
		return
	}
	a := e.archive
	a.lock.Lock()
	defer a.lock.Unlock()
	for i, in := range a.streams {
		if in == s.in {
			a.streams = append(a.streams[:i], a.streams[i+1:]...)
			break
		}
	}
	putUnpacker(s.in.flate)
	s.in = nil
}

// skip unpacks n bytes that no one asked for.
func (e *Entry) skip(s *state, n int64) error {
	if n == 0 {
		return nil
	}
	buffer := buffered()
	defer buffers.put(buffer)
	for n > 0 {
		piece := min(n, int64(len(buffer)))
		if err := e.next(s, buffer[:piece]); err != nil {
			return err
		}
		n -= piece
	}
	return nil
}

// next unpacks the next len(p) bytes. At the end it compares the checksum and lets the unpacker go.
func (e *Entry) next(s *state, p []byte) error {
	in := s.in
	if len(p) > 0 || e.Size == 0 {
		n, err := io.ReadFull(in.flate, p)
		in.crc = crc32.Update(in.crc, crc32.IEEETable, p[:n])
		in.at += int64(n)
		if err != nil {
			return e.broken(s, err)
		}
	}
	if in.at < e.Size {
		return nil
	}
	var more [1]byte
	if n, err := io.ReadFull(in.flate, more[:]); n > 0 {
		s.checked, s.bad = true, &Error{Entry: e.Name, Kind: ErrForm, Text: fmt.Sprintf("it holds more than the %d bytes that it says", e.Size)}
	} else if !errors.Is(err, io.EOF) {
		return e.broken(s, err)
	} else if !s.checked {
		s.compare(e, in.crc)
	}
	e.stop(s)
	return s.bad
}

// broken is the error for packed data that cannot be unpacked.
func (e *Entry) broken(s *state, err error) error {
	e.stop(s)
	e.archive.lock.Lock()
	closed := e.archive.closed
	e.archive.lock.Unlock()
	if closed {
		return &Error{Entry: e.Name, Kind: ErrClosed}
	}
	kind := ErrTruncated
	if corrupt := flate.CorruptInputError(0); errors.As(err, &corrupt) {
		kind = ErrChecksum
	}
	return &Error{Entry: e.Name, Kind: kind, Err: err}
}

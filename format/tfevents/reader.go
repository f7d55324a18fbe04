package tfevents

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/ballast-ml/ballast/format"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// tfevents is the format as errors name it.
var tfevents = format.Format{Name: "tfevents", Bytes: true}

// Kinds of errors, for errors.Is.
var (
	ErrLengthChecksum  = tfevents.Kind("length checksum mismatch")
	ErrPayloadChecksum = tfevents.Kind("payload checksum mismatch")
	ErrTooLarge        = tfevents.Kind("record is larger than allowed")
	ErrMessage         = tfevents.Kind("payload is not an event")
)

// MaxRecord is the largest record that is read, in bytes.
const MaxRecord = 1 << 30

// maxValues bounds the values of one event, of which each takes two bytes in the file and a hundred times that in memory. Writers put
// a few into an event, a thousand at most.
const maxValues = 10_000

// maxTags is how many tags are kept as one string each. A file has a few hundred; those beyond are read all the same.
const maxTags = 10_000

// Error says which record of a file cannot be read: its Field is "record N", counted from 0, and its Offset where the record begins.
type Error = format.Error

// Record is a record as it is in the file.
type Record struct {
	Offset     int64  // byte where the record begins
	Length     uint64 // of the payload
	LengthCRC  uint32 // masked, of the 8 length bytes
	PayloadCRC uint32 // masked
	Payload    []byte // valid until the next call
}

// End is why a reader stopped.
type End string

// The ways to stop. Only the first two can be followed by more records.
const (
	NotYet             End = ""
	EndOfFile          End = "end of file"
	EndOpenRecord      End = "clean end-of-file (a record still being written)"
	EndLengthChecksum  End = "length checksum mismatch"
	EndPayloadChecksum End = "payload checksum mismatch"
	EndDamaged         End = "damaged record"
)

// Reader reads records one after the other. At the end of the file, also in the middle of a record, it returns io.EOF, and the
// next call tries again from the same place: so it follows a file that is being written. After any other error it stays
// stopped. Memory stays near the size of the largest record, and a length in the file is never believed without the bytes.
type Reader struct {
	Name string // of the file, for errors

	r      io.ReaderAt
	close  func() error
	offset int64  // of the next record
	record int    // its number
	buffer []byte // bytes from offset on
	used   int    // bytes of the buffer that the last record took
	window int    // bytes of the last read
	end    End
	err    error
	tags   map[string]string // one string for equal tags
	values []Value           // of the last event, used again
}

// NewReader reads from the beginning of r.
func NewReader(r io.ReaderAt) *Reader {
	return &Reader{r: r, tags: map[string]string{}}
}

// OpenReader opens a file.
func OpenReader(path string) (*Reader, error) {
	f, err := untrusted.Open(path)
	if err != nil {
		return nil, fmt.Errorf("tfevents: %w", err)
	}
	r := NewReader(f)
	r.Name, r.close = path, f.Close
	return r, nil
}

// Close closes the file that OpenReader opened.
func (r *Reader) Close() error {
	if r.close == nil {
		return nil
	}
	err := r.close()
	r.close = nil
	return err
}

// Offset returns the byte where the next record begins, or will begin.
func (r *Reader) Offset() int64 { return r.offset }

// End tells why the last call returned no record, NotYet if it did.
func (r *Reader) End() End { return r.end }

// NextRecord returns the next record, its checksums verified.
func (r *Reader) NextRecord() (Record, error) {
	if r.err != nil {
		return Record{}, r.err
	}
	r.end = NotYet
	r.buffer, r.used = r.buffer[r.used:], 0
	if ok, err := r.fill(12); !ok {
		return Record{}, r.pause(err)
	}
	out := Record{
		Offset:    r.offset,
		Length:    binary.LittleEndian.Uint64(r.buffer),
		LengthCRC: binary.LittleEndian.Uint32(r.buffer[8:]),
	}
	if got := MaskedCRC(r.buffer[:8]); got != out.LengthCRC {
		return Record{}, r.stop(EndLengthChecksum, ErrLengthChecksum, fmt.Sprintf("want %08x, got %08x", out.LengthCRC, got))
	}
	if out.Length > MaxRecord {
		return Record{}, r.stop(EndDamaged, ErrTooLarge, fmt.Sprintf("%d bytes, at most %d", out.Length, MaxRecord))
	}
	n := 12 + int(out.Length) + 4
	if ok, err := r.fill(n); !ok {
		return Record{}, r.pause(err)
	}
	out.Payload = r.buffer[12 : n-4]
	out.PayloadCRC = binary.LittleEndian.Uint32(r.buffer[n-4:])
	if got := MaskedCRC(out.Payload); got != out.PayloadCRC {
		return Record{}, r.stop(EndPayloadChecksum, ErrPayloadChecksum, fmt.Sprintf("want %08x, got %08x", out.PayloadCRC, got))
	}
	r.used = n
	r.offset += int64(n)
	r.record++
	return out, nil
}

// fill makes the buffer hold at least n bytes; ok is false if the file has fewer. It asks for no more memory at once than it
// holds already, or a window that grows from 4 to 256 KiB as the file turns out to be long.
func (r *Reader) fill(n int) (ok bool, err error) {
	for len(r.buffer) < n {
		r.window = min(max(2*r.window, 4<<10), 256<<10)
		have := len(r.buffer)
		more := max(r.window, min(n-have, have))
		if cap(r.buffer)-have < more {
			grown := make([]byte, have, have+more)
			copy(grown, r.buffer)
			r.buffer = grown
		}
		got, err := r.r.ReadAt(r.buffer[have:have+more], r.offset+int64(have))
		r.buffer = r.buffer[:have+got]
		if err != nil && !errors.Is(err, io.EOF) {
			return false, err
		}
		if got == 0 {
			return false, nil
		}
	}
	return true, nil
}

// pause stops for now. What was read of an unfinished record is read again by the next call.
func (r *Reader) pause(err error) error {
	r.end = EndOfFile
	if len(r.buffer) > 0 {
		r.end = EndOpenRecord
	}
	r.buffer = nil
	if err != nil {
		return fmt.Errorf("tfevents: %s: %w", r.Name, err)
	}
	return io.EOF
}

// stop stops for good.
func (r *Reader) stop(end End, kind *format.Kind, text string) error {
	r.end = end
	r.err = &Error{
		File: r.Name, Field: fmt.Sprintf("record %d", r.record), Offset: r.offset, Kind: kind, Text: text,
		Fix: "the file is damaged from here on: copy it again; the records before this one are intact",
	}
	return r.err
}

// Next returns the next event. Its Values, and the bytes of images in them, are valid until the next call.
func (r *Reader) Next() (Event, error) {
	record, err := r.NextRecord()
	if err != nil {
		return Event{}, err
	}
	r.values = r.values[:0]
	event, err := r.event(record.Payload)
	if err != nil {
		r.record, r.offset = r.record-1, record.Offset
		return Event{}, r.stop(EndDamaged, ErrMessage, err.Error())
	}
	return event, nil
}

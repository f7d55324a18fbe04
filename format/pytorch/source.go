package pytorch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// source reads a part of a file in order and counts.
type source struct {
	from   io.ReaderAt
	at     int64 // of the next byte to fetch
	end    int64 // first byte that is not of the part
	buffer []byte
	next   int // in buffer
	begin  int64
}

func newSource(from io.ReaderAt, begin, end int64) *source {
	return &source{from: from, at: begin, end: end, begin: begin}
}

// offset is the place of the next byte, from the begin of the part.
func (s *source) offset() int64 { return s.place() - s.begin }

// place is the place of the next byte in the file.
func (s *source) place() int64 { return s.at - int64(len(s.buffer)-s.next) }

// left is the number of bytes that follow.
func (s *source) left() int64 { return s.end - s.place() }

var errEnd = errors.New("it ends before its end mark")

func (s *source) fill() error {
	if s.at >= s.end {
		return errEnd
	}
	if s.buffer == nil {
		s.buffer = make([]byte, 0, 1<<15)
	}
	n := int(min(int64(cap(s.buffer)), s.end-s.at))
	s.buffer, s.next = s.buffer[:n], 0
	got, err := s.from.ReadAt(s.buffer, s.at)
	if got < n {
		s.buffer = s.buffer[:0]
		return fmt.Errorf("reading: %w", err)
	}
	s.at += int64(n)
	return nil
}

func (s *source) byte() (byte, error) {
	if s.next == len(s.buffer) {
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
	b := s.buffer[s.next]
	s.next++
	return b, nil
}

// bytes returns the next n bytes, which the caller must have found affordable.
func (s *source) bytes(n int64) ([]byte, error) {
	if n < 0 || n > s.left() {
		return nil, errEnd
	}
	out := make([]byte, n)
	for done := 0; done < len(out); {
		if s.next == len(s.buffer) {
			if err := s.fill(); err != nil {
				return nil, err
			}
		}
		m := copy(out[done:], s.buffer[s.next:])
		done, s.next = done+m, s.next+m
	}
	return out, nil
}

// line returns the text up to the next line feed.
func (s *source) line() (string, error) {
	const most = 1 << 10
	var out []byte
	for {
		b, err := s.byte()
		if err != nil {
			return "", err
		}
		if b == '\n' {
			return strings.TrimSuffix(string(out), "\r"), nil
		}
		if out = append(out, b); len(out) > most {
			return "", fmt.Errorf("a line of more than %d bytes", most)
		}
	}
}

// uint reads a number of 1, 2, 4 or 8 bytes.
func (s *source) uint(size int) (uint64, error) {
	var b [8]byte
	for i := range size {
		v, err := s.byte()
		if err != nil {
			return 0, err
		}
		b[i] = v
	}
	return binary.LittleEndian.Uint64(b[:]), nil
}

// Package zipread reads untrusted zip archives at any offset and checks what they state about themselves: entries follow each
// other in the file and never share bytes, their two headers agree, they inflate to exactly the announced size, and their CRC-32
// is compared before (stored) or while (deflated) their bytes are used.
package zipread

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/edsrzf/mmap-go"

	"github.com/ballast-ml/ballast/internal/printable"
)

// Kinds of errors, for errors.Is.
var (
	ErrForm      = errors.New("the archive is not of the right form")
	ErrTruncated = errors.New("the archive ends before its data")
	ErrLimit     = errors.New("the archive asks for too much")
	ErrChecksum  = errors.New("the data are damaged")
	ErrClosed    = errors.New("the archive was closed")
)

// Error says what is wrong with an archive.
type Error struct {
	Entry string // name of the entry; "" where it is about the archive
	Kind  error  // one of the Err values
	Text  string // what was found; may be empty
	Err   error  // what lies below, nil if nothing
}

// Error puts the parts into one line, with no more than the beginning of a long name.
func (e *Error) Error() string {
	var parts []string
	if e.Entry != "" {
		parts = append(parts, printable.Quote(e.Entry))
	}
	parts = append(parts, e.Kind.Error())
	if e.Text != "" {
		parts = append(parts, e.Text)
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	return strings.Join(parts, ": ")
}

// Unwrap lets errors.Is and errors.As see the kind and the cause.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

// BadInput reports that the file is at fault.
func (e *Error) BadInput() bool { return true }

// How entries are packed.
const (
	Store   = 0
	Deflate = 8
)

// MaxEntries is more than any archive of arrays or weights holds: the largest models have some 100,000 tensors.
const MaxEntries = 1 << 20

// Archive is an open archive. Its methods and those of its entries may be called from several goroutines at once.
type Archive struct {
	entries []Entry
	source  io.ReaderAt
	size    int64

	lock    sync.Mutex
	streams []*inflater // that are open, the one used last at the end
	held    []*Entry    // that are in memory as a whole
	mapped  mmap.MMap
	closed  bool

	unsummed bool
}

// Entry is one file of an archive.
type Entry struct {
	Name   string
	Method uint16 // Store, Deflate or one that cannot be read
	Size   int64  // unpacked, as the archive says; reading refuses more and less
	Packed int64
	CRC    uint32

	flags   uint16
	header  int64 // place of the local header in the file
	begin   int64 // of the data
	archive *Archive
	state   *state // nil until the entry is used; guarded by the archive's lock
}

// Encrypted reports whether the entry wants a password.
func (e *Entry) Encrypted() bool { return e.flags&1 != 0 }

// Readable reports whether ReadAt can give the entry's bytes.
func (e *Entry) Readable() bool {
	return !e.Encrypted() && (e.Method == Store || e.Method == Deflate)
}

// Open reads the list of an archive's entries and checks it against their headers.
func Open(r io.ReaderAt, size int64) (*Archive, error) {
	a := &Archive{source: r, size: size}
	p, err := find(r, size)
	if err != nil {
		return nil, err
	}
	a.entries = make([]Entry, 0, p.entries) // which find has held against the bytes of the list
	if err := p.walk(r, size, func(e Entry) bool {
		e.archive = a
		a.entries = append(a.entries, e)
		return true
	}); err != nil {
		return nil, err
	}
	buffer := make([]byte, 0, 256)
	for i := range a.entries {
		if buffer, err = a.entries[i].locate(buffer); err != nil {
			return nil, err
		}
	}
	return a, a.apart(p.begin)
}

// Entries returns the entries in the order of the archive's list. They are good until the archive is closed.
func (a *Archive) Entries() []Entry { return a.entries }

// AllowUnsummed is for the archives of writers that may leave out all checksums, putting 0 in their place: then none is compared. Call
// it before entries are read.
func (a *Archive) AllowUnsummed() {
	a.unsummed = !slices.ContainsFunc(a.entries, func(e Entry) bool { return e.CRC != 0 })
}

// Close gives back what the archive holds, not the reader that it was opened with. A second call does nothing.
func (a *Archive) Close() error {
	a.lock.Lock()
	defer a.lock.Unlock()
	a.closed = true
	a.streams, a.held = nil, nil
	if a.mapped == nil {
		return nil
	}
	mapped := a.mapped
	a.mapped = nil
	return mapped.Unmap()
}

// mapping maps the whole file; nil if it cannot be mapped.
func (a *Archive) mapping() []byte {
	file, ok := a.source.(*os.File)
	if !ok || a.size > math.MaxInt {
		return nil
	}
	a.lock.Lock()
	defer a.lock.Unlock()
	if a.mapped == nil && !a.closed {
		if mapped, err := mmap.Map(file, mmap.RDONLY, 0); err == nil {
			a.mapped = mapped
		}
	}
	if int64(len(a.mapped)) < a.size {
		return nil
	}
	return a.mapped
}

// Signatures and lengths of the records of the format.
const (
	localSignature      = "PK\x03\x04"
	centralSignature    = "PK\x01\x02"
	endSignature        = "PK\x05\x06"
	wideEndSignature    = "PK\x06\x06"
	locatorSignature    = "PK\x06\x07"
	descriptorSignature = "PK\x07\x08"

	localLength   = 30
	centralLength = 46
	endLength     = 22
	wideEndLength = 56
	locatorLength = 20
)

// afterwards is the flag of an entry whose sizes and checksum follow its data.
const afterwards = 8

// place is where the list of entries lies.
type place struct {
	entries     uint64
	begin, size int64 // of the list in the file
	base        int64 // bytes before the archive's first
}

// Walk calls visit for each entry of the archive's list, without looking at the entries themselves, until it returns false. It
// returns the place where the list begins and the data must have ended.
func Walk(r io.ReaderAt, size int64, visit func(e Entry) bool) (begin int64, err error) {
	p, err := find(r, size)
	if err != nil {
		return 0, err
	}
	return p.begin, p.walk(r, size, visit)
}

// walk is Walk from the place where the list lies.
func (p place) walk(r io.ReaderAt, size int64, visit func(e Entry) bool) error {
	in := bufio.NewReaderSize(io.NewSectionReader(r, p.begin, p.size), 1<<16)
	var fixed [centralLength]byte
	var variable []byte
	for i := range p.entries {
		if _, err := io.ReadFull(in, fixed[:]); err != nil {
			return &Error{Kind: ErrTruncated, Text: fmt.Sprintf("%d of %d entries are listed", i, p.entries), Err: err}
		}
		if string(fixed[:4]) != centralSignature {
			return &Error{Kind: ErrForm, Text: fmt.Sprintf("entry %d of its list does not begin as one", i)}
		}
		le := binary.LittleEndian
		name, extra, comment := int(le.Uint16(fixed[28:])), int(le.Uint16(fixed[30:])), int(le.Uint16(fixed[32:]))
		variable = slices.Grow(variable[:0], name+extra+comment)[:name+extra+comment]
		if _, err := io.ReadFull(in, variable); err != nil {
			return &Error{Kind: ErrTruncated, Text: fmt.Sprintf("%d of %d entries are listed", i, p.entries), Err: err}
		}
		e := Entry{
			Name: string(variable[:name]), flags: le.Uint16(fixed[8:]), Method: le.Uint16(fixed[10:]), CRC: le.Uint32(fixed[16:]),
			Packed: int64(le.Uint32(fixed[20:])), Size: int64(le.Uint32(fixed[24:])), header: int64(le.Uint32(fixed[42:])),
		}
		if err := e.widen(variable[name : name+extra]); err != nil {
			return err
		}
		if e.header += p.base; e.header < 0 || e.header > p.begin {
			return &Error{Entry: e.Name, Kind: ErrTruncated, Text: fmt.Sprintf("it begins at byte %d of %d", e.header, size)}
		}
		if !visit(e) {
			return nil
		}
	}
	if more, _ := in.Peek(len(centralSignature)); string(more) == centralSignature {
		return &Error{Kind: ErrForm, Text: fmt.Sprintf("it lists more than the %d entries that it says", p.entries)}
	}
	return nil
}

// find looks for the list from the end of the file.
func find(r io.ReaderAt, size int64) (place, error) {
	fail := func(kind error, text string) (place, error) { return place{}, &Error{Kind: kind, Text: text} }
	// The end record is followed by a comment of at most 65,535 bytes.
	tail := make([]byte, min(size, endLength+math.MaxUint16))
	if n, err := r.ReadAt(tail, size-int64(len(tail))); n < len(tail) {
		return place{}, &Error{Kind: ErrTruncated, Err: err}
	}
	at := bytes.LastIndex(tail, []byte(endSignature))
	for ; at >= 0; at = bytes.LastIndex(tail[:at], []byte(endSignature)) {
		if len(tail)-at >= endLength && len(tail)-at >= endLength+int(binary.LittleEndian.Uint16(tail[at+20:])) {
			break
		}
	}
	if at < 0 {
		return fail(ErrForm, "it has no list of its entries; it may be cut short")
	}
	le, end := binary.LittleEndian, tail[at:]
	p := place{entries: uint64(le.Uint16(end[10:])), size: int64(le.Uint32(end[12:]))}
	disk, offset := uint32(le.Uint16(end[4:])), uint64(le.Uint32(end[16:]))
	if le.Uint16(end[8:]) != le.Uint16(end[10:]) {
		return fail(ErrForm, "it is one part of several")
	}
	after := size - int64(len(tail)-at)
	if p.entries == math.MaxUint16 || p.size == math.MaxUint32 || offset == math.MaxUint32 {
		wide, where, err := findWide(r, after, tail[:at])
		if err != nil {
			return place{}, err
		}
		if wide != nil {
			if le.Uint64(wide[40:]) > math.MaxInt64 {
				return fail(ErrForm, "its list has more than 2^63 bytes")
			}
			disk = le.Uint32(wide[16:])
			p.entries, p.size, offset = le.Uint64(wide[32:]), int64(le.Uint64(wide[40:])), le.Uint64(wide[48:])
			after = where
		}
	}
	switch {
	case disk != 0 && disk != math.MaxUint16:
		return fail(ErrForm, "it is one part of several")
	case p.size > after || offset > uint64(after):
		return fail(ErrTruncated, fmt.Sprintf("a list of %d bytes from byte %d on in a file of %d", p.size, offset, size))
	case p.entries > uint64(p.size)/centralLength:
		return fail(ErrForm, fmt.Sprintf("%d entries in a list of %d bytes", p.entries, p.size))
	case p.entries > MaxEntries:
		return fail(ErrLimit, fmt.Sprintf("%d entries, at most %d", p.entries, MaxEntries))
	}
	// Something may lie before the archive, which its offsets do not count.
	p.begin = after - p.size
	p.base = p.begin - int64(offset)
	if p.base != 0 && starts(r, int64(offset)) {
		p.begin, p.base = int64(offset), 0
	}
	return p, nil
}

// findWide reads the end record of archives beyond 4 GB, nil if there is none, and where it lies.
func findWide(r io.ReaderAt, end int64, before []byte) (record []byte, at int64, err error) {
	if len(before) < locatorLength || string(before[len(before)-locatorLength:][:4]) != locatorSignature {
		return nil, 0, nil
	}
	offset := binary.LittleEndian.Uint64(before[len(before)-locatorLength+8:])
	record = make([]byte, wideEndLength)
	// Where something lies before the archive the record is just before the locator.
	for _, at := range []int64{int64(min(offset, math.MaxInt64)), end - locatorLength - wideEndLength} {
		if at < 0 || at > end-locatorLength-wideEndLength {
			continue
		}
		if n, err := r.ReadAt(record, at); n == len(record) && string(record[:4]) == wideEndSignature {
			return record, at, nil
		} else if n < len(record) {
			return nil, 0, &Error{Kind: ErrTruncated, Err: err}
		}
	}
	return nil, 0, &Error{Kind: ErrForm, Text: "it says that it has a record for large archives and has none"}
}

// starts reports whether an entry of a list stands at a place.
func starts(r io.ReaderAt, at int64) bool {
	var word [4]byte
	n, _ := r.ReadAt(word[:], at) // what cannot be read does not begin so
	return n == len(word) && string(word[:]) == centralSignature
}

// widen takes sizes of 64 bits from an entry's extra fields.
func (e *Entry) widen(extra []byte) error {
	le := binary.LittleEndian
	for len(extra) >= 4 {
		tag, n := le.Uint16(extra), int(le.Uint16(extra[2:]))
		if extra = extra[4:]; n > len(extra) {
			break
		}
		field := extra[:n]
		extra = extra[n:]
		if tag != 1 {
			continue
		}
		for _, value := range []*int64{&e.Size, &e.Packed, &e.header} {
			if *value != math.MaxUint32 {
				continue
			}
			if len(field) < 8 || le.Uint64(field) > math.MaxInt64/2 {
				return &Error{Entry: e.Name, Kind: ErrForm, Text: "its size has more than 63 bits or is missing"}
			}
			*value, field = int64(le.Uint64(field)), field[8:]
		}
	}
	return nil
}

// locate finds the entry's data and compares its own header with the list.
func (e *Entry) locate(buffer []byte) ([]byte, error) {
	a, le := e.archive, binary.LittleEndian
	fail := func(kind error, text string) ([]byte, error) {
		return buffer, &Error{Entry: e.Name, Kind: kind, Text: text}
	}
	n := localLength + len(e.Name)
	buffer = slices.Grow(buffer[:0], n)[:n]
	if got, err := a.source.ReadAt(buffer, e.header); got < n {
		return buffer, &Error{Entry: e.Name, Kind: ErrTruncated, Text: "its header is cut short", Err: err}
	}
	if string(buffer[:4]) != localSignature {
		return fail(ErrForm, fmt.Sprintf("no entry begins at byte %d", e.header))
	}
	flags := le.Uint16(buffer[6:])
	e.begin = e.header + localLength + int64(le.Uint16(buffer[26:])) + int64(le.Uint16(buffer[28:]))
	if int(le.Uint16(buffer[26:])) != len(e.Name) || string(buffer[localLength:]) != e.Name {
		return fail(ErrForm, "its own header has another name")
	}
	if method := le.Uint16(buffer[8:]); method != e.Method || flags&1 != e.flags&1 {
		return fail(ErrForm, fmt.Sprintf("its own header says method %d, the list %d", method, e.Method))
	}
	for _, c := range []struct {
		what string
		own  uint32
		list int64
		wide bool // the field may point to a wider one
	}{
		{"checksum", le.Uint32(buffer[14:]), int64(e.CRC), false},
		{"packed size", le.Uint32(buffer[18:]), e.Packed, true},
		{"size", le.Uint32(buffer[22:]), e.Size, true},
	} {
		if int64(c.own) == c.list || c.wide && c.own == math.MaxUint32 || flags&afterwards != 0 && c.own == 0 {
			continue
		}
		return fail(ErrForm, fmt.Sprintf("its own header says %s %d, the list %d", c.what, c.own, c.list))
	}
	if e.begin > a.size || e.Packed > a.size-e.begin {
		return fail(ErrTruncated, fmt.Sprintf("%d bytes from byte %d on in a file of %d", e.Packed, e.begin, a.size))
	}
	if e.Method == Store && e.Packed != e.Size && !e.Encrypted() {
		return fail(ErrForm, fmt.Sprintf("it is stored as it is, and takes %d bytes for %d", e.Packed, e.Size))
	}
	// Deflate packs at most 1032 to one: more is a lie that would only show at the end of the data.
	if e.Method == Deflate && (e.Size-1<<10)/1032 > e.Packed {
		return fail(ErrForm, fmt.Sprintf("%d bytes of %d packed ones", e.Size, e.Packed))
	}
	return buffer, e.descriptor(flags)
}

// descriptor compares the checksum that follows the data, where one does.
func (e *Entry) descriptor(flags uint16) error {
	if flags&afterwards == 0 {
		return nil
	}
	var record [8]byte
	if n, _ := e.archive.source.ReadAt(record[:], e.begin+e.Packed); n < len(record) || string(record[:4]) != descriptorSignature {
		return nil // the signature is optional, so what stands there cannot be told from the next entry
	}
	if crc := binary.LittleEndian.Uint32(record[4:]); crc != e.CRC {
		return &Error{Entry: e.Name, Kind: ErrForm, Text: fmt.Sprintf("its checksum is %08x behind the data, in the list %08x", crc, e.CRC)}
	}
	return nil
}

// apart checks that no two entries share bytes and that all end before the list begins: else a small file could hold any number
// of large ones.
func (a *Archive) apart(end int64) error {
	byPlace := make([]*Entry, len(a.entries))
	for i := range a.entries {
		byPlace[i] = &a.entries[i]
	}
	before := func(x, y *Entry) int { return cmp.Compare(x.header, y.header) }
	if !slices.IsSortedFunc(byPlace, before) {
		slices.SortFunc(byPlace, before)
	}
	for i, e := range byPlace {
		next, what := end, "the list of entries"
		if i+1 < len(byPlace) {
			next, what = byPlace[i+1].header, printable.Quote(byPlace[i+1].Name)
		}
		if e.begin+e.Packed > next {
			return &Error{Entry: e.Name, Kind: ErrForm, Text: "it shares bytes with " + what}
		}
	}
	return nil
}

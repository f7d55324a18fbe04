package pytorch

import (
	"archive/zip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/internal/zipread"
)

// magicNumber begins the old layout: a pickle of protocol 2 that holds the whole number 0x1950a86a20f9469cfc6c.
const magicNumber = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."

// Sniff reports from the first bytes of a file, 16 or more, whether it is a checkpoint of the old layout. One of the zip
// layout is an archive that holds an entry data.pkl: see [SniffZip].
func Sniff(head []byte) bool { return strings.HasPrefix(string(head), magicNumber) }

// SniffZip tells whether an archive is a checkpoint of the zip layout.
func SniffZip(archive *zip.Reader) bool {
	return slices.ContainsFunc(archive.File, func(f *zip.File) bool { return IsPickle(f.Name) })
}

// IsPickle tells whether an entry of an archive is the pickle of a checkpoint, by its name.
func IsPickle(entry string) bool { return entry == "data.pkl" || strings.HasSuffix(entry, "/data.pkl") }

// read finds the layout and reads the object.
func (f *File) read() (any, error) {
	head := make([]byte, min(f.size, 16))
	if _, err := f.source.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, &Error{File: f.path, Offset: 0, Kind: ErrTruncated, Err: err, Fix: fixDownload}
	}
	switch {
	case strings.HasPrefix(string(head), "PK"):
		f.layout = "zip"
		return f.readZip()
	case Sniff(head):
		f.layout = "old"
		return f.readOld()
	case strings.HasPrefix(string(head), "\x80"):
		return nil, &Error{File: f.path, Offset: 0, Kind: ErrLayout, Text: "a bare pickle, as pickle.dump writes it", Fix: fixSave}
	}
	return nil, &Error{File: f.path, Offset: 0, Kind: ErrLayout, Text: fmt.Sprintf("it begins with %q", head),
		Fix: "name a file made by torch.save; files of PyTorch before 0.1.10, which are tar archives, must be saved again"}
}

// fail gives an error of the machine its place and kind.
func (f *File) fail(part string, at int64, err error) error {
	e := &Error{File: f.path, Part: part, Offset: at, Kind: ErrPickle, Fix: fixDownload}
	var refused Call
	var typed *Error
	var below *zipread.Error
	switch {
	case errors.As(err, &below):
		return f.archived(below)
	case errors.As(err, &typed):
		if typed.File = f.path; typed.Part == "" {
			typed.Part = part
		}
		return typed
	case errors.As(err, &refused):
		e.Kind, e.Err, e.Fix = ErrCall, refused, fixCall
		return e
	case errors.Is(err, errEnd):
		e.Kind = ErrTruncated
	case errors.Is(err, errBudget):
		e.Kind, e.Fix = ErrLimit, fixLimit
	case errors.Is(err, ErrShape):
		e.Kind, e.Text = ErrShape, strings.Replace(err.Error(), ErrShape.Error()+": ", "", 1)
		return e
	}
	e.Text = err.Error()
	return e
}

// entries are the parts of an archive.
type entries struct {
	prefix string // "NAME/"
	byName map[string]*zipread.Entry
}

// archived turns an error of the archive into one of this package. Memory that is missing is not the file's fault and stays as it is.
func (f *File) archived(err error) error {
	var missing *memory.Error
	if errors.As(err, &missing) {
		return fmt.Errorf("pytorch: %s: %w", f.path, err)
	}
	e := &Error{File: f.path, Offset: -1, Kind: ErrTruncated, Err: err, Fix: fixDownload}
	var below *zipread.Error
	if !errors.As(err, &below) {
		return e
	}
	e.Part, e.Text, e.Err = below.Entry, below.Text, below.Err
	switch {
	case errors.Is(err, zipread.ErrChecksum):
		e.Kind = ErrChecksum
	case errors.Is(err, zipread.ErrLimit):
		e.Kind, e.Fix = ErrLimit, fixLimit
	case errors.Is(err, zipread.ErrForm):
		e.Kind = ErrLayout
	case errors.Is(err, zipread.ErrClosed):
		e.Text, e.Fix = below.Kind.Error(), "open it again"
	}
	return e
}

func (f *File) readZip() (any, error) {
	archive, err := zipread.Open(f.source, f.size)
	if err != nil {
		return nil, f.archived(err)
	}
	f.zip = archive
	archive.AllowUnsummed() // torch.save leaves them out after torch.serialization.set_crc32_options(False)
	list := archive.Entries()
	e := entries{byName: make(map[string]*zipread.Entry, len(list))}
	found := false
	for i := range list {
		entry := &list[i]
		if _, twice := e.byName[entry.Name]; twice {
			return nil, &Error{File: f.path, Part: entry.Name, Offset: -1, Kind: ErrDuplicate, Fix: fixLimit}
		}
		e.byName[entry.Name] = entry
		if IsPickle(entry.Name) {
			if found {
				return nil, &Error{File: f.path, Part: entry.Name, Offset: -1, Kind: ErrLayout, Text: "two entries data.pkl", Fix: fixSave}
			}
			found, e.prefix = true, strings.TrimSuffix(entry.Name, "data.pkl")
		}
	}
	if !found {
		return nil, &Error{File: f.path, Offset: -1, Kind: ErrLayout, Text: fmt.Sprintf("an archive of %d entries without data.pkl", len(list)), Fix: fixSave}
	}
	if err := f.byteOrder(e); err != nil {
		return nil, err
	}
	pickle, err := f.stored(e, "data.pkl")
	if err != nil {
		return nil, err
	}
	m := &machine{in: newSource(pickle, 0, pickle.Size), budget: &f.budget}
	seen := map[string]*storage{}
	m.storage = func(id tuple) (*storage, error) {
		s, err := m.identify(id, seen)
		if err != nil || s.at >= 0 {
			return s, err
		}
		entry, err := f.stored(e, "data/"+s.key)
		if err != nil {
			return nil, err
		}
		if s.bytes() != entry.Size {
			return nil, fmt.Errorf("storage %s: %d elements take %d bytes, its entry has %d", printable.Quote(s.key), s.elements, s.bytes(), entry.Size)
		}
		s.entry, s.at = entry, 0
		return s, nil
	}
	f.part = e.prefix + "data.pkl"
	part := f.part
	v, err := m.run()
	if err != nil {
		return nil, f.fail(part, m.at, err)
	}
	if m.in.left() != 0 {
		return nil, &Error{File: f.path, Part: part, Offset: m.in.offset(), Kind: ErrPickle, Text: fmt.Sprintf("%d bytes after its end", m.in.left()), Fix: fixLimit}
	}
	f.unused = unusedOf(e, seen)
	return v, nil
}

// unusedOf names the entries of storages that the pickle does not.
func unusedOf(e entries, seen map[string]*storage) []string {
	used := make(map[*zipread.Entry]bool, len(seen))
	for _, s := range seen {
		used[s.entry] = true
	}
	var out []string
	for name, entry := range e.byName {
		if strings.HasPrefix(name, e.prefix+"data/") && !used[entry] && entry.Size > 0 {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// stored finds an entry, which must be stored as they are: that is how PyTorch writes them, so that they can
// be mapped.
func (f *File) stored(e entries, name string) (*zipread.Entry, error) {
	full := e.prefix + name
	entry := e.byName[full]
	if entry == nil {
		return nil, &Error{File: f.path, Part: full, Offset: -1, Kind: ErrStorage, Text: "the archive has no such entry", Fix: fixDownload}
	}
	if entry.Method != zipread.Store || entry.Encrypted() {
		return nil, &Error{File: f.path, Part: full, Offset: -1, Kind: ErrStorage, Text: "the entry is compressed or encrypted, PyTorch stores it as it is",
			Fix: "unpack the archive and pack it again without compression (zip -0), or save it again with torch.save"}
	}
	return entry, nil
}

// byteOrder reads the entry of that name; a file without one was written on a little endian machine.
func (f *File) byteOrder(e entries) error {
	if e.byName[e.prefix+"byteorder"] == nil {
		return nil
	}
	entry, err := f.stored(e, "byteorder")
	if err != nil {
		return err
	}
	word := make([]byte, min(entry.Size, 16))
	if _, err := entry.ReadAt(word, 0); err != nil {
		return f.archived(err)
	}
	switch string(word) {
	case "little":
	case "big":
		f.bigEndian = true
	default:
		return &Error{File: f.path, Part: e.prefix + "byteorder", Offset: 0, Kind: ErrLayout, Text: fmt.Sprintf("%q, want little or big", word), Fix: fixDownload}
	}
	return nil
}

// identify reads ("storage", class, key, location, elements[, view]) and returns the one storage of that key and class.
func (m *machine) identify(id tuple, seen map[string]*storage) (*storage, error) {
	if len(id) < 5 || id[0] != "storage" {
		if len(id) > 0 && id[0] == "module" {
			return nil, Call("a module with its source code")
		}
		return nil, fmt.Errorf("persistent identity is %s, want that of a storage", describe(id))
	}
	var d DType
	switch class := id[1].(type) {
	case storageClass:
		d = DType(class)
	case DType:
		d = class
	case global:
		if class != "torch.storage.UntypedStorage" && class != "torch.UntypedStorage" {
			return nil, fmt.Errorf("a storage of class %s", class)
		}
	default:
		return nil, fmt.Errorf("a storage of class %s", describe(class))
	}
	key, ok := id[2].(string)
	elements, ok2 := id[4].(int64)
	if !ok || !ok2 || elements < 0 {
		return nil, fmt.Errorf("a storage of key %s with %s elements", describe(id[2]), describe(id[4]))
	}
	if size := int64(max(d.Size(), 1)); elements > math.MaxInt64/size {
		return nil, fmt.Errorf("storage %s: %d elements", printable.Quote(key), elements)
	}
	name := string(d) + "/" + key
	if s := seen[name]; s != nil {
		if s.elements != elements {
			return nil, fmt.Errorf("storage %s has %d elements here and %d before", printable.Quote(key), elements, s.elements)
		}
		return s, nil
	}
	if err := m.charge(300 + int64(len(name))); err != nil {
		return nil, err
	}
	s := &storage{key: key, dtype: d, elements: elements, at: -1}
	seen[name] = s
	return s, nil
}

// readOld reads the pickles of the old layout and finds the storages behind them. Their bytes are little endian whatever
// machine wrote them: torch.save turned them round.
func (f *File) readOld() (any, error) {
	in := newSource(f.source, 0, f.size)
	seen := map[string]*storage{}
	pickle := func(part string) (any, *machine, error) {
		m := &machine{in: in, budget: &f.budget}
		m.storage = func(id tuple) (*storage, error) {
			s, err := m.identify(id, seen)
			if err != nil || len(id) < 6 || id[5] == nil {
				return s, err
			}
			return m.view(s, id[5])
		}
		v, err := m.run()
		if err != nil {
			err = f.fail(part, m.at, err)
		}
		return v, m, err
	}
	if _, _, err := pickle("magic number"); err != nil {
		return nil, err
	}
	version, _, err := pickle("protocol")
	if err != nil {
		return nil, err
	}
	if version != int64(1001) {
		return nil, &Error{File: f.path, Part: "protocol", Offset: in.offset(), Kind: ErrLayout, Text: describe(version) + ", want 1001", Fix: fixSave}
	}
	if _, _, err := pickle("system"); err != nil {
		return nil, err
	}
	f.part = "object"
	v, _, err := pickle(f.part)
	if err != nil {
		return nil, err
	}
	keys, _, err := pickle("storage keys")
	if err != nil {
		return nil, err
	}
	return v, f.locate(in.place(), sequence(keys), seen)
}

// view is a storage that is part of another: (key, first element, elements).
func (m *machine) view(s *storage, of any) (*storage, error) {
	t, ok := of.(tuple)
	if !ok || len(t) != 3 {
		return nil, fmt.Errorf("a view of a storage is %s", describe(of))
	}
	first, ok := t[1].(int64)
	elements, ok2 := t[2].(int64)
	if !ok || !ok2 || first < 0 || elements < 0 || first > s.elements || elements > s.elements-first {
		return nil, fmt.Errorf("a view of elements %s to %s more of a storage of %d", describe(t[1]), describe(t[2]), s.elements)
	}
	if first == 0 && elements == s.elements {
		return s, nil
	}
	return nil, errors.New("a storage that is a part of another one, as PyTorch before 0.4 wrote them")
}

// locate walks the storages at the end of a file of the old layout.
func (f *File) locate(at int64, keys []any, seen map[string]*storage) error {
	const part = "storages"
	placed := 0
	var count [8]byte // of a storage's elements, before them
	byKey := make(map[string]*storage, len(seen))
	for _, s := range seen {
		if byKey[s.key] != nil {
			return &Error{File: f.path, Part: part, Offset: -1, Kind: ErrStorage, Text: fmt.Sprintf("storage %s has two types", printable.Quote(s.key)), Fix: fixDownload}
		}
		byKey[s.key] = s
	}
	for _, key := range keys {
		name, ok := key.(string)
		s := byKey[name]
		if !ok || s == nil {
			return &Error{File: f.path, Part: part, Offset: at, Kind: ErrStorage, Text: fmt.Sprintf("key %s belongs to no tensor, so its size is not known", describe(key)), Fix: fixDownload}
		}
		if s.at >= 0 {
			return &Error{File: f.path, Part: part, Offset: at, Kind: ErrDuplicate, Text: "storage " + printable.Quote(name), Fix: fixDownload}
		}
		if f.size-at < int64(len(count)) {
			return f.fail(part, at, errEnd)
		}
		if _, err := f.source.ReadAt(count[:], at); err != nil && !errors.Is(err, io.EOF) {
			return f.fail(part, at, err)
		}
		n := binary.LittleEndian.Uint64(count[:])
		if n != uint64(s.elements) {
			return &Error{File: f.path, Part: part, Offset: at, Kind: ErrStorage, Text: fmt.Sprintf("storage %s has %d elements, its tensors say %d", printable.Quote(name), n, s.elements), Fix: fixDownload}
		}
		s.at = at + 8
		if s.bytes() > f.size-s.at {
			return &Error{File: f.path, Part: part, Offset: s.at, Kind: ErrTruncated, Text: fmt.Sprintf("storage %s takes %d bytes, %d are left", printable.Quote(name), s.bytes(), f.size-s.at), Fix: fixDownload}
		}
		at = s.at + s.bytes()
		placed++
	}
	if placed != len(seen) {
		return &Error{File: f.path, Part: part, Offset: at, Kind: ErrStorage, Text: fmt.Sprintf("%d storages of %d", placed, len(seen)), Fix: fixDownload}
	}
	return nil
}

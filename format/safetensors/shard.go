package safetensors

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/ballast-ml/ballast/format"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// indexName is the usual name of a sharded model's index.
const indexName = "model.safetensors.index.json"

// Warning is something odd about a sharded model that does not keep it from being used.
type Warning struct {
	Field string // "total_size" or "weight_map"
	Text  string
}

// String puts field and text into one line.
func (w Warning) String() string { return w.Field + ": " + w.Text }

// Sharded is a model cut into several files, the shards, by an index. Its methods are those of File.
type Sharded struct {
	Warnings []Warning // in a fixed order
	Unmapped []string  // tensors that lie in a shard but not in the index, "shard: tensor"; they are not reachable

	path   string
	shards map[string]*File  // by base name
	of     map[string]string // tensor -> base name of its shard
	names  []string
}

// OpenSharded opens a model by its index, or by the folder that holds the index. Every shard is mapped and checked.
//
// An index may name files of its own folder only: base names, and no symbolic link that leads out of it. (Links into the
// blobs folder of a Hugging Face cache, which lies beside the snapshots, are followed.) Every tensor of the index must be in
// its shard. A wrong total_size and tensors that the index does not name are warnings.
func OpenSharded(indexOrDir string, opts ...Options) (*Sharded, error) {
	o := oneOf(opts)
	path, err := findIndex(indexOrDir)
	if err != nil {
		return nil, err
	}
	text, err := readIndex(path, o)
	if err != nil {
		return nil, err
	}
	m := &Sharded{path: path, shards: map[string]*File{}, of: map[string]string{}}
	total, err := m.parseIndex(text, o)
	if err == nil {
		err = m.openShards(o)
	}
	if err == nil {
		err = m.check(total)
	}
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// Files returns the paths of the index and of the shards.
func (m *Sharded) Files() []string {
	out := []string{m.path}
	for _, base := range slices.Sorted(maps.Keys(m.shards)) {
		out = append(out, filepath.Join(filepath.Dir(m.path), base))
	}
	return out
}

// findIndex returns the index of a folder, or the file itself.
func findIndex(path string) (string, error) {
	if stat, err := os.Stat(path); err != nil || !stat.IsDir() {
		return path, nil // reading it says what is wrong
	}
	usual := filepath.Join(path, indexName)
	if _, err := os.Stat(usual); err == nil {
		return usual, nil
	}
	// Glob's only error is a bad pattern, and a folder's name may hold one; then nothing is found.
	found, _ := filepath.Glob(filepath.Join(path, "*.safetensors.index.json"))
	if len(found) == 1 {
		return found[0], nil
	}
	return "", &Error{File: path, Offset: -1, Kind: ErrIndex, Text: fmt.Sprintf("the folder holds %d indexes (*.safetensors.index.json)", len(found)),
		Fix: "name the index, or use Open for a single .safetensors file"}
}

func readIndex(path string, o Options) (string, error) {
	if stat, err := os.Stat(path); err == nil && stat.Size() > o.Limits.MaxIndex {
		return "", &Error{File: path, Offset: -1, Kind: ErrLimit, Text: fmt.Sprintf("more than %d bytes", o.Limits.MaxIndex), Fix: fixLimit}
	}
	text, err := untrusted.ReadFilled(path, o.Limits.MaxIndex)
	if err != nil {
		return "", fmt.Errorf("safetensors: %w", err)
	}
	if !utf8.Valid(text) {
		return "", &Error{File: path, Offset: -1, Kind: ErrIndex, Text: "not UTF-8", Fix: fixDownload}
	}
	return unsafe.String(unsafe.SliceData(text), len(text)), nil // text does not change any more
}

// parseIndex reads weight_map into of, and returns total_size, -1 if the index has none.
func (m *Sharded) parseIndex(text string, o Options) (total int64, err error) {
	total = -1
	s := &scanner{src: text}
	mapped := false
	seen := map[string]bool{}
	err = s.object(func(key string, at int) error {
		if seen[key] {
			return m.fault(ErrDuplicate, "", "index", at, "key "+printable.Quote(key), fixRewrite)
		}
		seen[key] = true
		switch key {
		case "weight_map":
			mapped = true
			return m.weightMap(s, o.Limits.MaxTensors)
		case "metadata":
			total, err = m.totalSize(s)
			return err
		}
		return s.skip(1)
	})
	if err == nil {
		err = s.end()
	}
	if err == nil && !mapped {
		err = errors.New("weight_map is missing")
	}
	if typed := new(Error); err != nil && !errors.As(err, &typed) {
		err = m.fault(ErrIndex, "", "", s.pos, err.Error(), fixDownload)
	}
	return total, err
}

// fault makes an error at a byte of the index.
func (m *Sharded) fault(kind *format.Kind, tensor, field string, at int, text, fix string) error {
	return &Error{File: m.path, Tensor: tensor, Field: field, Offset: int64(at), Kind: kind, Text: text, Fix: fix}
}

func (m *Sharded) weightMap(s *scanner, most int) error {
	const field = "weight_map"
	return s.object(func(tensor string, at int) error {
		if _, twice := m.of[tensor]; twice {
			return m.fault(ErrDuplicate, tensor, field, at, "", fixRewrite)
		}
		if len(m.of) >= most {
			return m.fault(ErrLimit, tensor, field, at, fmt.Sprintf("more than %d tensors", most), fixLimit)
		}
		shard, err := s.str()
		if err != nil {
			return m.fault(ErrIndex, tensor, field, s.pos, err.Error(), fixRewrite)
		}
		// Windows' separators and drive letters count everywhere: an index means the same on every machine.
		if shard == "" || shard == "." || shard == ".." || strings.ContainsAny(shard, "/\\:\x00") {
			return m.fault(ErrPath, tensor, field, at, "got "+printable.Quote(shard),
				"do not trust the model; an index may only name files of its own folder")
		}
		m.of[tensor] = shard
		return nil
	})
}

// totalSize reads metadata.total_size; some writers make it a float such as 3.2e1.
func (m *Sharded) totalSize(s *scanner) (total int64, err error) {
	total = -1
	seen := map[string]bool{}
	err = s.object(func(key string, at int) error {
		if seen[key] {
			return m.fault(ErrDuplicate, "", "metadata", at, "key "+printable.Quote(key), fixRewrite)
		}
		seen[key] = true
		s.space()
		begin := s.pos
		if err := s.skip(1); err != nil || key != "total_size" {
			return err
		}
		value := float64(0)
		if _, err := fmt.Sscan(s.src[begin:s.pos], &value); err != nil || value != math.Trunc(value) || math.Abs(value) > 1<<62 {
			m.warn("total_size", "want a whole number, got %s", cut(s.src[begin:s.pos]))
			return nil
		}
		total = int64(value)
		return nil
	})
	return total, err
}

func (m *Sharded) warn(field, format string, args ...any) {
	m.Warnings = append(m.Warnings, Warning{field, fmt.Sprintf(format, args...)})
}

// openShards opens each shard that the index names, once.
func (m *Sharded) openShards(o Options) error {
	dir := filepath.Dir(m.path)
	for _, tensor := range slices.Sorted(maps.Keys(m.of)) {
		base := m.of[tensor]
		if m.shards[base] != nil {
			continue
		}
		path, err := untrusted.Inside(dir, base)
		if err != nil {
			kind := ErrShard
			if out := new(untrusted.Error); errors.As(err, &out) {
				kind = ErrPath
			}
			return &Error{File: m.path, Tensor: tensor, Field: "weight_map", Offset: -1, Kind: kind, Text: printable.Quote(base), Err: err,
				Fix: "put all shards beside the index"}
		}
		f, err := Open(path, o)
		if err != nil {
			return &Error{File: m.path, Tensor: tensor, Field: "weight_map", Offset: -1, Kind: ErrShard, Text: printable.Quote(base), Err: err, Fix: "get that shard again"}
		}
		m.shards[base] = f
	}
	return nil
}

// check compares the index with what the shards hold.
func (m *Sharded) check(total int64) error {
	sum := int64(0)
	for _, tensor := range slices.Sorted(maps.Keys(m.of)) {
		info, ok := m.shards[m.of[tensor]].Info(tensor)
		if !ok {
			return &Error{File: m.path, Tensor: tensor, Field: "weight_map", Offset: -1, Kind: ErrMissing,
				Text: fmt.Sprintf("shard %s lacks it", printable.Quote(m.of[tensor])), Fix: "get the shards and the index again, of one revision"}
		}
		sum += info.End - info.Begin
	}
	if total >= 0 && total != sum {
		m.warn("total_size", "the index says %d bytes, the tensors take %d", total, sum)
	}
	for _, base := range slices.Sorted(maps.Keys(m.shards)) {
		for info := range m.shards[base].All() {
			if m.of[info.Name] == base {
				m.names = append(m.names, info.Name)
				continue
			}
			m.Unmapped = append(m.Unmapped, base+": "+info.Name)
		}
	}
	if len(m.Unmapped) > 0 {
		m.warn("weight_map", "%d tensors are in a shard for which the index does not list them, the first is %s", len(m.Unmapped), printable.Quote(m.Unmapped[0]))
	}
	return nil
}

// Names returns the tensors' names, by shard, then in the order of their data.
func (m *Sharded) Names() []string { return slices.Clone(m.names) }

// Shard returns the file that holds a tensor, nil if there is none of that name.
func (m *Sharded) Shard(name string) *File { return m.shards[m.of[name]] }

// Info describes one tensor; ok is false if there is none of that name.
func (m *Sharded) Info(name string) (Info, bool) {
	if f := m.Shard(name); f != nil {
		return f.Info(name)
	}
	return Info{}, false
}

// Bytes is File.Bytes.
func (m *Sharded) Bytes(name string) ([]byte, error) { return fromShard(m, name, (*File).Bytes) }

// Float32s is File.Float32s.
func (m *Sharded) Float32s(name string) ([]float32, error) {
	return fromShard(m, name, (*File).Float32s)
}

// Float64s is File.Float64s.
func (m *Sharded) Float64s(name string) ([]float64, error) {
	return fromShard(m, name, (*File).Float64s)
}

// Int64s is File.Int64s.
func (m *Sharded) Int64s(name string) ([]int64, error) { return fromShard(m, name, (*File).Int64s) }

// ReadBytes is File.ReadBytes.
func (m *Sharded) ReadBytes(name string, at int64, dst []byte) error {
	_, err := fromShard(m, name, func(f *File, name string) ([]byte, error) { return dst, f.ReadBytes(name, at, dst) })
	return err
}

func fromShard[T any](m *Sharded, name string, get func(*File, string) ([]T, error)) ([]T, error) {
	if f := m.Shard(name); f != nil {
		return get(f, name)
	}
	return nil, &Error{File: m.path, Tensor: name, Offset: -1, Kind: ErrNoTensor,
		Text: fmt.Sprintf("the model holds %d others", len(m.names)), Fix: "see Names for what it holds"}
}

// Metadata returns the shards' metadata together; where two shards differ, the one with the first name counts.
func (m *Sharded) Metadata() map[string]string {
	out := map[string]string{}
	for _, base := range slices.Backward(slices.Sorted(maps.Keys(m.shards))) {
		maps.Copy(out, m.shards[base].meta)
	}
	return out
}

// Close closes every shard.
func (m *Sharded) Close() error {
	var errs []error
	for _, f := range m.shards {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

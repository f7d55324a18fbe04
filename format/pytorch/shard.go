package pytorch

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// IndexFile is the usual name of the index of a model in several checkpoints.
const IndexFile = "pytorch_model.bin.index.json"

// maxIndex bounds an index.
const maxIndex = 16 << 20

// Sharded is a model in several checkpoints, which an index names:
//
//	{"metadata": {"total_size": 12}, "weight_map": {"tensor": "pytorch_model-00001-of-00002.bin", ...}}
//
// Its methods are those of a File.
type Sharded struct {
	path   string
	names  []string
	of     map[string]*File
	shards map[string]*File // by base name
}

// OpenSharded opens every checkpoint that an index names. They must lie beside it, and hold every tensor that it says.
func OpenSharded(index string, opts ...Options) (*Sharded, error) {
	weightMap, err := readIndex(index)
	if err != nil {
		return nil, err
	}
	m := &Sharded{path: index, of: map[string]*File{}, shards: map[string]*File{}}
	for _, base := range slices.Compact(slices.Sorted(maps.Values(weightMap))) {
		if err := m.open(base, opts); err != nil {
			return nil, errors.Join(err, m.Close())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(weightMap)) {
		f := m.shards[weightMap[name]]
		if _, ok := f.Info(name); !ok {
			err := &Error{File: index, Tensor: name, Offset: -1, Kind: ErrStorage, Text: "shard " + cut(weightMap[name]) + " lacks it", Mend: "get the shards and the index again, of one revision"}
			return nil, errors.Join(err, m.Close())
		}
		m.of[name] = f
	}
	for _, base := range slices.Sorted(maps.Keys(m.shards)) {
		for _, name := range m.shards[base].Names() {
			if m.of[name] == m.shards[base] {
				m.names = append(m.names, name)
			}
		}
	}
	return m, nil
}

// readIndex reads the map from tensors to base names.
func readIndex(path string) (map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("pytorch: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	data, err := io.ReadAll(io.LimitReader(f, maxIndex+1))
	if err != nil {
		return nil, fmt.Errorf("pytorch: %s: %w", path, err)
	}
	if len(data) > maxIndex {
		return nil, &Error{File: path, Offset: -1, Kind: ErrLimit, Text: fmt.Sprintf("an index of more than %d bytes", maxIndex), Mend: mendDownload}
	}
	var index struct {
		Map map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(data, &index); err != nil || len(index.Map) == 0 {
		return nil, &Error{File: path, Part: "weight_map", Offset: -1, Kind: ErrLayout, Err: err, Text: fmt.Sprintf("it names %d tensors", len(index.Map)), Mend: mendDownload}
	}
	return index.Map, nil
}

// open opens one shard, which must be a file beside the index.
func (m *Sharded) open(base string, opts []Options) error {
	if base != filepath.Base(base) || base == "." || base == ".." || strings.ContainsAny(base, `/\`) || !filepath.IsLocal(base) {
		return &Error{File: m.path, Part: "weight_map", Offset: -1, Kind: ErrStorage, Text: "shard " + cut(base) + " lies outside the model's folder", Mend: "do not trust the index: a shard is named by its plain name"}
	}
	f, err := Open(filepath.Join(filepath.Dir(m.path), base), opts...)
	if errors.Is(err, os.ErrNotExist) {
		return &Error{File: m.path, Part: "weight_map", Offset: -1, Kind: ErrStorage, Text: "shard " + cut(base) + " is missing", Err: err, Mend: "get the shards and the index again, of one revision"}
	}
	if err != nil {
		return err
	}
	m.shards[base] = f
	return nil
}

// Names returns the tensors' names, by shard, then in the order of the file.
func (m *Sharded) Names() []string { return slices.Clone(m.names) }

// Info describes one tensor; ok is false if there is none of that name.
func (m *Sharded) Info(name string) (Info, bool) {
	if f := m.of[name]; f != nil {
		return f.Info(name)
	}
	return Info{}, false
}

// Metadata returns the shards' metadata together; where two differ, the one with the first name counts.
func (m *Sharded) Metadata() map[string]string {
	out := map[string]string{}
	for _, base := range slices.Backward(slices.Sorted(maps.Keys(m.shards))) {
		maps.Copy(out, m.shards[base].meta)
	}
	return out
}

// Files lists the index and the shards.
func (m *Sharded) Files() []string {
	out := []string{m.path}
	for _, base := range slices.Sorted(maps.Keys(m.shards)) {
		out = append(out, filepath.Join(filepath.Dir(m.path), base))
	}
	return out
}

// ReadFloat32s is File.ReadFloat32s.
func (m *Sharded) ReadFloat32s(name string, at int, dst []float32) error {
	if f := m.of[name]; f != nil {
		return f.ReadFloat32s(name, at, dst)
	}
	return m.missing(name)
}

// ReadBytes is File.ReadBytes.
func (m *Sharded) ReadBytes(name string, at int64, dst []byte) error {
	if f := m.of[name]; f != nil {
		return f.ReadBytes(name, at, dst)
	}
	return m.missing(name)
}

func (m *Sharded) missing(name string) error {
	return &Error{File: m.path, Tensor: name, Offset: -1, Kind: ErrNoTensor, Text: fmt.Sprintf("the model holds %d others", len(m.names)), Mend: "see Names for what it holds"}
}

// Close closes every shard.
func (m *Sharded) Close() error {
	var errs []error
	for _, f := range m.shards {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

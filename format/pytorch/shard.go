package pytorch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// IndexFile is the usual name of the index of a model in several checkpoints.
const IndexFile = "pytorch_model.bin.index.json"

// maxIndex bounds an index.
const maxIndex = 16 << 20

// maxValues bounds the values of an index: the largest models have some 100,000 tensors.
const maxValues = 1 << 19

// Sharded is a model in several checkpoints, which an index names:
//
//	{"metadata": {"total_size": 12}, "weight_map": {"tensor": "pytorch_model-00001-of-00002.bin", ...}}
//
// Its methods are those of a File.
type Sharded struct {
	path   string
	names  []string
	others []string // tensors that lie in a checkpoint and are not in the index for it
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
			err := &Error{File: index, Tensor: name, Offset: -1, Kind: ErrStorage, Text: "shard " + printable.Quote(weightMap[name]) + " lacks it", Fix: "get the shards and the index again, of one revision"}
			return nil, errors.Join(err, m.Close())
		}
		m.of[name] = f
	}
	for _, base := range slices.Sorted(maps.Keys(m.shards)) {
		for _, name := range m.shards[base].Names() {
			if m.of[name] == m.shards[base] {
				m.names = append(m.names, name)
			} else {
				m.others = append(m.others, base+": "+name)
			}
		}
		for _, name := range m.shards[base].Nameless() {
			m.others = append(m.others, base+": "+name)
		}
	}
	return m, nil
}

// readIndex reads the map from tensors to base names.
func readIndex(path string) (map[string]string, error) {
	data, err := untrusted.ReadFilled(path, maxIndex)
	if err != nil {
		return nil, fmt.Errorf("pytorch: %w", err)
	}
	if err := untrusted.CheckJSON(path, data, maxValues); err != nil {
		return nil, fmt.Errorf("pytorch: %w", err)
	}
	weightMap, err := parseIndex(data)
	if err != nil || len(weightMap) == 0 {
		return nil, &Error{File: path, Part: "weight_map", Offset: -1, Kind: ErrLayout, Err: err, Text: fmt.Sprintf("it names %d tensors", len(weightMap)), Fix: fixDownload}
	}
	return weightMap, nil
}

// parseIndex reads an index piece by piece, so that its memory stays within a small multiple of the file.
func parseIndex(data []byte) (map[string]string, error) {
	in := json.NewDecoder(bytes.NewReader(data))
	if err := open(in, "an index"); err != nil {
		return nil, err
	}
	budget := 12<<20 + 2*len(data)
	weightMap, bases := map[string]string(nil), map[string]string{}
	for in.More() {
		key, err := text(in)
		if err != nil {
			return nil, err
		}
		if key != "weight_map" {
			if err := skip(in); err != nil {
				return nil, err
			}
			continue
		}
		if weightMap != nil {
			return nil, errors.New("it occurs twice")
		}
		if err := open(in, key); err != nil {
			return nil, err
		}
		for weightMap = map[string]string{}; in.More(); {
			name, err := text(in)
			if err != nil {
				return nil, err
			}
			base, err := text(in)
			if err != nil {
				return nil, err
			}
			if _, twice := weightMap[name]; twice {
				return nil, fmt.Errorf("%s occurs twice", printable.Quote(name))
			}
			if budget -= 80 + len(name); len(name) > maxName || len(base) > maxName || budget < 0 {
				return nil, fmt.Errorf("%s: a name of more than %d bytes, or more names than an index of this size has", printable.Quote(name), maxName)
			}
			if _, known := bases[base]; !known { // each name of a shard once
				bases[base] = base
			}
			if len(bases) > maxShards {
				return nil, fmt.Errorf("more than %d shards", maxShards)
			}
			weightMap[name] = bases[base]
		}
		if _, err := in.Token(); err != nil {
			return nil, err
		}
	}
	if _, err := in.Token(); err != nil {
		return nil, err
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows its end")
	}
	return weightMap, nil
}

// maxShards is more files than any model has: the largest have some 200.
const maxShards = 4096

// open reads the brace that begins an object.
func open(in *json.Decoder, what string) error {
	if token, err := in.Token(); err != nil {
		return err
	} else if token != json.Delim('{') {
		return fmt.Errorf("%s is not an object", what)
	}
	return nil
}

// text reads a key or a value that is text.
func text(in *json.Decoder) (string, error) {
	token, err := in.Token()
	if err != nil {
		return "", err
	}
	s, ok := token.(string)
	if !ok {
		return "", errors.New("a value that is not text")
	}
	return s, nil
}

// skip passes over a value, without a call for each level of it.
func skip(in *json.Decoder) error {
	for depth := 0; ; {
		token, err := in.Token()
		if err != nil {
			return err
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

// open opens one shard, which must be a file beside the index.
func (m *Sharded) open(base string, opts []Options) error {
	if base != filepath.Base(base) || base == "." || base == ".." || strings.ContainsAny(base, `/\`) || !filepath.IsLocal(base) {
		return &Error{File: m.path, Part: "weight_map", Offset: -1, Kind: ErrStorage, Text: "shard " + printable.Quote(base) + " lies outside the model's folder", Fix: "do not trust the index: a shard is named by its plain name"}
	}
	path, err := untrusted.Inside(filepath.Dir(m.path), base)
	if err != nil {
		return fmt.Errorf("pytorch: %s: shard: %w", m.path, err)
	}
	f, err := Open(path, opts...)
	if errors.Is(err, os.ErrNotExist) {
		return &Error{File: m.path, Part: "weight_map", Offset: -1, Kind: ErrStorage, Text: "shard " + printable.Quote(base) + " is missing", Err: err, Fix: "get the shards and the index again, of one revision"}
	}
	if err != nil {
		return err
	}
	m.shards[base] = f
	return nil
}

// Names returns the tensors' names, by shard, then in the order of the file.
func (m *Sharded) Names() []string { return slices.Clone(m.names) }

// Unmapped names the tensors that lie in a checkpoint and are not in the index for it, "checkpoint: tensor"; they are not reachable.
func (m *Sharded) Unmapped() []string { return slices.Clone(m.others) }

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
	return &Error{File: m.path, Tensor: name, Offset: -1, Kind: ErrNoTensor, Text: fmt.Sprintf("the model holds %d others", len(m.names)), Fix: "see Names for what it holds"}
}

// Verify is File.Verify for every shard.
func (m *Sharded) Verify(ctx context.Context) error {
	for _, base := range slices.Sorted(maps.Keys(m.shards)) {
		if err := m.shards[base].Verify(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Close closes every shard.
func (m *Sharded) Close() error {
	var errs []error
	for _, f := range m.shards {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

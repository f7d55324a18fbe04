package tfjs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// ManifestFile is the usual name of a manifest.
const ManifestFile = "model.json"

// maxShards bounds the files that a model keeps open. Shards have 4 MB by default, and a process usually may open 1024 files.
const maxShards = 4096

// File is an open model. Its methods may be called from several goroutines at once, Close aside.
type File struct {
	path     string
	weights  []*weight
	byName   map[string]*weight
	groups   []group
	paths    []string
	meta     map[string]string
	topology bool
	close    func() error
}

// group is the shards of one group, one behind the other.
type group struct {
	shards []shard
	size   int64
}

type shard struct {
	source   io.ReaderAt
	at, size int64 // in the group
}

// Info describes a weight.
type Info struct {
	Name     string
	DType    string // of the values: "float32", "int32", "uint8", "bool", "complex64", "string"
	Stored   string // of the bytes in the file: DType, or "uint8", "uint16" or "float16" where it is quantised
	Shape    []int  // row-major; empty for a scalar
	Elements int
	Bytes    int64 // in the file
}

// Open opens the model of a manifest, or of a folder that holds a model.json. The files must not change while it is open.
func Open(path string) (*File, error) {
	if stat, err := os.Stat(path); err == nil && stat.IsDir() {
		path = filepath.Join(path, ManifestFile)
	}
	manifest, err := untrusted.OpenFilled(path)
	if err != nil {
		return nil, fmt.Errorf("tfjs: %w", err)
	}
	defer manifest.Close()
	stat, err := manifest.Stat()
	if err != nil {
		return nil, fmt.Errorf("tfjs: %w", err)
	}
	dir := filepath.Dir(path)
	var open []io.Closer
	closeAll := func() error {
		var errs []error
		for _, c := range open {
			errs = append(errs, c.Close())
		}
		open = nil
		return errors.Join(errs...)
	}
	f := &File{path: path, close: closeAll}
	err = f.read(manifest, stat.Size(), func(name string) (io.ReaderAt, int64, error) {
		if len(open) == maxShards {
			return nil, 0, fmt.Errorf("%w: more than %d shards", ErrLimit, maxShards)
		}
		path, err := untrusted.Inside(dir, name)
		if err != nil {
			return nil, 0, err
		}
		file, err := untrusted.Open(path)
		if err != nil {
			return nil, 0, err
		}
		open = append(open, file)
		stat, err := file.Stat()
		if err != nil {
			return nil, 0, err
		}
		return file, stat.Size(), nil
	})
	if err != nil {
		return nil, errors.Join(err, closeAll())
	}
	return f, nil
}

// read reads a manifest of the given size; open gives a shard and its size.
func (f *File) read(manifest io.Reader, size int64, open func(name string) (io.ReaderAt, int64, error)) error {
	f.meta, f.byName = map[string]string{}, map[string]*weight{}
	p := &parser{file: f, budget: 16<<20 + 2*size, seen: map[string]bool{}}
	if err := p.manifest(manifest); err != nil {
		return err
	}
	used := map[string]bool{}
	for _, paths := range p.groups {
		g := group{}
		for _, path := range paths {
			if !filepath.IsLocal(filepath.FromSlash(path)) {
				return p.fail(ErrPath, "", "paths", printable.Quote(path), "paths must be relative and stay in the folder: do not trust the model")
			}
			if used[path] {
				return p.fail(ErrDuplicate, "", "paths", printable.Quote(path), fixConvert)
			}
			used[path] = true
			source, size, err := open(path)
			if err != nil {
				kind, fix := ErrShard, fixDownload
				unfetched := new(untrusted.Unfetched)
				if errors.Is(err, ErrLimit) {
					kind = ErrLimit
				} else if errors.As(err, &unfetched) {
					fix = ""
				} else if !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrPermission) {
					kind, fix = ErrPath, "it must be a file in the model's folder: do not trust the model"
				}
				return &Error{File: f.path, Field: "paths", Kind: kind, Text: printable.Quote(path), Err: err, Fix: fix}
			}
			f.paths = append(f.paths, filepath.Join(filepath.Dir(f.path), filepath.FromSlash(path)))
			g.shards = append(g.shards, shard{source: source, at: g.size, size: size})
			g.size += size
		}
		f.groups = append(f.groups, g)
	}
	return f.place(p)
}

// place lays the weights out in their groups.
func (f *File) place(p *parser) error {
	at := make([]int64, len(f.groups))
	for _, w := range p.weights {
		g := &f.groups[w.group]
		size := w.end
		w.at = at[w.group]
		if w.stored == "string" {
			var err error
			if size, err = f.strings(g, w); err != nil {
				return err
			}
		}
		if size > g.size-w.at {
			return p.fail(ErrSize, w.name, "shape", fmt.Sprintf("%s %v takes %d bytes from byte %d on, the shards of its group have %d", w.stored, w.shape, size, w.at, g.size), fixDownload)
		}
		w.end = w.at + size
		at[w.group] = w.end
		f.weights = append(f.weights, w)
		f.byName[w.name] = w
	}
	for i, g := range f.groups {
		if at[i] != g.size {
			return p.fail(ErrSize, "", "weightsManifest", fmt.Sprintf("the weights of group %d take %d bytes, its shards have %d", i+1, at[i], g.size), fixDownload)
		}
	}
	return nil
}

// strings finds the size of a weight of texts, each its length in four bytes and then itself.
func (f *File) strings(g *group, w *weight) (int64, error) {
	at := w.at
	for range w.elements {
		var length [4]byte
		if at > g.size-4 {
			return 0, &Error{File: f.path, Tensor: w.name, Field: "shape", Kind: ErrSize, Text: "its texts reach beyond the shards", Fix: fixDownload}
		}
		if err := f.fetch(w, g, length[:], at); err != nil {
			return 0, err
		}
		at += 4 + int64(binary.LittleEndian.Uint32(length[:]))
	}
	return at - w.at, nil
}

// Names returns the weights' names in the order of the manifest.
func (f *File) Names() []string {
	out := make([]string, len(f.weights))
	for i, w := range f.weights {
		out[i] = w.name
	}
	return out
}

// Info describes one weight; ok is false if there is none of that name.
func (f *File) Info(name string) (info Info, ok bool) {
	w := f.byName[name]
	if w == nil {
		return Info{}, false
	}
	return Info{Name: w.name, DType: w.dtype, Stored: w.stored, Shape: slices.Clone(w.shape), Elements: int(w.elements), Bytes: w.end - w.at}, true
}

// Metadata returns what the manifest says beside weights and topology: "format", "generatedBy", "userDefinedMetadata" ...
func (f *File) Metadata() map[string]string { return maps.Clone(f.meta) }

// HasTopology tells whether the manifest describes the network too.
func (f *File) HasTopology() bool { return f.topology }

// Close closes the shards. A second call does nothing.
func (f *File) Close() error {
	if f.close == nil {
		return nil
	}
	err := f.close()
	f.close = nil
	if err != nil {
		return fmt.Errorf("tfjs: %s: %w", f.path, err)
	}
	return nil
}

// ReadFloat32s puts the values of elements [at, at+len(dst)) of a weight into dst. What is quantised is restored, int32 is
// rounded to the nearest float32; complex64 and string are an error.
func (f *File) ReadFloat32s(name string, at int, dst []float32) error {
	w := f.byName[name]
	if w == nil {
		return f.missing(name)
	}
	if w.stored == "string" || w.stored == "complex64" {
		return &Error{File: f.path, Tensor: name, Field: "dtype", Kind: ErrDType, Text: w.stored + " has no values as float32", Fix: "read its bytes"}
	}
	if err := f.inside(w, int64(at), int64(len(dst)), w.elements, "elements"); err != nil {
		return err
	}
	const piece = 1 << 16
	size := int(sizes[w.stored])
	raw := make([]byte, min(len(dst), piece)*size)
	for len(dst) > 0 {
		n := min(len(dst), piece)
		if err := f.fetch(w, &f.groups[w.group], raw[:n*size], w.at+int64(at)*int64(size)); err != nil {
			return err
		}
		if err := w.decode(dst[:n], raw[:n*size]); err != nil {
			return &Error{File: f.path, Tensor: name, Field: "dtype", Kind: ErrDType, Err: err}
		}
		at, dst = at+n, dst[n:]
	}
	return nil
}

// as gives stored types in safetensors' words.
var as = map[string]safetensors.DType{"float32": safetensors.F32, "int32": safetensors.I32, "uint8": safetensors.U8, "bool": safetensors.Bool,
	"float16": safetensors.F16, "uint16": safetensors.U16}

func (w *weight) decode(dst []float32, raw []byte) error {
	if err := safetensors.DecodeFloat32s(dst, as[w.stored], raw); err != nil {
		return err
	}
	if !w.quantised {
		return nil
	}
	for i, q := range dst {
		v := float64(q)*w.scale + w.min
		if w.dtype == "int32" {
			v = math.RoundToEven(v)
		}
		dst[i] = float32(v)
	}
	return nil
}

// ReadBytes puts bytes [at, at+len(dst)) of a weight, as stored, into dst.
func (f *File) ReadBytes(name string, at int64, dst []byte) error {
	w := f.byName[name]
	if w == nil {
		return f.missing(name)
	}
	if err := f.inside(w, at, int64(len(dst)), w.end-w.at, "bytes"); err != nil {
		return err
	}
	return f.fetch(w, &f.groups[w.group], dst, w.at+at)
}

func (f *File) inside(w *weight, at, n, have int64, what string) error {
	if at < 0 || n > have || at > have-n {
		return &Error{File: f.path, Tensor: w.name, Kind: ErrRange, Text: fmt.Sprintf("%s %d to %d of %d", what, at, at+n, have)}
	}
	return nil
}

// fetch reads bytes of a group, which may lie in several shards.
func (f *File) fetch(w *weight, g *group, raw []byte, at int64) error {
	i, found := slices.BinarySearchFunc(g.shards, at, func(s shard, at int64) int {
		switch {
		case s.at+s.size <= at:
			return -1
		case s.at > at:
			return 1
		}
		return 0
	})
	for ; len(raw) > 0; i++ {
		if i >= len(g.shards) || (!found && g.shards[i].at > at) {
			return &Error{File: f.path, Tensor: w.name, Kind: ErrShard, Text: fmt.Sprintf("byte %d of a group of %d", at, g.size), Fix: fixDownload}
		}
		s := g.shards[i]
		n := int(min(int64(len(raw)), s.at+s.size-at))
		if got, err := s.source.ReadAt(raw[:n], at-s.at); got < n {
			return &Error{File: f.path, Tensor: w.name, Kind: ErrShard, Err: err, Fix: "the model was closed or has changed: open it again"}
		}
		raw, at = raw[n:], at+int64(n)
	}
	return nil
}

func (f *File) missing(name string) error {
	return &Error{File: f.path, Tensor: name, Kind: ErrNoTensor, Text: fmt.Sprintf("the model holds %d others", len(f.weights)), Fix: "see Names for what it holds"}
}

// Shards returns the paths of the files that hold the weights, in the order of the manifest.
func (f *File) Shards() []string { return slices.Clone(f.paths) }

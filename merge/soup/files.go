package soup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/vector"
)

// FileResult describes what Uniform.Files did.
type FileResult struct {
	Models   []string `json:"models"`
	Out      string   `json:"out"`
	Tensors  int      `json:"tensors"`
	Copied   []string `json:"copied,omitempty"` // integer tensors, taken from the first model
	Bytes    int64    `json:"bytes"`            // of the tensors written
	Warnings []string `json:"warnings,omitempty"`
}

// stretchValues is the number of values that are in memory of one model at a time.
const stretchValues = 1 << 18

// Files averages model files of any format that package weights opens, and writes model.safetensors, or shards with an index where
// it is larger than safetensors.MaxShard, into the folder out, which must be new or empty. Models are read once, in stretches: a few megabytes a processor are in
// memory whatever their size or number. Integer tensors are copied from the first model; others keep its type, F32 where safetensors
// has none like it. progress, if not nil, is told of the values done.
func (u Uniform) Files(ctx context.Context, paths []string, out string, progress func(done, total int64)) (FileResult, error) {
	if len(paths) == 0 {
		return FileResult{}, errors.New("merge: uniform soup: there is no model; give at least one")
	}
	return combineFiles(paths, out, &fileMean{ctx: ctx, wide: len(paths) > u.WideAbove, progress: progress})
}

// CombineFiles writes sum over i of c_i theta_i, summed in float64, from files: shares gives the c_i of a tensor, one for each file, and may
// be called from several goroutines. Files are read in stretches, as by Uniform.Files.
func CombineFiles(ctx context.Context, paths []string, out string, shares func(tensor string) []float64, progress func(done, total int64)) (FileResult, error) {
	return combineFiles(paths, out, &fileMean{ctx: ctx, wide: true, shares: shares, progress: progress})
}

// combineFiles writes what mean makes of files.
func combineFiles(paths []string, out string, mean *fileMean) (r FileResult, err error) {
	files := make([]weights.File, len(paths))
	defer func() {
		for _, f := range files {
			if f != nil {
				err = errors.Join(err, f.Close())
			}
		}
	}()
	for i, path := range paths {
		if files[i], err = weights.Open(path); err != nil {
			return r, err
		}
		if i > 0 {
			files[i] = named(files[i], files[0])
			if err := sameTensors(files[0], files[i]); err != nil {
				return r, err
			}
		}
	}

	for i, f := range files {
		for _, note := range weights.Notes(f) {
			r.Warnings = append(r.Warnings, paths[i]+": "+note)
		}
		for _, info := range f.Tensors() {
			if err := weights.Readable(f, info); err != nil {
				return r, err
			}
		}
	}

	mean.files, mean.like = files, make([]similarity, len(files))
	var list []safetensors.Tensor
	for _, info := range files[0].Tensors() {
		mean.total += int64(info.Elements)
		to, copied, err := fileType(files[0], info)
		if err != nil {
			return r, err
		}
		width := weights.Width(string(to))
		if copied {
			r.Copied = append(r.Copied, info.Name)
			width = max(1, to.Bits()/8)
		}
		r.Bytes += int64(info.Elements * width)
		list = append(list, safetensors.Tensor{Name: info.Name, DType: to, Shape: info.Shape, Open: func() (io.Reader, error) {
			return &stretchReader{mean: mean, info: info, to: to, copied: copied, width: width}, nil
		}})
	}

	metadata := map[string]string{"format": "pt"}
	if files[0].Kind() == weights.Safetensors {
		metadata = files[0].Metadata()
	}
	err = durable.WriteDir(out, durable.Marked(false), func(tmp string) error {
		defer mean.ahead.Wait()
		if r.Bytes > safetensors.MaxShard {
			return safetensors.WriteSharded(tmp, list, metadata, safetensors.MaxShard)
		}
		return safetensors.WriteFile(filepath.Join(tmp, "model.safetensors"), list, metadata)
	})
	if err != nil {
		return r, err
	}
	r.Models, r.Out, r.Tensors = paths, out, len(list)
	for i, s := range mean.like[1:] {
		if cosine := s.dot / math.Sqrt(s.first*s.own); cosine < farApart {
			r.Warnings = append(r.Warnings, fmt.Sprintf("%s points another way than %s (cosine %.2f): do they share their first weights, and their heads'?", paths[i+1], paths[0], cosine))
		}
	}
	return r, nil
}

// named shows a file by the names of the first one, where a prefix before all names is what they differ by.
func named(f, first weights.File) weights.File {
	names := func(f weights.File) (out []string) {
		for _, info := range f.Tensors() {
			out = append(out, info.Name)
		}
		return out
	}
	own, theirs := names(f), names(first)
	if prefix, ok := weights.Prefix(own, theirs); ok {
		return weights.Without(f, prefix)
	}
	if prefix, ok := weights.Prefix(theirs, own); ok {
		return weights.With(f, prefix, theirs)
	}
	return f
}

// sameTensors says where a file's tensors differ from the first one's.
func sameTensors(first, other weights.File) error {
	layout := func(f weights.File) weights.Set {
		var w weights.Set
		for _, info := range f.Tensors() {
			w = append(w, weights.Tensor{Name: info.Name, Shape: info.Shape})
		}
		slices.SortFunc(w, func(a, b weights.Tensor) int { return strings.Compare(a.Name, b.Name) })
		return w
	}
	return layout(first).SameLayout(first.Path(), layout(other), other.Path())
}

// fileType is the type that a tensor is written as, and whether it is copied rather than averaged.
func fileType(f weights.File, info weights.Info) (to safetensors.DType, copied bool, err error) {
	own := safetensors.DType(info.Type)
	name := strings.ToLower(info.Type)
	integer := f.Kind() != weights.TFJS && f.Kind() != weights.GGUF && (strings.HasPrefix(name, "i") || strings.HasPrefix(name, "u") || strings.HasPrefix(name, "bool"))
	switch {
	case integer && (f.Kind() == weights.Safetensors || f.Kind() == weights.Sharded):
		return own, true, nil
	case integer:
		types := map[string]safetensors.DType{
			"bool": safetensors.Bool, "uint8": safetensors.U8, "int8": safetensors.I8, "int16": safetensors.I16, "uint16": safetensors.U16,
			"int32": safetensors.I32, "uint32": safetensors.U32, "int64": safetensors.I64, "uint64": safetensors.U64,
		}
		to, ok := types[name]
		if !ok {
			return "", false, &fault.Input{File: f.Path(), Field: info.Name, Err: fmt.Errorf("its type is %s, which cannot be copied", info.Type), Fix: "convert the model to safetensors first"}
		}
		return to, true, nil
	case weights.Width(info.Type) > 0:
		return own, false, nil
	}

	types := map[string]safetensors.DType{"float16": safetensors.F16, "bfloat16": safetensors.BF16, "float64": safetensors.F64}
	if to, ok := types[name]; ok {
		return to, false, nil
	}
	return safetensors.F32, false, nil
}

// similarity is what the cosine of a model to the first one is made of, over a part of each stretch.
type similarity struct{ dot, own, first float64 }

// similaritySample is the values of a stretch that are looked at: a warning needs no more.
const similaritySample = 1 << 12

// fileMean averages stretches.
type fileMean struct {
	ctx      context.Context
	files    []weights.File
	wide     bool                          // sums in float64
	shares   func(tensor string) []float64 // of each file; nil = equal ones
	progress func(done, total int64)
	total    int64
	ahead    sync.WaitGroup // stretches under way
	scratch  sync.Pool      // of *meanScratch

	mu   sync.Mutex
	like []similarity
	done int64
}

type meanScratch struct {
	first, values []float32
	sums          []float64
}

// stretch is the mean of elements [at, at+n) of a tensor.
func (m *fileMean) stretch(info weights.Info, at, n int) ([]float32, error) {
	if m.ctx.Err() != nil {
		return nil, context.Cause(m.ctx)
	}
	scratch, ok := m.scratch.Get().(*meanScratch)
	if !ok {
		scratch = &meanScratch{first: make([]float32, stretchValues), values: make([]float32, stretchValues), sums: make([]float64, stretchValues)}
	}
	defer m.scratch.Put(scratch)
	sums := scratch.sums[:n]
	clear(sums)
	out := make([]float32, n)
	var shares []float64
	if m.shares != nil {
		shares = m.shares(info.Name)
	}
	like := make([]similarity, len(m.files))
	sample := min(n, similaritySample)
	for i, f := range m.files {
		values := scratch.values[:n]
		if i == 0 {
			values = scratch.first[:n]
		}
		if err := f.ReadFloat32s(info.Name, at, values); err != nil {
			return nil, err
		}
		if j := slices.IndexFunc(values, func(v float32) bool { return v-v != 0 }); j >= 0 {
			return nil, &fault.Input{File: f.Path(), Field: info.Name, Err: fmt.Errorf("value %d is %v", at+j, values[j]), Fix: "leave this model out, or train it again"}
		}
		share := 1 / float64(len(m.files))
		if shares != nil {
			share = shares[i]
		}
		if m.wide {
			for j, v := range values {
				sums[j] += share * float64(v)
			}
		} else {
			vector.AddScaled(out, float32(share), values)
		}
		like[i] = similarity{
			dot: weights.Dot(scratch.first[:sample], values[:sample]), own: weights.Dot(values[:sample], values[:sample]),
			first: weights.Dot(scratch.first[:sample], scratch.first[:sample]),
		}
	}

	if m.wide {
		for j, v := range sums {
			out[j] = float32(v)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, s := range like {
		m.like[i].dot, m.like[i].own, m.like[i].first = m.like[i].dot+s.dot, m.like[i].own+s.own, m.like[i].first+s.first
	}

	m.done += int64(n)
	if m.progress != nil {
		m.progress(m.done, m.total)
	}
	return out, nil
}

// stretchReader gives a tensor's bytes, stretch by stretch. As many stretches as there are processors are made ahead.
type stretchReader struct {
	mean   *fileMean
	info   weights.Info
	to     safetensors.DType
	copied bool
	width  int
	begun  int // elements that are under way or done
	queue  []chan stretchBytes
	rest   []byte
}

type stretchBytes struct {
	data []byte
	err  error
}

func (s *stretchReader) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		for s.begun < s.info.Elements && len(s.queue) <= runtime.GOMAXPROCS(0) {
			at, n := s.begun, min(stretchValues, s.info.Elements-s.begun)
			s.begun += n
			result := make(chan stretchBytes, 1)
			s.queue = append(s.queue, result)
			s.mean.ahead.Go(func() {
				data, err := s.bytes(at, n)
				result <- stretchBytes{data, err}
			})
		}
		if len(s.queue) == 0 {
			return 0, io.EOF
		}
		next := <-s.queue[0]
		s.queue = s.queue[1:]
		if next.err != nil {
			return 0, next.err
		}
		s.rest = next.data
	}

	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// bytes are those of elements [at, at+n).
func (s *stretchReader) bytes(at, n int) ([]byte, error) {
	buffer := make([]byte, n*s.width)
	if s.copied {
		return buffer, s.mean.copied(s.info.Name, at*s.width, n, buffer)
	}
	values, err := s.mean.stretch(s.info, at, n)
	if err != nil {
		return nil, err
	}
	overflowed, err := weights.Round(buffer, string(s.to), values)
	if err != nil {
		return nil, err
	}
	if overflowed > 0 { // a mean lies between values of this type; only a later model of a wider type can do it
		return nil, &fault.Input{File: s.mean.files[0].Path(), Field: s.info.Name, Err: fmt.Errorf("%d values are too large for %s", overflowed, s.to), Fix: "list a model of a wider type first"}
	}
	return buffer, nil
}

func (m *fileMean) copied(tensor string, at, n int, buffer []byte) error {
	if err := m.files[0].ReadBytes(tensor, int64(at), buffer); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done += int64(n)
	if m.progress != nil {
		m.progress(m.done, m.total)
	}
	return nil
}

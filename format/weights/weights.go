// Package weights presents a model file of any format as named tensors and reads their values in ranges. Code that merges,
// converts or inspects models needs to know nothing about formats, and takes only the memory that it requests.
//
//	kind                  what                                                         types of elements
//	safetensors           one file                                                     as in the file: "F32", "BF16", ...
//	safetensors-sharded   several, by an index or the folder that holds it             the same
//	pytorch               a checkpoint or several with an index, its state dict        PyTorch's: "float32", "bfloat16", ...
//	tfjs                  a manifest, model.json, and its shards                       "float32", "float32(uint8)", "int32", ...
//	gguf                  a file of llama.cpp                                          GGUF's: "F16", "Q4_K", ...
//	npz, npy              NumPy arrays                                                 NumPy's: "float32", "int64", ...
//	onnx                  a graph, its initialisers                                    ONNX's: "FLOAT", "FLOAT16", "INT64", ...
//
// Open finds the kind from the bytes, never from the name. Detect only returns it.
package weights

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/format"
	"github.com/ballast-ml/ballast/format/gguf"
	"github.com/ballast-ml/ballast/format/pytorch"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// Kind is a format.
type Kind string

// The formats.
const (
	Safetensors Kind = "safetensors"
	Sharded     Kind = "safetensors-sharded"
	GGUF        Kind = "gguf"
	NPY         Kind = "npy"
	NPZ         Kind = "npz"
	PyTorch     Kind = "pytorch"
	TFJS        Kind = "tfjs"
	ONNX        Kind = "onnx"
)

// Info describes a tensor.
type Info struct {
	Name       string `json:"name"`
	Type       string `json:"type"`        // the format's own spelling: "F32", "BF16", "Q4_K", ...
	Shape      []int  `json:"shape"`       // row-major, slowest dimension first, in every format
	Elements   int    `json:"elements"`    // product of Shape
	Bytes      int64  `json:"bytes"`       // as stored
	Block      int    `json:"block"`       // elements of a storage block: 1, 32 or 256; any stretch can be read, whole blocks are read fastest
	BlockBytes int    `json:"block_bytes"` // bytes of a block; 0 where a tensor is not stored in one piece

	Unread string `json:"unread,omitempty"` // why its values cannot be read; "" where they can
}

// File is an open model file. Its methods may be called from several goroutines at once, Close aside. The file must not change while it
// is open.
type File interface {
	Kind() Kind
	Path() string

	// Tensors are in the order of the data.
	Tensors() []Info

	// Info describes one tensor; ok is false if there is none of that name.
	Info(name string) (info Info, ok bool)

	// Metadata is what the file says beside its tensors, as text.
	Metadata() map[string]string

	// ReadFloat32s puts the elements [at, at+len(dst)) of a tensor, in row-major order, into dst: exact where float32 holds them,
	// else rounded to the nearest.
	ReadFloat32s(name string, at int, dst []float32) error

	// ReadBytes copies the bytes [at, at+len(dst)) of a tensor as stored, in row-major order.
	ReadBytes(name string, at int64, dst []byte) error

	Close() error
}

// models names no format: it stands for files as a whole.
var models = format.Format{Name: "weights"}

// Kinds of errors, for errors.Is.
var (
	ErrKind      = models.Kind("no model file that is known")
	ErrSeveral   = models.Kind("more than one model file")
	ErrQuantised = models.Kind("the codes of a quantised tensor cannot be read")
	ErrStretch   = models.Misuse("outside the tensor")
	ErrNoTensor  = models.Misuse("no such tensor")
)

// Error says what is wrong with a file, where, and what to do about it. It is the type of the errors within each format, too.
type Error = format.Error

// How many tensors and entries of metadata a file may have. An entry takes a few times its bytes in a file while a model is looked at,
// so files of nothing but small entries are refused.
const (
	maxTensors = 500_000 // the largest models have 200,000, in all their shards
	maxStacked = 1 << 16 // GGUF stacks experts into one tensor: the largest models have 3,000
	maxKeys    = 20_000  // models have a hundred
)

// Open opens a model file, or a folder with one. What is in a folder is looked for in this order: an index of shards,
// model.safetensors, an index of checkpoints, pytorch_model.bin and other usual names, the only file of a kind that is known.
//
// A checkpoint that is quantised by scales beside its weights is shown as the values that its codes stand for, or refused by the name of
// the method: a code is never taken for a value. OpenStored shows the codes.
func Open(path string) (File, error) {
	f, err := OpenStored(path)
	if err != nil {
		return nil, err
	}
	q := Quantised(f)
	if q == nil {
		return f, nil
	}
	values, err := q.Dequantised(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return values, nil
}

// OpenStored is Open for those who look at what a file holds, or copy it as it is: tensors are those that are stored, be they codes.
func OpenStored(path string) (File, error) {
	kind, path, err := find(path)
	if err != nil {
		return nil, err
	}
	return openers()[kind](path)
}

// each goes through Tensors one by one: a list of them all takes as much memory again as an open file.
func each(f File) iter.Seq[Info] {
	return func(yield func(Info) bool) {
		n, ok := f.(interface{ Names() []string })
		if !ok {
			for _, info := range f.Tensors() {
				if !yield(info) {
					return
				}
			}
			return
		}
		for _, name := range n.Names() {
			if info, ok := f.Info(name); ok && !yield(info) {
				return
			}
		}
	}
}

// Files lists the files that an open model is read from, each once.
func Files(f File) []string {
	f = Inner(f)
	if s, ok := f.(*safetensorsFile); ok {
		if sharded, ok := s.tensorFile.(interface{ Files() []string }); ok {
			return sharded.Files()
		}
	}
	if p, ok := f.(*pytorchFile); ok {
		if sharded, ok := p.pytorchTensors.(interface{ Files() []string }); ok {
			return sharded.Files()
		}
	}
	if g, ok := f.(*ggufFile); ok {
		return g.Paths()
	}
	if t, ok := f.(*tfjsFile); ok {
		return append([]string{t.path}, t.Shards()...)
	}
	return []string{f.Path()}
}

// Detect says what Open would open a path as.
func Detect(path string) (Kind, error) {
	kind, _, err := find(path)
	return kind, err
}

// openers is what opens each kind.
func openers() map[Kind]func(path string) (File, error) {
	return map[Kind]func(path string) (File, error){
		Safetensors: openSafetensors,
		Sharded:     openSharded,
		PyTorch:     openPyTorch,
		TFJS:        openTFJS,
		GGUF:        openGGUF,
		NPZ:         openNPZ,
		NPY:         openNPY,
		ONNX:        openONNX,
	}
}

// find returns the kind of a file, or of the file that stands for a folder, and its path.
func find(path string) (Kind, string, error) {
	stat, err := os.Stat(path)
	if err != nil || !stat.IsDir() {
		kind, err := sniff(path)
		return kind, path, err
	}
	indexes, err := filepath.Glob(filepath.Join(escaped(path), "*.safetensors.index.json"))
	if err != nil {
		return "", "", fmt.Errorf("weights: %s: %w", path, err)
	}
	if len(indexes) == 1 {
		return inside(Sharded, path, filepath.Base(indexes[0]))
	}
	if usual := "model.safetensors"; exists(filepath.Join(path, usual)) {
		return inside(Safetensors, path, usual)
	}
	if usual := pytorch.IndexFile; exists(filepath.Join(path, usual)) {
		return inside(PyTorch, path, usual)
	}
	for _, usual := range usualNames {
		if !exists(filepath.Join(path, usual)) {
			continue
		}
		_, at, err := inside("", path, usual)
		if err != nil {
			return "", "", err
		}
		kind, err := sniff(at)
		return kind, at, err
	}
	return only(path)
}

// usualNames are the names that programs give the one file of weights in a folder, the likeliest first.
var usualNames = []string{
	"model.safetensors", "pytorch_model.bin", "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin",
	"adapter_model.safetensors", "adapter_model.bin",
}

// adapterNames are those of adapters among them.
var adapterNames = []string{"adapter_model.safetensors", "adapter_model.bin"}

// isTrainers reports whether a file of a folder is one that training programs keep beside the weights: states of the optimizer, of random
// numbers, of the schedule, and their arguments.
func isTrainers(name string) bool {
	for _, begin := range []string{"training_args.", "optimizer.", "scheduler.", "scaler.", "rng_state", "random_states_", "optimizer_", "zero_pp_rank"} {
		if strings.HasPrefix(name, begin) {
			return true
		}
	}
	return false
}

// only finds the one file of a kind that is known in a folder.
func only(path string) (Kind, string, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return "", "", fmt.Errorf("weights: %w", err)
	}
	var found []string
	var kind Kind
	var refused error
	for _, entry := range entries {
		if isTrainers(entry.Name()) {
			continue
		}
		// A link counts where it stays in the folder, or leads to the blobs of a Hugging Face cache.
		if link := entry.Type()&fs.ModeSymlink != 0; !link && !entry.Type().IsRegular() {
			continue
		} else if _, err := untrusted.Inside(path, entry.Name()); link && err != nil {
			refused = fmt.Errorf("weights: %w", err)
			continue
		}
		k, err := sniff(filepath.Join(path, entry.Name()))
		unfetched := new(untrusted.Unfetched)
		if err == nil {
			kind, found = k, append(found, entry.Name())
		} else if errors.As(err, &unfetched) && weighs(entry.Name()) {
			refused = err
		}
	}
	if len(found) == 0 && refused != nil {
		return "", "", refused
	}
	if kind == GGUF && oneSplit(found) {
		found = found[:1] // the others are found by it
	}
	if len(found) != 1 {
		e := &Error{File: path, Kind: ErrKind, Text: fmt.Sprintf("the folder holds %d model files %s", len(found), some(found)), Fix: "name one of them"}
		if len(found) == 0 {
			e.Fix = "name the folder of a model, or a model file"
		} else {
			e.Kind = ErrSeveral
		}
		if len(found) > 0 && !slices.ContainsFunc(found, func(name string) bool { return !partName.MatchString(name) }) {
			e.Fix = "they are parts of one model whose index is missing: get model.safetensors.index.json or pytorch_model.bin.index.json too"
		}
		return "", "", e
	}
	return kind, filepath.Join(path, found[0]), nil
}

// weighs reports whether a name is that of a file of weights.
func weighs(name string) bool {
	return slices.Contains([]string{".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".onnx", ".npz", ".npy"}, strings.ToLower(filepath.Ext(name)))
}

// oneSplit tells whether files are parts of one GGUF model.
func oneSplit(names []string) bool {
	first := ""
	for i, name := range names {
		whole, _, ok := gguf.PartOf(name)
		if first = cmp.Or(first, whole); !ok || i > 0 && whole != first {
			return false
		}
	}
	return true
}

// some lists the first names of files.
func some(names []string) string {
	const most = 20
	text := fmt.Sprintf("%q", names[:min(len(names), most)])
	if len(names) > most {
		text += fmt.Sprintf(" and %d more", len(names)-most)
	}
	return text
}

// head is how much of a file is looked at to tell its kind.
const head = 4096

func sniff(path string) (Kind, error) {
	f, err := untrusted.OpenFilled(path)
	if err != nil {
		return "", fmt.Errorf("weights: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	stat, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("weights: %w", err)
	}
	first := make([]byte, head)
	n, err := io.ReadFull(f, first)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", fmt.Errorf("weights: %s: %w", path, err)
	}
	first = first[:n]
	if bytes.HasPrefix(first, []byte("PK")) {
		return sniffArchive(f, stat.Size(), path)
	}
	for _, s := range sniffers {
		if s.is(first, stat.Size()) {
			return s.kind, nil
		}
	}
	return "", &Error{File: path, Kind: ErrKind, Text: fmt.Sprintf("it begins with %q", first[:min(n, 16)]), Fix: "name a file of one of the kinds in the documentation of format/weights"}
}

// sniffers recognise a kind from the first bytes of a file; the first that says yes counts.
var sniffers = []struct {
	kind Kind
	is   func(first []byte, size int64) bool
}{
	{PyTorch, isPyTorchIndex},
	{Sharded, func(first []byte, _ int64) bool {
		return bytes.HasPrefix(bytes.TrimLeft(first, " \t\r\n"), []byte("{")) && bytes.Contains(first, []byte(`"weight_map"`))
	}},
	{GGUF, isGGUF},
	{Safetensors, isSafetensors},
	{PyTorch, isPyTorch},
	{TFJS, isTFJS},
	{NPY, isNPY},
	{ONNX, isONNX},
}

// inside is the file of a folder, unless it is a link that leads out of it: a folder may come from a stranger. One who means what the
// link leads to can name that.
func inside(kind Kind, dir, name string) (Kind, string, error) {
	path, err := untrusted.Inside(dir, name)
	if err == nil && !there(path) {
		err = &untrusted.Error{Path: path, Text: "it is a link to nothing", Fix: "put the file itself there"}
	}
	if err != nil {
		return "", "", fmt.Errorf("weights: %w", err)
	}
	return kind, path, nil
}

func there(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// exists reports whether something of that name is there, be it a link to nothing.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// escaped makes a path one that filepath.Glob takes as it stands.
func escaped(path string) string {
	var b bytes.Buffer
	for _, r := range path {
		if r == '*' || r == '?' || r == '[' || r == '\\' {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

package checkpoint

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/merge/adapter"
)

// Input is a model that is merged.
type Input struct {
	Model   string       `json:"model"` // as in the recipe
	Path    string       `json:"path"`  // of the weights
	Kind    weights.Kind `json:"kind"`
	Tensors int          `json:"tensors"`
	Bytes   int64        `json:"bytes"` // of all its files
	Layers  int          `json:"layers"`

	file  weights.File
	files []string
	names []string
	notes []string // what there is to know about its files
	stamp string   // sizes and times of its files, to see that they do not change
}

// existing is a reference without the word model: before it, which older recipes of other tools have, where nothing has that name.
func (p *Plan) existing(ref Ref) Ref {
	if plain, ok := strings.CutPrefix(string(ref), "model:"); ok && !exists(string(ref)) {
		return Ref(plain)
	}
	return ref
}

// openInput opens a model of a recipe, with the adapters that stand behind +. A relative path counts from the working folder, else from that
// of the recipe.
// find, if not nil, knows models by other names.
func openInput(ref Ref, recipeDir string, find func(string) (string, error)) (*Input, error) {
	path, adapters, err := placed(string(ref), recipeDir)
	if err != nil && find != nil {
		if other, failed := find(string(ref)); failed != nil {
			return nil, failed
		} else if exists(other) {
			path, adapters, err = other, nil, nil
		}
	}
	if err != nil {
		return nil, err
	}
	f, err := weights.Open(path)
	if err != nil {
		return nil, err
	}
	if _, ok := weights.Adapter(f); ok {
		return nil, errors.Join(&fault.Input{
			File: f.Path(), Err: errors.New("it is an adapter, not a model"),
			Fix: "name the model that it was trained on and the adapter behind it: MODEL+ADAPTER, or merge MODEL --lora ADAPTER",
		}, f.Close())
	}

	in := &Input{Model: string(ref), Path: f.Path(), Kind: f.Kind(), files: weights.Files(f), notes: weights.Notes(f)}
	for _, dir := range adapters {
		a, err := adapter.Open(dir)
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		with, err := a.On(f)
		if err != nil {
			return nil, errors.Join(err, a.Close(), f.Close())
		}
		f = with
		in.files = append(in.files, a.Files()...)
	}
	in.see(f)
	in.stamp, in.Bytes, err = stampOf(in.files)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return in, nil
}

// placed finds the model that a reference names, and the adapters behind it. A name may have a + of its own.
func placed(ref, recipeDir string) (path string, adapters []string, err error) {
	if path, ok := locate(ref, recipeDir); ok {
		return path, nil, nil
	}
	for at, r := range ref {
		if r != '+' {
			continue
		}
		model, ok := locate(ref[:at], recipeDir)
		if !ok {
			continue
		}
		dir, more, err := placed(ref[at+1:], recipeDir)
		return model, append([]string{dir}, more...), err
	}

	fix := "download the model and name its folder or file"
	if base, _, ok := strings.Cut(ref, "@"); ok && exists(base) {
		fix = "revisions behind @ are not looked up: name the folder of the one you want"
	}
	return "", nil, &fault.Input{Field: "model", Err: fmt.Errorf("%s: there is no such file or folder", printable.Line(ref)), Fix: fix}
}

// locate says where a file or folder is, and whether it is there.
func locate(path, recipeDir string) (string, bool) {
	if exists(path) {
		return path, true
	}
	if recipeDir != "" && !filepath.IsAbs(path) {
		if beside := filepath.Join(recipeDir, path); exists(beside) {
			return beside, true
		}
	}
	return path, false
}

// see takes the tensors of a model from a file, or a view of it.
func (in *Input) see(f weights.File) {
	in.file, in.names, in.Layers = f, nil, 0
	for _, t := range f.Tensors() {
		in.names = append(in.names, t.Name)
		if layer, ok := layerOf(t.Name); ok {
			in.Layers = max(in.Layers, layer+1)
		}
	}
	in.Tensors = len(in.names)
}

// stampOf is the sizes and times of files.
func stampOf(files []string) (stamp string, bytes int64, err error) {
	var b strings.Builder
	for _, path := range files {
		stat, err := os.Stat(path)
		if err != nil {
			return "", 0, fmt.Errorf("merge: %w", err)
		}
		fmt.Fprintf(&b, "%s %d %d\n", filepath.Base(path), stat.Size(), stat.ModTime().UnixNano())
		bytes += stat.Size()
	}
	return b.String(), bytes, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// dir is the folder of a model, where its config and tokenizer are.
func (in *Input) dir() string { return filepath.Dir(in.Path) }

// tied lists names of tensors that are one where a model has only one of them.
var tied = [][2]string{
	{"lm_head.weight", "model.embed_tokens.weight"},
	{"lm_head.weight", "transformer.wte.weight"},
	{"lm_head.weight", "wte.weight"},
	{"lm_head.weight", "model.decoder.embed_tokens.weight"},
	{"lm_head.weight", "shared.weight"},
	{"embed_out.weight", "gpt_neox.embed_in.weight"},
	{"output.weight", "token_embd.weight"},
	{"cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"},
}

// find returns a tensor, or the one it is tied to.
func (in *Input) find(name string) (info weights.Info, alias bool, ok bool) {
	if info, ok = in.file.Info(name); ok {
		return info, false, true
	}
	for _, pair := range tied {
		for i := range pair {
			if pair[i] == name {
				if info, ok = in.file.Info(pair[1-i]); ok {
					return info, true, true
				}
			}
		}
	}
	return weights.Info{}, false, false
}

var layerPattern = regexp.MustCompile(`(^|\.)(layers|layer|h|blocks|block|blk)\.(\d+)\.`)

// layerOf is the layer that a tensor belongs to.
func layerOf(name string) (layer int, ok bool) {
	m := layerPattern.FindStringSubmatch(name)
	if m == nil {
		return 0, false
	}
	layer, err := strconv.Atoi(m[3])
	return layer, err == nil
}

// withLayer is a tensor's name in another layer.
func withLayer(name string, layer int) string {
	m := layerPattern.FindStringSubmatchIndex(name)
	if m == nil {
		return name
	}
	return name[:m[6]] + strconv.Itoa(layer) + name[m[7]:]
}

// isVocabulary tells whether a tensor has a row for each token.
func isVocabulary(name string) bool {
	for _, part := range []string{"embed_tokens", "lm_head", "wte.", "word_embeddings", "embed_in", "embed_out", "token_embd", "predictions.decoder", "predictions.bias"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return name == "output.weight" || name == "shared.weight"
}

// beforeLayers tells whether a tensor without a layer comes before them.
func beforeLayers(name string) bool {
	for _, part := range []string{"embed", "wte", "wpe", "embd"} {
		if strings.Contains(name, part) && !strings.Contains(name, "embed_out") {
			return true
		}
	}
	return false
}

// elementType is the safetensors type of a type of any format; quantised blocks are "Q".
func elementType(t string) string {
	words := map[string]string{
		"float64": "F64", "double": "F64", "float32": "F32", "float": "F32", "float16": "F16", "half": "F16", "bfloat16": "BF16",
		"int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8", "uint16": "U16", "uint32": "U32", "uint64": "U64", "bool": "BOOL",
	}
	if w, ok := words[strings.ToLower(t)]; ok {
		return w
	}
	if strings.HasPrefix(t, "qint") || strings.HasPrefix(t, "quint") || strings.HasPrefix(t, "Q") || strings.HasPrefix(t, "IQ") || strings.HasPrefix(t, "TQ") || strings.HasPrefix(t, "MXFP") {
		return "Q"
	}
	return t
}

// isFloat tells whether values of an element type are merged; others must be equal in all models.
func isFloat(t string) bool { return slices.Contains([]string{"F64", "F32", "F16", "BF16", "Q"}, t) }

// reader reads a tensor of a model as the output has it.
type reader struct {
	in    *Input
	info  weights.Info
	plain string // F32, F16 or BF16 where elements stand one by one in these types, else ""
	width int    // bytes of a plain element
	rows  *rowMap
}

func newReader(in *Input, info weights.Info) *reader {
	r := &reader{in: in, info: info}
	if t := elementType(info.Type); info.BlockBytes > 0 && info.Block == 1 && (t == "F32" || t == "F16" || t == "BF16") {
		r.plain, r.width = t, weights.Width(t)
	}
	return r
}

// read decodes elements from at on. raw has room for their bytes where the tensor is plain.
func (r *reader) read(dst []float32, at int, raw []byte) error {
	if r.rows != nil {
		return r.rows.read(dst, at, raw)
	}
	if r.plain == "" {
		return r.in.file.ReadFloat32s(r.info.Name, at, dst)
	}
	raw = raw[:len(dst)*r.width]
	if err := r.in.file.ReadBytes(r.info.Name, int64(at)*int64(r.width), raw); err != nil {
		return err
	}
	weights.Decode(dst, r.plain, raw)
	return nil
}

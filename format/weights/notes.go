package weights

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/format/pytorch"
	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/internal/printable"
)

// Notes says, one line each, what an open model's files hold that is not among its tensors, by number and name, and how tensors are read
// where their types do not say it. A user of the model should know them; there are none for most models.
func Notes(f File) []string {
	var notes []string
	add := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	stored := Inner(f)
	if n, ok := stored.(interface {
		notes(add func(format string, args ...any))
	}); ok {
		n.notes(add)
	}
	if q := Quantised(stored); q != nil {
		q.notes(add, stored != f)
	}
	besideNotes(stored, add)
	return notes
}

// notes says what dequantising does.
func (q *Quantisation) notes(add func(format string, args ...any), done bool) {
	switch {
	case q.reason != "":
		add("quantised by %s: %s", q, q.reason)
	case done:
		add("%d tensors are dequantised, by %s; %d tensors of scales and the like are not among the values: %s", len(q.codes), q, len(q.hidden), Listed(q.hidden))
	default:
		add("quantised by %s: %d tensors are codes, whose values are the codes times the scales beside them", q, len(q.codes))
	}
}

// Listed is the first names of several, for a message.
func Listed(names []string) string {
	const most = 20
	shown := make([]string, 0, most)
	for _, name := range names[:min(len(names), most)] {
		shown = append(shown, printable.Short(name))
	}
	text := strings.Join(shown, ", ")
	if len(names) > most {
		text += fmt.Sprintf(" and %d more", len(names)-most)
	}
	return text
}

func (f *safetensorsFile) notes(add func(format string, args ...any)) {
	m, ok := f.tensorFile.(*safetensors.Sharded)
	if !ok {
		return
	}
	if len(m.Unmapped) > 0 {
		add("%d tensors lie in a shard and are not in the index, so they are not read: %s", len(m.Unmapped), Listed(m.Unmapped))
	}
	for _, w := range m.Warnings {
		if w.Field != "weight_map" { // said above
			add("%s: %s", filepath.Base(f.path), printable.Line(w.String()))
		}
	}
}

func (f *pytorchFile) notes(add func(format string, args ...any)) {
	switch t := f.pytorchTensors.(type) {
	case *pytorch.File:
		if list := t.Outside(); len(list) > 0 {
			add("%d tensors are outside of %s and are not read: %s", len(list), printable.Quote(t.Root()), Listed(list))
		}
		if list := t.Nameless(); len(list) > 0 {
			add("%d tensors have names that are not text or are too long, and are not read: %s", len(list), Listed(list))
		}
		if list := t.Unused(); len(list) > 0 {
			add("%d storages belong to no tensor and are not read: %s", len(list), Listed(list))
		}
		if list := t.Classes(); len(list) > 0 {
			add("objects of %d classes, which no tensor needs, are passed over: %s", len(list), Listed(list))
		}
	case *pytorch.Sharded:
		if list := t.Unmapped(); len(list) > 0 {
			add("%d tensors lie in a checkpoint and are not in the index, so they are not read: %s", len(list), Listed(list))
		}
	}
}

func (f *npzFile) notes(add func(format string, args ...any)) {
	var unread, half []string
	for _, u := range f.Unread() {
		unread = append(unread, u.Name)
	}
	for _, name := range f.names {
		if a := f.Array(name); a != nil && a.DType == "bfloat16" {
			half = append(half, name)
		}
	}
	if len(unread) > 0 {
		add("%d arrays do not hold numbers and are not read: %s", len(unread), Listed(unread))
	}
	if len(half) > 0 {
		add("%d arrays of two bytes without a type (V2) are read as bfloat16: %s", len(half), Listed(half))
	}
	if list := f.Others(); len(list) > 0 {
		add("%d entries are not arrays and are not read: %s", len(list), Listed(list))
	}
}

func (f *npyFile) notes(add func(format string, args ...any)) {
	if f.DType == "bfloat16" {
		add("two bytes without a type (V2) are read as bfloat16")
	}
}

func (f *onnxFile) notes(add func(format string, args ...any)) {
	var inner, constants []string
	var visit func(g *onnx.Graph, depth int)
	visit = func(g *onnx.Graph, depth int) {
		if depth > 0 {
			for _, t := range g.Initializers {
				inner = append(inner, t.Name)
			}
		}
		for _, n := range g.Nodes {
			for i := range n.Attributes {
				a := &n.Attributes[i]
				if a.Graph != nil {
					visit(a.Graph, depth+1)
				}
				if a.Tensor != nil && n.Op == "Constant" && len(n.Outputs) > 0 {
					constants = append(constants, n.Outputs[0])
				}
			}
		}
	}
	visit(f.model.Graph, 0)
	if len(inner) > 0 {
		add("%d tensors of inner graphs (of If, Loop and Scan) are not listed: %s", len(inner), Listed(inner))
	}
	if len(constants) > 0 {
		add("%d tensors of Constant nodes are not listed: %s", len(constants), Listed(constants))
	}
}

// Unlisted are the tensors that a file holds and cannot read, where they are not among Tensors: arrays of texts beside numbers, say. Each
// says why in Unread.
func Unlisted(f File) []Info {
	n, ok := Inner(f).(*npzFile)
	if !ok {
		return nil
	}
	var out []Info
	for _, u := range n.Unread() {
		out = append(out, Info{Name: u.Name, Type: "unread", Shape: []int{}, Unread: u.Err.Error()})
	}
	return out
}

// partName is the name of one of several files of a model.
var partName = regexp.MustCompile(`-(\d{5})-of-(\d{5})\.(safetensors|bin)$|^consolidated\.\d\d\.pth$`)

// besideNotes says which other files of weights lie beside those that were read. Only a folder of one model is looked at: one whose files
// have the usual names.
func besideNotes(f File, add func(format string, args ...any)) {
	dir, base := filepath.Split(f.Path())
	if dir == "" {
		dir = "."
	}
	part := partName.MatchString(base)
	if !part && f.Kind() != Sharded && !strings.HasSuffix(base, ".index.json") && !slices.Contains(usualNames, base) {
		return
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 10_000 {
		return
	}
	own := map[string]bool{}
	for _, path := range Files(f) {
		own[filepath.Base(path)] = true
	}
	var others, siblings []string
	adapter := false
	for _, e := range entries {
		name := e.Name()
		switch {
		case own[name] || e.IsDir() || isTrainers(name):
		case strings.HasPrefix(name, "adapter_model."):
			adapter = true
		case part && partName.MatchString(name):
			siblings = append(siblings, name)
		case slices.Contains([]string{".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".npz"}, strings.ToLower(filepath.Ext(name))):
			others = append(others, name)
		}
	}
	if len(siblings) > 0 {
		add("%s is one of %d files of a model; name the folder, or the index, to read them all", printable.Line(base), len(siblings)+1)
		return
	}
	if adapter && !slices.Contains(adapterNames, base) {
		add("an adapter lies beside the model and is not applied to it; ballast merge MODEL --lora FOLDER does that")
	}
	for _, name := range others {
		if names := tensorNames(filepath.Join(dir, name)); names != nil {
			add("%s lies beside the model and is not read, with %d tensors: %s", printable.Line(name), len(names), Listed(names))
		} else {
			add("%s lies beside the model and is not read", printable.Line(name))
		}
	}
}

// tensorNames are those of a safetensors file; nil for any other.
func tensorNames(path string) []string {
	if !strings.HasSuffix(path, ".safetensors") {
		return nil
	}
	f, err := safetensors.Open(path, tensorsOptions())
	if err != nil {
		return nil
	}
	defer f.Close() //nolint:errcheck // it was only read
	return f.Names()
}

// Adapter says whether a file holds the factors of an adapter (LoRA and its kin) in place of a model's weights, and which model it is for
// where adapter_config.json beside it says that.
func Adapter(f File) (base string, ok bool) {
	config := readBeside(filepath.Dir(f.Path()), "adapter_config.json")
	if !hasFactors(f) && (config == nil || !slices.Contains(adapterNames, filepath.Base(f.Path()))) {
		return "", false
	}
	var name string
	if raw := config["base_model_name_or_path"]; raw != nil {
		name = strings.Trim(string(raw), `"`)
	}
	return name, true
}

// hasFactors reports whether a name is one that only tensors of adapters have.
func hasFactors(f File) bool {
	for info := range each(f) {
		for _, part := range []string{".lora_A.", ".lora_B.", ".lora_embedding_A", ".lora_embedding_B", ".lora_magnitude_vector", ".hada_w", ".lokr_w", ".ia3_l"} {
			if strings.Contains(info.Name, part) {
				return true
			}
		}
	}
	return false
}

package pytorch

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/ballast-ml/ballast/format"
	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// stateDicts are the keys that training programs put a state dict under, the likeliest first.
var stateDicts = []string{"state_dict", "model_state_dict", "model", "model_state", "params_ema", "params", "net", "network", "module", "weights", "ema"}

// maxDepth bounds how deep dictionaries may be nested.
const maxDepth = 64

// flatten finds the state dict and names its tensors.
func (f *File) flatten(v any, o Options) error {
	f.byName, f.meta = map[string]*tensor{}, map[string]string{}
	root := v
	switch o.Root {
	case ".":
	case "":
		f.root = findRoot(v)
	default:
		f.root = o.Root
	}
	if f.root != "" {
		for _, key := range strings.Split(f.root, ".") {
			child, ok := any(nil), false
			if d, isDict := root.(*dict); isDict {
				child, ok = d.get(key)
			}
			if !ok {
				return &Error{File: f.path, Offset: -1, Kind: ErrRoot, Text: printable.Quote(f.root), Fix: "it holds " + strings.Join(shown(topKeys(root)), ", ")}
			}
			root = child
		}
	}
	w := &walker{file: f, most: o.MaxTensors, mostBytes: o.MaxBytes}
	if err := w.walk("", root, 0); err != nil {
		return err
	}
	if f.root != "" {
		f.beside = topKeys(v)
		f.beside = slices.DeleteFunc(f.beside, func(k string) bool { return k == strings.Split(f.root, ".")[0] })
		s := &walker{file: f, scalars: true}
		if err := s.walk("", v, 0); err != nil {
			return err
		}
	}
	return nil
}

// findRoot returns the key of the state dict: "" if tensors stand at the top, else a well-known key that holds some, else
// the only key that does.
func findRoot(v any) string {
	d, ok := v.(*dict)
	if !ok {
		return ""
	}
	holding := []string{}
	for i, key := range d.keys {
		if _, ok := d.values[i].(*tensor); ok {
			return ""
		}
		if name, ok := key.(string); ok && holdsTensors(d.values[i]) && !strings.Contains(name, ".") && name != "" {
			holding = append(holding, name)
		}
	}
	for _, name := range stateDicts {
		if slices.Contains(holding, name) {
			return name
		}
	}
	if len(holding) == 1 {
		return holding[0]
	}
	return ""
}

// holdsTensors tells whether a value is a dictionary with a tensor right in it.
func holdsTensors(v any) bool {
	d, ok := v.(*dict)
	return ok && slices.ContainsFunc(d.values, func(v any) bool { _, ok := v.(*tensor); return ok })
}

func topKeys(v any) []string {
	d, ok := v.(*dict)
	if !ok {
		return nil
	}
	var out []string
	for _, key := range d.keys {
		if len(out) == 50 {
			return append(out, "...")
		}
		if name := keyName(key); len(name) <= maxName {
			out = append(out, name)
		}
	}
	return out
}

// shown escapes and cuts names for a message.
func shown(names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = printable.Short(name)
	}
	return out
}

// maxName is more bytes than any name of a tensor has: those of models have some 50 to 100.
const maxName = 4096

// keyName spells a key of a dictionary.
func keyName(key any) string {
	if s, ok := key.(string); ok {
		return s
	}
	return describe(key)
}

// walker visits a tree of values.
type walker struct {
	file *File
	most int

	mostBytes, bytes int64 // of all tensors

	scalars bool // only look for metadata
}

func (w *walker) fail(kind *format.Kind, name, text, fix string) error {
	return &Error{File: w.file.path, Tensor: name, Offset: -1, Kind: kind, Text: text, Fix: fix}
}

func (w *walker) walk(name string, v any, depth int) error {
	f := w.file
	// Memory lets one dictionary stand in many places, so that the tree can be far larger than the file.
	if f.budget -= 200 + 2*int64(len(name)); f.budget < 0 {
		return w.fail(ErrLimit, name, errBudget.Error(), fixLimit)
	}
	if depth > maxDepth {
		return w.fail(ErrLimit, name, fmt.Sprintf("nested more than %d deep", maxDepth), fixLimit)
	}
	join := func(key string) string {
		if name == "" {
			return key
		}
		return name + "." + key
	}
	switch v := v.(type) {
	case *dict:
		for i, key := range v.keys {
			if err := w.walk(join(keyName(key)), v.values[i], depth+1); err != nil {
				return err
			}
		}
	case *list, tuple:
		items := sequence(v)
		if w.scalars && len(items) > 16 {
			return nil
		}
		for i, item := range items {
			if err := w.walk(join(strconv.Itoa(i)), item, depth+1); err != nil {
				return err
			}
		}
	case *tensor:
		if !w.scalars {
			return w.tensor(name, v)
		}
	case bool, int64, float64, string:
		const most, longest = 1000, 1000
		if text, ok := v.(string); ok && len(text) > longest || len(f.meta) >= most || len(name) > maxName || !utf8.ValidString(name) {
			return nil
		}
		if text := fmt.Sprint(v); utf8.ValidString(text) {
			f.meta[name] = text
		}
	}
	return nil
}

func (w *walker) tensor(name string, t *tensor) error {
	f := w.file
	switch {
	case name == "":
		name = "tensor" // torch.save of one tensor alone
	case !utf8.ValidString(name):
		return w.fail(ErrPickle, strings.ToValidUTF8(name, "?"), "its name is not UTF-8", fixSave)
	}
	if f.byName[name] != nil {
		return w.fail(ErrDuplicate, name, "two paths with the same dots", "open one part of the file with Options.Root")
	}
	if len(name) > maxName {
		return w.fail(ErrLimit, name, fmt.Sprintf("a name of more than %d bytes", maxName), fixLimit)
	}
	bytes, ok := untrusted.Product(math.MaxInt64, int(t.elements), t.dtype.Size())
	if w.bytes += int64(bytes); !ok || w.bytes < 0 || w.bytes > w.mostBytes {
		return w.fail(ErrLimit, name, fmt.Sprintf("with it the tensors show more than %s of a file of %s: many are views of the same storage",
			memory.Size(w.mostBytes), memory.Size(f.size)), "raise MaxBytes if you trust the file, or save it again with each tensor once")
	}
	if len(f.names) >= w.most {
		return w.fail(ErrLimit, name, fmt.Sprintf("more than %d tensors", w.most), "raise MaxTensors if you trust the file")
	}
	f.byName[name] = t
	f.names = append(f.names, name)
	return nil
}

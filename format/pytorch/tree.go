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
		var err error
		if f.root, err = f.findRoot(v); err != nil {
			return &Error{File: f.path, Offset: -1, Kind: ErrLimit, Err: err, Fix: fixLimit}
		}
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
	if o, ok := root.(*object); ok && makers[o.class] == "" { // a whole model, or something else that only its class could read
		return f.fail(f.part, o.at, Call(o.class))
	}
	w := &walker{file: f, most: o.MaxTensors, mostBytes: o.MaxBytes}
	if err := w.walk("", root, 0); err != nil {
		return err
	}
	if err := w.needed(); err != nil {
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

// needed refuses a file none of whose tensors has a name that can be used, or all of whose tensors lie in objects of classes that are not
// known: a whole model, say.
func (w *walker) needed() error {
	f := w.file
	if w.unnamed != nil && len(f.names) == 0 {
		return w.unnamed
	}
	if w.first == nil || slices.ContainsFunc(f.names, func(name string) bool { return f.byName[name].unread == "" }) {
		return nil
	}
	if _, made := makers[w.first.class]; made {
		return nil // a tensor of a kind that is not read: it can be listed
	}
	return f.fail(f.part, w.first.at, Call(w.first.class))
}

// besides are words in the names of what training programs keep beside a network, in whose tensors no one looks for the network's.
var besides = []string{
	"optim", "sched", "scaler", "rng", "random", "seed", "amp", "ema", "swa", "criterion", "loss", "callback", "loops", "param_groups", "hparams", "hyper",
	"config", "args", "epoch", "step", "iter", "best", "metric", "stats", "history", "sampler", "loader", "trainer", "grad", "momentum",
}

// isBeside reports whether a key names what is kept beside a network. No network has a key that is longer than any name of a tensor.
func isBeside(key any) bool {
	name, ok := key.(string)
	return ok && (len(name) > maxName || slices.ContainsFunc(besides, func(word string) bool { return strings.Contains(strings.ToLower(name), word) }))
}

// copies are words in the names of second copies of a network.
var copies = []string{"teacher", "target", "average", "avg", "shadow", "copy", "previous", "last"}

// isCopy reports whether a key names a second copy of what stands under root.
func isCopy(key any, root string) bool {
	name, ok := key.(string)
	return ok && (strings.Contains(name, root) || slices.ContainsFunc(copies, func(word string) bool { return strings.Contains(strings.ToLower(name), word) }))
}

// findRoot returns the key of the state dict: "" if tensors stand at the top, else a well-known key that holds some, else the only key that
// does. Where tensors stand, at any depth, under another key as well that is neither what is kept beside a network nor a second copy of the
// same tensors, the file as a whole is the network: one part of it would be taken for all.
func (f *File) findRoot(v any) (string, error) {
	d, ok := v.(*dict)
	if !ok {
		return "", nil
	}
	holding := []string{}
	for i, key := range d.keys {
		if _, ok := d.values[i].(*tensor); ok {
			return "", nil
		}
		if name, ok := key.(string); ok && holdsTensors(d.values[i]) && !strings.Contains(name, ".") && name != "" {
			holding = append(holding, name)
		}
	}
	root := ""
	for _, name := range stateDicts {
		if slices.Contains(holding, name) {
			root = name
			break
		}
	}
	if own := slices.DeleteFunc(slices.Clone(holding), func(name string) bool { return isBeside(name) }); root == "" && len(own) == 1 {
		root = own[0]
	} else if root == "" && len(holding) == 1 {
		root = holding[0]
	}
	if root == "" {
		return "", nil
	}

	chosen, _ := d.get(root)
	for i, key := range d.keys {
		if key == root || isBeside(key) {
			continue
		}
		found, err := f.tensorsIn(d.values[i])
		if err != nil {
			return "", err
		}
		if found && (!isCopy(key, root) || !sameTensors(chosen, d.values[i])) {
			return "", nil
		}
	}
	return root, nil
}

// tensorsIn reports whether a tensor stands in dictionaries and lists, at any depth.
func (f *File) tensorsIn(v any) (bool, error) {
	found := false
	err := walkParts(v, f.visits, func(v any) bool {
		switch v.(type) {
		case *tensor:
			found = true
		case *object: // what lies in objects has no name
			return false
		}
		return !found
	})
	return found, err
}

// sameTensors reports whether two dictionaries hold tensors of the same names and shapes, as averages of weights do.
func sameTensors(a, b any) bool {
	x, ok := a.(*dict)
	y, ok2 := b.(*dict)
	if !ok || !ok2 || len(x.keys) != len(y.keys) {
		return false
	}
	for i, key := range x.keys {
		t, ok := x.values[i].(*tensor)
		if !ok {
			continue
		}
		if _, comparable := key.(string); !comparable {
			return false
		}
		other, _ := y.get(key)
		if o, ok := other.(*tensor); !ok || !slices.Equal(t.shape, o.shape) {
			return false
		}
	}
	return true
}

// holdsTensors tells whether a value is a dictionary with a tensor right in it.
func holdsTensors(v any) bool {
	d, ok := v.(*dict)
	return ok && slices.ContainsFunc(d.values, func(v any) bool {
		switch v.(type) {
		case *tensor, *ndarray:
			return true
		}
		return false
	})
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

	scalars bool    // only look for metadata, and for tensors outside the root
	quiet   bool    // no metadata is looked for either
	first   *object // that holds tensors
	unnamed error   // about the first tensor without a name that can be used
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
		if w.scalars && len(items) > 16 { // of no use as metadata
			if !slices.ContainsFunc(items, isContainer) {
				return nil
			}
			defer func(quiet bool) { w.quiet = quiet }(w.quiet)
			w.quiet = true
		}
		for i, item := range items {
			if err := w.walk(join(strconv.Itoa(i)), item, depth+1); err != nil {
				return err
			}
		}
	case *tensor:
		return w.tensor(name, v)
	case *ndarray:
		t, err := v.tensor()
		if err != nil {
			return w.fail(ErrPickle, name, err.Error(), fixDownload)
		}
		if t != nil {
			return w.tensor(name, t)
		}
	case *object:
		return w.object(name, v)
	case foreign: // a class that is named, and nothing is made of it
		w.passOver(string(v))
	case bool, int64, float64, string:
		const most, longest = 1000, 1000
		if text, ok := v.(string); w.quiet || ok && len(text) > longest || len(f.meta) >= most || len(name) > maxName || !utf8.ValidString(name) {
			return nil
		}
		if text := fmt.Sprint(v); utf8.ValidString(text) {
			f.meta[name] = text
		}
	}
	return nil
}

// isContainer reports whether a tensor may stand in a value.
func isContainer(v any) bool {
	switch v.(type) {
	case *dict, *list, tuple, *tensor, *ndarray, *object:
		return true
	}
	return false
}

// object lists an object that tensors depend on as a tensor without values; others are passed over, by their class.
func (w *walker) object(name string, o *object) error {
	f := w.file
	shows, err := f.shows(o)
	if err != nil {
		return w.fail(ErrLimit, name, err.Error(), fixLimit)
	}
	if shows {
		if !w.scalars && w.first == nil {
			w.first = o
		}
		return w.tensor(name, &tensor{storage: &storage{}, dtype: DType(o.what()), shape: []int{}, unread: "it is " + o.what()})
	}
	w.passOver(o.class)
	return nil
}

// passOver remembers the class of an object, or of a name, that no tensor needs.
func (w *walker) passOver(class string) {
	f := w.file
	if class = printable.Short(class); !slices.Contains(f.classes, class) && len(f.classes) < mostClasses {
		f.classes = append(f.classes, class)
	}
}

// mostClasses is how many classes of objects are named.
const mostClasses = 100

func (w *walker) tensor(name string, t *tensor) error {
	f := w.file
	if w.scalars {
		if _, listed := f.byName[strings.TrimPrefix(name, f.root+".")]; !listed || !strings.HasPrefix(name, f.root+".") {
			f.outside = append(f.outside, name)
		}
		return nil
	}
	switch {
	case name == "":
		name = "tensor" // torch.save of one tensor alone
	case !utf8.ValidString(name):
		w.nameless(name, w.fail(ErrPickle, strings.ToValidUTF8(name, "?"), "its name is not UTF-8", fixSave))
		return nil
	case len(name) > maxName:
		w.nameless(name, w.fail(ErrLimit, name, fmt.Sprintf("a name of more than %d bytes", maxName), fixLimit))
		return nil
	}
	if f.byName[name] != nil {
		return w.fail(ErrDuplicate, name, "two paths with the same dots", "open one part of the file with Options.Root")
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

// nameless remembers a tensor that cannot be asked for by its name, and why. The others of the file can be read all the same.
func (w *walker) nameless(name string, why error) {
	if w.unnamed == nil {
		w.unnamed = why
	}
	w.file.nameless = append(w.file.nameless, printable.Short(name))
}

package weights

import (
	"maps"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/internal/printable"
)

// Prefix finds what stands before the names of a model and not before those of another one of the same network: "module." of PyTorch's
// DataParallel, "_orig_mod." of torch.compile, "transformer." of a model with a head. Most names must fit once it is off, more than fit as
// they are; the others may be a head's, which the other model lacks.
func Prefix(names, reference []string) (prefix string, ok bool) {
	known := make(map[string]bool, len(reference))
	for _, name := range reference {
		known[name] = true
	}
	direct, fits := 0, map[string]int{}
	for _, name := range names {
		if known[name] {
			direct++
		}
		for i := range len(name) {
			if name[i] == '.' && known[name[i+1:]] {
				fits[name[:i+1]]++
			}
		}
	}
	most, second := 0, 0
	for _, candidate := range slices.Sorted(maps.Keys(fits)) {
		switch n := fits[candidate]; {
		case n > most:
			prefix, most, second = candidate, n, most
		case n > second:
			second = n
		}
	}
	enough := 2*most >= min(len(names), len(reference)) && most > direct && most > second
	if !enough {
		return "", false
	}
	taken := make(map[string]bool, len(names)) // a name may not stand twice once the prefix is off
	for _, name := range names {
		taken[name] = true
	}
	for _, name := range names {
		if bare, ok := strings.CutPrefix(name, prefix); ok && taken[bare] {
			return "", false
		}
	}
	return prefix, true
}

// Without shows a file with a prefix taken off the names that have it.
func Without(f File, prefix string) File {
	view, _ := Rename(f, func(name string) string { return strings.TrimPrefix(name, prefix) })
	return view
}

// With shows a file with a prefix before those of its names that the reference has with it.
func With(f File, prefix string, reference []string) File {
	known := make(map[string]bool, len(reference))
	for _, name := range reference {
		known[name] = true
	}
	view, _ := Rename(f, func(name string) string {
		if known[prefix+name] {
			return prefix + name
		}
		return name
	})
	return view
}

// renamed is a file with other names.
type renamed struct {
	File
	list   []Info
	stored map[string]string // names in the file, by those that are shown
}

// Rename shows a file by other names: to gives that of each tensor, by the one it has. apart is false where two tensors get one name, of which
// the last is read.
func Rename(f File, to func(name string) string) (view File, apart bool) {
	r := &renamed{File: f, stored: map[string]string{}}
	apart = true
	for _, info := range f.Tensors() {
		stored := info.Name
		info.Name = to(stored)
		_, twice := r.stored[info.Name]
		apart = apart && !twice
		r.stored[info.Name] = stored
		r.list = append(r.list, info)
	}
	return r, apart
}

// Unwrap is the file with its own names.
func (r *renamed) Unwrap() File { return r.File }

func (r *renamed) Tensors() []Info { return slices.Clone(r.list) }

func (r *renamed) Info(name string) (Info, bool) {
	stored, ok := r.stored[name]
	if !ok {
		return Info{}, false
	}
	info, ok := r.File.Info(stored)
	info.Name = name
	return info, ok
}

func (r *renamed) missing(name string) error {
	return &Error{File: r.Path(), Kind: ErrNoTensor, Text: printable.Quote(name), Fix: "take a name that the file lists"}
}

func (r *renamed) ReadFloat32s(name string, at int, dst []float32) error {
	if stored, ok := r.stored[name]; ok {
		return r.File.ReadFloat32s(stored, at, dst)
	}
	return r.missing(name)
}

func (r *renamed) ReadBytes(name string, at int64, dst []byte) error {
	if stored, ok := r.stored[name]; ok {
		return r.File.ReadBytes(stored, at, dst)
	}
	return r.missing(name)
}

// computed are endings of the names of buffers that a network computes from its config: tables of positions, masks, rotary frequencies.
// Files of the same network may have them or not.
var computed = []string{"position_ids", "rotary_emb.inv_freq", "rotary_pos_emb.inv_freq", "attn.masked_bias", "attention.masked_bias", "embeddings.token_type_ids"}

// IsComputed reports whether a tensor is a buffer that a network computes itself. attn.bias, the mask of GPT-2 and its kin, is one where
// it is a square of positions: [1, 1, n, n].
func IsComputed(info Info) bool {
	if slices.ContainsFunc(computed, func(end string) bool { return info.Name == end || strings.HasSuffix(info.Name, "."+end) }) {
		return true
	}
	s := info.Shape
	isMask := strings.HasSuffix(info.Name, ".attn.bias") || strings.HasSuffix(info.Name, ".attention.bias")
	return isMask && len(s) == 4 && s[0] == 1 && s[1] == 1 && s[2] == s[3]
}

// Like is w with the names of the reference, where a prefix before all names is what they differ by; else w itself. Values are shared.
func (w Set) Like(reference Set) Set {
	own, theirs := w.Names(), reference.Names()
	to := func(name string) string { return name }
	if prefix, ok := Prefix(own, theirs); ok {
		to = func(name string) string { return strings.TrimPrefix(name, prefix) }
	} else if prefix, ok := Prefix(theirs, own); ok {
		to = func(name string) string {
			if slices.Contains(theirs, prefix+name) {
				return prefix + name
			}
			return name
		}
	}
	out := slices.Clone(w)
	for i := range out {
		out[i].Name = to(out[i].Name)
	}
	return out
}

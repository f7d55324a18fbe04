package pytorch

import (
	"slices"
	"testing"
)

// Every tensor of a file is listed, or said to stand outside of the part that is read.
func TestEveryTensorIsAccountedFor(t *testing.T) {
	w := func(b p, key string) p {
		return b.str(key).tensor("FloatStorage", "k", 1, 0, []int64{1}, []int64{1}).op('s')
	}
	in := func(b p, key string, fill func(p) p) p { return fill(b.str(key).op('}')).op('s') }
	leaf := func(b p) p { return w(w(b, "weight"), "bias") }
	deep := func(b p) p { return in(in(b, "layer0", leaf), "layer1", leaf) }
	for name, c := range map[string]struct {
		file     func(p) p
		root     string
		listed   []string
		outside  []string
		withRoot string
	}{
		"nested beside flat": {
			file:   func(b p) p { return in(in(b, "encoder", deep), "head", leaf) },
			listed: []string{"encoder.layer0.weight", "encoder.layer0.bias", "encoder.layer1.weight", "encoder.layer1.bias", "head.weight", "head.bias"},
		},
		"a known name beside another part": {
			file:   func(b p) p { return in(in(b, "net", leaf), "head", leaf) },
			listed: []string{"net.weight", "net.bias", "head.weight", "head.bias"},
		},
		"model beside nested": {
			file:   func(b p) p { return in(in(b, "model", leaf), "decoder", deep) },
			listed: []string{"model.weight", "model.bias", "decoder.layer0.weight", "decoder.layer0.bias", "decoder.layer1.weight", "decoder.layer1.bias"},
		},
		"two flat": {
			file:   func(b p) p { return in(in(b, "a", leaf), "b", leaf) },
			listed: []string{"a.weight", "a.bias", "b.weight", "b.bias"},
		},
		"in a list": {
			file: func(b p) p {
				return in(b, "model", leaf).str("parts").op(']', '}').str("x").tensor("FloatStorage", "k", 1, 0, []int64{1}, []int64{1}).op('s', 'a', 's')
			},
			listed: []string{"model.weight", "model.bias", "parts.0.x"},
		},
		"a training's": {
			file:    func(b p) p { return in(in(b, "state_dict", leaf), "optimizer_states", deep) },
			root:    "state_dict",
			listed:  []string{"weight", "bias"},
			outside: []string{"optimizer_states.layer0.weight", "optimizer_states.layer0.bias", "optimizer_states.layer1.weight", "optimizer_states.layer1.bias"},
		},
		"an average": {
			file:    func(b p) p { return in(in(b, "model", leaf), "teacher", leaf) },
			root:    "model",
			listed:  []string{"weight", "bias"},
			outside: []string{"teacher.weight", "teacher.bias"},
		},
		"one name": {
			file:    func(b p) p { return in(in(b, "mine", leaf), "optimizer", leaf) },
			root:    "mine",
			listed:  []string{"weight", "bias"},
			outside: []string{"optimizer.weight", "optimizer.bias"},
		},
		"at the top": {
			file:   func(b p) p { return w(in(b, "model", leaf), "scale") },
			listed: []string{"model.weight", "model.bias", "scale"},
		},
	} {
		f, err := parse(archive(t, c.file(p{0x80, 2}.op('}')).op('.'), map[string][]byte{"k": floats(1), "unused": floats(1, 2)}))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if f.Root() != c.root || !slices.Equal(f.Names(), c.listed) || !slices.Equal(f.Outside(), c.outside) {
			t.Errorf("%s: under %q %v, outside %v", name, f.Root(), f.Names(), f.Outside())
		}
		if !slices.Equal(f.Unused(), []string{"model/data/unused"}) {
			t.Errorf("%s: unused storages are %v", name, f.Unused())
		}
	}
}

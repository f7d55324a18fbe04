package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// galleryPyTorch are PyTorch checkpoints: zip archives, the old layout, and several with an index.
func galleryPyTorch() []hostile {
	list := pickleChecksums()
	list = append(list, pickleAmplification()...)
	list = append(list, pickleSizes()...)
	list = append(list, pickleForms()...)
	return append(list, pickleShards()...)
}

// pickle is a pickle under construction, of protocol 2 and the opcodes of later ones.
type pickle []byte

func newPickle() pickle { return pickle{0x80, 2} }

func (b pickle) op(ops ...byte) pickle { return append(b, ops...) }

func (b pickle) text(s string) pickle {
	return append(binary.LittleEndian.AppendUint32(append(b, 'X'), uint32(len(s))), s...)
}

func (b pickle) int(v int64) pickle {
	return binary.LittleEndian.AppendUint64(append(b, 0x8a, 8), uint64(v))
}

func (b pickle) name(module, name string) pickle {
	return append(b, "c"+module+"\n"+name+"\n"...)
}

func (b pickle) ints(values ...int64) pickle {
	b = b.op('(')
	for _, v := range values {
		b = b.int(v)
	}
	return b.op('t')
}

// storage pushes a storage of float32.
func (b pickle) storage(key string, elements int64) pickle {
	return b.op('(').text("storage").name("torch", "FloatStorage").text(key).text("cpu").int(elements).op('t', 'Q')
}

// tensor pushes a tensor that shows a storage.
func (b pickle) tensor(key string, elements, offset int64, shape, strides []int64) pickle {
	return b.name("torch._utils", "_rebuild_tensor_v2").op('(').storage(key, elements).int(offset).ints(shape...).ints(strides...).op(0x89, 'N', 't', 'R')
}

// entry puts a tensor of n elements into the dictionary on the stack.
func (b pickle) entry(name, key string, n int64) pickle {
	return b.text(name).tensor(key, n, 0, []int64{n}, []int64{1}).op('s')
}

// checkpoint packs a pickle and storages as torch.save does; bad names an entry whose checksum is wrong.
func pytorchFile(p []byte, bad string, storages map[string][]byte) []byte {
	entries := []rawEntry{{name: "archive/data.pkl", data: p}, {name: "archive/byteorder", data: []byte("little")}}
	for _, key := range slices.Sorted(maps.Keys(storages)) {
		entries = append(entries, rawEntry{name: "archive/data/" + key, data: storages[key]})
	}
	for i := range entries {
		if entries[i].name == "archive/"+bad {
			entries[i].crc = -1
		}
	}
	return rawZip(entries...)
}

// oldCheckpoint is a pickle in the layout before PyTorch 1.6, with its storages behind it.
func oldCheckpoint(p []byte, keys []string, storages [][]byte) []byte {
	file := []byte("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.")
	file = append(file, newPickle().int(1001).op('.')...)
	file = append(file, newPickle().op('}', '.')...)
	file = append(file, p...)
	list := newPickle().op('(')
	for _, key := range keys {
		list = list.text(key)
	}
	file = append(file, list.op('l', '.')...)
	for _, s := range storages {
		file = append(binary.LittleEndian.AppendUint64(file, uint64(len(s)/4)), s...)
	}
	return file
}

var (
	inspectPTH = []string{"inspect", "m.pth"}
	convertPTH = []string{"convert", "m.pth", "--to", "safetensors", "--out", "out.safetensors", "--check"}
)

func pickleChecksums() []hostile {
	four := make([]byte, 16)
	model := newPickle().op('}').text("state_dict").op('}').entry("w", "0", 4).op('s').text("optimizer").op('}').entry("m", "1", 4).op('s', '.')
	storages := map[string][]byte{"0": four, "1": four}
	var list []hostile
	for _, bad := range []string{"data.pkl", "byteorder", "data/0", "data/1"} {
		name, want := strings.ReplaceAll(bad, "/", "-"), "archive/"+bad+".*data are damaged"
		good, damaged := pytorchFile(model, "", storages), pytorchFile(model, bad, storages)
		list = append(list,
			hostile{kind: "checksum", name: "pth-inspect-" + name, files: file("m.pth", damaged), run: inspectPTH, want: want},
			hostile{kind: "checksum", name: "pth-convert-check-" + name, files: file("m.pth", damaged), run: convertPTH, want: want, writes: true})
		if bad == "data/1" { // merging does not read it
			continue
		}
		both := arrayFiles(map[string][]byte{
			"a.pth": good, "m.pth": damaged,
			"r.yaml": []byte("merge_method: linear\nmodels:\n- model: a.pth\n  parameters: {weight: 1}\n- model: m.pth\n  parameters: {weight: 1}\n"),
		})
		list = append(list,
			hostile{kind: "checksum", name: "pth-merge-" + name, files: both, run: []string{"merge", "r.yaml", "--out", "merged"}, want: want, writes: true},
			hostile{kind: "checksum", name: "pth-diff-" + name, files: both, run: []string{"merge", "diff", "a.pth", "m.pth"}, want: want},
			hostile{kind: "checksum", name: "pth-soup-" + name, files: both, run: []string{"soup", "a.pth", "m.pth", "--method", "uniform", "--out", "soup"}, want: want, writes: true})
	}
	unsummed := func() []byte { // as torch.save writes it after set_crc32_options(False)
		b := pytorchFile(newPickle().op('}').entry("w", "0", 4).op('.'), "", map[string][]byte{"0": four})
		for at := 0; at+46 < len(b); at++ {
			switch string(b[at : at+4]) {
			case "PK\x03\x04":
				clear(b[at+14 : at+18])
			case "PK\x01\x02":
				clear(b[at+16 : at+20])
			}
		}
		return b
	}
	return append(list,
		hostile{kind: "checksum", name: "pth-without-any", exit: []int{0}, files: arrayMade("m.pth", unsummed), run: inspectPTH},
		hostile{kind: "checksum", name: "pth-transposed", want: "archive/data/0.*data are damaged", run: []string{"convert", "m.pth", "--to", "npz", "--out", "o.npz"}, files: file("m.pth",
			pytorchFile(newPickle().op('}').text("w").tensor("0", 4, 0, []int64{2, 2}, []int64{1, 2}).op('s', '.'), "data/0", map[string][]byte{"0": four}))},
	)
}

func pickleAmplification() []hostile {
	const mega = 1 << 20
	four := map[string][]byte{"0": make([]byte, 16)}
	// views are n tensors that each show the one storage a million times.
	views := func(n int) func() []byte {
		return func() []byte {
			p := newPickle().op('}', '(').text("first").tensor("0", 4, 0, []int64{mega}, []int64{0}).op('q', 1)
			for i := range n {
				p = p.text(fmt.Sprint(i)).op('h', 1)
			}
			return pytorchFile(p.op('u', '.'), "", four)
		}
	}
	apart := func() []byte { // the same, each view built anew
		p := newPickle().op('}')
		for i := range 1000 {
			p = p.text(fmt.Sprint(i)).tensor("0", 4, 0, []int64{mega}, []int64{0}).op('s')
		}
		return pytorchFile(p.op('.'), "", four)
	}
	tied := func() []byte { // layers that share their weights are right
		p := newPickle().op('}').text("layer.0").tensor("0", 4, 0, []int64{4}, []int64{1}).op('q', 1, 's')
		for i := range 48 {
			p = p.text(fmt.Sprintf("layer.%d", i+1)).op('h', 1, 's')
		}
		return pytorchFile(p.op('.'), "", four)
	}
	unit := func(start, middle, end pickle, n int) func(dir string) error {
		return arrayMade("m.pth", func() []byte {
			return pytorchFile(append(append(slices.Concat(newPickle(), start), bytes.Repeat(middle, n)...), end...), "", nil)
		})
	}
	laughs := newPickle().op('}', 'q', 0).text("x").int(1).op('s')
	lists := newPickle().op(']', 'q', 0).int(1).op('a')
	for i := byte(1); i < 60; i++ { // each holds the one before twice
		laughs = laughs.op('0', '}', 'q', i).text("a").op('h', i-1, 's').text("b").op('h', i-1, 's')
		lists = lists.op('0', ']', 'q', i, 'h', i-1, 'a', 'h', i-1, 'a')
	}
	doubled := newPickle().text(strings.Repeat("x", 1000))
	transposed := func(rows, columns int64) pickle {
		return newPickle().op('}').text("w").tensor("0", rows*columns, 0, []int64{rows, columns}, []int64{1, rows}).op('s', '.')
	}
	list := []hostile{
		{name: "views-inspect", files: arrayMade("m.pth", views(20000)), run: inspectPTH, want: `tensor "\d+": limit exceeded: .*views of the same storage`},
		{name: "views-convert", files: arrayMade("m.pth", views(20000)), run: convertPTH, want: "views of the same storage"},
		{name: "views-merge-diff", files: arrayMade("m.pth", views(1000)), run: []string{"merge", "diff", "m.pth", "m.pth"}, want: "views of the same storage"},
		{name: "views-apart", files: arrayMade("m.pth", apart), run: inspectPTH, want: "views of the same storage"},
		{name: "views-few-convert", files: arrayMade("m.pth", views(12)), run: convertPTH, exit: []int{0}, writes: true},
		{name: "tied", files: arrayMade("m.pth", tied), run: convertPTH, exit: []int{0}, writes: true},
		{name: "one-view", files: file("m.pth", pytorchFile(newPickle().tensor("0", 4, 0, []int64{1 << 30}, []int64{0}).op('.'), "", four)), run: inspectPTH, want: "more than once"},
		{name: "laughs", files: file("m.pth", pytorchFile(laughs.op('.'), "", nil)), run: inspectPTH, want: "more memory"},
		{name: "laughs-of-lists", files: file("m.pth", pytorchFile(lists.op('.'), "", nil)), run: inspectPTH, want: "more memory|16"},
		{name: "cycle", files: file("m.pth", pytorchFile(newPickle().op('}', 'q', 0).text("a").op('h', 0, 's', '.'), "", nil)), run: inspectPTH, want: "nested more than 64 deep"},
		{name: "lists-in-lists", files: unit(nil, pickle{']'}, append(bytes.Repeat([]byte{'a'}, 99999), '.'), 100000), run: inspectPTH, want: "nested|more memory"},
		{name: "dictionaries-in-dictionaries", files: unit(nil, pickle{'}', 'K', 1}, append(bytes.Repeat([]byte{'s'}, 50000), '.'), 50000), run: inspectPTH},
		{name: "tuples-in-tuples", files: unit(pickle{')'}, pickle{0x85}, pickle{'.'}, 300000), run: inspectPTH, want: "nested|more memory"},
		{name: "many-lists", files: unit(pickle{'('}, pickle{']'}, pickle{'l', '.'}, 4*mega), run: inspectPTH, want: "more memory"},
		{name: "many-dictionaries", files: unit(pickle{'('}, pickle{'}'}, pickle{'l', '.'}, 2*mega), run: inspectPTH, want: "more memory"},
		{name: "many-keys", run: inspectPTH, want: "more memory", files: arrayMade("m.pth", func() []byte {
			p := newPickle().op('}')
			for i := range 500000 {
				p = append(binary.LittleEndian.AppendUint32(append(p, 'J'), uint32(i)), 'N', 's')
			}
			return pytorchFile(p.op('.'), "", nil)
		})},
		{name: "many-marks", files: unit(nil, pickle{'('}, pickle{'.'}, 4*mega), run: inspectPTH, want: "more memory"},
		{name: "many-memories", files: unit(pickle{'N'}, pickle{0x94}, pickle{'.'}, 4*mega), run: inspectPTH, want: "more memory|tensors"},
		{name: "far-memories", run: inspectPTH, want: "more memory", files: arrayMade("m.pth", func() []byte {
			p := newPickle().op('N')
			for i := range mega {
				p = binary.LittleEndian.AppendUint32(append(p, 'r'), uint32(1<<31+i))
			}
			return pytorchFile(p.op('.'), "", nil)
		})},
		{name: "many-again", files: unit(pickle{'}'}, pickle{'2'}, pickle{'.'}, 4*mega), run: inspectPTH, want: "more memory"},
		{name: "many-devices", files: unit(newPickle().name("torch", "device").op('q', 1).text(strings.Repeat("c", 90)).op(0x85, 'q', 2, '('), pickle{'h', 1, 'h', 2, 'R'}, pickle{'l', '.'}, mega), run: inspectPTH, want: "more memory"},
		{name: "many-dictionaries-built", files: unit(newPickle().name("collections", "OrderedDict").op('q', 1, '('), pickle{'h', 1, ')', 'R'}, pickle{'l', '.'}, mega), run: inspectPTH, want: "more memory"},
		{name: "copies-of-a-list", files: unit(slices.Concat(newPickle().name("builtins", "list").op('q', 1, '('), bytes.Repeat(pickle{'N'}, 100000), pickle{'l', 0x85, 'q', 2, '('}), pickle{'h', 1, 'h', 2, 'R'}, pickle{'l', '.'}, 1000), run: inspectPTH, want: "more memory"},
		{name: "copies-of-bytes", files: unit(newPickle().name("_codecs", "encode").op('q', 1).text(strings.Repeat("x", 100000)).text("latin1").op(0x86, 'q', 2, '('), pickle{'h', 1, 'h', 2, 'R'}, pickle{'l', '.'}, 10000), run: inspectPTH, want: "more memory"},
		{name: "text-again", files: unit(doubled.op('q', 1, '('), pickle{'h', 1}, pickle{'l', '.'}, 2*mega), run: inspectPTH},
		{name: "names-that-grow", run: inspectPTH, files: arrayMade("m.pth", func() []byte { // 60 levels of 60 keys: names of all paths
			p, below := newPickle(), pickle(nil)
			for i := range 60 {
				p = p.op('}', '(')
				for k := range 60 {
					p = p.text(fmt.Sprintf("%d-%s", k, strings.Repeat("k", 50)))
					if below == nil {
						p = p.int(1)
					} else {
						p = append(p, below...)
					}
				}
				p = p.op('u', 'q', byte(i), '0')
				below = pickle{'h', byte(i)}
			}
			return pytorchFile(append(p, 'h', 59, '.'), "", nil)
		})},
		{name: "transposed", exit: []int{0}, writes: true, run: convertPTH, files: arrayMade("m.pth", func() []byte {
			return pytorchFile(transposed(8192, 1024), "", map[string][]byte{"0": make([]byte, 32<<20)})
		})},
		{name: "transposed-narrow", exit: []int{0}, writes: true, run: convertPTH, files: arrayMade("m.pth", func() []byte {
			return pytorchFile(transposed(2, 4<<20), "", map[string][]byte{"0": make([]byte, 32<<20)})
		})},
		{name: "old-transposed", exit: []int{0}, writes: true, run: convertPTH, files: arrayMade("m.pth", func() []byte {
			return oldCheckpoint(transposed(8192, 1024), []string{"0"}, [][]byte{make([]byte, 32<<20)})
		})},
		{name: "many-tensors", exit: []int{0}, run: inspectPTH, within: 20 * time.Second, files: arrayMade("m.pth", func() []byte {
			p, storages := newPickle().op('}'), map[string][]byte{}
			for i := range 20000 {
				key := fmt.Sprint(i)
				p, storages[key] = p.entry("layer."+key, key, 4), make([]byte, 16)
			}
			return pytorchFile(p.op('.'), "", storages)
		})},
		{name: "old-many-tensors", exit: []int{0}, run: inspectPTH, files: arrayMade("m.pth", func() []byte {
			p, keys, storages := newPickle().op('}'), []string(nil), [][]byte(nil)
			for i := range 12000 {
				key := fmt.Sprint(i)
				p, keys, storages = p.entry("layer."+key, key, 4), append(keys, key), append(storages, make([]byte, 16))
			}
			return oldCheckpoint(p.op('.'), keys, storages)
		})},
		{name: "60000-names-of-a-storage", run: inspectPTH, want: "another name", files: arrayMade("m.pth", func() []byte {
			entries := []rawEntry{{name: "a/data/0", data: make([]byte, 16)}}
			for i := range 60000 {
				entries = append(entries, rawEntry{name: fmt.Sprintf("a/data/%d", i+1), data: make([]byte, 16), at: 1})
			}
			return rawZip(append(entries, rawEntry{name: "a/data.pkl", data: newPickle().op('}').entry("w", "0", 4).op('.')})...)
		})},
	}
	for i := range list {
		list[i].kind, list[i].name = "amplification", "pth-"+list[i].name
	}
	return list
}

func pickleSizes() []hostile {
	four := map[string][]byte{"0": make([]byte, 16)}
	shown := func(offset int64, shape, strides []int64) func(dir string) error {
		return file("m.pth", pytorchFile(newPickle().op('}').text("w").tensor("0", 4, offset, shape, strides).op('s', '.'), "", four))
	}
	one := func(p pickle) func(dir string) error { return file("m.pth", pytorchFile(p, "", four)) }
	said := func(elements int64) func(dir string) error {
		return one(newPickle().op('}').entry("w", "0", elements).op('.'))
	}
	list := []hostile{
		{name: "shape-2-80", files: shown(0, []int64{1 << 40, 1 << 40}, []int64{0, 0}), want: "more than 2\\^63 bytes"},
		{name: "nothing-by-2-124", files: shown(0, []int64{0, 1 << 62, 1 << 62}, []int64{0, 0, 0}), want: "more than 2\\^63 bytes"},
		{name: "strides-2-62", files: shown(0, []int64{3, 3}, []int64{1 << 62, 1 << 62}), want: "beyond 2\\^63"},
		{name: "negative-shape", files: shown(0, []int64{-4}, []int64{1}), want: "negative"},
		{name: "negative-stride", files: shown(3, []int64{4}, []int64{-1}), want: "negative"},
		{name: "negative-offset", files: shown(-1, []int64{1}, []int64{1}), want: "offset -1"},
		{name: "offset-2-63", files: shown(1<<63-1, []int64{1}, []int64{1}), want: "offset"},
		{name: "beyond-its-storage", files: shown(1, []int64{4}, []int64{1}), want: "reaches element 4"},
		{name: "100-dimensions", files: shown(0, slices.Repeat([]int64{1}, 100), slices.Repeat([]int64{1}, 100)), want: "100 numbers, at most 64"},
		{name: "storage-of-5", files: said(5), want: "5 elements take 20 bytes, its entry has 16"},
		{name: "storage-of-2-62", files: said(1 << 62)},
		{name: "storage-of-less-than-none", files: said(-4)},
		{name: "text-of-2-gb", files: one(newPickle().op('X', 255, 255, 255, 127, 'x', '.')), want: "ends before"},
		{name: "text-of-2-62", files: one(newPickle().op(0x8d, 0, 0, 0, 0, 0, 0, 0, 0x40, '.')), want: "ends before"},
		{name: "text-of-2-64", files: one(newPickle().op(0x8d, 255, 255, 255, 255, 255, 255, 255, 255, '.')), want: "ends before"},
		{name: "bytes-of-2-62", files: one(newPickle().op(0x8e, 0, 0, 0, 0, 0, 0, 0, 0x40, '.')), want: "ends before"},
		{name: "bytearray-of-2-62", files: one(newPickle().op(0x96, 0, 0, 0, 0, 0, 0, 0, 0x40, '.')), want: "ends before"},
		{name: "old-text-of-4-gb", files: one(newPickle().op('T', 255, 255, 255, 255, '.')), want: "ends before"},
		{name: "number-of-4-gb", files: one(newPickle().op(0x8b, 255, 255, 255, 255, '.')), want: "a number of 4294967295 bytes"},
		{name: "number-of-a-million-digits", files: one(append(newPickle().op('L'), strings.Repeat("9", 1<<20)+"L\n."...)), want: "a line of more than"},
		{name: "frame-of-2-64", files: one(newPickle().op(0x95, 255, 255, 255, 255, 255, 255, 255, 255, '}', '.')), exit: []int{0, 3}},
		{name: "memory-2-32", files: one(newPickle().op('N', 'j', 255, 255, 255, 255, '.')), want: "memory 4294967295"},
		{name: "old-storage-of-2-63", want: "storage", files: arrayMade("m.pth", func() []byte {
			b := oldCheckpoint(newPickle().op('}').entry("w", "0", 4).op('.'), []string{"0"}, [][]byte{make([]byte, 16)})
			binary.LittleEndian.PutUint64(b[len(b)-24:], 1<<63)
			return b
		})},
		{name: "old-key-twice", want: "storage \"0\"", files: file("m.pth", oldCheckpoint(newPickle().op('}').entry("w", "0", 4).op('.'), []string{"0", "0"}, [][]byte{make([]byte, 16), make([]byte, 16)}))},
		{name: "query-weight-of-no-rows", exit: []int{0, 3}, writes: true, run: []string{"convert", "m.pth", "--to", "gguf", "--out", "o.gguf", "--check"}, files: file("m.pth",
			pytorchFile(newPickle().op('}').text("model.layers.0.self_attn.q_proj.weight").tensor("0", 4, 0, []int64{0, 4}, []int64{4, 1}).op('s', '.'), "", four))},
	}
	for i := range list {
		list[i].kind, list[i].name = "overflow", "pth-"+list[i].name
		if list[i].run == nil {
			list[i].run = inspectPTH
		}
	}
	return list
}

func pickleForms() []hostile {
	const escape = "\x1b]0;title\x07\u202e"
	four := map[string][]byte{"0": make([]byte, 16)}
	one := func(p pickle) func(dir string) error { return file("m.pth", pytorchFile(p.op('.'), "", four)) }
	long := strings.Repeat("n", 1<<20)

	// A name that is not that of a program, a call of it, an object of it that holds a tensor, and weights beside one.
	escaped := newPickle().name("os"+escape[:10]+escape[11:], "system")
	called := func(what pickle) pickle { return slices.Concat(what, pickle{')', 'R'}) }
	needing := func(what pickle) pickle {
		return slices.Concat(what, pickle(nil).op('(').tensor("0", 4, 0, []int64{4}, []int64{1}).op('t', 'R'))
	}
	beside := func(what pickle) pickle { return newPickle().op('}').entry("w", "0", 4).text("x").op(what...).op('s') }
	const passed, shownEscape = `objects of 1 classes, which no tensor needs, are passed over: `, `\\u001b\]0;title\\u0007\\u202e`
	whole := pytorchFile(newPickle().op('}').entry("w", "0", 4).op('.'), "", four)
	old := oldCheckpoint(newPickle().op('}').entry("w", "0", 4).op('.'), []string{"0"}, [][]byte{make([]byte, 16)})
	list := []hostile{
		{name: "calls-a-program", files: one(newPickle().name("os", "system").text("echo broken in").op(0x85, 'R')), want: "os.system"},
		{name: "calls-a-program-beside", files: one(newPickle().op('}').entry("w", "0", 4).text("x").name("os", "system").text("echo broken in").op(0x85, 'R', 's')), want: "os.system"},
		{name: "names-a-program", files: one(newPickle().op('}').entry("w", "0", 4).text("x").name("os", "system").op('s')), want: "os.system"},

		// What no tensor needs is passed over and named, whether it is called or not; what a tensor needs is refused, or listed without values.
		{name: "names-with-an-escape", exit: []int{0}, files: one(escaped), want: passed + `os\\u001b\]0;title\\u0007\\x80\\xae\.system\n`},
		{name: "names-what-is-long", exit: []int{0}, files: one(newPickle().text(long).text(long).op(0x93)), want: passed + `n{100,300}\.\.\.\n`},
		{name: "names-on-the-stack-with-an-escape", exit: []int{0}, files: one(newPickle().text(escape).text(escape).op(0x93)), want: passed + shownEscape + `\.` + shownEscape + `\n`},
		{name: "calls-with-an-escape", exit: []int{0}, files: one(beside(called(escaped))), want: `1 float32(.*\n)*.*` + passed + `os\\u001b\]0;title\\u0007\\x80\\xae\.system\n`},
		{name: "calls-what-is-long", exit: []int{0}, files: one(beside(called(newPickle().text(long).text(long).op(0x93)))), want: passed + `n{100,300}\.\.\.\n`},
		{name: "calls-alone-with-an-escape", files: one(called(escaped)), want: `calls something that is neither a tensor nor a container: os\\u001b\]0;title\\u0007\\x80\\xae\.system; nothing was run`},
		{name: "needs-a-call-with-an-escape", files: one(newPickle().op('}').text("w").op(needing(escaped)...).op('s')), want: `calls something .*: os\\u001b\]0;title\\u0007\\x80\\xae\.system; nothing was run`},
		{name: "needs-a-call-that-is-long", files: one(newPickle().op('}').text("w").op(needing(newPickle().text(long).text(long).op(0x93))...).op('s')), want: `calls something .*: n{100,300}\.\.\.; nothing was run`},
		{name: "needs-a-call-for-one-of-two", exit: []int{0}, files: one(beside(needing(escaped))), want: `cannot be read: it is an object of os\\u001b\]0;title\\u0007\\x80\\xae\.system`},
		{name: "needs-a-call-for-one-of-two-convert", files: one(beside(needing(escaped))), run: convertPTH, want: `"?x"?: .*an object of os\\u001b\]0;title\\u0007\\x80\\xae\.system`},

		{name: "tensor-with-a-long-name", files: one(newPickle().op('}').entry(long, "0", 4)), want: `a name of more than 4096 bytes`},
		{name: "tensor-with-an-escape", files: one(newPickle().op('}').text(escape).tensor("0", 4, 1, []int64{4}, []int64{1}).op('s')), want: "reaches element"},
		{name: "tensors-of-a-name-with-an-escape", files: one(newPickle().op('}').entry("a."+escape, "0", 4).text("a").op('}').entry(escape, "0", 4).op('s')), want: "two paths"},
		{name: "storage-with-a-long-key", files: one(newPickle().op('}').entry("w", long, 4)), want: "no such entry"},
		{name: "storage-with-an-escape", files: one(newPickle().op('}').entry("w", escape, 4)), want: "no such entry"},
		{name: "metadata-with-a-long-key", exit: []int{0}, files: one(newPickle().op('}').entry("w", "0", 4).text(long).int(1).op('s'))},
		{name: "metadata-with-long-text", exit: []int{0}, files: one(newPickle().op('}').entry("w", "0", 4).text("note").text(long).op('s'))},
		{name: "beside-with-a-long-key", exit: []int{0}, want: `1 tensors are outside of "state_dict" and are not read: n{100,300}\.\.\.\n`, files: one(
			newPickle().op('}').text("state_dict").op('}').entry("w", "0", 4).op('s').text(long).op('}').entry("m", "0", 4).op('s'))},
		{name: "one-of-two-with-a-long-name", exit: []int{0}, files: one(newPickle().op('}').entry("w", "0", 4).entry(long, "0", 4)),
			want: `1 tensors have names that are not text or are too long, and are not read: n{100,300}\.\.\.\n`},
		{name: "one-of-two-with-a-name-that-is-no-text", exit: []int{0}, files: one(newPickle().op('}').entry("w", "0", 4).op('U', 2, 0xff, 0x1b).tensor("0", 4, 0, []int64{4}, []int64{1}).op('s')),
			want: `1 tensors have names that are not text or are too long, and are not read: \\xff\\u001b\n`},
		{name: "bare", files: file("m.pth", newPickle().op('}', '.')), want: "a bare pickle"},
		{name: "module", files: one(newPickle().op('(').text("module").text("x").op('t', 'Q')), want: "persistent identity|source code"},
		{name: "extension", files: one(newPickle().op(0x82, 1)), want: "copyreg"},
		{name: "unknown-opcode", files: one(newPickle().op(0xff)), want: "opcode 0xff"},
		{name: "empty-stack", files: one(newPickle().op('0')), want: "empty stack"},
		{name: "no-end", files: file("m.pth", pytorchFile(newPickle().op('}'), "", four)), want: "before its end mark"},
		{name: "byte-order", files: file("m.pth", rawZip(rawEntry{name: "a/data.pkl", data: newPickle().op('}', '.')}, rawEntry{name: "a/byteorder", data: []byte(escape)})), want: "want little or big"},
		{name: "packed", files: file("m.pth", rawZip(rawEntry{name: "a/data.pkl", data: newPickle().op('}', '.'), method: 8})), want: "compressed"},
		{name: "own-name", files: file("m.pth", rawZip(rawEntry{name: "a/data.pkl", data: newPickle().op('}', '.'), ownName: "a/data.pkx"})), want: "another name"},
		{name: "pipe", files: arrayPipe("m.pth", nil), want: "it is a pipe"},
		{name: "pipe-convert", files: arrayPipe("m.pth", nil), run: convertPTH, want: "it is a pipe"},
		{name: "pipe-in-a-folder", files: func(dir string) error {
			return arrayPipe("pytorch_model.bin.index.json", nil)(dir)
		}, run: []string{"inspect", "."}},
	}
	for i := range list {
		list[i].kind, list[i].name = "malformed", "pth-"+list[i].name
		if strings.Contains(list[i].name, "pipe") {
			list[i].kind = "pipe"
		}
		if list[i].run == nil {
			list[i].run = inspectPTH
		}
	}
	for _, at := range []int{20, 60, len(whole) / 2, len(whole) - 30, len(whole) - 1} {
		list = append(list, hostile{kind: "truncated", name: fmt.Sprintf("pth-%d-of-%d", at, len(whole)), files: file("m.pth", whole[:at]), run: inspectPTH})
	}
	for _, at := range []int{15, 20, 40, len(old) - 20, len(old) - 1} {
		list = append(list, hostile{kind: "truncated", name: fmt.Sprintf("pth-old-%d-of-%d", at, len(old)), files: file("m.pth", old[:at]), run: inspectPTH})
	}
	return list
}

func pickleShards() []hostile {
	const index = "pytorch_model.bin.index.json"
	shard := pytorchFile(newPickle().op('}').entry("w", "0", 4).op('.'), "", map[string][]byte{"0": make([]byte, 16)})
	damaged := pytorchFile(newPickle().op('}').entry("w", "0", 4).op('.'), "data/0", map[string][]byte{"0": make([]byte, 16)})
	beside := func(text string) func(dir string) error {
		return arrayFiles(map[string][]byte{"m/" + index: []byte(text), "m/a.bin": shard, "secret.bin": shard})
	}
	keys := func(n int, value string) string {
		var b strings.Builder
		b.WriteString(`{"weight_map": {"w": "a.bin"`)
		for i := range n {
			fmt.Fprintf(&b, `,"%x": "%s"`, i, strings.ReplaceAll(value, "#", fmt.Sprint(i)))
		}
		return b.String() + "}}"
	}
	list := []hostile{
		{kind: "checksum", name: "shard-inspect", files: arrayFiles(map[string][]byte{"m/" + index: []byte(`{"weight_map": {"w": "a.bin"}}`), "m/a.bin": damaged}), want: "a.bin: archive/data/0: data are damaged"},
		{kind: "checksum", name: "shard-convert", files: arrayFiles(map[string][]byte{"m/" + index: []byte(`{"weight_map": {"w": "a.bin"}}`), "m/a.bin": damaged}), run: []string{"convert", "m", "--to", "npz", "--out", "o.npz"}, want: "archive/data/0: data are damaged"},
		{kind: "outside", name: "shard-above", files: beside(`{"weight_map": {"w": "../secret.bin"}}`), want: "outside the model's folder"},
		{kind: "outside", name: "shard-absolute", files: beside(`{"weight_map": {"w": "/etc/passwd.bin"}}`), want: "outside the model's folder"},
		{kind: "outside", name: "shard-escape", files: beside(`{"weight_map": {"w": "../\u001b]0;x\u0007.bin"}}`), want: "outside the model's folder"},
		{kind: "outside", name: "shard-link", want: "outside its folder", files: func(dir string) error {
			if err := beside(`{"weight_map": {"w": "b.bin"}}`)(dir); err != nil {
				return err
			}
			return os.Symlink("../secret.bin", filepath.Join(dir, "m", "b.bin"))
		}},
		{kind: "pipe", name: "shard-pipe", files: arrayPipe("a.bin", map[string][]byte{index: []byte(`{"weight_map": {"w": "a.bin"}}`)}), run: []string{"inspect", "."}, want: "it is a pipe"},
		{kind: "amplification", name: "shard-index-of-short-keys", files: arrayMade("m/"+index, func() []byte { return []byte(keys(800000, "a.bin")) }), want: "more than 524288 values"},
		{kind: "amplification", name: "shard-index-of-shorter-keys", files: arrayMade("m/"+index, func() []byte { return []byte(keys(400000, "")) }), want: "more names than"},
		{kind: "amplification", name: "shard-index-of-many-shards", files: arrayMade("m/"+index, func() []byte { return []byte(keys(10000, "#.bin")) }), want: "more than 4096 shards"},
		{kind: "amplification", name: "shard-index-deep", files: beside(`{"metadata": ` + strings.Repeat("[", 2<<20) + `, "weight_map": {"w": "a.bin"}}`), exit: []int{3}},
		{kind: "amplification", name: "shard-index-of-objects", want: "values", files: beside(`{"metadata": [` + strings.Repeat("{},", 2<<20) + `{}], "weight_map": {"w": "a.bin"}}`)},
		{kind: "amplification", name: "shard-index-of-a-long-name", files: beside(`{"weight_map": {"` + strings.Repeat("w", 4<<20) + `": "a.bin"}}`), want: "a name of more than"},
		{kind: "amplification", name: "shard-index-of-20-mb", files: arrayMade("m/"+index, func() []byte { return []byte(keys(0, "") + strings.Repeat(" ", 20<<20)) }), want: "larger than"},
		{kind: "malformed", name: "shard-key-twice", files: beside(`{"weight_map": {"w": "a.bin", "w": "a.bin"}}`), want: "occurs twice"},
		{kind: "malformed", name: "shard-number", files: beside(`{"weight_map": {"w": 7}}`), want: "not text"},
		{kind: "malformed", name: "shard-lacks-it", files: beside(`{"weight_map": {"\u001b[2J": "a.bin"}}`), want: "lacks it"},
		{kind: "malformed", name: "shard-index-list", files: beside(`["weight_map", "a.bin"]`)},
	}
	for i := range list {
		if list[i].run == nil {
			list[i].run = []string{"inspect", "m"}
		}
	}
	return list
}

package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/ballast-ml/ballast/format/tfevents"
	"github.com/ballast-ml/ballast/format/wordpiece"
	"github.com/ballast-ml/ballast/internal/memory"
)

// galleryReaders are safetensors, GGUF, Hugging Face, TensorFlow.js, event and vocabulary files.
func galleryReaders() []hostile {
	var out []hostile
	out = append(out, gallerySafetensors()...)
	out = append(out, galleryShards()...)
	out = append(out, galleryGGUF()...)
	out = append(out, galleryTFJS()...)
	out = append(out, galleryConfigs()...)
	out = append(out, galleryTokenizers()...)
	out = append(out, galleryEvents()...)
	return append(out, galleryWordPiece()...)
}

// Readers that no verb reaches run as verbs of the test's own, see TestMain.
var readersAlone = map[string]func(path string) error{
	"read-wordpiece": func(path string) error {
		t, err := wordpiece.Open(path)
		if err == nil {
			t.Encode(strings.Repeat("a text of words [SEP] ", 1000), 512)
		}
		return err
	},
	"read-special": func(path string) error {
		t, err := wordpiece.Open(path)
		if err == nil {
			t.Encode(strings.Repeat("[SEP]", 200_000), 0)
		}
		return err
	},
	"read-events": func(path string) error {
		r, err := tfevents.OpenReader(path)
		if err != nil {
			return err
		}
		defer r.Close() //nolint:errcheck // it was only read
		for {
			if _, err := r.Next(); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
		}
	},
	"read-scalars": func(dir string) error {
		_, err := tfevents.ReadScalars(dir)
		return err
	},
}

// text is content that is made when it is written, so that the gallery itself takes no memory.
type text func() string

// as joins pieces: each a string or a text.
func as(pieces ...any) text {
	return func() string {
		var b strings.Builder
		for _, p := range pieces {
			switch p := p.(type) {
			case string:
				b.WriteString(p)
			case text:
				b.WriteString(p())
			default:
				panic(fmt.Sprintf("a piece of type %T", p))
			}
		}
		return b.String()
	}
}

// listed is items with commas between them.
func listed(n int, item func(i int) string) text {
	return func() string {
		var b strings.Builder
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(item(i))
		}
		return b.String()
	}
}

// repeated is a piece many times over.
func repeated(n int, piece string) text { return func() string { return strings.Repeat(piece, n) } }

// inFolder writes files.
func inFolder(files map[string]text) func(dir string) error {
	return func(dir string) error {
		for name, content := range files {
			if err := put(filepath.Join(dir, filepath.FromSlash(name)), []byte(content())); err != nil {
				return err
			}
		}
		return nil
	}
}

// rawTensors is a safetensors file with that header and so many bytes of data.
func rawTensors(data int, header ...any) text {
	return func() string {
		h := as(header...)()
		return string(binary.LittleEndian.AppendUint64(nil, uint64(len(h)))) + h + strings.Repeat("\x00", data)
	}
}

// smallTensors is a safetensors file of one tensor.
func smallTensors(name string) text {
	quoted, err := json.Marshal(name)
	if err != nil {
		panic(err)
	}
	return rawTensors(16, fmt.Sprintf(`{%s:{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}`, quoted))
}

func gallerySafetensors() []hostile {
	one := func(fields string) text { return rawTensors(16, "{\"w\":{"+fields+"}}") }
	length := func(n uint64) text { return as(string(binary.LittleEndian.AppendUint64(nil, n)), `{"w":`) }
	var out []hostile
	for _, c := range []struct {
		kind, name string
		file       text
		exit       []int
		want       string
	}{
		{"overflow", "st-header-length", length(1 << 39), nil, "header is larger than allowed"},
		{"overflow", "st-header-beyond", length(99_000_000), nil, "beyond the end of the file"},
		{"overflow", "st-product", one(`"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,16]`), nil, "overflows"},
		{"overflow", "st-product-of-nothing", one(`"dtype":"F32","shape":[9223372036854775807,9223372036854775807,0],"data_offsets":[0,16]`), nil, ""},
		{"overflow", "st-bits", one(`"dtype":"F64","shape":[4611686018427387904],"data_offsets":[0,16]`), nil, "overflows"},
		{"overflow", "st-offset", one(`"dtype":"F32","shape":[4],"data_offsets":[0,9223372036854775807]`), nil, ""},
		{"overflow", "st-offset-64-bits", one(`"dtype":"F32","shape":[4],"data_offsets":[0,18446744073709551615]`), nil, ""},
		{"malformed", "st-offsets-turned", one(`"dtype":"F32","shape":[4],"data_offsets":[16,0]`), nil, ""},
		{"malformed", "st-negative", one(`"dtype":"F32","shape":[-4],"data_offsets":[0,16]`), nil, "at least 0"},
		{"malformed", "st-float-shape", one(`"dtype":"F32","shape":[4.0],"data_offsets":[0,16]`), nil, ""},
		{"malformed", "st-overlap", rawTensors(16, `{"a":{"dtype":"U8","shape":[16],"data_offsets":[0,16]},"b":{"dtype":"U8","shape":[8],"data_offsets":[8,16]}}`), nil, "overlap"},
		{"malformed", "st-twice", rawTensors(16, `{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"a":{"dtype":"U8","shape":[8],"data_offsets":[8,16]}}`), nil, "twice"},
		{"amplification", "st-dims", rawTensors(0, `{"a":{"dtype":"U8","shape":[`, listed(500_000, func(int) string { return "0" }), `],"data_offsets":[0,0]}}`), nil, "64 dimensions"},
		{"amplification", "st-tensors", rawTensors(0, "{", listed(150_000, func(i int) string {
			return fmt.Sprintf(`"%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`, i)
		}), "}"), []int{exitOK, exitBadInput}, ""},
		{"amplification", "st-tensors-beyond", rawTensors(0, "{", listed(1_000_000, func(i int) string {
			return fmt.Sprintf(`"%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`, i)
		}), "}"), nil, "limit exceeded"},
		{"amplification", "st-metadata", rawTensors(0, `{"__metadata__":{`, listed(90_000, func(i int) string { return fmt.Sprintf(`"%d":""`, i) }), `},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`), []int{exitOK, exitBadInput}, ""},
		{"amplification", "st-escapes", rawTensors(0, `{"`, repeated(500_000, `\u0061`), `":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`), []int{exitOK, exitBadInput}, ""},
		{"amplification", "st-depth", rawTensors(0, `{"a":{"x":`, repeated(1_000_000, "[")), nil, "nested more than"},
		{"amplification", "st-unknown", rawTensors(0, `{"a":{`, listed(300_000, func(int) string { return `"x":0` }), `,"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`), []int{exitOK, exitBadInput}, ""},
		{"malformed", "st-empty", as(), nil, ""},
	} {
		out = append(out, hostile{kind: c.kind, name: c.name, files: inFolder(map[string]text{"m.safetensors": c.file}), run: []string{"inspect", "m.safetensors"}, exit: c.exit, want: c.want})
	}

	// The same files through the other verbs that read models.
	for _, verb := range [][]string{
		{"convert", "m.safetensors", "--to", "gguf", "--out", "out.gguf"}, {"merge", "diff", "m.safetensors", "m.safetensors"}, {"run", "m.safetensors", "--input", "x=m.safetensors"},
		{"soup", "m.safetensors", "n.safetensors", "--out", "out"}, {"evaluate", "m.safetensors", "--data", "digits"},
	} {
		name := "st-product-" + verb[0]
		bad := one(`"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,16]`)
		out = append(out, hostile{kind: "overflow", name: name, files: inFolder(map[string]text{"m.safetensors": bad, "n.safetensors": bad}), run: verb, exit: []int{exitBadInput, exitUsage}})
	}
	return out
}

func galleryShards() []hostile {
	const index = "model.safetensors.index.json"
	mapped := func(n int, shard func(i int) string) text {
		return as(`{"metadata":{"total_size":1},"weight_map":{`, listed(n, func(i int) string { return fmt.Sprintf(`"%d":"%s"`, i, shard(i)) }), "}}")
	}
	var out []hostile
	for _, c := range []struct {
		kind, name string
		index      text
		want       string
	}{
		{"amplification", "index-tensors", mapped(200_000, func(int) string { return "a.safetensors" }), "lacks it"},
		{"amplification", "index-shards", mapped(100_000, func(i int) string { return fmt.Sprint(i) }), "shard cannot be read"},
		{"amplification", "index-size", as(`{"metadata":{"total_size":`, repeated(200_000, "9"), `},"weight_map":{"w":"a.safetensors"}}`), ""},
		{"amplification", "index-depth", as(`{"x":`, repeated(500_000, "["), `,"weight_map":{}}`), "nested"},
		{"amplification", "index-keys", as(`{`, listed(100_000, func(i int) string { return fmt.Sprintf(`"%d":0`, i) }), `,"weight_map":{"x":"a.safetensors"}}`), ""},
		{"outside", "index-parent", mapped(1, func(int) string { return "../a.safetensors" }), "outside"},
		{"outside", "index-absolute", mapped(1, func(int) string { return "/etc/passwd" }), "outside"},
		{"outside", "index-drive", mapped(1, func(int) string { return "C:a.safetensors" }), "outside"},
		{"malformed", "index-itself", mapped(1, func(int) string { return index }), ""},
		{"malformed", "index-twice", as(`{"weight_map":{"w":"a.safetensors","w":"a.safetensors"}}`), "twice"},
	} {
		files := inFolder(map[string]text{"d/" + index: c.index, "d/a.safetensors": smallTensors("w")})
		exit := []int{exitBadInput}
		if c.name == "index-size" {
			exit = []int{exitOK, exitBadInput}
		}
		out = append(out, hostile{kind: c.kind, name: c.name, files: files, run: []string{"inspect", "d"}, exit: exit, want: c.want})
	}
	return out
}

// ggufBytes writes GGUF files as nobody should.
type ggufBytes struct{ pieces []any }

func newGGUF(tensors, values uint64) *ggufBytes {
	b := &ggufBytes{[]any{"GGUF"}}
	return b.u32(3).u64(tensors).u64(values)
}

func (b *ggufBytes) add(piece any) *ggufBytes {
	b.pieces = append(b.pieces, piece)
	return b
}

func (b *ggufBytes) u32(v uint32) *ggufBytes {
	return b.add(string(binary.LittleEndian.AppendUint32(nil, v)))
}
func (b *ggufBytes) u64(v uint64) *ggufBytes {
	return b.add(string(binary.LittleEndian.AppendUint64(nil, v)))
}

func (b *ggufBytes) text(s string) *ggufBytes { return b.u64(uint64(len(s))).add(s) }

// each adds what is written for each number below n, later.
func (b *ggufBytes) each(n int, one func(b *ggufBytes, i int)) *ggufBytes {
	return b.add(text(func() string {
		var out strings.Builder
		for i := range n {
			item := &ggufBytes{}
			one(item, i)
			out.WriteString(as(item.pieces...)())
		}
		return out.String()
	}))
}

// value writes the key and the type of a value.
func (b *ggufBytes) value(key string, typ uint32) *ggufBytes { return b.text(key).u32(typ) }

// array writes the key, the types and the length of an array.
func (b *ggufBytes) array(key string, elem uint32, n uint64) *ggufBytes {
	return b.value(key, 9).u32(elem).u64(n)
}

// tensor describes one of type F32.
func (b *ggufBytes) tensor(name string, offset uint64, dims ...uint64) *ggufBytes {
	b.text(name).u32(uint32(len(dims)))
	for _, d := range dims {
		b.u64(d)
	}
	return b.u32(0).u64(offset)
}

func (b *ggufBytes) zeros(n int) *ggufBytes { return b.add(repeated(n, "\x00")) }

func galleryGGUF() []hostile {
	values := newGGUF(0, 90_000).each(90_000, func(b *ggufBytes, i int) { b.value(fmt.Sprint(i), 0).zeros(1) })
	named := func(b *ggufBytes, i int) { b.tensor(fmt.Sprint(i), 0, 0) }
	tensors, beyond := newGGUF(90_000, 0).each(90_000, named), newGGUF(600_000, 0).each(600_000, named)
	odd := []int{exitOK, exitBadInput}
	var out []hostile
	for _, c := range []struct {
		kind, name string
		file       *ggufBytes
		exit       []int
		want       string
	}{
		{"overflow", "gguf-tensor-count", newGGUF(1<<60, 0).zeros(100), nil, "more entries than"},
		{"overflow", "gguf-value-count", newGGUF(0, math.MaxUint64).zeros(100), nil, "more entries than"},
		{"amplification", "gguf-tensor-count-fits", newGGUF(400_000, 0).zeros(10 << 20), nil, ""},
		{"amplification", "gguf-value-count-fits", newGGUF(0, 400_000).zeros(10 << 20), nil, ""},
		{"amplification", "gguf-both-counts", newGGUF(200_000, 200_000).zeros(10 << 20), nil, ""},
		{"overflow", "gguf-text", newGGUF(0, 1).u64(math.MaxUint64).zeros(100), nil, "ends too early"},
		{"overflow", "gguf-text-63-bits", newGGUF(0, 1).u64(math.MaxInt64).zeros(100), nil, "ends too early"},
		{"overflow", "gguf-array", newGGUF(0, 1).array("a", 10, 1<<61).zeros(100), nil, "more entries than"},
		{"overflow", "gguf-array-of-texts", newGGUF(0, 1).array("a", 8, 1<<61).zeros(100), nil, "more entries than"},
		{"malformed", "gguf-nested", newGGUF(0, 1).array("a", 9, 1).u32(9).u64(1).u32(9).u64(1).zeros(100), nil, "array of arrays"},
		{"malformed", "gguf-value-type", newGGUF(0, 1).value("a", 99).zeros(100), nil, "unknown type"},
		{"malformed", "gguf-tensor-type", newGGUF(1, 0).text("t").u32(1).u64(4).u32(99).u64(0).zeros(100), nil, "unknown type"},
		{"malformed", "gguf-dims", newGGUF(1, 0).text("t").u32(math.MaxUint32).zeros(100), nil, "4 dimensions"},
		{"overflow", "gguf-product", newGGUF(1, 0).tensor("t", 0, 1<<32, 1<<32).zeros(100), nil, "overflows"},
		{"overflow", "gguf-product-of-nothing", newGGUF(1, 0).tensor("t", 0, math.MaxUint64, math.MaxUint64, 0).zeros(100), nil, "overflows"},
		{"overflow", "gguf-bytes", newGGUF(1, 0).tensor("t", 0, 1<<62).zeros(100), nil, "overflows"},
		{"overflow", "gguf-offset", newGGUF(1, 0).tensor("t", math.MaxUint64-31, 4).zeros(100), nil, "overflows"},
		{"malformed", "gguf-alignment-0", newGGUF(0, 1).value("general.alignment", 4).u32(0), nil, "power of two"},
		{"malformed", "gguf-alignment-3", newGGUF(0, 1).value("general.alignment", 4).u32(3), nil, "power of two"},
		{"malformed", "gguf-alignment-most", newGGUF(0, 1).value("general.alignment", 4).u32(1 << 31), nil, "power of two"},
		{"amplification", "gguf-alignment-array", newGGUF(0, 1).array("general.alignment", 0, 1<<21).zeros(1 << 21), nil, "power of two"},
		{"amplification", "gguf-alignment-text", newGGUF(0, 1).value("general.alignment", 8).u64(2 << 20).add(repeated(2<<20, "x")), nil, "power of two"},
		{"amplification", "gguf-values", values, odd, ""},
		{"amplification", "gguf-tensors", tensors, odd, ""},
		{"amplification", "gguf-tensors-beyond", beyond, nil, "limit exceeded"},
		{"amplification", "gguf-empty-texts", newGGUF(0, 1).array("a", 8, 500_000).zeros(8 * 500_000), odd, ""},
		{"malformed", "gguf-big-endian", &ggufBytes{[]any{"GGUF\x00\x00\x00\x03"}}, nil, "big endian"},
		{"malformed", "gguf-version", &ggufBytes{[]any{"GGUF\x09\x00\x00\x00aaaaaaaaaaaaaaaaaaaaaaa"}}, nil, "version"},
		{"malformed", "gguf-cut", &ggufBytes{[]any{"GGUF"}}, nil, "too early"},
	} {
		out = append(out, hostile{kind: c.kind, name: c.name, files: inFolder(map[string]text{"m.gguf": as(c.file.pieces...)}), run: []string{"inspect", "m.gguf"}, exit: c.exit, want: c.want})
	}

	// Arrays that are carried into the metadata of another format, as text.
	for name, array := range map[string]*ggufBytes{
		"numbers": newGGUF(1, 1).array("a", 0, 1_000_000).zeros(1_000_000).tensor("t", 0, 4).zeros(100),
		"texts":   newGGUF(1, 1).array("a", 8, 400_000).zeros(8*400_000).tensor("t", 0, 4).zeros(100),
		"beyond":  newGGUF(1, 1).array("a", 0, 8<<20).zeros(8<<20).tensor("t", 0, 4).zeros(100),
	} {
		out = append(out, hostile{kind: "amplification", name: "gguf-carried-" + name, files: inFolder(map[string]text{"m.gguf": as(array.pieces...)}),
			run: []string{"convert", "m.gguf", "--to", "safetensors", "--out", "out.safetensors"}, exit: odd, writes: true})
	}
	carried := as(`{"__metadata__":{"gguf.a":"{\"type\":\"array of u8\",\"value\":[`, listed(1_000_000, func(int) string { return "1" }), `]}"},"t":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}`)
	return append(out, hostile{kind: "amplification", name: "st-carried-numbers", files: inFolder(map[string]text{"m.safetensors": rawTensors(16, carried)}),
		run: []string{"convert", "m.safetensors", "--to", "gguf", "--out", "out.gguf"}, exit: odd, writes: true})
}

func galleryTFJS() []hostile {
	group := func(weights, paths any) text {
		return as(`{"format":"x","weightsManifest":[{"paths":[`, paths, `],"weights":[`, weights, `]}]}`)
	}
	odd := []int{exitOK, exitBadInput}
	var out []hostile
	for _, c := range []struct {
		kind, name string
		manifest   text
		exit       []int
		want       string
	}{
		{"amplification", "tfjs-weights", group(listed(60_000, func(i int) string { return fmt.Sprintf(`{"name":"%d","shape":[0],"dtype":"bool"}`, i) }), ""), odd, ""},
		{"amplification", "tfjs-groups", as(`{"weightsManifest":[`, listed(100_000, func(int) string { return `{"paths":[],"weights":[]}` }), `]}`), odd, ""},
		{"amplification", "tfjs-paths", group("", listed(200_000, func(i int) string { return fmt.Sprintf(`"%d"`, i) })), nil, ""},
		{"amplification", "tfjs-keys", as(`{"format":"layers-model",`, listed(100_000, func(i int) string { return fmt.Sprintf(`"%d":0`, i) }), `,"weightsManifest":[]}`), nil, "1000 keys"},
		{"amplification", "tfjs-topology", as(`{"modelTopology":`, repeated(9_000, "["), repeated(9_000, "]"), `,"weightsManifest":[]}`), odd, ""},
		{"amplification", "tfjs-topology-deep", as(`{"modelTopology":`, repeated(2_000_000, "["), `,"weightsManifest":[]}`), nil, ""},
		{"amplification", "tfjs-topology-long", as(`{"modelTopology":[`, listed(2_000_000, func(int) string { return "0" }), `],"weightsManifest":[]}`), odd, ""},
		{"amplification", "tfjs-dims", group(as(`{"name":"a","dtype":"bool","shape":[`, listed(500_000, func(int) string { return "1" }), `]}`), `"a.bin"`), nil, "64 dimensions"},
		{"amplification", "tfjs-members", group(as(`{`, listed(200_000, func(i int) string { return fmt.Sprintf(`"%d":0`, i) }), `}`), `"a.bin"`), nil, "50 keys"},
		{"overflow", "tfjs-product", group(`{"name":"a","dtype":"float32","shape":[4294967296,4294967296]}`, `"a.bin"`), nil, "more than"},
		{"overflow", "tfjs-size", group(`{"name":"a","dtype":"float32","shape":[2305843009213693951]}`, `"a.bin"`), nil, ""},
		{"overflow", "tfjs-texts", group(`{"name":"a","dtype":"string","shape":[576460752303423487]}`, `"a.bin"`), nil, "beyond the shards"},
		{"malformed", "tfjs-negative", group(`{"name":"a","dtype":"float32","shape":[-4]}`, `"a.bin"`), nil, "at least 0"},
		{"malformed", "tfjs-scale", group(`{"name":"a","dtype":"float32","shape":[16],"quantization":{"dtype":"uint8","scale":1e999,"min":0}}`, `"a.bin"`), nil, ""},
		{"malformed", "tfjs-quantisation", group(`{"name":"a","dtype":"float32","shape":[16],"quantization":{"dtype":"int4","scale":1,"min":0}}`, `"a.bin"`), nil, "int4"},
		{"outside", "tfjs-parent", group(`{"name":"a","dtype":"float32","shape":[4]}`, `"../a.bin"`), nil, "outside"},
		{"outside", "tfjs-absolute", group(`{"name":"a","dtype":"float32","shape":[4]}`, `"/etc/passwd"`), nil, "outside"},
		{"malformed", "tfjs-itself", group(`{"name":"a","dtype":"float32","shape":[4]}`, `"model.json"`), nil, ""},
		{"malformed", "tfjs-null", group(`null`, `"a.bin"`), nil, ""},
		{"malformed", "tfjs-number", as(`{"weightsManifest":[{"paths":[1],"weights":[]}]}`), nil, ""},
	} {
		out = append(out, hostile{kind: c.kind, name: c.name, files: inFolder(map[string]text{"d/model.json": c.manifest, "d/a.bin": repeated(16, "\x00")}),
			run: []string{"inspect", "d/model.json"}, exit: c.exit, want: c.want})
	}
	texts := inFolder(map[string]text{"d/model.json": group(`{"name":"a","dtype":"string","shape":[1000000]}`, `"a.bin"`), "d/a.bin": repeated(4_000_000, "\x00")})
	return append(out, hostile{kind: "amplification", name: "tfjs-empty-texts", files: texts, run: []string{"inspect", "d/model.json"}, exit: odd})
}

// hfFolder is a model's folder with one more file.
func hfFolder(name string, content text) func(dir string) error {
	return inFolder(map[string]text{"d/model.safetensors": smallTensors("w"), "d/" + name: content})
}

func galleryConfigs() []hostile {
	var out []hostile
	odd := []int{exitOK, exitBadInput}
	number := repeated(2_000_000, "1")
	for _, c := range []struct {
		kind, name string
		config     text
		exit       []int
		want       string
	}{
		{"amplification", "config-depth", as(`{"a":`, repeated(1_000_000, "[")), nil, ""},
		{"amplification", "config-depth-closed", as(`{"a":`, repeated(5_000, "["), repeated(5_000, "]"), `}`), odd, ""},
		{"amplification", "config-keys", as(`{`, listed(250_000, func(i int) string { return fmt.Sprintf(`"%d":0`, i) }), `}`), nil, "more than"},
		{"amplification", "config-keys-allowed", as(`{`, listed(90_000, func(i int) string { return fmt.Sprintf(`"%d":0`, i) }), `}`), odd, ""},
		{"amplification", "config-size", as(`{"a":"`, repeated(5_000_000, "x"), `"}`), nil, "larger than"},
		{"amplification", "config-number", as(`{"model_type":"llama","vocab_size":`, number, `}`), nil, "vocab_size"},
		{"amplification", "config-number-dtype", as(`{"dtype":`, number, `}`), nil, "dtype"},
		{"amplification", "config-labels", as(`{"id2label":{`, listed(150_000, func(i int) string { return fmt.Sprintf(`"%d":""`, i) }), `}}`), odd, ""},
		{"amplification", "config-sizes", as(`{"model_type":"resnet","hidden_sizes":[`, listed(150_000, func(int) string { return "1" }), `],"depths":[1]}`), nil, ""},
		{"amplification", "config-classes", as(`{"architectures":[`, listed(150_000, func(int) string { return `""` }), `]}`), odd, ""},
		{"malformed", "config-null", as(`null`), nil, "null"},
		{"malformed", "config-list", as(`[]`), nil, ""},
		{"malformed", "config-empty", as(``), nil, ""},
		{"malformed", "config-heads", as(`{"model_type":"llama","num_attention_heads":0}`), nil, "at least 1"},
		{"malformed", "config-negative", as(`{"model_type":"bert","hidden_size":-1}`), nil, "at least 1"},
		{"overflow", "config-layers", as(`{"model_type":"llama","num_hidden_layers":9223372036854775807}`), odd, ""},
		{"overflow", "config-layers-64-bits", as(`{"model_type":"llama","num_hidden_layers":18446744073709551616}`), nil, "num_hidden_layers"},
	} {
		out = append(out, hostile{kind: c.kind, name: c.name, files: hfFolder("config.json", c.config), run: []string{"inspect", "d"}, exit: c.exit, want: c.want})
		if strings.HasPrefix(c.name, "config-number") || c.name == "config-layers" {
			out = append(out, hostile{kind: c.kind, name: c.name + "-convert", files: hfFolder("config.json", c.config),
				run: []string{"convert", "d", "--to", "gguf", "--out", "out.gguf"}, exit: c.exit, want: c.want, writes: true})
		}
	}

	// Cards are extras: one that is refused is left out.
	for name, card := range map[string]text{
		"laughs": as("---\na: &a [x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nlicense: [*c,*c,*c,*c,*c,*c,*c,*c]\n---\n"),
		"dashes": as("---\ntags:\n", repeated(200_000, "- - - - - x\n"), "---\n"),
		"deep":   as("---\nlicense: ", repeated(1_000_000, "["), "\n---\n"),
		"open":   as("---\nlicense: mit\n", repeated(1_000_000, "a\n")),
		"large":  as("---\nlicense: mit\n---\n", repeated(5_000_000, "x")),
		"list":   as("---\nlicense: [", repeated(1_000_000, "a,"), "]\n---\n"),
	} {
		out = append(out, hostile{kind: "amplification", name: "card-" + name, files: hfFolder("README.md", card), run: []string{"inspect", "d"}, exit: []int{exitOK, exitBadInput}})
	}
	return out
}

func galleryTokenizers() []hostile {
	bpe := func(vocab, merges, added any) text {
		return as(`{"model":{"type":"BPE","vocab":`, vocab, `,"merges":`, merges, `},"added_tokens":`, added, `}`)
	}
	var out []hostile
	odd := []int{exitOK, exitBadInput}
	for _, c := range []struct {
		kind, name string
		file       text
	}{
		{"amplification", "tokenizer-gap", bpe(`{"a":2147483647}`, `[]`, `[]`)},
		{"overflow", "tokenizer-row", bpe(`{"a":9223372036854775807}`, `[]`, `[]`)},
		{"overflow", "tokenizer-row-added", bpe(`{"a":0}`, `[]`, `[{"id":9223372036854775807,"content":"x"}]`)},
		{"malformed", "tokenizer-negative", bpe(`{"a":-1}`, `[]`, `[{"id":-9223372036854775808,"content":"x"}]`)},
		{"amplification", "tokenizer-added", bpe(`{"a":0}`, `[]`, as(`[`, listed(1_000_000, func(int) string { return `{}` }), `]`))},
		{"amplification", "tokenizer-merges", bpe(`{"a":0}`, as(`[`, listed(1_000_000, func(int) string { return `""` }), `]`), `[]`)},
		{"amplification", "tokenizer-merges-odd", bpe(`{"a":0}`, as(`[`, listed(200_000, func(int) string { return `{}` }), `]`), `[]`)},
		{"amplification", "tokenizer-merges-deep", bpe(`{"a":0}`, repeated(1_000_000, "["), `[]`)},
		{"amplification", "tokenizer-vocabulary", bpe(as(`{`, listed(200_000, func(i int) string { return fmt.Sprintf(`"%d":%d`, i, i) }), `}`), `[]`, `[]`)},
		{"malformed", "tokenizer-null", as("null")},
	} {
		out = append(out,
			hostile{kind: c.kind, name: c.name + "-convert", files: hfFolder("tokenizer.json", c.file), run: []string{"convert", "d", "--to", "gguf", "--out", "out.gguf"}, exit: odd, writes: true},
			hostile{kind: c.kind, name: c.name + "-merge", files: func(dir string) error {
				return errors.Join(hfFolder("tokenizer.json", c.file)(dir),
					inFolder(map[string]text{"e/model.safetensors": smallTensors("w"), "e/tokenizer.json": bpe(`{"a":0}`, `[]`, `[]`),
						"r.yaml": as("merge_method: linear\ntokenizer_source: union\nmodels:\n  - model: d\n    parameters: {weight: 1}\n  - model: e\n    parameters: {weight: 1}\n")})(dir))
			}, run: []string{"merge", "r.yaml", "--out", "out"}, exit: odd, writes: true})
	}
	unigram := as(`{"model":{"type":"Unigram","vocab":[`, listed(100_000, func(i int) string { return fmt.Sprintf(`["%d",-1.5]`, i) }), `]}}`)
	out = append(out, hostile{kind: "amplification", name: "tokenizer-unigram-merge", files: func(dir string) error {
		return errors.Join(hfFolder("tokenizer.json", unigram)(dir), inFolder(map[string]text{"e/model.safetensors": smallTensors("w"), "e/tokenizer.json": unigram,
			"r.yaml": as("merge_method: linear\ntokenizer_source: union\nmodels:\n  - model: d\n    parameters: {weight: 1}\n  - model: e\n    parameters: {weight: 1}\n")})(dir))
	}, run: []string{"merge", "r.yaml", "--out", "out"}, exit: odd, writes: true})

	// Layers by the names of tensors.
	for name, layer := range map[string]string{"layer-most": "9223372036854775807", "layer-many": "999999999"} {
		tensor := "model.layers." + layer + ".mlp.up_proj.weight"
		out = append(out, hostile{kind: "overflow", name: name, files: inFolder(map[string]text{"d/model.safetensors": smallTensors(tensor), "e/model.safetensors": smallTensors(tensor),
			"r.yaml": as("merge_method: linear\nmodels:\n  - model: d\n    parameters: {weight: [0, 1]}\n  - model: e\n    parameters: {weight: 1}\n")}),
			run: []string{"merge", "r.yaml", "--out", "out"}, exit: odd, writes: true})
	}
	return out
}

// eventRecord frames a payload of an event file.
func eventRecord(payload []byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(payload)))
	b = binary.LittleEndian.AppendUint32(b, tfevents.MaskedCRC(b))
	return binary.LittleEndian.AppendUint32(append(b, payload...), tfevents.MaskedCRC(payload))
}

// eventField is a field of bytes.
func eventField(id int, content []byte) []byte {
	b := binary.AppendUvarint(nil, uint64(id)<<3|2)
	return append(binary.AppendUvarint(b, uint64(len(content))), content...)
}

// eventScalar is an event with one scalar.
func eventScalar(step int, tag string) []byte {
	value := append(eventField(1, []byte(tag)), 2<<3|5, 0, 0, 128, 63)
	return append(binary.AppendUvarint([]byte{2 << 3}, uint64(step)), eventField(5, eventField(1, value))...)
}

func galleryEvents() []hostile {
	length := func(n uint64) []byte {
		b := binary.LittleEndian.AppendUint64(nil, n)
		return append(binary.LittleEndian.AppendUint32(b, tfevents.MaskedCRC(b)), "payload and checksum"...)
	}
	flip := func(b []byte, at int) []byte {
		b = bytes.Clone(b)
		b[at] ^= 1
		return b
	}
	sound := eventRecord(eventScalar(1, "loss"))
	tags := func() []byte {
		var b []byte
		for i := range 200_000 {
			b = append(b, eventRecord(eventScalar(i, fmt.Sprint(i)))...)
		}
		return b
	}
	starts := func() []byte {
		start := eventRecord(append([]byte{2 << 3, 1}, eventField(7, []byte{1 << 3, 1})...))
		return bytes.Repeat(append(eventRecord(eventScalar(0, "a")), start...), 60_000)
	}
	// values is an event of n values of nothing.
	values := func(n int) func() []byte {
		return func() []byte { return eventRecord(eventField(5, bytes.Repeat([]byte{1<<3 | 2, 0}, n))) }
	}
	is := func(b []byte) func() []byte { return func() []byte { return b } }
	odd := []int{exitOK, exitBadInput}
	var out []hostile
	for _, c := range []struct {
		kind, name string
		file       func() []byte
		verb       string
		exit       []int
		want       string
	}{
		{"overflow", "events-length", is(length(math.MaxUint64)), "read-events", nil, "larger than allowed"},
		{"overflow", "events-length-allowed", is(length(1 << 29)), "read-events", []int{exitOK}, ""},
		{"checksum", "events-length-checksum", is(flip(sound, 0)), "read-events", nil, "length checksum"},
		{"checksum", "events-length-checksum-itself", is(flip(sound, 8)), "read-events", nil, "length checksum"},
		{"checksum", "events-payload", is(flip(sound, 14)), "read-events", nil, "payload checksum"},
		{"checksum", "events-payload-checksum-itself", is(flip(sound, len(sound)-1)), "read-events", nil, "payload checksum"},
		{"amplification", "events-values", values(1_000_000), "read-events", nil, "values"},
		{"amplification", "events-values-allowed", values(9_900), "read-events", odd, ""},
		{"amplification", "events-tags", tags, "read-events", odd, ""},
		{"amplification", "events-curves", tags, "read-scalars", odd, ""},
		{"amplification", "events-starts", starts, "read-scalars", odd, ""},
		{"amplification", "events-buckets", func() []byte {
			return eventRecord(eventField(5, eventField(1, eventField(5, eventField(6, make([]byte, 8_000_000))))))
		}, "read-events", odd, ""},
		{"malformed", "events-groups", func() []byte { return eventRecord(bytes.Repeat([]byte{3<<3 | 3}, 1_000_000)) }, "read-events", nil, ""},
		{"malformed", "events-inner-length", is(eventRecord([]byte{5<<3 | 2, 0xff, 0xff, 0xff, 0xff, 0x0f})), "read-events", nil, "not an event"},
	} {
		name := "events.out.tfevents.1"
		path := name
		if c.verb == "read-scalars" {
			path = "."
		}
		out = append(out, hostile{kind: c.kind, name: c.name, files: func(dir string) error { return put(filepath.Join(dir, name), c.file()) }, run: []string{c.verb, path}, exit: c.exit, want: c.want})
	}
	return out
}

func galleryWordPiece() []hostile {
	tokenizer := func(vocab, added, post, longest any) text {
		return as(`{"model":{"type":"WordPiece","unk_token":"[UNK]","max_input_chars_per_word":`, longest, `,"vocab":{"[UNK]":0`, vocab, `}},"normalizer":{"type":"BertNormalizer"},"pre_tokenizer":{"type":"BertPreTokenizer"},"added_tokens":[`, added, `],"post_processor":`, post, `}`)
	}
	odd := []int{exitOK, exitBadInput}
	special := func(n int) text {
		return listed(n, func(i int) string { return fmt.Sprintf(`{"id":1,"content":"[SEP]%s"}`, strings.Repeat("x", i)) })
	}
	var out []hostile
	for _, c := range []struct {
		kind, name string
		file       text
		verb       string
		exit       []int
	}{
		{"amplification", "wordpiece-vocabulary", tokenizer(as(",", listed(200_000, func(i int) string { return fmt.Sprintf(`"%d":0`, i) })), "", "{}", "100"), "read-wordpiece", odd},
		{"amplification", "wordpiece-dense", tokenizer(as(",", listed(900_000, func(int) string { return `"":0` })), "", "{}", "100"), "read-wordpiece", nil},
		{"amplification", "wordpiece-added", tokenizer("", listed(1_000_000, func(int) string { return `{}` }), "{}", "100"), "read-wordpiece", nil},
		{"amplification", "wordpiece-post", tokenizer("", "", as(`{"type":"TemplateProcessing","single":[`, listed(1_000_000, func(int) string { return `{}` }), `]}`), "100"), "read-wordpiece", nil},
		{"amplification", "wordpiece-ids", tokenizer("", "", as(`{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"a"}},{"Sequence":{}}],"special_tokens":{"a":{"ids":[`, listed(1_000_000, func(int) string { return `0` }), `]}}}`), "100"), "read-wordpiece", nil},
		{"amplification", "wordpiece-depth", repeated(500_000, `{"model":`), "read-wordpiece", nil},
		{"amplification", "wordpiece-longest", tokenizer("", "", "{}", "2000000000"), "read-wordpiece", nil},
		{"amplification", "wordpiece-unknown", as(`{"model":{"type":"WordPiece","vocab":{},"unk_token":"`, repeated(2_000_000, "x"), `"},"normalizer":{"type":"BertNormalizer"},"pre_tokenizer":{"type":"BertPreTokenizer"}}`), "read-wordpiece", nil},
		{"amplification", "wordpiece-special", tokenizer("", special(50), "{}", "100"), "read-special", odd},
		{"overflow", "wordpiece-number", tokenizer(`,"a":9223372036854775807`, "", "{}", "100"), "read-wordpiece", nil},
		{"overflow", "wordpiece-number-64-bits", tokenizer(`,"a":18446744073709551616`, "", "{}", "100"), "read-wordpiece", nil},
		{"malformed", "wordpiece-negative", tokenizer(`,"a":-1`, "", "{}", "100"), "read-wordpiece", nil},
		{"malformed", "wordpiece-kind", as(`{"model":{"type":"BPE"}}`), "read-wordpiece", nil},
		{"malformed", "wordpiece-null", as(`null`), "read-wordpiece", nil},
	} {
		out = append(out, hostile{kind: c.kind, name: c.name, files: inFolder(map[string]text{"tokenizer.json": c.file}), run: []string{c.verb, "tokenizer.json"}, exit: c.exit})
	}
	return out
}

// readAlone runs a reader as if it were a verb.
func readAlone(read func(path string) error, path string) int {
	memory.ReleaseProgram() // as every verb does
	err := read(path)
	var bad interface{ BadInput() bool }
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &bad) && bad.BadInput():
		fmt.Fprintln(os.Stderr, "ballast:", err)
		return exitBadInput
	}
	fmt.Fprintln(os.Stderr, "ballast:", err)
	return exitFailed
}

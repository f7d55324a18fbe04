package main

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// galleryArrays are .npy and .npz files, and the verbs that read them.
func galleryArrays() []hostile {
	list := arrayChecksums()
	list = append(list, arrayAmplification()...)
	list = append(list, arraySizes()...)
	list = append(list, arrayBlocking()...)
	return append(list, arrayForms()...)
}

// npyText is an .npy file with this header text, version 1.0 if it is short enough.
func npyText(header string, data []byte) []byte {
	b := []byte("\x93NUMPY\x01\x00")
	if len(header) < 1<<16 {
		b = binary.LittleEndian.AppendUint16(b, uint16(len(header)))
	} else {
		b[6] = 2
		b = binary.LittleEndian.AppendUint32(b, uint32(len(header)))
	}
	return append(append(b, header...), data...)
}

// npyOf is an .npy file of a type, order and shape.
func npyOf(descr string, fortran bool, shape string, data []byte) []byte {
	order := "False"
	if fortran {
		order = "True"
	}
	return npyText(fmt.Sprintf("{'descr': '%s', 'fortran_order': %s, 'shape': %s, }\n", descr, order, shape), data)
}

// zipEntry is one entry of an archive, true or not. The own... fields are what its own header says in place of the list.
type zipEntry struct {
	name   string
	data   []byte // unpacked
	packed []byte // as it lies in the file; nil means data, deflated if method is 8
	method uint16
	flags  uint16
	crc    int64 // -1 means one that is wrong, 0 the right one
	size   int64 // 0 means the right one
	at     int64 // place of its own header, if above 0, which is then not written

	ownName string
	ownCRC  uint32
	ownSize uint32
	after   []byte // behind the data
}

// zipOf writes an archive as it is told.
func zipOf(entries ...zipEntry) []byte {
	var file, list bytes.Buffer
	le := binary.LittleEndian
	for _, e := range entries {
		if e.packed == nil {
			e.packed = e.data
			if e.method == 8 {
				e.packed = deflated(e.data)
			}
		}
		crc := crc32.ChecksumIEEE(e.data)
		if e.crc < 0 {
			crc ^= 0x10
		}
		size := uint32(len(e.data))
		if e.size != 0 {
			size = uint32(e.size)
		}
		at := uint32(file.Len())
		fields := func(crc, size uint32) []byte {
			b := le.AppendUint16(nil, 20)
			b = le.AppendUint16(le.AppendUint16(b, e.flags), e.method)
			b = le.AppendUint32(b, 0)
			b = le.AppendUint32(le.AppendUint32(le.AppendUint32(b, crc), uint32(len(e.packed))), size)
			return b
		}
		if e.at > 0 {
			at = uint32(e.at - 1)
		} else {
			name, own, ownSize := e.name, crc, size
			if e.ownName != "" {
				name = e.ownName
			}
			if e.ownCRC != 0 {
				own = e.ownCRC
			}
			if e.ownSize != 0 {
				ownSize = e.ownSize
			}
			file.WriteString("PK\x03\x04")
			file.Write(fields(own, ownSize))
			file.Write(le.AppendUint32(nil, uint32(len(name))))
			file.WriteString(name)
			file.Write(e.packed)
			file.Write(e.after)
		}
		list.WriteString("PK\x01\x02\x14\x00")
		list.Write(fields(crc, size))
		list.Write(le.AppendUint16(nil, uint16(len(e.name))))
		list.Write(make([]byte, 12))
		list.Write(le.AppendUint32(nil, at))
		list.WriteString(e.name)
	}
	return append(file.Bytes(), zipEnd(list.Bytes(), len(entries), file.Len())...)
}

// zipEnd is the list of an archive and its end.
func zipEnd(list []byte, entries, at int) []byte {
	le := binary.LittleEndian
	end := append(list, "PK\x05\x06\x00\x00\x00\x00"...)
	end = le.AppendUint16(le.AppendUint16(end, uint16(entries)), uint16(entries))
	end = le.AppendUint32(le.AppendUint32(end, uint32(len(list))), uint32(at))
	return append(end, 0, 0)
}

// deflated packs bytes.
func deflated(data []byte) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, 6)
	if err == nil {
		_, err = w.Write(data)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// deflatedZeros packs a header and any number of MB of zeros, without packing each anew.
func deflatedZeros(header []byte, mega int) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, 9)
	if err == nil {
		_, err = w.Write(header)
	}
	zeros := make([]byte, 1<<20)
	for range 2 { // the second finds the window full of zeros
		_, err2 := w.Write(zeros)
		err = errors.Join(err, w.Flush(), err2)
		if mega--; mega == 0 {
			break
		}
	}
	before := b.Len()
	if _, err2 := w.Write(zeros); mega > 0 {
		err = errors.Join(err, err2, w.Flush())
		piece := bytes.Clone(b.Bytes()[before:])
		for range mega - 1 {
			b.Write(piece)
		}
	}
	if err = errors.Join(err, w.Close()); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// files writes several files.
func files(content map[string][]byte) func(dir string) error {
	return func(dir string) error {
		for name, text := range content {
			if err := put(filepath.Join(dir, filepath.FromSlash(name)), text); err != nil {
				return err
			}
		}
		return nil
	}
}

// made is file for content that takes time to make.
func made(name string, content func() []byte) func(dir string) error {
	return func(dir string) error { return file(name, content())(dir) }
}

var (
	fourFloats = []byte{0, 0, 128, 63, 0, 0, 0, 64, 0, 0, 64, 64, 0, 0, 128, 64}
	goodArray  = npyOf("<f4", false, "(2, 2)", fourFloats)
	goodLogits = npyOf("<f4", false, "(2, 2)", fourFloats)
	goodLabels = npyOf("<i8", false, "(2,)", append([]byte{1, 0, 0, 0, 0, 0, 0, 0}, make([]byte, 8)...))
)

// The verbs that read all of a model file. out is written next to it.
var (
	inspectVerb = []string{"inspect", "a.npz"}
	convertVerb = []string{"convert", "a.npz", "--to", "safetensors", "--out", "out.safetensors", "--check"}
)

func arrayChecksums() []hostile {
	const damaged = `data are damaged: .*checksum \(CRC-32\)`
	good := zipEntry{name: "good.npy", data: goodArray}
	bad := func(method uint16) zipEntry {
		return zipEntry{name: "bad.npy", data: goodArray, method: method, crc: -1}
	}
	var list []hostile
	for _, method := range []uint16{0, 8} {
		name := map[uint16]string{0: "stored", 8: "deflated"}[method]
		archive := file("a.npz", zipOf(good, bad(method)))
		list = append(list,
			hostile{kind: "checksum", name: "npz-inspect-" + name, files: archive, run: inspectVerb, want: `bad\.npy.*` + damaged},
			hostile{kind: "checksum", name: "npz-inspect-json-" + name, files: archive, run: []string{"inspect", "a.npz", "--json"}, want: `bad\.npy.*` + damaged},
			hostile{kind: "checksum", name: "npz-convert-" + name, files: archive, run: convertVerb, want: `bad\.npy.*` + damaged},
			hostile{kind: "checksum", name: "npz-convert-gguf-" + name, files: archive, run: []string{"convert", "a.npz", "--to", "gguf", "--type", "F16", "--out", "o.gguf"}, want: `bad\.npy.*` + damaged},
			hostile{kind: "checksum", name: "npz-diff-" + name, files: files(map[string][]byte{"a.npz": zipOf(good, bad(method)), "b.npz": zipOf(good, zipEntry{name: "bad.npy", data: goodArray})}), run: []string{"merge", "diff", "b.npz", "a.npz"}, want: `bad\.npy.*` + damaged},
			hostile{
				kind: "checksum", name: "npz-soup-" + name, want: `bad\.npy.*` + damaged, writes: true,
				files: files(map[string][]byte{"a.npz": zipOf(good, bad(method)), "b.npz": zipOf(good, zipEntry{name: "bad.npy", data: goodArray})}),
				run:   []string{"soup", "b.npz", "a.npz", "--method", "uniform", "--out", "soup"},
			},
			hostile{
				kind: "checksum", name: "npz-merge-" + name, want: `bad\.npy.*` + damaged, writes: true,
				files: files(map[string][]byte{
					"a.npz": zipOf(good, bad(method)), "b.npz": zipOf(good, zipEntry{name: "bad.npy", data: goodArray}),
					"r.yaml": []byte("merge_method: linear\nmodels:\n- model: b.npz\n  parameters: {weight: 1}\n- model: a.npz\n  parameters: {weight: 1}\n"),
				}),
				run: []string{"merge", "r.yaml", "--out", "merged"},
			})
	}
	flipped := deflated(npyOf("<f4", false, "(256,)", make([]byte, 1024)))
	flipped[len(flipped)/2] ^= 4
	stored := zipEntry{name: "a.npy", data: goodArray, packed: append(bytes.Clone(goodArray[:len(goodArray)-1]), 0x41)}
	return append(list,
		hostile{kind: "checksum", name: "npz-a-bit-of-a-weight", files: file("a.npz", zipOf(stored)), run: inspectVerb, want: damaged},
		hostile{kind: "checksum", name: "npz-a-bit-of-a-weight-convert", files: file("a.npz", zipOf(stored)), run: convertVerb, want: damaged},
		hostile{kind: "checksum", name: "npz-packed-bit", files: file("a.npz", zipOf(zipEntry{name: "a.npy", method: 8, packed: flipped, data: npyOf("<f4", false, "(256,)", make([]byte, 1024))})), run: inspectVerb, want: `a\.npy`},
		hostile{
			kind: "checksum", name: "npz-behind-the-data", run: inspectVerb, want: `a\.npy.*its checksum is 00000007 behind the data`,
			files: file("a.npz", zipOf(zipEntry{name: "a.npy", data: goodArray, flags: 8, after: append([]byte("PK\x07\x08\x07\x00\x00\x00"), make([]byte, 8)...)})),
		},
		hostile{kind: "checksum", name: "npz-own-header", files: file("a.npz", zipOf(zipEntry{name: "a.npy", data: goodArray, ownCRC: 77})), run: inspectVerb, want: `its own header says checksum 77`},
		hostile{kind: "checksum", name: "npz-metadata", files: file("a.npz", zipOf(good, zipEntry{name: "__metadata__.npy", data: npyOf("|u1", false, "(8,)", []byte(`{"a":""}`)), crc: -1})), run: inspectVerb, want: `__metadata__.*` + damaged},
	)
}

func arrayAmplification() []hostile {
	const mega = 64
	columns := npyOf("<f4", true, "(4096, 4096)", nil)
	zeros := func(header []byte, mega int) zipEntry {
		data := append(bytes.Clone(header), make([]byte, mega<<20)...)
		return zipEntry{name: "w.npy", method: 8, data: data, packed: deflatedZeros(header, mega)}
	}
	manyNames := func(method uint16) func() []byte {
		return func() []byte {
			entries := []zipEntry{{name: "w.npy", data: goodArray, method: method}}
			for i := range 60000 {
				e := entries[0]
				e.name, e.at = fmt.Sprintf("w%d.npy", i), 1
				entries = append(entries, e)
			}
			return zipOf(entries...)
		}
	}
	return []hostile{
		{kind: "amplification", name: "npz-60000-names-deflated", files: made("a.npz", manyNames(8)), run: inspectVerb},
		{kind: "amplification", name: "npz-60000-names-stored", files: made("a.npz", manyNames(0)), run: inspectVerb},
		{kind: "amplification", name: "npz-60000-names-convert", files: made("a.npz", manyNames(8)), run: convertVerb},
		{
			kind: "amplification", name: "npz-same-name-in-both", run: inspectVerb, want: "shares bytes",
			files: made("a.npz", func() []byte {
				e := zipEntry{name: "w.npy", data: goodArray}
				again := e
				again.at = 1
				return zipOf(e, again)
			}),
		},
		{
			kind: "amplification", name: "npz-nested-entries", run: inspectVerb, want: "shares bytes",
			files: made("a.npz", func() []byte {
				inner := []byte("PK\x03\x04" + strings.Repeat("\x00", 22) + "\x05\x00\x00\x00b.npy")
				return zipOf(zipEntry{name: "a.npy", data: goodArray, packed: append(inner, goodArray...), size: int64(len(inner) + len(goodArray))}, zipEntry{name: "b.npy", data: goodArray, at: 1 + 30 + 5, method: 0, size: 0})
			}),
			exit: []int{3},
		},
		{
			kind: "amplification", name: "npz-columns-deflated-convert", exit: []int{0}, run: convertVerb, writes: true, memory: 64<<20 + 5*mega<<20,
			files: made("a.npz", func() []byte { return zipOf(zeros(columns, mega)) }),
		},
		{
			kind: "amplification", name: "npz-columns-deflated-diff", exit: []int{0}, run: []string{"merge", "diff", "a.npz", "a.npz"}, memory: 64<<20 + 5*mega<<20,
			files: made("a.npz", func() []byte { return zipOf(zeros(columns, mega)) }),
		},
		{
			kind: "amplification", name: "npz-columns-deflated-inspect", exit: []int{0}, run: inspectVerb,
			files: made("a.npz", func() []byte { return zipOf(zeros(columns, mega)) }),
		},
		{
			// 3.2 GB of columns; held they would be within the limit, so that only the time and inspect's memory count.
			kind: "amplification", name: "npz-3-gb-of-zeros-inspect", exit: []int{0}, run: inspectVerb, within: 60 * time.Second,
			files: made("a.npz", func() []byte {
				header := npyOf("<f4", false, "(268435456,)", nil)
				e := zeros(header, 0)
				e.size, e.packed = int64(len(header))+1<<30, deflatedZeros(header, 1<<10)
				e.data = nil
				return zipUnsummed(e, header, 1<<10)
			}),
		},
		{
			kind: "amplification", name: "npz-columns-above-the-limit", exit: []int{5}, run: convertVerb, want: "needs 10.7 GB of memory", writes: true, within: 60 * time.Second,
			files: made("a.npz", func() []byte {
				header := npyOf("<f4", true, "(2, 1342177280)", nil)
				return zipWide(zipEntry{name: "w.npy", method: 8, packed: deflatedZeros(header, 10<<10), size: int64(len(header)) + 10<<30})
			}),
		},
		{
			kind: "amplification", name: "npz-columns-stored", exit: []int{0}, run: convertVerb, writes: true,
			files: made("a.npz", func() []byte {
				return zipOf(zipEntry{name: "w.npy", data: npyOf("<f4", true, "(4096, 2048)", make([]byte, 32<<20))})
			}),
		},
		{
			kind: "amplification", name: "npy-columns", exit: []int{0}, run: []string{"convert", "a.npy", "--to", "safetensors", "--out", "out.safetensors", "--check"}, writes: true,
			files: made("a.npy", func() []byte { return npyOf("<f4", true, "(2, 4194304)", make([]byte, 32<<20)) }),
		},
		{
			kind: "amplification", name: "npz-many-arrays", exit: []int{0}, run: inspectVerb,
			files: made("a.npz", func() []byte {
				var entries []zipEntry
				for i := range 40000 {
					entries = append(entries, zipEntry{name: fmt.Sprintf("%d.npy", i), data: npyOf("|u1", false, "()", []byte{1})})
				}
				return zipOf(entries...)
			}),
		},
		{
			kind: "amplification", name: "npz-many-packed-arrays", exit: []int{0}, run: inspectVerb,
			files: made("a.npz", func() []byte {
				array := npyOf("|u1", false, "()", []byte{1})
				packed := deflated(array)
				var entries []zipEntry
				for i := range 40000 {
					entries = append(entries, zipEntry{name: fmt.Sprintf("%d.npy", i), data: array, packed: packed, method: 8})
				}
				return zipOf(entries...)
			}),
		},
		{
			kind: "amplification", name: "npz-many-others", run: inspectVerb,
			files: made("a.npz", func() []byte {
				var list []byte
				for range 60000 {
					list = append(list, "PK\x01\x02"...)
					list = append(list, make([]byte, 42)...)
				}
				return zipEnd(list, 60000, 0)
			}),
		},
		{
			kind: "amplification", name: "npz-says-a-terabyte", run: inspectVerb, want: "1099511627776 bytes of",
			files: made("a.npz", func() []byte {
				return zipWide(zipEntry{name: "w.npy", method: 8, packed: deflated(goodArray), size: 1 << 40})
			}),
		},
		{
			kind: "amplification", name: "npz-holds-more", run: inspectVerb, want: "more than the .* bytes that it says",
			files: file("a.npz", zipOf(zipEntry{name: "w.npy", method: 8, data: goodArray, packed: deflated(append(bytes.Clone(goodArray), make([]byte, 1<<20)...))})),
		},
		{
			kind: "amplification", name: "npz-holds-less", run: inspectVerb, want: "w.npy",
			files: file("a.npz", zipOf(zipEntry{name: "w.npy", method: 8, data: goodArray, packed: deflated(goodArray[:len(goodArray)-4])})),
		},
		{
			kind: "amplification", name: "npz-metadata-of-keys", exit: []int{0}, run: inspectVerb,
			files: made("a.npz", func() []byte {
				text := "{" + strings.TrimSuffix(strings.Repeat(`"a":"",`, 500000), ",") + "}"
				return zipOf(zipEntry{name: "w.npy", data: goodArray}, zipEntry{name: "__metadata__.npy", method: 8, data: npyOf("|u1", false, fmt.Sprintf("(%d,)", len(text)), []byte(text))})
			}),
		},
		{
			kind: "amplification", name: "npz-metadata-deep", exit: []int{0}, run: inspectVerb,
			files: made("a.npz", func() []byte {
				text := `{"a":` + strings.Repeat("[", 4<<20)
				return zipOf(zipEntry{name: "w.npy", data: goodArray}, zipEntry{name: "__metadata__.npy", method: 8, data: npyOf("|u1", false, fmt.Sprintf("(%d,)", len(text)), []byte(text))})
			}),
		},
		{
			kind: "amplification", name: "npz-metadata-of-16-mb", exit: []int{0}, run: inspectVerb,
			files: made("a.npz", func() []byte {
				text := `{"a":"` + strings.Repeat("x", 16<<20-10) + `"}`
				return zipOf(zipEntry{name: "w.npy", data: goodArray}, zipEntry{name: "__metadata__.npy", method: 8, data: npyOf("|u1", false, fmt.Sprintf("(%d,)", len(text)), []byte(text))})
			}),
		},
		{kind: "amplification", name: "npy-header-of-parentheses", files: file("a.npy", npyText("{'descr': '<f4', 'fortran_order': False, 'shape': "+strings.Repeat("(", 60000), nil)), run: []string{"inspect", "a.npy"}},
		{kind: "amplification", name: "npy-header-of-16-mb", files: file("a.npy", npyText("{'descr': '<f4', "+strings.Repeat(" ", 16<<20)+"}", nil)), run: []string{"inspect", "a.npy"}, want: "larger than allowed"},
		{kind: "amplification", name: "npz-header-of-16-mb", files: file("a.npz", zipOf(zipEntry{name: "w.npy", method: 8, data: npyText(strings.Repeat(" ", 16<<20), nil)})), run: inspectVerb, want: "larger than allowed"},
		{kind: "amplification", name: "npy-key-again-and-again", files: file("a.npy", npyText("{"+strings.Repeat("'descr': '<f4', ", 4000)+"}", nil)), run: []string{"inspect", "a.npy"}, want: "occurs twice"},
	}
}

// zipUnsummed is an archive of one packed entry whose checksum is that of a header and so many MB of zeros.
func zipUnsummed(e zipEntry, header []byte, mega int) []byte {
	crc := crc32.ChecksumIEEE(header)
	zeros := make([]byte, 1<<20)
	for range mega {
		crc = crc32.Update(crc, crc32.IEEETable, zeros)
	}
	b := zipOf(e)
	le := binary.LittleEndian
	le.PutUint32(b[14:], crc)
	le.PutUint32(b[bytes.LastIndex(b, []byte("PK\x01\x02"))+16:], crc)
	return b
}

// zipWide is an archive of one entry whose size has 64 bits.
func zipWide(e zipEntry) []byte {
	le := binary.LittleEndian
	extra := le.AppendUint64([]byte{1, 0, 8, 0}, uint64(e.size))
	fields := []byte{20, 0, 0, 0, byte(e.method), 0, 0, 0, 0, 0}
	fields = le.AppendUint32(le.AppendUint32(le.AppendUint32(fields, 7), uint32(len(e.packed))), 1<<32-1)
	fields = le.AppendUint16(le.AppendUint16(fields, uint16(len(e.name))), uint16(len(extra)))
	b := append([]byte("PK\x03\x04"), fields...)
	b = append(append(append(b, e.name...), extra...), e.packed...)
	list := append([]byte("PK\x01\x02\x14\x00"), fields...)
	list = append(append(append(list, make([]byte, 14)...), e.name...), extra...)
	return append(b, zipEnd(list, 1, len(b))...)
}

func arraySizes() []hostile {
	inspect := []string{"inspect", "a.npy"}
	array := func(shape string) func(dir string) error { return file("a.npy", npyOf("<f4", false, shape, nil)) }
	savedArrays := func(logits, labels []byte) func(dir string) error {
		return files(map[string][]byte{"z.npy": logits, "y.npy": labels})
	}
	evaluate := []string{"evaluate", "--logits", "z.npy", "--labels", "y.npy"}
	calibrate := []string{"calibrate", "--logits", "z.npy", "--labels", "y.npy", "--out", "s.npy"}
	show := []string{"data", "show", "npy:z.npy,y.npy"}
	return []hostile{
		{kind: "overflow", name: "npy-shape-2-64", files: array("(4294967296, 4294967296)"), run: inspect, want: "overflows"},
		{kind: "overflow", name: "npy-shape-of-40-digits", files: array("(" + strings.Repeat("9", 40) + ",)"), run: inspect, want: "overflows"},
		{kind: "overflow", name: "npy-shape-of-60000-digits", files: array("(" + strings.Repeat("9", 60000) + ",)"), run: inspect, want: "overflows"},
		{kind: "overflow", name: "npy-nothing-by-2-124", files: array("(0, 4611686018427387904, 4611686018427387904)"), run: inspect, want: "overflows"},
		{kind: "overflow", name: "npy-negative", files: array("(-1, -4)"), run: inspect, want: "negative"},
		{kind: "overflow", name: "npy-65-dimensions", files: array("(" + strings.Repeat("1, ", 65) + ")"), run: inspect, want: "more than 64 dimensions"},
		{kind: "overflow", name: "npy-says-a-terabyte", files: array("(1024, 1024, 1024, 256)"), run: inspect, want: "takes 1099511627776 bytes"},
		{kind: "overflow", name: "npz-nothing-by-2-124-convert", files: file("a.npz", zipOf(zipEntry{name: "w.npy", data: npyOf("<f4", false, "(0, 4611686018427387904, 4611686018427387904)", nil)})), run: convertVerb},
		{
			kind: "overflow", name: "npz-query-weight-of-no-rows", exit: []int{0, 3}, writes: true, run: []string{"convert", "a.npz", "--to", "gguf", "--out", "o.gguf"},
			files: file("a.npz", zipOf(zipEntry{name: "model.layers.0.self_attn.q_proj.weight.npy", data: npyOf("<f4", false, "(0, 8)", nil)})),
		},
		{kind: "overflow", name: "evaluate-no-classes", files: savedArrays(npyOf("<f4", false, "(2, 0)", nil), goodLabels), run: evaluate},
		{kind: "overflow", name: "evaluate-no-examples", files: savedArrays(npyOf("<f4", false, "(0, 3)", nil), npyOf("<i8", false, "(0,)", nil)), run: evaluate},
		{kind: "overflow", name: "evaluate-no-examples-of-2-60-classes", files: savedArrays(npyOf("<f4", false, "(0, 1152921504606846975)", nil), npyOf("<i8", false, "(0,)", nil)), run: evaluate},
		{kind: "overflow", name: "evaluate-2-60-examples-of-no-classes", files: savedArrays(npyOf("<f4", false, "(1152921504606846975, 0)", nil), goodLabels), run: evaluate},
		{kind: "overflow", name: "evaluate-label-2-62", files: savedArrays(goodLogits, npyOf("<i8", false, "(2,)", bytes.Repeat([]byte{0, 0, 0, 0, 0, 0, 0, 64}, 2))), run: evaluate, want: "outside 0 to 1"},
		{kind: "overflow", name: "evaluate-labels-of-half-numbers", files: savedArrays(goodLogits, npyOf("<f8", false, "(2,)", bytes.Repeat([]byte{0, 0, 0, 0, 0, 0, 224, 63}, 2))), run: evaluate, want: "not a whole number"},
		{kind: "overflow", name: "calibrate-no-classes", files: savedArrays(npyOf("<f4", false, "(2, 0)", nil), goodLabels), run: calibrate},
		{kind: "overflow", name: "calibrate-no-examples-of-2-60-classes", files: savedArrays(npyOf("<f8", false, "(0, 1152921504606846975)", nil), npyOf("<i8", false, "(0,)", nil)), run: calibrate},
		{kind: "overflow", name: "data-no-examples-of-2-60", files: savedArrays(npyOf("<f4", false, "(0, 1152921504606846975)", nil), npyOf("<i8", false, "(0,)", nil)), run: show},
		{kind: "overflow", name: "data-nothing-by-2-124", files: savedArrays(npyOf("<f4", false, "(2, 0, 4611686018427387904, 4611686018427387904)", nil), goodLabels), run: show},
	}
}

// arrayPipe makes a pipe that no one writes to, beside other files.
func arrayPipe(name string, others map[string][]byte) func(dir string) error {
	return func(dir string) error {
		if err := files(others)(dir); err != nil {
			return err
		}
		return exec.Command("mkfifo", filepath.Join(dir, name)).Run() //nolint:gosec // a name of this file
	}
}

func arrayBlocking() []hostile {
	saved := map[string][]byte{"z.npy": goodLogits, "y.npy": goodLabels}
	list := []hostile{
		{kind: "blocking", name: "npy-evaluate-logits", files: arrayPipe("p", saved), run: []string{"evaluate", "--logits", "p", "--labels", "y.npy"}},
		{kind: "blocking", name: "npy-evaluate-labels", files: arrayPipe("p", saved), run: []string{"evaluate", "--logits", "z.npy", "--labels", "p"}},
		{kind: "blocking", name: "npy-calibrate-logits", files: arrayPipe("p", saved), run: []string{"calibrate", "--logits", "p", "--labels", "y.npy", "--out", "s.npy"}},
		{kind: "blocking", name: "npy-calibrate-labels", files: arrayPipe("p", saved), run: []string{"calibrate", "--logits", "z.npy", "--labels", "p", "--out", "s.npy"}},
		{kind: "blocking", name: "npy-data-examples", files: arrayPipe("p.npy", saved), run: []string{"data", "show", "npy:p.npy,y.npy"}},
		{kind: "blocking", name: "npy-data-labels", files: arrayPipe("p.npy", saved), run: []string{"data", "show", "npy:z.npy,p.npy"}},
		{kind: "blocking", name: "npy-run-input", files: arrayPipe("p.npy", saved), run: []string{"run", "model", "--input", "p.npy", "--output", "o.npz"}},
		{kind: "blocking", name: "npz-inspect", files: arrayPipe("a.npz", nil), run: inspectVerb},
		{kind: "blocking", name: "npz-convert", files: arrayPipe("a.npz", nil), run: convertVerb},
		{kind: "blocking", name: "npz-soup", files: arrayPipe("a.npz", map[string][]byte{"b.npz": zipOf(zipEntry{name: "a.npy", data: goodArray})}), run: []string{"soup", "b.npz", "a.npz", "--method", "uniform", "--out", "soup"}},
	}
	for i := range list {
		list[i].want = "it is a pipe"
	}
	return list
}

func arrayForms() []hostile {
	whole := zipOf(zipEntry{name: "a.npy", data: goodArray}, zipEntry{name: "b.npy", data: goodArray, method: 8})
	long := strings.Repeat("n", 60000) + ".npy"
	inspect := []string{"inspect", "a.npy"}
	list := []hostile{
		{kind: "malformed", name: "npy-empty", files: file("a.npy", nil), run: inspect},
		{kind: "malformed", name: "npy-objects", files: file("a.npy", npyOf("|O", false, "(1,)", []byte("cos\nsystem\n"))), run: inspect, want: "array of Python objects"},
		{kind: "malformed", name: "npy-records", files: file("a.npy", npyText("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", make([]byte, 4))), run: inspect, want: "records"},
		{kind: "malformed", name: "npy-escape-in-its-type", files: file("a.npy", npyOf("\x1b]0;x\x07", false, "(1,)", nil)), run: inspect},
		{kind: "malformed", name: "npy-escape-as-its-key", files: file("a.npy", npyText("{'\x1b[2J\u202e': 1}", nil)), run: inspect, want: "unknown key"},
		{kind: "malformed", name: "npz-escape-in-a-name", files: file("a.npz", zipOf(zipEntry{name: "\x1b[2J\u202e.npy", data: npyOf("|O", false, "(1,)", nil)})), run: inspectVerb, want: `u001b|x1b`},
		{kind: "malformed", name: "npz-escape-in-a-damaged-name", files: file("a.npz", zipOf(zipEntry{name: "\x1b]0;x\x07.npy", data: goodArray, crc: -1})), run: inspectVerb, want: "damaged"},
		{kind: "malformed", name: "npz-escape-in-another-entry", files: file("a.npz", zipOf(zipEntry{name: "\x1b]0;x\x07", data: goodArray})), run: inspectVerb},
		{kind: "malformed", name: "npz-name-of-60000", files: file("a.npz", zipOf(zipEntry{name: long, data: goodArray})), run: inspectVerb, want: `a name of 60004 bytes`},
		{kind: "malformed", name: "npz-name-not-utf-8", exit: []int{0, 3}, files: file("a.npz", zipOf(zipEntry{name: "\xff\xfe.npy", data: npyOf("|O", false, "(1,)", nil)})), run: inspectVerb},
		{kind: "malformed", name: "npz-own-name", files: file("a.npz", zipOf(zipEntry{name: "a.npy", data: goodArray, ownName: "b.npy"})), run: inspectVerb, want: "its own header has another name"},
		{kind: "malformed", name: "npz-own-size", files: file("a.npz", zipOf(zipEntry{name: "a.npy", data: goodArray, ownSize: 5})), run: inspectVerb, want: "its own header says size 5"},
		{kind: "malformed", name: "npz-encrypted", files: file("a.npz", zipOf(zipEntry{name: "a.npy", data: goodArray, flags: 1})), run: inspectVerb, want: "encrypted"},
		{kind: "malformed", name: "npz-packed-by-bzip2", files: file("a.npz", zipOf(zipEntry{name: "a.npy", data: goodArray, method: 12})), run: inspectVerb, want: "method 12"},
		{kind: "malformed", name: "npz-fewer-than-listed", files: made("a.npz", func() []byte {
			b := bytes.Clone(whole)
			b[len(b)-12], b[len(b)-14] = 1, 1
			return b
		}), run: inspectVerb, want: "lists more than"},
		{kind: "malformed", name: "npz-more-than-listed", files: made("a.npz", func() []byte {
			b := bytes.Clone(whole)
			b[len(b)-11], b[len(b)-13] = 200, 200
			return b
		}), run: inspectVerb},
		{kind: "malformed", name: "npz-twice", files: file("a.npz", zipOf(zipEntry{name: "a.npy", data: goodArray}, zipEntry{name: "a.npy", data: goodArray})), run: inspectVerb, want: "name occurs twice"},
		{kind: "malformed", name: "evaluate-logits-of-an-archive", files: files(map[string][]byte{"z.npy": whole, "y.npy": goodLabels}), run: []string{"evaluate", "--logits", "z.npy", "--labels", "y.npy"}, want: "not an .npy file"},
	}
	for _, at := range []int{4, 30, 60, len(whole) / 2, len(whole) - 60, len(whole) - 22, len(whole) - 1} {
		list = append(list, hostile{kind: "truncated", name: fmt.Sprintf("npz-%d-of-%d", at, len(whole)), files: file("a.npz", whole[:at]), run: inspectVerb})
	}
	for _, at := range []int{5, 8, 11, 40, len(goodArray) - 1} {
		list = append(list, hostile{kind: "truncated", name: fmt.Sprintf("npy-%d-of-%d", at, len(goodArray)), files: file("a.npy", goodArray[:at]), run: inspect})
	}
	return list
}

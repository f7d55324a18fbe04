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

// rawEntry is one entry of an archive, true or not. The own... fields are what its own header says in place of the list.
type rawEntry struct {
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

// rawZip writes an archive as it is told.
func rawZip(entries ...rawEntry) []byte {
	var file, list bytes.Buffer
	le := binary.LittleEndian
	for _, e := range entries {
		if e.packed == nil {
			e.packed = e.data
			if e.method == 8 {
				e.packed = arrayPacked(e.data)
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
	return append(file.Bytes(), rawZipEnd(list.Bytes(), len(entries), file.Len())...)
}

// rawZipEnd is the list of an archive and its end.
func rawZipEnd(list []byte, entries, at int) []byte {
	le := binary.LittleEndian
	end := append(list, "PK\x05\x06\x00\x00\x00\x00"...)
	end = le.AppendUint16(le.AppendUint16(end, uint16(entries)), uint16(entries))
	end = le.AppendUint32(le.AppendUint32(end, uint32(len(list))), uint32(at))
	return append(end, 0, 0)
}

// arrayPacked packs bytes.
func arrayPacked(data []byte) []byte {
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

// arrayZeros packs a header and any number of MB of zeros, without packing each anew.
func arrayZeros(header []byte, mega int) []byte {
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

// arrayFiles writes several files.
func arrayFiles(content map[string][]byte) func(dir string) error {
	return func(dir string) error {
		for name, text := range content {
			if err := put(filepath.Join(dir, filepath.FromSlash(name)), text); err != nil {
				return err
			}
		}
		return nil
	}
}

// arrayMade is file for content that takes time to make.
func arrayMade(name string, content func() []byte) func(dir string) error {
	return func(dir string) error { return file(name, content())(dir) }
}

var (
	fourFloats = []byte{0, 0, 128, 63, 0, 0, 0, 64, 0, 0, 64, 64, 0, 0, 128, 64}
	goodArray  = npyOf("<f4", false, "(2, 2)", fourFloats)
	twoLogits  = npyOf("<f4", false, "(2, 2)", fourFloats)
	twoLabels  = npyOf("<i8", false, "(2,)", append([]byte{1, 0, 0, 0, 0, 0, 0, 0}, make([]byte, 8)...))
)

// The verbs that read all of a model file. out is written next to it.
var (
	inspectNPZ = []string{"inspect", "a.npz"}
	convertNPZ = []string{"convert", "a.npz", "--to", "safetensors", "--out", "out.safetensors", "--check"}
)

func arrayChecksums() []hostile {
	const damaged = `data are damaged: .*checksum \(CRC-32\)`
	good := rawEntry{name: "good.npy", data: goodArray}
	bad := func(method uint16) rawEntry {
		return rawEntry{name: "bad.npy", data: goodArray, method: method, crc: -1}
	}
	var list []hostile
	for _, method := range []uint16{0, 8} {
		name := map[uint16]string{0: "stored", 8: "deflated"}[method]
		archive := file("a.npz", rawZip(good, bad(method)))
		list = append(list,
			hostile{kind: "checksum", name: "npz-inspect-" + name, files: archive, run: inspectNPZ, want: `bad\.npy.*` + damaged},
			hostile{kind: "checksum", name: "npz-inspect-json-" + name, files: archive, run: []string{"inspect", "a.npz", "--json"}, want: `bad\.npy.*` + damaged},
			hostile{kind: "checksum", name: "npz-convert-" + name, files: archive, run: convertNPZ, want: `bad\.npy.*` + damaged},
			hostile{kind: "checksum", name: "npz-convert-gguf-" + name, files: archive, run: []string{"convert", "a.npz", "--to", "gguf", "--type", "F16", "--out", "o.gguf"}, want: `bad\.npy.*` + damaged},
			hostile{kind: "checksum", name: "npz-diff-" + name, files: arrayFiles(map[string][]byte{"a.npz": rawZip(good, bad(method)), "b.npz": rawZip(good, rawEntry{name: "bad.npy", data: goodArray})}), run: []string{"merge", "diff", "b.npz", "a.npz"}, want: `bad\.npy.*` + damaged},
			hostile{
				kind: "checksum", name: "npz-soup-" + name, want: `bad\.npy.*` + damaged, writes: true,
				files: arrayFiles(map[string][]byte{"a.npz": rawZip(good, bad(method)), "b.npz": rawZip(good, rawEntry{name: "bad.npy", data: goodArray})}),
				run:   []string{"soup", "b.npz", "a.npz", "--method", "uniform", "--out", "soup"},
			},
			hostile{
				kind: "checksum", name: "npz-merge-" + name, want: `bad\.npy.*` + damaged, writes: true,
				files: arrayFiles(map[string][]byte{
					"a.npz": rawZip(good, bad(method)), "b.npz": rawZip(good, rawEntry{name: "bad.npy", data: goodArray}),
					"r.yaml": []byte("merge_method: linear\nmodels:\n- model: b.npz\n  parameters: {weight: 1}\n- model: a.npz\n  parameters: {weight: 1}\n"),
				}),
				run: []string{"merge", "r.yaml", "--out", "merged"},
			})
	}
	flipped := arrayPacked(npyOf("<f4", false, "(256,)", make([]byte, 1024)))
	flipped[len(flipped)/2] ^= 4
	stored := rawEntry{name: "a.npy", data: goodArray, packed: append(bytes.Clone(goodArray[:len(goodArray)-1]), 0x41)}
	return append(list,
		hostile{kind: "checksum", name: "npz-a-bit-of-a-weight", files: file("a.npz", rawZip(stored)), run: inspectNPZ, want: damaged},
		hostile{kind: "checksum", name: "npz-a-bit-of-a-weight-convert", files: file("a.npz", rawZip(stored)), run: convertNPZ, want: damaged},
		hostile{kind: "checksum", name: "npz-packed-bit", files: file("a.npz", rawZip(rawEntry{name: "a.npy", method: 8, packed: flipped, data: npyOf("<f4", false, "(256,)", make([]byte, 1024))})), run: inspectNPZ, want: `a\.npy`},
		hostile{
			kind: "checksum", name: "npz-behind-the-data", run: inspectNPZ, want: `a\.npy.*its checksum is 00000007 behind the data`,
			files: file("a.npz", rawZip(rawEntry{name: "a.npy", data: goodArray, flags: 8, after: append([]byte("PK\x07\x08\x07\x00\x00\x00"), make([]byte, 8)...)})),
		},
		hostile{kind: "checksum", name: "npz-own-header", files: file("a.npz", rawZip(rawEntry{name: "a.npy", data: goodArray, ownCRC: 77})), run: inspectNPZ, want: `its own header says checksum 77`},
		hostile{kind: "checksum", name: "npz-metadata", files: file("a.npz", rawZip(good, rawEntry{name: "__metadata__.npy", data: npyOf("|u1", false, "(8,)", []byte(`{"a":""}`)), crc: -1})), run: inspectNPZ, want: `__metadata__.*` + damaged},
	)
}

func arrayAmplification() []hostile {
	const mega = 64
	columns := npyOf("<f4", true, "(4096, 4096)", nil)
	zeros := func(header []byte, mega int) rawEntry {
		data := append(bytes.Clone(header), make([]byte, mega<<20)...)
		return rawEntry{name: "w.npy", method: 8, data: data, packed: arrayZeros(header, mega)}
	}
	manyNames := func(method uint16) func() []byte {
		return func() []byte {
			entries := []rawEntry{{name: "w.npy", data: goodArray, method: method}}
			if method == 8 {
				entries[0].packed = arrayPacked(goodArray)
			}
			for i := range 60000 {
				e := entries[0]
				e.name, e.at = fmt.Sprintf("w%d.npy", i), 1
				entries = append(entries, e)
			}
			return rawZip(entries...)
		}
	}
	nestedAt := int64(1 + 30 + len("a.npy") + len(npyOf("|u1", false, "(121,)", nil)))
	return []hostile{
		{kind: "amplification", name: "npz-60000-names-deflated", files: arrayMade("a.npz", manyNames(8)), run: inspectNPZ},
		{kind: "amplification", name: "npz-60000-names-stored", files: arrayMade("a.npz", manyNames(0)), run: inspectNPZ},
		{kind: "amplification", name: "npz-60000-names-convert", files: arrayMade("a.npz", manyNames(8)), run: convertNPZ},
		{
			kind: "amplification", name: "npz-same-name-in-both", run: inspectNPZ, want: "shares bytes",
			files: arrayMade("a.npz", func() []byte {
				e := rawEntry{name: "w.npy", data: goodArray}
				again := e
				again.at = 1
				return rawZip(e, again)
			}),
		},
		{
			kind: "amplification", name: "npz-nested-entries", run: inspectNPZ, want: "shares bytes",
			files: arrayMade("a.npz", func() []byte {
				inner := rawZip(rawEntry{name: "b.npy", data: goodArray}) // an archive in the bytes of an array, its list left out
				inner = inner[:bytes.Index(inner, []byte("PK\x01\x02"))]
				return rawZip(rawEntry{name: "a.npy", data: npyOf("|u1", false, fmt.Sprintf("(%d,)", len(inner)), inner)}, rawEntry{name: "b.npy", data: goodArray, at: nestedAt})
			}),
		},
		{
			kind: "amplification", name: "npz-columns-deflated-convert", exit: []int{0}, run: convertNPZ, writes: true, memory: 64<<20 + 5*mega<<20,
			files: arrayMade("a.npz", func() []byte { return rawZip(zeros(columns, mega)) }),
		},
		{
			kind: "amplification", name: "npz-columns-deflated-diff", exit: []int{0}, run: []string{"merge", "diff", "a.npz", "a.npz"}, memory: 64<<20 + 5*mega<<20,
			files: arrayMade("a.npz", func() []byte { return rawZip(zeros(columns, mega)) }),
		},
		{
			kind: "amplification", name: "npz-columns-deflated-inspect", exit: []int{0}, run: inspectNPZ,
			files: arrayMade("a.npz", func() []byte { return rawZip(zeros(columns, mega)) }),
		},
		{
			// 3.2 GB of columns; held they would be within the limit, so that only the time and inspect's memory count.
			kind: "amplification", name: "npz-3-gb-of-zeros-inspect", exit: []int{0}, run: inspectNPZ, within: 60 * time.Second,
			files: arrayMade("a.npz", func() []byte {
				header := npyOf("<f4", false, "(268435456,)", nil)
				e := zeros(header, 0)
				e.size, e.packed = int64(len(header))+1<<30, arrayZeros(header, 1<<10)
				e.data = nil
				return rawZipZeros(e, header, 1<<10)
			}),
		},
		{
			kind: "amplification", name: "npz-columns-above-the-limit", exit: []int{5}, run: convertNPZ, want: "needs 10.7 GB of memory", writes: true, within: 60 * time.Second,
			files: arrayMade("a.npz", func() []byte {
				header := npyOf("<f4", true, "(2, 1342177280)", nil)
				return rawZipWide(rawEntry{name: "w.npy", method: 8, packed: arrayZeros(header, 10<<10), size: int64(len(header)) + 10<<30})
			}),
		},
		{
			kind: "amplification", name: "npz-columns-stored", exit: []int{0}, run: convertNPZ, writes: true,
			files: arrayMade("a.npz", func() []byte {
				return rawZip(rawEntry{name: "w.npy", data: npyOf("<f4", true, "(4096, 2048)", make([]byte, 32<<20))})
			}),
		},
		{
			kind: "amplification", name: "npy-columns", exit: []int{0}, run: []string{"convert", "a.npy", "--to", "safetensors", "--out", "out.safetensors", "--check"}, writes: true,
			files: arrayMade("a.npy", func() []byte { return npyOf("<f4", true, "(2, 4194304)", make([]byte, 32<<20)) }),
		},
		{
			kind: "amplification", name: "npz-many-arrays", exit: []int{0}, run: inspectNPZ,
			files: arrayMade("a.npz", func() []byte {
				var entries []rawEntry
				for i := range 40000 {
					entries = append(entries, rawEntry{name: fmt.Sprintf("%d.npy", i), data: npyOf("|u1", false, "()", []byte{1})})
				}
				return rawZip(entries...)
			}),
		},
		{
			kind: "amplification", name: "npz-many-packed-arrays", exit: []int{0}, run: inspectNPZ,
			files: arrayMade("a.npz", func() []byte {
				array := npyOf("|u1", false, "()", []byte{1})
				packed := arrayPacked(array)
				var entries []rawEntry
				for i := range 40000 {
					entries = append(entries, rawEntry{name: fmt.Sprintf("%d.npy", i), data: array, packed: packed, method: 8})
				}
				return rawZip(entries...)
			}),
		},
		{
			kind: "amplification", name: "npz-many-others", run: inspectNPZ,
			files: arrayMade("a.npz", func() []byte {
				var list []byte
				for range 60000 {
					list = append(list, "PK\x01\x02"...)
					list = append(list, make([]byte, 42)...)
				}
				return rawZipEnd(list, 60000, 0)
			}),
		},
		{
			kind: "amplification", name: "npz-says-a-terabyte", run: inspectNPZ, want: "1099511627776 bytes of",
			files: arrayMade("a.npz", func() []byte {
				return rawZipWide(rawEntry{name: "w.npy", method: 8, packed: arrayPacked(goodArray), size: 1 << 40})
			}),
		},
		{
			kind: "amplification", name: "npz-holds-more", run: inspectNPZ, want: "more than the .* bytes that it says",
			files: file("a.npz", rawZip(rawEntry{name: "w.npy", method: 8, data: goodArray, packed: arrayPacked(append(bytes.Clone(goodArray), make([]byte, 1<<20)...))})),
		},
		{
			kind: "amplification", name: "npz-holds-less", run: inspectNPZ, want: "w.npy",
			files: file("a.npz", rawZip(rawEntry{name: "w.npy", method: 8, data: goodArray, packed: arrayPacked(goodArray[:len(goodArray)-4])})),
		},
		{
			kind: "amplification", name: "npz-metadata-of-keys", exit: []int{0}, run: inspectNPZ,
			files: arrayMade("a.npz", func() []byte {
				text := "{" + strings.TrimSuffix(strings.Repeat(`"a":"",`, 500000), ",") + "}"
				return rawZip(rawEntry{name: "w.npy", data: goodArray}, rawEntry{name: "__metadata__.npy", method: 8, data: npyOf("|u1", false, fmt.Sprintf("(%d,)", len(text)), []byte(text))})
			}),
		},
		{
			kind: "amplification", name: "npz-metadata-deep", exit: []int{0}, run: inspectNPZ,
			files: arrayMade("a.npz", func() []byte {
				text := `{"a":` + strings.Repeat("[", 4<<20)
				return rawZip(rawEntry{name: "w.npy", data: goodArray}, rawEntry{name: "__metadata__.npy", method: 8, data: npyOf("|u1", false, fmt.Sprintf("(%d,)", len(text)), []byte(text))})
			}),
		},
		{
			kind: "amplification", name: "npz-metadata-of-16-mb", exit: []int{0}, run: inspectNPZ,
			files: arrayMade("a.npz", func() []byte {
				text := `{"a":"` + strings.Repeat("x", 16<<20-10) + `"}`
				return rawZip(rawEntry{name: "w.npy", data: goodArray}, rawEntry{name: "__metadata__.npy", method: 8, data: npyOf("|u1", false, fmt.Sprintf("(%d,)", len(text)), []byte(text))})
			}),
		},
		{kind: "amplification", name: "npy-header-of-parentheses", files: file("a.npy", npyText("{'descr': '<f4', 'fortran_order': False, 'shape': "+strings.Repeat("(", 60000), nil)), run: []string{"inspect", "a.npy"}},
		{kind: "amplification", name: "npy-header-of-16-mb", files: arrayMade("a.npy", func() []byte { return npyText("{'descr': '<f4', "+strings.Repeat(" ", 16<<20)+"}", nil) }), run: []string{"inspect", "a.npy"}, want: "larger than allowed"},
		{kind: "amplification", name: "npz-header-of-16-mb", files: arrayMade("a.npz", func() []byte {
			return rawZip(rawEntry{name: "w.npy", method: 8, data: npyText(strings.Repeat(" ", 16<<20), nil)})
		}), run: inspectNPZ, want: "larger than allowed"},
		{kind: "amplification", name: "npy-key-again-and-again", files: file("a.npy", npyText("{"+strings.Repeat("'descr': '<f4', ", 4000)+"}", nil)), run: []string{"inspect", "a.npy"}, want: "occurs twice"},
	}
}

// rawZipZeros is an archive of one packed entry whose checksum is that of a header and so many MB of zeros.
func rawZipZeros(e rawEntry, header []byte, mega int) []byte {
	crc := crc32.ChecksumIEEE(header)
	zeros := make([]byte, 1<<20)
	for range mega {
		crc = crc32.Update(crc, crc32.IEEETable, zeros)
	}
	b := rawZip(e)
	le := binary.LittleEndian
	le.PutUint32(b[14:], crc)
	le.PutUint32(b[bytes.LastIndex(b, []byte("PK\x01\x02"))+16:], crc)
	return b
}

// rawZipWide is an archive of one entry whose size has 64 bits.
func rawZipWide(e rawEntry) []byte {
	le := binary.LittleEndian
	extra := le.AppendUint64([]byte{1, 0, 8, 0}, uint64(e.size))
	fields := []byte{20, 0, 0, 0, byte(e.method), 0, 0, 0, 0, 0}
	fields = le.AppendUint32(le.AppendUint32(le.AppendUint32(fields, 7), uint32(len(e.packed))), 1<<32-1)
	fields = le.AppendUint16(le.AppendUint16(fields, uint16(len(e.name))), uint16(len(extra)))
	b := append([]byte("PK\x03\x04"), fields...)
	b = append(append(append(b, e.name...), extra...), e.packed...)
	list := append([]byte("PK\x01\x02\x14\x00"), fields...)
	list = append(append(append(list, make([]byte, 14)...), e.name...), extra...)
	return append(b, rawZipEnd(list, 1, len(b))...)
}

func arraySizes() []hostile {
	inspect := []string{"inspect", "a.npy"}
	array := func(shape string) func(dir string) error { return file("a.npy", npyOf("<f4", false, shape, nil)) }
	savedArrays := func(logits, labels []byte) func(dir string) error {
		return arrayFiles(map[string][]byte{"z.npy": logits, "y.npy": labels})
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
		{kind: "overflow", name: "npz-nothing-by-2-124-convert", files: file("a.npz", rawZip(rawEntry{name: "w.npy", data: npyOf("<f4", false, "(0, 4611686018427387904, 4611686018427387904)", nil)})), run: convertNPZ},
		{
			kind: "overflow", name: "npz-query-weight-of-no-rows", exit: []int{0, 3}, writes: true, run: []string{"convert", "a.npz", "--to", "gguf", "--out", "o.gguf"},
			files: file("a.npz", rawZip(rawEntry{name: "model.layers.0.self_attn.q_proj.weight.npy", data: npyOf("<f4", false, "(0, 8)", nil)})),
		},
		{kind: "overflow", name: "evaluate-no-classes", files: savedArrays(npyOf("<f4", false, "(2, 0)", nil), twoLabels), run: evaluate},
		{kind: "overflow", name: "evaluate-no-examples", files: savedArrays(npyOf("<f4", false, "(0, 3)", nil), npyOf("<i8", false, "(0,)", nil)), run: evaluate},
		{kind: "overflow", name: "evaluate-no-examples-of-2-60-classes", files: savedArrays(npyOf("<f4", false, "(0, 1152921504606846975)", nil), npyOf("<i8", false, "(0,)", nil)), run: evaluate},
		{kind: "overflow", name: "evaluate-2-60-examples-of-no-classes", files: savedArrays(npyOf("<f4", false, "(1152921504606846975, 0)", nil), twoLabels), run: evaluate},
		{kind: "overflow", name: "evaluate-label-2-62", files: savedArrays(twoLogits, npyOf("<i8", false, "(2,)", bytes.Repeat([]byte{0, 0, 0, 0, 0, 0, 0, 64}, 2))), run: evaluate, want: "outside 0 to 1"},
		{kind: "overflow", name: "evaluate-labels-of-half-numbers", files: savedArrays(twoLogits, npyOf("<f8", false, "(2,)", bytes.Repeat([]byte{0, 0, 0, 0, 0, 0, 224, 63}, 2))), run: evaluate, want: "not a whole number"},
		{kind: "overflow", name: "calibrate-no-classes", files: savedArrays(npyOf("<f4", false, "(2, 0)", nil), twoLabels), run: calibrate},
		{kind: "overflow", name: "calibrate-no-examples-of-2-60-classes", files: savedArrays(npyOf("<f8", false, "(0, 1152921504606846975)", nil), npyOf("<i8", false, "(0,)", nil)), run: calibrate},
		{kind: "overflow", name: "data-no-examples-of-2-60", files: savedArrays(npyOf("<f4", false, "(0, 1152921504606846975)", nil), npyOf("<i8", false, "(0,)", nil)), run: show},
		{kind: "overflow", name: "data-nothing-by-2-124", files: savedArrays(npyOf("<f4", false, "(2, 0, 4611686018427387904, 4611686018427387904)", nil), twoLabels), run: show},
	}
}

// arrayPipe makes a pipe that no one writes to, beside other files.
func arrayPipe(name string, others map[string][]byte) func(dir string) error {
	return func(dir string) error {
		if err := arrayFiles(others)(dir); err != nil {
			return err
		}
		return exec.Command("mkfifo", filepath.Join(dir, name)).Run() //nolint:gosec // a name of this file
	}
}

func arrayBlocking() []hostile {
	saved := map[string][]byte{"z.npy": twoLogits, "y.npy": twoLabels}
	list := []hostile{
		{kind: "pipe", name: "npy-evaluate-logits", files: arrayPipe("p", saved), run: []string{"evaluate", "--logits", "p", "--labels", "y.npy"}},
		{kind: "pipe", name: "npy-evaluate-labels", files: arrayPipe("p", saved), run: []string{"evaluate", "--logits", "z.npy", "--labels", "p"}},
		{kind: "pipe", name: "npy-calibrate-logits", files: arrayPipe("p", saved), run: []string{"calibrate", "--logits", "p", "--labels", "y.npy", "--out", "s.npy"}},
		{kind: "pipe", name: "npy-calibrate-labels", files: arrayPipe("p", saved), run: []string{"calibrate", "--logits", "z.npy", "--labels", "p", "--out", "s.npy"}},
		{kind: "pipe", name: "npy-data-examples", files: arrayPipe("p.npy", saved), run: []string{"data", "show", "npy:p.npy,y.npy"}},
		{kind: "pipe", name: "npy-data-labels", files: arrayPipe("p.npy", saved), run: []string{"data", "show", "npy:z.npy,p.npy"}},
		{kind: "pipe", name: "npy-run-input", files: arrayPipe("p.npy", saved), run: []string{"run", "model", "--input", "p.npy", "--output", "o.npz"}},
		{kind: "pipe", name: "npz-inspect", files: arrayPipe("a.npz", nil), run: inspectNPZ},
		{kind: "pipe", name: "npz-convert", files: arrayPipe("a.npz", nil), run: convertNPZ},
		{kind: "pipe", name: "npz-soup", files: arrayPipe("a.npz", map[string][]byte{"b.npz": rawZip(rawEntry{name: "a.npy", data: goodArray})}), run: []string{"soup", "b.npz", "a.npz", "--method", "uniform", "--out", "soup"}},
	}
	for i := range list {
		list[i].want = "it is a pipe"
	}
	return list
}

func arrayForms() []hostile {
	whole := rawZip(rawEntry{name: "a.npy", data: goodArray}, rawEntry{name: "b.npy", data: goodArray, method: 8})
	long := strings.Repeat("n", 60000) + ".npy"
	inspect := []string{"inspect", "a.npy"}
	list := []hostile{
		{kind: "malformed", name: "npy-empty", files: file("a.npy", nil), run: inspect},
		{kind: "malformed", name: "npy-objects", files: file("a.npy", npyOf("|O", false, "(1,)", []byte("cos\nsystem\n"))), run: inspect, want: "array of Python objects"},
		{kind: "malformed", name: "npy-records", files: file("a.npy", npyText("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", make([]byte, 4))), run: inspect, want: "records"},
		{kind: "malformed", name: "npy-escape-in-its-type", files: file("a.npy", npyOf("\x1b]0;x\x07", false, "(1,)", nil)), run: inspect},
		{kind: "malformed", name: "npy-escape-as-its-key", files: file("a.npy", npyText("{'\x1b[2J\u202e': 1}", nil)), run: inspect, want: "unknown key"},
		{kind: "malformed", name: "npz-escape-in-a-name", files: file("a.npz", rawZip(rawEntry{name: "\x1b[2J\u202e.npy", data: npyOf("|O", false, "(1,)", nil)})), run: inspectNPZ, want: `u001b|x1b`},
		{kind: "malformed", name: "npz-escape-in-a-damaged-name", files: file("a.npz", rawZip(rawEntry{name: "\x1b]0;x\x07.npy", data: goodArray, crc: -1})), run: inspectNPZ, want: "damaged"},
		{kind: "malformed", name: "npz-escape-in-another-entry", files: file("a.npz", rawZip(rawEntry{name: "\x1b]0;x\x07", data: goodArray})), run: inspectNPZ},
		{kind: "malformed", name: "npz-name-of-60000", files: file("a.npz", rawZip(rawEntry{name: long, data: goodArray})), run: inspectNPZ, want: `a name of 60004 bytes`},
		{kind: "malformed", name: "npz-name-not-utf-8", exit: []int{0, 3}, files: file("a.npz", rawZip(rawEntry{name: "\xff\xfe.npy", data: npyOf("|O", false, "(1,)", nil)})), run: inspectNPZ},
		{kind: "malformed", name: "npz-own-name", files: file("a.npz", rawZip(rawEntry{name: "a.npy", data: goodArray, ownName: "b.npy"})), run: inspectNPZ, want: "its own header has another name"},
		{kind: "malformed", name: "npz-own-size", files: file("a.npz", rawZip(rawEntry{name: "a.npy", data: goodArray, ownSize: 5})), run: inspectNPZ, want: "its own header says size 5"},
		{kind: "malformed", name: "npz-encrypted", files: file("a.npz", rawZip(rawEntry{name: "a.npy", data: goodArray, flags: 1})), run: inspectNPZ, want: "encrypted"},
		{kind: "malformed", name: "npz-packed-by-bzip2", files: file("a.npz", rawZip(rawEntry{name: "a.npy", data: goodArray, method: 12})), run: inspectNPZ, want: "method 12"},
		{kind: "malformed", name: "npz-fewer-than-listed", files: arrayMade("a.npz", func() []byte {
			b := bytes.Clone(whole)
			b[len(b)-12], b[len(b)-14] = 1, 1
			return b
		}), run: inspectNPZ, want: "lists more than"},
		{kind: "malformed", name: "npz-more-than-listed", files: arrayMade("a.npz", func() []byte {
			b := bytes.Clone(whole)
			b[len(b)-11], b[len(b)-13] = 200, 200
			return b
		}), run: inspectNPZ},
		{kind: "malformed", name: "npz-twice", files: file("a.npz", rawZip(rawEntry{name: "a.npy", data: goodArray}, rawEntry{name: "a.npy", data: goodArray})), run: inspectNPZ, want: "name occurs twice"},
		{kind: "malformed", name: "evaluate-logits-of-an-archive", files: arrayFiles(map[string][]byte{"z.npy": whole, "y.npy": twoLabels}), run: []string{"evaluate", "--logits", "z.npy", "--labels", "y.npy"}, exit: []int{exitUsage}, want: "holds several arrays: a, b; name one"},
	}
	for _, at := range []int{4, 30, 60, len(whole) / 2, len(whole) - 60, len(whole) - 22, len(whole) - 1} {
		list = append(list, hostile{kind: "truncated", name: fmt.Sprintf("npz-%d-of-%d", at, len(whole)), files: file("a.npz", whole[:at]), run: inspectNPZ})
	}
	for _, at := range []int{5, 8, 11, 40, len(goodArray) - 1} {
		list = append(list, hostile{kind: "truncated", name: fmt.Sprintf("npy-%d-of-%d", at, len(goodArray)), files: file("a.npy", goodArray[:at]), run: inspect})
	}
	return list
}

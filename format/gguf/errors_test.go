package gguf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// raw puts files together that the writer would refuse.
type raw []byte

func file(version uint32, tensors, values uint64) raw {
	return raw("GGUF").u32(version).u64(tensors).u64(values)
}

func (r raw) u32(v ...uint32) raw {
	for _, v := range v {
		r = binary.LittleEndian.AppendUint32(r, v)
	}
	return r
}

func (r raw) u64(v ...uint64) raw {
	for _, v := range v {
		r = binary.LittleEndian.AppendUint64(r, v)
	}
	return r
}

func (r raw) text(s string) raw             { return append(r.u64(uint64(len(s))), s...) }
func (r raw) bytes(b ...byte) raw           { return append(r, b...) }
func (r raw) data(n int) raw                { return append(r[:len(r):len(r)], make([]byte, (32-len(r)%32)%32+n)...) }
func (r raw) key(k string, t ValueType) raw { return r.text(k).u32(uint32(t)) }

// tensor is name, dimensions, type and offset.
func (r raw) tensor(name string, dims []uint64, t uint32, offset uint64) raw {
	return r.text(name).u32(uint32(len(dims))).u64(dims...).u32(t).u64(offset)
}

// badFiles are files with one fault each, and what is said of them.
var badFiles = []struct {
	name, want string
	kind       error
	data       raw
}{
	{"empty", `gguf: magic: byte 0: file ends too early: 4 bytes wanted, 0 left; the file is damaged or cut short: get it again`, ErrTruncated, nil},
	{"magic", `gguf: magic: byte 0: file does not begin with GGUF: it begins with "GGML"`, ErrMagic, raw("GGML\x03\x00\x00\x00")},
	{"big endian magic", `magic: byte 0: file is big endian: it begins with "FUGG"; write the file little endian`, ErrEndian, raw("FUGG\x00\x00\x00\x03")},
	{"big endian version", `version: byte 4: file is big endian: version 0x03000000`, ErrEndian, file(3<<24, 0, 0)},
	{"version 0", `version: byte 4: version cannot be read: version 0, 2 and 3 can be read; convert the file to version 3`, ErrVersion, file(0, 0, 0)},
	{"version 1", `version 1, 2 and 3 can be read`, ErrVersion, file(1, 0, 0)},
	{"version 4", `version 4, 2 and 3 can be read`, ErrVersion, file(4, 0, 0)},
	{"cut in the counts", `metadata count: byte 16: file ends too early: 8 bytes wanted, 3 left`, ErrTruncated, file(3, 0, 0)[:19]},
	{"tensor count", `tensor count: byte 8: more entries than the file has room for: 4611686018427387904 entries of 24 bytes or more, 40 bytes left`, ErrCount, file(3, 1<<62, 0).data(24)},
	{"metadata count", `metadata count: byte 16: more entries than the file has room for: 18446744073709551615 entries of 13 bytes or more, 8 bytes left`, ErrCount, file(3, 0, math.MaxUint64).data(0)},
	{"both counts", `metadata count: byte 8: more entries than the file has room for: 1 tensors and 2 entries of metadata, 40 bytes left`, ErrCount, file(3, 1, 2).data(32)},
	{"key longer than the file", `key: byte 24: file ends too early: a text of 4611686018427387904 bytes, the file has 24 left`, ErrTruncated, file(3, 0, 1).u64(1 << 62).data(24)},
	{"key not UTF-8", `key: byte 32: text is not UTF-8: "\xff"`, ErrUTF8, file(3, 0, 1).key("\xff", Uint8).bytes(1, 0, 0)},
	{"value type", `key "k": type: byte 33: value has an unknown type: 13, the last known is 12`, ErrValueType, file(3, 0, 1).key("k", 13).bytes(0, 0)},
	{"element type", `key "k": element type: byte 37: value has an unknown type: 99`, ErrValueType, file(3, 0, 1).key("k", Array).u32(99).u64(0)},
	{"array of arrays", `key "k": element type: byte 37: array of arrays: other readers refuse it`, ErrNested, file(3, 0, 1).key("k", Array).u32(uint32(Array)).u64(0)},
	{"array length", `key "k": array length: byte 41: more entries than the file has room for: 3 entries of 8 bytes or more, 16 bytes left`, ErrCount, file(3, 0, 1).key("k", Array).u32(uint32(Uint64)).u64(3, 1, 2)},
	{"text longer than the file", `key "k": value: byte 37: file ends too early: a text of 7 bytes, the file has 1 left`, ErrTruncated, file(3, 0, 1).key("k", String).u64(7).bytes('x')},
	{"text not UTF-8", `key "k": value: byte 45: text is not UTF-8: "a\xc3"; read with Options.Lenient if the file is trusted`, ErrUTF8, file(3, 0, 1).key("k", String).text("a\xc3")},
	{"truth value", `key "k": value: byte 37: truth value is neither 0 nor 1: 2`, ErrBool, file(3, 0, 1).key("k", Bool).bytes(2)},
	{"truth values", `key "k": value: byte 51: truth value is neither 0 nor 1: 7`, ErrBool, file(3, 0, 1).key("k", Array).u32(uint32(Bool)).u64(3).bytes(0, 1, 7)},
	{"value cut", `key "k": value: byte 37: file ends too early: 8 bytes wanted, 4 left`, ErrTruncated, file(3, 0, 1).key("k", Float64).u32(1)},
	{"key twice", `key "k": key: byte 38: name occurs twice: entry 0 and entry 1`, ErrDuplicate, file(3, 0, 2).key("k", Bool).bytes(1).key("k", Bool).bytes(1)},
	{"alignment 0", `key "general.alignment": value: byte 53: alignment is not a power of two from 1 to 1 MiB: 0 (uint32)`, ErrAlignment, file(3, 0, 1).key(AlignmentKey, Uint32).u32(0)},
	{"alignment 48", `48 (uint32)`, ErrAlignment, file(3, 0, 1).key(AlignmentKey, Uint32).u32(48)},
	{"alignment 2 MiB", `2097152 (uint64)`, ErrAlignment, file(3, 0, 1).key(AlignmentKey, Uint64).u64(2 << 20)},
	{"alignment a text", `32 (string)`, ErrAlignment, file(3, 0, 1).key(AlignmentKey, String).text("32")},
	{"alignment negative", `-32 (int32)`, ErrAlignment, file(3, 0, 1).key(AlignmentKey, Int32).u32(-32 & math.MaxUint32)},
	{"name not UTF-8", `name: byte 32: text is not UTF-8: "\xff"`, ErrUTF8, file(3, 1, 0).tensor("\xff", nil, 0, 0).data(4)},
	{"name of 64 bytes", `: name: byte 24: name is too long: 64 bytes, at most 63`, ErrName, file(3, 1, 0).tensor(strings.Repeat("n", 64), nil, 0, 0).data(4)},
	{"tensor twice", `tensor "w": name: byte 49: name occurs twice: tensor 0 and tensor 1`, ErrDuplicate, file(3, 2, 0).tensor("w", nil, 0, 0).tensor("w", nil, 0, 32).data(36)},
	{"5 dimensions", `tensor "w": dims: byte 33: more than 4 dimensions: 5 dimensions`, ErrDims, file(3, 1, 0).tensor("w", []uint64{1, 1, 1, 1, 1}, 0, 0).data(4)},
	{"product of dimensions", `tensor "w": dims: byte 33: size overflows 63 bits: the product of 2 dimensions`, ErrOverflow, file(3, 1, 0).tensor("w", []uint64{1 << 33, 1 << 33}, 0, 0).data(4)},
	{"negative dimension", `size overflows 63 bits: the product of 1 dimensions`, ErrOverflow, file(3, 1, 0).tensor("w", []uint64{1 << 63}, 0, 0).data(4)},
	{"bytes of elements", `tensor "w": type: byte 45: size overflows 63 bits: 4611686018427387904 elements of F32`, ErrOverflow, file(3, 1, 0).tensor("w", []uint64{1 << 62}, 0, 0).data(4)},
	{"type", `tensor "w": type: byte 45: tensor has an unknown type: 99; if the file is not damaged, its type is newer than this program`, ErrType, file(3, 1, 0).tensor("w", []uint64{1}, 99, 0).data(4)},
	{"removed type", `tensor "w": type: byte 45: tensor has an unknown type: Q4_0_8_8 (33), which was removed; convert the model again: the format has dropped this type`, ErrType, file(3, 1, 0).tensor("w", []uint64{32}, 33, 0).data(18)},
	{"row", `tensor "w": type: byte 53: row is not a whole number of blocks: rows of 16 elements, a block of Q4_0 has 32`, ErrBlock, file(3, 1, 0).tensor("w", []uint64{16, 2}, 2, 0).data(18)},
	{"unaligned", `tensor "w": offset: byte 49: offset is not aligned: 4 is not a multiple of 32`, ErrUnaligned, file(3, 1, 0).tensor("w", []uint64{1}, 0, 4).data(36)},
	{"overlap", `tensor "v": offset: byte 82: tensors overlap: 0 lies before the end of the tensors before it, 32`, ErrOverlap, file(3, 2, 0).tensor("w", []uint64{1}, 0, 0).tensor("v", []uint64{1}, 0, 0).data(36)},
	{"gap", `tensor "w": offset: byte 49: bytes that belong to no tensor: it begins at 32 and should at 0`, ErrGap, file(3, 1, 0).tensor("w", []uint64{1}, 0, 32).data(36)},
	{"offset", `tensor "w": offset: byte 49: size overflows 63 bits: offset 9223372036854775808`, ErrOverflow, file(3, 1, 0).tensor("w", []uint64{1}, 0, 1<<63).data(36)},
	{"end of the data", `tensor "v": offset: byte 82: size overflows 63 bits: 9223372036854775804 bytes from 32 on`, ErrOverflow, file(3, 2, 0).tensor("w", []uint64{1}, 0, 0).tensor("v", []uint64{1<<61 - 1}, 0, 32).data(36)},
	{"data cut", `tensor "w": data: byte 67: file ends too early: 4 bytes from byte 0 of the data, which has 3; the file is damaged or cut short: get it again`, ErrTruncated, file(3, 1, 0).tensor("w", []uint64{1}, 0, 0).data(3)},
	{"no data", `4 bytes from byte 0 of the data, which has 0`, ErrTruncated, file(3, 1, 0).tensor("w", []uint64{1}, 0, 0)},
}

// TestBadFiles: what is wrong, where, and what mends it, from bytes in memory and from a file.
func TestBadFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bad.gguf")
	for _, c := range badFiles {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse(c.data)
			wantError(t, err, c.kind, c.want)
			if e := new(Error); !errors.As(err, &e) || !e.BadInput() || e.Fix == "" {
				t.Errorf("%v is no fault of the input with a fix", err)
			}
			if err := os.WriteFile(path, c.data, 0o644); err != nil {
				t.Fatal(err)
			}
			_, err = Open(path)
			if len(c.data) == 0 { // of a file, the operating system tells
				if err == nil || !strings.Contains(err.Error(), path+": the file is empty; get it again") {
					t.Errorf("got %v", err)
				}
				return
			}
			wantError(t, err, c.kind, strings.Replace(c.want, "gguf: ", "gguf: "+path+": ", 1))
		})
	}
}

// TestGoodFiles: what is unusual and right.
func TestGoodFiles(t *testing.T) {
	for name, data := range map[string]raw{
		"version 2":                   file(2, 1, 0).tensor("w", []uint64{1}, 0, 0).data(4),
		"no tensors, no padding":      file(3, 0, 1).key("k", Bool).bytes(1),
		"the last without padding":    file(3, 2, 0).tensor("w", []uint64{1}, 0, 0).tensor("v", []uint64{1}, 0, 32).data(36),
		"a scalar":                    file(3, 1, 0).tensor("w", nil, 0, 0).data(4),
		"no elements and no data":     file(3, 1, 0).tensor("w", []uint64{0, 7}, 0, 0),
		"alignment of another type":   file(3, 1, 1).key(AlignmentKey, Int64).u64(1).tensor("w", []uint64{1}, 0, 0).u32(7),
		"more behind the last tensor": file(3, 1, 0).tensor("w", []uint64{1}, 0, 0).data(100),
		"an empty name and key":       file(3, 1, 1).key("", Bool).bytes(0).tensor("", []uint64{1}, 0, 0).data(4),
	} {
		if _, err := Parse(data); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if f, err := Parse(file(3, 0, 1).key("k", String).text("a\xc3"), Options{Lenient: true}); err != nil || f.Print("k") != `"a\xc3"` {
		t.Errorf("lenient: %v", err)
	}
}

// TestLimits: each can be lowered, and says so.
func TestLimits(t *testing.T) {
	data := file(3, 2, 2).key("a", String).text("abc").key("b", Array).u32(uint32(Uint8)).u64(3).bytes(1, 2, 3).
		tensor("w", []uint64{1}, 0, 0).tensor("v", []uint64{1}, 0, 32).data(36)
	for want, l := range map[string]Limits{
		"tensor count: byte 8: limit exceeded: 2 entries, at most 1; raise the limit in Options": {MaxTensors: 1},
		"metadata count: byte 16: limit exceeded: 2 entries, at most 1":                          {MaxMetadata: 1},
		`key "a": value: byte 37: limit exceeded: a text of 3 bytes, at most 2`:                  {MaxString: 2},
		`key "b": array length: byte 65: limit exceeded: 3 entries, at most 2`:                   {MaxArray: 2},
	} {
		_, err := Parse(data, Options{Limits: l})
		wantError(t, err, ErrLimit, want)
	}
	if _, err := Parse(data, Options{Limits: Limits{MaxTensors: 2, MaxMetadata: 2, MaxString: 3, MaxArray: 3}}); err != nil {
		t.Error(err)
	}
	long := []KeyValue{{"long", strings.Repeat("x", 3*firstRead)}, {"b", true}}
	content := written(t, long)
	_, err := NewFile(bytes.NewReader(content), int64(len(content)), Options{Limits: Limits{MaxHeader: 2 * firstRead}})
	wantError(t, err, ErrLimit, "header: byte 524288: limit exceeded: it takes 786480 bytes or more, at most 524288")
	f, err := NewFile(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	if yes, err := f.Bool("b"); !yes || err != nil {
		t.Errorf("behind a long header: %v", err)
	}
}

// TestWriteErrors: what the writer refuses.
func TestWriteErrors(t *testing.T) {
	four := make([]byte, 4)
	given := func(n int) func() (io.Reader, error) {
		return func() (io.Reader, error) { return bytes.NewReader(make([]byte, n)), nil }
	}
	tensor := func(x Tensor) []Tensor { return []Tensor{x} }
	for _, c := range []struct {
		want     string
		metadata []KeyValue
		tensors  []Tensor
	}{
		{`key "k": cannot be written: the key occurs twice; give it once`, []KeyValue{{"k", true}, {"k", true}}, nil},
		{`the key is not UTF-8`, []KeyValue{{"\xff", true}}, nil},
		{`key "k": cannot be written: a int has no place in the format; see KeyValue for the types that have one`, []KeyValue{{"k", 7}}, nil},
		{`key "general.alignment": value: cannot be written: 48 (uint32); give a uint32, a power of two up to 1 MiB`, []KeyValue{{AlignmentKey, uint32(48)}}, nil},
		{`key "general.alignment": value: cannot be written: 32 (uint64)`, []KeyValue{{AlignmentKey, uint64(32)}}, nil},
		{`tensor "w": name: cannot be written: it occurs twice`, nil, []Tensor{{Name: "w", Data: four}, {Name: "w", Data: four}}},
		{`name: cannot be written: 64 bytes, a name must be UTF-8 and have at most 63; rename it`, nil, tensor(Tensor{Name: strings.Repeat("n", 64), Data: four})},
		{`tensor "w": type: cannot be written: no tensor can be of Q4_2; see Types`, nil, tensor(Tensor{Name: "w", Type: 4, Data: four})},
		{`no tensor can be of type 77`, nil, tensor(Tensor{Name: "w", Type: 77, Data: four})},
		{`tensor "w": shape: cannot be written: [1 1 1 1 1] has more than 4 dimensions; reshape it`, nil, tensor(Tensor{Name: "w", Shape: []int{1, 1, 1, 1, 1}, Data: four})},
		{`shape: cannot be written: [-1]; dimensions are at least 0`, nil, tensor(Tensor{Name: "w", Shape: []int{-1}, Data: four})},
		{`F32 [4611686018427387904 2] is too large`, nil, tensor(Tensor{Name: "w", Shape: []int{1 << 62, 2}, Data: four})},
		{`shape: cannot be written: rows of 16 values, a block of Q4_0 has 32; use a type of smaller blocks, or F16`, nil, tensor(Tensor{Name: "w", Type: Q4_0, Shape: []int{2, 16}, Data: four})},
		{`data: cannot be written: 4 bytes, F32 [2] takes 8; give the right shape`, nil, tensor(Tensor{Name: "w", Shape: []int{2}, Data: four})},
		{`data: cannot be written: its reader gave 7 bytes, F32 [2] takes 8`, nil, tensor(Tensor{Name: "w", Shape: []int{2}, Open: given(7)})},
		{`data: cannot be written: its reader gave more than the 8 bytes of F32 [2]`, nil, tensor(Tensor{Name: "w", Shape: []int{2}, Open: given(9)})},
	} {
		err := Write(io.Discard, c.metadata, c.tensors)
		wantError(t, err, ErrWrite, c.want)
		if e := new(Error); errors.As(err, &e) && e.BadInput() {
			t.Errorf("%v is laid to the input", err)
		}
	}
	path := filepath.Join(t.TempDir(), "x.gguf")
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	wantError(t, WriteFile(path, nil, tensor(Tensor{Name: "w", Shape: []int{2}, Open: given(7)})), ErrWrite, "7 bytes")
	if got, err := os.ReadFile(path); err != nil || string(got) != "old" {
		t.Errorf("a failed write leaves %q (%v)", got, err)
	}
	failing := errors.New("no such shard")
	if err := Write(io.Discard, nil, tensor(Tensor{Name: "w", Open: func() (io.Reader, error) { return nil, failing }})); !errors.Is(err, failing) {
		t.Errorf("got %v", err)
	}
}

// TestCodecErrors: types and values that do not go.
func TestCodecErrors(t *testing.T) {
	x := make([]float32, 256)
	x[7] = float32(math.NaN())
	big := make([]float32, 2*share)
	big[share+3] = 1e9
	for _, c := range []struct {
		err  error
		kind error
		want string
	}{
		{Encode(IQ2_XS, nil, nil), ErrEncode, "gguf: IQ2_XS: values cannot be encoded: this type can only be read; use Q8_0, Q4_0"},
		{Encode(4, nil, nil), ErrEncode, "Q4_2: values cannot be encoded: no tensor can have this type"},
		{Encode(Q4_0, make([]byte, 18), x[:31]), ErrLength, "Q4_0: values and bytes do not fit each other: 31 values and 18 bytes; give whole blocks: 32 values in 18 bytes"},
		{Encode(Q4_K, make([]byte, 144), x), ErrEncode, "Q4_K: values cannot be encoded: value 7 is NaN, its blocks take -4.126752e+06 to 4.126752e+06; keep this tensor as F32 or BF16"},
		{EncodeParallel(Q8_0, make([]byte, len(big)/32*34), big), ErrEncode, "value 32771 is 1e+09"},
		{Decode(77, x, nil), ErrDecode, "type 77: type cannot be decoded: no tensor can have it"},
		{Decode(Q6_K, x, make([]byte, 211)), ErrLength, "Q6_K: values and bytes do not fit each other: 256 values and 211 bytes; give whole blocks: 256 values in 210 bytes"},
	} {
		wantError(t, c.err, c.kind, c.want)
	}
	f, err := Parse(file(3, 1, 0).tensor("w", []uint64{256}, uint32(IQ3_S), 0).data(110))
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, f.ReadFloat32s("v", 0, x), ErrNoTensor, `gguf: tensor "v": no such tensor: the file holds 1 others; see Names`)
	wantError(t, f.ReadBytes("v", 0, nil), ErrNoTensor, `tensor "v"`)
	wantError(t, f.ReadBytes("w", 100, make([]byte, 11)), ErrRange, `tensor "w": outside the tensor: bytes 100 to 111 of 110`)
	for name, want := range map[string]string{"Q4K": "did you mean Q4_K?", "iq4nl": "did you mean IQ4_NL?", "zzzzzzzz": "use one of BF16, F16, F32, F64, I16"} {
		_, err := ParseType(name)
		wantError(t, err, ErrType, want)
	}
	for _, name := range []string{"Q4_K", "q4_k"} {
		if typ, err := ParseType(name); typ != Q4_K || err != nil {
			t.Errorf("%s is %s (%v)", name, typ, err)
		}
	}
	_, err = FromFloat32s("w", Q8_0, []int{2, 32}, x[:32])
	wantError(t, err, ErrWrite, `tensor "w": shape: cannot be written: [2 32] for 32 values`)
	_, err = FromFloat32s("w", Q8_0, []int{32}, x[:32])
	wantError(t, err, ErrEncode, `tensor "w": Q8_0: values cannot be encoded: value 7 is NaN`)
}

package pytorch

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ballast-ml/ballast/internal/memory"
)

// The files of testdata were written by Python's own pickle, in every protocol and both layouts, from one object: a state
// dict beside what training programs keep.
func TestReadsBothLayouts(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.pt*")
	if err != nil || len(paths) < 7 {
		t.Fatalf("%d files (%v)", len(paths), err)
	}
	for _, path := range paths {
		if filepath.Base(path) == "calls.pt" {
			continue
		}
		t.Run(filepath.Base(path), func(t *testing.T) {
			f, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close() //nolint:errcheck // it was only read
			if want := []string{"fc.weight", "fc.transposed", "fc.bias", "tracked", "half"}; !slices.Equal(f.Names(), want) {
				t.Fatalf("names are %v", f.Names())
			}
			for name, want := range map[string][]float32{
				"fc.weight":     {0, 1, 2, 3, 4, 5},
				"fc.transposed": {1, 4, 2, 5, 3, 6},
				"fc.bias":       {6, 7, 8, 9, 10, 11},
				"tracked":       {7},
				"half":          {0.5, -1.5},
			} {
				got, err := f.Float32s(name)
				if err != nil || !slices.Equal(got, want) {
					t.Errorf("%s is %v, want %v (%v)", name, got, want, err)
				}
			}
			info, ok := f.Info("fc.transposed")
			if !ok || info.DType != "float32" || !slices.Equal(info.Shape, []int{3, 2}) || info.Storage != "0" || info.Elements != 6 {
				t.Errorf("info is %+v", info)
			}
			meta := f.Metadata()
			for key, want := range map[string]string{"epoch": "90", "best": "0.75", "big": "1099511627776", "neg": "-300", "arch": "résumé",
				"flags.0": "true", "optimizer.state.0.step": "5", "optimizer.param_groups.0.lr": "0.1"} {
				if meta[key] != want {
					t.Errorf("metadata %s is %q, want %q", key, meta[key], want)
				}
			}
			if f.Root() != "state_dict" || !slices.Contains(f.Beside(), "optimizer") {
				t.Errorf("root %q beside %v", f.Root(), f.Beside())
			}
			raw := make([]byte, 5) // from the middle of one element to the middle of another
			if err := f.ReadBytes("fc.bias", 2, raw); err != nil {
				t.Fatal(err)
			}
			whole, err := binary.Append(nil, binary.LittleEndian, []float32{6, 7, 8})
			if err != nil || !bytes.Equal(raw, whole[2:7]) {
				t.Errorf("bytes are %v, want %v (%v)", raw, whole[2:7], err)
			}
		})
	}
}

func TestRoot(t *testing.T) {
	all, err := Open("testdata/protocol2.pt", Options{Root: "."})
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close() //nolint:errcheck // it was only read
	if names := all.Names(); !slices.Contains(names, "state_dict.fc.weight") || !slices.Contains(names, "optimizer.state.0.exp_avg") {
		t.Errorf("names are %v", names)
	}
	part, err := Open("testdata/protocol2.pt", Options{Root: "optimizer.state"})
	if err != nil {
		t.Fatal(err)
	}
	defer part.Close() //nolint:errcheck // it was only read
	if names := part.Names(); !slices.Equal(names, []string{"0.exp_avg"}) {
		t.Errorf("names are %v", names)
	}
	_, err = Open("testdata/protocol2.pt", Options{Root: "ema"})
	if !errors.Is(err, ErrRoot) || !strings.Contains(err.Error(), `"ema"; it holds epoch, best`) {
		t.Errorf("got %v", err)
	}
}

// p is a pickle under construction.
type p []byte

func (b p) op(ops ...byte) p { return append(b, ops...) }
func (b p) str(s string) p {
	return append(append(b, 'X'), append(binary.LittleEndian.AppendUint32(nil, uint32(len(s))), s...)...)
}

func (b p) int(v int64) p {
	return binary.LittleEndian.AppendUint64(append(b, 0x8a, 8), uint64(v))
}
func (b p) name(module, name string) p { return append(b, "c"+module+"\n"+name+"\n"...) }
func (b p) ints(v []int64) p {
	b = b.op('(')
	for _, x := range v {
		b = b.int(x)
	}
	return b.op('t')
}

// storage pushes a storage; tensor a tensor that shows it.
func (b p) storage(class, key string, n int64) p {
	return b.op('(').str("storage").name("torch", class).str(key).str("cpu").int(n).op('t', 'Q')
}

func (b p) tensor(class, key string, n, offset int64, shape, strides []int64) p {
	return b.name("torch._utils", "_rebuild_tensor_v2").op('(').storage(class, key, n).int(offset).ints(shape).ints(strides).op(0x89, 'N', 't', 'R')
}

// archive packs a pickle and storages the way torch.save does.
func archive(t testing.TB, pickle []byte, storages map[string][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	put := func(name string, data []byte) {
		w, err := z.CreateHeader(&zip.FileHeader{Name: "model/" + name, Method: zip.Store})
		if err == nil {
			_, err = w.Write(data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	put("data.pkl", pickle)
	for key, data := range storages {
		put("data/"+key, data)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func parse(data []byte, opts ...Options) (*File, error) {
	return NewReader(bytes.NewReader(data), int64(len(data)), opts...)
}

// Any view of a storage, in stretches of any length, equals a plain loop over its indices.
func TestStrides(t *testing.T) {
	const n = 60
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(i)
	}
	data, err := binary.Append(nil, binary.LittleEndian, values)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(r *rapid.T) {
		rank := rapid.IntRange(0, 4).Draw(r, "rank")
		shape, strides, elements, last := make([]int64, rank), make([]int64, rank), int64(1), int64(0)
		for i := range shape {
			shape[i], strides[i] = rapid.Int64Range(1, 3).Draw(r, "dim"), rapid.Int64Range(0, 9).Draw(r, "stride")
			elements *= shape[i]
			last += (shape[i] - 1) * strides[i]
		}
		if last >= n {
			r.Skip("reaches outside the storage")
		}
		offset := rapid.Int64Range(0, n-1-last).Draw(r, "offset")
		f, err := parse(archive(t, p{0x80, 2}.tensor("FloatStorage", "k", n, offset, shape, strides).op('.'), map[string][]byte{"k": data}))
		if err != nil {
			r.Fatal(err)
		}
		want := make([]float32, elements)
		for i := range want {
			place, rest := offset, int64(i)
			for d := rank - 1; d >= 0; d-- {
				place += rest % shape[d] * strides[d]
				rest /= shape[d]
			}
			want[i] = values[place]
		}
		from := rapid.IntRange(0, int(elements)).Draw(r, "from")
		got := make([]float32, rapid.IntRange(0, int(elements)-from).Draw(r, "n"))
		if err := f.ReadFloat32s("tensor", from, got); err != nil || !slices.Equal(got, want[from:from+len(got)]) {
			r.Fatalf("shape %v strides %v offset %d: got %v, want %v (%v)", shape, strides, offset, got, want[from:], err)
		}
	})
}

func TestTypes(t *testing.T) {
	le := binary.LittleEndian
	for _, c := range []struct {
		class string
		dtype DType
		data  []byte
		want  float32
	}{
		{"DoubleStorage", "float64", le.AppendUint64(nil, math.Float64bits(math.Pi)), math.Pi},
		{"FloatStorage", "float32", le.AppendUint32(nil, math.Float32bits(-2.5)), -2.5},
		{"HalfStorage", "float16", []byte{1, 0}, 0x1p-24},
		{"BFloat16Storage", "bfloat16", []byte{0xc0, 0x3f}, 1.5},
		{"LongStorage", "int64", le.AppendUint64(nil, math.MaxUint64), -1},
		{"IntStorage", "int32", []byte{0, 0, 0, 0x80}, math.MinInt32},
		{"ShortStorage", "int16", []byte{0, 0x80}, math.MinInt16},
		{"CharStorage", "int8", []byte{0x80}, -128},
		{"ByteStorage", "uint8", []byte{200}, 200},
		{"BoolStorage", "bool", []byte{1}, 1},
	} {
		f, err := parse(archive(t, p{0x80, 2}.tensor(c.class, "k", 1, 0, nil, nil).op('.'), map[string][]byte{"k": c.data}))
		if err != nil {
			t.Fatalf("%s: %v", c.class, err)
		}
		info, _ := f.Info("tensor")
		got, err := f.Float32s("tensor")
		if err != nil || info.DType != c.dtype || len(got) != 1 || got[0] != c.want {
			t.Errorf("%s: %s %v, want %v (%v)", c.class, info.DType, got, c.want, err)
		}
	}
	// Newer types come with untyped storages.
	for dtype, want := range map[string]float32{"float8_e4m3fn": 1, "uint16": 0x3838, "float8_e5m2": 0.5} {
		data := []byte{0x38, 0x38}[:max(1, DType(dtype).Size())]
		pickle := p{0x80, 2}.name("torch._utils", "_rebuild_tensor_v3").op('(').
			op('(').str("storage").name("torch.storage", "UntypedStorage").str("k").str("cpu").int(int64(len(data))).op('t', 'Q').
			int(0).ints(nil).ints(nil).op(0x89, 'N').name("torch", dtype).op('t', 'R', '.')
		f, err := parse(archive(t, pickle, map[string][]byte{"k": data}))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := f.Float32s("tensor"); err != nil || got[0] != want {
			t.Errorf("%s: %v, want %v (%v)", dtype, got, want, err)
		}
	}
	f, err := parse(archive(t, p{0x80, 2}.tensor("ComplexFloatStorage", "k", 1, 0, nil, nil).op('.'), map[string][]byte{"k": make([]byte, 8)}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Float32s("tensor"); !errors.Is(err, ErrDType) || !strings.Contains(err.Error(), "complex64 has no values as float32") {
		t.Errorf("got %v", err)
	}
}

func TestNumPyNumbers(t *testing.T) {
	number := func(b p, code, data string) p {
		return b.name("numpy.core.multiarray", "scalar").op('(').
			name("numpy", "dtype").op('(').str(code).int(0).int(1).op('t', 'R').
			op('(').int(3).str("<").op('N', 'N', 'N').int(-1).int(-1).int(0).op('t', 'b').
			name("_codecs", "encode").op('(').str(data).str("latin1").op('t', 'R').op('t', 'R')
	}
	pickle := number(p{0x80, 2}.op('}').str("loss"), "f8", "\x00\x00\x00\x00\x00\x00ø?").op('s')
	pickle = number(pickle.str("step"), "i4", "ÿÿÿÿ").op('s', '.')
	f, err := parse(archive(t, pickle, nil))
	if err != nil {
		t.Fatal(err)
	}
	if m := f.Metadata(); m["loss"] != "1.5" || m["step"] != "-1" {
		t.Errorf("metadata is %v", m)
	}
}

func TestRefusesToCall(t *testing.T) {
	_, err := Open("testdata/calls.pt")
	want := "pytorch: testdata/calls.pt: archive/data.pkl: byte 22: the pickle calls something that is neither a tensor nor a container: posix.system; " +
		"nothing was run; weights need no such call: have the file's maker save the state dict alone, torch.save(model.state_dict(), PATH)"
	var typed *Error
	var call Call
	if err == nil || err.Error() != want || !errors.As(err, &typed) || !errors.As(err, &call) || call != "posix.system" || !errors.Is(err, ErrCall) || !typed.BadInput() {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if _, err := os.Stat("owned"); err == nil {
		t.Error("the file was run")
	}
	for name, pickle := range map[string]p{
		"builtins.eval":                p{0x80, 2}.name("builtins", "eval").op('(').str("1").op('t', 'R', '.'),
		"os.system":                    p{0x80, 4}.str("os").str("system").op(0x93, '.'),
		"subprocess.Popen":             p{}.op('(').str("ls").op([]byte("isubprocess\nPopen\n.")...),
		"torch.nn.modules.conv.Conv2d": p{0x80, 2}.name("torch.nn.modules.conv", "Conv2d").op(')', 0x81, '.'),
		"__torch__.Net":                p{0x80, 2}.name("__torch__", "Net").op(')', 0x81, '.'),
		"builtins.getattr":             p{0x80, 2}.name("builtins", "getattr").op('.'),
		"torch.storage._load_from_bytes": p{0x80, 2}.name("torch.storage", "_load_from_bytes").op('(').str("x").op(
			't', 'R', '.'),
		"torch.Tensor":      p{0x80, 2}.name("torch", "Tensor").op(')', 'R', '.'), // a type that is only named elsewhere
		"copyreg extension": {0x80, 2, 0x82, 1, '.'},
	} {
		_, err := parse(archive(t, pickle, nil))
		var call Call
		if !errors.As(err, &call) || !errors.Is(err, ErrCall) || string(call) != name || !strings.Contains(err.Error(), ": "+name+"; nothing was run") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestRefuses(t *testing.T) {
	float := func(n, offset int64, shape, strides []int64) []byte {
		return archive(t, p{0x80, 2}.tensor("FloatStorage", "k", n, offset, shape, strides).op('.'), map[string][]byte{"k": make([]byte, 16)})
	}
	laughs := p{0x80, 2}.op('}', 'q', 0).str("x").int(1).op('s')
	for i := byte(1); i < 40; i++ { // each dictionary holds the one before twice
		laughs = laughs.op('0', '}', 'q', i).str("a").op('h', i-1, 's').str("b").op('h', i-1, 's')
	}
	compressed := func() []byte {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		w, err := z.Create("model/data.pkl")
		if err == nil {
			_, err = w.Write(p{0x80, 2, '}', '.'})
		}
		if err = errors.Join(err, z.Close()); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}()
	old, err := os.ReadFile("testdata/old.pth")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		file []byte
		kind error
		text string
	}{
		"nothing":            {nil, ErrLayout, "it begins with"},
		"tar":                {[]byte("./pickle\x00"), ErrLayout, "tar archives"},
		"bare pickle":        {p{0x80, 2, '}', '.'}, ErrLayout, "a bare pickle"},
		"other archive":      {archive(t, nil, nil)[:0], ErrLayout, "begins"},
		"compressed":         {compressed, ErrStorage, `model/data.pkl: storage cannot be read: the entry is compressed or encrypted`},
		"size of storage":    {float(5, 0, []int64{5}, []int64{1}), ErrPickle, `storage "k": 5 elements take 20 bytes, its entry has 16`},
		"no such storage":    {archive(t, p{0x80, 2}.tensor("FloatStorage", "z", 1, 0, nil, nil).op('.'), nil), ErrStorage, "model/data/z: storage cannot be read: the archive has no such entry"},
		"beyond storage":     {float(4, 1, []int64{4}, []int64{1}), ErrShape, "shape [4] with strides [1] from element 1 on reaches element 4 of a storage of 4"},
		"negative offset":    {float(4, -1, []int64{4}, []int64{1}), ErrShape, "offset -1"},
		"negative stride":    {float(4, 3, []int64{4}, []int64{-1}), ErrShape, "negative"},
		"overflow":           {float(4, 0, []int64{1 << 40, 1 << 40}, []int64{0, 0}), ErrShape, "more than 2^63 bytes"},
		"stride overflow":    {float(4, 0, []int64{3, 3}, []int64{1 << 62, 1 << 62}), ErrShape, "beyond 2^63"},
		"repeats":            {float(4, 0, []int64{1 << 30}, []int64{0}), ErrShape, "more than once"},
		"laughs":             {archive(t, laughs.op('.'), nil), ErrLimit, "more memory"},
		"cycle":              {archive(t, p{0x80, 2}.op('}', 'q', 0).str("a").op('h', 0, 's', '.'), nil), ErrLimit, "nested more than 64 deep"},
		"no end":             {archive(t, p{0x80, 2, '}'}, nil), ErrTruncated, "before its end mark"},
		"two objects":        {archive(t, p{0x80, 2, '}', '}', '.'}, nil), ErrPickle, "more than one object"},
		"bytes after":        {archive(t, p{0x80, 2, '}', '.', 'x'}, nil), ErrPickle, "1 bytes after its end"},
		"empty stack":        {archive(t, p{0x80, 2, '0', '.'}, nil), ErrPickle, "empty stack"},
		"below a mark":       {archive(t, p{0x80, 2, '}', '(', 'a', '.'}, nil), ErrPickle, "empty stack"},
		"unset memory":       {archive(t, p{0x80, 2, 'h', 7, '.'}, nil), ErrPickle, "memory 7"},
		"unknown opcode":     {archive(t, p{0x80, 2, 0xff, '.'}, nil), ErrPickle, "opcode 0xff"},
		"protocol 9":         {archive(t, p{0x80, 9, '.'}, nil), ErrPickle, "protocol 9"},
		"text beyond":        {archive(t, p{0x80, 2, 'X', 0xff, 0xff, 0xff, 0x7f, '.'}, nil), ErrTruncated, "text of 2147483647 bytes where 1 are left"},
		"long beyond":        {archive(t, p{0x80, 2, 0x8b, 0xff, 0xff, 0xff, 0xff, '.'}, nil), ErrPickle, "a number of 4294967295 bytes"},
		"calls a number":     {archive(t, p{0x80, 2}.int(1).op(')', 'R', '.'), nil), ErrPickle, "it calls 1"},
		"same name":          {archive(t, p{0x80, 2}.op('}').str("a.b").tensor("FloatStorage", "k", 4, 0, nil, nil).op('s').str("a").op('}').str("b").tensor("FloatStorage", "k", 4, 0, nil, nil).op('s', 's', '.'), map[string][]byte{"k": make([]byte, 16)}), ErrDuplicate, `"a.b"`},
		"old, cut":           {old[:len(old)-1], ErrTruncated, `storage "2" takes 4 bytes, 3 are left`},
		"old, cut in pickle": {old[:200], ErrTruncated, "object: byte"},
		"old, other sizes":   {bytes.Replace(old, binary.LittleEndian.AppendUint64(nil, 12), binary.LittleEndian.AppendUint64(nil, 13), 1), ErrStorage, `storage "0" has 13 elements, its tensors say 12`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(c.file)
			var typed *Error
			if !errors.Is(err, c.kind) || !errors.As(err, &typed) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("want %v with %q, got %v", c.kind, c.text, err)
			}
		})
	}
	f, err := Open("testdata/old.pth")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	if err := f.ReadFloat32s("fc.bias", 5, make([]float32, 2)); !errors.Is(err, ErrRange) || !strings.Contains(err.Error(), "elements 5 to 7 of 6") {
		t.Errorf("got %v", err)
	}
	if _, err := f.Float32s("fc"); !errors.Is(err, ErrNoTensor) {
		t.Errorf("got %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Float32s("half"); !errors.Is(err, ErrTruncated) {
		t.Errorf("closed: got %v", err)
	}
}

// allocated is what fn allocates in all, which bounds what is live at any moment.
func allocated(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Opcodes of one or two bytes that make objects of many are counted.
func TestAllocation(t *testing.T) {
	const n = 8 << 20
	for name, unit := range map[string]p{
		"lists": {']'}, "dicts": {'}'}, "marks": {'('}, "memory": {'}', 0x94, '0'}, "tuples": {'N', 0x85}, "numbers": {'M', 1, 2},
		"items": {'N', 'a'}, "keys": {'J', 0, 0, 0, 0, 'N', 's'}, "dup": {'2'},
	} {
		pickle := append(p{0x80, 2, ']'}, bytes.Repeat(unit, n/len(unit))...)
		if name == "keys" {
			pickle[2] = '}'
			for i := range n / len(unit) { // all different
				binary.LittleEndian.PutUint32(pickle[4+len(unit)*i:], uint32(i))
			}
		}
		file := archive(t, pickle.op('.'), nil)
		spent := allocated(func() {
			if _, err := parse(file); err == nil && name != "items" {
				t.Errorf("%s: no error", name)
			}
		})
		if most := uint64(64<<20 + 4*len(file)); spent > most {
			t.Errorf("%s: %d bytes for a file of %d, at most %d", name, spent, len(file), most)
		}
	}
}

// A damaged entry is named by every way to read it; what is damaged elsewhere is found by Verify.
func TestChecksum(t *testing.T) {
	pickle := p{0x80, 2}.op('}').str("w").tensor("FloatStorage", "0", 4, 0, []int64{2, 2}, []int64{2, 1}).op('s').
		str("t").tensor("FloatStorage", "0", 4, 0, []int64{2, 2}, []int64{1, 2}).op('s', '.')
	good := archive(t, pickle, map[string][]byte{"0": bytes.Repeat([]byte{7}, 16), "unused": bytes.Repeat([]byte{9}, 16)})
	read := func(file []byte, tensor string) error {
		f, err := parse(file)
		if err != nil {
			return err
		}
		if tensor == "" {
			return f.Verify(t.Context())
		}
		_, err = f.Float32s(tensor)
		return err
	}
	for name, c := range map[string]struct {
		flip    byte   // the first of these bytes
		tensors string // whose reading must notice
		part    string
	}{
		"storage": {7, "w t ", "model/data/0"}, "unused": {9, " ", "model/data/unused"}, "pickle": {'}', "w", "model/data.pkl"},
	} {
		damaged := bytes.Clone(good)
		at := bytes.Index(damaged, bytes.Repeat([]byte{c.flip}, 16))
		if name == "pickle" {
			at = bytes.IndexByte(damaged, 'w')
		}
		damaged[at] ^= 2
		for _, tensor := range strings.Split(c.tensors, " ") {
			err := read(damaged, tensor)
			var typed *Error
			if !errors.Is(err, ErrChecksum) || !errors.As(err, &typed) || typed.Part != c.part || !typed.BadInput() {
				t.Errorf("%s, tensor %q: got %v", name, tensor, err)
			}
		}
	}
	// torch.save leaves all of them out when it is told to.
	absent := bytes.Clone(good)
	for at := 0; at+46 < len(absent); at++ {
		switch string(absent[at : at+4]) {
		case "PK\x07\x08":
			clear(absent[at+4 : at+8])
		case "PK\x01\x02":
			clear(absent[at+16 : at+20])
		}
	}
	for _, tensor := range []string{"w", "t", ""} {
		if err := read(absent, tensor); err != nil {
			t.Errorf("without checksums: %v", err)
		}
	}
}

// Views of one storage may show far more than the file holds, up to a bound; layers that share weights are far below it.
func TestViews(t *testing.T) {
	views := func(n int) p {
		b := p{0x80, 2}.op('}').str("0").tensor("FloatStorage", "k", 4, 0, []int64{1 << 20}, []int64{0}).op('q', 1, 's')
		for i := range n - 1 {
			b = b.str(fmt.Sprint(i+1)).op('h', 1, 's')
		}
		return b.op('.')
	}
	storage := map[string][]byte{"k": make([]byte, 16)}
	if f, err := parse(archive(t, views(12), storage)); err != nil || len(f.Names()) != 12 {
		t.Errorf("12 views: %v", err)
	}
	many := archive(t, views(100), storage)
	if _, err := parse(many); !errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), `tensor "16": limit exceeded`) {
		t.Errorf("100 views: %v", err)
	}
	if f, err := parse(many, Options{MaxBytes: 1 << 30}); err != nil || len(f.Names()) != 100 {
		t.Errorf("100 views that are trusted: %v", err)
	}
	memory.SetLimit(1 << 20)
	defer memory.SetLimit(0)
	f, err := parse(archive(t, views(1), storage))
	if err != nil {
		t.Fatal(err)
	}
	var missing *memory.Error
	if _, err := f.Float32s("0"); !errors.As(err, &missing) || missing.Need != 4<<20 {
		t.Errorf("got %v", err)
	}
}

// Numbers of memory may come in any order, as no pickler gives them.
func TestMemory(t *testing.T) {
	b := p{0x80, 2}.op('}', '(').str("far").int(1).op('r', 9, 0, 0, 0x80).str("first").int(2).op('q', 0).
		str("third").int(3).op('q', 2).str("second").int(4).op('q', 1).str("again").op('h', 2).str("and").op('j', 9, 0, 0, 0x80).
		str("over").int(5).op('q', 2).str("last").op('h', 2, 'u', '.')
	f, err := parse(archive(t, b, nil))
	want := map[string]string{"far": "1", "first": "2", "third": "3", "second": "4", "again": "3", "and": "1", "over": "5", "last": "5"}
	if err != nil || !maps.Equal(f.Metadata(), want) {
		t.Errorf("got %v, %v", f.Metadata(), err)
	}
}

// FuzzReader reads anything: no panic, typed errors, and memory within 64 MB and four times the file. What is read in one
// go is read in pieces as well.
func FuzzReader(f *testing.F) {
	paths, err := filepath.Glob("testdata/*.pt*")
	if err != nil || len(paths) == 0 {
		f.Fatal(err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add(archive(f, p{0x80, 4}.op('}').str("w").tensor("HalfStorage", "k", 4, 0, []int64{2, 2}, []int64{1, 2}).op('s', '.'), map[string][]byte{"k": make([]byte, 8)}))
	f.Fuzz(func(t *testing.T, data []byte) {
		var file *File
		var err error
		spent := allocated(func() { file, err = parse(data) })
		if most := uint64(64<<20 + 4*len(data)); spent > most {
			t.Fatalf("%d bytes allocated for a file of %d, at most %d", spent, len(data), most)
		}
		if err != nil {
			if typed := new(Error); !errors.As(err, &typed) || err.Error() == "" {
				t.Fatalf("want *Error, got %T", err)
			}
			return
		}
		_ = file.Metadata()
		for _, name := range file.Names() {
			info, _ := file.Info(name)
			if info.Elements > 1<<16 {
				continue
			}
			whole, err := file.Float32s(name)
			if errors.Is(err, ErrDType) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			half := make([]float32, len(whole)/2)
			if err := file.ReadFloat32s(name, len(whole)-len(half), half); err != nil {
				t.Fatal(err)
			}
			for i, v := range half {
				if math.Float32bits(v) != math.Float32bits(whole[len(whole)-len(half)+i]) {
					t.Fatalf("%s: pieces differ", name)
				}
			}
		}
	})
}

func Example() {
	f, err := Open("testdata/old.pth")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close() //nolint:errcheck // it was only read
	for _, name := range f.Names() {
		info, _ := f.Info(name)
		fmt.Println(name, info.DType, info.Shape)
	}
	fmt.Println("epoch", f.Metadata()["epoch"], "beside", f.Root())
	// Output:
	// fc.weight float32 [2 3]
	// fc.transposed float32 [3 2]
	// fc.bias float32 [6]
	// tracked int64 []
	// half float16 [2]
	// epoch 90 beside state_dict
}

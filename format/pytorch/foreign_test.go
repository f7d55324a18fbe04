package pytorch

import (
	"encoding/binary"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// floats is a storage of float32 values.
func floats(values ...float32) []byte {
	out, _ := binary.Append(nil, binary.LittleEndian, values)
	return out
}

// The files of testdata/reports hold a plain state dict a.weight, a.bias beside an object of some other class, which no tensor needs.
func TestObjectsThatNoTensorNeeds(t *testing.T) {
	for name, want := range map[string]struct{ classes, meta string }{
		"npscalar.ckpt": {"", "lr=0.001"}, "nphalf.ckpt": {"", "loss=0.5"}, "npint.ckpt": {"", "step=77"}, "nprandom.ckpt": {"", "rng.0=MT19937"},
		"namespace.ckpt": {"argparse.Namespace", ""}, "listconfig.ckpt": {"omegaconf.listconfig.ListConfig", ""}, "path.ckpt": {"pathlib.PosixPath", ""},
		"plain.ckpt": {"", "epoch=1"},
	} {
		f, err := Open(filepath.Join("testdata/reports", name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := f.Float32s("a.weight")
		if err != nil || !slices.Equal(got, []float32{1, 2, 3, 4}) || !slices.Equal(f.Names(), []string{"a.weight", "a.bias"}) {
			t.Errorf("%s: %v of %v (%v)", name, got, f.Names(), err)
		}
		if classes := strings.Join(f.Classes(), " "); classes != want.classes {
			t.Errorf("%s: classes %q, want %q", name, classes, want.classes)
		}
		if key, value, ok := strings.Cut(want.meta, "="); ok && f.Metadata()[key] != value {
			t.Errorf("%s: metadata %v, want %s", name, f.Metadata(), want.meta)
		}
		_ = f.Close()
	}
	// What holds the tensors itself is refused by name.
	_, err := Open("testdata/reports/module.pth")
	var call Call
	if !errors.As(err, &call) || call != "torch.nn.modules.sparse.Embedding" || !errors.Is(err, ErrCall) {
		t.Errorf("a module: %v", err)
	}
}

// Each way in which a pickle makes an object: nothing is made, the tensors beside it are read.
func TestWaysToMakeObjects(t *testing.T) {
	for name, object := range map[string]func(p) p{
		"reduce":        func(b p) p { return b.name("a.b", "C").op('(').int(1).op('t', 'R') },
		"new":           func(b p) p { return b.name("a.b", "C").op(')', 0x81) },
		"new, named":    func(b p) p { return b.name("a.b", "C").op(')', '}').str("k").int(1).op('s', 0x92) },
		"old style":     func(b p) p { return append(b.op('(').int(1), "ia.b\nC\n"...) },
		"obj":           func(b p) p { return b.op('(').name("a.b", "C").int(1).op('o') },
		"state":         func(b p) p { return b.name("a.b", "C").op(')', 0x81, '}').str("x").int(1).op('s', 'b') },
		"state, twice":  func(b p) p { return b.name("a.b", "C").op(')', 0x81, '}', 'b', 'N', 'b') },
		"items":         func(b p) p { return b.name("a.b", "C").op(')', 0x81, '(').int(1).int(2).op('e') },
		"one item":      func(b p) p { return b.name("a.b", "C").op(')', 0x81).int(1).op('a') },
		"keys":          func(b p) p { return b.name("a.b", "C").op(')', 0x81, '(').str("k").int(2).op('u') },
		"set items":     func(b p) p { return b.name("a.b", "C").op(')', 0x81, '(').int(2).op(0x90) },
		"what it makes": func(b p) p { return b.name("a.b", "f").op(')', 'R', ')', 'R') },
		"a class":       func(b p) p { return b.name("a.b", "C") },
		"a function":    func(b p) p { return b.name("functools", "partial").op('(').name("a.b", "f").op('t', 'R') },
		"old class": func(b p) p {
			return b.name("copy_reg", "_reconstructor").op('(').name("a.b", "C").name("__builtin__", "object").op('N', 't', 'R')
		},
		"by text": func(b p) p { return b.str("a.b").str("C").op(0x93, ')', 'R') },
		"factory": func(b p) p {
			return b.name("collections", "defaultdict").op('(').name("collections", "Counter").op('t', 'R')
		},
		"foreign factory": func(b p) p { return b.name("collections", "defaultdict").op('(').name("a.b", "f").op('t', 'R') },
		"unknown dtype":   func(b p) p { return b.name("torch", "int3") },
		"numpy text":      func(b p) p { return b.name("numpy", "dtype").op('(').str("U5").int(0).int(1).op('t', 'R') },
		"numpy number of texts": func(b p) p {
			return b.name("numpy.core.multiarray", "scalar").op('(').name("numpy", "dtype").op('(').str("S1").int(0).int(1).op('t', 'R').str("a").op('t', 'R')
		},
	} {
		pickle := object(p{0x80, 4}.op('}').str("beside")).op('s').str("w").tensor("FloatStorage", "k", 2, 0, []int64{2}, []int64{1}).op('s', '.')
		f, err := parse(archive(t, pickle, map[string][]byte{"k": floats(1, 2)}))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, err := f.Float32s("w"); err != nil || !slices.Equal(got, []float32{1, 2}) || len(f.Names()) != 1 {
			t.Errorf("%s: %v of %v (%v)", name, got, f.Names(), err)
		}
		if class := f.Classes(); name == "a class" && !slices.Equal(class, []string{"a.b.C"}) {
			t.Errorf("a class that is named alone: %v", class)
		}
	}
}

// A tensor whose name cannot be used is said, and does not keep the others from being read; alone it is refused.
func TestNameless(t *testing.T) {
	long := strings.Repeat("n", maxName+1)
	tensor := func(b p) p { return b.tensor("FloatStorage", "k", 2, 0, []int64{2}, []int64{1}).op('s') }
	for name, c := range map[string]struct {
		key  p
		said string
		kind error
	}{
		"long":    {p{}.str(long), long[:100] + "...", ErrLimit},
		"no text": {p{'U', 2, 0xff, 0x1b}, `\xff\u001b`, ErrPickle},
	} {
		odd := append(p{0x80, 4, '}'}, c.key...)
		_, err := parse(archive(t, tensor(odd).op('.'), map[string][]byte{"k": floats(1, 2)}))
		if !errors.Is(err, c.kind) {
			t.Errorf("%s, alone: %v, want %v", name, err, c.kind)
		}
		f, err := parse(archive(t, tensor(tensor(slices.Clone(odd)).str("w")).op('.'), map[string][]byte{"k": floats(1, 2)}))
		if err != nil || !slices.Equal(f.Names(), []string{"w"}) || !slices.Equal(f.Nameless(), []string{c.said}) {
			t.Errorf("%s, of two: %+v (%v)", name, f, err)
		}
		whole := tensor(p{0x80, 4, '}'}.str("state_dict").op('}').str("w")).op('s')
		whole = tensor(append(whole, c.key...).op('}').str("m")).op('s', '.')
		f, err = parse(archive(t, whole, map[string][]byte{"k": floats(1, 2)}))
		if err != nil || len(f.Names()) != 1 || len(f.Outside())+len(f.Nameless()) != 1 {
			t.Errorf("%s, beside a state dict: %v, outside %.30q, without a name %q (%v)", name, f.Names(), f.Outside(), f.Nameless(), err)
		}
	}
}

// Tensors of other kinds than plain ones are listed, and have no values: each says what it is.
func TestTensorsWithoutValues(t *testing.T) {
	plain := func(b p, key string) p { return b.tensor("FloatStorage", key, 2, 0, []int64{2}, []int64{1}) }
	for want, other := range map[string]func(p) p{
		"a sparse tensor": func(b p) p { return plain(b.name("torch._utils", "_rebuild_sparse_tensor").op('('), "k").op('t', 'R') },
		"a nested tensor": func(b p) p { return plain(b.name("torch._utils", "_rebuild_nested_tensor").op('('), "k").op('t', 'R') },
		"a tensor without values (device meta)": func(b p) p {
			return b.name("torch._utils", "_rebuild_meta_tensor_no_storage").op('(').int(2).op('t', 'R')
		},
		"an object of torchao.dtypes.Affine": func(b p) p {
			return plain(b.name("torch._tensor", "_rebuild_from_type_v2").op('(').name("torch._utils", "_f").name("torchao.dtypes", "Affine").op('('), "k").op('t', 'N', 't', 'R')
		},
		"an object of bitsandbytes.Params4bit": func(b p) p {
			return plain(b.name("bitsandbytes", "Params4bit").op(')', 0x81, '}').str("data"), "k").op('s', 'b')
		},
		"an object of torch.int3": func(b p) p {
			return b.name("torch._utils", "_rebuild_tensor_v3").op('(').storage("FloatStorage", "k", 2).int(0).ints([]int64{2}).ints([]int64{1}).op(0x89, 'N').name("torch", "int3").op('t', 'R')
		},
		"an object of torch.QUInt4x2Storage": func(b p) p { return b.tensor("QUInt4x2Storage", "k", 2, 0, []int64{2}, []int64{1}) },
		"it has the mark \"npu_format\"":     func(b p) p { return marked(b, "npu_format", "K") },
		"it is quantised by torch.per_other": func(b p) p {
			return quantised(b, "QInt8Storage", "k", 2).name("torch", "per_other").op('G', 0, 0, 0, 0, 0, 0, 0, 0).int(0).op('t', 0x89, 'N', 't', 'R')
		},
	} {
		pickle := other(p{0x80, 4}.op('}').str("other")).op('s').str("w")
		pickle = plain(pickle, "z").op('s', '.')
		data := map[string][]byte{"k": floats(1, 2), "z": floats(3, 4)}
		if strings.Contains(want, "quantised by") {
			data["k"] = []byte{1, 2}
		}
		f, err := parse(archive(t, pickle, data))
		if err != nil {
			t.Errorf("%s: %v", want, err)
			continue
		}
		info, ok := f.Info("other")
		_, err = f.Float32s("other")
		if !ok || !strings.Contains(info.Unread, want) || !errors.Is(err, ErrUnread) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v", want, info, err)
		}
		if err := f.ReadBytes("other", 0, nil); !errors.Is(err, ErrUnread) {
			t.Errorf("%s: bytes: %v", want, err)
		}
		if got, err := f.Float32s("w"); err != nil || !slices.Equal(got, []float32{3, 4}) {
			t.Errorf("%s: the tensor beside it is %v (%v)", want, got, err)
		}
	}
}

// marked is a float32 tensor of two elements in storage k with a mark.
func marked(b p, mark, storage string) p {
	return b.name("torch._utils", "_rebuild_tensor_v2").op('(').storage("FloatStorage", strings.ToLower(storage), 2).int(0).ints([]int64{2}).ints([]int64{1}).
		op(0x89, 'N', '}').str(mark).op(0x88, 's', 't', 'R')
}

// quantised begins a quantised tensor of n codes, up to its quantizer.
func quantised(b p, class, key string, n int64) p {
	return b.name("torch._utils", "_rebuild_qtensor").op('(').storage(class, key, n).int(0).ints([]int64{n}).ints([]int64{1}).op('(')
}

// float pushes a float.
func (b p) float(v float64) p {
	return binary.BigEndian.AppendUint64(append(b, 'G'), math.Float64bits(v))
}

// torch.load gives -x for a view with the mark neg, and the conjugate for one with conj.
func TestMarks(t *testing.T) {
	for name, want := range map[string][]float32{
		"pt_negbit_zip.pt":  {0.83584654, -0.021417908, 0.83659023},
		"pt_negbit_leg.pth": {0.26011583, 0.32324195, 0.26297194},
	} {
		f, err := Open(filepath.Join("testdata/reports", name))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := f.Float32s("n"); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v (%v)", name, got, want, err)
		}
		_ = f.Close()
	}
	f, err := Open("testdata/reports/pt_conj_zip.pt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	raw := make([]byte, 8)
	if err := f.ReadBytes("c", 0, raw); err != nil || math.Float32frombits(binary.LittleEndian.Uint32(raw[4:])) != 0.9399 && raw[7]>>7 != 0 {
		t.Errorf("the imaginary part is %v (%v)", raw[4:], err)
	}

	// Every type of elements, each of 1 or 1+1i.
	for _, d := range dtypes {
		if d.storage == "" {
			continue
		}
		one := map[DType][]byte{
			"float64": {0, 0, 0, 0, 0, 0, 0xf0, 0x3f}, "float32": {0, 0, 0x80, 0x3f}, "float16": {0, 0x3c}, "bfloat16": {0x80, 0x3f},
			"int64": {1, 0, 0, 0, 0, 0, 0, 0}, "int32": {1, 0, 0, 0}, "int16": {1, 0}, "int8": {1}, "uint8": {1}, "bool": {1},
			"complex64": {0, 0, 0x80, 0x3f, 0, 0, 0x80, 0x3f}, "complex32": {0, 0x3c, 0, 0x3c},
			"complex128": {0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f}, "qint8": {1}, "quint8": {1}, "qint32": {1, 0, 0, 0},
		}[d.name]
		want := map[DType][]byte{
			"float64": {0, 0, 0, 0, 0, 0, 0xf0, 0xbf}, "float32": {0, 0, 0x80, 0xbf}, "float16": {0, 0xbc}, "bfloat16": {0x80, 0xbf},
			"int64": {255, 255, 255, 255, 255, 255, 255, 255}, "int32": {255, 255, 255, 255}, "int16": {255, 255}, "int8": {255}, "uint8": {255}, "bool": {1},
			"complex64": {0, 0, 0x80, 0xbf, 0, 0, 0x80, 0xbf}, "complex32": {0, 0xbc, 0, 0xbc},
			"complex128": {0, 0, 0, 0, 0, 0, 0xf0, 0xbf, 0, 0, 0, 0, 0, 0, 0xf0, 0xbf}, "qint8": {255}, "quint8": {255}, "qint32": {255, 255, 255, 255},
		}[d.name]
		pickle := p{0x80, 2}.name("torch._utils", "_rebuild_tensor_v2").op('(').storage(d.storage, "k", 1).int(0).ints(nil).ints(nil).
			op(0x89, 'N', '}').str("neg").op(0x88, 's').str("conj").op(0x89, 's', 't', 'R', '.')
		f, err := parse(archive(t, pickle, map[string][]byte{"k": one}))
		if err != nil {
			t.Errorf("%s: %v", d.name, err)
			continue
		}
		got := make([]byte, d.size)
		if err := f.ReadBytes("tensor", 0, got); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: -1 is %v, want %v (%v)", d.name, got, want, err)
		}
	}
}

// (code - zero point) scale, one of both for the tensor or for each row.
func TestQuantisedTensors(t *testing.T) {
	one := quantised(p{0x80, 2}, "QInt8Storage", "k", 3).name("torch", "per_tensor_affine").float(0.5).int(-2).op('t', 0x89, 'N', 't', 'R', '.')
	each := p{0x80, 2}.name("torch._utils", "_rebuild_qtensor").op('(').storage("QUInt8Storage", "k", 4).int(0).ints([]int64{2, 2}).ints([]int64{2, 1}).
		op('(').name("torch", "per_channel_affine").tensor("DoubleStorage", "s", 2, 0, []int64{2}, []int64{1}).
		tensor("LongStorage", "z", 2, 0, []int64{2}, []int64{1}).int(0).op('t', 0x89, 'N', 't', 'R', '.')
	le := binary.LittleEndian
	for _, c := range []struct {
		pickle p
		data   map[string][]byte
		want   []float32
	}{
		{one, map[string][]byte{"k": {0, 0xff, 2}}, []float32{1, 0.5, 2}},
		{each, map[string][]byte{
			"k": {10, 11, 200, 201}, "s": le.AppendUint64(le.AppendUint64(nil, math.Float64bits(0.5)), math.Float64bits(2)),
			"z": le.AppendUint64(le.AppendUint64(nil, 10), 200),
		}, []float32{0, 0.5, 0, 2}},
	} {
		f, err := parse(archive(t, c.pickle, c.data))
		if err != nil {
			t.Error(err)
			continue
		}
		got, err := f.Float32s("tensor")
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("got %v, want %v (%v)", got, c.want, err)
		}
		last := make([]float32, 1)
		if err := f.ReadFloat32s("tensor", len(c.want)-1, last); err != nil || last[0] != c.want[len(c.want)-1] {
			t.Errorf("the last is %v (%v)", last, err)
		}
	}
}

// A state dict may hold NumPy arrays in place of tensors, by rows or by columns, of either byte order, from any protocol.
func TestNumPyArrays(t *testing.T) {
	dtype := func(b p, code, order string) p {
		return b.name("numpy", "dtype").op('(').str(code).int(0).int(1).op('t', 'R').op('(').int(3).str(order).op('N', 'N', 'N').int(-1).int(-1).int(0).op('t', 'b')
	}
	raw := func(b p, data []byte) p { return append(append(b, 'B', byte(len(data)), 0, 0, 0), data...) }
	array := func(b p, module, code, order string, fortran byte, data []byte) p {
		b = b.name(module, "_reconstruct").op('(').name("numpy", "ndarray").ints([]int64{0}).op('C', 1, 'b', 't', 'R').op('(').int(1).ints([]int64{2, 2})
		return raw(dtype(b, code, order).op(fortran), data).op('t', 'b')
	}
	big := []byte{0x3f, 0x80, 0, 0, 0x40, 0, 0, 0, 0x40, 0x40, 0, 0, 0x40, 0x80, 0, 0}
	b := p{0x80, 3}.op('}').str("w").tensor("FloatStorage", "k", 2, 0, []int64{2}, []int64{1}).op('s')
	b = array(b.str("rows"), "numpy.core.multiarray", "f4", "<", 0x89, floats(1, 2, 3, 4)).op('s')
	b = array(b.str("columns"), "numpy._core.multiarray", "f4", "<", 0x88, floats(1, 2, 3, 4)).op('s')
	b = array(b.str("big"), "numpy.core.multiarray", "f4", ">", 0x89, big).op('s')
	b = array(b.str("texts"), "numpy.core.multiarray", "U1", "<", 0x89, make([]byte, 16)).op('s')
	b = dtype(raw(b.str("buffer").name("numpy.core.numeric", "_frombuffer").op('('), floats(1, 2, 3, 4)), "f4", "<").ints([]int64{4}).str("C").op('t', 'R', 's')
	f, err := parse(archive(t, b.op('.'), map[string][]byte{"k": floats(5, 6)}))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]float32{"w": {5, 6}, "rows": {1, 2, 3, 4}, "columns": {1, 3, 2, 4}, "big": {1, 2, 3, 4}, "buffer": {1, 2, 3, 4}} {
		if got, err := f.Float32s(name); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s is %v, want %v (%v)", name, got, want, err)
		}
	}
	if len(f.Names()) != 5 {
		t.Errorf("names are %v", f.Names())
	}
}

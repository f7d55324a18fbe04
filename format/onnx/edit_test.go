package onnx

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/ballast-ml/ballast/fault"
)

// odd is a message with things that this package does not know, in an order that exporters do not use, and with lengths and numbers that are
// written longer than they must be.
func odd() []byte {
	padded := func(num protowire.Number, b []byte) []byte { // a length of a byte more than it takes
		out := protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.BytesType), uint64(len(b)))
		out[len(out)-1] |= 0x80
		return append(append(out, 0), b...)
	}
	weight := slices.Concat(
		msg(99, "unknown", 8, "w", 9, "\x00\x00\x80\x3f\x00\x00\x00\x40", 1, 2, 12, "a doc string", 2, 1, 98, 7),
	)
	node := slices.Concat(msg(4, "Mul", 97, "?", 1, "x", 2, "h", 1, "w", 6, "says what it does", 3, "first"))
	graph := slices.Concat(
		msg(2, "odd", 5, weight), padded(1, node), msg(90, "?", 1, msg(1, "h", 2, "y", 4, "Relu"), 12, msg(1, "y"), 11, inX, 13, msg(1, "h")),
	)
	return slices.Concat(msg(14, msg(1, "author", 2, "me")), padded(7, graph), msg(95, 1, 8, msg(2, 13), 20, "training", 1, 8))
}

func floats(name string, values ...float32) *Tensor {
	t := &Tensor{Name: name, Type: Float, Dims: []int{len(values)}, Elements: len(values)}
	for _, v := range values {
		t.Raw = binary.LittleEndian.AppendUint32(t.Raw, math.Float32bits(v))
	}
	return t
}

// Without changes a file stays as it is, to the byte; a change alters what it names alone.
func TestEditKeepsTheRest(t *testing.T) {
	before := odd()
	same, err := Edit{}.Bytes(before)
	if err != nil || !bytes.Equal(same, before) {
		t.Fatalf("no change makes\n%q of\n%q (%v)", same, before, err)
	}
	for name, c := range map[string]struct {
		e        Edit
		old, new string // what changed, as bytes
	}{
		"weights": {Edit{Tensors: []*Tensor{floats("w", 3, 4)}}, "\x4a\x08\x00\x00\x80\x3f\x00\x00\x00\x40", "\x4a\x08\x00\x00\x40\x40\x00\x00\x80\x40"},
		"input":   {Edit{Nodes: map[int]NodeEdit{1: {Inputs: map[int]string{0: "x"}}}}, "\x0a\x01h\x12\x01y", "\x0a\x01x\x12\x01y"},
		"metadata": {
			Edit{Metadata: map[string]string{"author": "us"}}, "\x12\x02me", "\x12\x02us",
		},
	} {
		after, err := c.e.Bytes(before)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := bytes.Replace(before, []byte(c.old), []byte(c.new), 1)
		if flat(after) != flat(want) || bytes.Equal(after, before) {
			t.Errorf("%s:\n%q, want\n%q", name, after, want)
		}
	}
}

// flat is a message without the lengths of the messages around a change, which change with it.
func flat(b []byte) string {
	var out strings.Builder
	for at := 0; at < len(b); {
		num, typ, n := protowire.ConsumeTag(b[at:])
		if n < 0 {
			return out.String() + string(b[at:])
		}
		size := protowire.ConsumeFieldValue(num, typ, b[at+n:])
		if size < 0 {
			return out.String() + string(b[at:])
		}
		out.Write(b[at : at+n])
		value := b[at+n : at+n+size]
		if num == 7 || num == 5 || num == 1 || num == 14 {
			if inner, k := protowire.ConsumeBytes(value); typ == protowire.BytesType && k > 0 {
				out.WriteString("(" + flat(inner) + ")")
				at += n + size
				continue
			}
		}
		out.Write(value)
		at += n + size
	}
	return out.String()
}

// Every kind of change, read back.
func TestEdit(t *testing.T) {
	before := msg(1, 3, 7, msg(5, tensorOf("w", 1, 1, 2, 1, 9, "\x00\x00\x00\x00"), 5, tensorOf("gone", 1, 1, 2, 7, 7, []byte{1}), 11, inX, 11, msg(1, "w"), 11, msg(1, "gone"),
		1, relu, 1, msg(1, "gone", 2, "z", 4, "Shape"), 12, msg(1, "y")), 8, msg(2, 13))
	e := Edit{
		Nodes: map[int]NodeEdit{
			0: {Outputs: map[int]string{0: "raw"}, Behind: []*Node{{Name: "t", Op: "Div", Inputs: []string{"raw", "T"}, Outputs: []string{"y"}}}},
			1: {Remove: true},
		},
		Tensors:  []*Tensor{floats("w", 1, 2, 3), floats("T", 2)},
		Without:  []string{"gone"},
		Outputs:  []Value{{Name: "raw", Type: Float, Rank: 2, Dims: []Dim{{Size: -1, Name: "n"}, {Size: 3}}}},
		Metadata: map[string]string{"b": "2", "a": "1"},
		Opsets:   map[string]int64{"ai.onnx.ml": 3},
	}
	after, err := e.Bytes(before)
	if err != nil {
		t.Fatal(err)
	}
	m, err := Parse(after)
	if err != nil {
		t.Fatal(err)
	}
	g := m.Graph
	if len(g.Nodes) != 2 || g.Nodes[0].Outputs[0] != "raw" || g.Nodes[1].Op != "Div" || len(g.Initializers) != 2 || g.Initializers[0].Name != "w" ||
		g.Initializers[0].Elements != 3 || g.Initializers[1].Name != "T" || len(g.Outputs) != 2 || g.Outputs[1].Dims[1].Size != 3 ||
		m.Metadata["a"] != "1" || m.Metadata["b"] != "2" || m.Opsets["ai.onnx.ml"] != 3 {
		t.Errorf("%+v", m)
	}
	// The file is of a version in which initialisers are inputs too, which the reader leaves out.
	if n := bytes.Count(after, []byte("Z\x0f\x0a\x01T\x12")); n != 1 || bytes.Contains(after, []byte("gone")) {
		t.Errorf("%d inputs of the new initialiser in %q", n, after)
	}
	// Inputs that were left out are filled up.
	if after, err = (Edit{Nodes: map[int]NodeEdit{0: {Inputs: map[int]string{2: "w"}}}}).Bytes(before); err != nil {
		t.Fatal(err)
	}
	if m, err = Parse(after); err != nil || !slices.Equal(m.Graph.Nodes[0].Inputs, []string{"x", "", "w"}) {
		t.Errorf("%v %v", m.Graph.Nodes[0], err)
	}
}

func TestEditRefuses(t *testing.T) {
	before := odd()
	for name, c := range map[string]struct {
		e    Edit
		want error
	}{
		"no such tensor":  {Edit{Without: []string{"v"}}, ErrEdit},
		"both":            {Edit{Without: []string{"w"}, Tensors: []*Tensor{floats("w", 1, 2)}}, ErrEdit},
		"twice":           {Edit{Tensors: []*Tensor{floats("v", 1, 2), floats("v", 1, 2)}}, ErrEdit},
		"no name":         {Edit{Tensors: []*Tensor{floats("", 1, 2)}}, ErrEdit},
		"short":           {Edit{Tensors: []*Tensor{{Name: "v", Type: Float, Dims: []int{3}, Raw: make([]byte, 8)}}}, ErrEdit},
		"no such node":    {Edit{Nodes: map[int]NodeEdit{2: {Remove: true}}}, ErrEdit},
		"no such output":  {Edit{Nodes: map[int]NodeEdit{0: {Outputs: map[int]string{1: "q"}}}}, ErrEdit},
		"no such input":   {Edit{Nodes: map[int]NodeEdit{0: {Inputs: map[int]string{-1: "q"}}}}, ErrEdit},
		"opset":           {Edit{Opsets: map[string]int64{"": 14}}, ErrEdit},
		"nothing makes h": {Edit{Nodes: map[int]NodeEdit{0: {Remove: true}}}, ErrMissing},
		"value twice":     {Edit{Nodes: map[int]NodeEdit{0: {Outputs: map[int]string{0: "y"}}}}, ErrDuplicate},
		"weights gone":    {Edit{Without: []string{"w"}}, ErrMissing},
		"cycle":           {Edit{Nodes: map[int]NodeEdit{0: {Inputs: map[int]string{0: "y"}}}}, ErrOrder},
	} {
		path := filepath.Join(t.TempDir(), "m.onnx")
		if err := os.WriteFile(path, before, 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Rewrite(path+"2", c.e); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// withData is a model with one tensor beside it that stays and two that change, one of them short, and one within a subgraph.
func withData(t *testing.T, dir string) *Model {
	t.Helper()
	data := make([]byte, 8192)
	for i := range data {
		data[i] = byte(i)
	}
	outside := func(name string, n int, offset string, file string) []byte {
		return tensorOf(name, 1, n, 2, 2, 14, 1, 13, msg(1, "location", 2, file), 13, msg(1, "offset", 2, offset))
	}
	inner := msg(1, msg(2, "q", 4, "Constant", 5, msg(1, "value", 5, outside("", 3, "5", "sub/v.bin"), 20, 4)), 12, msg(1, "q"))
	file := graphOf(5, outside("keep", 100, "10", "w.bin"), 5, outside("large", 2000, "100", "w.bin"), 5, outside("small", 4, "0", "w.bin"),
		1, msg(1, "keep", 2, "y", 4, "If", 5, msg(1, "then_branch", 6, inner, 20, 5)))
	err := errors.Join(os.MkdirAll(filepath.Join(dir, "sub"), 0o755), os.WriteFile(filepath.Join(dir, "w.bin"), data, 0o600),
		os.WriteFile(filepath.Join(dir, "sub", "v.bin"), data, 0o600), os.WriteFile(filepath.Join(dir, "m.onnx"), file, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	m, err := Open(filepath.Join(dir, "m.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func bytesOf(name string, n int, v byte) *Tensor {
	return &Tensor{Name: name, Type: Uint8, Dims: []int{n}, Elements: n, Raw: bytes.Repeat([]byte{v}, n)}
}

// External data go with a copy: what stays is linked, what changes gets a file of its own, and all lie beside the copy under its name.
func TestRewriteExternal(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "new")
	m := withData(t, from)
	out := filepath.Join(to, "c.onnx")
	for round, large := range []byte{7, 7, 8} {
		e := Edit{Tensors: []*Tensor{bytesOf("large", 2000, large), bytesOf("small", 4, 9)}}
		c, err := m.Rewrite(out, e)
		if err != nil {
			t.Fatal(err)
		}
		check := func(m *Model, when string) {
			t.Helper()
			inner := m.Graph.Nodes[0].Attributes[0].Graph.Nodes[0].Attributes[0].Tensor
			for i, want := range []byte{10, large, 9, 5} {
				var got [1]byte
				list := append(slices.Clone(m.Graph.Initializers), inner)
				if err := list[i].ReadRaw(0, got[:]); err != nil || got[0] != want {
					t.Errorf("%s: tensor %d is %d (%v), want %d", when, i, got[0], err, want)
				}
			}
		}
		check(c.Model, "before it is written")
		if err := c.WriteFile(); err != nil {
			t.Fatal(err)
		}
		written, err := Open(out)
		if err != nil {
			t.Fatal(err)
		}
		check(written, "written")
		if s := written.Graph.Initializers[2]; s.External != nil {
			t.Error("four bytes went outside the file")
		}
		var names []string
		entries, err := os.ReadDir(to)
		for _, e := range entries {
			names = append(names, e.Name())
		}
		want := []string{"c.onnx", "c.onnx-2.data", "c.onnx-3.data", "c.onnx.data"}
		if round == 2 { // what changed got a new name, and the old one went with the old model
			want = []string{"c.onnx", "c.onnx-2.data", "c.onnx-4.data", "c.onnx.data"}
		}
		if err != nil || !slices.Equal(names, want) {
			t.Errorf("round %d: the folder holds %q (%v)", round, names, err)
		}
		a, err1 := os.Stat(filepath.Join(from, "w.bin"))
		b, err2 := os.Stat(filepath.Join(to, "c.onnx.data"))
		if err1 != nil || err2 != nil || !os.SameFile(a, b) {
			t.Error("the weights were copied, not linked")
		}
	}
	// Beside the original nothing of it is touched, and names that are taken are left alone.
	taken := filepath.Join(from, "b.onnx.data")
	if err := os.WriteFile(taken, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := m.Rewrite(filepath.Join(from, "b.onnx"), Edit{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.WriteFile(); err != nil {
		t.Fatal(err)
	}
	if mine, err := os.ReadFile(taken); err != nil || string(mine) != "mine" {
		t.Errorf("%q %v", mine, err)
	}
	if b, err := Open(filepath.Join(from, "b.onnx")); err != nil || b.Graph.Initializers[0].External.Location != "b.onnx-2.data" {
		t.Errorf("%v", err)
	}
}

// A copy is never written over what it is made of.
func TestRewriteRefusesItself(t *testing.T) {
	dir := t.TempDir()
	m := withData(t, dir)
	link := filepath.Join(dir, "link.onnx")
	if err := os.Symlink(filepath.Join(dir, "m.onnx"), link); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "m.onnx"):           "is the model that is read",
		filepath.Join(dir, "sub/..", "m.onnx"): "is the model that is read",
		link:                                   "is the model that is read",
		filepath.Join(dir, "w.bin"):            "holds weights of",
	} {
		var usage *fault.Usage
		if _, err := m.Rewrite(path, Edit{}); !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := os.Remove(filepath.Join(dir, "w.bin")); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Rewrite(filepath.Join(dir, "n.onnx"), Edit{}); !errors.Is(err, ErrExternal) {
		t.Errorf("data that went: %v", err)
	}
}

// FuzzEdit: of a file that is read, no change makes the same bytes; changes make a file that is read again with them, or an error.
func FuzzEdit(f *testing.F) {
	f.Add(odd(), "w", uint8(0))
	f.Add(graphOf(11, inX, 1, relu, 12, msg(1, "y")), "x", uint8(1))
	f.Add(graphOf(15, msg(1, tensorOf("w", 1, 1, 2, 2, 9, []byte{7}), 2, tensorOf("", 1, 1, 2, 7, 7, []byte{0}), 3, 3)), "w", uint8(0))
	f.Add(graphOf(1, msg(2, "y", 4, "If", 5, msg(1, "then_branch", 6, msg(1, msg(2, "q", 4, "Constant"))))), "n", uint8(0))
	f.Fuzz(func(t *testing.T, data []byte, name string, at uint8) {
		m, err := Parse(data)
		if err != nil {
			return
		}
		same, err := Edit{}.Bytes(data)
		if err != nil || !bytes.Equal(same, data) {
			t.Fatalf("%q became %q (%v)", data, same, err)
		}
		e := Edit{Metadata: map[string]string{"key": "value"}, Tensors: []*Tensor{floats("fresh value", 1)}}
		if i := int(at); i < len(m.Graph.Nodes) && len(m.Graph.Nodes[i].Outputs) > 0 && m.Graph.Nodes[i].Outputs[0] != "" {
			old := m.Graph.Nodes[i].Outputs[0]
			e.Nodes = map[int]NodeEdit{i: {Outputs: map[int]string{0: "raw value"}, Behind: []*Node{{Op: "Identity", Inputs: []string{"raw value"}, Outputs: []string{old}}}}}
		}
		after, err := e.Bytes(data)
		if err != nil {
			t.Fatal(err)
		}
		read, err := Parse(after)
		if err != nil || read.Metadata["key"] != "value" || len(read.Graph.Nodes) != len(m.Graph.Nodes)+len(e.Nodes) {
			t.Fatalf("%q became %q (%v)", data, after, err)
		}
		if after, err = (Edit{Without: []string{name}, Tensors: []*Tensor{floats("w", 1, 2)}}).Bytes(data); err == nil {
			_, _ = Parse(after) // it may lack a value now
		}
	})
}

// Weights beyond 2 GB beside a model are linked, and read where they are.
func TestRewriteLargeExternal(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	const size, offset = 3 << 30, 2600 << 20
	data := filepath.Join(from, "w.bin")
	file := graphOf(5, tensorOf("w", 1, size-offset, 2, 2, 14, 1, 13, msg(1, "location", 2, "w.bin"), 13, msg(1, "offset", 2, strconv.Itoa(offset))))
	if err := errors.Join(os.WriteFile(data, nil, 0o600), os.Truncate(data, size), os.WriteFile(filepath.Join(from, "m.onnx"), file, 0o600)); err != nil {
		t.Fatal(err)
	}
	if os.Link(data, filepath.Join(to, "probe")) != nil {
		t.Skip("this file system does not link, and three gigabytes are not copied here")
	}
	m, err := Open(filepath.Join(from, "m.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := m.Rewrite(filepath.Join(to, "c.onnx"), Edit{Metadata: map[string]string{"a": "b"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.WriteFile(); err != nil {
		t.Fatal(err)
	}
	written, err := Open(filepath.Join(to, "c.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	last := make([]byte, 1)
	w := written.Graph.Initializers[0]
	if err := w.ReadRaw(int64(w.Elements)-1, last); err != nil || w.Elements != size-offset || w.External.Location != "c.onnx.data" {
		t.Errorf("%+v %v", w, err)
	}
}

// BenchmarkEdit renames one node's output in a model of a hundred megabytes: the rest is copied once.
func BenchmarkEdit(b *testing.B) {
	weights := tensorOf("w", 1, 25_000_000, 2, 1, 9, make([]byte, 100_000_000))
	data := graphOf(5, weights, 11, inX, 1, relu, 12, msg(1, "y"))
	e := Edit{Nodes: map[int]NodeEdit{0: {Outputs: map[int]string{0: "raw"}, Behind: []*Node{{Op: "Identity", Inputs: []string{"raw"}, Outputs: []string{"y"}}}}}}
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := e.Bytes(data); err != nil {
			b.Fatal(err)
		}
	}
}

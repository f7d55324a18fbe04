package npy_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/npy"
)

// member is an array of two numbers.
func member(name string, a, b float32) npy.Member {
	return npy.Member{Name: name, DType: npy.Float32, Shape: []int{2}, Open: func() (io.Reader, error) {
		raw, err := binary.Append(nil, binary.LittleEndian, []float32{a, b})
		return bytes.NewReader(raw), err
	}}
}

// TestOpenOne: one array is found in either kind of file, by its name, alone, or as the preferred one, and what is not there is a mistake of
// the caller with the names that are.
func TestOpenOne(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(
		npy.WriteMemberFile(at("one.npy"), member("x", 1, 2)),
		npy.WriteArchiveFile(at("alone.npz"), []npy.Member{member("only", 3, 4)}, true),
		npy.WriteArchiveFile(at("two.npz"), []npy.Member{member("first", 5, 6), member("logits", 7, 8)}, false),
		npy.WriteArchiveFile(at("called.txt"), []npy.Member{member("first", 5, 6), member("second:x", 9, 10)}, false),
		npy.WriteArchiveFile(at("odd.npz:first"), []npy.Member{member("inner", 11, 12)}, false),
		npy.WriteArchiveFile(at("none.npz"), nil, false),
	); err != nil {
		t.Fatal(err)
	}

	for _, c := range []struct {
		path   string
		prefer []string
		name   string
		of     int
		first  float32
		wrong  string // what the error says
		input  bool   // the file is at fault
	}{
		{path: "one.npy", of: 1, first: 1},
		{path: "alone.npz", prefer: []string{"logits"}, name: "only", of: 1, first: 3},
		{path: "alone.npz:only", name: "only", of: 1, first: 3},
		{path: "two.npz", prefer: []string{"labels", "logits"}, name: "logits", of: 2, first: 7},
		{path: "two.npz:first", prefer: []string{"logits"}, name: "first", of: 2, first: 5},
		{path: "odd.npz:first", name: "inner", of: 1, first: 11},
		{path: "two.npz", wrong: "two.npz holds several arrays: first, logits; name one, such as"},
		{path: "two.npz:frist", wrong: "two.npz has no array frist; did you mean first?"},
		{path: "two.npz:q", wrong: "two.npz has no array q; there are first, logits"},
		{path: "called.txt", wrong: "holds several arrays: first, second:x"},
		{path: "none.npz", wrong: "it holds no array", input: true},
		{path: "nowhere.npz:a", wrong: "no such file", input: true},
	} {
		a, name, of, err := npy.OpenOne(at(c.path), c.prefer...)
		if c.wrong != "" {
			var usage *fault.Usage
			if err == nil || !strings.Contains(err.Error(), c.wrong) || errors.As(err, &usage) == c.input {
				t.Errorf("%s: %v, want %q", c.path, err, c.wrong)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.path, err)
			continue
		}
		values, err := a.Float32s()
		if err != nil || name != c.name || of != c.of || len(values) != 2 || values[0] != c.first {
			t.Errorf("%s: %v %q of %d (%v), want %v %q of %d", c.path, values, name, of, err, c.first, c.name, c.of)
		}
		if err := a.Close(); err != nil {
			t.Errorf("%s: %v", c.path, err)
		}
		if _, err := a.Float32s(); err == nil && c.of > 1 {
			t.Errorf("%s: it is read after it was closed", c.path)
		}
	}
}

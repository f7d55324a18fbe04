package untrusted_test

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("0123456789"), 0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink("file", link); err != nil {
		t.Skip("no links here:", err)
	}
	circle := filepath.Join(dir, "circle")
	if err := os.Symlink("circle", circle); err != nil {
		t.Fatal(err)
	}
	dangling := filepath.Join(dir, "dangling")
	if err := os.Symlink("none", dangling); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path string
		open func(string) (*os.File, error)
		want string
	}{
		{dir, untrusted.Open, "it is a folder"}, {circle, untrusted.Open, "in a circle"}, {dangling, untrusted.Open, "a link to nothing"},
		{os.DevNull, untrusted.Open, "it is a device"},
		{link, untrusted.OpenNoLink, "it is a link"},
		{file, untrusted.Open, ""}, {link, untrusted.Open, ""}, {file, untrusted.OpenNoLink, ""},
	} {
		f, err := c.open(c.path)
		if err == nil {
			f.Close()
		}
		var e *untrusted.Error
		if c.want == "" && err != nil || c.want != "" && (!errors.As(err, &e) || !e.BadInput() || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", c.path, err, c.want)
		}
	}
	if _, err := untrusted.Open(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if text, err := untrusted.ReadFile(file, 10); string(text) != "0123456789" || err != nil {
		t.Errorf("got %q, %v", text, err)
	}
	if _, err := untrusted.ReadFile(file, 9); err == nil || !strings.Contains(err.Error(), "larger than 9 bytes") {
		t.Errorf("got %v", err)
	}
}

func TestInside(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "model", "snapshots", "r1")
	for path, content := range map[string]string{"model/blobs/abc": "b", "model/snapshots/r1/a.json": "a", "secret": "s"} {
		path = filepath.Join(root, filepath.FromSlash(path))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"blob": "../../blobs/abc", "leak": "../../../secret", "own": "a.json", "up": "../../..", "circle": "circle"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Skip("no links here:", err)
		}
	}
	for name, ok := range map[string]bool{"a.json": true, "blob": true, "own": true, "missing": true, "leak": false, "../r1/a.json": false, "/etc/passwd": false, "up/secret": false, "circle": false} {
		if _, err := untrusted.Inside(dir, name); (err == nil) != ok {
			t.Errorf("%s: got %v", name, err)
		}
	}

	// A file in a folder of the snapshot is a link to the same blobs.
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "onnx"), 0o755), os.Symlink("../../../blobs/abc", filepath.Join(dir, "onnx", "blob"))); err != nil {
		t.Fatal(err)
	}
	if _, err := untrusted.Inside(filepath.Join(dir, "onnx"), "blob"); err != nil {
		t.Errorf("a folder of the snapshot: %v", err)
	}
}

func TestProduct(t *testing.T) {
	for _, c := range []struct {
		sizes []int
		want  int
		ok    bool
	}{
		{nil, 1, true}, {[]int{2, 3}, 6, true}, {[]int{math.MaxInt, math.MaxInt, 0}, 0, true}, {[]int{1 << 32, 1 << 32}, 0, false},
		{[]int{-1, 0}, 0, false}, {[]int{7}, 7, true}, {[]int{8}, 0, false},
	} {
		if got, ok := untrusted.Product(7, c.sizes...); got != c.want || ok != c.ok {
			t.Errorf("Product(7, %v) = %d, %v", c.sizes, got, ok)
		}
	}
}

func TestBytes(t *testing.T) {
	memory.SetLimit(1 << 20)
	defer memory.SetLimit(0)
	if n, err := untrusted.Bytes("x", 4, 2, 3); n != 24 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	var e *untrusted.Error
	if _, err := untrusted.Bytes("x", 4, 1<<40, 1<<40); !errors.As(err, &e) {
		t.Errorf("got %v", err)
	}
	var m *memory.Error
	if _, err := untrusted.Bytes("x", 4, 1<<20); !errors.As(err, &m) || m.Need != 4<<20 {
		t.Errorf("got %v", err)
	}
}

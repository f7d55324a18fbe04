package durable_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/ballast-ml/ballast/internal/durable"
)

func TestWriteFileKeepsTheOldOneWhenWritingFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "file")
	write := func(text string, fail error) error {
		return durable.WriteFile(path, func(w io.Writer) error {
			if _, err := io.WriteString(w, text); err != nil {
				return err
			}
			return fail
		})
	}
	if err := write("one", nil); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	if err := write("two", broken); !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	holds(t, path, "one")
	only(t, filepath.Dir(path), "file")
	if err := write("three", nil); err != nil {
		t.Fatal(err)
	}
	holds(t, path, "three")
}

func TestWriteDirReplacesWholeFolders(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "model")
	put := func(name, text string, fail error) error {
		return durable.WriteDir(path, func(tmp string) error {
			if err := os.WriteFile(filepath.Join(tmp, name), []byte(text), 0o644); err != nil {
				return err
			}
			return fail
		})
	}
	if err := put("a", "1", nil); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	if err := put("b", "2", broken); !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	holds(t, filepath.Join(path, "a"), "1")
	if err := put("b", "2", nil); err != nil {
		t.Fatal(err)
	}
	only(t, path, "b")
	only(t, root, "model")
}

func TestRecoverDirAfterACrashBetweenTheRenames(t *testing.T) {
	root := t.TempDir()
	path, aside := filepath.Join(root, "model"), filepath.Join(root, ".model.aside")
	for _, both := range []bool{false, true} {
		if err := os.MkdirAll(aside, 0o755); err != nil {
			t.Fatal(err)
		}
		if both {
			if err := os.MkdirAll(path, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := durable.RecoverDir(path); err != nil {
			t.Fatal(err)
		}
		only(t, root, "model")
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRemoveTemporaries(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{".x.tmp-1", "kept"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := durable.RemoveTemporaries(dir); err != nil {
		t.Fatal(err)
	}
	only(t, dir, "kept")
}

func holds(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("%s holds %q, %v; want %q", path, got, err, want)
	}
}

func only(t *testing.T, dir, want string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != want {
		t.Errorf("%s holds %v, %v; want only %s", dir, entries, err, want)
	}
}

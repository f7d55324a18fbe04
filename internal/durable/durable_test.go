package durable_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ballast-ml/ballast/fault"
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
		return durable.WriteDir(path, durable.Permit{Overwrite: true, Owns: durable.Only("a", "b")}, func(tmp string) error {
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

// A crash between the two renames of systems that cannot exchange folders leaves the old one aside: readers find it there, the next
// writer puts it back or removes it.
func TestAFolderThatSteppedAside(t *testing.T) {
	root := t.TempDir()
	path, old := filepath.Join(root, "model"), filepath.Join(root, ".model.ballast-old")
	for _, both := range []bool{false, true} {
		write(t, filepath.Join(old, "a"), "old")
		want := old
		if both {
			write(t, filepath.Join(path, "a"), "new")
			want = path
		}
		if got := durable.Current(path); got != want {
			t.Errorf("Current is %s, want %s", got, want)
		}
		claim, err := durable.ClaimDir(path, durable.Permit{Overwrite: true, Owns: durable.Only("a")})
		if err != nil {
			t.Fatal(err)
		}
		if err := claim.Release(); err != nil {
			t.Fatal(err)
		}
		only(t, root, "model")
		holds(t, filepath.Join(path, "a"), map[bool]string{false: "old", true: "new"}[both])
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWithoutExchange(t *testing.T) {
	durable.WithoutExchange(t)
	TestWriteDirReplacesWholeFolders(t)
}

// What Ballast did not make, it does not delete.
func TestPermit(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "thesis", "chapter1.txt"), "important")
	write(t, filepath.Join(root, "mixed", "model"), "m")
	write(t, filepath.Join(root, "mixed", "notes.txt"), "important")
	write(t, filepath.Join(root, "ours", "model"), "m")
	write(t, filepath.Join(root, "ours", "sub", "config"), "c")
	write(t, filepath.Join(root, "file"), "important")
	if err := os.Mkdir(filepath.Join(root, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"link": "thesis", "dangling": "nowhere", "filelink": "file"} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Skip("no links here:", err)
		}
	}
	owns := durable.Only("model", "sub/config")
	for _, c := range []struct {
		name    string
		allowed durable.Permit
		want    string
	}{
		{"new", durable.Permit{}, ""},
		{"empty", durable.Permit{}, ""},
		{"thesis", durable.Permit{}, "is there already and holds chapter1.txt"},
		{"thesis", durable.Permit{Overwrite: true}, "holds chapter1.txt"},
		{"thesis", durable.Permit{Overwrite: true, Owns: owns}, "it holds chapter1.txt"},
		{"mixed", durable.Permit{Overwrite: true, Owns: owns}, "it holds notes.txt"},
		{"ours", durable.Permit{Owns: owns}, "replace it with --overwrite"},
		{"ours", durable.Permit{Overwrite: true, Owns: owns}, ""},
		{"file", durable.Permit{Overwrite: true, Owns: owns}, "is a file, and the output is a folder"},
		{"link", durable.Permit{Overwrite: true, Owns: owns}, "is a link"},
		{"dangling", durable.Permit{Overwrite: true, Owns: owns}, "is a link"},
	} {
		path := filepath.Join(root, c.name)
		err := durable.WriteDir(path, c.allowed, func(tmp string) error { return os.WriteFile(filepath.Join(tmp, "model"), nil, 0o644) })
		refused(t, c.name, err, c.want)
		claim, err := durable.ClaimDir(path, c.allowed)
		if c.want != "" {
			refused(t, c.name, err, c.want)
		}
		if err := claim.Release(); err != nil {
			t.Error(err)
		}
	}
	for _, c := range []struct {
		name      string
		overwrite bool
		want      string
	}{
		{"file", false, "replace it with --overwrite"}, {"file", true, ""}, {"new.npz", false, ""},
		{"filelink", true, "is a link to file"}, {"dangling", true, "is a link to nowhere"}, {"thesis", true, "is a folder"},
	} {
		path := filepath.Join(root, c.name)
		claim, _, err := durable.ClaimFile(path, durable.Permit{Overwrite: c.overwrite})
		refused(t, c.name, err, c.want)
		if err := claim.Release(); err != nil {
			t.Error(err)
		}
		if c.overwrite && c.want != "" {
			refused(t, c.name, durable.WriteFile(path, func(io.Writer) error { return nil }), c.want)
		}
	}
	holds(t, filepath.Join(root, "thesis", "chapter1.txt"), "important")
	holds(t, filepath.Join(root, "mixed", "notes.txt"), "important")
	holds(t, filepath.Join(root, "file"), "important")
}

func refused(t *testing.T, name string, err error, want string) {
	t.Helper()
	var usage *fault.Usage
	if want == "" && err != nil || want != "" && (!errors.As(err, &usage) || !strings.Contains(err.Error(), want)) {
		t.Errorf("%s: got %v, want %q", name, err, want)
	}
}

// One writer an output: a second claim says whose it is, a single write waits.
func TestClaims(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "deep", "out")
	claim, err := durable.ClaimDir(path, durable.Permit{})
	if err != nil {
		t.Fatal(err)
	}
	var busy *durable.Busy
	if _, err := durable.ClaimDir(filepath.Join(root, "deep", "..", "deep", "out"), durable.Permit{}); !errors.As(err, &busy) || busy.Process != os.Getpid() {
		t.Errorf("a second claim: %v", err)
	}
	if err := claim.Release(); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(root); err != nil || len(entries) != 0 {
		t.Errorf("a claim without a write left %v, %v", entries, err)
	}

	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			err := durable.WriteDir(path, durable.Permit{Overwrite: true, Owns: durable.Only("a")}, func(tmp string) error {
				return durable.WriteFile(filepath.Join(tmp, "a"), func(w io.Writer) error { _, err := io.WriteString(w, "whole"); return err })
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	holds(t, filepath.Join(path, "a"), "whole")
	only(t, filepath.Dir(path), "out")
}

// A lock file that Ballast did not write is not taken for one.
func TestForeignLockFile(t *testing.T) {
	root := t.TempDir()
	lock := filepath.Join(root, ".out.ballast-lock")
	write(t, lock, "my notes")
	err := durable.WriteFile(filepath.Join(root, "out"), func(io.Writer) error { return nil })
	refused(t, "lock", err, "is not a lock that Ballast wrote")
	holds(t, lock, "my notes")
}

// A folder of a long work is entered again by its own verb alone, and begun anew only if nothing else lies in it.
func TestClaimWork(t *testing.T) {
	root := t.TempDir()
	w := durable.Work{Verb: "train", Known: func(dir string) bool { _, err := os.Stat(filepath.Join(dir, "meta.json")); return err == nil },
		Owns: durable.Only(durable.MarkFile, "meta.json", "steps/step-*/state")}
	write(t, filepath.Join(root, "thesis", "model", "model.go"), "package model")
	write(t, filepath.Join(root, "older", "meta.json"), "{}")
	write(t, filepath.Join(root, "foreign", durable.MarkFile), "{}")
	enter := func(name string, w durable.Work, want string) {
		t.Helper()
		c, err := durable.ClaimWork(filepath.Join(root, name), w)
		refused(t, name, err, want)
		if err := c.Release(); err != nil {
			t.Error(err)
		}
	}
	enter("thesis", w, "it holds model")
	enter("foreign", w, "it holds "+durable.MarkFile)
	write(t, filepath.Join(root, "cut", "."+durable.MarkFile+".ballast-tmp"), "{")
	enter("cut", w, "")
	only(t, filepath.Join(root, "cut"), durable.MarkFile)
	enter("older", w, "")
	write(t, filepath.Join(root, "early", "norm=batch", "checkpoints", "lock"), "123\n") // killed before it began
	write(t, filepath.Join(root, "early", "norm=batch", "run.lock"), "")
	write(t, filepath.Join(root, "early", "."+durable.MarkFile+".ballast-tmp"), "{")
	enter("early", w, "")
	write(t, filepath.Join(root, "secret", "run.lock"), "combination 12-4-7")
	enter("secret", w, "it holds run.lock")
	write(t, filepath.Join(root, "empty", "notes"), "")
	enter("empty", w, "it holds notes")
	enter("new", w, "")
	enter("new", w, "")
	other := w
	other.Verb = "compare"
	enter("new", other, "is a folder of ballast train")

	again := w
	again.Overwrite = true
	write(t, filepath.Join(root, "new", "steps", "step-1", "state"), "s")
	write(t, filepath.Join(root, "new", "notes.txt"), "important")
	enter("new", w, "")
	enter("new", again, "it holds notes.txt")
	holds(t, filepath.Join(root, "new", "steps", "step-1", "state"), "s")
	if err := os.Remove(filepath.Join(root, "new", "notes.txt")); err != nil {
		t.Fatal(err)
	}
	enter("new", again, "")
	only(t, filepath.Join(root, "new"), durable.MarkFile)
	holds(t, filepath.Join(root, "thesis", "model", "model.go"), "package model")
}

func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{".x.ballast-tmp", ".x.ballast-lock", ".y.ballast-tmp/big", ".z.ballast-old", "z", ".w.ballast-old", "kept", ".x.tmp-1", ".ballast-tmp"} {
		write(t, filepath.Join(dir, name), "")
	}
	claim, _, err := durable.ClaimFile(filepath.Join(dir, "used"), durable.Permit{})
	if err != nil {
		t.Fatal(err)
	}
	defer claim.Release() //nolint:errcheck // the test is over
	write(t, filepath.Join(dir, ".used.ballast-tmp"), "")
	var names []string
	found, err := durable.Leftovers(dir)
	for _, l := range found {
		names = append(names, filepath.Base(l.Path))
	}
	if want := ".x.ballast-lock .x.ballast-tmp .y.ballast-tmp .z.ballast-old"; err != nil || strings.Join(names, " ") != want {
		t.Errorf("found %v, %v; want %s", names, err, want)
	}
	if _, err := durable.RemoveLeftovers(dir); err != nil {
		t.Fatal(err)
	}
	if again, err := durable.Leftovers(dir); err != nil || len(again) != 0 {
		t.Errorf("left %v, %v", again, err)
	}
	for _, name := range []string{"z", ".w.ballast-old", "kept", ".x.tmp-1", ".ballast-tmp", ".used.ballast-tmp"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			t.Errorf("%s is gone: %v", name, err)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
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

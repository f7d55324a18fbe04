package runlock_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/ballast-ml/ballast/internal/runlock"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

func TestTake(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	l, err := runlock.Take(path)
	if err != nil {
		t.Fatal(err)
	}
	var busy *runlock.Busy
	if _, err := runlock.Take(path); !errors.As(err, &busy) || busy.Owner != os.Getpid() {
		t.Errorf("a second one got %v", err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	if l, err = runlock.Take(path); err != nil {
		t.Fatalf("released, and %v", err)
	}
	// What others wrote into the file is not believed.
	if err := os.WriteFile(path, []byte("\x1b]0;title\a"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := runlock.Take(path); !errors.As(err, &busy) || busy.Who() != "another process" {
		t.Errorf("got %v", err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
}

func TestTakeFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	victim, path := filepath.Join(dir, "victim"), filepath.Join(dir, "lock")
	if err := os.WriteFile(victim, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("victim", path); err != nil {
		t.Skip("no links here:", err)
	}
	var e *untrusted.Error
	if _, err := runlock.Take(path); !errors.As(err, &e) {
		t.Errorf("got %v", err)
	}
	if text, err := os.ReadFile(victim); string(text) != "precious" || err != nil {
		t.Errorf("the target holds %q, %v", text, err)
	}
}

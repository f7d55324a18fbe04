package untrusted_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/internal/untrusted"
)

func TestWritingFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"link": "victim", "dangling": "nothing", "device": os.DevNull, "folder": "."} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Skip("no links here:", err)
		}
	}
	var e *untrusted.Error
	for _, name := range []string{"link", "dangling", "device", "folder"} {
		path := filepath.Join(dir, name)
		for what, open := range map[string]func(string) (*os.File, error){"create": untrusted.CreateNoLink, "append": untrusted.AppendNoLink} {
			if f, err := open(path); !errors.As(err, &e) || !strings.Contains(err.Error(), path+": it is a link") {
				t.Errorf("%s %s: got %v, %v", what, name, f, err)
			}
		}
		if err := untrusted.FolderNoLink(path); !errors.As(err, &e) || !strings.Contains(err.Error(), "it is a link") {
			t.Errorf("folder %s: got %v", name, err)
		}
	}
	if text, err := os.ReadFile(victim); string(text) != "precious" || err != nil {
		t.Errorf("the target holds %q, %v", text, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "nothing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a link to nothing was followed: %v", err)
	}
	if _, err := untrusted.CreateNoLink(dir); !errors.As(err, &e) {
		t.Errorf("a folder: %v", err)
	}
}

func TestWriting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write := func(open func(string) (*os.File, error), text string) {
		t.Helper()
		f, err := open(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(text); errors.Join(err, f.Close()) != nil {
			t.Fatal(err)
		}
	}
	write(untrusted.AppendNoLink, "one")
	write(untrusted.AppendNoLink, "two")
	if text, err := os.ReadFile(path); string(text) != "onetwo" || err != nil {
		t.Errorf("appended: %q, %v", text, err)
	}
	write(untrusted.CreateNoLink, "3")
	if text, err := os.ReadFile(path); string(text) != "3" || err != nil {
		t.Errorf("created anew: %q, %v", text, err)
	}
	folder := filepath.Join(filepath.Dir(path), "folder")
	if err := errors.Join(untrusted.FolderNoLink(folder), untrusted.FolderNoLink(folder)); err != nil {
		t.Error(err)
	}
}

package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/lock"
)

// TestClean has leftovers of every kind, files that only look like them, and processes that are writing.
func TestClean(t *testing.T) {
	dir := t.TempDir()
	old := time.Now().Add(-2 * time.Hour)
	gone := []string{
		"home/engine/.wheel.tmp-1", "home/engine/cuda13/.wheel.tmp-2", "home/engine/programs/.tmp-3", "home/models/digit-nets/.package.tmp-4", "home/data/mnist/.x.ballast-tmp",
		"runs/r/model/.model.safetensors.ballast-tmp", "runs/r/.m.ballast-tmp/weights", "runs/.old.tmp-5", ".soup.ballast-tmp/model.safetensors", ".out.gguf.ballast-lock",
	}
	kept := []string{
		"runs/r/model.tmp-1", "runs/r/.notes", "runs/r/.x.tmp-abc", "runs/r/.tmp", "runs/.young.tmp-6", "home/engine/programs/.tmp-7", "deep/.x.ballast-tmp", "home/mine/.x.tmp-8",
		"home/data/fashion-mnist/.package.tmp-9", "runs/busy/.x.ballast-tmp", "runs/busy/in/.x.ballast-tmp", ".ballast-tmp", "runs/r/ballast-tmp",
	}
	for _, name := range append(gone, kept...) {
		path := filepath.Join(dir, name)
		content := []byte("left")
		if strings.HasSuffix(name, "-lock") {
			content = nil
		}
		if err := put(path, content); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(name, "young") && !strings.HasSuffix(name, "tmp-7") {
			if err := os.Chtimes(path, old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	outside := t.TempDir()
	if err := errors.Join(put(filepath.Join(outside, ".x.ballast-tmp"), nil), os.Symlink(outside, filepath.Join(dir, "runs", "link"))); err != nil {
		t.Skip("no links here:", err)
	}
	getting, err := lock.Take(t.Context(), filepath.Join(dir, "home", "locks", "get-fashion-mnist.lock"), nil)
	if err != nil {
		t.Fatal(err)
	}
	writing, err := durable.Lock(filepath.Join(dir, "runs", "busy"), durable.Permit{})
	if err != nil {
		t.Fatal(err)
	}
	kept = append(kept, "runs/.busy.ballast-lock")

	clean := func(args ...string) (c cleaned) {
		t.Helper()
		r := runHostileWith(t, dir, "go", 20*time.Second, homeHere, append([]string{"clean", "--json", "-q"}, args...)...)
		if err := json.Unmarshal([]byte(r.text), &c); r.code != 0 || err != nil {
			t.Fatalf("exit code %d, %v\n%s", r.code, err, r.text)
		}
		return c
	}
	names := func(c cleaned, want func(i int) bool) (names []string) {
		for i, l := range c.Found {
			if want(i) {
				names = append(names, l.Path)
			}
		}
		return names
	}
	there := func() (paths []string) {
		t.Helper()
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			paths = append(paths, path)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return paths
	}
	before := there()
	dry := clean("--dry-run")
	if after := there(); !slices.Equal(before, after) {
		t.Errorf("a dry run changed\n%q\nto\n%q", before, after)
	}
	if n := len(names(dry, func(i int) bool { return !dry.Found[i].Kept })); n != len(gone) || !dry.DryRun || dry.Bytes < int64(4*(len(gone)-1)) {
		t.Errorf("%d of %d would be removed, %d bytes: %+v", n, len(gone), dry.Bytes, dry.Found)
	}

	done := clean()
	if n := len(names(done, func(i int) bool { return done.Found[i].Removed })); n != len(gone) {
		t.Errorf("%d of %d were removed: %+v", n, len(gone), done.Found)
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
	if _, err := os.Lstat(filepath.Join(outside, ".x.ballast-tmp")); err != nil {
		t.Error("a link was followed")
	}
	if busy := names(done, func(i int) bool { return done.Found[i].Kept && strings.Contains(done.Found[i].Why, "process") }); len(busy) < 2 {
		t.Errorf("only %q are said to be in use", busy)
	}

	if err := errors.Join(getting.Release(), writing.Release()); err != nil {
		t.Fatal(err)
	}
	clean()
	for _, name := range []string{"home/data/fashion-mnist/.package.tmp-9", "runs/busy/.x.ballast-tmp", "runs/busy/in/.x.ballast-tmp"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s is still there after its writer ended", name)
		}
	}
	if r := clean("deep"); !slices.Equal(names(r, func(i int) bool { return r.Found[i].Removed }), []string{"deep/.x.ballast-tmp"}) {
		t.Errorf("%+v", r.Found)
	}
	for folder, code := range map[string]int{"none": exitBadInput, "runs/r/.notes": exitUsage} {
		if r := runHostileWith(t, dir, "go", 20*time.Second, homeHere, "clean", folder); r.code != code {
			t.Errorf("%q: exit code %d\n%s", folder, r.code, r.text)
		}
	}
}

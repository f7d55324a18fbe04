package leftover_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/internal/leftover"
)

func TestNames(t *testing.T) {
	for name, want := range map[string]bool{
		".model.safetensors.tmp-123": true, ".package.tmp-1": true, ".tmp-42": true, ".a.tmp-b.tmp-9": true,
		".model.ballast-tmp": true, ".model.ballast-lock": true, ".ballast-tmp": false, ".model.ballast-old": false, ".model.ballast-work": false,
		"model.tmp-1": false, ".model.tmp-": false, ".model.tmp-x": false, ".tmp-1x": false, ".model.tmp": false, "x.tmp-1": false, ".config": false, ".": false,
	} {
		if leftover.Is(name) != want {
			t.Errorf("%s: got %v", name, !want)
		}
	}
}

func TestRemove(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"a/.x.tmp-1": "12345", "a/kept": "1", ".y.tmp-2/inner/file": "123", ".y.tmp-2/inner/.z.tmp-3": "1", "a/.z.tmp-x": "1",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, ".x.tmp-1"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	_ = os.Symlink(outside, filepath.Join(dir, "link")) // systems without links have less to test
	_ = os.Symlink(outside, filepath.Join(dir, ".l.tmp-5"))
	found, err := leftover.Find(dir)
	if err != nil || len(found) != 2 || found[0].Bytes != 4 || found[1].Bytes != 5 {
		t.Errorf("got %v, %v", found, err)
	}
	if err := leftover.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if left, err := leftover.Find(dir); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
	for _, name := range []string{filepath.Join(dir, "a", "kept"), filepath.Join(dir, "a", ".z.tmp-x"), filepath.Join(outside, ".x.tmp-1")} {
		if _, err := os.Lstat(name); err != nil {
			t.Error(err)
		}
	}
	if found, err := leftover.Find(filepath.Join(dir, "none")); err != nil || len(found) > 0 {
		t.Errorf("%v, %v", found, err)
	}
	if got := leftover.Size(dir); got != 2 || strings.Contains(dir, "tmp-x") {
		t.Errorf("%d bytes", got)
	}
}

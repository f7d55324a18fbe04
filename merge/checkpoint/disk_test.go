//go:build linux

package checkpoint_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ballast-ml/ballast/merge/checkpoint"
)

// TestDiskFull merges 1.4 MB into a file system in which 700 kB are free, makes room, and goes on.
func TestDiskFull(t *testing.T) {
	dir, small := t.TempDir(), t.TempDir()
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=3m"); err != nil {
		t.Skipf("no small file system can be mounted here (%v); run as root", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(small, 0); err != nil {
			t.Error(err)
		}
	})
	l := llama{layers: 4, hidden: 128, inner: 192, vocabulary: 800, dtype: tiny.dtype, shard: 400_000}
	three(t, dir, l)
	recipe := recipes(dir)["ties"]
	mustRun(t, recipe, checkpoint.Options{Out: filepath.Join(dir, "whole"), ShardSize: 500_000})
	ballast := filepath.Join(small, "ballast")
	put(t, small, "ballast", strings.Repeat("x", 2_400_000))
	o := checkpoint.Options{Out: filepath.Join(small, "out"), ShardSize: 500_000, SyncBytes: 50_000}
	_, err := run(t, recipe, o)
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the error is %v, want no space left", err)
	}
	for _, want := range []string{"bytes more are needed in " + small, "make room and run the same merge again, it resumes after"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v\nwant %s", err, want)
		}
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	result := mustRun(t, recipe, o)
	if result.Resumed == 0 {
		t.Error("nothing of the first run was kept")
	}
	if diff := cmp.Diff(contents(t, filepath.Join(dir, "whole")), contents(t, o.Out)); diff != "" {
		t.Error("the resumed merge differs from that with room")
	}
}

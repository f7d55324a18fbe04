//go:build linux

package train_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/ballast-ml/ballast/train"
)

// TestDiskFullDuringCheckpoint trains into a file system of 300 KB: some checkpoints fit, one does not.
func TestDiskFullDuringCheckpoint(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=300k"); err != nil {
		t.Skipf("no small file system can be mounted here (%v); run as root", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	e := goEngine(t)
	r := small(60)
	r.Checkpoint.EverySteps, r.Checkpoint.KeepLast = 5, 100
	_, err := train.Run(t.Context(), r, train.Options{Engine: e, Dir: dir})
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("error is %v; want ENOSPC", err)
	}
	wantError(t, err, filepath.Join(dir, "checkpoints", "step-"))
	wantError(t, err, "free some space and resume (the checkpoint ")
	whole := latest(t, dir)
	if whole == 0 || whole%5 != 0 {
		t.Fatalf("the newest checkpoint is of step %d", whole)
	}
	entries, err := os.ReadDir(filepath.Join(dir, "checkpoints"))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries[:len(entries)-4] { // somebody frees space
		if entry.IsDir() {
			if err := os.RemoveAll(filepath.Join(dir, "checkpoints", entry.Name())); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.Checkpoint.KeepLast = 1
	var remarks []string
	result := run(t, r, train.Options{Engine: e, Dir: dir, Resume: true, Remark: func(s string) { remarks = append(remarks, s) }})
	if result.From != whole || len(remarks) != 0 {
		t.Errorf("went on from step %d with remarks %q; want %d and none", result.From, remarks, whole)
	}
}

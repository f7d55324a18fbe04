// Package durable writes files and folders whole or not at all: a crash at any moment leaves the old one or the new one.
package durable

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// WriteFile writes a file through a temporary one in the same folder: fsync, rename, fsync of the folder. When write or
// the disk fails, the temporary file is removed and an existing file stays as it was.
func WriteFile(path string, write func(w io.Writer) error) (err error) {
	dir, base := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("durable: %w", err)
	}
	f, err := os.CreateTemp(dir, "."+base+".tmp-*")
	if err != nil {
		return fmt.Errorf("durable: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreMissing(os.Remove(f.Name())))
		}
	}()
	if err := fill(f, write); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("durable: %w", err)
	}
	return SyncDir(dir)
}

// fill writes, syncs and closes a temporary file.
func fill(f *os.File, write func(w io.Writer) error) error {
	buffered := bufio.NewWriterSize(f, 1<<20)
	err := write(buffered)
	if err == nil {
		err = buffered.Flush()
	}
	if err == nil {
		err = f.Chmod(0o644) // CreateTemp makes files that only their owner can read
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// WriteDir writes a folder through a temporary one beside it, which fill fills. The files in it are synced, then it is
// renamed into place. A folder that is already there steps aside first; if a crash comes between the two renames, the next
// RecoverDir (or WriteDir) puts it back.
func WriteDir(path string, fill func(tmp string) error) (err error) {
	path = filepath.Clean(path)
	parent, base := filepath.Dir(path), filepath.Base(path)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return fmt.Errorf("durable: %w", err)
	}
	if err := RecoverDir(path); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(parent, "."+base+".tmp-*")
	if err != nil {
		return fmt.Errorf("durable: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp))
		}
	}()
	if err := os.Chmod(tmp, 0o755); err != nil {
		return fmt.Errorf("durable: %w", err)
	}
	if err := fill(tmp); err != nil {
		return err
	}
	return ReplaceDir(path, tmp)
}

// ReplaceDir syncs the files of a folder and renames it to path, beside which it must lie. A folder that is already there steps aside first;
// see WriteDir.
func ReplaceDir(path, tmp string) error {
	path = filepath.Clean(path)
	parent := filepath.Dir(path)
	if err := syncTree(tmp); err != nil {
		return err
	}
	if err := RecoverDir(path); err != nil {
		return err
	}
	aside := asideOf(path)
	if err := ignoreMissing(os.Rename(path, aside)); err != nil {
		return fmt.Errorf("durable: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return errors.Join(fmt.Errorf("durable: %w", err), ignoreMissing(os.Rename(aside, path)))
	}
	if err := SyncDir(parent); err != nil {
		return err
	}
	if err := os.RemoveAll(aside); err != nil {
		return fmt.Errorf("durable: %w", err)
	}
	return nil
}

// RecoverDir mends what a crash inside WriteDir left: a folder that had stepped aside comes back if its successor never
// arrived, and goes if it did. Readers of such a folder call it first.
func RecoverDir(path string) error {
	path = filepath.Clean(path)
	aside := asideOf(path)
	if _, err := os.Lstat(aside); err != nil {
		return ignoreMissing(err)
	}
	if _, err := os.Lstat(path); err == nil {
		return os.RemoveAll(aside)
	}
	return os.Rename(aside, path)
}

// RemoveTemporaries removes what writers that were killed left in a folder. Call it only while no writer runs there.
func RemoveTemporaries(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ignoreMissing(err)
	}
	var errs []error
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") && strings.Contains(e.Name(), ".tmp-") {
			errs = append(errs, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}

// SyncDir makes renames in a folder survive a power cut. Windows has no such call and needs none.
func SyncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("durable: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

func syncTree(root string) error {
	return filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			return SyncDir(path)
		}
		if !e.Type().IsRegular() {
			return nil
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return fmt.Errorf("durable: %w", err)
		}
		return errors.Join(f.Sync(), f.Close())
	})
}

func asideOf(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".aside")
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

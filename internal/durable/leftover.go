package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Leftover is what a killed writer left beside an output.
type Leftover struct {
	Path  string `json:"path"`
	Bytes int64  `json:"bytes"`
	Why   string `json:"why"`
}

// Leftovers lists what killed writers left in a folder, folders in it not counted: temporary files and folders, and locks, of
// outputs that no process is writing. Links are never followed.
func Leftovers(dir string) ([]Leftover, error) { return leftovers(dir, false) }

// RemoveLeftovers removes what Leftovers lists, and returns it.
func RemoveLeftovers(dir string) ([]Leftover, error) { return leftovers(dir, true) }

// RemoveTemporaries is RemoveLeftovers for those who show nothing.
func RemoveTemporaries(dir string) error {
	_, err := RemoveLeftovers(dir)
	return err
}

func leftovers(dir string, remove bool) (found []Leftover, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, ignoreMissing(err)
	}
	var errs []error
	for _, e := range entries {
		output, suffix, ok := outputOf(e.Name())
		if !ok || suffix == lockSuffix && e.IsDir() {
			continue
		}
		path := filepath.Join(dir, e.Name())
		lockPath := filepath.Join(dir, "."+output+lockSuffix)
		if err := inUse(lockPath); err != nil {
			continue
		}
		l := Leftover{Path: path, Bytes: treeSize(path), Why: "written by a process that was killed"}
		switch suffix {
		case oldSuffix:
			if _, err := os.Lstat(filepath.Join(dir, output)); err != nil {
				continue // its successor never arrived: it is the output
			}
			l.Why = "replaced by a newer output"
		case WorkSuffix, JournalSuffix, StageSuffix:
			l.Why = "work that was cut short; the same command resumes it"
		case lockSuffix:
			l.Why = "the lock of a process that was killed"
		}
		if remove {
			if err := os.RemoveAll(path); err != nil {
				errs = append(errs, fmt.Errorf("durable: %w", err))
				continue
			}
		}
		found = append(found, l)
	}
	return found, errors.Join(errs...)
}

// outputOf is the output that a name stands beside.
func outputOf(name string) (output, suffix string, ok bool) {
	for _, suffix := range []string{lockSuffix, temporarySuffix, oldSuffix, WorkSuffix, JournalSuffix, StageSuffix} {
		if output, ok := strings.CutSuffix(name, suffix); ok && len(output) > 1 && output[0] == '.' {
			return output[1:], suffix, true
		}
	}
	return "", "", false
}

// inUse returns an error if another process holds the lock, or this one has claimed its output.
func inUse(lockPath string) error {
	output, _, _ := outputOf(filepath.Base(lockPath))
	real, err := canonical(filepath.Join(filepath.Dir(lockPath), output))
	if err != nil {
		return err
	}
	claims.Lock()
	mine := claims.of[real] != nil
	claims.Unlock()
	if mine {
		return &Busy{output, os.Getpid()}
	}
	if _, err := os.Lstat(lockPath); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	lock, err := takeLock(output, lockPath, 0)
	if err != nil {
		return err
	}
	return lock.Unlock()
}

// treeSize is the bytes of the files of a tree; what cannot be read counts nothing.
func treeSize(root string) (bytes int64) {
	_ = filepath.WalkDir(root, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // a size to show, no more
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			bytes += info.Size()
		}
		return nil
	})
	return bytes
}

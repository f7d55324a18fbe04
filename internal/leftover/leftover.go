// Package leftover finds the temporary files and folders that a killed Ballast process left in a folder. It recognises them by strict
// patterns of names, and never removes anything else.
package leftover

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/lock"
)

// temporary matches the names that files and folders have while they are written: .NAME.tmp-123456 beside NAME for downloads, .tmp-123456
// in the folder of compiled graphs, and for what package durable writes .NAME.ballast-tmp, with .NAME.ballast-lock.
var temporary = regexp.MustCompile(`^\.(.+\.)?tmp-[0-9]+$|^\..+\.ballast-(tmp|lock)$`)

// Is reports whether Ballast gives such a name to unfinished files.
func Is(name string) bool { return temporary.MatchString(name) }

// Left is a file or folder that was left.
type Left struct {
	Path    string `json:"path"`
	Bytes   int64  `json:"bytes"`
	Why     string `json:"why"`     // where it comes from, or why it is kept
	Kept    bool   `json:"kept"`    // somebody may be writing it
	Removed bool   `json:"removed"` // it was

	changed time.Time // the newest time of a file in it
}

// killed is why most are there.
const killed = "a process that was killed was writing it"

// Abandoned is the age at which what no lock speaks for was left by a process that was killed, and is not being written: every
// writer of such files writes on within seconds.
const Abandoned = time.Hour

// Find returns what was left in a folder and the folders in it, in the order of their paths. Links are not followed. A folder
// that is missing has nothing.
func Find(dir string) ([]Left, error) {
	var found []Left
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // it was, a moment ago
			return nil
		}
		if err != nil {
			if e != nil && e.IsDir() && path != dir {
				return fs.SkipDir // a folder that may not be read
			}
			return err
		}
		if path == dir || !Is(e.Name()) || !e.IsDir() && !e.Type().IsRegular() {
			return nil
		}
		found = append(found, measured(path))
		if e.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
	sort.Slice(found, func(i, j int) bool { return found[i].Path < found[j].Path })
	return found, err
}

// Remove removes what was left in a folder and the folders in it. Call it while no other process writes there.
func Remove(dir string) error {
	found, err := Find(dir)
	return errors.Join(err, removeAll(found))
}

// Size is the number of bytes of a file, or of all files in a folder; unreadable files count as 0 bytes. Links are not followed.
func Size(path string) int64 { return measured(path).Bytes }

func measured(path string) Left {
	l := Left{Path: path, Why: killed}
	_ = filepath.WalkDir(path, func(_ string, e fs.DirEntry, err error) error { // an estimate for people
		if err != nil {
			return nil //nolint:nilerr // the rest still counts
		}
		info, err := e.Info()
		if err != nil {
			return nil //nolint:nilerr // the rest still counts
		}
		if info.Mode().IsRegular() {
			l.Bytes += info.Size()
		}
		if info.ModTime().After(l.changed) {
			l.changed = info.ModTime()
		}
		return nil
	})
	return l
}

// Locked lists what was left in a folder that one process at a time writes, and removes it if remove says so. What is there while another
// process holds the lock is kept. skip, which may be nil, says what is not looked at.
func Locked(dir, lockPath string, skip func(path string) bool, remove bool) ([]Left, error) {
	find := func() ([]Left, error) {
		found, err := Find(dir)
		return slices.DeleteFunc(found, func(l Left) bool { return skip != nil && skip(l.Path) }), err
	}
	found, err := find()
	if err != nil || len(found) == 0 {
		return found, err
	}
	var held *lock.Lock
	owner := ""
	if remove {
		held, owner, err = lock.Try(lockPath)
	} else {
		owner = lock.Holder(lockPath)
	}
	if err != nil {
		return nil, err
	}
	if owner != "" {
		for i := range found {
			found[i].Kept, found[i].Why = true, owner+" is writing there"
		}
		return found, nil
	}
	if !remove {
		return found, nil
	}
	if found, err = find(); err == nil { // again: the process that held the lock may have finished since
		err = removeAll(found)
	}
	return found, errors.Join(err, held.Release())
}

// Aged lists what was left in a folder under names that no lock speaks for, and removes it if remove says so. What has changed within
// Abandoned is kept. deep looks into the folders in it too.
func Aged(dir string, deep, remove bool) ([]Left, error) {
	found, err := Find(dir)
	found = slices.DeleteFunc(found, func(l Left) bool {
		return !deep && filepath.Dir(l.Path) != filepath.Clean(dir) || !strings.Contains(filepath.Base(l.Path), "tmp-")
	})
	for i, l := range found {
		if since := time.Since(l.changed); since < Abandoned {
			found[i].Kept, found[i].Why = true, fmt.Sprintf("it changed %v ago and may be being written", max(since, 0).Truncate(time.Second))
		}
	}
	if remove {
		err = errors.Join(err, removeAll(found))
	}
	return found, err
}

// Outputs lists what was left beside the outputs of a folder that users name, and removes it if remove says so: what package durable
// knows, except in folders whose lock a process holds, and Aged. deep looks into the folders in it too.
func Outputs(dir string, deep, remove bool) ([]Left, error) {
	var all []Left
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil && path == dir:
			return err
		case err != nil || !e.IsDir():
			return nil //nolint:nilerr // a folder that may not be read
		case path != dir && !deep, path != dir && Is(e.Name()):
			return fs.SkipDir
		}
		if busy := inUse(path); busy != nil {
			beside, err := durable.Leftovers(path)
			for _, l := range beside {
				all = append(all, Left{Path: l.Path, Bytes: l.Bytes, Why: busy.Error(), Kept: true})
			}
			if err != nil {
				return err
			}
			return fs.SkipDir
		}
		list := durable.Leftovers
		if remove {
			list = durable.RemoveLeftovers
		}
		beside, err := list(path)
		for _, l := range beside {
			all = append(all, Left{Path: l.Path, Bytes: l.Bytes, Why: l.Why, Removed: remove})
		}
		return err
	})
	aged, failed := Aged(dir, deep, remove)
	all = append(all, aged...)
	sort.Slice(all, func(i, j int) bool { return all[i].Path < all[j].Path })
	return all, errors.Join(err, failed)
}

// inUse says which process is writing into a folder: one that holds its lock or that of a folder above it, or trains in it.
func inUse(dir string) error {
	if err := durable.InUse(dir); err != nil {
		return err
	}
	training := filepath.Join(dir, "run.lock")
	if stat, err := os.Lstat(training); err != nil || !stat.Mode().IsRegular() {
		return nil //nolint:nilerr // nobody trains there
	}
	held := flock.New(training, flock.SetFlag(os.O_RDONLY))
	ok, err := held.TryRLock()
	if err != nil || !ok {
		return fmt.Errorf("a process that trains in %s holds its lock", dir)
	}
	return held.Unlock()
}

func removeAll(found []Left) error {
	var errs []error
	for i, l := range found {
		if l.Kept {
			continue
		}
		err := os.RemoveAll(l.Path)
		found[i].Removed = err == nil
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

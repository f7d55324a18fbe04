// Package leftover finds what a Ballast process that was killed left in a folder: files and folders under temporary names. It knows them by
// strict patterns, and nothing else is ever removed.
package leftover

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sort"
)

// temporary matches the names that files and folders have while they are written: .NAME.tmp-123456 beside NAME, and .tmp-123456 in the
// folder of compiled graphs.
var temporary = regexp.MustCompile(`^\.(.+\.)?tmp-[0-9]+$`)

// Is reports whether a name is one that Ballast gives to what it has not finished.
func Is(name string) bool { return temporary.MatchString(name) }

// Left is a file or folder that was left.
type Left struct {
	Path  string `json:"path"`
	Bytes int64  `json:"bytes"`
}

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
		found = append(found, Left{path, Size(path)})
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
	errs := []error{err}
	for _, l := range found {
		errs = append(errs, os.RemoveAll(l.Path))
	}
	return errors.Join(errs...)
}

// Size is the number of bytes of a file, or of all files in a folder; what cannot be read counts as nothing. Links are not followed.
func Size(path string) int64 {
	total := int64(0)
	_ = filepath.WalkDir(path, func(_ string, e fs.DirEntry, err error) error { // an estimate for people
		if err != nil {
			return nil //nolint:nilerr // the rest still counts
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			total += info.Size()
		}
		return nil
	})
	return total
}

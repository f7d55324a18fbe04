package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/internal/untrusted"
)

// Work is a folder that a long work fills step by step and resumes in, such as a training run. Its MarkFile says so.
type Work struct {
	Verb  string                // of the command that works there: "train"
	Known func(dir string) bool // recognises folders of versions that left no mark

	// Overwrite begins anew: what the folder holds is removed, if Owns returns nil for it.
	Overwrite bool
	Owns      func(dir string) error

	// Later leaves the folder as it is until Claim.Begin is called: what is refused for another reason in between changes nothing.
	Later bool
}

// ClaimWork takes a folder for a long work. It must be new, empty, or one in which the same verb has worked; else it is a
// *fault.Usage that names what is there. Files that users have put beside those of the work stay.
func ClaimWork(path string, w Work) (*Claim, error) {
	c, err := claim(path, Permit{})
	if err != nil {
		return nil, err
	}
	if err = w.check(path); err == nil {
		c.begin = func() error { return w.begin(path) }
		if !w.Later {
			err = c.Begin()
		}
	}
	if err != nil {
		return nil, errors.Join(err, c.Release())
	}
	return c, nil
}

// check refuses a folder that is not one of this work.
func (w Work) check(path string) error {
	names, err := contents(path)
	names = slices.DeleteFunc(names, func(name string) bool { // of a killed process; begin removes it
		_, _, left := outputOf(name)
		return left
	})
	if err != nil || len(names) == 0 || onlyLocks(path) {
		return err
	}

	switch m, err := readMark(path); {
	case err == nil && m.Work == w.Verb:
	case err == nil && m.Work != "":
		return refuse("%s is a folder of ballast %s; name another one for %s", path, m.Work, w.Verb)
	case errors.Is(err, fs.ErrNotExist) && w.Known != nil && w.Known(path):
	default:
		return refuse("%s is not a folder of ballast %s: it holds %s; name a new or an empty folder", path, w.Verb, listed(names))
	}
	if w.Overwrite {
		if err := w.Owns(path); err != nil {
			return refuse("%s is not begun anew: %w, which %s did not write; name another folder", path, err, w.Verb)
		}
	}
	return nil
}

// onlyLocks reports whether a folder holds nothing but folders and locks that nobody wrote more than a process's number into: what is left
// of a work that was killed after it took its locks and before it began.
func onlyLocks(path string) bool {
	const most = 64
	return filepath.WalkDir(path, func(at string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		if _, _, left := outputOf(e.Name()); left { // begin removes it
			return nil
		}
		stat, err := e.Info()
		if err != nil {
			return err
		}
		if name := e.Name(); !stat.Mode().IsRegular() || stat.Size() > most || name != "lock" && filepath.Ext(name) != ".lock" {
			return fs.ErrExist
		}
		text, err := untrusted.ReadFileNoLink(at, most)
		if err != nil {
			return err
		}
		if strings.Trim(string(text), "0123456789\n") != "" {
			return fs.ErrExist
		}
		return nil
	}) == nil
}

// begin empties the folder, if that was asked for, and marks it.
func (w Work) begin(path string) error {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return fmt.Errorf("durable: %w", err)
	}
	if w.Overwrite {
		entries, err := os.ReadDir(path)
		if err != nil {
			return fmt.Errorf("durable: %w", err)
		}
		for _, e := range entries {
			if e.Name() == MarkFile { // the last to go: a folder half emptied is still one of this work
				continue
			}
			if err := os.RemoveAll(filepath.Join(path, e.Name())); err != nil {
				return fmt.Errorf("durable: %w", err)
			}
		}
	}
	if m, err := readMark(path); err != nil || m.Work != w.Verb {
		if err := writeMark(path, marked{Work: w.Verb}); err != nil {
			return fmt.Errorf("durable: %w", err)
		}
	}
	return removeBelow(path, leftoverDepth)
}

// leftoverDepth is how deep in a work's folder what killed runs left is looked for: VARIANT/seed-N/checkpoints of a comparison.
const leftoverDepth = 4

// removeBelow removes what killed writers left in a folder and those below it. The caller holds the folder's lock.
func removeBelow(dir string, depth int) error {
	if err := RemoveTemporaries(dir); err != nil || depth == 0 {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("durable: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeBelow(filepath.Join(dir, e.Name()), depth-1); err != nil {
				return err
			}
		}
	}
	return nil
}

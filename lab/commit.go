package lab

import (
	"path/filepath"
	"regexp"
	"strings"

	"github.com/ballast-ml/ballast/internal/untrusted"
)

// Bounds of what is read of a repository: a file that names something, and the list of packed references, which is some megabytes
// where there are ten thousands of them.
const (
	mostName   = 4096
	mostPacked = 64 << 20
)

var objectName = regexp.MustCompile(`^(?:[0-9a-f]{40}|[0-9a-f]{64})$`)

// commitOf is the commit that is checked out in the work tree that dir lies in, "" if there is none or it cannot be told. The files of
// the repository are read as they are: git itself would run what the configuration of the repository names (core.fsmonitor, filters),
// and a folder may be another's. For the same reason nothing says whether files were changed since.
func commitOf(dir string) string {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return ""
	}
	for {
		if git, ok := gitDir(filepath.Join(dir, ".git")); ok {
			return headOf(git)
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}

// gitDir is the folder of a repository: .git itself, or what the file .git of a work tree or a submodule names.
func gitDir(path string) (string, bool) {
	if _, ok := nameIn(filepath.Join(path, "HEAD")); ok {
		return path, true
	}
	named, ok := nameIn(path)
	if !ok {
		return "", false
	}
	if named, ok = strings.CutPrefix(named, "gitdir:"); !ok {
		return "", false
	}
	named = filepath.FromSlash(strings.TrimSpace(named))
	if !filepath.IsAbs(named) {
		named = filepath.Join(filepath.Dir(path), named)
	}
	return named, true
}

// headOf follows HEAD to a commit. References that all work trees share lie in the repository that commondir names.
func headOf(git string) string {
	common := git
	if named, ok := nameIn(filepath.Join(git, "commondir")); ok {
		if common = filepath.FromSlash(named); !filepath.IsAbs(common) {
			common = filepath.Join(git, common)
		}
	}
	value, _ := nameIn(filepath.Join(git, "HEAD"))
	for range 5 { // references to references; git follows as many
		ref, ok := strings.CutPrefix(value, "ref:")
		if !ok {
			break
		}
		ref = strings.TrimSpace(ref)
		if !strings.HasPrefix(ref, "refs/") || !filepath.IsLocal(filepath.FromSlash(ref)) {
			return ""
		}
		if value, ok = nameIn(filepath.Join(git, filepath.FromSlash(ref))); ok {
			continue
		}
		if value, ok = nameIn(filepath.Join(common, filepath.FromSlash(ref))); !ok {
			value = packed(filepath.Join(common, "packed-refs"), ref)
		}
	}
	if !objectName.MatchString(value) {
		return ""
	}
	return value
}

// packed finds a reference in packed-refs: lines of an object's name, a space and the reference.
func packed(path, ref string) string {
	text, err := untrusted.ReadFile(path, mostPacked)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if object, name, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name == ref {
			return object
		}
	}
	return ""
}

// nameIn is the one line of a small file.
func nameIn(path string) (string, bool) {
	text, err := untrusted.ReadFile(path, mostName)
	return strings.TrimSpace(string(text)), err == nil
}

package durable

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// Permit says what an output may take the place of. A file or a folder that is missing and a folder that is empty never need one.
type Permit struct {
	// Overwrite allows what Ballast wrote to be replaced: the user asked for it.
	Overwrite bool

	// Owns returns nil if Ballast wrote all that the folder dir holds, else an error that names what it did not write. Nil owns
	// nothing. It is not asked about files: one file that --overwrite names is the user's to give up.
	Owns func(dir string) error

	// Mark has WriteDir list what it wrote in MarkFile, for folders whose own files do not say that Ballast wrote them.
	Mark bool
}

// MarkFile lists what Ballast wrote into a folder.
const MarkFile = ".ballast.json"

// marked is the content of a MarkFile.
type marked struct {
	WrittenBy string   `json:"written_by"`
	Work      string   `json:"work,omitempty"`  // of a folder that is worked in: the verb
	Files     []string `json:"files,omitempty"` // of a folder that is written once: relative, with slashes
}

// Marked is the permit for folders with a MarkFile: they are replaced if the user asks for it and they hold nothing else.
func Marked(overwrite bool) Permit {
	return Permit{Overwrite: overwrite, Owns: ownsMarked, Mark: true}
}

func ownsMarked(dir string) error {
	m, err := readMark(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("it was not written by Ballast")
	}
	if err != nil {
		return err
	}
	return only(dir, append(m.Files, MarkFile))
}

func readMark(dir string) (m marked, err error) {
	text, err := untrusted.ReadFileNoLink(filepath.Join(dir, MarkFile), 16<<20)
	if err != nil {
		return m, err
	}
	if json.Unmarshal(text, &m) != nil || m.WrittenBy != "ballast" {
		return m, fmt.Errorf("its %s was not written by Ballast", MarkFile)
	}
	return m, nil
}

func writeMark(dir string, m marked) error {
	m.WrittenBy = "ballast"
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return WriteFile(filepath.Join(dir, MarkFile), func(w io.Writer) error {
		_, err := w.Write(append(text, '\n'))
		return err
	})
}

// mark lists the files of a folder in its MarkFile.
func mark(dir string) error {
	var m marked
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		m.Files = append(m.Files, filepath.ToSlash(rel))
		return err
	})
	if err != nil {
		return fmt.Errorf("durable: %w", err)
	}
	return writeMark(dir, m)
}

// Only returns a Permit.Owns for folders that hold the regular files of names, or some of them, and nothing else. A name with * or ?
// is a pattern of package path, one that ends in / a folder that may be there, empty.
func Only(names ...string) func(dir string) error {
	return func(dir string) error { return only(dir, names) }
}

// Within puts a folder in front of names for Only.
func Within(dir string, names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = dir + "/" + name
	}
	return out
}

func only(dir string, names []string) error {
	files, folders := map[string]bool{}, map[string]bool{}
	var filePatterns, folderPatterns []string
	for _, name := range names {
		if folder, ok := strings.CutSuffix(name, "/"); ok && strings.ContainsAny(name, "*?") {
			folderPatterns = append(folderPatterns, folder)
			continue
		}
		if strings.ContainsAny(name, "*?") {
			filePatterns = append(filePatterns, name)
			for parent := path.Dir(name); parent != "." && parent != "/"; parent = path.Dir(parent) {
				folderPatterns = append(folderPatterns, parent)
			}
			continue
		}
		if folder, ok := strings.CutSuffix(name, "/"); ok {
			folders[folder] = true
			continue
		}
		files[name] = true
		for parent := path.Dir(name); parent != "." && parent != "/"; parent = path.Dir(parent) {
			folders[parent] = true
		}
	}
	var others []string
	err := filepath.WalkDir(dir, func(at string, e fs.DirEntry, err error) error {
		if err != nil || at == dir {
			return err
		}
		rel, err := filepath.Rel(dir, at)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		switch {
		case e.IsDir() && (folders[rel] || matches(folderPatterns, rel)), e.Type().IsRegular() && (files[rel] || matches(filePatterns, rel)):
			return nil
		}
		others = append(others, rel)
		if e.IsDir() {
			return filepath.SkipDir
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(others) > 0 {
		return errors.New("it holds " + listed(others))
	}
	return nil
}

func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, name)
		return ok && err == nil
	})
}

// listed names the first few of several things.
func listed(names []string) string {
	const most = 3
	shown := make([]string, 0, most)
	for _, name := range names[:min(most, len(names))] {
		shown = append(shown, printable.Line(name))
	}
	text := strings.Join(shown, ", ")
	if more := len(names) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// CheckFile refuses (*fault.Usage) a file that may not be replaced, a link, a folder, and what else a file cannot be written to;
// stream reports a pipe or a character device, which is written through.
func (p Permit) CheckFile(path string) (stream bool, err error) { return p.file(path) }

// CheckDir refuses (*fault.Usage) a folder that may not be replaced, and whatever else than a folder is there.
func (p Permit) CheckDir(path string) error { return p.dir(path) }

// dir refuses a folder that may not be replaced.
func (p Permit) dir(path string) error {
	names, err := contents(path)
	if err != nil || len(names) == 0 {
		return err
	}

	if p.Owns == nil {
		return refuse("%s is there already and holds %s; name a new or an empty folder", path, listed(names))
	}
	if err := p.Owns(path); err != nil {
		return refuse("%s is there already and holds %s; only what Ballast wrote is replaced, and %w; name a new or an empty folder", path, listed(names), err)
	}
	if !p.Overwrite {
		return refuse("%s is there already, written by Ballast; name another folder, or replace it with --overwrite", path)
	}
	return nil
}

// contents is what a folder that is to be written holds; a missing one holds nothing, and anything else than a folder is refused.
func contents(path string) (names []string, err error) {
	stat, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("durable: %w", err)
	}
	if !stat.IsDir() {
		return nil, refuse("%s is %s, and the output is a folder; name a new or an empty one", path, untrusted.Kind(stat.Mode()))
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("durable: %w", err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}

// file refuses a file that may not be replaced.
func (p Permit) file(path string) (stream bool, err error) {
	if stream, err = fileTarget(path); err != nil || stream || p.Overwrite {
		return stream, err
	}
	if _, err := os.Lstat(path); err == nil {
		return false, refuse("%s is there already; name another file, or replace it with --overwrite", path)
	}
	return false, nil
}

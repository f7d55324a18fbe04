package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/internal/strict"
)

// Extensions of the files that outputs are written to.
const (
	arrayExt   = ".npy"
	archiveExt = ".npz"
)

// check refuses what is wrong before a model is opened.
func (f runFlags) check() error {
	wrong := &fault.Usage{Err: errors.New("give --input, --output FILE.npz or FILE.npy, and at least 1 of --batch")}
	if len(f.inputs) == 0 || len(f.outputs) == 0 || f.batch < 1 {
		return wrong
	}
	for _, text := range f.outputs {
		name, path := splitOutput(text)
		switch ext := filepath.Ext(path); {
		case name == "" && len(f.outputs) > 1:
			return &fault.Usage{Err: fmt.Errorf("--output %s: with several give each as NAME=FILE.npy", text)}
		case name != "" && ext != arrayExt:
			return &fault.Usage{Err: fmt.Errorf("--output %s: one output is written to an .npy file; FILE.npz alone takes all", text)}
		case ext != arrayExt && ext != archiveExt:
			return wrong
		}
	}
	return nil
}

// splitOutput cuts NAME=FILE. Both may hold slashes; where the = stands behind one, it is part of a path if the folder is there.
func splitOutput(text string) (name, path string) {
	name, path, named := strings.Cut(text, "=")
	if !named {
		return "", text
	}
	if filepath.Base(name) != name {
		if stat, err := os.Stat(filepath.Dir(text)); err == nil && stat.IsDir() {
			return "", text
		}
	}
	return name, path
}

// files are the file of each output that is written.
func (f runFlags) files(outputs []string) (map[string]string, error) {
	files := map[string]string{}
	if name, path := splitOutput(f.outputs[0]); name == "" {
		return files, f.all(files, outputs, path)
	}
	taken := map[string]string{}
	for _, text := range f.outputs {
		name, path := splitOutput(text)
		switch near, ok := strict.Nearest(name, outputs); {
		case slices.Contains(outputs, name):
		case ok:
			return nil, &fault.Usage{Err: fmt.Errorf("--output: the model has no output %s; did you mean %s?", printable.Short(name), printable.Short(near))}
		default:
			return nil, &fault.Usage{Err: fmt.Errorf("--output: the model has no output %s; there are %s", printable.Short(name), namesOf(outputs))}
		}
		if files[name] != "" || taken[filepath.Clean(path)] != "" {
			return nil, &fault.Usage{Err: fmt.Errorf("--output %s: each output and each file once", text)}
		}
		files[name], taken[filepath.Clean(path)] = path, name
	}
	return files, nil
}

// all puts every output into an archive, or each into a file: the one of a model that has one, else pieces with the outputs' names in theirs.
func (f runFlags) all(files map[string]string, outputs []string, path string) error {
	if filepath.Ext(path) == archiveExt || len(outputs) == 1 {
		for _, name := range outputs {
			files[name] = path
		}
		return nil
	}
	taken := map[string]bool{}
	for _, name := range outputs {
		piece := strings.TrimSuffix(path, arrayExt) + "." + fileWord(name) + arrayExt
		if taken[strings.ToLower(piece)] {
			return &fault.Usage{Err: fmt.Errorf("--output %s: two outputs would be written to %s; write all to one .npz file", path, piece)}
		}
		files[name], taken[strings.ToLower(piece)] = piece, true
	}
	return nil
}

// longestWord is the most bytes of an output's name that stand in the name of its file.
const longestWord = 100

// fileWord is a name as it may stand in the name of a file: letters, digits, . - and _, others as _.
func fileWord(name string) string {
	word := strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '-', c == '_':
			return c
		}
		return '_'
	}, name)
	return word[:min(len(word), longestWord)]
}

// mostListed is how many names a message has.
const mostListed = 20

// namesOf are names for a message.
func namesOf(names []string) string {
	var b strings.Builder
	for i, name := range names {
		if i == mostListed {
			fmt.Fprintf(&b, " and %d more", len(names)-i)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(printable.Short(name))
	}
	return b.String()
}

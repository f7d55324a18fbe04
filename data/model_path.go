package data

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ballast-ml/ballast/fault"
)

// ModelPath is where a model is that a user has named: the path itself, or, if nothing is there, a trained network of Models or a file or
// bundle in its folder: "digit-nets/mnist" or "smollm2-135m". A network with a single file of weights stands for that file; one with
// more, or with a configuration, for its folder. A network that is not on this machine is an error that says how to get it.
func ModelPath(name string) (string, error) {
	if _, err := os.Stat(name); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return name, nil
	}
	first, rest, nested := strings.Cut(filepath.ToSlash(name), "/")
	m, ok := FindModel(first)
	if !ok {
		return name, nil
	}
	dir, err := m.Dir()
	if err != nil {
		return "", err
	}
	path := dir
	switch {
	case nested && !filepath.IsLocal(filepath.FromSlash(rest)):
		return "", &fault.Usage{Err: fmt.Errorf("data: %q leads out of the folder of %s", name, m.Name)}
	case nested:
		path = filepath.Join(dir, filepath.FromSlash(rest))
	case len(m.files) == 1:
		path = filepath.Join(dir, m.files[0].name)
	}
	if _, err := os.Stat(path); err != nil {
		if _, missing := os.Stat(filepath.Join(dir, m.files[0].name)); missing == nil && nested {
			return "", &fault.Usage{Err: fmt.Errorf("data: %s has no %q; its folder is %s", m.Name, rest, dir)}
		}
		return "", &fault.Usage{Err: fmt.Errorf("data: %s is not on this machine; run \"ballast data get %s\"", m.Name, m.Name)}
	}
	return path, nil
}

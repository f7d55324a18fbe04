package corrupt

import (
	"errors"
	"path"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/picture"
)

// mostDepth is how deep the folders of a copy lie in each other, as picture.List reads them.
const mostDepth = 8

// Images lists the pictures below a folder, with slashes: those of a folder by name, then those of its sub-folders, which are in the order of
// the classes of a data set (names that are all numbers by their size). Hidden files and folders are left out, and links to folders are not
// followed.
func Images(dir string) ([]string, error) {
	found, err := picture.List(dir)
	if err != nil {
		return nil, err
	}
	if len(found.Files) == 0 {
		return nil, &fault.Input{File: dir, Err: errors.New("no image in it"), Fix: "give a folder of images: " + picture.Kinds}
	}
	return found.Files, nil
}

// withoutEnding is a path without the ending of its file.
func withoutEnding(name string) string { return strings.TrimSuffix(name, path.Ext(name)) }

package corrupt

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

const (
	mostDepth  = 8       // folders in folders
	mostImages = 1 << 25 // of a folder, as of a data set
)

// notRead are the endings of pictures that are not read. They are refused, as a data set refuses them: a copy without them would be of
// another set.
var notRead = []string{".bmp", ".gif", ".webp", ".tif", ".tiff", ".heic", ".avif", ".jxl", ".jp2", ".ppm", ".pgm"}

// Images lists the PNG and JPEG images below a folder, with slashes: those of a folder by name, then those of its sub-folders, which are in
// the order of the classes of a data set (names that are all numbers by their size). Hidden files and folders are left out, and links to
// folders are not followed.
func Images(dir string) ([]string, error) {
	var all []string
	if err := list(dir, "", 0, &all); err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, &fault.Input{File: dir, Err: errors.New("no PNG or JPEG image in it"), Fix: "give a folder of images"}
	}
	return all, nil
}

func list(root, under string, depth int, all *[]string) error {
	dir := filepath.Join(root, filepath.FromSlash(under))
	entries, err := os.ReadDir(dir)
	if err != nil {
		return &fault.Input{File: dir, Err: untrusted.Reason(err), Fix: "give a folder of images"}
	}
	var folders []string
	for _, e := range entries {
		ending := strings.ToLower(filepath.Ext(e.Name()))
		switch {
		case strings.HasPrefix(e.Name(), "."):
		case e.IsDir():
			folders = append(folders, e.Name())
		case ending == ".png" || ending == ".jpg" || ending == ".jpeg":
			*all = append(*all, path.Join(under, e.Name()))
		case slices.Contains(notRead, ending):
			return &fault.Input{
				File: filepath.Join(dir, e.Name()), Err: errors.New("PNG and JPEG are read, and no other pictures"), Fix: "convert it, or move it away",
			}
		}
	}
	if len(*all) > mostImages {
		return &fault.Input{File: root, Err: fmt.Errorf("more than %d images", mostImages), Fix: "split the folder"}
	}
	if depth == mostDepth && len(folders) > 0 {
		return &fault.Input{File: dir, Err: fmt.Errorf("folders lie more than %d deep", mostDepth), Fix: "name a folder further down"}
	}
	inOrder(folders)
	for _, name := range folders {
		if err := list(root, path.Join(under, name), depth+1, all); err != nil {
			return err
		}
	}
	return nil
}

// inOrder puts names that are all whole numbers in their order, as data.OpenFolder does with classes. Others stay as they are.
func inOrder(names []string) {
	digits := func(name string) bool { return name != "" && strings.Trim(name, "0123456789") == "" }
	if slices.ContainsFunc(names, func(name string) bool { return !digits(name) }) {
		return
	}
	slices.SortStableFunc(names, func(a, b string) int {
		x, y := strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
		return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y), cmp.Compare(a, b))
	})
}

// withoutEnding is a path without .png, .jpg or .jpeg.
func withoutEnding(name string) string { return strings.TrimSuffix(name, path.Ext(name)) }

package picture

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

const (
	mostDepth = 8 // folders in folders

	// MaxImages is the most pictures of a folder: 33 million, twice those of the largest version of ImageNet.
	MaxImages = 1 << 25
)

// Listing is what lies below a folder.
type Listing struct {
	Files  []string // the pictures, relative to the folder, with slashes
	Hidden int      // files and folders whose names begin with a dot
	Others int      // files that do not have the ending of a picture
	Linked int      // links to folders, which are not followed
	Loose  int      // pictures beside the folders of the classes
}

// Add counts what another folder has.
func (l *Listing) Add(other Listing) {
	l.Files = append(l.Files, other.Files...)
	l.Hidden, l.Others, l.Linked, l.Loose = l.Hidden+other.Hidden, l.Others+other.Others, l.Linked+other.Linked, l.Loose+other.Loose
}

// Skipped says what was left out, for people; "" if nothing was.
func (l Listing) Skipped() string {
	var parts []string
	for _, c := range []struct {
		n         int
		one, many string
	}{
		{l.Hidden, "hidden file", "hidden files"}, {l.Others, "file that is not a picture", "files that are not pictures"},
		{l.Linked, "link to a folder", "links to folders"}, {l.Loose, "picture beside the class folders", "pictures beside the class folders"},
	} {
		switch {
		case c.n == 1:
			parts = append(parts, "1 "+c.one)
		case c.n > 1:
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.many))
		}
	}
	return strings.Join(parts, ", ")
}

// List lists the pictures below a folder: those of a folder by name, then those of its sub-folders in the order of InOrder. Files are taken
// for pictures by their endings. Hidden files and folders are left out, and so are links to folders, which may lead in a circle; all are
// counted. A picture of a format that is not read is refused. The folder itself may be a link, and so may its files.
func List(dir string) (l Listing, err error) {
	err = l.below(dir, "", 0)
	return l, err
}

// Beside counts what lies in a folder beside its sub-folders, which are classes.
func Beside(dir string) (l Listing, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		switch {
		case strings.HasPrefix(e.Name(), "."):
			l.Hidden++
		case e.IsDir(), leadsToFolder(filepath.Join(dir, e.Name())):
		case slices.Contains(Endings(), strings.ToLower(filepath.Ext(e.Name()))):
			l.Loose++
		default:
			l.Others++
		}
	}
	return l, err
}

func (l *Listing) below(root, under string, depth int) error {
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
			l.Hidden++
		case e.IsDir() && !slices.Contains(Endings(), ending): // one that is called as a picture is refused when it is read
			folders = append(folders, e.Name())
		case slices.Contains(Unread(), ending):
			return &fault.Input{
				File: filepath.Join(dir, e.Name()), Err: fmt.Errorf("%s are read, and no other pictures", Kinds), Fix: "convert it, or move it away",
			}
		case e.Type()&fs.ModeSymlink != 0 && !slices.Contains(Endings(), ending) && leadsToFolder(filepath.Join(dir, e.Name())):
			l.Linked++
		case slices.Contains(Endings(), ending):
			l.Files = append(l.Files, path.Join(under, e.Name()))
		default:
			l.Others++
		}
	}
	if len(l.Files) > MaxImages {
		return &fault.Input{File: root, Err: fmt.Errorf("more than %d images", MaxImages), Fix: "split the folder"}
	}
	if depth == mostDepth && len(folders) > 0 {
		return &fault.Input{File: dir, Err: fmt.Errorf("folders lie more than %d deep", mostDepth), Fix: "name a folder further down"}
	}

	InOrder(folders)
	for _, name := range folders {
		if err := l.below(root, path.Join(under, name), depth+1); err != nil {
			return err
		}
	}
	return nil
}

func leadsToFolder(path string) bool {
	stat, err := os.Stat(path)
	return err == nil && stat.IsDir()
}

// InOrder puts names that are all whole numbers in their order: 2 before 10. Others stay as they are.
func InOrder(names []string) {
	digits := func(name string) bool { return name != "" && strings.Trim(name, "0123456789") == "" }
	if slices.ContainsFunc(names, func(name string) bool { return !digits(name) }) {
		return
	}
	slices.SortStableFunc(names, func(a, b string) int {
		x, y := strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
		return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y), cmp.Compare(a, b))
	})
}

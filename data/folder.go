package data

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/picture"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// OpenFolder opens a folder of images in one sub-folder per class: classes are the sub-folders in alphabetical
// order, those that are numbers by their size, examples the files in it and in folders further down, those of a folder before those of its
// sub-folders. If there are the sub-folders train and test, or val, or all
// three, and no others, with the classes in them, they are the parts: where there is no test, val is it. Classes are those of all parts
// together, and one may have no images in a part. Otherwise every part is the whole and Info().Part is empty.
//
// Images are PNG, JPEG, GIF (the first frame), BMP, TIFF and WebP. Hidden files, files without the ending of an image and links to folders
// below the classes are skipped and counted (Noted); an image of another format is refused, since without it the class would be another one.
//
// Options follow a question mark: size=HEIGHTxWIDTH resizes every image (bilinear; without it the size of the first image is
// the size of all, and another one is an error), channels=1 makes grey (0.299 R + 0.587 G + 0.114 B), channels=3 colour
// (default: grey if the first image is), damaged=skip leaves out what cannot be decoded. Transparent images are put on black; a JPEG is
// turned as its camera was held. Images are decoded when they are read. The first Info reads every file once for the checksum.
//
// Class folders and files may be links; what they lead to must be regular files. A picture has at most 134 million pixels (picture.MaxPixels),
// and one that takes far more memory than its file has bytes is refused before it is decoded: see the limits of internal/picture.
func OpenFolder(name, part string) (Dataset, error) { return Opening{}.folder(name, part) }

func (o Opening) folder(name, part string) (Dataset, error) {
	path, query, _ := strings.Cut(name, "?")
	f := &folder{path: path, root: path}
	options, err := parsePictureOptions("dir:"+name, query)
	if err != nil {
		return nil, err
	}
	if err := f.choose(part); err != nil {
		return nil, err
	}
	if err := f.list(); err != nil {
		return nil, err
	}

	p := &pictures{
		pictureOptions: options, name: "dir:" + f.path, part: f.part, origin: f.root,
		from: pictureFiles(f.files), keys: f.keys, labels: f.labels, classes: f.classes,
	}
	p.note("format", "a folder of pictures, one sub-folder per class")
	p.noteClasses()
	if skipped := f.found.Skipped(); skipped != "" {
		p.note("skipped", "%s", skipped)
	}
	return p, p.ready(o)
}

// folder is what a folder of classes was found to have.
type folder struct {
	path    string // as given
	part    string
	root    string // of the class folders
	classes []string
	found   picture.Listing
	files   []string
	keys    []string // of each file in its class
	labels  []int32
}

// partNames are the names that folders of parts go by.
var partNames = map[string]string{"train": "train", "test": "test", "val": Val, "valid": Val, "validation": Val}

// Val is the part of a folder that is kept aside beside train and test; the sets that go by a name have none.
const Val = "val"

// choose goes into the sub-folder of a part, if the folder has parts. The classes are those of all parts.
func (f *folder) choose(part string) error {
	names, err := subfolders(f.path)
	if err != nil {
		return &fault.Input{File: f.path, Err: untrusted.Reason(err), Fix: "give a folder with one sub-folder of images per class"}
	}
	folders, classes, err := f.parts(names)
	if err != nil {
		return err
	}
	if folders == nil {
		if part == Val {
			return usage("data: dir:%s has no part val; use train, test or all", f.path)
		}
		return nil
	}

	name, err := chosenPart("dir:"+f.path, part, folders)
	if err != nil {
		return err
	}
	f.part, f.root, f.classes = part, filepath.Join(f.path, name), classes
	return nil
}

// chosenPart is what a part is called in a set that has some of them: val serves as the test part where there is none.
func chosenPart(set, part string, names map[string]string) (string, error) {
	if part == "all" {
		return "", usage("data: %s has the parts %s; use one of them", set, strings.Join(slices.Sorted(maps.Keys(names)), " and "))
	}
	name, ok := names[part]
	if part == "test" && !ok {
		name, ok = names[Val]
	}
	if !ok {
		return "", usage("data: %s has no part %s; it has %s", set, part, strings.Join(slices.Sorted(maps.Keys(names)), " and "))
	}
	return name, nil
}

// parts are the folders of a folder's parts, and the classes of all of them; nil where it has none.
func (f *folder) parts(names []string) (folders map[string]string, classes []string, err error) {
	found := map[string]string{}
	for _, name := range names {
		part, ok := partNames[strings.ToLower(name)]
		if !ok || found[part] != "" {
			return nil, nil, nil
		}
		found[part] = name
	}
	if found["train"] == "" || len(found) < 2 {
		return nil, nil, nil
	}
	for _, name := range found {
		path := filepath.Join(f.path, name)
		inside, err := subfolders(path)
		if err != nil {
			return nil, nil, &fault.Input{File: path, Err: untrusted.Reason(err)}
		}
		classes = append(classes, inside...)
	}
	if len(classes) == 0 {
		return nil, nil, nil // the classes are called train and test
	}
	slices.Sort(classes)
	classes = slices.Compact(classes)
	picture.InOrder(classes)
	for _, class := range classes {
		if err := f.some(found, class); err != nil {
			return nil, nil, err
		}
	}
	return found, classes, nil
}

// noImage is what is wrong with a folder of a class that has none.
const noImage = "no image in it (" + picture.Kinds + " are read)"

// some refuses a class that has no image in any part.
func (f *folder) some(parts map[string]string, class string) error {
	for _, name := range parts {
		found, err := picture.List(filepath.Join(f.path, name, class))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if len(found.Files) > 0 {
			return nil
		}
	}
	dir := filepath.Join(f.path, parts["train"], class)
	return &fault.Input{File: dir, Err: errors.New(noImage + ", nor in the other parts"), Fix: "add some, or remove the folders of the class"}
}

// subfolders are the names of the folders in a folder, links to folders among them, in alphabetical order; numbers by their size.
func subfolders(path string) ([]string, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if stat, err := os.Stat(filepath.Join(path, e.Name())); err == nil && stat.IsDir() {
			names = append(names, e.Name())
		}
	}
	picture.InOrder(names)
	return names, nil
}

// list finds the files.
func (f *folder) list() error {
	classes, inParts := f.classes, f.classes != nil
	if !inParts {
		var err error
		if classes, err = subfolders(f.root); err != nil {
			return &fault.Input{File: f.root, Err: untrusted.Reason(err), Fix: "give a folder with one sub-folder of images per class"}
		}
	}
	if len(classes) < 2 {
		return &fault.Input{
			File: f.root, Err: fmt.Errorf("%d sub-folders", len(classes)),
			Fix: "put the images into one sub-folder per class, at least 2, or name a CSV file of paths and labels",
		}
	}
	beside, err := picture.Beside(f.root)
	if err != nil {
		return &fault.Input{File: f.root, Err: untrusted.Reason(err)}
	}
	f.found.Add(beside)
	for label, class := range classes {
		dir := filepath.Join(f.root, class)
		found, err := picture.List(dir)
		switch {
		case inParts && errors.Is(err, fs.ErrNotExist): // the class has its images in another part
		case err != nil:
			return err
		case len(found.Files) == 0 && !inParts:
			return &fault.Input{File: dir, Err: errors.New(noImage), Fix: f.fixEmpty(dir)}
		case !inParts && f.isPart(class, found.Files):
			return &fault.Input{File: dir, Err: errors.New("it is called as a part, and beside it lies what is none"), Fix: fixParts}
		}
		f.add(dir, int32(label), found)
	}
	if len(f.files) == 0 {
		return &fault.Input{File: f.root, Err: errors.New(noImage), Fix: "add some, or use another part"}
	}
	if len(f.files) > picture.MaxImages {
		return &fault.Input{File: f.root, Err: fmt.Errorf("%d images; at most %d are read", len(f.files), picture.MaxImages), Fix: "split the folder"}
	}
	f.classes = classes
	return nil
}

// add takes what was found in the folder of a class.
func (f *folder) add(dir string, label int32, found picture.Listing) {
	for _, file := range found.Files {
		f.files = append(f.files, filepath.Join(dir, filepath.FromSlash(file)))
	}
	f.keys = append(f.keys, found.Files...)
	f.labels = append(f.labels, slices.Repeat([]int32{label}, len(found.Files))...)
	found.Files = nil
	f.found.Add(found)
}

// fixParts is what to do with a folder whose parts are not alone.
const fixParts = "put the images into one sub-folder per class; parts are called train, test and val, and nothing else lies beside them"

// isPart reports whether a folder looks like a part and not like a class: it is called so, and its images lie in folders of their own.
func (f *folder) isPart(name string, files []string) bool {
	_, called := partNames[strings.ToLower(name)]
	return called && !slices.ContainsFunc(files, func(file string) bool { return !strings.Contains(file, "/") })
}

// fixEmpty is what to do about a class without images: it may have been meant for a part.
func (f *folder) fixEmpty(dir string) string {
	if inside, err := subfolders(dir); err == nil && len(inside) > 0 {
		return fixParts
	}
	return "add some, or remove the folder"
}

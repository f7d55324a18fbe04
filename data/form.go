package data

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// The forms that data of a user's own come in, which are the prefixes of their names too.
const (
	formFolder  = "dir"
	formCSV     = "csv"
	formPair    = "npy"
	formNPZ     = "npz"
	formParquet = "parquet"
	formShards  = "wds" // WebDataset's tar files
)

// Form is a form that data of a user's own come in.
type Form struct {
	Prefix string // of a name, with its colon
	Name   string // what is written: the prefix and what follows it
	What   string // in a few words
}

// Forms are all of them.
func Forms() []Form {
	var list []Form
	for _, f := range [][3]string{
		{formFolder, "PATH", "pictures, one sub-folder per class"},
		{formCSV, "FILE", "pictures by a table of paths and labels"},
		{formPair, "X.npy,Y.npy", "examples and labels as arrays"},
		{formNPZ, "FILE", "both in one file"},
		{formParquet, "FILE", "a table with pictures, or of numbers"},
		{formShards, "SHARDS", "pictures in tar files of WebDataset"},
	} {
		list = append(list, Form{Prefix: f[0] + ":", Name: f[0] + ":" + f[1], What: f[2]})
	}
	return list
}

// ownForms is what an error about an unknown name offers.
const ownForms = "dir:PATH, csv:FILE, npy:X.npy,Y.npy, npz:FILE, parquet:FILE and wds:SHARDS"

// endings are the files that tell a form.
var endings = map[string]string{".csv": formCSV, ".tsv": formCSV, ".npy": formPair, ".npz": formNPZ, ".parquet": formParquet, ".tar": formShards}

// recognized is what the name of a set of a user's own was found to be.
type recognized struct {
	form string
	rest string // the path, with the options behind it
}

// recognize finds the form of a set: a prefix says it, else the ending of a path, or what lies in a folder. The names of sets that Ballast
// has come first. ok is false where a name is no path either.
func recognize(name string) (r recognized, ok bool, err error) {
	for _, f := range Forms() {
		if rest, ok := strings.CutPrefix(name, f.Prefix); ok {
			return recognized{strings.TrimSuffix(f.Prefix, ":"), rest}, true, nil
		}
	}
	if IsNamed(name) || name == "" {
		return recognized{}, false, nil
	}

	path, _, _ := strings.Cut(name, "?")
	if x, _, pair := cutPair(path); pair && strings.EqualFold(filepath.Ext(arrayFile(x)), ".npy") {
		return recognized{formPair, name}, true, nil
	}
	form := endings[strings.ToLower(filepath.Ext(path))]
	if form != "" && strings.ContainsAny(path, "*{[") { // a pattern of shards
		return recognized{form, name}, true, nil
	}
	stat, err := os.Stat(path)
	switch {
	case err == nil && stat.IsDir():
		return recognized{folderForm(path), name}, true, nil
	case form == formPair:
		return recognized{}, true, usage("data: %s holds examples; name their labels too: %s,LABELS.npy", path, path)
	case form != "":
		return recognized{form, name}, true, nil // opening says what is wrong with it
	case err == nil:
		return recognized{}, true, unknownForm(path)
	case strings.ContainsAny(path, `/\`) && errors.Is(err, fs.ErrNotExist):
		return recognized{}, true, &fault.Input{File: path, Err: untrusted.Reason(err), Fix: "correct the path; data sets by name are listed by \"ballast data list\""}
	}
	return recognized{}, false, nil
}

// unknownForm refuses a file that is not data that can be read.
func unknownForm(path string) error {
	ending := strings.ToLower(filepath.Ext(path))
	text, fix := "it is not a file of data that is read", "give a folder of pictures, or a .csv, .npy, .npz, .parquet or .tar file"
	for _, packed := range []string{".gz", ".tgz", ".zip", ".zst", ".xz", ".bz2"} {
		if ending == packed {
			text, fix = "it is packed", "unpack it, and give the folder or the .tar file"
		}
	}
	return &fault.Input{File: path, Err: errors.New(text), Fix: fix}
}

// folderForm tells a folder of classes from one with tables or shards in it. Where there are folders that may be classes, a table or an archive
// beside them is not what is meant.
func folderForm(path string) string {
	if classes, err := subfolders(path); err != nil || len(classes) > 1 {
		return formFolder
	}
	for _, dir := range []string{path, filepath.Join(path, "data")} {
		for _, form := range []string{formParquet, formShards} {
			if found := filesWith(dir, form); len(found) > 0 {
				return form
			}
		}
	}
	if tableIn(path) != "" {
		return formCSV
	}
	return formFolder
}

// filesWith are the files of a form in a folder, by name.
func filesWith(dir, form string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var found []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !e.IsDir() && endings[strings.ToLower(filepath.Ext(e.Name()))] == form {
			found = append(found, filepath.Join(dir, e.Name()))
		}
	}
	slices.Sort(found)
	return found
}

// tables are the names of a CSV file that says the labels of the pictures beside it; metadata.csv is that of Hugging Face's image folders.
var tables = []string{"metadata.csv", "labels.csv"}

// tableIn is the CSV file of a folder of pictures without class folders; "" if it has none.
func tableIn(dir string) string {
	for _, name := range tables {
		path := filepath.Join(dir, name)
		if stat, err := os.Stat(path); err == nil && stat.Mode().IsRegular() {
			return path
		}
	}
	return ""
}

// open opens a set of a user's own.
func (o Opening) open(r recognized, part string) (Dataset, error) {
	switch r.form {
	case formFolder:
		return o.folder(r.rest, part)
	case formCSV:
		return o.csv(r.rest)
	case formPair:
		x, y, options, err := arraysOf(r.rest, r.rest)
		if err != nil {
			return nil, err
		}
		return openPair(x, y, options)
	case formNPZ:
		return openNPZ(r.rest, part)
	case formShards:
		return o.shards(r.rest, part)
	case formParquet:
		return o.parquet(r.rest, part)
	}
	return nil, fmt.Errorf("data: no reader of the form %s", r.form)
}

// hasParts reports whether sets of a form may have parts, among them val.
func (r recognized) hasParts() bool { return r.form != formCSV && r.form != formPair }

// unknownSet is the error for a name that there is none of.
func unknownSet(name string) error {
	known := Names()
	if near, ok := strict.Nearest(name, known); ok {
		return usage("data: no data set %q; did you mean %q?", name, near)
	}
	return usage("data: no data set %q; there are %s, %s", name, strings.Join(known, ", "), ownForms)
}

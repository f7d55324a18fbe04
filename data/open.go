package data

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/leftover"
	"github.com/ballast-ml/ballast/internal/strict"
)

// namedSet is a data set that goes by a name.
type namedSet struct {
	info Info
	open func(part string) (Dataset, error)
	here func() error           // nil if the set is on this machine and undamaged
	dir  func() (string, error) // of its files; "" if it has none
}

// named are the data sets that go by a name.
func named() []namedSet {
	inBinary := func(info Info, open func(part string) (Dataset, error)) namedSet {
		return namedSet{info, open, func() error { return nil }, func() (string, error) { return "", nil }}
	}
	return []namedSet{
		inBinary(optdigitsInfo, openOptdigits),
		{mnist.info, mnist.open, mnist.check, mnist.dir},
		{fashionMNIST.info, fashionMNIST.open, fashionMNIST.check, fashionMNIST.dir},
		inBinary(longTailInfo(), openLongTail),
		inBinary(canvasInfo(), openCanvas),
		inBinary(glyphsInfo(), NewGlyphs().Open),
	}
}

// Names are the names of the data sets that go by one.
func Names() []string {
	var names []string
	for _, s := range named() {
		names = append(names, s.info.Name)
	}
	return names
}

// IsNamed reports whether a data set goes by a name.
func IsNamed(name string) bool {
	return slices.ContainsFunc(named(), func(s namedSet) bool { return s.info.Name == name })
}

// parts are the parts every named set has. Folders may have train and test; others, and arrays, give the whole whatever the part.
var parts = []string{"train", "test", "all"}

// Open returns a part ("train", "test" or "all") of a data set: a name of List, or data of a user's own, as docs/data.md has them: the path
// of a folder of pictures, of a CSV file, of arrays, of a Parquet file, or a pattern of WebDataset's shards. A prefix says the form where the
// path does not: dir:PATH, csv:FILE, npy:X.npy,Y.npy, npz:FILE, parquet:FILE, wds:SHARDS. An unknown name is an error that names the nearest.
func Open(name, part string) (Dataset, error) { return Opening{}.Open(name, part) }

// Open is the function Open with what o says.
func (o Opening) Open(name, part string) (Dataset, error) {
	if err := Check(name, part); err != nil {
		return nil, err
	}
	r, own, err := recognize(name)
	if err != nil {
		return nil, err
	}
	if own {
		ds, err := o.open(r, part)
		if err != nil {
			return nil, err
		}
		if _, pictures := ds.(*pictures); o.SkipDamaged && !pictures {
			return nil, usage("data: %s has no pictures to decode, so that none can be skipped; leave --skip-damaged out", name)
		}
		return ds, nil
	}
	if o.SkipDamaged {
		return nil, usage("data: %s is known to be whole; leave --skip-damaged out", name)
	}
	for _, s := range named() {
		if s.info.Name == name {
			return s.open(part)
		}
	}
	return nil, Check(name, part)
}

// Check says what is wrong with the name of a data set or of a part, as Open does, and opens nothing.
func Check(name, part string) error {
	if !slices.Contains(parts, part) && part != Val {
		return &fault.Usage{Err: fmt.Errorf("data: no part %q; use train, test or all, or val of a folder that has it", part)}
	}
	r, own, err := recognize(name)
	if err != nil {
		return err
	}
	if part == Val && (!own || !r.hasParts()) {
		return &fault.Usage{Err: fmt.Errorf("data: %s has no part val, which only folders have; use train, test or all", name)}
	}
	if own && r.form == formPair {
		_, _, _, err := arraysOf(name, r.rest)
		return err
	}
	if own || slices.Contains(Names(), name) {
		return nil
	}
	return unknownSet(name)
}

// arraysOf reads X.npy,Y.npy?classes=K.
func arraysOf(name, pair string) (x, y string, o arrayOptions, err error) {
	pair, query, _ := strings.Cut(pair, "?")
	x, y, ok := cutPair(pair)
	if !ok {
		return "", "", o, &fault.Usage{Err: fmt.Errorf("data: %q needs two files: npy:X.npy,Y.npy", name)}
	}
	o, err = parseArrayOptions(query)
	return x, y, o, err
}

// cutPair cuts the paths of two files at a comma. Where there are several, it is the one between two files that are there, else the first.
func cutPair(pair string) (x, y string, ok bool) {
	for i, c := range pair {
		if c != ',' {
			continue
		}
		if !ok {
			x, y, ok = pair[:i], pair[i+1:], true
		}
		_, errX := os.Stat(arrayFile(pair[:i]))
		if _, errY := os.Stat(arrayFile(pair[i+1:])); errX == nil && errY == nil {
			return pair[:i], pair[i+1:], true
		}
	}
	return x, y, ok
}

// Listed is a data set or a trained network that goes by a name.
type Listed struct {
	Info
	Kind  string   `json:"kind"`            // data or model
	What  string   `json:"what,omitempty"`  // of a model
	Files []string `json:"files,omitempty"` // of a model
	Bytes int64    `json:"bytes,omitempty"` // of a model's files
	Here  bool     `json:"here"`            // on this machine and undamaged
	Disk  int64    `json:"disk"`            // bytes of its folder, with what was made of it or left there
}

// List is every data set and every trained network that goes by a name.
func List() []Listed {
	var list []Listed
	for _, s := range named() {
		list = append(list, Listed{Info: s.info, Kind: "data", Here: s.here() == nil, Disk: onDisk(s.dir)})
	}
	for _, m := range models {
		info := Info{Name: m.Name, Origin: m.Origin, Licence: m.Licence}
		list = append(list, Listed{Info: info, Kind: "model", What: m.What, Files: m.Files(), Bytes: m.Bytes(), Here: m.Check() == nil, Disk: onDisk(m.Dir)})
	}
	return list
}

// Leftovers lists what was left in the folders of data sets and trained networks by processes that were killed while they got them, and
// removes it if remove says so. What another process may be writing is kept.
func Leftovers(remove bool) ([]leftover.Left, error) {
	folders := map[string]func() (string, error){}
	for _, s := range named() {
		folders[s.info.Name] = s.dir
	}
	for _, m := range models {
		folders[m.Name] = m.Dir
	}
	var all []leftover.Left
	for _, name := range slices.Sorted(maps.Keys(folders)) {
		dir, err := folders[name]()
		if err != nil || dir == "" {
			continue
		}
		lock, err := lockPath(name)
		if err != nil {
			return nil, err
		}
		found, err := leftover.Locked(dir, lock, nil, remove)
		if err != nil {
			return nil, fmt.Errorf("data: %s: %w", name, err)
		}
		all = append(all, found...)
	}
	return all, nil
}

// onDisk is what a folder takes.
func onDisk(dir func() (string, error)) int64 {
	if path, err := dir(); err == nil && path != "" {
		return leftover.Size(path)
	}
	return 0
}

// gettable returns the set of a name that can be downloaded.
func gettable(name string) (*idxSet, error) {
	for _, s := range []*idxSet{mnist, fashionMNIST} {
		if s.info.Name == name {
			return s, nil
		}
	}
	if name == optdigitsInfo.Name {
		return nil, &fault.Usage{Err: errors.New("data: optdigits is in the binary; there is nothing to get")}
	}
	known := []string{mnist.info.Name, fashionMNIST.info.Name}
	for _, m := range models {
		known = append(known, m.Name)
	}
	text := fmt.Sprintf("data: nothing is called %q; there are %s", name, strings.Join(known, ", "))
	if near, ok := strict.Nearest(name, known); ok {
		text = fmt.Sprintf("data: nothing is called %q; did you mean %q?", name, near)
	}
	return nil, &fault.Usage{Err: errors.New(text)}
}

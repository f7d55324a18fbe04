package gguf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/ballast-ml/ballast/internal/printable"
)

// Keys that a part of a model in several files has.
const (
	SplitNumberKey  = "split.no"            // of the part, from 0
	SplitCountKey   = "split.count"         // parts
	SplitTensorsKey = "split.tensors.count" // tensors of all parts
)

// ErrSplit is the error for a model in several files if some are missing or do not belong together.
var ErrSplit = gguf.Kind("model is in several files")

// maxParts bounds the parts of a model; the largest known have 200.
const maxParts = 10_000

// partName is how programs name the parts of a model.
var partName = regexp.MustCompile(`^(.+)-(\d{5})-of-(\d{5})(\.[^.]+)$`)

// PartOf takes the name of a part apart: what all parts have in common, and the number from 1 on; ok is false for other names.
func PartOf(name string) (whole string, number int, ok bool) {
	m := partName.FindStringSubmatch(name)
	if m == nil {
		return "", 0, false
	}
	number, _ = strconv.Atoi(m[2])
	return m[1] + "-of-" + m[3] + m[4], number, true
}

// Split is a model in one file or several: the first has the metadata, all have tensors. Its methods are those of File.
type Split struct {
	*File
	parts []*File
	of    map[string]*File // by tensor, where there are several
}

// OpenSplit opens a model of one file, or of several by any of them. All parts must be there, beside each other and named as programs name them,
// and hold the tensors that they say together.
func OpenSplit(path string, opts ...Options) (*Split, error) {
	f, err := Open(path, opts...)
	if err != nil {
		return nil, err
	}
	count, err := f.Int(SplitCountKey)
	if err != nil || count <= 1 {
		if _, there := f.ValueInfo(SplitCountKey); there && err != nil {
			return nil, errors.Join(err, f.Close())
		}
		return &Split{File: f, parts: []*File{f}}, nil
	}
	paths, err := f.partPaths(count)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	s := &Split{of: map[string]*File{}}
	for i, path := range paths {
		if err := s.join(path, int64(i), count, opts); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	s.File = s.parts[0]
	if err := s.checkCount(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// partPaths are the paths of all parts, by that of one.
func (f *File) partPaths(count int64) ([]string, error) {
	fail := func(text, fix string) error {
		return &Error{File: f.path, Key: SplitCountKey, Offset: -1, Kind: ErrSplit, Text: text, Fix: fix}
	}
	dir, name := filepath.Split(f.path)
	m := partName.FindStringSubmatch(name)
	if count > maxParts {
		return nil, fail(fmt.Sprintf("%d parts, at most %d", count, maxParts), fixRewrite)
	}
	number, err := f.Int(SplitNumberKey)
	if err != nil {
		return nil, err
	}
	if m == nil {
		return nil, fail(fmt.Sprintf("this is part %d of %d, and the names of the others cannot be derived from its name", number+1, count), fmt.Sprintf("name the parts NAME-%05d-of-%05d.gguf as the program that split the model did", number+1, count))
	}
	if digits := fmt.Sprintf("%05d", count); m[3] != digits || m[2] != fmt.Sprintf("%05d", number+1) {
		return nil, fail(fmt.Sprintf("it is part %d of %d by its keys, and %s of %s by its name", number+1, count, m[2], m[3]), "give it back the name that the program that split the model gave it")
	}
	var paths, missing []string
	for i := range count {
		path := fmt.Sprintf("%s-%05d-of-%05d%s", m[1], i+1, count, m[4])
		if _, err := os.Stat(filepath.Join(dir, path)); err != nil {
			missing = append(missing, path)
		}
		paths = append(paths, filepath.Join(dir, path))
	}
	if len(missing) > 0 {
		const most = 5
		text := ""
		for i, name := range missing[:min(len(missing), most)] {
			if i > 0 {
				text += ", "
			}
			text += printable.Line(name)
		}
		if n := len(missing) - most; n > 0 {
			text += fmt.Sprintf(" and %d more", n)
		}
		return nil, fail(fmt.Sprintf("%d of its %d parts are missing: %s", len(missing), count, text), "put all parts into one folder")
	}
	return paths, nil
}

// join opens one part and takes in its tensors.
func (s *Split) join(path string, number, count int64, opts []Options) error {
	f, err := Open(path, opts...)
	if err != nil {
		return err
	}
	s.parts = append(s.parts, f)
	for _, said := range []struct {
		key  string
		want int64
	}{{SplitNumberKey, number}, {SplitCountKey, count}} {
		got, err := f.Int(said.key)
		if err != nil {
			return err
		}
		if got != said.want {
			text := fmt.Sprintf("%d, by its name %d", got, said.want)
			return &Error{File: path, Key: said.key, Offset: -1, Kind: ErrSplit, Text: text, Fix: "get the parts of one model, all of one split"}
		}
	}
	for _, name := range f.Names() {
		if other, twice := s.of[name]; twice {
			return &Error{File: path, Tensor: name, Offset: -1, Kind: ErrDuplicate, Text: "it is in " + printable.Line(filepath.Base(other.path)) + " too", Fix: "get the parts of one model, all of one split"}
		}
		s.of[name] = f
	}
	return nil
}

// checkCount holds the tensors of all parts against the number that they say.
func (s *Split) checkCount() error {
	want, err := s.Int(SplitTensorsKey)
	if _, there := s.ValueInfo(SplitTensorsKey); !there {
		return nil
	}
	if err == nil && want != int64(len(s.of)) {
		err = &Error{File: s.path, Key: SplitTensorsKey, Offset: -1, Kind: ErrSplit, Text: fmt.Sprintf("%d, its %d parts hold %d", want, len(s.parts), len(s.of)), Fix: "get the parts of one model, all of one split"}
	}
	return err
}

// Paths lists the files.
func (s *Split) Paths() []string {
	var out []string
	for _, f := range s.parts {
		out = append(out, f.path)
	}
	return out
}

// Names lists the tensors of all parts, in their order.
func (s *Split) Names() []string {
	if len(s.parts) == 1 {
		return s.File.Names()
	}
	out := make([]string, 0, len(s.of))
	for _, f := range s.parts {
		out = append(out, f.Names()...)
	}
	return out
}

// part is the file that holds a tensor; the first says what is wrong with a name that none has.
func (s *Split) part(name string) *File {
	if f := s.of[name]; f != nil {
		return f
	}
	return s.File
}

// Info describes a tensor; Begin and End count in the file that holds it.
func (s *Split) Info(name string) (Info, bool) { return s.part(name).Info(name) }

// ReadFloat32s is File.ReadFloat32s of the part that holds the tensor.
func (s *Split) ReadFloat32s(name string, at int, dst []float32) error {
	return s.part(name).ReadFloat32s(name, at, dst)
}

// ReadBytes is File.ReadBytes of the part that holds the tensor.
func (s *Split) ReadBytes(name string, at int64, dst []byte) error {
	return s.part(name).ReadBytes(name, at, dst)
}

// Close closes all parts.
func (s *Split) Close() error {
	var errs []error
	for _, f := range s.parts {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

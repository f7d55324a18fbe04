package onnx

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// Copy is a changed copy of a model that is not written yet.
type Copy struct {
	Model *Model // the copy as the reader sees it, to be run beside the original. Its external data are read from the original's files

	from  *Model
	path  string
	links []link    // files of external data of the original that the copy needs
	fresh string    // name of the file of elements that changed; "" = none
	parts []*Tensor // whose elements are in it, in their order
}

// link is a file of external data and its name beside the copy.
type link struct{ from, name string }

// alignment of elements in a file of external data: a page, so that a runtime may map them.
const alignment = 4096

// leastOutside is the least number of bytes of a tensor, whose elements lay outside the file, that puts its new ones outside too.
const leastOutside = 1024

// Rewrite makes a copy of the model with changes, for the file path. Nothing is written yet: run Copy.Model beside the original, then write
// the copy by WriteFile. External data go with it, under names of the copy's own: NAME.data, or NAME-2.data where that is taken or there are
// several files. A path that is one of the model's files is a *fault.Usage.
func (m *Model) Rewrite(path string, e Edit) (*Copy, error) {
	if err := m.Apart(path); err != nil {
		return nil, err
	}
	c := &Copy{from: m, path: path}
	places := c.lay(m, e)
	renamed, err := c.name(m, e, places)
	if err != nil {
		return nil, err
	}
	data, err := e.bytes(m.data, m, places, renamed)
	if err != nil {
		return nil, in(m.Path, err)
	}
	if int64(len(data)) > maxFile {
		return nil, in(m.Path, &Error{Kind: ErrLimit, Text: fmt.Sprintf("the copy would have %d bytes; protobuf allows 2 GiB", len(data)), Fix: "store the weights as external data"})
	}

	if stat, err := os.Stat(path); err == nil && !stat.Mode().IsRegular() && len(c.links)+len(c.parts) > 0 {
		return nil, &fault.Usage{Err: fmt.Errorf("%s is not a file, and %s has weights outside its file, which go beside the copy; name a file", printable.Line(path), printable.Line(m.Path))}
	}

	parsed, external, err := parse(data)
	if err != nil {
		return nil, in(m.Path, err)
	}
	parsed.Path, parsed.data, parsed.external = path, data, external
	c.Model = parsed
	return c, c.resolve(m, renamed)
}

// Apart refuses an output that is a file of the model, by a *fault.Usage. Rewrite asks it; callers may want to know before they compute.
func (m *Model) Apart(path string) error {
	out, err := os.Stat(path)
	if err != nil { // nothing is there, or nothing that could be one of them
		return nil //nolint:nilerr // what is wrong with the path its writing says
	}
	if stat, err := os.Stat(m.Path); err == nil && os.SameFile(stat, out) {
		return &fault.Usage{Err: fmt.Errorf("%s is the model that is read; name another file for the copy", printable.Line(path))}
	}
	for _, t := range m.external {
		if stat, err := os.Stat(t.External.path); err == nil && os.SameFile(stat, out) {
			return &fault.Usage{Err: fmt.Errorf("%s holds weights of %s; name another file for the copy", printable.Line(path), printable.Line(m.Path))}
		}
	}
	return nil
}

// name chooses the names of the copy's files of external data, and says the new location of each old one that the copy needs.
func (c *Copy) name(m *Model, e Edit, places map[string]place) (renamed map[string]string, err error) {
	gone := map[string]bool{}
	for _, name := range e.Without {
		gone[name] = true
	}
	for _, t := range e.Tensors {
		gone[t.Name] = true
	}
	initialisers := map[*Tensor]bool{}
	for _, t := range m.Graph.Initializers {
		initialisers[t] = true
	}

	renamed = map[string]string{}
	taken := map[string]bool{}
	for _, t := range m.external {
		if gone[t.Name] && initialisers[t] || renamed[t.External.Location] != "" {
			continue
		}
		from, err := filepath.EvalSymlinks(t.External.path)
		if err != nil {
			return nil, &Error{File: m.Path, Field: "tensor " + printable.Quote(t.Name), Kind: ErrExternal, Text: printable.Quote(t.External.Location), Err: err, Fix: "keep model and data of one version together in a folder"}
		}
		l := link{from, c.free(taken, func(there string) bool { return sameFile(there, from) || sameContent(there, from) })}
		c.links = append(c.links, l)
		renamed[t.External.Location] = l.name
	}
	if len(c.parts) > 0 {
		c.fresh = c.free(taken, c.holdsParts)
		for name, p := range places {
			p.location = c.fresh
			places[name] = p
		}
	}
	return renamed, nil
}

// free is a name beside the copy that no file has, but one that is what would be written: a killed writer may have left it.
func (c *Copy) free(taken map[string]bool, same func(path string) bool) string {
	base := filepath.Base(c.path)
	for n := 1; ; n++ {
		name := base + ".data"
		if n > 1 {
			name = base + "-" + strconv.Itoa(n) + ".data"
		}
		if taken[name] {
			continue
		}
		path := filepath.Join(filepath.Dir(c.path), name)
		if stat, err := os.Lstat(path); err == nil && (!stat.Mode().IsRegular() || !same(path)) {
			continue
		}
		taken[name] = true
		return name
	}
}

// sameFile reports whether two paths are one file.
func sameFile(a, b string) bool {
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}

// sameContent reports whether two files hold the same bytes.
func sameContent(a, b string) bool {
	f, err1 := untrusted.Open(a)
	if err1 != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // it was only read
	g, err2 := untrusted.Open(b)
	if err2 != nil {
		return false
	}
	defer g.Close() //nolint:errcheck // the same
	x, err1 := f.Stat()
	y, err2 := g.Stat()
	if err1 != nil || err2 != nil || x.Size() != y.Size() {
		return false
	}
	_, err := io.Copy(&comparing{f}, g)
	return err == nil
}

// holdsParts reports whether a file holds the elements that changed, and nothing else.
func (c *Copy) holdsParts(path string) bool {
	f, err := untrusted.Open(path)
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // it was only read
	w := &comparing{f}
	if c.writeParts(w) != nil {
		return false
	}
	n, err := f.Read(make([]byte, 1))
	return n == 0 && errors.Is(err, io.EOF)
}

// comparing is a writer that refuses what a reader does not give.
type comparing struct{ r io.Reader }

// Write compares.
func (c *comparing) Write(p []byte) (int, error) {
	there := make([]byte, len(p))
	if _, err := io.ReadFull(c.r, there); err != nil {
		return 0, err
	}
	if !bytes.Equal(there, p) {
		return 0, fs.ErrExist
	}
	return len(p), nil
}

// outside reports whether the new elements of a tensor go outside the file, as the old ones did.
func (c *Copy) outside(m *Model, t *Tensor) bool {
	if len(t.Raw) < leastOutside {
		return false
	}
	i := slices.IndexFunc(m.Graph.Initializers, func(old *Tensor) bool { return old.Name == t.Name })
	return i >= 0 && m.Graph.Initializers[i].External != nil
}

// lay gives new elements their places in the file that is made for them.
func (c *Copy) lay(m *Model, e Edit) map[string]place {
	places, end := map[string]place{}, int64(0)
	for _, t := range e.Tensors {
		if !c.outside(m, t) {
			continue
		}
		end = (end + alignment - 1) / alignment * alignment
		places[t.Name] = place{"", end, int64(len(t.Raw))}
		end += int64(len(t.Raw))
		c.parts = append(c.parts, t)
	}
	return places
}

// resolve says where the external data of the copy are as long as it is not written.
func (c *Copy) resolve(m *Model, renamed map[string]string) error {
	paths := map[string]string{}
	for _, t := range m.external {
		if name := renamed[t.External.Location]; name != "" {
			paths[name] = t.External.path
		}
	}
	for _, t := range c.Model.external {
		if t.External.Location == c.fresh {
			i := slices.IndexFunc(c.parts, func(part *Tensor) bool { return part.Name == t.Name })
			t.Raw = c.parts[i].Raw
			continue
		}
		path, ok := paths[t.External.Location]
		if !ok {
			return in(m.Path, misfit("tensor "+printable.Quote(t.Name), "no file of external data for %s", printable.Quote(t.External.Location)))
		}
		t.External.path = path
	}
	return nil
}

// WriteFile writes the copy: first the files of its external data, then, in one step, the model; what stood under its name is replaced.
// Weights that did not change are linked and not copied where the file system can. The file is then opened as any other.
func (c *Copy) WriteFile() error {
	before := c.ownData()
	dir := filepath.Dir(c.path)
	if len(c.links) > 0 || c.fresh != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("onnx: %w", err)
		}
	}
	for _, l := range c.links {
		if err := bring(l.from, filepath.Join(dir, l.name)); err != nil {
			return err
		}
	}
	if c.fresh != "" && !c.holdsParts(filepath.Join(dir, c.fresh)) {
		if err := durable.WriteFile(filepath.Join(dir, c.fresh), c.writeParts); err != nil {
			return err
		}
	}
	err := durable.WriteFile(c.path, func(w io.Writer) error { _, err := w.Write(c.Model.data); return err })
	if stat, err2 := os.Stat(c.path); err != nil || err2 == nil && !stat.Mode().IsRegular() { // a pipe is not read again
		return err
	}

	written, err := Open(c.path)
	if err != nil {
		return err
	}
	return c.clear(before, written)
}

// writeParts writes the elements that changed, each at its place.
func (c *Copy) writeParts(w io.Writer) error {
	at := int64(0)
	for _, t := range c.parts {
		if gap := (alignment - at%alignment) % alignment; gap > 0 {
			if _, err := w.Write(make([]byte, gap)); err != nil {
				return err
			}
			at += gap
		}
		if _, err := w.Write(t.Raw); err != nil {
			return err
		}
		at += int64(len(t.Raw))
	}
	return nil
}

// bring links a file under another name, or copies it where it cannot be linked.
func bring(from, to string) error {
	if sameFile(to, from) || sameContent(to, from) {
		return nil
	}
	if err := os.Link(from, to); err == nil {
		return durable.SyncDir(filepath.Dir(to))
	}
	f, err := untrusted.Open(from)
	if err != nil {
		return fmt.Errorf("onnx: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	return durable.WriteFile(to, func(w io.Writer) error { _, err := io.Copy(w, f); return err })
}

// ownData are the files of external data, with names that a copy gives them, of a model that stands under the copy's name.
func (c *Copy) ownData() (names []string) {
	old, err := Open(c.path)
	if err != nil {
		return nil
	}
	base := filepath.Base(c.path)
	for _, t := range old.external {
		name := t.External.Location
		if strings.HasPrefix(name, base) && strings.HasSuffix(name, ".data") && filepath.Base(name) == name && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// clear removes the files of a model that the copy has replaced and that neither it nor the original uses.
func (c *Copy) clear(names []string, written *Model) error {
	var errs []error
	for _, name := range names {
		path := filepath.Join(filepath.Dir(c.path), name)
		if slices.ContainsFunc(written.external, func(t *Tensor) bool { return t.External.Location == name }) ||
			slices.ContainsFunc(c.from.external, func(t *Tensor) bool { return sameFile(path, t.External.path) }) {
			continue
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("onnx: %w", err))
		}
	}
	return errors.Join(errs...)
}

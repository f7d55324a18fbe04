package onnx

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/ballast-ml/ballast/internal/printable"
)

// Edit is changes to a model. Every byte of what they do not name stays as it was, and in its place: fields that this package does not know
// too. A change that names what is not there, or that leaves no valid graph, is an error, and nothing is made.
type Edit struct {
	Nodes    map[int]NodeEdit // of nodes, by their place in Graph.Nodes
	Tensors  []*Tensor        // initialisers: one takes the place of that of its name, others are added behind the last
	Without  []string         // initialisers that go, and inputs of the graph with their names
	Outputs  []Value          // added behind the graph's outputs
	Metadata map[string]string
	Opsets   map[string]int64 // versions of domains that the model does not name yet
}

// NodeEdit is what becomes of a node of the graph.
type NodeEdit struct {
	Remove  bool
	Inputs  map[int]string // new names by place; one behind the last is added, with "" for those left out between
	Outputs map[int]string // new names by place
	Behind  []*Node        // nodes that are put right behind it
}

// misfit is an error in a change.
func misfit(field, format string, args ...any) *Error {
	return &Error{Field: field, Kind: ErrEdit, Text: fmt.Sprintf(format, args...)}
}

// rewriting is one use of an Edit.
type rewriting struct {
	Edit
	ir       int64
	places   map[string]place  // of new tensors whose elements go into a file of their own
	renamed  map[string]string // locations of files of external data, new by old
	replaced map[string]*Tensor
	removed  map[string]bool
}

// Bytes is a model's file with the changes. External data stay where they are: see Rewrite for copies with their data.
func (e Edit) Bytes(data []byte) ([]byte, error) {
	m, _, err := parse(data)
	if err != nil {
		return nil, err
	}
	return e.bytes(data, m, nil, nil)
}

// bytes is the file with the changes; places are where new tensors lie that are not in the file, renamed the new locations of external data.
func (e Edit) bytes(data []byte, m *Model, places map[string]place, renamed map[string]string) ([]byte, error) {
	w := &rewriting{Edit: e, ir: m.IRVersion, places: places, renamed: renamed, replaced: map[string]*Tensor{}, removed: map[string]bool{}}
	if err := w.check(m); err != nil {
		return nil, err
	}
	return w.model(data)
}

// check refuses changes of what the model does not have, and those that contradict each other.
func (w *rewriting) check(m *Model) error {
	there := map[string]bool{}
	for _, t := range m.Graph.Initializers {
		there[t.Name] = true
	}
	for _, name := range w.Without {
		if !there[name] {
			return misfit("initialiser", "there is no %s to take out", printable.Quote(name))
		}
		w.removed[name] = true
	}

	for _, t := range w.Tensors {
		if err := t.whole(); err != nil {
			return err
		}
		if w.replaced[t.Name] != nil || w.removed[t.Name] {
			return misfit("initialiser", "%s is changed twice", printable.Quote(t.Name))
		}
		w.replaced[t.Name] = t
	}

	for at := range w.Nodes {
		if at < 0 || at >= len(m.Graph.Nodes) {
			return misfit("node", "there is no node %d, of %d", at, len(m.Graph.Nodes))
		}
		n := m.Graph.Nodes[at]
		for place := range w.Nodes[at].Inputs {
			if place < 0 || place > len(n.Inputs)+maxRank {
				return misfit(n.String(), "there is no input %d", place)
			}
		}
		for place := range w.Nodes[at].Outputs {
			if place < 0 || place >= len(n.Outputs) {
				return misfit(n.String(), "there is no output %d", place)
			}
		}
	}

	for domain, version := range w.Opsets {
		if _, has := m.Opsets[domain]; has || version < 1 {
			return misfit("opset "+printable.Quote(domain), "version %d; the model has one", version)
		}
	}
	return nil
}

// whole refuses a tensor that does not hold what its shape says.
func (t *Tensor) whole() error {
	n, ok := elements(t.Dims)
	switch {
	case t.Name == "":
		return misfit("initialiser", "it has no name")
	case !ok || len(t.Dims) > maxRank:
		return misfit("tensor "+printable.Quote(t.Name), "shape %v", t.Dims)
	case t.Type == String && len(t.Strings) != n, t.Type != String && (t.Type.Bits() == 0 || int64(len(t.Raw)) != t.Type.bytesOf(n)):
		return misfit("tensor "+printable.Quote(t.Name), "%d bytes for the shape %v of %s", len(t.Raw), t.Dims, t.Type)
	}
	return nil
}

// located is a field of a message with the bytes that it is made of, its tag among them.
type located struct {
	field
	whole []byte
}

// list is the fields of a message.
func list(what string, data []byte) (all []located, err error) {
	at := 0
	err = fields(what, data, func(x field) error {
		end := at + sizeOfField(data[at:])
		all = append(all, located{x, data[at:end]})
		at = end
		return nil
	})
	return all, err
}

// sizeOfField is the bytes of a field that fields has read.
func sizeOfField(data []byte) int {
	_, _, n := protowire.ConsumeField(data)
	return n
}

// behindLast is the place behind the last field of a number; fallback where there is none.
func behindLast(all []located, num protowire.Number, fallback int) int {
	for i, x := range slices.Backward(all) {
		if x.num == num {
			return i + 1
		}
	}
	return fallback
}

// model is the file with the changes.
func (w *rewriting) model(data []byte) ([]byte, error) {
	all, err := list("model", data)
	if err != nil {
		return nil, err
	}

	var entries, opsets message
	set := maps.Clone(w.Metadata)
	for _, domain := range slices.Sorted(maps.Keys(w.Opsets)) {
		var m message
		m.text(1, domain)
		m.int(2, w.Opsets[domain])
		opsets.bytes(8, m)
	}

	out := make(message, 0, len(data)+w.growth())
	inner := make([][]byte, len(all)) // of what changes
	for i, x := range all {
		switch x.num {
		case 7:
			if inner[i], err = w.graph(x.bytes, true); err != nil {
				return nil, err
			}
			if bytes.Equal(inner[i], x.bytes) {
				inner[i] = nil
			}
		case 14:
			key, _, err := newParser(len(x.bytes)).pair(x.bytes)
			if err != nil {
				return nil, err
			}
			if value, ok := set[key]; ok {
				inner[i] = pairOf(key, value)
				delete(set, key)
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(set)) {
		entries.bytes(14, pairOf(key, set[key]))
	}

	end := len(all)
	metadata, domains := behindLast(all, 14, end), behindLast(all, 8, end)
	for i := range end + 1 {
		if i == domains {
			out = append(out, opsets...)
		}
		if i == metadata {
			out = append(out, entries...)
		}
		if i == end {
			break
		}
		if inner[i] != nil {
			out.bytes(all[i].num, inner[i])
			inner[i] = nil
			continue
		}
		out = append(out, all[i].whole...)
	}
	return out, nil
}

// growth is about how many bytes the changes add.
func (w *rewriting) growth() (n int) {
	for _, t := range w.Tensors {
		if _, outside := w.places[t.Name]; !outside {
			n += len(t.Raw)
		}
	}
	return n + 1<<12
}

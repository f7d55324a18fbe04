package onnx

import (
	"bytes"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/ballast-ml/ballast/internal/printable"
)

// irOfInputs is the version of ONNX's file format below which every initialiser must be an input of the graph too.
const irOfInputs = 4

// graph is a GraphProto with the changes. Of a graph within a node only the places of external data change.
func (w *rewriting) graph(data []byte, top bool) (message, error) {
	all, err := list("graph", data)
	if err != nil {
		return nil, err
	}
	g := graphRewriting{rewriting: w, top: top, there: map[string]bool{}}
	changed := make([]message, len(all)) // what stands in the place of each field; nil = the field as it is
	for i, x := range all {
		if changed[i], err = g.field(x); err != nil {
			return nil, err
		}
	}

	end := len(all)
	nodes := behindLast(all, 1, end)
	behind := map[int]message{}
	if top {
		tensors, inputs, outputs, err := g.added()
		if err != nil {
			return nil, err
		}
		for num, m := range map[protowire.Number]message{5: tensors, 11: inputs, 12: outputs} {
			at := behindLast(all, num, nodes)
			behind[at] = append(behind[at], m...)
		}
	}

	out := make(message, 0, len(data)+w.growth())
	for i := range end + 1 {
		out = append(out, behind[i]...)
		switch {
		case i == end:
		case changed[i] != nil:
			out = append(out, changed[i]...)
		default:
			out = append(out, all[i].whole...)
		}
	}
	return out, nil
}

// graphRewriting is the rewriting of one graph.
type graphRewriting struct {
	*rewriting
	top   bool
	node  int // that comes next
	there map[string]bool
}

// field is what stands in the place of a field of a graph, with its tag; nil = the field as it is.
func (g *graphRewriting) field(x located) (out message, err error) {
	switch {
	case x.num == 1:
		at := g.node
		g.node++
		return g.nodeField(x, at)
	case x.num == 5, x.num == 15 && g.top:
		return g.tensorField(x)
	case x.num == 11 && g.top && len(g.removed) > 0:
		v, err := newParser(len(x.bytes)).value(x.bytes)
		if err == nil && g.removed[v.Name] {
			return message{}, nil
		}
		return nil, err
	}
	return nil, nil
}

// added are the new initialisers with their inputs, where the format wants these, and the new outputs.
func (g *graphRewriting) added() (tensors, inputs, outputs message, err error) {
	for _, t := range g.Tensors {
		if g.there[t.Name] {
			continue
		}
		if at, outside := g.places[t.Name]; outside {
			tensors.bytes(5, t.encodeOutside(at))
		} else {
			tensors.bytes(5, t.encode())
		}
		if g.ir < irOfInputs {
			v := Value{Name: t.Name, Type: t.Type, Rank: len(t.Dims)}
			for _, d := range t.Dims {
				v.Dims = append(v.Dims, Dim{Size: d})
			}
			inputs.bytes(11, v.encode())
		}
	}
	for _, v := range g.Outputs {
		if v.Name == "" || v.Other != "" {
			return nil, nil, nil, misfit("output "+printable.Quote(v.Name), "an output that is added is a tensor with a name")
		}
		outputs.bytes(12, v.encode())
	}
	return tensors, inputs, outputs, nil
}

// tensorField is what stands in the place of an initialiser.
func (g *graphRewriting) tensorField(x located) (out message, err error) {
	p := newParser(len(x.bytes))
	read := p.tensor
	if x.num == 15 {
		read = p.sparse
	}
	old, err := read(x.bytes)
	if err != nil {
		return nil, err
	}
	if g.top && g.removed[old.Name] {
		return message{}, nil
	}

	t := g.replaced[old.Name]
	switch at, outside := g.places[old.Name]; {
	case !g.top || t == nil:
		inner, err := g.moved(x.bytes, old)
		if inner == nil || err != nil {
			return nil, err
		}
		out.bytes(5, inner)
		return out, nil
	case x.num == 15 && outside:
		out.bytes(5, t.encodeOutside(at))
	case x.num == 15:
		out.bytes(5, t.encode())
	default:
		inner, err := g.tensor(x.bytes, old, t)
		if err != nil {
			return nil, err
		}
		out.bytes(5, inner)
	}
	g.there[old.Name] = true
	return out, nil
}

// tensor is a TensorProto with the elements of another; its name, its text and fields that are not known here stay.
func (g *graphRewriting) tensor(data []byte, old, t *Tensor) (message, error) {
	all, err := list("tensor", data)
	if err != nil {
		return nil, err
	}
	var elements message
	at, outside := g.places[t.Name]
	switch {
	case outside:
		elements = at.encode()
	case t.Type == String:
		for _, s := range t.Strings {
			elements.bytes(6, s)
		}
	default:
		elements.bytes(9, t.Raw)
	}
	sameShape := slices.Equal(old.Dims, t.Dims)

	var out message
	dims := false
	for _, x := range all {
		switch x.num {
		case 1:
			if sameShape {
				out = append(out, x.whole...)
			} else if !dims {
				for _, d := range t.Dims {
					out.int(1, int64(d))
				}
			}
			dims = true
		case 2:
			if t.Type == old.Type {
				out = append(out, x.whole...)
			} else {
				out.int(2, int64(t.Type))
			}
		case 4, 5, 6, 7, 9, 10, 11, 13, 14:
			out = append(out, elements...)
			elements = nil
		default:
			out = append(out, x.whole...)
		}
	}
	if !dims && !sameShape {
		for _, d := range t.Dims {
			out.int(1, int64(d))
		}
	}
	return append(out, elements...), nil
}

// moved is a TensorProto whose external data are in a file with another name now; nil where they are not.
func (w *rewriting) moved(data []byte, old *Tensor) (message, error) {
	if old.External == nil {
		return nil, nil
	}
	location, ok := w.renamed[old.External.Location]
	if !ok || location == old.External.Location {
		return nil, nil
	}
	all, err := list("tensor", data)
	if err != nil {
		return nil, err
	}
	var out message
	for _, x := range all {
		if x.num == 13 {
			if key, _, err := newParser(len(x.bytes)).pair(x.bytes); err != nil {
				return nil, err
			} else if key == "location" {
				out.bytes(13, pairOf(key, location))
				continue
			}
		}
		out = append(out, x.whole...)
	}
	return out, nil
}

// nodeField is what stands in the place of a node.
func (g *graphRewriting) nodeField(x located, at int) (out message, err error) {
	var e NodeEdit
	if g.top {
		e = g.Nodes[at]
	}
	inner, err := g.nodeMessage(x.bytes, e)
	if err != nil {
		return nil, err
	}
	switch {
	case e.Remove:
		out = message{}
	case inner != nil:
		out.bytes(1, inner)
	case len(e.Behind) == 0:
		return nil, nil
	default:
		out = append(out, x.whole...)
	}
	for _, n := range e.Behind {
		m, err := n.encode()
		if err != nil {
			return nil, err
		}
		out.bytes(1, m)
	}
	return out, nil
}

// nodeMessage is a NodeProto with new names of inputs and outputs; nil where nothing in it changes.
func (g *graphRewriting) nodeMessage(data []byte, e NodeEdit) (message, error) {
	if len(e.Inputs)+len(e.Outputs)+len(g.renamed) == 0 || e.Remove {
		return nil, nil
	}

	all, err := list("node", data)
	if err != nil {
		return nil, err
	}

	var out message
	inputs, outputs, changed := 0, 0, len(e.Inputs)+len(e.Outputs) > 0
	last := behindLast(all, 1, 0)
	count := 0
	for _, x := range all {
		if x.num == 1 {
			count++
		}
	}

	for i := range len(all) + 1 {
		if i == last {
			for at := count; at <= largest(e.Inputs); at++ {
				out.text(1, e.Inputs[at])
			}
		}
		if i == len(all) {
			break
		}
		x := all[i]
		name, renamed := "", false
		switch x.num {
		case 1:
			name, renamed = e.Inputs[inputs], has(e.Inputs, inputs)
			inputs++
		case 2:
			name, renamed = e.Outputs[outputs], has(e.Outputs, outputs)
			outputs++
		case 5:
			inner, err := g.attribute(x.bytes)
			if err != nil {
				return nil, err
			}
			if inner != nil {
				out.bytes(5, inner)
				changed = true
				continue
			}
		}
		if renamed {
			out.text(x.num, name)
			continue
		}
		out = append(out, x.whole...)
	}

	if !changed {
		return nil, nil
	}
	return out, nil
}

func has(names map[int]string, at int) bool {
	_, ok := names[at]
	return ok
}

// largest is the last place of names, -1 for none.
func largest(names map[int]string) int {
	most := -1
	for at := range names {
		most = max(most, at)
	}
	return most
}

// attribute is an AttributeProto whose tensors' external data are in files with other names now; nil where nothing in it changes.
func (w *rewriting) attribute(data []byte) (message, error) {
	if len(w.renamed) == 0 {
		return nil, nil
	}
	all, err := list("attribute", data)
	if err != nil {
		return nil, err
	}
	var out message
	changed := false
	for _, x := range all {
		var inner message
		switch x.num {
		case 5:
			t, err := newParser(len(x.bytes)).tensor(x.bytes)
			if err != nil {
				return nil, err
			}
			if inner, err = w.moved(x.bytes, t); err != nil {
				return nil, err
			}
		case 6:
			if inner, err = w.graph(x.bytes, false); err != nil {
				return nil, err
			}
			if bytes.Equal(inner, x.bytes) {
				inner = nil
			}
		}
		if inner == nil {
			out = append(out, x.whole...)
			continue
		}
		out.bytes(x.num, inner)
		changed = true
	}
	if !changed {
		return nil, nil
	}
	return out, nil
}

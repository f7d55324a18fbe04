package onnx

import (
	"fmt"

	"github.com/ballast-ml/ballast/internal/printable"
)

// scope is the values that a graph sees, its own and those around it.
type scope struct {
	values map[string]bool
	outer  *scope
}

func (s *scope) has(name string) bool {
	for ; s != nil; s = s.outer {
		if s.values[name] {
			return true
		}
	}
	return false
}

// check holds a graph against the rules: every value defined once, before it is used. Inputs that initialisers fill are dropped.
func check(g *Graph, outer *scope) error {
	s := &scope{map[string]bool{}, outer}
	define := func(name, what string) error {
		if s.values[name] {
			return &Error{Field: what, Kind: ErrDuplicate, Text: "value " + printable.Quote(name), Fix: fixExport}
		}
		s.values[name] = true
		return nil
	}

	for _, t := range g.Initializers {
		if t.Name == "" {
			return &Error{Field: "graph " + printable.Quote(g.Name), Kind: ErrGraph, Text: "an initialiser has no name", Fix: fixExport}
		}
		if err := define(t.Name, "initialiser"); err != nil {
			return err
		}
	}

	filled := len(s.values)
	inputs := g.Inputs[:0]
	seen := map[string]bool{}
	for _, v := range g.Inputs {
		if seen[v.Name] {
			return &Error{Field: "input", Kind: ErrDuplicate, Text: "value " + printable.Quote(v.Name), Fix: fixExport}
		}
		seen[v.Name] = true
		if filled > 0 && s.values[v.Name] {
			continue
		}
		if err := define(v.Name, "input"); err != nil {
			return err
		}
		inputs = append(inputs, v)
	}
	g.Inputs = inputs

	later := map[string]bool{}
	for _, n := range g.Nodes {
		for _, out := range n.Outputs {
			if out == "" {
				continue
			}
			if later[out] || s.values[out] {
				return &Error{Field: n.String(), Kind: ErrDuplicate, Text: "value " + printable.Quote(out), Fix: fixExport}
			}
			later[out] = true
		}
	}

	for _, n := range g.Nodes {
		for _, name := range n.Inputs {
			if name == "" || s.has(name) {
				continue
			}
			if later[name] {
				return &Error{Field: n.String(), Kind: ErrOrder, Text: fmt.Sprintf("it takes %s, which only a later node or the node itself produces", printable.Quote(name)), Fix: fixExport}
			}
			return &Error{Field: n.String(), Kind: ErrMissing, Text: printable.Quote(name), Fix: fixExport}
		}
		for i := range n.Attributes {
			if sub := n.Attributes[i].Graph; sub != nil {
				if err := check(sub, s); err != nil {
					return err
				}
			}
		}
		for _, out := range n.Outputs {
			if out != "" {
				s.values[out] = true
			}
		}
	}

	for _, v := range g.Outputs {
		if !s.has(v.Name) {
			return &Error{Field: "output", Kind: ErrMissing, Text: printable.Quote(v.Name), Fix: fixExport}
		}
	}
	return nil
}

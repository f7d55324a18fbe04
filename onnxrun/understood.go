package onnxrun

import (
	"errors"
	"fmt"
	"slices"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/internal/strict"
)

// takes names the attributes that an operator reads; a node with another one is refused before anything runs.
func (o operator) takes(names ...string) operator {
	o.reads = append([]string{}, names...)
	return o
}

// unless has an operator refuse nodes for a reason, before anything runs. An empty text is none.
func (o operator) unless(reason func(n *onnx.Node) string) operator {
	before := o.refuses
	o.refuses = func(n *onnx.Node) string {
		if before != nil {
			if text := before(n); text != "" {
				return text
			}
		}
		return reason(n)
	}
	return o
}

// without refuses attributes that the operator has, and that are not supported here but for the value that changes nothing.
func without(attributes map[string]int64) func(n *onnx.Node) string {
	return func(n *onnx.Node) string {
		for _, a := range n.Attributes {
			if idle, ok := attributes[a.Name]; ok && a.Int != idle {
				return fmt.Sprintf("%s = %d is not supported, %d is", a.Name, a.Int, idle)
			}
		}
		return ""
	}
}

// lacking refuses nodes that name inputs or outputs which are not supported here.
func lacking(what string, names func(n *onnx.Node) []string, places map[int]string) func(n *onnx.Node) string {
	return func(n *onnx.Node) string {
		for i, name := range names(n) {
			if text, ok := places[i]; ok && name != "" {
				return fmt.Sprintf("%s %d, %s, is not supported", what, i, text)
			}
		}
		return ""
	}
}

func inputsOf(n *onnx.Node) []string { return n.Inputs }

func outputsOf(n *onnx.Node) []string { return n.Outputs }

// checkUnderstood refuses the first node of a graph with what its operator does not understand.
func checkUnderstood(file string, g *onnx.Graph) error {
	for _, n := range g.Nodes {
		wrong := func(err error, fix string) error {
			return &fault.Input{File: file, Field: n.String(), Err: err, Fix: fix}
		}
		op := operatorOf(n)
		for _, a := range n.Attributes {
			if op.reads == nil || slices.Contains(op.reads, a.Name) {
				continue
			}
			fix := "export the model without it"
			if near, ok := strict.Nearest(a.Name, op.reads); ok {
				fix += " (did you mean " + printable.Line(near) + "?)"
			}
			return wrong(errors.New("attribute "+printable.Line(a.Name)+" is not understood"), fix)
		}
		if op.refuses != nil {
			if text := op.refuses(n); text != "" {
				return wrong(errors.New(printable.Line(text)), "export the model without it")
			}
		}
		for i := range n.Attributes {
			if sub := n.Attributes[i].Graph; sub != nil {
				if err := checkUnderstood(file, sub); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

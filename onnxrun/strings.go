package onnxrun

import (
	"slices"

	"github.com/ballast-ml/ballast/format/onnx"
)

// withoutStrings is a model without those of its outputs that are declared to be strings, which engines do not have, and without the
// nodes, constants and inputs that serve them alone; beside it the names of these outputs. A classifier's labels go this way, and its scores
// stay. Where every output is of strings, or none, it is the model itself.
func withoutStrings(m *onnx.Model) (numbers *onnx.Model, left []string) {
	var outputs []onnx.Value
	for _, v := range m.Graph.Outputs {
		if v.Type == onnx.String {
			left = append(left, v.Name)
			continue
		}
		outputs = append(outputs, v)
	}
	if len(left) == 0 || len(outputs) == 0 {
		return m, nil
	}

	used := map[string]bool{}
	for _, v := range outputs {
		used[v.Name] = true
	}
	var nodes []*onnx.Node
	for _, n := range slices.Backward(m.Graph.Nodes) {
		if !slices.ContainsFunc(n.Outputs, func(name string) bool { return used[name] }) {
			continue
		}
		if labels := n.Attribute("classlabels_strings"); labels != nil && len(n.Outputs) > 1 && !used[n.Outputs[0]] {
			scores := *n
			scores.Outputs = append([]string{""}, n.Outputs[1:]...)
			n = &scores
		}
		namesIn([]*onnx.Node{n}, used)
		nodes = append(nodes, n)
	}
	slices.Reverse(nodes)

	g := *m.Graph
	g.Nodes, g.Outputs, g.Initializers, g.Inputs = nodes, outputs, nil, nil
	for _, t := range m.Graph.Initializers {
		if used[t.Name] || t.Type != onnx.String {
			g.Initializers = append(g.Initializers, t)
		}
	}
	for _, v := range m.Graph.Inputs {
		if used[v.Name] || v.Type != onnx.String {
			g.Inputs = append(g.Inputs, v)
		}
	}
	plain := *m
	plain.Graph = &g
	return &plain, left
}

// LeftOut are the outputs of a model that a run leaves out, as they are strings.
func LeftOut(m *onnx.Model) []string {
	_, left := withoutStrings(m)
	return left
}

// ClassLabels are the strings that a classifier of the model has as labels, in the order of its scores; nil where they are numbers or stand
// in a tensor.
func ClassLabels(m *onnx.Model) (labels []string) {
	for _, n := range m.Graph.Nodes {
		a := n.Attribute("classlabels_strings")
		if a == nil || len(a.Strings) == 0 {
			continue
		}
		labels = nil
		for _, s := range a.Strings {
			labels = append(labels, string(s))
		}
	}
	return labels
}

package bundle

import (
	"errors"
	"fmt"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/onnxrun"
)

// ONNXGraph describes what an ONNX file computes.
type ONNXGraph struct {
	Inputs      []GraphValue     `json:"inputs"`
	Outputs     []GraphValue     `json:"outputs"`
	Opsets      map[string]int64 `json:"opsets"`                      // version of each domain's operators
	Operators   map[string]int   `json:"operators"`                   // nodes of each
	Unsupported []string         `json:"unsupported"`                 // operators that cannot be run here
	Nodes       []string         `json:"unsupported_nodes,omitempty"` // the first of each, as far as ten of them
	LeftOut     []string         `json:"left_out,omitempty"`          // outputs that a run leaves out, as they are strings
	Runs        bool             `json:"runs"`                        // nothing is known that keeps "ballast run" from running it
}

// GraphValue is an input or an output. Shape is nil if the file does not say it; a dimension is an int, or a string where it may vary:
// its name, or "?".
type GraphValue struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	Shape []any  `json:"shape"`
}

// standardDomain is how people write the domain whose name is empty in files.
const standardDomain = "ai.onnx"

// graph describes the model of an ONNX file, and says so if it cannot be run.
func (f *Foreign) graph(m *onnx.Model) {
	counts, missing := onnxrun.Operators(m)
	g := &ONNXGraph{
		Inputs: graphValues(m.Graph.Inputs), Outputs: graphValues(m.Graph.Outputs),
		Opsets: map[string]int64{}, Operators: counts, Unsupported: append([]string{}, missing...), Runs: true,
		LeftOut: onnxrun.LeftOut(m),
	}
	for domain, version := range m.Opsets {
		if domain == "" {
			domain = standardDomain
		}
		g.Opsets[domain] = version
	}
	f.Graph = g
	err := onnxrun.Check(m)
	if err == nil {
		return
	}
	g.Runs, f.Missing = false, []string{}
	for _, op := range missing {
		f.Missing = append(f.Missing, "operator "+op)
	}
	f.Fix = "export the model without them, docs/onnx.md lists the operators that are supported"
	var lacks *onnxrun.UnsupportedError
	if errors.As(err, &lacks) {
		g.Nodes = lacks.Nodes
	}
	var bad *fault.Input
	if errors.As(err, &bad) {
		f.Missing, f.Fix = []string{fmt.Sprintf("%s: %v", bad.Field, bad.Err)}, bad.Fix
	}
}

func graphValues(values []onnx.Value) []GraphValue {
	out := []GraphValue{}
	for _, v := range values {
		g := GraphValue{Name: v.Name, Type: "?"}
		switch {
		case v.Type != 0:
			g.Type = v.Type.String()
		case v.Other != "":
			g.Type = v.Other
		}
		if v.Rank >= 0 {
			g.Shape = []any{}
		}
		for _, d := range v.Dims {
			switch {
			case d.Name != "":
				g.Shape = append(g.Shape, d.Name)
			case d.Size >= 0:
				g.Shape = append(g.Shape, d.Size)
			default:
				g.Shape = append(g.Shape, "?")
			}
		}
		out = append(out, g)
	}
	return out
}

// notes are what people should know of a graph beside its parts.
func (g *ONNXGraph) notes() (notes []string) {
	for _, node := range g.Nodes {
		notes = append(notes, node+" is not supported")
	}
	for _, name := range g.LeftOut {
		notes = append(notes, "output "+name+" is left out by a run: its values are strings, which engines do not have")
	}
	return notes
}

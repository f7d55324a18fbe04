package subject

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/data/preprocess"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/onnx"
)

// passing are operators that leave the axes of their first input where they are.
var passing = []string{
	"Identity", "Cast", "Add", "Sub", "Mul", "Div", "Clip", "Relu", "Pad", "Resize", "Upsample", "BatchNormalization", "QuantizeLinear", "DequantizeLinear",
	"DynamicQuantizeLinear", "Dropout", "Sqrt", "Neg",
}

// convolving are operators whose input is [batch, channels, height, width].
var convolving = []string{"Conv", "QLinearConv", "ConvInteger", "FusedConv"}

// firstConv follows the input to the first convolution: whether axes are moved from NHWC on the way, and the channels that it takes.
func (g *Graph) firstConv() (moved bool, channels int, ok bool) {
	constants := map[string]*onnx.Tensor{}
	for _, t := range g.File.Graph.Initializers {
		constants[t.Name] = t
	}
	moves := map[string]bool{g.Input.Name: false} // of values that come from the input
	for _, n := range g.File.Graph.Nodes {
		if len(n.Inputs) == 0 || len(n.Outputs) == 0 {
			continue
		}
		source := slices.IndexFunc(n.Inputs, func(name string) bool { _, is := moves[name]; return is })
		if source < 0 {
			continue
		}
		now := moves[n.Inputs[source]]
		switch {
		case slices.Contains(convolving, n.Op):
			return now, convChannels(n, constants), true
		case n.Op == "Transpose":
			if perm := n.Attribute("perm"); perm != nil && len(perm.Ints) == 4 {
				switch fmt.Sprint(perm.Ints) {
				case "[0 3 1 2]":
					moves[n.Outputs[0]] = true
				case "[0 2 3 1]":
					moves[n.Outputs[0]] = false
				}
			}
		case slices.Contains(passing, n.Op):
			moves[n.Outputs[0]] = now
		}
	}
	return false, 0, false
}

// convChannels are the channels that a convolution takes, by its weights.
func convChannels(n *onnx.Node, constants map[string]*onnx.Tensor) int {
	groups := 1
	if a := n.Attribute("group"); a != nil && a.Int > 0 {
		groups = int(a.Int)
	}
	for _, name := range n.Inputs[1:] {
		if t := constants[name]; t != nil && len(t.Dims) == 4 {
			return groups * t.Dims[1]
		}
	}
	return 0
}

// colours reports whether images have so many channels.
func colours(n int) bool { return n == 1 || n == 3 || n == 4 }

// findLayout finds whether channels come first or last, and says why; because is empty where it is a guess.
func (g *Graph) findLayout(o Options) (because string, err error) {
	first, last := g.dim(1), g.dim(3)
	if o.Preprocess != nil && o.Preprocess.Layout != "" {
		g.Layout = o.Preprocess.Layout
		channels, other := first, preprocess.NHWC
		if g.Layout == preprocess.NHWC {
			channels, other = last, preprocess.NCHW
		}
		if channels != 0 && !colours(channels) {
			return "", &fault.Usage{Err: fmt.Errorf("--preprocess: with layout %s, input %s %s of %s would have %d channels; use %s",
				g.Layout, g.Input.Name, dimensions(g.Input.Dims), g.m.Name, channels, other)}
		}
		return "--preprocess", nil
	}
	moved, _, found := g.firstConv()
	switch {
	case found && moved:
		g.Layout, because = preprocess.NHWC, "the graph moves the last axis to the front before its first convolution"
	case found:
		g.Layout, because = preprocess.NCHW, "the first convolution takes the input as it is"
	case colours(first) && !colours(last):
		g.Layout, because = preprocess.NCHW, fmt.Sprintf("axis 1 has %d", first)
	case colours(last) && !colours(first):
		g.Layout, because = preprocess.NHWC, fmt.Sprintf("axis 3 has %d", last)
	default:
		g.Layout = preprocess.NCHW
	}
	return because, nil
}

// findOutput finds the scores: the one output of floating point numbers, [batch, classes], or of several the one that its name tells.
func (g *Graph) findOutput(o Options) error {
	var fit []onnx.Value
	var names []string
	for _, v := range g.File.Graph.Outputs {
		names = append(names, v.Name+" "+dimensions(v.Dims))
		if scoresOf(v) {
			fit = append(fit, v)
		}
	}
	if len(fit) > 1 {
		for _, word := range []string{"logit", "score", "prob", "output"} {
			if i := slices.IndexFunc(fit, func(v onnx.Value) bool { return strings.Contains(strings.ToLower(v.Name), word) }); i >= 0 {
				fit = fit[i : i+1]
				break
			}
		}
	}
	if len(fit) > 1 {
		fit = g.ends(fit)
	}
	switch len(fit) {
	case 0:
		fix := g.fixRun()
		if slices.ContainsFunc(g.File.Graph.Outputs, func(v onnx.Value) bool { return v.Type == onnx.Int64 || v.Type == onnx.Int32 }) {
			fix = "export the model with the scores that its answers are chosen by, in front of argmax"
		}
		return g.wrong("", fix, "%w, which would be FLOAT [batch, classes]; its outputs are %s", errNoAnswers, listed(names))
	case 1:
	default:
		return g.wrong("", "export the model with the output of its scores alone", "it has %d outputs that may be scores of classes: %s", len(fit), listed(names))
	}
	g.Output = fit[0].Name
	if d := fit[0].Dims; len(d) > 1 && d[1].Name == "" && d[1].Size > 0 {
		g.Classes = d[1].Size
	}
	return g.findForm(o)
}

// ends are the values among some outputs that none of the others is made of: of an embedding and its scores, the scores. Where that decides
// nothing, all are.
func (g *Graph) ends(fit []onnx.Value) []onnx.Value {
	var last []onnx.Value
	for _, v := range fit {
		leads := slices.ContainsFunc(fit, func(w onnx.Value) bool { return w.Name != v.Name && g.leadsTo(v.Name, w.Name) })
		if !leads {
			last = append(last, v)
		}
	}
	if len(last) == 0 {
		return fit
	}
	return last
}

// leadsTo reports whether a value is made of another.
func (g *Graph) leadsTo(from, to string) bool {
	used := map[string]bool{to: true}
	for _, n := range slices.Backward(g.File.Graph.Nodes) {
		if slices.ContainsFunc(n.Outputs, func(name string) bool { return name != "" && used[name] }) {
			uses(n, used)
		}
	}
	return used[from]
}

// scoresOf reports whether a value may be scores of classes: [batch, classes], with sides of 1 behind them or not.
func scoresOf(v onnx.Value) bool {
	switch v.Type {
	case onnx.Float, onnx.Float16, onnx.BFloat16, onnx.Double:
	case 0:
		return v.Other == "" || v.Other == "sequence" // of ZipMap, which passes its scores on
	default:
		return false
	}
	if v.Rank < 2 {
		return v.Rank == -1
	}
	for _, d := range v.Dims[2:] {
		if d.Size != 1 {
			return false
		}
	}
	return true
}

// findForm follows the output back to what makes probabilities of scores, if something does.
func (g *Graph) findForm(o Options) error {
	maker := map[string]*onnx.Node{}
	for _, n := range g.File.Graph.Nodes {
		for _, name := range n.Outputs {
			maker[name] = n
		}
	}
	n := maker[g.Output]
	for n != nil && len(n.Inputs) > 0 && slices.Contains([]string{"Identity", "Cast", "Squeeze", "Flatten", "Reshape", "ZipMap"}, n.Op) {
		n = maker[n.Inputs[0]]
	}
	op := ""
	if n != nil && len(n.Inputs) > 0 {
		op, g.last = n.Op, n
	}
	switch {
	case o.Outputs == Logits:
		g.Form, g.insisted = Logits, true
		g.m.assume("outputs", "--outputs", false, "%s of output %s", Logits, g.Output)
	case o.Outputs == Probabilities:
		g.Form = Probabilities
		g.m.assume("outputs", "--outputs", false, "%s of output %s: their logarithms are the logits", Probabilities, g.Output)
	case (op == "Softmax" || op == "Sigmoid") && n.Domain == "":
		g.Form, g.Scores = Logits, n.Inputs[0]
		g.m.assume("outputs", "the graph ends in "+op, false, "probabilities of output %s; the logits that go into its %s are taken", g.Output, op)
	case op == "LogSoftmax":
		g.Form = Logits
		g.m.assume("outputs", "the graph ends in LogSoftmax", false, "logarithms of probabilities of output %s, taken as logits", g.Output)
	case slices.Contains([]string{"Gemm", "MatMul", "Conv", "FusedGemm", "FusedMatMul"}, op):
		g.Form = Logits
		g.m.assume("outputs", "the graph ends in "+op+", not in a Softmax", false, "logits of output %s", g.Output)
	default: // Add behind MatMul, quantised or composed ones, trees: the values tell
	}
	return nil
}

// cut is the graph of what leads to the scores, from a float32 input to a float32 output.
func (g *Graph) cut() *onnx.Model {
	wanted := g.Output
	if g.Scores != "" {
		wanted = g.Scores
	}
	m := g.leading(g.File, wanted)
	const scores = "ballast: scores"
	m.Graph.Nodes = append(m.Graph.Nodes, cast(scores, wanted, scores, onnx.Float))
	m.Graph.Outputs = []onnx.Value{{Name: scores, Type: onnx.Float, Rank: -1}}
	return m
}

// cast is a node that changes the type of a value.
func cast(name, from, into string, to onnx.DataType) *onnx.Node {
	return &onnx.Node{Name: name, Op: "Cast", Inputs: []string{from}, Outputs: []string{into}, Attributes: []onnx.Attribute{onnx.IntAttribute("to", int64(to))}}
}

// leading is the graph of what leads to some values of a model with the same input, from a float32 input. Other inputs that they need stay.
func (g *Graph) leading(file *onnx.Model, wanted ...string) *onnx.Model {
	used := map[string]bool{}
	for _, name := range wanted {
		used[name] = true
	}
	var nodes []*onnx.Node
	for _, n := range slices.Backward(file.Graph.Nodes) {
		if slices.ContainsFunc(n.Outputs, func(name string) bool { return name != "" && used[name] }) {
			uses(n, used)
			nodes = append(nodes, n)
		}
	}
	slices.Reverse(nodes)

	whole := *file.Graph
	input := g.Input
	if input.Type != onnx.Float {
		input.Name, input.Type = "ballast: "+g.Input.Name, onnx.Float
		nodes = append([]*onnx.Node{cast("ballast: input", input.Name, g.Input.Name, g.Input.Type)}, nodes...)
	}
	whole.Nodes, whole.Inputs, whole.Outputs, whole.Initializers = nodes, []onnx.Value{input}, nil, nil
	for _, v := range file.Graph.Inputs {
		if v.Name != g.Input.Name && used[v.Name] {
			whole.Inputs = append(whole.Inputs, v)
		}
	}
	for _, name := range wanted {
		whole.Outputs = append(whole.Outputs, onnx.Value{Name: name, Rank: -1})
	}
	for _, t := range file.Graph.Initializers {
		if used[t.Name] {
			whole.Initializers = append(whole.Initializers, t)
		}
	}
	m := *file
	m.Graph = &whole
	return &m
}

// uses adds the names of values that a node takes, in its subgraphs too.
func uses(n *onnx.Node, used map[string]bool) {
	for _, name := range n.Inputs {
		used[name] = true
	}
	for i := range n.Attributes {
		sub := n.Attributes[i].Graph
		if sub == nil {
			continue
		}
		for _, inner := range sub.Nodes {
			uses(inner, used)
		}
		for _, v := range sub.Outputs {
			used[v.Name] = true
		}
	}
}

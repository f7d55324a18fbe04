package subject

import (
	"context"
	"fmt"
	"slices"

	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/onnxrun"
)

// LookOf returns what gives, beside the logits of n examples, what a model makes of each in front of its last layer, [n, d]. It is nil where
// that cannot be told: of a command, and of a graph that does not end in a dense layer or a convolution.
func LookOf(a Answers) func(ctx context.Context, x []float32, n int) (logits, features []float32, err error) {
	o, ok := a.(*graphOn)
	if !ok || o.g.lastFeatures() == "" {
		return nil
	}
	return o.answerAndFeatures
}

// heads are operators that make scores of features, which are their first input.
var heads = []string{"Gemm", "FusedGemm", "MatMul", "FusedMatMul", "Conv"}

// behindHead are operators that may stand between a head and the scores that are taken.
var behindHead = []string{"Identity", "Cast", "Squeeze", "Flatten", "Reshape", "Add", "ZipMap", "Softmax", "LogSoftmax", "Sigmoid"}

// lastFeatures is the value that the last layer makes scores of; "" = the graph ends in no such layer.
func (g *Graph) lastFeatures() string {
	maker := map[string]*onnx.Node{}
	for _, n := range g.File.Graph.Nodes {
		for _, name := range n.Outputs {
			maker[name] = n
		}
	}
	n := maker[g.Output]
	for n != nil && slices.Contains(behindHead, n.Op) {
		from := n.Inputs
		n = nil
		for _, name := range from { // of an Add the one that is computed
			if n = maker[name]; n != nil {
				break
			}
		}
	}
	if n == nil || !slices.Contains(heads, n.Op) || len(n.Inputs) == 0 {
		return ""
	}
	if a := n.Attribute("transA"); a != nil && a.Int != 0 {
		return ""
	}
	return n.Inputs[0]
}

// withFeatures is cut with what goes into the last layer behind the scores of each example.
func (g *Graph) withFeatures() *onnx.Model {
	wanted := g.Output
	if g.Scores != "" {
		wanted = g.Scores
	}
	features := g.lastFeatures()
	m := g.leading(g.File, wanted, features)
	flat := func(name, from string) []*onnx.Node {
		return []*onnx.Node{
			cast(name+" as float", from, name+" as float", onnx.Float),
			{Name: name, Op: "Flatten", Inputs: []string{name + " as float"}, Outputs: []string{name}, Attributes: []onnx.Attribute{onnx.IntAttribute("axis", 1)}},
		}
	}
	const scores, before, both = "ballast: scores", "ballast: features", "ballast: scores and features"
	m.Graph.Nodes = append(append(append(m.Graph.Nodes, flat(scores, wanted)...), flat(before, features)...), &onnx.Node{
		Name: both, Op: "Concat", Inputs: []string{scores, before}, Outputs: []string{both}, Attributes: []onnx.Attribute{onnx.IntAttribute("axis", 1)},
	})
	m.Graph.Outputs = []onnx.Value{{Name: both, Type: onnx.Float, Rank: -1}}
	return m
}

// answerAndFeatures runs one graph for both.
func (o *graphOn) answerAndFeatures(ctx context.Context, x []float32, n int) (logits, features []float32, err error) {
	o.looking.Lock()
	defer o.looking.Unlock()
	if o.looker == nil {
		if o.looker, err = onnxrun.New(o.g.withFeatures()); err != nil {
			return nil, nil, err
		}
	}
	rows, each, err := o.pieces(ctx, o.looker, x, n)
	if err != nil {
		return nil, nil, err
	}
	scored := o.classes
	if o.binary {
		scored = 1
	}
	if each <= scored {
		return nil, nil, fmt.Errorf("subject: %s gives %d numbers an example, of which %d are scores", o.name, each, scored)
	}
	scores := make([]float32, 0, n*scored)
	features = make([]float32, 0, n*(each-scored))
	for row := range slices.Chunk(rows, each) {
		scores, features = append(scores, row[:scored]...), append(features, row[scored:]...)
	}
	logits, err = o.logits(scores, scored)
	return logits, features, err
}

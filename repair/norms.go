package repair

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/internal/printable"
)

// batchNorm is a BatchNormalization node whose parameters are constants of the model:
//
//	y = (x - mean) / sqrt(variance + epsilon) scale + offset
type batchNorm struct {
	at      int // of the node
	node    *onnx.Node
	epsilon float64

	scale, offset, mean, variance *onnx.Tensor
}

// Left is a norm that stays as it is, and why.
type Left struct {
	Node string `json:"node"`
	Why  string `json:"why"`
}

// Reasons why a norm stays, beside those of one repair.
const (
	whyTraining = "it takes the statistics of each batch: the model was exported in training mode"
	whySpatial  = "it normalises each position on its own (spatial = 0)"
	whyVariable = "its parameters are not constants of the model"
	whyInside   = "it is in a subgraph"
)

// constants finds the constants of a graph by their names.
type constants struct {
	g     *onnx.Graph
	made  map[string]int
	named map[string]*onnx.Tensor
}

func constantsOf(g *onnx.Graph) constants {
	c := constants{g, makers(g), map[string]*onnx.Tensor{}}
	for _, t := range g.Initializers {
		c.named[t.Name] = t
	}
	return c
}

// of is the floating tensor that a value always is; nil if there is none.
func (c constants) of(name string) *onnx.Tensor {
	for range len(c.g.Nodes) + 1 {
		if t := c.named[name]; t != nil {
			if floating(t.Type) {
				return t
			}
			return nil
		}
		at, ok := c.made[name]
		if !ok {
			return nil
		}
		n := c.g.Nodes[at]
		if n.Domain != "" {
			return nil
		}
		switch n.Op {
		case "Constant":
			if a := n.Attribute("value"); a != nil && a.Tensor != nil && floating(a.Tensor.Type) {
				return a.Tensor
			}
			return nil
		case "Identity":
			name = n.Inputs[0]
		default:
			return nil
		}
	}
	return nil
}

// batchNorms finds the norms of a graph whose statistics are constants, and those that are not.
func batchNorms(m *onnx.Model) (found []batchNorm, left []Left) {
	all := constantsOf(m.Graph)
	for i, n := range m.Graph.Nodes {
		for j := range n.Attributes {
			if sub := n.Attributes[j].Graph; sub != nil {
				left = append(left, inside(sub)...)
			}
		}
		if n.Op != "BatchNormalization" || n.Domain != "" {
			continue
		}
		b := batchNorm{at: i, node: n, epsilon: 1e-5}
		if a := n.Attribute("epsilon"); a != nil {
			b.epsilon = float64(a.Float)
		}
		if why := b.stays(all, m.Opsets[""]); why != "" {
			left = append(left, Left{n.String(), why})
			continue
		}
		found = append(found, b)
	}
	return found, left
}

// inside are the norms of a subgraph.
func inside(g *onnx.Graph) (left []Left) {
	for _, n := range g.Nodes {
		if n.Op == "BatchNormalization" && n.Domain == "" {
			left = append(left, Left{n.String(), whyInside})
		}
		for i := range n.Attributes {
			if sub := n.Attributes[i].Graph; sub != nil {
				left = append(left, inside(sub)...)
			}
		}
	}
	return left
}

// stays fills in the parameters, or says why they are not there.
func (b *batchNorm) stays(all constants, opset int64) string {
	n := b.node
	training := n.Attribute("training_mode")
	spatial := n.Attribute("spatial")
	test := n.Attribute("is_test")
	switch {
	case training != nil && training.Int != 0, opset < 7 && (test == nil || test.Int == 0), opset >= 7 && opset < 14 && len(n.Outputs) > 1:
		return whyTraining
	case spatial != nil && spatial.Int == 0:
		return whySpatial
	case len(n.Inputs) != 5:
		return whyVariable
	}
	for i, to := range []**onnx.Tensor{&b.scale, &b.offset, &b.mean, &b.variance} {
		t := all.of(n.Inputs[i+1])
		if t == nil || len(t.Dims) != 1 || i > 0 && t.Elements != b.scale.Elements {
			return whyVariable
		}
		*to = t
	}
	return ""
}

// fixNorms says how PyTorch exports a network with its norms.
const fixNorms = "export it from eval() with them: torch.onnx.export(..., dynamo=False, training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False), " +
	"or torch.onnx.export(..., dynamo=True, optimize=False)"

// noNorms is the error for a model without norms whose statistics can be changed.
func noNorms(m *onnx.Model, left []Left) error {
	if len(left) == 0 {
		return wrong(m, "", fixNorms, "it has no BatchNormalization: exporters fold it into the layers before it")
	}
	return wrong(m, "", fixNorms, "it has no BatchNormalization whose statistics could be changed: %s", reasons(left))
}

// reasons says why norms stay, each reason once with its first node.
func reasons(left []Left) string {
	count, first := map[string]int{}, []Left{}
	for _, l := range left {
		if count[l.Why]++; count[l.Why] == 1 {
			first = append(first, l)
		}
	}
	var parts []string
	for _, l := range first {
		text := printable.Line(l.Node)
		if n := count[l.Why] - 1; n > 0 {
			text += fmt.Sprintf(" and %d more", n)
		}
		parts = append(parts, text+": "+l.Why)
	}
	return strings.Join(parts, "; ")
}

// replaced puts a tensor in the place of one that a node takes as an input. One that others take too, or that is no initialiser, stays, and the
// node gets an initialiser of its own.
func (s *surgery) replaced(e *onnx.Edit, taken map[string]int, at, input int, was *onnx.Tensor, values []float64) {
	n := s.m.Graph.Nodes[at]
	name := n.Inputs[input]
	own := name == was.Name && taken[name] == 1 && slices.Contains(s.m.Graph.Initializers, was)
	if !own {
		name = s.name(s.prefix + "/" + strings.TrimPrefix(n.Inputs[input], "/"))
		edit := e.Nodes[at]
		if edit.Inputs == nil {
			edit.Inputs = map[int]string{}
		}
		edit.Inputs[input] = name
		e.Nodes[at] = edit
	}
	e.Tensors = append(e.Tensors, tensorOf(name, was.Type, was.Dims, values))
}

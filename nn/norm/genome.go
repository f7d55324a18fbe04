package norm

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/ops"
)

// Genome is a normalisation-activation layer given as a graph of primitives, as the search for EvoNorm evolves them. Values 0 to 3 are x,
// the constant 0, and two trained vectors v0 and v1 of the channels (start 1 and 0); value 4+i is what Nodes[i] makes of earlier values.
// The layer is scale y + offset, y the last value, laid out to the shape of x. Only the nodes that y depends on are computed.
//
//	op                         arguments   value
//	add, mul, div, max         2           elementwise
//	neg, sigmoid, tanh, exp    1           elementwise
//	abs, square                1           elementwise
//	log, sqrt                  1           sign(a) ln|a|, sign(a) sqrt|a|
//	mean:S, rms:S, std:S       1           mean; sqrt(mean(a^2) + Epsilon); sqrt(var + Epsilon), var biased; over the index set S
//
// with S one of bwh (batch and positions), whc (positions and channels), wh (positions), whc/g (positions and one group of channels), of an
// argument that is first laid out to the shape of x. Over the batch, training uses the batch's mean, mean square or variance and collects
// it with Decay; inference uses what was collected. No activation follows the layer.
//
// Panics where Validate returns an error, and if x has no positions.
// Source: Liu, Brock, Simonyan, Le, "Evolving Normalization-Activation Layers", arXiv 2004.02967; its code of the search is not public.
type Genome struct {
	Nodes   []GenomeNode `json:"nodes"`
	Groups  int          `json:"groups"` // of channels, for whc/g; where it does not divide them, the next smaller number that does; 32
	Epsilon float64      `json:"eps"`    // inside the roots; 1e-5
	Decay   float64      `json:"decay"`  // share of the old value in what is collected over the batch; 0.9
}

// GenomeNode is one primitive, in JSON ["op", [arguments]].
type GenomeNode struct {
	Op   string
	Args []int
}

// maxGenomeNodes is the most nodes of a genome; the search's have 10 (EvoNorm's paper).
const maxGenomeNodes = 64

// GenomeInputs is how many values there are before the first node.
const GenomeInputs = 4

var (
	_ Activated = Genome{}

	genomeOps = primitives()
)

// primitives is every operation with its number of arguments.
func primitives() map[string]int {
	all := map[string]int{
		"add": 2, "mul": 2, "div": 2, "max": 2, "neg": 1, "sigmoid": 1, "tanh": 1, "exp": 1, "log": 1, "abs": 1, "square": 1, "sqrt": 1,
	}
	for _, set := range []string{"bwh", "whc", "wh", "whc/g"} {
		for _, statistic := range []string{"mean", "rms", "std"} {
			all[statistic+":"+set] = 1
		}
	}
	return all
}

// GenomeOps lists the primitives in alphabetical order, without those over the batch if perSample.
func GenomeOps(perSample bool) []string {
	var names []string
	for name := range genomeOps {
		if !perSample || !strings.HasSuffix(name, ":bwh") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// GenomeArgs is the number of arguments of a primitive, 0 for one that there is not.
func GenomeArgs(op string) int { return genomeOps[op] }

// NewGenome returns the layer S0 as a genome, with the paper's defaults.
func NewGenome() Genome {
	return Genome{
		Nodes:  []GenomeNode{{"mul", []int{0, 2}}, {"sigmoid", []int{4}}, {"mul", []int{0, 5}}, {"std:whc/g", []int{0}}, {"div", []int{6, 7}}},
		Groups: 32, Epsilon: 1e-5, Decay: 0.9,
	}
}

// MarshalJSON writes ["op", [arguments]].
func (n GenomeNode) MarshalJSON() ([]byte, error) { return json.Marshal([]any{n.Op, n.Args}) }

// UnmarshalJSON reads ["op", [arguments]].
func (n *GenomeNode) UnmarshalJSON(data []byte) error {
	var parts []json.RawMessage
	if err := json.Unmarshal(data, &parts); err != nil || len(parts) != 2 {
		return fmt.Errorf(`want a node such as ["add", [0, 2]], got %s`, strict.Short(string(data)))
	}
	if err := json.Unmarshal(parts[0], &n.Op); err != nil {
		return fmt.Errorf("want the name of an operation, got %s", strict.Short(string(parts[0])))
	}
	if err := json.Unmarshal(parts[1], &n.Args); err != nil {
		return fmt.Errorf("want a list of argument numbers, got %s", strict.Short(string(parts[1])))
	}
	return nil
}

// Validate reports what is wrong with the genome: an unknown operation, a wrong number of arguments, one that is not an earlier value.
func (n Genome) Validate() error {
	if len(n.Nodes) == 0 {
		return errors.New("norm: the genome has no nodes")
	}
	if len(n.Nodes) > maxGenomeNodes {
		return fmt.Errorf("norm: the genome has %d nodes; use at most %d", len(n.Nodes), maxGenomeNodes)
	}
	for i, node := range n.Nodes {
		want, known := genomeOps[node.Op]
		if !known {
			if near, ok := strict.Nearest(node.Op, GenomeOps(false)); ok {
				return fmt.Errorf("norm: node %d of the genome: no operation %q (did you mean %s?)", GenomeInputs+i, node.Op, near)
			}
			return fmt.Errorf("norm: node %d of the genome: no operation %q; there are %s", GenomeInputs+i, node.Op, strings.Join(GenomeOps(false), ", "))
		}
		if len(node.Args) != want {
			return fmt.Errorf("norm: node %d of the genome: %s takes %d arguments, got %v", GenomeInputs+i, node.Op, want, node.Args)
		}
		for _, a := range node.Args {
			if a < 0 || a >= GenomeInputs+i {
				return fmt.Errorf("norm: node %d of the genome refers forward to %d; use an earlier value, 0 to %d", GenomeInputs+i, a, GenomeInputs+i-1)
			}
		}
	}
	return nil
}

// ActiveNodes are the numbers of the nodes that the result depends on, in order; the inputs are not among them.
func (n Genome) ActiveNodes() []int {
	active := make([]bool, GenomeInputs+len(n.Nodes))
	active[len(active)-1] = true
	for i := len(active) - 1; i >= GenomeInputs; i-- {
		if active[i] {
			for _, a := range n.Nodes[i-GenomeInputs].Args {
				active[a] = true
			}
		}
	}
	var out []int
	for i := GenomeInputs; i < len(active); i++ {
		if active[i] {
			out = append(out, i)
		}
	}
	return out
}

// DependsOnX says whether x takes part in the result at all.
func (n Genome) DependsOnX() bool {
	for _, i := range n.ActiveNodes() {
		if slices.Contains(n.Nodes[i-GenomeInputs].Args, 0) {
			return true
		}
	}
	return false
}

// String is the result as a formula, shared parts written out.
func (n Genome) String() string {
	var text func(i int) string
	text = func(i int) string {
		if i < GenomeInputs {
			return []string{"x", "0", "v0", "v1"}[i]
		}
		node := n.Nodes[i-GenomeInputs]
		args := make([]string, len(node.Args))
		for k, a := range node.Args {
			args[k] = text(a)
		}
		if sign, ok := map[string]string{"add": " + ", "mul": " * ", "div": " / "}[node.Op]; ok {
			return "(" + args[0] + sign + args[1] + ")"
		}
		return node.Op + "(" + strings.Join(args, ", ") + ")"
	}
	return text(GenomeInputs + len(n.Nodes) - 1)
}

// Activates reports that no activation follows the layer.
func (Genome) Activates() bool { return true }

// WithoutActivation returns offset + scale x, as that of EvoNorm.
func (n Genome) WithoutActivation(branchEnd bool) Layer {
	return NewEvoNorm("S0").WithoutActivation(branchEnd)
}

// Apply computes the layer.
func (n Genome) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	const who = "norm.Genome"
	x = entering(who, scope, x)
	if err := n.Validate(); err != nil {
		Panicf("%s %s: %v", who, scope.Scope(), err)
	}
	if x.Rank() < 3 {
		Panicf("%s %s: x is %s; want activations with positions, [batch, ..., channels]", who, scope.Scope(), x.Shape())
	}
	scale, offset := affine(scope, x, channelsOf(x), channelShape(x))
	wide := ops.Widen(x)
	vector := func(name string, first float64) *graph.Node {
		v := param.Variable(scope, name, param.Affine, stateType(x), param.Constant(first), channelsOf(x)...)
		return graph.Reshape(pass.Weight(v, x.Graph()), channelShape(x)...)
	}
	ones := make([]int, x.Rank())
	for i := range ones {
		ones[i] = 1
	}
	zero := graph.BroadcastToDims(graph.ScalarZero(x.Graph(), wide.DType()), ones...)
	values := append(make([]*graph.Node, 0, GenomeInputs+len(n.Nodes)), wide, zero, vector("v0", 1), vector("v1", 0))
	values = values[:cap(values)]
	for _, i := range n.ActiveNodes() {
		values[i] = n.evaluate(scope, i, wide, values)
	}
	y := graph.BroadcastToDims(values[len(values)-1], x.Shape().Dimensions...)
	return graph.ConvertDType(scaled(y, scale, offset), x.DType())
}

// evaluate computes value i.
func (n Genome) evaluate(scope *model.Scope, i int, x *graph.Node, values []*graph.Node) *graph.Node {
	node := n.Nodes[i-GenomeInputs]
	a := values[node.Args[0]]
	switch node.Op {
	case "add":
		return graph.Add(a, values[node.Args[1]])
	case "mul":
		return graph.Mul(a, values[node.Args[1]])
	case "div":
		return graph.Div(a, values[node.Args[1]])
	case "max":
		b := graph.Add(values[node.Args[1]], graph.ZerosLike(a)) // of the common shape
		a = graph.Add(a, graph.ZerosLike(b))
		return graph.Where(graph.LessOrEqual(a, b), b, a) // a selection, so that a NaN stays one
	case "neg":
		return graph.Neg(a)
	case "sigmoid":
		return graph.Logistic(a)
	case "tanh":
		return graph.Tanh(a)
	case "exp":
		return graph.Exp(a)
	case "log":
		return graph.Mul(graph.Sign(a), graph.Log(graph.Abs(a)))
	case "abs":
		return graph.Abs(a)
	case "square":
		return graph.Square(a)
	case "sqrt":
		return graph.Mul(graph.Sign(a), graph.Sqrt(graph.Abs(a)))
	}
	statistic, set, _ := strings.Cut(node.Op, ":")
	return n.aggregate(scope.In("node_%d", i), statistic, set, graph.BroadcastToDims(a, x.Shape().Dimensions...))
}

// aggregate is a mean, a root mean square or a deviation of a over an index set, which broadcasts against a.
func (n Genome) aggregate(scope *model.Scope, statistic, set string, a *graph.Node) *graph.Node {
	moment := func(a *graph.Node, axes []int) *graph.Node {
		switch statistic {
		case "mean":
			return graph.ReduceAndKeep(a, graph.ReduceMean, axes...)
		case "rms":
			return ops.MeanSquare(a, axes, nil)
		}
		_, variance := ops.Moments(a, axes, nil)
		return variance
	}
	root := func(m *graph.Node) *graph.Node {
		if statistic == "mean" {
			return m
		}
		return graph.Sqrt(graph.AddScalar(m, n.Epsilon))
	}
	switch set {
	case "wh":
		return root(moment(a, positions(a)))
	case "whc":
		return root(moment(a, append(positions(a), a.Rank()-1)))
	case "whc/g":
		groups := groupsOf("norm.Genome", scope, a, n.Groups, true)
		grouped := split(a, groups)
		m := root(moment(grouped, within(grouped)))
		d := a.Shape().Dimensions
		per := d[len(d)-1] / groups
		shape := m.Shape().Dimensions
		m = graph.BroadcastToDims(m, append(append([]int{}, shape[:len(shape)-1]...), per)...)
		return graph.Reshape(m, append(append([]int{}, shape[:len(shape)-2]...), groups*per)...)
	}
	first := 1.0
	if statistic == "mean" {
		first = 0
	}
	running := state(scope, "running", a, first, channelsOf(a)...)
	if !pass.Training(scope, a.Graph()) {
		return root(graph.Reshape(pass.Weight(running, a.Graph()), channelShape(a)...))
	}
	m := moment(a, leading(a))
	stats := ops.GatherAcross(graph.Reshape(m, 1, channelsOf(a)[0]))
	pass.Move(scope, running, RunningUpdate(1-n.Decay, pass.Weight(running, a.Graph()), stats))
	return root(m)
}

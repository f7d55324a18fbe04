package repair

import (
	"math"
	"slices"
	"strconv"

	"github.com/ballast-ml/ballast/format/onnx"
)

// Folded is what Fold did.
type Folded struct {
	Folded []string `json:"folded"` // nodes of norms that are gone
	Left   []Left   `json:"left"`   // those that stay

	Edit onnx.Edit `json:"-"`
}

// FoldKey is the key of the file's metadata that says how many norms were folded.
const FoldKey = "ballast.folded_norms"

// foldPrefix begins the names of initialisers that folding adds.
const foldPrefix = "ballast_folded"

// Fold returns the changes that fold each BatchNormalization into the layer before it, whose outputs of channel c are scaled and moved by it at
// inference:
//
//	w_c <- w_c s_c      bias_c <- (bias_c - mean_c) s_c + offset_c      s = scale / sqrt(variance + epsilon)
//
// computed in float64 and rounded once to the weights' type. The layer is a Conv, a ConvTranspose, a Gemm, a MatMul, or a MatMul with an Add of
// a bias behind it; its weights must be constants and its output must go into the norm alone. Other norms stay. It is an error if none can be
// folded.
func Fold(m *onnx.Model) (Folded, error) {
	norms, left := batchNorms(m)
	f := folding{
		surgery: newSurgery(m, foldPrefix), all: constantsOf(m.Graph), made: makers(m.Graph), taken: uses(m.Graph),
		found: Folded{Left: append([]Left{}, left...), Edit: onnx.Edit{Nodes: map[int]onnx.NodeEdit{}, Metadata: map[string]string{}}},
	}
	for _, b := range norms {
		why, err := f.fold(b)
		switch {
		case err != nil:
			return f.found, err
		case why != "":
			f.found.Left = append(f.found.Left, Left{b.node.String(), why})
		default:
			f.found.Folded = append(f.found.Folded, b.node.String())
		}
	}
	if len(f.found.Folded) == 0 {
		if len(f.found.Left) == 0 {
			return f.found, wrong(m, "", "there is nothing to do", "it has no BatchNormalization: it was exported without, or folded before")
		}
		return f.found, wrong(m, "", "use it as it is", "no BatchNormalization can be folded: %s", reasons(f.found.Left))
	}
	f.sweep()
	f.found.Edit.Metadata[FoldKey] = strconv.Itoa(len(f.found.Folded))
	return f.found, nil
}

// folding is one use of Fold.
type folding struct {
	*surgery
	all   constants
	made  map[string]int
	taken map[string]int
	found Folded
}

// Reasons why a norm is not folded.
const (
	whyFirst    = "no Conv, ConvTranspose, Gemm or MatMul comes before it"
	whyShared   = "what comes to it is taken elsewhere too"
	whyWeights  = "the weights of the layer before it are not constants of the model, in floating point numbers"
	whyBias     = "the bias of the layer before it is not one number for each channel"
	whyChannels = "the layer before it has another number of channels"
)

// layer is what a norm is folded into: its weights are those of input 1, and per says to which channel each of them belongs.
type layer struct {
	at       int // of the node
	node     *onnx.Node
	weights  *onnx.Tensor
	channels int
	per      func(i int) int
	bias     *onnx.Tensor // nil = none
	biasAt   int          // node that takes the bias
	biasIn   int          // as which input
	beta     float64      // by which the bias is multiplied
	last     int          // node whose output goes into the norm
}

// fold folds one norm, or says why it stays.
func (f *folding) fold(b batchNorm) (why string, err error) {
	l, why := f.before(b.node.Inputs[0])
	switch {
	case why != "":
		return why, nil
	case l.channels != b.scale.Elements:
		return whyChannels, nil
	}
	scale, offset, err := b.affine()
	if err != nil {
		return "", err
	}
	weights, err := valuesOf(l.weights)
	if err != nil {
		return "", err
	}
	for i := range weights {
		weights[i] *= scale[l.per(i)]
	}
	bias := make([]float64, l.channels)
	if l.bias != nil {
		values, err := valuesOf(l.bias)
		if err != nil {
			return "", err
		}
		for c := range bias {
			bias[c] = l.beta * values[min(c, len(values)-1)]
		}
	}
	for c := range bias {
		bias[c] = (bias[c]*scale[c] + offset[c]) / l.beta
	}

	f.replaced(&f.found.Edit, f.taken, l.at, 1, l.weights, weights)
	f.moveBias(l, b, bias)
	return "", nil
}

// affine is the scale and the offset that a norm is at inference.
func (b batchNorm) affine() (scale, offset []float64, err error) {
	var of [4][]float64
	for i, t := range []*onnx.Tensor{b.scale, b.offset, b.mean, b.variance} {
		if of[i], err = valuesOf(t); err != nil {
			return nil, nil, err
		}
	}
	for c := range of[0] {
		s := of[0][c] / math.Sqrt(of[3][c]+b.epsilon)
		scale, offset = append(scale, s), append(offset, of[1][c]-of[2][c]*s)
	}
	return scale, offset, nil
}

// before finds the layer that makes a value, or says why there is none.
func (f *folding) before(value string) (l layer, why string) {
	at, ok := f.made[value]
	if !ok {
		return l, whyFirst
	}
	n := f.m.Graph.Nodes[at]
	if n.Domain != "" || !slices.Contains([]string{"Conv", "ConvTranspose", "Gemm", "MatMul", "Add"}, n.Op) {
		return l, whyFirst
	}
	if f.taken[value] != 1 {
		return l, whyShared
	}
	l = layer{at: at, node: n, biasAt: at, biasIn: 2, beta: 1, last: at}
	if n.Op == "Add" {
		return f.behindAdd(l)
	}
	if len(n.Inputs) < 2 {
		return l, whyFirst
	}
	if l.weights = f.all.of(n.Inputs[1]); l.weights == nil {
		return l, whyWeights
	}
	switch n.Op {
	case "Gemm":
		why = l.gemm()
	case "MatMul":
		why = l.columns()
	default:
		why = l.convolution()
	}
	if why != "" || len(n.Inputs) < 3 || n.Inputs[2] == "" {
		return l, why
	}
	if l.bias = f.all.of(n.Inputs[2]); l.bias == nil || !l.oneEach(l.bias) {
		return l, whyBias
	}
	return l, ""
}

// behindAdd is a MatMul with an Add of its bias behind it.
func (f *folding) behindAdd(l layer) (layer, string) {
	add := l
	for i, name := range add.node.Inputs {
		at, ok := f.made[name]
		if !ok || f.m.Graph.Nodes[at].Op != "MatMul" || f.m.Graph.Nodes[at].Domain != "" || len(add.node.Inputs) != 2 {
			continue
		}
		bias := f.all.of(add.node.Inputs[1-i])
		if bias == nil {
			continue
		}
		inner, why := f.before(name)
		if why != "" {
			return inner, why
		}
		inner.bias, inner.biasAt, inner.biasIn, inner.last = bias, add.at, 1-i, add.at
		if !inner.oneEach(bias) {
			return inner, whyBias
		}
		return inner, ""
	}
	return l, whyFirst
}

// oneEach reports whether a bias broadcasts to one number for each channel, as the last axis of a matrix or the only one.
func (l layer) oneEach(bias *onnx.Tensor) bool {
	for _, d := range bias.Dims[:max(0, len(bias.Dims)-1)] {
		if d != 1 {
			return false
		}
	}
	return bias.Elements == l.channels || bias.Elements == 1 && l.node.Op != "Conv" && l.node.Op != "ConvTranspose"
}

// convolution fills in a Conv [out, in/group, ...] or a ConvTranspose [in, out/group, ...].
func (l *layer) convolution() string {
	d := l.weights.Dims
	if len(d) < 3 || l.weights.Elements == 0 {
		return whyWeights
	}
	each := l.weights.Elements / d[0]
	if l.node.Op == "Conv" {
		l.channels, l.per = d[0], func(i int) int { return i / each }
		return ""
	}
	group := 1
	if a := l.node.Attribute("group"); a != nil && a.Int > 0 {
		group = int(a.Int)
	}
	if d[0]%group != 0 {
		return whyWeights
	}
	positions, of, ins := each/d[1], d[1], d[0]/group
	l.channels = d[1] * group
	l.per = func(i int) int { return i/each/ins*of + i%each/positions }
	return ""
}

// gemm fills in alpha A B + beta C.
func (l *layer) gemm() string {
	if len(l.weights.Dims) != 2 {
		return whyWeights
	}
	if a := l.node.Attribute("beta"); a != nil {
		l.beta = float64(a.Float)
	}
	if l.beta == 0 {
		return whyBias
	}
	if a := l.node.Attribute("transB"); a != nil && a.Int != 0 {
		each := l.weights.Dims[1]
		l.channels, l.per = l.weights.Dims[0], func(i int) int { return i / each }
		return ""
	}
	return l.columns()
}

// columns fills in weights [in, out].
func (l *layer) columns() string {
	if len(l.weights.Dims) != 2 {
		return whyWeights
	}
	l.channels = l.weights.Dims[1]
	l.per = func(i int) int { return i % l.channels }
	return ""
}

// moveBias gives the layer its new bias and the norm's output.
func (f *folding) moveBias(l layer, b batchNorm, bias []float64) {
	e := &f.found.Edit
	kind := l.weights.Type
	out := b.node.Outputs[0]
	switch {
	case l.bias != nil && len(l.bias.Dims) == 1 && l.bias.Elements == l.channels:
		f.replaced(e, f.taken, l.biasAt, l.biasIn, l.bias, bias)
	case l.bias == nil && l.node.Op == "MatMul": // the norm becomes an Add
		f.tensors = nil
		name := f.numbers("bias", kind, []int{l.channels}, bias...)
		e.Tensors = append(e.Tensors, f.tensors...)
		edit := e.Nodes[b.at]
		edit.Remove = true
		edit.Behind = append(edit.Behind, &onnx.Node{Name: f.name(foldPrefix + "/Add"), Op: "Add", Inputs: []string{b.node.Inputs[0], name}, Outputs: []string{out}})
		e.Nodes[b.at] = edit
		return
	default:
		f.tensors = nil
		name := f.numbers("bias", kind, []int{l.channels}, bias...)
		e.Tensors = append(e.Tensors, f.tensors...)
		f.input(e, l.biasAt, l.biasIn, name)
	}

	edit := e.Nodes[l.last]
	if edit.Outputs == nil {
		edit.Outputs = map[int]string{}
	}
	edit.Outputs[0] = out
	e.Nodes[l.last] = edit
	gone := e.Nodes[b.at]
	gone.Remove = true
	e.Nodes[b.at] = gone
}

// input gives a node another input.
func (f *folding) input(e *onnx.Edit, at, input int, name string) {
	edit := e.Nodes[at]
	if edit.Inputs == nil {
		edit.Inputs = map[int]string{}
	}
	edit.Inputs[input] = name
	e.Nodes[at] = edit
}

// sweep takes out initialisers that only the norms took which are gone.
func (f *folding) sweep() {
	e := &f.found.Edit
	left := map[string]int{}
	for i, n := range f.m.Graph.Nodes {
		edit := e.Nodes[i]
		if edit.Remove {
			continue
		}
		taken := map[string]bool{}
		usedBy(n, taken)
		for at, name := range n.Inputs {
			if other, ok := edit.Inputs[at]; ok {
				taken[other] = true
				if !slices.Contains(n.Inputs[at+1:], name) && slices.Index(n.Inputs, name) == at {
					delete(taken, name)
				}
			}
		}
		for name := range taken {
			left[name]++
		}
	}
	for _, v := range f.m.Graph.Outputs {
		left[v.Name]++
	}
	for _, t := range f.m.Graph.Initializers {
		if left[t.Name] == 0 && f.taken[t.Name] > 0 && !slices.ContainsFunc(e.Tensors, func(n *onnx.Tensor) bool { return n.Name == t.Name }) {
			e.Without = append(e.Without, t.Name)
		}
	}
}

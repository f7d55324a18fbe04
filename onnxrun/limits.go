package onnxrun

import (
	"errors"
	"fmt"
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// What a graph may ask for. A hundred bytes of a file can ask for anything, so that each of these is checked before it is built,
// compiled or allocated; memory has a limit of its own, memory.Limit.
const (
	// mostRounds bounds the rounds of all loops together, as they run while a program is built. A loop over the words of a long
	// text has thousands; this many take a second or two if they compute nothing.
	mostRounds = 1 << 18

	// mostFolds bounds the nodes that are computed while a program is built, at some 20 microseconds each. A loop that counts to
	// 100,000 takes two in each round.
	mostFolds = 1 << 18

	// mostFoldBytes bounds what such a node may hold; one that asks for more becomes part of the program. The exporters' shape
	// arithmetic works on tens of numbers.
	mostFoldBytes = 16 << 20

	// mostFoldWork bounds the elements that all such nodes compute together: half a minute of the Go engine.
	mostFoldWork = 1 << 34

	// mostNodes bounds a program's nodes as the engine counts them, a few for each of the model's. The largest models have some
	// ten thousand; an LSTM and a loop, which are unrolled, have 20 or so for each step, which leaves 3,000 steps. XLA takes half a
	// minute and 1 GB to compile as many, and four times as many take it 9 GB.
	mostNodes = 1 << 16

	// mostConstantBytes bounds the constants in a program, which a compiler copies several times. Weights are no constants but
	// arguments; what remains are tables such as those of Resize, 32 MB for enlarging 2,000 pixels to 4,000.
	mostConstantBytes = 128 << 20

	// mostWork bounds the multiplications of one run: those of a language model of seven billion weights on 32,000 words, which
	// take hours on a CPU.
	mostWork = 1 << 49

	// mostGrowth and mostFromNothing bound what a program holds at once by what it was given: inputs and weights. Images of a few
	// kilobytes become maps of a few megabytes; a mask of 16,000 by 16,000 words is made of a shape alone.
	mostGrowth      = 4096
	mostFromNothing = 1 << 30
)

// room is the one way from sizes that a graph gives to a shape: it refuses sizes below zero, beyond what any array has, and beyond
// the memory limit.
func room(d dtypes.DType, dims ...int) shapes.Shape {
	if _, err := bytesOf(d, dims); err != nil {
		panic(err)
	}
	return shapes.Make(d, dims...)
}

func bytesOf(d dtypes.DType, dims []int) (int64, error) {
	bytes, err := untrusted.Bytes("a value of shape "+dimsText(dims), max(1, d.Size()), dims...)
	var wrong *untrusted.Error
	if errors.As(err, &wrong) {
		err = fmt.Errorf("a value of shape %s, which no array has", dimsText(dims))
	}
	return bytes, err
}

func dimsText(dims []int) string {
	if len(dims) > 16 {
		return fmt.Sprintf("%v... (%d dimensions)", dims[:16], len(dims))
	}
	return fmt.Sprint(dims)
}

// indexable refuses to look up places in more elements than 32 bits count.
func indexable(dims ...int) {
	_, ok := untrusted.Product(math.MaxInt32, dims...)
	need(ok, "it looks up places among the %s elements; at most %d can be counted", dimsText(dims), math.MaxInt32)
}

// parts refuses to build more nodes for one of the model than a program may have.
func (c *call) parts(n int) {
	have := len(c.g.Nodes())
	need(n >= 0 && n <= mostNodes-have,
		"it takes %d steps, which are unrolled, beside the %d nodes of the program so far; a program has at most %d", n, have, mostNodes)
}

// round counts a round of a loop.
func (b *builder) round() {
	b.step()
	b.rounds++
	need(b.rounds <= mostRounds, "the model's loops run more than %d rounds; export it with shorter ones", mostRounds)
}

// measure checks the nodes that were built for one of the model's: their sizes, and budgets of the whole program.
func (b *builder) measure(n *onnx.Node) {
	nodes := b.g.Nodes()
	if b.g != b.main || len(nodes) == b.measured {
		return
	}
	b.marks = append(b.marks, mark{b.measured, n})
	need(len(nodes) <= mostNodes, "the program has more than %d nodes; export the model with shorter loops", mostNodes)
	for _, x := range nodes[b.measured:] {
		bytes := nodeBytes(x)
		b.work += nodeWork(x)
		if x.Type() == graph.NodeTypeConstant {
			b.constants += bytes
		}
	}
	b.measured = len(nodes)
	need(b.work <= mostWork, "the model takes more than %.0e multiplications; give smaller inputs", float64(mostWork))
	need(b.constants <= mostConstantBytes,
		"the program holds constants of more than %s; export the model with weights as initialisers", memory.Size(mostConstantBytes))
}

// nodeBytes is what a node's value takes.
func nodeBytes(x *graph.Node) int64 {
	if x.NumOutputs() != 1 {
		return 0 // its outputs are nodes too
	}
	s := x.Shape()
	bytes, err := bytesOf(s.DType, s.Dimensions)
	if err != nil {
		panic(err)
	}
	return bytes
}

// nodeWork is about how many numbers a node multiplies or copies.
func nodeWork(x *graph.Node) float64 {
	if x.NumOutputs() != 1 {
		return 0
	}
	out := float64(x.Shape().Size())
	in := x.Inputs()
	if len(in) < 2 || out == 0 {
		return out
	}
	switch x.Type() {
	case graph.NodeTypeDotGeneral: // [m, k] and [k, n] to [m, n]; for b products at once this is too little by the root of b
		return max(out, math.Sqrt(float64(in[0].Shape().Size())*float64(in[1].Shape().Size())*out))
	case graph.NodeTypeConvGeneral:
		k := in[1].Shape()
		return out * max(1, float64(k.Size())/float64(max(1, k.Dim(-1))))
	}
	return out
}

// mark says which node of the model the program's nodes from a place on belong to.
type mark struct {
	from int
	node *onnx.Node
}

// fits holds the values that the program has at once against the limits, following the engines: a value lives from its node to the
// last one that takes it.
func (b *builder) fits(outputs []*graph.Node) {
	nodes := b.g.Nodes()
	last := make([]int, len(nodes))
	given := b.of.weightBytes
	for i, x := range nodes {
		last[i] = i
		if x.Type() == graph.NodeTypeParameter {
			given += nodeBytes(x)
			last[i] = len(nodes)
		}
		for _, in := range x.Inputs() {
			last[in.Id()] = max(last[in.Id()], i)
		}
	}

	for _, x := range outputs {
		last[x.Id()] = len(nodes)
	}
	ends := make([]int64, len(nodes)+1) // bytes that are free after a node
	live, peak, at := int64(0), int64(0), 0
	for i, x := range nodes {
		bytes := nodeBytes(x)
		if live += bytes; live < 0 {
			live = math.MaxInt64
		}
		if live > peak {
			peak, at = live, i
		}
		ends[last[i]] += bytes
		live -= ends[i]
	}

	for _, mark := range b.marks {
		if mark.from <= at {
			b.at = mark.node
		}
	}

	if err := memory.Need("what the program holds at once", peak); err != nil {
		panic(err)
	}
	most := int64(mostFromNothing)
	if given < (math.MaxInt64-most)/mostGrowth {
		most += mostGrowth * given
	} else {
		most = math.MaxInt64
	}
	need(peak <= most,
		"the program holds %s at once, for inputs and weights of %s; at most %s are right for them", memory.Size(peak), memory.Size(given), memory.Size(most))
	b.at = nil
}

package losstest

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/nn/loss"
)

// What the battery's batches look like: few classes, so that pairs of one class are there.
const (
	batchSize = 6
	classes   = 3
	dim       = 3
	examples  = 9
)

// draw makes a batch of n examples.
func (s subject) draw(seed uint64, kind string, n int) Batch {
	r := rand.New(rand.NewPCG(seed, 11))
	normal := func(size int) []float64 {
		values := make([]float64, size)
		for i := range values {
			values[i] = r.NormFloat64()
		}
		return values
	}
	b := Batch{N: n, Shape: []int{n, classes}, Classes: classes, Dim: dim, Examples: examples, Counts: []int{5, 1, 3}}
	switch loss.Targets(kind) {
	case loss.Values:
		b.Shape = []int{n, 2}
	case loss.Masks:
		b.Shape = []int{n, 2, 3, 2}
	}
	size := volume(b.Shape)
	b.Out, b.Teacher = normal(size), normal(size)
	b.Fixed = b.Out
	for range n {
		b.Labels = append(b.Labels, r.Int32N(classes))
	}
	for i := range b.Labels[:n/2] { // the others may be alone in their class
		b.Labels[i] = int32(i % 2)
	}
	for _, i := range r.Perm(examples)[:n] {
		b.Index = append(b.Index, int32(i))
	}
	switch kind {
	case shared, mixedPairs:
		for range n {
			b.Targets = append(b.Targets, share(r)...)
		}
	case string(loss.Values):
		b.Targets = normal(size)
	case string(loss.Masks):
		for range size {
			b.Targets = append(b.Targets, float64(r.IntN(2)))
		}
	}
	views := s.views
	if kind == mixedPairs {
		views = 2
	}
	for range views {
		b.Features = append(b.Features, normal(n*dim))
	}
	for range s.ranks {
		b.Mixed = append(b.Mixed, normal(size))
		b.Shares = append(b.Shares, mixtures(r, b.Labels))
	}
	return b
}

// mixtures are the shares of classes of examples that are mixed with random partners by one weight.
func mixtures(r *rand.Rand, labels []int32) []float64 {
	shares, weight := make([]float64, len(labels)*classes), r.Float64()
	for i, j := range r.Perm(len(labels)) {
		shares[i*classes+int(labels[i])] += weight
		shares[i*classes+int(labels[j])] += 1 - weight
	}
	return shares
}

// share is what an example has of each class.
func share(r *rand.Rand) []float64 {
	part := make([]float64, classes)
	sum := 0.0
	for i := range part {
		part[i] = r.Float64()
		sum += part[i]
	}
	for i := range part {
		part[i] /= sum
	}
	return part
}

// padded is b with rows behind it that mean nothing.
func (b Batch) padded(more int) Batch {
	grow := func(values []float64) []float64 {
		if values == nil {
			return nil
		}
		row := len(values) / b.N
		return slices.Concat(values, slices.Repeat([]float64{7.5}, row*more))
	}
	p := b
	p.N += more
	p.Shape = slices.Concat([]int{p.N}, b.Shape[1:])
	p.Out, p.Targets, p.Teacher = grow(b.Out), grow(b.Targets), grow(b.Teacher)
	all := func(lists [][]float64) (grown [][]float64) {
		for _, f := range lists {
			grown = append(grown, grow(f))
		}
		return grown
	}
	p.Features, p.Mixed, p.Shares = all(b.Features), all(b.Mixed), all(b.Shares)
	p.Labels = slices.Concat(b.Labels, slices.Repeat([]int32{-1}, more))
	p.Index = slices.Concat(b.Index, slices.Repeat([]int32{-1}, more))
	return p
}

// inputs are the tensors of a batch, in the order that in reads them; of those behind the first real rows the mask is false.
func (b Batch) inputs(real int) []any {
	floats := func(values []float64, dims ...int) any {
		return tensors.FromFlatDataAndDimensions(slices.Clone(values), dims...)
	}
	mask := make([]bool, b.N)
	for i := range real {
		mask[i] = true
	}
	list := []any{
		floats(b.Out, b.Shape...), floats(b.Teacher, b.Shape...),
		tensors.FromFlatDataAndDimensions(b.Labels, b.N), tensors.FromFlatDataAndDimensions(b.Index, b.N),
		tensors.FromFlatDataAndDimensions(mask, b.N),
	}
	for _, f := range b.Features {
		list = append(list, floats(f, b.N, b.Dim))
	}
	if b.Targets != nil {
		dims := b.Shape
		if len(b.Targets) == b.N*b.Classes {
			dims = []int{b.N, b.Classes}
		}
		list = append(list, floats(b.Targets, dims...))
	}
	for k := range b.Mixed {
		list = append(list, floats(b.Mixed[k], b.Shape...), floats(b.Shares[k], b.N, b.Classes))
	}
	return list
}

// in is what the loss gets of the inputs of batches like b, and what of it moves: what the network gave and the embeddings, then what
// must be constant. masked leaves the mask in.
func (s subject) in(b Batch, x []*graph.Node, dtype dtypes.DType, masked bool) (
	in loss.In, moves, constant []*graph.Node) {
	as := func(n *graph.Node) *graph.Node { return graph.ConvertDType(n, dtype) }
	in = loss.In{Index: x[3], Examples: b.Examples, Counts: b.Counts}
	if masked {
		in.Mask = x[4]
	}
	rest := x[5:]
	for range b.Features {
		in.Features = append(in.Features, as(rest[0]))
		moves, rest = append(moves, rest[0]), rest[1:]
	}
	if !s.set {
		in.Features = nil
		in.Out, in.Teacher = as(x[0]), as(x[1])
		moves, constant = []*graph.Node{x[0]}, []*graph.Node{x[1]}
	}
	in.Labels = x[2]
	if s.ranks > 0 {
		return s.ranking(in, x[:1], rest, as)
	}
	if b.Targets != nil {
		in.Targets = as(rest[0])
		constant = append(constant, rest[0])
		if !s.set || s.inPlace {
			in.Labels = nil
		}
	}
	return in, moves, constant
}

// ranking is what a loss gets that compares out with mixtures, which are the rest of the inputs.
func (s subject) ranking(in loss.In, out, rest []*graph.Node, as func(*graph.Node) *graph.Node) (loss.In, []*graph.Node, []*graph.Node) {
	var mixed, shares, moves, constant []*graph.Node
	for k := 0; k < len(rest); k += 2 {
		mixed, shares = append(mixed, as(rest[k])), append(shares, as(rest[k+1]))
		moves, constant = append(moves, rest[k]), append(constant, rest[k+1])
	}
	in.Features, in.Out = nil, as(out[0])
	in.Mixed, in.MixedTargets = graph.Concatenate(mixed, 0), graph.Concatenate(shares, 0)
	return in, append(out[:1:1], moves...), constant
}

// moving are the numbers that moves are, of a copy of b.
func (s subject) moving(b *Batch) []*[]float64 {
	if !s.set {
		b.Out = slices.Clone(b.Out)
		return []*[]float64{&b.Out}
	}
	var all []*[]float64
	if s.ranks > 0 {
		b.Out, b.Mixed = slices.Clone(b.Out), slices.Clone(b.Mixed)
		all = append(all, &b.Out)
		for i := range b.Mixed {
			b.Mixed[i] = slices.Clone(b.Mixed[i])
			all = append(all, &b.Mixed[i])
		}
		return all
	}
	b.Features = slices.Clone(b.Features)
	for i := range b.Features {
		b.Features[i] = slices.Clone(b.Features[i])
		all = append(all, &b.Features[i])
	}
	return all
}

func volume(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

func near(got, want, tolerance float64) bool {
	return math.Abs(got-want) <= tolerance*(1+math.Abs(want))
}

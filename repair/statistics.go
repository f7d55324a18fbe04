package repair

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/onnxrun"
)

// Statistics re-estimates the means and variances of a graph's BatchNormalization from examples, without labels:
//
//	mean = a mean_s + (1-a) mean_t      var = a var_s + (1-a) var_t      a = SourceWeight
//
// _s are those in the file, _t those of all examples and positions together, the variance biased (1/n). The options are those of norm.Mixed:
// a = 0 is the examples alone, UnbiasedBatchVar and MomentMatch are the benchmarks' forms.
//
// Statistics are those of one fixed network, and of all examples at once: of each norm they are taken behind the new statistics of the norms
// before it, which are what it will see. One pass in which every norm takes those of its own batch would give something else wherever batches
// are small, and nothing at all where the file takes one example at a time. So passes go over all examples, each with the statistics that the
// one before found: after the first those of the first norms are right, after the second those behind them, and none moves any more after as
// many passes as there are norms behind each other. Passes end before that when nothing moves by more than Tolerance.
type Statistics struct {
	norm.Mixed

	// Tolerance is the largest change of a mean, in standard deviations, and of a variance, in its own size, that ends the passes; 0 = none may
	// move.
	Tolerance float64
}

// NewStatistics returns a source weight of 0 and a tolerance of 1e-5, which is about what float32 leaves open.
func NewStatistics() Statistics { return Statistics{Tolerance: 1e-5} }

// Estimated is what a re-estimation found.
type Estimated struct {
	Norms    int     `json:"norms"`
	Behind   int     `json:"norms_in_a_row"` // the longest chain of them
	Passes   int     `json:"passes"`
	Examples int     `json:"examples"`
	Moved    float64 `json:"largest_shift"` // largest change of a mean, in standard deviations of before
	Left     []Left  `json:"left,omitempty"`

	Edit onnx.Edit `json:"-"`
}

// StatisticsKey is the key of the file's metadata that says that its statistics were re-estimated.
const StatisticsKey = "ballast.statistics"

// statisticsPrefix begins the names of initialisers that a re-estimation adds.
const statisticsPrefix = "ballast_statistics"

// moments are a mean and a variance for each channel.
type moments struct{ mean, variance []float64 }

// Edit measures, and returns the changes that write the statistics into the model. pass, if not nil, is told which pass begins, of how many at
// most.
func (s Statistics) Edit(ctx context.Context, m *onnx.Model, f Feed, pass func(i, most int)) (found Estimated, err error) {
	if err := s.Validate(); err != nil {
		return found, fmt.Errorf("repair: %w", err)
	}
	norms, left := batchNorms(m)
	if len(norms) == 0 {
		return found, noNorms(m, left)
	}
	found.Norms, found.Left, found.Behind = len(norms), left, chain(m.Graph, norms)
	source := make([]moments, len(norms))
	for i, b := range norms {
		if source[i].mean, err = valuesOf(b.mean); err != nil {
			return found, err
		}
		if source[i].variance, err = valuesOf(b.variance); err != nil {
			return found, err
		}
	}

	probe, names := measuring(m, norms)
	graph, err := f.Prepare(probe, names...)
	if err != nil {
		return found, err
	}
	now := source
	for found.Passes < found.Behind {
		if pass != nil {
			pass(found.Passes, found.Behind)
		}
		var sums []pooled
		if sums, found.Examples, err = measure(ctx, f, graph, norms, now); err != nil {
			return found, err
		}
		found.Passes++
		next := make([]moments, len(norms))
		for i := range norms {
			if next[i], err = s.mix(m, norms[i], source[i], sums[i]); err != nil {
				return found, err
			}
		}
		moved := largestMove(norms, now, next)
		if now = next; moved <= s.Tolerance {
			break
		}
	}
	found.Moved = meanMove(norms, source, now)
	found.Edit = s.changes(m, norms, now, found.Examples)
	return found, nil
}

// chain is the largest number of norms behind each other.
func chain(g *onnx.Graph, norms []batchNorm) int {
	at := map[int]bool{}
	for _, b := range norms {
		at[b.at] = true
	}
	depth, most := map[string]int{}, 0
	for i, n := range g.Nodes {
		d := 0
		taken := map[string]bool{}
		usedBy(n, taken)
		for name := range taken {
			d = max(d, depth[name])
		}
		if at[i] {
			d++
		}
		most = max(most, d)
		for _, name := range n.Outputs {
			depth[name] = d
		}
	}
	return most
}

// usedBy adds the names that a node takes, in its subgraphs too.
func usedBy(n *onnx.Node, taken map[string]bool) {
	for _, name := range n.Inputs {
		taken[name] = true
	}
	for i := range n.Attributes {
		if sub := n.Attributes[i].Graph; sub != nil {
			for _, inner := range sub.Nodes {
				usedBy(inner, taken)
			}
			for _, v := range sub.Outputs {
				taken[v.Name] = true
			}
		}
	}
}

// inputNames are the names of the inputs that take the place of a norm's statistics in the graph that measures.
func inputNames(i int) (mean, variance string) {
	return "ballast: mean " + strconv.Itoa(i), "ballast: variance " + strconv.Itoa(i)
}

// measuring is the model with the statistics as inputs, and with the moments of each example and channel of what comes to each norm, [batch,
// channels, 1], and the number of positions, as values: names are these three of each norm.
func measuring(m *onnx.Model, norms []batchNorm) (probe *onnx.Model, names []string) {
	graph := *m.Graph
	graph.Nodes, graph.Inputs = slices.Clone(m.Graph.Nodes), slices.Clone(m.Graph.Inputs)
	s := newSurgery(m, "ballast: moments")
	behind := map[int][]*onnx.Node{}
	for i, b := range norms {
		n := *b.node
		n.Inputs = slices.Clone(n.Inputs)
		n.Inputs[3], n.Inputs[4] = inputNames(i)
		graph.Nodes[b.at] = &n
		for j, t := range []*onnx.Tensor{b.mean, b.variance} {
			graph.Inputs = append(graph.Inputs, onnx.Value{Name: n.Inputs[3+j], Type: t.Type, Rank: 1, Dims: []onnx.Dim{{Size: t.Elements}}})
		}

		s.nodes = nil
		x := s.op("Reshape", []string{s.cast(n.Inputs[0], onnx.Float), s.integers("shape", []int{3}, 0, int64(b.mean.Elements), -1)})
		mean := s.mean(x)
		off := s.op("Sub", []string{x, mean})
		names = append(names, mean, s.mean(s.op("Mul", []string{off, off})), s.op("Shape", []string{x}))
		behind[b.at] = s.nodes
	}
	var nodes []*onnx.Node
	for i, n := range graph.Nodes {
		nodes = append(nodes, behind[i]...) // what they take is there before the norm
		nodes = append(nodes, n)
	}
	graph.Nodes, graph.Initializers = nodes, append(slices.Clone(m.Graph.Initializers), s.tensors...)
	model := *m
	model.Graph = &graph
	return &model, names
}

// mean adds the mean over the last of three axes.
func (s *surgery) mean(x string) string { return s.reduce("ReduceMean", x, 2, true) }

// measure runs all examples with some statistics and returns the sums of what comes to each norm.
func measure(ctx context.Context, f Feed, g *onnxrun.Graph, norms []batchNorm, now []moments) (sums []pooled, examples int, err error) {
	inputs := map[string]*tensors.Tensor{}
	wanted := map[string]bool{} // those of the last norms are not: nothing that is measured comes behind them
	for _, v := range g.Inputs() {
		wanted[v.Name] = true
	}
	for i, b := range norms {
		mean, variance := inputNames(i)
		for name, values := range map[string][]float64{mean: now[i].mean, variance: now[i].variance} {
			if !wanted[name] {
				continue
			}
			if inputs[name], err = onnxrun.Tensor(tensorOf(name, b.mean.Type, []int{len(values)}, values)); err != nil {
				return nil, 0, err
			}
		}
	}
	sums = make([]pooled, len(norms))
	outputs := g.Outputs()
	err = f.Run(ctx, g, inputs, func(values map[string]*tensors.Tensor, n int) error {
		examples += n
		for i := range norms {
			var of [3][]float64
			for j := range of {
				if of[j], err = numbers(values[outputs[3*i+j].Name]); err != nil {
					return err
				}
			}
			sums[i].add(of[0], of[1], of[2][2], n, len(now[i].mean))
		}
		return nil
	})
	for _, t := range inputs {
		_ = t.FinalizeAll()
	}
	return sums, examples, err
}

// pooled are the moments of each channel over all examples that were added: count values of a mean, and the sum of their squared distances
// from it.
type pooled struct {
	count     float64
	mean, off []float64
}

// add adds the moments of n examples [n, channels], each over that many positions, by the formula of Chan, Golub and LeVeque, which loses
// nothing where means are large.
func (p *pooled) add(means, variances []float64, positions float64, n, channels int) {
	if p.mean == nil {
		p.mean, p.off = make([]float64, channels), make([]float64, channels)
	}
	for i := range n {
		total := p.count + positions
		for c := range channels {
			mean, variance := means[i*channels+c], variances[i*channels+c]
			d := mean - p.mean[c]
			p.mean[c] += d * positions / total
			p.off[c] += variance*positions + d*d*p.count*positions/total
		}
		p.count = total
	}
}

// mix mixes the statistics of the file with those that were measured.
func (s Statistics) mix(m *onnx.Model, b batchNorm, source moments, sum pooled) (out moments, err error) {
	a, values := s.SourceWeight, sum.count
	if values < 2 && a < 1 {
		return out, &fault.Usage{Err: fmt.Errorf("repair: a channel of what comes to %s has one value, and one value has no variance; give two examples or more", b.node)}
	}
	if s.UnbiasedBatchVar {
		values--
	}
	for c := range source.mean {
		mean, variance := sum.mean[c], sum.off[c]/values
		if math.IsNaN(mean) || math.IsInf(mean, 0) || math.IsNaN(variance) || math.IsInf(variance, 0) {
			return out, wrong(m, b.node.String(), "see whether its inputs are on the scale that the model wants: --preprocess", "channel %d of what comes to it is not finite", c)
		}
		mixed := a*source.variance[c] + (1-a)*variance
		if s.MomentMatch {
			d := source.mean[c] - mean
			mixed += a * (1 - a) * d * d
		}
		out.mean, out.variance = append(out.mean, a*source.mean[c]+(1-a)*mean), append(out.variance, mixed)
	}
	return rounded(b.mean.Type, out), nil
}

// rounded are moments as a tensor of a type holds them.
func rounded(t onnx.DataType, m moments) moments {
	for _, list := range [][]float64{m.mean, m.variance} {
		back, err := valuesOf(tensorOf("", t, []int{len(list)}, list))
		if err == nil {
			copy(list, back)
		}
	}
	return m
}

// largestMove is the largest change of a mean, in standard deviations, or of a variance, in its own size.
func largestMove(norms []batchNorm, before, after []moments) float64 {
	most := meanMove(norms, before, after)
	for i, b := range norms {
		for c, v := range before[i].variance {
			most = max(most, math.Abs(after[i].variance[c]-v)/(v+b.epsilon))
		}
	}
	return most
}

// meanMove is the largest change of a mean, in standard deviations of before.
func meanMove(norms []batchNorm, before, after []moments) (most float64) {
	for i, b := range norms {
		for c, v := range before[i].mean {
			most = max(most, math.Abs(after[i].mean[c]-v)/math.Sqrt(before[i].variance[c]+b.epsilon))
		}
	}
	return most
}

// changes are the changes that write statistics.
func (s Statistics) changes(m *onnx.Model, norms []batchNorm, now []moments, examples int) onnx.Edit {
	e := onnx.Edit{Nodes: map[int]onnx.NodeEdit{}, Metadata: map[string]string{}}
	w := newSurgery(m, statisticsPrefix)
	taken := uses(m.Graph)
	for i, b := range norms {
		w.replaced(&e, taken, b.at, 3, b.mean, now[i].mean)
		w.replaced(&e, taken, b.at, 4, b.variance, now[i].variance)
	}
	e.Metadata[StatisticsKey] = fmt.Sprintf(`{"norms":%d,"source_weight":%g,"examples":%d}`, len(norms), s.SourceWeight, examples)
	return e
}

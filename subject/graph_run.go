package subject

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/preprocess"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/untrusted"
	"github.com/ballast-ml/ballast/onnxrun"
	"github.com/ballast-ml/ballast/zoo"
)

// graphOn is a graph on an engine.
type graphOn struct {
	g       *Graph
	e       *engine.Engine
	free    chan *onnxrun.Graph // as many as calls at once make it faster
	shape   []int               // of an example of the data
	dims    []int               // of the input, without the batch
	piece   int                 // examples that one run takes
	batch   int                 // examples that are best asked about at a time
	labels  []string
	name    string
	classes int
	binary  bool   // one score, of class 1 of two
	form    string // of the scores

	looking sync.Mutex
	looker  *onnxrun.Graph // of scores and features; made when it is first asked for
}

var _ Answers = (*graphOn)(nil)

// onEngine runs the graph once on examples of the set, which tells the number of classes and whether scores are probabilities.
func (m *Model) onEngine(ctx context.Context, e *engine.Engine, ds data.Dataset, batch int) (Answers, error) {
	on, err := m.newOn(e, ds, batch)
	if err != nil {
		return nil, err
	}
	on.free <- on.g.graph
	for range e.Calls() - 1 {
		on.free <- on.g.graph.Twin()
	}
	return on, on.look(ctx, ds)
}

// newOn finds out how many examples go through the graph at a time, and in which shape.
func (m *Model) newOn(e *engine.Engine, ds data.Dataset, batch int) (*graphOn, error) {
	g := m.Graph
	if err := g.fits(ds); err != nil {
		return nil, err
	}
	shape := ds.Info().Shape
	on := &graphOn{g: g, e: e, shape: shape, name: m.Name, form: g.Form, piece: g.Batch, batch: batch, free: make(chan *onnxrun.Graph, e.Calls())}
	if on.piece == 0 {
		on.piece = batch
	}
	if on.batch%on.piece != 0 {
		on.batch += on.piece - on.batch%on.piece
	}
	switch {
	case g.Features > 0:
		on.dims = []int{g.Features}
	case g.Layout == preprocess.NCHW:
		on.dims = []int{shape[2], shape[0], shape[1]}
	default:
		on.dims = shape
	}
	if _, err := untrusted.Bytes("a batch of inputs", 4, append([]int{on.piece}, on.dims...)...); err != nil {
		return nil, fmt.Errorf("subject: %s: %w", m.Name, err)
	}
	return on, nil
}

// look asks about the first examples.
func (o *graphOn) look(ctx context.Context, ds data.Dataset) error {
	n := min(max(o.piece, o.batch), ds.Len()) // of a fixed batch of one, too, more than one tells
	size := ds.Info().Size()
	x := make([]float32, n*size)
	for i := range n {
		if err := ds.Read(i, x[i*size:(i+1)*size]); err != nil {
			return err
		}
	}
	scores, classes, err := o.scores(ctx, x, n)
	if err != nil {
		return err
	}
	if o.classes = classes; classes == 1 {
		o.binary, o.classes = true, 2
	}
	m := o.g.m
	areThey := areProbabilities(scores, n, classes)
	switch {
	case o.form == Probabilities && !areThey:
		return &fault.Input{File: o.g.File.Path, Field: "output " + o.g.Output, Err: fmt.Errorf("its values are not rows of numbers in [0,1] that sum to 1; the first is %v", firstRow(scores, classes)), Fix: "leave --outputs out, or use --outputs logits"}
	case o.form == "" && areThey:
		o.form = Probabilities
		m.assume("outputs", "rows are in [0,1] and sum to 1", false, "%s of output %s: their logarithms are the logits", Probabilities, o.g.Output)
	case o.form == "":
		o.form = Logits
		m.assume("outputs", "rows are not in [0,1] with a sum of 1", false, "%s of output %s", Logits, o.g.Output)
	case o.g.insisted && o.form == Logits && areThey && classes > 1:
		return &fault.Input{
			File: o.g.File.Path, Field: "output " + o.g.Output, Err: fmt.Errorf("%w; the first is %v", errNoLogits, firstRow(scores, classes)), Fix: fixNoLogits,
		}
	case o.form == Logits && o.g.Scores == "" && areThey && classes > 1:
		m.assume("outputs", "", true, "though all rows are in [0,1] and sum to 1: --outputs probabilities takes them as such")
	}
	return o.nameLabels()
}

// nameLabels finds the names of the outputs; numbers where there are none.
func (o *graphOn) nameLabels() error {
	g := o.g
	if g.Names != nil && len(g.Names) == o.classes {
		o.labels = g.Names
		return nil
	}
	if g.Classes == 0 {
		g.m.assumeLabels(nil, o.classes, "")
	}
	o.labels = numbers(o.classes)
	return nil
}

// firstRow is the first answer, as much of it as a person reads.
func firstRow(scores []float32, classes int) []float32 {
	return scores[:min(classes, 6, len(scores))]
}

// areProbabilities reports whether rows are in [0,1] and sum to 1; one score is a probability if it is in [0,1].
func areProbabilities(scores []float32, n, classes int) bool {
	for i := range n {
		sum := 0.0
		for _, v := range scores[i*classes : (i+1)*classes] {
			if !(v >= 0 && v <= 1) {
				return false
			}
			sum += float64(v)
		}
		if classes > 1 && math.Abs(sum-1) > 1e-3 {
			return false
		}
	}
	return n > 0
}

func (o *graphOn) Name() string     { return o.name }
func (*graphOn) Task() zoo.Task     { return zoo.Classify }
func (o *graphOn) Labels() []string { return o.labels }
func (o *graphOn) Shape() []int     { return o.shape }
func (o *graphOn) Batch() int       { return o.batch }
func (o *graphOn) Calls() int       { return o.e.Calls() }
func (o *graphOn) Engine() string   { return o.e.Kind }
func (*graphOn) Close()             {}

// Answer returns logits [n, classes].
func (o *graphOn) Answer(ctx context.Context, x []float32, n int) ([]float32, error) {
	scores, classes, err := o.scores(ctx, x, n)
	if err != nil {
		return nil, err
	}
	return o.logits(scores, classes)
}

// logits makes them of scores; it may write into these.
func (o *graphOn) logits(scores []float32, classes int) ([]float32, error) {
	if o.form == Probabilities {
		if err := probable(scores); err != nil {
			return nil, &fault.Input{File: o.g.File.Path, Field: "output " + o.g.Output, Err: err, Fix: "use --outputs logits"}
		}
	}
	if o.binary && classes == 1 {
		return ofOne(scores, o.form), nil
	}
	if classes != o.classes {
		return nil, fmt.Errorf("subject: %s gives %d scores an example, it gave %d before", o.name, classes, o.classes)
	}
	if o.form == Probabilities {
		logarithms(scores)
	}
	return scores, nil
}

// errNoLogits is that logits were said to be given.
var errNoLogits = errors.New("the outputs are no logits: all rows are numbers in [0,1] that sum to 1, as probabilities are")

// fixNoLogits is what to do about it.
const fixNoLogits = "leave --outputs out, or use --outputs probabilities"

// probable says which score is no probability, of a model whose first answers were.
func probable(scores []float32) error {
	for _, v := range scores {
		if !(v >= -1e-3 && v <= 1+1e-3) {
			return fmt.Errorf("a score is %v, and the outputs were taken for probabilities", v)
		}
	}
	return nil
}

// leastProbability stands in the place of a probability of 0, whose logarithm would make one wrong answer infinitely wrong: the smallest that
// float32 has with all its bits.
const leastProbability = 0x1p-126

// logarithms makes logits of probabilities, in place.
func logarithms(p []float32) {
	for i, v := range p {
		p[i] = float32(math.Log(max(float64(v), leastProbability)))
	}
}

// ofOne makes two logits of the one score of class 1 of two.
func ofOne(scores []float32, form string) []float32 {
	out := make([]float32, 2*len(scores))
	for i, v := range scores {
		if form == Probabilities {
			out[2*i] = float32(math.Log(max(1-float64(v), leastProbability)))
			out[2*i+1] = float32(math.Log(max(float64(v), leastProbability)))
			continue
		}
		out[2*i+1] = v
	}
	return out
}

// scores runs n examples in pieces and returns what the graph gives for each.
func (o *graphOn) scores(ctx context.Context, x []float32, n int) (scores []float32, classes int, err error) {
	select {
	case graph := <-o.free:
		defer func() { o.free <- graph }()
		return o.pieces(ctx, graph, x, n)
	case <-ctx.Done():
		return nil, 0, context.Cause(ctx)
	}
}

// pieces runs n examples through a graph in pieces, the last of them padded, and returns the rows of its first output.
func (o *graphOn) pieces(ctx context.Context, graph *onnxrun.Graph, x []float32, n int) (out []float32, width int, err error) {
	size := 1
	for _, d := range o.shape {
		size *= d
	}
	if n < 1 || len(x) != n*size {
		return nil, 0, fmt.Errorf("subject: %s: got %d values for %d examples of shape %v", o.name, len(x), n, o.shape)
	}
	piece := make([]float32, o.piece*size)
	for first := 0; first < n; first += o.piece {
		count := min(o.piece, n-first)
		o.put(piece, x[first*size:(first+count)*size])
		clear(piece[count*size:])
		rows, each, err := o.run(ctx, graph, piece)
		if err != nil {
			return nil, 0, err
		}
		width = each
		out = append(out, rows[:count*each]...)
	}
	for i, v := range out {
		if math.IsNaN(float64(v)) {
			return nil, 0, &fault.Input{File: o.g.File.Path, Field: "output " + o.g.Output, Err: fmt.Errorf("score %d of an example is not a number", i%width), Fix: "see whether its inputs are on the scale that the model wants: --preprocess"}
		}
	}
	return out, width, nil
}

// put writes examples as the graph takes them.
func (o *graphOn) put(dst, x []float32) {
	if o.g.Features > 0 {
		copy(dst, x)
		return
	}
	o.g.put.Values(dst, x, o.shape[0]*o.shape[1], o.shape[2], o.g.Layout == preprocess.NCHW)
	if o.g.Input.Type == uint8Type {
		for i, v := range dst[:len(x)] {
			dst[i] = float32(math.Round(float64(min(max(v, 0), 255))))
		}
	}
}

// run runs one piece.
func (o *graphOn) run(ctx context.Context, graph *onnxrun.Graph, x []float32) (rows []float32, each int, err error) {
	input := tensors.FromFlatDataAndDimensions(slices.Clone(x), append([]int{o.piece}, o.dims...)...)
	defer func() { _ = input.FinalizeAll() }()
	results, err := graph.RunContext(ctx, o.e.Backend, map[string]*tensors.Tensor{graph.Inputs()[0].Name: input})
	if err != nil {
		return nil, 0, err
	}
	y := results[graph.Outputs()[0].Name]
	defer func() { _ = y.FinalizeAll() }()
	dims := y.Shape().Dimensions
	if len(dims) == 0 || dims[0] != o.piece || y.Shape().Size() == 0 {
		return nil, 0, &fault.Input{
			File: o.g.File.Path, Field: "output " + o.g.Output,
			Err: fmt.Errorf("%w: it is %v for %d examples", errNoAnswers, dims, o.piece), Fix: o.g.fixRun(),
		}
	}
	if rows, err = tensors.CopyFlatData[float32](y); err != nil {
		return nil, 0, fmt.Errorf("subject: %s: %w", o.name, err)
	}
	return rows, len(rows) / o.piece, nil
}

package subject

import (
	"context"
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/onnxrun"
	"github.com/ballast-ml/ballast/repair"
)

// Feed is the examples of a set as the graph of an ONNX file takes them, for repairs: any value of the graph, or of a copy of it, can be asked
// for.
type Feed struct {
	// Progress, if not nil, is told how many examples were run.
	Progress func(done int)

	on   *graphOn
	ds   data.Dataset
	most int
}

var _ repair.Feed = (*Feed)(nil)

// Feed makes the first examples of a set ready for the graph, at most so many; 0 = all.
func (m *Model) Feed(e *engine.Engine, ds data.Dataset, batch, most int) (*Feed, error) {
	if m.Graph == nil {
		return nil, fmt.Errorf("subject: %s is not an ONNX file, so that it has no graph to feed", m.Name)
	}
	on, err := m.newOn(e, ds, batch)
	if err != nil {
		return nil, err
	}
	if most <= 0 || most > ds.Len() {
		most = ds.Len()
	}
	return &Feed{on: on, ds: ds, most: most}, nil
}

// Len is the number of examples.
func (f *Feed) Len() int { return f.most }

// Head is the first examples of the feed, at most so many.
func (f *Feed) Head(most int) *Feed { return &Feed{on: f.on, ds: f.ds, most: min(most, f.most)} }

// Prepare makes a model with the input of this one ready to give some of its values.
func (f *Feed) Prepare(m *onnx.Model, values ...string) (*onnxrun.Graph, error) {
	return onnxrun.New(f.on.g.leading(m, values...))
}

// Run runs a prepared model on all examples, piece by piece, in their order. The last piece is padded where the graph takes pieces of one size.
func (f *Feed) Run(ctx context.Context, g *onnxrun.Graph, others map[string]*tensors.Tensor, each func(values map[string]*tensors.Tensor, n int) error) error {
	o := f.on
	size := f.ds.Info().Size()
	for first := 0; first < f.most; first += o.piece {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n := min(o.piece, f.most-first)
		rows := n
		if o.g.Batch > 0 {
			rows = o.piece
		}
		x := make([]float32, n*size)
		for i := range n {
			if err := f.ds.Read(first+i, x[i*size:(i+1)*size]); err != nil {
				return err
			}
		}
		if err := f.piece(ctx, g, others, x, n, rows, each); err != nil {
			return err
		}
		if f.Progress != nil {
			f.Progress(first + n)
		}
	}
	return nil
}

// piece runs one piece of n examples in so many rows.
func (f *Feed) piece(ctx context.Context, g *onnxrun.Graph, others map[string]*tensors.Tensor, x []float32, n, rows int,
	each func(values map[string]*tensors.Tensor, n int) error,
) error {
	o := f.on
	put := make([]float32, rows*f.ds.Info().Size())
	o.put(put, x)
	inputs := map[string]*tensors.Tensor{g.Inputs()[0].Name: tensors.FromFlatDataAndDimensions(put, append([]int{rows}, o.dims...)...)}
	for name, t := range others {
		inputs[name] = t
	}
	defer func() { _ = inputs[g.Inputs()[0].Name].FinalizeAll() }()
	values, err := g.RunContext(ctx, o.e.Backend, inputs)
	if err != nil {
		return err
	}
	defer func() {
		for _, t := range values {
			_ = t.FinalizeAll()
		}
	}()
	return each(values, n)
}

// Site is where the graph has the scores that its answers are made of, for a calibration.
func (m *Model) Site(ctx context.Context, a Answers) (repair.Site, error) {
	o, ok := a.(*graphOn)
	if !ok {
		return repair.Site{}, fmt.Errorf("subject: %s is not an ONNX file, into which a calibration can be written", m.Name)
	}
	g := o.g
	site := repair.Site{Output: g.Output, Value: g.Output, Classes: o.classes, One: o.binary, Probabilities: o.form == Probabilities}
	if g.Scores != "" {
		site.Value, site.Separate = g.Scores, g.last.Op == "Sigmoid"
	} else if g.last != nil && g.last.Op == "LogSoftmax" && o.form == Logits {
		site.Value, site.Normalised = g.last.Outputs[0], true
	}
	for _, n := range g.File.Graph.Nodes { // which passes its scores on under the names of classes
		if n.Op == "ZipMap" && len(n.Inputs) > 0 && slices.Contains(n.Outputs, site.Value) {
			site.Value = n.Inputs[0]
		}
	}

	graph, err := onnxrun.New(g.leading(g.File, site.Value))
	if err != nil {
		return site, err
	}
	size := 1
	for _, d := range o.shape {
		size *= d
	}
	f := &Feed{on: o}
	err = f.look(ctx, graph, size, func(t *tensors.Tensor) error {
		site.Rank = t.Rank()
		if site.Type, ok = repair.TypeOf(t.DType()); !ok {
			return g.wrong("value "+site.Value, "", "its elements are %s, and scores are floating point numbers", t.DType())
		}
		return nil
	})
	return site, err
}

// look runs one piece of zeros, for shapes and types.
func (f *Feed) look(ctx context.Context, g *onnxrun.Graph, size int, see func(t *tensors.Tensor) error) error {
	o := f.on
	input := tensors.FromFlatDataAndDimensions(make([]float32, o.piece*size), append([]int{o.piece}, o.dims...)...)
	values, err := g.RunContext(ctx, o.e.Backend, map[string]*tensors.Tensor{g.Inputs()[0].Name: input})
	if err != nil {
		return err
	}
	return see(values[g.Outputs()[0].Name])
}

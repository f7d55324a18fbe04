package selfpositioning

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/core/tensors"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/merge/tuned"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/ops"
	"github.com/ballast-ml/ballast/train/update"
	"github.com/ballast-ml/ballast/zoo"
)

// The tasks of finding an image, which are the domains of the data.
const (
	views  = iota // the query is the image
	blank         // the image without its last columns
	turned        // the image transposed
)

// finding has an encoder find an image, the document, by what a task makes of it, the query. Of the vectors q and d of a batch, at length
// 1, it makes smaller
//
//	mean over i of -log softmax(q_i . d_j / Temperature over j)[i]
//
// which is InfoNCE with the other documents of the batch as negatives. Query and document have noise of their own, N(0, Noise^2) of their
// task and not clipped, drawn anew in every update.
type finding struct {
	Temperature float64    `json:"temperature"`
	Blanked     int        `json:"blanked_columns"`
	Noise       [3]float64 `json:"noise"` // by task
}

var _ update.Shaped = finding{}

// Network stays as it is: the recipe's encoder.
func (finding) Network(n zoo.Network, _ int) zoo.Network { return n }

// Validate refuses networks that give no vectors.
func (finding) Validate(p update.Plan) error {
	if p.Network.Task() != zoo.Embed {
		return &fault.Usage{Err: fmt.Errorf("recipe: objective finding trains encoders, and network %s is for the task %s",
			zoo.Name(p.Network), p.Network.Task())}
	}
	return nil
}

// Phases is one phase of one turn.
func (o finding) Phases(p update.Plan) []update.Phase {
	return []update.Phase{{Name: "train", Turns: []update.Turn{{Build: func(s *update.Step) []update.Goal {
		b := s.Batch(update.Train)
		if b.Domains == nil {
			Panicf("objective finding: the data have no domains, which say the task of each image")
		}
		query, document := o.pairs(s.Random("pairs"), b.X, b.Domains)
		vectors := s.Apply("/model", p.Network, pass.Pass{}, Concatenate([]*Node{query, document}, 0))
		return []update.Goal{{Name: "train", Terms: []update.Term{update.Whole("infonce", o.loss(vectors), 1)}}}
	}}}}}
}

// loss is that of vectors [2n, d], queries first.
func (o finding) loss(vectors *Node) *Node {
	u := loss.Unit(vectors)
	n := u.Shape().Dimensions[0] / 2
	queries, documents := Slice(u, AxisRange(0, n)), Slice(u, AxisRange(n))
	scores := MulScalar(MatMul(queries, Transpose(documents, 0, 1)), 1/o.Temperature)
	own := Iota(u.Graph(), shapes.Make(dtypes.Int32, n), 0)
	return loss.Mean(loss.CrossEntropy{}.Of(own, scores), nil)
}

// pairs are a query and a document for each image [n, side, side, 1], by its task [n].
func (o finding) pairs(r ops.Random, x, tasks *Node) (query, document *Node) {
	g, d := x.Graph(), x.Shape().Dimensions
	each := func(v *Node) *Node { return BroadcastToDims(Reshape(v, d[0], 1, 1, 1), d...) }
	is := func(task int) *Node { return each(Equal(tasks, Const(g, int32(task)))) }

	column := Iota(g, shapes.Make(dtypes.Int32, d...), 2)
	kept := LessThan(column, Const(g, int32(d[2]-o.Blanked)))
	query = Where(is(blank), Where(kept, x, ZerosLike(x)), x)
	query = Where(is(turned), Transpose(x, 1, 2), query)

	std := make([]float32, len(o.Noise))
	for task, v := range o.Noise {
		std[task] = float32(v)
	}
	deviation := each(ops.GatherRows(Const(g, std), tasks))
	noise := r.Normal(x.DType(), append([]int{2}, d...)...)
	of := func(i int) *Node { return Mul(deviation, Reshape(Slice(noise, AxisElem(i)), d...)) }
	return Add(query, of(0)), Add(x, of(1))
}

// pair is queries and documents, n of each.
type pair struct {
	query, document []float32
	n               int
}

// draw makes pairs of images by a task once, with noise of the seed.
func (o finding) draw(e *engine.Engine, x tuned.Examples, task int, seed uint64) (pair, error) {
	images := tensors.FromFlatDataAndDimensions(x.X, x.Len(), side, side, 1)
	out, err := CallOnceN(e.Backend, func(images *Node) (query, document *Node) {
		g := images.Graph()
		tasks := FillScalar(g, shapes.Make(dtypes.Int32, x.Len()), float64(task))
		return o.pairs(ops.NewRandom(g, seed), images, tasks)
	}, images)
	if err != nil {
		return pair{}, err
	}
	p := pair{n: x.Len()}
	if p.query, err = tensors.CopyFlatData[float32](out[0]); err != nil {
		return pair{}, err
	}
	p.document, err = tensors.CopyFlatData[float32](out[1])
	return p, err
}

// tensors are the inputs of a loss.
func (p pair) tensors() []*tensors.Tensor {
	return []*tensors.Tensor{
		tensors.FromFlatDataAndDimensions(p.query, p.n, side, side, 1),
		tensors.FromFlatDataAndDimensions(p.document, p.n, side, side, 1),
	}
}

const side = 8

// tasked is images with the task of each.
type tasked struct {
	data.Dataset
	tasks []int32
}

var _ data.Domained = tasked{}

// Domains are the tasks.
func (tasked) Domains() []string { return []string{"views", "blank", "turned"} }

// Domain is the task of an image.
func (t tasked) Domain(i int) int32 { return t.tasks[i] }

// ask gives each image its task.
func ask(x tuned.Examples, task func(i int) int) (data.Dataset, error) {
	set, err := x.Dataset("optdigits", []int{side, side, 1}, 10)
	if err != nil {
		return nil, err
	}
	t := tasked{Dataset: set, tasks: make([]int32, x.Len())}
	for i := range t.tasks {
		t.tasks[i] = int32(task(i))
	}
	return t, nil
}

// always is one task for all images.
func always(task int) func(int) int { return func(int) int { return task } }

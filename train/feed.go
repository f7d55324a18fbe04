package train

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/ops"
)

// The first inputs of every step graph; those of the feed come behind.
const (
	inputTable = iota // [steps of an epoch, columnsOfRate] float32
	inputBase         // int32: updates done before the epoch
	inputFeed
)

// batch is one micro-batch in the graph.
type batch struct {
	x      *Node // [n, shape...] float32
	labels *Node // [n] int32
	share  *Node // [n] float32: share of each example in the loss that is reported
	push   *Node // the same in the gradient; differs by the multiplicative noise
}

// cut says how an update is cut from the order of the epoch.
type cut struct {
	size    int // examples of a micro-batch on one device
	devices int // that share a micro-batch
	whole   int // examples of the update
	stride  int // examples from one update to the next
}

// feed brings the examples to the graph: from the device, where they fit, or batch by batch from the host.
type feed interface {
	// batch builds the present micro-batch in a graph.
	batch(s *state, c cut, inputs []*Node) batch
	// begin gets ready for the rest of an epoch, from its update number local on.
	begin(ctx context.Context, e epoch, local int) error
	// next returns the inputs for one call, for each device its own.
	next(ctx context.Context) ([][]any, error)
	// done is called when the call is made: what it alone needed can go.
	done() error
	close()
}

// epoch is what changes from one pass to the next, computed on the host.
type epoch struct {
	number int
	order  []int32   // permutation of the examples
	share  []float32 // by place in the order; nil = 1/batch for all
	push   []float32
}

// examples is the training set of a run with everything that has been done to it.
type examples struct {
	set     data.Dataset
	labels  []int32   // after label noise
	weights []float32 // an example adds weight x loss / batch; nil = all 1
}

// epoch draws the order and the weights of a pass. They depend on the seed and the number of the pass alone.
func (x examples) epoch(r Recipe, p plan, number int) (epoch, error) {
	e := epoch{number: number, order: data.Order(len(x.labels), r.Seed, number)}
	sigma2 := r.Weigh.GradientNoise
	if sigma2 == -1 {
		sigma2 = float64(r.BatchSize) / float64(r.Schedule.LargeBatch.SmallBatch)
	}
	if x.weights == nil && sigma2 == 0 {
		return e, nil
	}
	e.share = make([]float32, len(e.order))
	for k, i := range e.order {
		whole := r.BatchSize
		if k/r.BatchSize == p.stepsPerEpoch-1 && p.last > 0 {
			whole = p.last
		}
		e.share[k] = 1 / float32(whole)
		if x.weights != nil {
			e.share[k] = float32(float64(x.weights[i]) / float64(whole))
		}
	}
	if sigma2 == 0 {
		e.push = e.share
		return e, nil
	}
	source := rand.New(rand.NewPCG(r.Seed^noiseStream, uint64(number)))
	draws := make([]float64, len(e.order))
	for i := range draws {
		draws[i] = source.NormFloat64()
	}
	z, err := GradNoiseWeights(draws, sigma2)
	if err != nil {
		return epoch{}, err
	}
	e.push = make([]float32, len(z))
	for i := range z {
		e.push[i] = float32(z[i] * float64(e.share[i]))
	}
	return e, nil
}

// noiseStream keeps the draws of the gradient noise apart from everything else that the seed decides.
const noiseStream = 0x6e6f697365

// deviceFeed keeps the examples, as bytes where the set has them, and the order of the epoch on the device.
type deviceFeed struct {
	shape   []int
	staying [][]*tensors.Tensor // on each device: [examples, values] uint8 or float32, and labels [examples] int32
	passing [][]*tensors.Tensor // on each device: what belongs to the epoch
}

// newDeviceFeed reads the whole set once.
func newDeviceFeed(ctx context.Context, x examples, devices int) (*deviceFeed, error) {
	f := &deviceFeed{shape: x.set.Info().Shape, staying: make([][]*tensors.Tensor, devices), passing: make([][]*tensors.Tensor, devices)}
	n, values := x.set.Len(), volume(f.shape)
	var examples func() *tensors.Tensor
	if raw := bytesOf(x.set); raw != nil {
		examples = func() *tensors.Tensor { return tensors.FromFlatDataAndDimensions(raw, n, values) }
	} else {
		all := make([]float32, 0, n*values)
		reader := data.NewReader(x.set, ascending(n), 256, runtime.GOMAXPROCS(0), false)
		defer reader.Close()
		for len(all) < n*values {
			b, err := reader.Next(ctx)
			if err != nil {
				return nil, fmt.Errorf("train: read the training set: %w", err)
			}
			all = append(all, b.X[:b.N*values]...)
			reader.Recycle(b)
		}
		examples = func() *tensors.Tensor { return tensors.FromFlatDataAndDimensions(all, n, values) }
	}
	for i := range f.staying {
		f.staying[i] = []*tensors.Tensor{examples(), tensors.FromFlatDataAndDimensions(x.labels, n)}
	}
	return f, nil
}

func (f *deviceFeed) batch(s *state, c cut, inputs []*Node) batch {
	x, labels, order := inputs[inputFeed], inputs[inputFeed+1], inputs[inputFeed+2]
	g := x.Graph()
	start := MulScalar(Sub(s.step.NodeValue(g), inputs[inputBase]), int32(c.stride))
	if s.micro != nil {
		start = Add(start, MulScalar(s.micro.NodeValue(g), int32(c.size*c.devices)))
	}
	if d := ops.DevicesOf(g); d.Count > 1 {
		start = Add(start, MulScalar(d.Rank, int32(c.size)))
	}
	places := positions(g, c.size, start)
	index := ops.GatherRows(order, places)
	b := batch{
		x:      ops.GatherRows(x, index),
		labels: ops.GatherRows(labels, index),
	}
	if x.DType() == dtypes.Uint8 {
		b.x = DivScalar(ConvertDType(b.x, dtypes.Float32), 255.0)
	}
	b.x = Reshape(b.x, append([]int{c.size}, f.shape...)...)
	if len(inputs) > inputFeed+3 {
		b.share = ops.GatherRows(inputs[inputFeed+3], places)
		b.push = ops.GatherRows(inputs[inputFeed+4], places)
	} else {
		b.share = equalShares(g, c)
		b.push = b.share
	}
	return b
}

func (f *deviceFeed) begin(_ context.Context, e epoch, _ int) error {
	f.release()
	for i := range f.passing {
		f.passing[i] = []*tensors.Tensor{tensors.FromFlatDataAndDimensions(e.order, len(e.order))}
		if e.share != nil {
			f.passing[i] = append(f.passing[i],
				tensors.FromFlatDataAndDimensions(e.share, len(e.share)), tensors.FromFlatDataAndDimensions(e.push, len(e.push)))
		}
	}
	return nil
}

func (f *deviceFeed) next(context.Context) ([][]any, error) {
	all := make([][]any, len(f.staying))
	for i := range all {
		all[i] = anys(slices.Concat(f.staying[i], f.passing[i]))
	}
	return all, nil
}

func (f *deviceFeed) done() error { return nil }

// release frees what belonged to the last epoch at once rather than when the garbage collector finds it.
func (f *deviceFeed) release() {
	for i, own := range f.passing {
		_ = finalize(own) // inputs nobody uses any more; there is nothing to do about a failure
		f.passing[i] = nil
	}
}

func (f *deviceFeed) close() {
	f.release()
	for _, own := range f.staying {
		_ = finalize(own)
	}
}

// hostFeed sends every batch from the host; the reader decodes ahead of the device.
type hostFeed struct {
	examples examples
	cut      cut
	dropLast bool
	epoch    epoch
	place    int // in the order
	reader   *data.Reader
	sent     []*tensors.Tensor // the batch on its way
}

func (f *hostFeed) batch(_ *state, c cut, inputs []*Node) batch {
	b := batch{x: inputs[inputFeed], labels: inputs[inputFeed+1]}
	b.x = Reshape(b.x, append([]int{c.size}, f.examples.set.Info().Shape...)...)
	if len(inputs) > inputFeed+2 {
		b.share, b.push = inputs[inputFeed+2], inputs[inputFeed+3]
	} else {
		b.share = equalShares(b.x.Graph(), c)
		b.push = b.share
	}
	return b
}

func (f *hostFeed) begin(_ context.Context, e epoch, local int) error {
	f.close()
	f.epoch, f.place = e, local*f.cut.stride
	f.reader = data.NewReader(f.examples.set, e.order[f.place:], f.cut.size*f.cut.devices, runtime.GOMAXPROCS(0), f.dropLast)
	return nil
}

func (f *hostFeed) next(ctx context.Context) ([][]any, error) {
	b, err := f.reader.Next(ctx)
	if err != nil {
		return nil, fmt.Errorf("train: read the training set: %w", err)
	}
	defer f.reader.Recycle(b)
	values := volume(f.examples.set.Info().Shape)
	all := make([][]any, f.cut.devices)
	n := b.N / f.cut.devices
	for i := range all {
		labels := make([]int32, n) // not the batch's own: these may be noisy
		for k, example := range f.epoch.order[f.place : f.place+n] {
			labels[k] = f.examples.labels[example]
		}
		part := []*tensors.Tensor{
			tensors.FromFlatDataAndDimensions(b.X[i*n*values:(i+1)*n*values], n, values), tensors.FromFlatDataAndDimensions(labels, n),
		}
		if f.epoch.share != nil {
			part = append(part,
				tensors.FromFlatDataAndDimensions(f.epoch.share[f.place:f.place+n], n),
				tensors.FromFlatDataAndDimensions(f.epoch.push[f.place:f.place+n], n))
		}
		f.sent = append(f.sent, part...)
		all[i] = anys(part)
		f.place += n
	}
	return all, nil
}

// done frees the last batch sent, which the device has by now.
func (f *hostFeed) done() error {
	sent := f.sent
	f.sent = nil
	return finalize(sent)
}

func (f *hostFeed) close() {
	if f.reader != nil {
		f.reader.Close()
	}
}

// equalShares gives each example of a micro-batch 1/whole of the loss.
func equalShares(g *Graph, c cut) *Node {
	return BroadcastToDims(Scalar(g, dtypes.Float32, 1/float64(c.whole)), c.size)
}

// bytesOf returns the examples as bytes, nil where the set has none.
func bytesOf(set data.Dataset) []byte {
	byted, ok := set.(data.Byted)
	if !ok {
		return nil
	}
	if raw := byted.Bytes(); len(raw) == set.Len()*volume(set.Info().Shape) {
		return raw
	}
	return nil
}

func volume(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

func ascending(n int) []int32 {
	order := make([]int32, n)
	for i := range order {
		order[i] = int32(i)
	}
	return order
}

func anys(list []*tensors.Tensor) []any {
	out := make([]any, len(list))
	for i, t := range list {
		out[i] = t
	}
	return out
}

// finalize frees tensors at once rather than when the garbage collector finds them.
func finalize(list []*tensors.Tensor) error {
	var errs []error
	for _, t := range list {
		errs = append(errs, t.FinalizeAll())
	}
	return errors.Join(errs...)
}

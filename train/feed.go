package train

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/ops"
	"github.com/ballast-ml/ballast/train/update"
)

// The first inputs of every step graph; those of the feeds come behind, stream after stream, and the rank of the device where there are
// several.
const (
	inputTable = iota // [updates of a pass, columns] float32
	inputBase         // int32: updates done before the pass
	inputKey          // uint32 [2]: of what is random in the graph
	inputFeed
)

// cut says how an update is cut from the order of a stream.
type cut struct {
	size    int // examples of a micro-batch on one device
	devices int // that share a micro-batch
	whole   int // examples of the update
	stride  int // examples from one update to the next
}

// place is where a micro-batch stands: the updates since the pass began, and the micro-batches of the present one.
type place struct {
	into  *Node // int32
	micro *Node // int32; nil where an update is one micro-batch
}

// feed brings the examples of a stream to the graph: from the device, where they fit, or batch by batch from the host.
type feed interface {
	// inputs are the shapes of what the feed puts into a graph, for a cut.
	inputs(c cut) []shapes.Shape
	// batch builds the present micro-batch in a graph, of the feed's own inputs.
	batch(at place, c cut, inputs []*Node) update.Batch
	// begin gets ready for the rest of a pass, from its update number local on.
	begin(ctx context.Context, e epoch, local int) error
	// next returns the inputs for one call, for each device its own.
	next(ctx context.Context) ([][]any, error)
	// done is called when the call is made: what it alone needed can go.
	done() error
	close()
}

// fields says what a stream has besides examples.
type fields struct {
	stream  *stream
	targets data.Targeted // nil = classes
	tokens  data.Tokens   // nil = no text
	domains []int32       // nil = none
	shared  bool          // shares of their own
	updates int           // of a pass
}

func (s *stream) fields(r Recipe, p plan) fields {
	f := fields{stream: s, updates: p.stepsPerEpoch, domains: data.DomainsOf(s.examples.Set)}
	f.shared = s.pads() || s.name == update.Train && (s.examples.Weights != nil || r.Weigh.GradientNoise != 0)
	f.tokens, _ = data.AsTokens(s.examples.Set)
	if t := s.targets(); t == loss.Values || t == loss.Masks || t == loss.Images {
		f.targets, _ = data.AsTargeted(s.examples.Set)
	}
	return f
}

// like says whether a graph made for one is right for the other.
func (f fields) like(o fields) bool {
	window := func(f fields) int {
		if f.tokens == nil {
			return 0
		}
		return f.tokens.Window()
	}
	target := func(f fields) []int {
		if f.targets == nil {
			return nil
		}
		return f.targets.TargetShape()
	}
	return window(f) == window(o) && slices.Equal(target(f), target(o)) && (f.domains == nil) == (o.domains == nil)
}

// order is the length of the places of a pass.
func (f fields) order() int {
	if f.stream.pads() || f.stream.name != update.Train {
		return f.updates * f.stream.batch
	}
	return f.stream.capacity
}

// finish completes a batch whose examples are there.
func (f fields) finish(b update.Batch, c cut) update.Batch {
	b.Examples, b.Counts = f.stream.capacity, f.stream.told().Counts
	if b.Share == nil {
		b.Share = equalShares(b.X.Graph(), c)
		b.Push = b.Share
	}
	b.Views = []*Node{b.X} // until the step draws them
	return b
}

// deviceFeed keeps the examples, as bytes where the set has them, and the order of the pass on the device.
type deviceFeed struct {
	fields
	shape   []int
	bytes   bool
	text    int                 // most tokens that the programs are made for
	staying [][]*tensors.Tensor // on each device: examples, and what fields says
	passing [][]*tensors.Tensor // on each device: what belongs to the pass
}

// newDeviceFeed reads the whole set once.
func newDeviceFeed(ctx context.Context, f fields, devices int) (*deviceFeed, error) {
	d := &deviceFeed{
		fields: f, shape: f.stream.examples.Set.Info().Shape,
		staying: make([][]*tensors.Tensor, devices), passing: make([][]*tensors.Tensor, devices),
	}
	return d, d.bring(ctx, f.stream.examples.Set)
}

// bring puts a set on the devices.
func (f *deviceFeed) bring(ctx context.Context, set data.Dataset) error {
	n, values, most := set.Len(), volume(f.shape), f.stream.capacity
	var examples []func() *tensors.Tensor
	raw := bytesOf(set)
	f.bytes = raw != nil && f.tokens == nil
	switch {
	case f.tokens != nil:
		text, starts := f.tokens.Stream(), f.tokens.Starts()
		if f.text == 0 {
			f.text = len(text)
		}
		if len(text) > f.text {
			return fmt.Errorf("train: the text has %d tokens, the programs are made for at most %d; open the loop with the longest text", len(text), f.text)
		}
		examples = append(examples,
			func() *tensors.Tensor { return padded(text, f.text, 1) }, func() *tensors.Tensor { return padded(starts, most) })
	case f.bytes:
		examples = append(examples, func() *tensors.Tensor { return padded(raw, most, values) })
	default:
		all, err := readAll(ctx, set)
		if err != nil {
			return err
		}
		examples = append(examples, func() *tensors.Tensor { return padded(all, most, values) })
	}
	labels := f.stream.examples.Labels
	examples = append(examples, func() *tensors.Tensor { return padded(labels, most) })
	if f.targets != nil {
		targets, _ := data.AsTargeted(set) // of the pass
		shape := targets.TargetShape()
		all := make([]float32, n*volume(shape))
		for i := range n {
			if err := targets.Target(i, all[i*volume(shape):(i+1)*volume(shape)]); err != nil {
				return fmt.Errorf("train: target of example %d: %w", i, err)
			}
		}
		examples = append(examples, func() *tensors.Tensor { return padded(all, most, shape...) })
	}
	if f.domains != nil {
		examples = append(examples, func() *tensors.Tensor { return padded(f.domains, most) })
	}
	for i := range f.staying {
		_ = finalize(f.staying[i]) // of an earlier pass; there is nothing to do about a failure
		f.staying[i] = nil
		for _, make := range examples {
			f.staying[i] = append(f.staying[i], make())
		}
	}
	return nil
}

// padded is a tensor [rows, dims...] that begins with values.
func padded[T uint8 | float32 | int32](values []T, rows int, dims ...int) *tensors.Tensor {
	if want := rows * volume(dims); len(values) < want {
		values = append(slices.Clone(values), make([]T, want-len(values))...)
	}
	return tensors.FromFlatDataAndDimensions(values, append([]int{rows}, dims...)...)
}

// readAll reads a set of floats.
func readAll(ctx context.Context, set data.Dataset) ([]float32, error) {
	n, values := set.Len(), volume(set.Info().Shape)
	all := make([]float32, 0, n*values)
	reader := data.NewReader(set, ascending(n), 256, runtime.GOMAXPROCS(0), false)
	defer reader.Close()
	for len(all) < n*values {
		b, err := reader.Next(ctx)
		if err != nil {
			return nil, fmt.Errorf("train: read the training set: %w", err)
		}
		all = append(all, b.X[:b.N*values]...)
		reader.Recycle(b)
	}
	return all, nil
}

func (f *deviceFeed) inputs(cut) []shapes.Shape {
	var all []shapes.Shape
	for _, t := range f.staying[0] {
		all = append(all, t.Shape())
	}
	all = append(all, shapes.Make(dtypes.Int32, f.order()))
	if f.shared {
		all = append(all, shapes.Make(dtypes.Float32, f.order()), shapes.Make(dtypes.Float32, f.order()))
	}
	return all
}

func (f *deviceFeed) batch(at place, c cut, inputs []*Node) update.Batch {
	take := func() *Node { n := inputs[0]; inputs = inputs[1:]; return n }
	var text *Node
	if f.tokens != nil {
		text = take()
	}
	x, labels := take(), take()
	var targets, domains *Node
	if f.targets != nil {
		targets = take()
	}
	if f.domains != nil {
		domains = take()
	}
	order := take()

	g := x.Graph()
	start := MulScalar(at.into, int32(c.stride))
	if at.micro != nil {
		start = Add(start, MulScalar(at.micro, int32(c.size*c.devices)))
	}
	if d := ops.DevicesOf(g); d.Count > 1 {
		start = Add(start, MulScalar(d.Rank, int32(c.size)))
	}
	places := positions(g, c.size, start)
	index := ops.GatherRows(order, places)
	b := update.Batch{Index: index}
	if f.stream.pads() {
		b.Mask = GreaterOrEqual(index, ZerosLike(index))
		index = Max(index, ZerosLike(index))
	}

	b.X, b.Labels = ops.GatherRows(x, index), ops.GatherRows(labels, index)
	if b.Mask != nil {
		b.Labels = Where(b.Mask, b.Labels, MulScalar(OnesLike(b.Labels), int32(-1)))
	}
	if targets != nil {
		b.Targets = ops.GatherRows(targets, index)
	}
	if domains != nil {
		b.Domains = ops.GatherRows(domains, index)
	}
	switch {
	case text != nil:
		window := f.tokens.Window()
		wide := Add(BroadcastToDims(Reshape(b.X, c.size, 1), c.size, window), Iota(g, shapes.Make(dtypes.Int32, c.size, window), 1))
		b.X = Reshape(ops.GatherRows(text, Reshape(wide, c.size*window)), c.size, window)
	default:
		if x.DType() == dtypes.Uint8 {
			b.X = DivScalar(ConvertDType(b.X, dtypes.Float32), 255.0)
		}
		b.X = Reshape(b.X, append([]int{c.size}, f.shape...)...)
	}
	if f.shared {
		b.Share, b.Push = ops.GatherRows(take(), places), ops.GatherRows(take(), places)
	}
	return f.finish(b, c)
}

func (f *deviceFeed) begin(ctx context.Context, e epoch, _ int) error {
	if fresh, ok := data.AsFresh(f.stream.examples.Set); ok {
		if err := f.bring(ctx, fresh.At(e.number)); err != nil {
			return err
		}
	}
	f.release()
	for i := range f.passing {
		f.passing[i] = []*tensors.Tensor{tensors.FromFlatDataAndDimensions(e.order, len(e.order))}
		if f.shared {
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

// release frees what belonged to the last pass at once rather than when the garbage collector finds it.
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
	fields
	cut      cut
	dropLast bool
	set      data.Dataset // of the pass
	epoch    epoch
	at       int // in the order
	reader   *data.Reader
	sent     []*tensors.Tensor // the batch on its way
}

func (f *hostFeed) inputs(c cut) []shapes.Shape {
	set := f.stream.examples.Set
	all := []shapes.Shape{
		shapes.Make(dtypes.Float32, c.size, volume(set.Info().Shape)), shapes.Make(dtypes.Int32, c.size), shapes.Make(dtypes.Int32, c.size),
	}
	if f.targets != nil {
		all = append(all, shapes.Make(dtypes.Float32, append([]int{c.size}, f.targets.TargetShape()...)...))
	}
	if f.domains != nil {
		all = append(all, shapes.Make(dtypes.Int32, c.size))
	}
	if f.shared {
		all = append(all, shapes.Make(dtypes.Float32, c.size), shapes.Make(dtypes.Float32, c.size))
	}
	return all
}

func (f *hostFeed) batch(_ place, c cut, inputs []*Node) update.Batch {
	take := func() *Node { n := inputs[0]; inputs = inputs[1:]; return n }
	b := update.Batch{X: take(), Labels: take(), Index: take()}
	b.X = Reshape(b.X, append([]int{c.size}, f.stream.examples.Set.Info().Shape...)...)
	if f.targets != nil {
		b.Targets = take()
	}
	if f.domains != nil {
		b.Domains = take()
	}
	if f.stream.pads() {
		b.Mask = GreaterOrEqual(b.Index, ZerosLike(b.Index))
	}
	if f.shared {
		b.Share, b.Push = take(), take()
	}
	return f.finish(b, c)
}

func (f *hostFeed) begin(_ context.Context, e epoch, local int) error {
	f.close()
	f.epoch, f.at, f.set = e, local*f.cut.stride, f.stream.examples.Set
	if fresh, ok := data.AsFresh(f.set); ok {
		f.set = fresh.At(e.number)
	}
	order := slices.Clone(e.order[f.at:])
	for i := range order {
		order[i] = max(order[i], 0) // padding reads an example that counts nothing
	}
	f.reader = data.NewReader(f.set, order, f.cut.size*f.cut.devices, runtime.GOMAXPROCS(0), f.dropLast)
	return nil
}

func (f *hostFeed) next(ctx context.Context) ([][]any, error) {
	b, err := f.reader.Next(ctx)
	if err != nil {
		return nil, fmt.Errorf("train: read stream %s: %w", f.stream.name, err)
	}
	defer f.reader.Recycle(b)
	values := volume(f.set.Info().Shape)
	all := make([][]any, f.cut.devices)
	n := b.N / f.cut.devices
	for i := range all {
		part, err := f.part(b.X[i*n*values:(i+1)*n*values], n)
		if err != nil {
			return nil, err
		}
		f.sent = append(f.sent, part...)
		all[i] = anys(part)
		f.at += n
	}
	return all, nil
}

// part is what one device gets: the next n examples of the order, whose values are x.
func (f *hostFeed) part(x []float32, n int) ([]*tensors.Tensor, error) {
	index := f.epoch.order[f.at : f.at+n]
	labels := make([]int32, n) // not the batch's own: these may be noisy
	for k, i := range index {
		if labels[k] = -1; i >= 0 {
			labels[k] = f.stream.examples.Labels[i]
		}
	}
	targets, _ := data.AsTargeted(f.set) // of the pass
	part := []*tensors.Tensor{
		tensors.FromFlatDataAndDimensions(x, n, volume(f.set.Info().Shape)), tensors.FromFlatDataAndDimensions(labels, n),
		tensors.FromFlatDataAndDimensions(index, n),
	}
	if f.targets != nil {
		shape := f.targets.TargetShape()
		size := volume(shape)
		all := make([]float32, n*size)
		for k, i := range index {
			if err := targets.Target(int(max(i, 0)), all[k*size:(k+1)*size]); err != nil {
				return nil, fmt.Errorf("train: target of example %d: %w", i, err)
			}
		}
		part = append(part, tensors.FromFlatDataAndDimensions(all, append([]int{n}, shape...)...))
	}
	if f.domains != nil {
		domains := make([]int32, n)
		for k, i := range index {
			domains[k] = f.domains[max(i, 0)]
		}
		part = append(part, tensors.FromFlatDataAndDimensions(domains, n))
	}
	if f.shared {
		part = append(part,
			tensors.FromFlatDataAndDimensions(f.epoch.share[f.at:f.at+n], n), tensors.FromFlatDataAndDimensions(f.epoch.push[f.at:f.at+n], n))
	}
	return part, nil
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

// positions are [n] int32: start, start+1, ...
func positions(g *Graph, n int, start *Node) *Node {
	return Add(Iota(g, shapes.Make(dtypes.Int32, n), 0), start)
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

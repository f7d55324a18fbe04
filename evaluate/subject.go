package evaluate

import (
	"context"
	"fmt"
	"sync"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/zoo"
)

// Subject is what an audit is about: anything that answers inputs. What it can do besides, it says by the interfaces below.
type Subject interface {
	Name() string
	Task() zoo.Task   // what the answers are
	Labels() []string // names of the outputs; nil = they are numbered
	Shape() []int     // of an example; nil = any

	// Answer returns the answers to n examples, row after row; x is [n, Shape...] in the units of the data set. It must be safe for
	// concurrent use.
	Answer(ctx context.Context, x []float32, n int) ([]float32, error)
}

// Featured is a subject that also gives what it makes of an example before it answers.
type Featured interface {
	Subject
	Features(ctx context.Context, x []float32, n int) ([]float32, error) // [n, d], row after row
}

// Batched is a subject that is best asked about a number of examples at a time, in some calls at the same time. Without it they are
// Options.Batch examples, one call after the other.
type Batched interface {
	Subject
	Batch() int
	Calls() int
}

// Answered is a subject whose answers are there already, and which cannot be asked anew. Its audit has no data set.
type Answered interface {
	Subject
	Outputs() *Outputs
	Truth() []int32 // the labels of the examples, in their order
	Data() string   // what to call the examples
}

// Trained is a subject that knows what it was trained on.
type Trained interface {
	Subject
	TrainingCounts() []int // examples of each class; nil = unknown
}

// Hosted is a subject that runs on an engine that has a name.
type Hosted interface {
	Subject
	Engine() string
}

// Model is a bundle on an engine, ready to answer.
type Model struct {
	bundle *bundle.Bundle
	engine *engine.Engine
	batch  int
	free   chan *bundle.Forward // as many as calls at once make it faster

	mu       sync.Mutex
	features chan *bundle.Forward // of the features; made when they are first asked for
}

var (
	_ Batched = (*Model)(nil)
	_ Trained = (*Model)(nil)
	_ Hosted  = (*Model)(nil)
)

// NewModel compiles a bundle for batches of a size. Close it.
func NewModel(b *bundle.Bundle, e *engine.Engine, batch int) (*Model, error) {
	m := &Model{bundle: b, engine: e, batch: batch}
	var err error
	if m.free, err = m.forwards(b.NewForward); err != nil {
		return nil, err
	}
	return m, nil
}

// forwards compiles the bundle once for each call that may be made at the same time.
func (m *Model) forwards(compile func(e *engine.Engine, batch int) (*bundle.Forward, error)) (chan *bundle.Forward, error) {
	free := make(chan *bundle.Forward, m.engine.Calls())
	for range m.engine.Calls() {
		forward, err := compile(m.engine, m.batch)
		if err != nil {
			closeAll(free)
			return nil, err
		}
		free <- forward
	}
	return free, nil
}

// closeAll frees the programs that nobody is using.
func closeAll(free chan *bundle.Forward) {
	for len(free) > 0 {
		(<-free).Close()
	}
}

// Close frees the programs; the bundle stays usable.
func (m *Model) Close() {
	closeAll(m.free)
	closeAll(m.features)
}

// Name is the name in the manifest.
func (m *Model) Name() string { return m.bundle.Manifest.Name }

// Task is the network's.
func (m *Model) Task() zoo.Task { return m.bundle.Manifest.Network.Task() }

// Labels are the names of the classes.
func (m *Model) Labels() []string { return m.bundle.Manifest.Labels }

// Shape is that of an example before the preprocessing.
func (m *Model) Shape() []int { return m.bundle.Manifest.InputShape }

// Batch is the number of examples that are answered in one go.
func (m *Model) Batch() int { return m.batch }

// Calls is the number of calls that the engine works on at the same time.
func (m *Model) Calls() int { return m.engine.Calls() }

// Engine is the kind of the engine.
func (m *Model) Engine() string { return m.engine.Kind }

// TrainingCounts are the numbers of examples of each class that the manifest names.
func (m *Model) TrainingCounts() []int { return m.bundle.Manifest.Provenance.ClassCounts }

// Answer runs the model.
func (m *Model) Answer(ctx context.Context, x []float32, n int) ([]float32, error) {
	return ask(ctx, m.free, x, n)
}

// ask runs the next program that is free.
func ask(ctx context.Context, free chan *bundle.Forward, x []float32, n int) ([]float32, error) {
	select {
	case forward := <-free:
		defer func() { free <- forward }()
		return forward.Logits(x, n)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// featuredModel is a Model with features: the answers of one that embeds, or what stands in front of the last layer.
type featuredModel struct{ *Model }

var _ Featured = featuredModel{}

// Subject is the model with all that it can do: one whose network has features is Featured.
func (m *Model) Subject() Subject {
	_, cut := m.bundle.Manifest.Network.Network.(zoo.Featured)
	if cut || m.Task() == zoo.Embed {
		return featuredModel{m}
	}
	return m
}

// Features runs the model up to its features.
func (m featuredModel) Features(ctx context.Context, x []float32, n int) ([]float32, error) {
	if m.Task() == zoo.Embed {
		return m.Answer(ctx, x, n)
	}
	m.mu.Lock()
	if m.features == nil {
		var err error
		if m.features, err = m.forwards(m.bundle.NewFeatures); err != nil {
			m.mu.Unlock()
			return nil, fmt.Errorf("evaluate: features: %w", err)
		}
	}
	m.mu.Unlock()
	return ask(ctx, m.features, x, n)
}

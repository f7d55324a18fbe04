package evaluate

import (
	"context"
	"sync"

	"github.com/ballast-ml/ballast/adapt"
	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/zoo"
)

// Restarted is a subject whose answers depend on those before. Each pass of a data set through it begins with Restart.
type Restarted interface {
	Subject
	Restart() error
}

// Adapted is an adapter as a subject. Each pass of a data set begins where the adapter was when it became one, so that what a suite asks does
// not depend on the suites before; within a pass the adapter goes on.
type Adapted struct {
	mu      sync.Mutex
	adapter adapt.Adapter
	bundle  *bundle.Bundle
	engine  string
	batch   int
	name    string
	restart func() error
}

var (
	_ Batched   = (*Adapted)(nil)
	_ Trained   = (*Adapted)(nil)
	_ Hosted    = (*Adapted)(nil)
	_ Restarted = (*Adapted)(nil)
)

// NewAdapted is an adapter of a model with the state it has now. The adapter stays the caller's to close, and must not be used beside.
func NewAdapted(a adapt.Adapter, m adapt.Model, method adapt.Method) (*Adapted, error) {
	state, err := a.State()
	if err != nil {
		return nil, err
	}
	return &Adapted{
		adapter: a, bundle: m.Bundle, engine: m.Engine.Kind, batch: m.Batch,
		name: m.Bundle.Manifest.Name + " + " + adapt.Name(method), restart: func() error { return a.SetState(state.Clone()) },
	}, nil
}

// Name is that of the model and the method.
func (s *Adapted) Name() string { return s.name }

// Task is the network's.
func (s *Adapted) Task() zoo.Task { return s.bundle.Manifest.Network.Task() }

// Labels are the names of the classes.
func (s *Adapted) Labels() []string { return s.bundle.Manifest.Labels }

// Shape is that of an example before the preprocessing: the model's, or what the adapter takes.
func (s *Adapted) Shape() []int {
	if v, ok := s.adapter.(adapt.Viewer); ok {
		return v.InputShape()
	}
	return s.bundle.Manifest.InputShape
}

// Batch is the number of examples of a step.
func (s *Adapted) Batch() int { return s.batch }

// Calls is 1: an adapter answers in order.
func (s *Adapted) Calls() int { return 1 }

// Engine is the kind of the engine.
func (s *Adapted) Engine() string { return s.engine }

// TrainingCounts are those that the manifest names.
func (s *Adapted) TrainingCounts() []int { return s.bundle.Manifest.Provenance.ClassCounts }

// Restart puts the adapter where it was.
func (s *Adapted) Restart() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.restart()
}

// Answer runs the adapter.
func (s *Adapted) Answer(ctx context.Context, x []float32, n int) ([]float32, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.adapter.Answer(ctx, x, n)
}

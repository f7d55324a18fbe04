package train

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/train/update"
)

// host is what host work between updates sees of a loop.
type host struct{ *Loop }

func (l *Loop) host() update.Host { return host{l} }

// Store is the run's.
func (h host) Store() *model.Store { return h.state.store }

// Data is the set of a stream and its labels as they are trained on; nil for a stream that the recipe does not have.
func (h host) Data(name string) (data.Dataset, []int32) {
	if s := h.stream(name); s != nil {
		return s.examples.Set, s.examples.Labels
	}
	return nil, nil
}

// Truth is the labels of a stream as its set has them; nil for a stream that the recipe does not have.
func (h host) Truth(name string) []int32 {
	if s := h.stream(name); s != nil {
		return s.examples.True
	}
	return nil
}

func (l *Loop) stream(name string) *stream {
	for _, s := range l.material.streams {
		if s.name == name {
			return s
		}
	}
	return nil
}

// Rand is a generator for a use at the present update.
func (h host) Rand(use string) *rand.Rand {
	return rand.New(rand.NewPCG(h.recipe.Seed^hashed("host "+use), uint64(h.step)))
}

// Forward computes f for the examples of a stream, in their order, a batch at a time; the last one is filled up.
func (h host) Forward(ctx context.Context, name string, f func(scope *model.Scope, x *Node) *Node) (values []float32, width int, err error) {
	s := h.stream(name)
	if s == nil {
		return nil, 0, fmt.Errorf("train: there is no stream %q", name)
	}
	if err := h.gather(); err != nil {
		return nil, 0, err
	}
	store := h.state.store
	exec, err := model.NewExec(h.options.Engine.Backend, store, func(scope *model.Scope, x *Node) *Node {
		store.SetTraining(x.Graph(), false)
		x = ConvertDType(x, h.trained.Takes())
		y := ConvertDType(f(scope, h.trained.Preprocess.Apply(x)), dtypes.Float32)
		return Reshape(y, y.Shape().Dimensions[0], y.Shape().Size()/y.Shape().Dimensions[0])
	})
	if err != nil {
		return nil, 0, fmt.Errorf("train: %w", err)
	}
	defer exec.Finalize()

	set := s.examples.Set
	shape := append([]int{measureBatch}, set.Info().Shape...)
	reader := data.NewReader(set, ascending(set.Len()), measureBatch, runtime.GOMAXPROCS(0), false)
	defer reader.Close()
	for seen := 0; seen < set.Len(); {
		b, err := reader.Next(ctx)
		if err != nil {
			return nil, 0, fmt.Errorf("train: read stream %s: %w", name, err)
		}
		x := make([]float32, volume(shape))
		copy(x, b.X[:b.N*volume(set.Info().Shape)])
		out, err := exec.Call(tensors.FromFlatDataAndDimensions(x, shape...))
		if err != nil {
			return nil, 0, fmt.Errorf("train: %w", root(err))
		}
		width = out[0].Shape().Dimensions[1]
		values = append(values, tensors.MustCopyFlatData[float32](out[0])[:b.N*width]...)
		_ = finalize(out) // read already
		seen += b.N
		reader.Recycle(b)
	}
	return values, width, nil
}

// gather brings the variables back from several devices, so that another program can read them.
func (l *Loop) gather() error {
	if l.options.Devices == 1 {
		return nil
	}
	for v := range l.state.store.IterVariables() {
		if err := together(v); err != nil {
			return fmt.Errorf("train: %w", err)
		}
	}
	return nil
}

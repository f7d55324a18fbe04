package bundle

import (
	"errors"

	"github.com/ballast-ml/ballast/engine"
)

// Forward runs a bundle on one engine with one batch size; it is compiled once. Safe for concurrent use.
type Forward struct{}

// NewForward compiles the model for batches of the given size on an engine.
func (b *Bundle) NewForward(e *engine.Engine, batch int) (*Forward, error) {
	return nil, errors.New("bundle: not built yet")
}

// Logits runs n examples; x is [n, InputShape...] in row-major order, the result is [n, classes].
func (f *Forward) Logits(x []float32, n int) ([]float32, error) { return nil, nil }

// Close frees the compiled program; the bundle stays usable.
func (f *Forward) Close() {}

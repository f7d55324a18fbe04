package adapt

import "github.com/ballast-ml/ballast/nn/norm"

// Prior takes the running statistics for what Strength examples have shown and adds each batch to them: AlphaBN with a source weight of
// N/(N+n), N the Strength and n the examples of the step, so that the smaller rest of a stream leans on the model. The field is that of
// norm.Prior, whose comment has the source. Nothing is kept from batch to batch.
type Prior norm.Prior

var _ Method = Prior{}

// NewPrior returns a strength of 16 examples.
func NewPrior() Prior { return Prior(norm.NewPrior()) }

// Validate says what is wrong with the options, and how to fix it.
func (p Prior) Validate() error { return norm.Prior(p).Validate() }

// Start makes the adapter.
func (p Prior) Start(m Model) (Adapter, error) { return startSource("prior", m, norm.Prior(p)) }

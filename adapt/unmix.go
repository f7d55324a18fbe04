package adapt

import "github.com/ballast-ml/ballast/nn/norm"

// UnMix keeps K components of statistics for each norm, assigns each example to them, and normalises it with a mixture of the components and
// its own statistics (UnMix-TNS). Batches of one, of one class and of several domains work. The fields are those of norm.UnMix, whose comment
// has the formulas, the limits and the source. No weight moves; the components are the state, and every answer moves them unless Freeze.
//
// It takes its time: with fewer than some 10 K batches of 64 the components hardly move, and under a strong shift a narrow network may stay far
// below Batch.
type UnMix norm.UnMix

var _ Method = UnMix{}

// NewUnMix returns the paper's defaults: 16 components, a momentum of 0.1 for a batch of 64.
func NewUnMix() UnMix { return UnMix(norm.NewUnMix()) }

// Validate says what is wrong with the options, and how to fix it.
func (u UnMix) Validate() error { return norm.UnMix(u).Validate() }

// Start makes the adapter.
func (u UnMix) Start(m Model) (Adapter, error) {
	return startSource("unmix", m, norm.UnMix(u))
}

package adapt

import "github.com/ballast-ml/ballast/nn/norm"

// Batch normalises each batch with its own statistics (test-time normalisation, TBN): the mean and the biased variance of each channel over
// batch and positions, in place of the running values. Nothing is kept from batch to batch.
//
// It needs a network with norms that collect statistics, and batches in which each channel has two values or more: where a norm stands behind
// a dense layer, two examples. The batch should hold many classes: one of a single class is normalised as if it were of all.
// Sources: Nado et al., "Evaluating Prediction-Time Batch Normalization for Robustness under Covariate Shift", arXiv 2006.10963; Schneider
// et al., arXiv 2006.16971.
type Batch struct{}

var _ Method = Batch{}

// NewBatch returns the method, which has no options.
func NewBatch() Batch { return Batch{} }

// Start makes the adapter.
func (Batch) Start(m Model) (Adapter, error) {
	return startSource("batch", m, norm.Mixed{SourceWeight: 0})
}

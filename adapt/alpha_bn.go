package adapt

import "github.com/ballast-ml/ballast/nn/norm"

// AlphaBN mixes the running statistics with those of each batch (alpha-BN):
//
//	mean = a mean_s + (1-a) mean_t      var = a var_s + (1-a) var_t      a = SourceWeight
//
// a = 1 is the model as trained, and a = 0 is Batch. The fields are those of norm.Mixed, whose comment has the formula in full, the options of
// the benchmarks and the sources. Nothing is kept from batch to batch, and no weight moves.
//
// With batches of 32 or more take 0.5 to 0.9, chosen once on a shift that is not the one to be measured, and 0.9 for small ones. Where batches
// are large and of all classes and the shift is strong, a = 0 can beat every mixture.
type AlphaBN norm.Mixed

var _ Method = AlphaBN{}

// NewAlphaBN returns a source weight of 0.9.
func NewAlphaBN() AlphaBN { return AlphaBN(norm.NewMixed()) }

// Validate says what is wrong with the options, and how to fix it.
func (a AlphaBN) Validate() error { return norm.Mixed(a).Validate() }

// Start makes the adapter.
func (a AlphaBN) Start(m Model) (Adapter, error) {
	return startSource("alpha-bn", m, norm.Mixed(a))
}

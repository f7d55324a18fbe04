package norm

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/ops"
)

// UnMixScope is the scope of the components that UnMix keeps: "/unmix" and the path of the layer, with the variables means and vars [K,
// channels].
const UnMixScope = "/unmix"

// UnMix keeps K components of statistics for each layer and normalises each example b with a mixture of them and its own (UnMix-TNS), so
// that a batch may be small, of one class or of several domains. With mu_b and v_b the mean and the biased variance of each channel over the
// positions of b, and m_k, s_k the mean and the variance of component k:
//
//	p_bk   = softmax_k(cos(mu_b, m_k) / Temperature)                 over channels, without a gradient
//	mhat   = (1-p) m_k + p mu_b      shat = (1-p) s_k + p v_b
//	mean_b = mean_k mhat             var_b = mean_k shat + mean_k mhat^2 - mean_b^2, at least 0
//	m_k   <- m_k + l mean_b(p_bk (mu_b - m_k))      s_k <- s_k + l mean_b(p_bk (v_b - s_k))      l = 1 - (1-Momentum)^(batch/BatchMax)
//
// The components of before the update make the statistics, which are [batch, 1, ..., channels]; the sums over k are three products of
// [batch, K] and [K, channels]. Components start at the running values with noise z ~ N(0, 1) of the store's seed and the layer's path,
//
//	m_k = mean + sqrt(Alpha K/(K-1)) sqrt(var) z      s_k = (1-Alpha) var
//
// and move whenever the graph runs, evaluation in the middle of a stream included: Freeze keeps them. One component is no moving average: p
// is then 1, and the layer is instance normalisation. The noise is an error of about sqrt(Alpha/K) deviations in each channel, which narrow
// layers feel; and a component moves by about l/K in a batch, so that fewer than some 10 K batches of BatchMax hardly move them.
//
// x without positions, as of a dense layer, is normalised with the running values, as in the official code; OwnDense gives it the mixture,
// in which its own variance is 0. Images of one position have that variance too.
//
// Panics on options that Validate refuses, on an empty batch, and if the layer collects no mean, by which examples are assigned. The official
// code leaves p (1-p) (mu_b - m_k)^2 out of shat; ExactMixVariance adds it. Source: Tomar et al., "Un-Mixing Test-Time Normalization
// Statistics", arXiv 2401.08328 (number recalled), and its official code.
type UnMix struct {
	K                int     `json:"k"`                  // components; 16, for streams of mixed domains 128
	Momentum         float64 `json:"momentum"`           // of a batch of BatchMax, (0, 1]; 0.1
	BatchMax         int     `json:"batch_max"`          // 64, for large images 16
	Alpha            float64 `json:"alpha_init"`         // share of the variance that is between the first components, [0, 1); 0.5, of one component 0
	Temperature      float64 `json:"temperature"`        // above 0; 0.07
	ExactMixVariance bool    `json:"exact_mix_variance"` // false
	Freeze           bool    `json:"freeze"`             // components do not move; false
	OwnDense         bool    `json:"own_dense"`          // no running values for x without positions; false
}

var _ Source = UnMix{}

// NewUnMix returns the paper's defaults for streams of one domain or one after the other.
func NewUnMix() UnMix {
	return UnMix{K: 16, Momentum: 0.1, BatchMax: 64, Alpha: 0.5, Temperature: 0.07}
}

// Validate says what is wrong with the options, and how to fix it.
func (u UnMix) Validate() error {
	switch {
	case u.K < 1:
		return fmt.Errorf("k is %d; use at least one component, for example 16", u.K)
	case u.BatchMax < 1:
		return fmt.Errorf("batch_max is %d; use at least 1, for example 64", u.BatchMax)
	case !(u.Momentum > 0 && u.Momentum <= 1):
		return fmt.Errorf("momentum is %v; it is the share of a batch in the components, in (0, 1]; use 0.1", u.Momentum)
	case !(u.Alpha >= 0 && u.Alpha < 1):
		return fmt.Errorf("alpha_init is %v; it is the share of the variance between components, in [0, 1); use 0.5", u.Alpha)
	case !(u.Temperature > 0):
		return fmt.Errorf("temperature is %v; use a number above 0, for example 0.07", u.Temperature)
	}
	return nil
}

// Rate is l, the share of a batch of so many examples in the components.
func (u UnMix) Rate(batch int) float64 {
	return 1 - math.Pow(1-u.Momentum, float64(batch)/float64(u.BatchMax))
}

// Components are the first means and variances [K, channels] of a layer with running values [channels], from draws of N(0, 1) [K, channels].
func (u UnMix) Components(mean, variance, draws []float64) (means, variances []float64) {
	alpha, spread := u.Alpha, 0.0
	if u.K == 1 {
		alpha = 0
	} else {
		spread = math.Sqrt(alpha * float64(u.K) / float64(u.K-1))
	}
	channels := len(mean)
	means, variances = make([]float64, u.K*channels), make([]float64, u.K*channels)
	for i := range means {
		c := i % channels
		means[i] = mean[c] + spread*math.Sqrt(variance[c])*draws[i]
		variances[i] = (1 - alpha) * variance[c]
	}
	return means, variances
}

// Statistics are those of each example, or the running values of x without positions.
func (u UnMix) Statistics(scope *model.Scope, x *graph.Node, running *Running) (mean, variance *graph.Node) {
	const who = "norm.UnMix"
	if err := u.Validate(); err != nil {
		Panicf("%s %s: %v", who, scope.Scope(), err)
	}
	if running == nil || running.mean == nil {
		Panicf("%s %s: the layer collects no mean, by which examples are assigned to components; use a network with batch normalisation", who, scope.Scope())
	}
	if x.Rank() == 2 && !u.OwnDense {
		return running.values(x)
	}
	d := x.Shape().Dimensions
	batch, channels := d[0], d[len(d)-1]
	if batch == 0 || channels == 0 {
		Panicf("%s %s: x is %s; give at least one example and one channel", who, scope.Scope(), x.Shape())
	}

	own := ops.Widen(x)
	var ownMean, ownVariance *graph.Node
	if x.Rank() > 2 {
		ownMean, ownVariance = ops.Moments(own, positions(x), nil)
		ownMean, ownVariance = graph.Reshape(ownMean, batch, channels), graph.Reshape(ownVariance, batch, channels)
	} else {
		ownMean, ownVariance = own, graph.ZerosLike(own)
	}
	means, variances := u.declare(scope, x, running)
	p := u.Assign(ownMean, means.NodeValue(x.Graph()))
	mean, variance = u.mixture(p, ownMean, ownVariance, means.NodeValue(x.Graph()), variances.NodeValue(x.Graph()))
	if !u.Freeze {
		u.move(means, p, ownMean)
		u.move(variances, p, ownVariance)
	}

	shape := channelShape(x)
	shape[0] = batch
	return graph.Reshape(mean, shape...), graph.Reshape(variance, shape...)
}

// declare makes the components, or finds them.
func (u UnMix) declare(scope *model.Scope, x *graph.Node, running *Running) (means, variances *model.Variable) {
	channels := channelsOf(x)[0]
	first := func(pick func(means, variances []float64) []float64) param.Init {
		return func(r *rand.Rand, values []float64) {
			draws := make([]float64, len(values))
			for i := range draws {
				draws[i] = r.NormFloat64()
			}
			copy(values, pick(u.Components(valuesOf(running.mean), valuesOf(running.variance), draws)))
		}
	}
	at := scope.Store().Scope(UnMixScope + scope.Scope())
	means = param.Variable(at, "means", param.Statistic, stateType(x), first(func(m, _ []float64) []float64 { return m }), u.K, channels)
	variances = param.Variable(at, "vars", param.Statistic, stateType(x), first(func(_, v []float64) []float64 { return v }), u.K, channels)
	return means, variances
}

// valuesOf are the values of a variable in float64.
func valuesOf(v *model.Variable) []float64 {
	value := v.MustValue()
	if v.DType() == dtypes.Float64 {
		return tensors.MustCopyFlatData[float64](value)
	}
	narrow := tensors.MustCopyFlatData[float32](value)
	wide := make([]float64, len(narrow))
	for i, x := range narrow {
		wide[i] = float64(x)
	}
	return wide
}

// Assign is p [batch, K] for means of examples [batch, channels] and of components [K, channels], without a gradient.
func (u UnMix) Assign(own, means *graph.Node) *graph.Node {
	unit := func(v *graph.Node) *graph.Node {
		v = graph.StopGradient(v)
		length := graph.Sqrt(graph.ReduceAndKeep(graph.Square(v), graph.ReduceSum, -1))
		return graph.Div(v, graph.MaxScalar(length, 1e-12))
	}
	cosine := graph.DotGeneral(unit(own), []int{1}, nil, unit(means), []int{1}, nil)
	return graph.StopGradient(graph.Softmax(graph.MulScalar(cosine, 1/u.Temperature), -1))
}

// mixture are mean and variance [batch, channels] of each example. Means are taken from the mean of the components, which leaves the
// variance as it is and its two squares small.
func (u UnMix) mixture(p, own, ownVariance, means, variances *graph.Node) (mean, variance *graph.Node) {
	means, variances = graph.StopGradient(means), graph.StopGradient(variances)
	centre := graph.ReduceAndKeep(means, graph.ReduceMean, 0)
	m, mu := graph.Sub(means, centre), graph.Sub(own, centre)
	k := float64(u.K)
	all := func(v *graph.Node) *graph.Node { return graph.ReduceAndKeep(v, graph.ReduceSum, 0) }
	each := func(v *graph.Node) *graph.Node { return graph.ReduceAndKeep(v, graph.ReduceSum, -1) }

	square, rest := graph.Square(p), graph.Sub(p, graph.Square(p))
	mean = graph.DivScalar(graph.Add(graph.Sub(all(m), graph.MatMul(p, m)), mu), k)
	within := graph.Add(graph.Sub(all(variances), graph.MatMul(p, variances)), ownVariance)

	m2 := graph.Square(m)
	between := graph.Add(all(m2), graph.MatMul(graph.Sub(square, graph.MulScalar(p, 2)), m2)) // sum over k of mhat^2
	between = graph.Add(between, graph.MulScalar(graph.Mul(mu, graph.MatMul(rest, m)), 2))
	between = graph.Add(between, graph.Mul(graph.Square(mu), each(square)))
	if u.ExactMixVariance {
		term := graph.Sub(graph.MatMul(rest, m2), graph.MulScalar(graph.Mul(mu, graph.MatMul(rest, m)), 2))
		within = graph.Add(within, graph.Add(term, graph.Mul(graph.Square(mu), each(rest))))
	}
	variance = graph.Sub(graph.DivScalar(graph.Add(within, between), k), graph.Square(mean))
	return graph.Add(mean, centre), graph.MaxScalar(variance, 0.0)
}

// move moves components [K, channels] toward the examples' values [batch, channels] by their shares.
func (u UnMix) move(components *model.Variable, p, own *graph.Node) {
	g := own.Graph()
	batch := own.Shape().Dimensions[0]
	now, own := graph.StopGradient(components.NodeValue(g)), graph.StopGradient(own)
	drawn := graph.DotGeneral(p, []int{0}, nil, own, []int{0}, nil) // sum over b of p mu
	taken := graph.Reshape(graph.ReduceSum(p, 0), u.K, 1)
	step := graph.Sub(drawn, graph.Mul(taken, now))
	keep(components, graph.Add(now, graph.MulScalar(step, u.Rate(batch)/float64(batch))))
}

package linear

import (
	"math"
	"math/rand/v2"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/nn/pass"
)

// SpectralNorm is spectral normalisation, a kernel hook: the kernel, as a matrix K [out, fan-in], is divided by its largest singular value,
// which keeps a discriminator from becoming too steep:
//
//	kernel' = kernel / sigma      sigma = u^T K v, u [out] and v [fan-in] from power iteration
//
// Training moves u by Iterations steps v = K^T u/|K^T u|, u = K v/|K v| before it is used; inference uses u as it is. The gradient flows through
// sigma, and not through u and v. u is the variable u of the layer's scope.
// Source: Miyato, Kataoka, Koyama, Yoshida, "Spectral Normalization for Generative Adversarial Networks", arXiv 1802.05957.
type SpectralNorm struct {
	Iterations int // 0 counts as 1
}

// Hook is the normalisation as a kernel hook.
func (s SpectralNorm) Hook() Hook {
	return func(scope *model.Scope, kernel *graph.Node) *graph.Node {
		d := kernel.Shape().Dimensions
		out := d[len(d)-1]
		g := kernel.Graph()
		k := graph.Transpose(graph.Reshape(kernel, kernel.Shape().Size()/out, out), 0, 1)
		unit := func(r *rand.Rand, values []float64) {
			length := 0.0
			for i := range values {
				values[i] = r.NormFloat64()
				length += values[i] * values[i]
			}
			for i := range values {
				values[i] /= math.Sqrt(length)
			}
		}
		v := param.Variable(scope, "u", param.Statistic, kernel.DType(), unit, out)
		u := graph.ExpandAxes(pass.Weight(v, g), -1) // [out, 1]
		fixed := graph.StopGradient(k)
		normal := func(x *graph.Node) *graph.Node {
			return graph.Div(x, graph.AddScalar(graph.Sqrt(graph.ReduceAllSum(graph.Square(x))), 1e-12))
		}
		transposed := graph.Transpose(fixed, 0, 1)
		right := normal(graph.MatMul(transposed, u))
		if pass.Training(scope, g) {
			for range max(1, s.Iterations) {
				right = normal(graph.MatMul(transposed, u))
				u = normal(graph.MatMul(fixed, right))
			}
			pass.Move(scope, v, graph.Reshape(u, out))
		}
		u, right = graph.StopGradient(u), graph.StopGradient(right)
		sigma := graph.ReduceAllSum(graph.Mul(u, graph.MatMul(k, right)))
		return graph.Div(kernel, sigma)
	}
}

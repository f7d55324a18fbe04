package linear

import (
	"fmt"
	"math"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/ops"
)

// Standardization is weight standardisation, a kernel hook: every output channel's weights get mean 0 and deviation 1 before
// the layer multiplies with them,
//
//	kernel' = (kernel - mean) / s      over the fan-in of n = size x size x in/groups weights, for each output channel
//
//	mode                    s                                        who
//	paper                   sqrt(var + Epsilon), var biased (1/n)    the paper
//	unbiased_var            sqrt(var + Epsilon), var with 1/(n-1)    the official ImageNet code
//	unbiased_std_plus_eps   sqrt(var) + Epsilon, var with 1/(n-1)    the official DeepLab code
//
// The gradient flows through mean and s: for each output channel it has sum 0 and is orthogonal to kernel'. Outputs have n
// times the variance of inputs, so a normalisation must follow. Give it to a layer as linear.Conv2D{Kernel: s.Hook()}.
// Panics if the fan-in is 1, as in a 1x1 depthwise convolution: every weight would become 0.
// Source: Qiao, Wang, Liu, Shen, Yuille, "Micro-Batch Training with Batch-Channel Normalization and Weight Standardization",
// arXiv 1903.10520.
type Standardization struct {
	Mode    string  `json:"mode"` // paper, unbiased_var or unbiased_std_plus_eps
	Epsilon float64 `json:"eps"`  // 1e-5
}

// NewStandardization returns the paper's form.
func NewStandardization() Standardization { return Standardization{Mode: "paper", Epsilon: 1e-5} }

// Validate says whether the mode is known.
func (s Standardization) Validate() error {
	switch s.Mode {
	case "paper", "unbiased_var", "unbiased_std_plus_eps":
		return nil
	}
	return fmt.Errorf("weight standardisation: mode is %q; use paper, unbiased_var or unbiased_std_plus_eps", s.Mode)
}

// Hook is the standardisation as a kernel hook.
func (s Standardization) Hook() Hook {
	return func(scope *model.Scope, kernel *graph.Node) *graph.Node {
		return s.apply(scope.Scope(), kernel)
	}
}

// Apply standardises a kernel [..., out].
func (s Standardization) Apply(kernel *graph.Node) *graph.Node { return s.apply("", kernel) }

// Values standardises a kernel [..., out] of plain numbers, to be written into a model in place of the trained one.
func (s Standardization) Values(kernel []float64, dims []int) ([]float64, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	out := dims[len(dims)-1]
	n := float64(len(kernel) / max(1, out))
	if n < 2 {
		return nil, fmt.Errorf("weight standardisation: kernel %v has fan-in 1, whose standardised weights are all 0", dims)
	}
	result := make([]float64, len(kernel))
	for c := range out {
		var mean, variance float64
		for i := c; i < len(kernel); i += out {
			mean += kernel[i] / n
		}
		for i := c; i < len(kernel); i += out {
			variance += (kernel[i] - mean) * (kernel[i] - mean) / n
		}
		deviation := math.Sqrt(variance + s.Epsilon)
		switch s.Mode {
		case "unbiased_var":
			deviation = math.Sqrt(variance*n/(n-1) + s.Epsilon)
		case "unbiased_std_plus_eps":
			deviation = math.Sqrt(variance*n/(n-1)) + s.Epsilon
		}
		for i := c; i < len(kernel); i += out {
			result[i] = (kernel[i] - mean) / deviation
		}
	}
	return result, nil
}

func (s Standardization) apply(where string, kernel *graph.Node) *graph.Node {
	if where != "" {
		where = " " + where
	}
	if err := s.Validate(); err != nil {
		Panicf("linear.Standardization%s: %v", where, err)
	}
	axes := make([]int, kernel.Rank()-1)
	for i := range axes {
		axes[i] = i
	}
	d := kernel.Shape().Dimensions
	n := float64(kernel.Shape().Size() / max(1, d[len(d)-1]))
	if n < 2 {
		Panicf("linear.Standardization%s: kernel %s has fan-in 1, whose standardised weights are all 0; leave this layer's kernel as it is", where, kernel.Shape())
	}
	// Centred once beforehand: with few weights, close together, the rounding of their mean would reach the gradient.
	dtype := kernel.DType()
	kernel = ops.Widen(kernel)
	kernel = graph.Sub(kernel, graph.StopGradient(graph.ReduceAndKeep(kernel, graph.ReduceMean, axes...)))
	// With s^2 = f (var + e) this is the normalisation of activations, gradient and all.
	if s.Mode != "unbiased_std_plus_eps" {
		factor := 1.0
		if s.Mode == "unbiased_var" {
			factor = n / (n - 1)
		}
		y, _, _ := ops.Normalize(kernel, nil, nil, axes, s.Epsilon/factor)
		return graph.ConvertDType(graph.DivScalar(y, math.Sqrt(factor)), dtype)
	}
	mean, variance := ops.Moments(kernel, axes, nil)
	// The slope of the root is infinite at 0, where all weights of a channel are the same.
	flat := graph.LessOrEqual(variance, graph.ZerosLike(variance))
	deviation := graph.Sqrt(graph.MulScalar(graph.Where(flat, graph.OnesLike(variance), variance), n/(n-1)))
	deviation = graph.Where(flat, graph.ZerosLike(deviation), deviation)
	return graph.ConvertDType(graph.Div(graph.Sub(kernel, mean), graph.AddScalar(deviation, s.Epsilon)), dtype)
}

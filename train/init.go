package train

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/nn/param"
)

// normInits are the first values of the scale and the offset of norms, by the name of recipe key init.norms.
var normInits = map[string]func(name string) param.Init{
	"fixed":            func(name string) param.Init { return param.Constant(map[string]float64{"scale": 1}[name]) },
	"oneone":           func(string) param.Init { return param.Constant(1) },
	"uniform":          func(name string) param.Init { return scaleBetween(name, 0, 1) },
	"positivenegative": func(name string) param.Init { return scaleBetween(name, -1, 1) },
}

func scaleBetween(name string, low, high float64) param.Init {
	if name != "scale" {
		return param.Constant(0)
	}
	return param.Uniform(low, high)
}

// kernelInits are first values of the kernels, all with the deviation sqrt(2/fan-in) of He's, by the name of recipe key init.kernels.
var kernelInits = map[string]func(fanIn, channels int) param.Init{
	"binary": func(fanIn, _ int) param.Init {
		return func(r *rand.Rand, values []float64) {
			deviation := math.Sqrt(2 / float64(fanIn))
			for i := range values {
				values[i] = deviation * float64(1-2*r.IntN(2))
			}
		}
	},
	"uniform": func(fanIn, _ int) param.Init {
		limit := math.Sqrt(6 / float64(fanIn))
		return param.Uniform(-limit, limit)
	},
	"orthogonal": func(fanIn, channels int) param.Init { return param.SemiOrthogonal(fanIn, channels, math.Sqrt2) },
}

// pyTorch is the value of init.kernels with which layers begin as those of PyTorch, biases and the output layer too.
const pyTorch = "pytorch"

// asPyTorch draws from U(-b, b), b = 1/sqrt(fan-in).
func asPyTorch(fanIn int) param.Init {
	limit := 1 / math.Sqrt(float64(fanIn))
	return param.Uniform(-limit, limit)
}

// fanIn is how many values each output of a kernel is made of.
func fanIn(kernel *model.Variable) int {
	d := kernel.Shape().Dimensions
	return kernel.Shape().Size() / d[len(d)-1]
}

// redraw gives norms and kernels the first values that the recipe asks for; output layers keep theirs, but for those of PyTorch.
func redraw(r Recipe, store *model.Store, variables []*model.Variable) error {
	kernels := map[string]*model.Variable{} // by the scope of their layer
	for _, v := range variables {
		if v.Name() == "kernel" {
			kernels[v.Scope()] = v
		}
	}

	for _, v := range variables {
		var init param.Init
		d, beside := v.Shape().Dimensions, kernels[v.Scope()]
		switch {
		case GroupOf(v) == GroupNorm && r.Init.Norms != "" && (v.Name() == "scale" || v.Name() == "offset"):
			init = normInits[r.Init.Norms](v.Name())
		case r.Init.Kernels == pyTorch && (param.Of(v) == param.Kernel || v.Name() == "kernel"):
			init = asPyTorch(fanIn(v))
		case r.Init.Kernels == pyTorch && v.Name() == "bias" && beside != nil:
			init = asPyTorch(fanIn(beside))
		case param.Of(v) == param.Kernel && r.Init.Kernels != "" && r.Init.Kernels != pyTorch:
			init = kernelInits[r.Init.Kernels](fanIn(v), d[len(d)-1])
		default:
			continue
		}

		if err := param.Redraw(store, v, init); err != nil {
			return fmt.Errorf("train: %w", err)
		}
	}
	return nil
}

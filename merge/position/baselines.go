package position

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/weights"
)

// Average is the plain merge of task vectors, or models: sum of s_i V_i / sum of s_i. nil shares are equal ones.
func Average(tasks []weights.Set, shares []float64) (weights.Set, error) {
	if err := weights.CheckSets("merge: average", tasks, nil); err != nil {
		return nil, err
	}
	if shares == nil {
		shares = make([]float64, len(tasks))
		for i := range shares {
			shares[i] = 1
		}
	}

	if len(shares) != len(tasks) {
		return nil, &fault.Usage{Err: fmt.Errorf("merge: average: %d weights for %d models", len(shares), len(tasks))}
	}
	sum := 0.0
	for _, w := range shares {
		sum += w
	}

	if sum == 0 || math.IsNaN(sum) || math.IsInf(sum, 0) {
		return nil, &fault.Usage{Err: fmt.Errorf("merge: average: the weights %v sum to %v", shares, sum)}
	}
	out := tasks[0].ZerosLike()
	for t := range out {
		for j := range out[t].Values {
			v := 0.0
			for i := range tasks {
				v += shares[i] / sum * float64(tasks[i][t].Values[j])
			}
			out[t].Values[j] = float32(v)
		}
	}
	return out, nil
}

// FisherMerge weighs every value by how much its task cares about it, element by element:
//
//	sum over i of lambda_i F_i V_i / sum over i of lambda_i F_i
//
// F_i, 0 or above, is the mean squared gradient of the loss on the i-th task, see Fisher; where the sum below is 0 the plain mean
// is taken. nil lambda are equal ones.
// Source: Matena, Raffel, "Merging models with Fisher-weighted averaging", arXiv 2111.09832.
func FisherMerge(tasks, fisher []weights.Set, lambda []float64) (weights.Set, error) {
	if err := weights.CheckSets("merge: Fisher merge", append(append([]weights.Set{}, tasks...), fisher...), nil); err != nil {
		return nil, err
	}
	if lambda == nil {
		for range tasks {
			lambda = append(lambda, 1)
		}
	}
	if len(fisher) != len(tasks) || len(lambda) != len(tasks) {
		return nil, &fault.Usage{Err: fmt.Errorf("merge: Fisher merge: %d Fisher weights and %d factors for %d models", len(fisher), len(lambda), len(tasks))}
	}
	for i, l := range lambda {
		if !(l >= 0) || math.IsInf(l, 0) {
			return nil, &fault.Usage{Err: fmt.Errorf("merge: Fisher merge: factor %d is %v; it must be 0 or above", i, l)}
		}
	}

	out := tasks[0].ZerosLike()
	for t := range out {
		for j := range out[t].Values {
			above, below, plain := 0.0, 0.0, 0.0
			for i := range tasks {
				f, v := float64(fisher[i][t].Values[j]), float64(tasks[i][t].Values[j])
				if f < 0 {
					return nil, &fault.Input{Field: out[t].Name, Err: fmt.Errorf("merge: Fisher merge: value %d of model %d's Fisher weights is %v", j, i, f), Fix: "use means of squared gradients"}
				}
				above, below, plain = above+lambda[i]*f*v, below+lambda[i]*f, plain+v/float64(len(tasks))
			}
			if below > 0 {
				plain = above / below
			}
			out[t].Values[j] = float32(plain)
		}
	}
	return out, nil
}

// Fisher collects the mean squared gradient of a task's loss: the diagonal of its Fisher information where each gradient is that of
// one example.
type Fisher struct {
	sums  [][]float64
	shape weights.Set
	n     int
}

// Add takes one more gradient.
func (f *Fisher) Add(gradient weights.Set) error {
	if f.sums == nil {
		f.shape = gradient.ZerosLike()
		f.sums = make([][]float64, len(gradient))
		for t := range gradient {
			f.sums[t] = make([]float64, len(gradient[t].Values))
		}
	}
	if err := f.shape.SameLayout("the first gradient", gradient, "this gradient"); err != nil {
		return err
	}
	for t := range gradient {
		for j, v := range gradient[t].Values {
			f.sums[t][j] += float64(v) * float64(v)
		}
	}
	f.n++
	return nil
}

// Mean returns the mean so far.
func (f *Fisher) Mean() (weights.Set, error) {
	if f.n == 0 {
		return nil, errors.New("merge: Fisher: no gradient was added")
	}
	out := f.shape.Clone()
	for t := range out {
		for j, v := range f.sums[t] {
			out[t].Values[j] = float32(v / float64(f.n))
		}
	}
	return out, nil
}

// RegMean merges dense layers so that each task's outputs change least, in closed form. With the inputs X_i [samples, in] that the
// layer sees on task i and its kernel W_i [in, out]:
//
//	W = (sum over i of G_i)^-1 sum over i of G_i W_i      G_i = X_i^T X_i, off its diagonal scaled by OffDiagonal
//
// With OffDiagonal 1 it is the least squares solution over all tasks' outputs together.
// Source: Jin, Ren, Preotiuc-Pietro, Cheng, "Dataless knowledge fusion by merging weights of language models", arXiv 2212.09849.
type RegMean struct {
	OffDiagonal float64 `json:"off_diagonal"` // factor on G off its diagonal, [0, 1]; 0.9
}

// NewRegMean returns the default.
func NewRegMean() RegMean { return RegMean{OffDiagonal: 0.9} }

// Kernel is a dense layer's [In, Out] in row-major order.
type Kernel struct {
	In, Out int
	Values  []float64
}

// Merge merges one layer; inputs[i] is X_i, row after row.
func (r RegMean) Merge(inputs [][]float64, kernels []Kernel) (Kernel, error) {
	if !(r.OffDiagonal >= 0 && r.OffDiagonal <= 1) {
		return Kernel{}, &fault.Usage{Err: fmt.Errorf("merge: RegMean: off_diagonal is %v; it must be in [0, 1]", r.OffDiagonal)}
	}
	if len(kernels) == 0 || len(inputs) != len(kernels) {
		return Kernel{}, &fault.Usage{Err: fmt.Errorf("merge: RegMean: inputs of %d models, kernels of %d; give both of each", len(inputs), len(kernels))}
	}
	in, out := kernels[0].In, kernels[0].Out
	if in < 1 || out < 1 {
		return Kernel{}, &fault.Usage{Err: fmt.Errorf("merge: RegMean: the kernel is [%d, %d]", in, out)}
	}
	gram, right := mat.NewSymDense(in, nil), mat.NewDense(in, out, nil)
	for i, k := range kernels {
		if k.In != in || k.Out != out || len(k.Values) != in*out {
			return Kernel{}, &fault.Input{Err: fmt.Errorf("merge: RegMean: kernel %d is [%d, %d] with %d values, kernel 0 is [%d, %d]", i, k.In, k.Out, len(k.Values), in, out), Fix: "merge layers of one shape"}
		}
		if len(inputs[i]) == 0 || len(inputs[i])%in != 0 {
			return Kernel{}, &fault.Input{Err: fmt.Errorf("merge: RegMean: %d input values of model %d are not whole rows of %d", len(inputs[i]), i, in)}
		}
		own := mat.NewSymDense(in, nil)
		x := mat.NewDense(len(inputs[i])/in, in, inputs[i])
		own.SymOuterK(1, x.T())
		for a := range in {
			for b := a + 1; b < in; b++ {
				own.SetSym(a, b, r.OffDiagonal*own.At(a, b))
			}
		}
		gram.AddSym(gram, own)
		var product mat.Dense
		product.Mul(own, mat.NewDense(in, out, k.Values))
		right.Add(right, &product)
	}

	var factor mat.Cholesky
	if !factor.Factorize(gram) {
		return Kernel{}, &fault.Input{Err: errors.New("merge: RegMean: the inputs do not span the layer, so many kernels fit equally well"), Fix: fmt.Sprintf("give more than %d different inputs, or lower off_diagonal", in)}
	}
	var solved mat.Dense
	if err := factor.SolveTo(&solved, right); err != nil {
		return Kernel{}, &fault.Input{Err: fmt.Errorf("merge: RegMean: %w", err), Fix: "give more inputs, or lower off_diagonal"}
	}
	return Kernel{In: in, Out: out, Values: append([]float64{}, solved.RawMatrix().Data...)}, nil
}

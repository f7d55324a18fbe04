// Package param assigns each variable its role and its initial value.
//
// Freezing, weight decay, clipping, federated policies and conversion select variables by role. Initial values are drawn on
// the host from a generator keyed by the seed and the variable's path: they are the same on every engine and do not depend
// on the order in which a graph is built.
package param

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"path"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"
	"gonum.org/v1/gonum/mat"

	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// Role is what a variable is for.
type Role string

// The roles.
const (
	Kernel    Role = "kernel"    // weights of a dense layer or a convolution
	Affine    Role = "affine"    // biases, scales and offsets
	Statistic Role = "statistic" // what training collects without a gradient: running means and variances
	Output    Role = "output"    // every weight of the last layer, the one under a scope named output
)

// OutputScope is the name of the scope of a network's last layer.
const OutputScope = "output"

// Of returns the role of a variable. Names decide: kernel; bias, scale, offset; mean, variance; and the scope output. A
// variable of another name is a statistic if it is not trained, a kernel if it has two axes or more, else affine.
func Of(v *model.Variable) Role {
	name := path.Base(v.Path())
	switch {
	case !v.Trainable, name == "mean", name == "variance":
		return Statistic
	case strings.Contains(v.Path(), "/"+OutputScope+"/"):
		return Output
	case name == "kernel":
		return Kernel
	case name == "bias", name == "scale", name == "offset":
		return Affine
	case v.Shape().Rank() >= 2:
		return Kernel
	}
	return Affine
}

// seedKey is where a store keeps the seed of its first values.
const seedKey = "/ballast_seed"

// Seed sets the seed of the first values of a store's variables; without it the seed is 0.
func Seed(store *model.Store, seed uint64) { store.SetParam(seedKey, seed) }

// blankKey is where a store keeps whether first values are zero.
const blankKey = "/ballast_blank"

// Blank makes the first values of a store's variables zero, or drawn again: nothing need be drawn for what is read from a file next.
func Blank(store *model.Store, blank bool) { store.SetParam(blankKey, blank) }

// Source gives the value that a file has for a variable, or says why it has none. It is asked before anything is allocated, so that a
// network of any size needs no more memory than its file has tensors.
type Source func(path string, want shapes.Shape) (*tensors.Tensor, error)

// sourceKey is where a store keeps its Source.
const sourceKey = "/ballast_source"

// From has the first values of a store's variables come from a source; nil has them drawn again. What the source says against a
// variable is what Variable panics with.
func From(store *model.Store, source Source) { store.SetParam(sourceKey, source) }

// HasSource reports whether the first values of a store's variables come from a source.
func HasSource(store *model.Store) bool { return sourceOf(store) != nil }

func sourceOf(store *model.Store) Source {
	s, _ := store.GetParam(sourceKey)
	source, _ := s.(Source)
	return source
}

// counterKey is where a store that only counts keeps its Counter.
const counterKey = "/ballast_counter"

// Counter is what the variables of a network would take.
type Counter struct {
	Bytes   int64 // of all of them
	Largest int64 // numbers of the largest, which are drawn in float64
	Name    string
}

// Count has a store count its variables in c and give them no values: a graph can be built with it, and not run. It is for knowing
// what a network takes before anything is allocated.
func Count(store *model.Store, c *Counter) { store.SetParam(counterKey, c) }

// Fits returns a *fault.Exhausted if the variables counted, with their drawing, are above the memory's limit.
func (c *Counter) Fits() error {
	return memory.Need("the network (its largest variable is "+c.Name+")", c.Bytes+8*c.Largest)
}

// add counts a variable. Panics once the sum is beyond what Fits allows, since a graph may have many more.
func (c *Counter) add(path string, bytes, numbers int64) {
	c.Bytes += bytes
	if numbers >= c.Largest {
		c.Largest, c.Name = numbers, path
	}
	if err := c.Fits(); err != nil {
		panic(err)
	}
}

// bytesKey is where a store keeps the bytes of the variables it has drawn.
const bytesKey = "/ballast_bytes"

// Init draws the first value of a variable: n numbers.
type Init func(r *rand.Rand, values []float64)

// Constant fills with one value and draws nothing.
func Constant(value float64) Init {
	return func(_ *rand.Rand, values []float64) {
		for i := range values {
			values[i] = value
		}
	}
}

// HeNormal draws from N(0, 2/fanIn), which keeps the variance of activations behind a ReLU (He et al., arXiv 1502.01852).
func HeNormal(fanIn int) Init { return normal(math.Sqrt(2 / float64(max(fanIn, 1)))) }

// LeCunNormal draws from N(0, 1/fanIn), which keeps the variance without a nonlinearity behind.
func LeCunNormal(fanIn int) Init { return normal(math.Sqrt(1 / float64(max(fanIn, 1)))) }

// Orthogonal fills a kernel [n, k n] with k random orthogonal n x n matrices side by side, which keep the length of what they multiply
// (Saxe, McClelland, Ganguli, arXiv 1312.6120).
func Orthogonal(n int) Init {
	return func(r *rand.Rand, values []float64) {
		columns := len(values) / n
		for block := range columns / n {
			a := mat.NewDense(n, n, nil)
			for i := range n {
				for j := range n {
					a.Set(i, j, r.NormFloat64())
				}
			}
			var qr mat.QR
			qr.Factorize(a)
			var q, upper mat.Dense
			qr.QTo(&q)
			qr.RTo(&upper)
			for j := range n {
				sign := 1.0 // of the diagonal of R: without it the matrices are not uniform
				if upper.At(j, j) < 0 {
					sign = -1
				}
				for i := range n {
					values[i*columns+block*n+j] = sign * q.At(i, j)
				}
			}
		}
	}
}

// SemiOrthogonal fills a kernel [..., columns] of rows weights for each column with gain times a random matrix whose shorter side is
// orthonormal.
func SemiOrthogonal(rows, columns int, gain float64) Init {
	return func(r *rand.Rand, values []float64) {
		long, short := max(rows, columns), min(rows, columns)
		a := mat.NewDense(long, short, nil)
		for i := range long {
			for j := range short {
				a.Set(i, j, r.NormFloat64())
			}
		}
		var qr mat.QR
		qr.Factorize(a)
		var q, upper mat.Dense
		qr.QTo(&q)
		qr.RTo(&upper)
		for i := range long {
			for j := range short {
				v := gain * q.At(i, j) * math.Copysign(1, upper.At(j, j))
				if rows >= columns {
					values[i*columns+j] = v
				} else {
					values[j*columns+i] = v
				}
			}
		}
	}
}

// Uniform draws evenly from [low, high).
func Uniform(low, high float64) Init {
	return func(r *rand.Rand, values []float64) {
		for i := range values {
			values[i] = low + (high-low)*r.Float64()
		}
	}
}

// Redraw gives a variable another first value, drawn with the seed of its store and its path.
func Redraw(store *model.Store, v *model.Variable, init Init) error {
	values := make([]float64, v.Shape().Size())
	init(pathGenerator(store, v.Path()), values)
	return v.SetValue(convert(values, v.DType(), v.Shape().Dimensions))
}

// Scaled multiplies what another Init draws.
func Scaled(factor float64, init Init) Init {
	return func(r *rand.Rand, values []float64) {
		init(r, values)
		for i := range values {
			values[i] *= factor
		}
	}
}

func normal(deviation float64) Init {
	return func(r *rand.Rand, values []float64) {
		for i := range values {
			values[i] = deviation * r.NormFloat64()
		}
	}
}

// Variable returns the variable of a name in a scope, creating it with a first value when the store has none. Statistics
// are not trainable. Panics if the store has one of another shape, and, before anything is allocated, with an *untrusted.Error if no
// array has the dimensions and a *fault.Exhausted if the variables of the store together are above the memory's limit.
func Variable(scope *model.Scope, name string, role Role, dtype dtypes.DType, init Init, dimensions ...int) *model.Variable {
	path := model.JoinPath(scope.Scope(), name)
	if _, ok := untrusted.Product(untrusted.MaxElements, dimensions...); !ok {
		panic(&untrusted.Error{Path: "variable " + path, Text: fmt.Sprintf("no array has the shape %v", dimensions), Fix: "correct the sizes"})
	}
	want := shapes.Make(dtype, dimensions...)
	v := scope.GetVariable(name)
	if c, _ := scope.Store().GetParam(counterKey); v == nil && c != nil {
		bytes, err := untrusted.Bytes("variable "+path, dtype.Size(), dimensions...)
		if err != nil {
			panic(err)
		}
		c.(*Counter).add(path, bytes, int64(want.Size()))
		v = scope.VariableWithShape(name, want)
	}
	if v == nil {
		v = scope.VariableWithValue(name, firstValue(scope.Store(), path, want, init))
	}
	if !v.Shape().Equal(want) {
		Panicf("param: variable %s is %s, the layer needs %s; the weights belong to another network", v.Path(), v.Shape(), want)
	}
	return v.SetTrainable(role != Statistic)
}

// firstValue is what a new variable holds: what the store's source has, zeros, or what is drawn.
func firstValue(store *model.Store, path string, want shapes.Shape, init Init) *tensors.Tensor {
	if source := sourceOf(store); source != nil {
		value, err := source(path, want)
		if err != nil {
			panic(err)
		}
		return value
	}

	bytes, err := untrusted.Bytes("variable "+path, want.DType.Size(), want.Dimensions...)
	if err != nil {
		panic(err)
	}
	before, _ := store.GetParam(bytesKey)
	total, _ := before.(int64)
	total += bytes
	// Drawing takes 8 bytes a number besides the value.
	if err := memory.Need("the network up to variable "+path, total+8*int64(want.Size())); err != nil {
		panic(err)
	}
	store.SetParam(bytesKey, total)
	if blank, _ := store.GetParam(blankKey); blank == true {
		return tensors.FromShape(want)
	}
	values := make([]float64, want.Size())
	init(pathGenerator(store, path), values)
	return convert(values, want.DType, want.Dimensions)
}

func pathGenerator(store *model.Store, path string) *rand.Rand {
	seed, _ := store.GetParam(seedKey)
	s, _ := seed.(uint64)
	h := fnv.New64a()
	h.Write([]byte(path))
	return rand.New(rand.NewPCG(s, h.Sum64()))
}

func convert(values []float64, dtype dtypes.DType, dimensions []int) *tensors.Tensor {
	switch dtype {
	case dtypes.Float64:
		return tensors.FromFlatDataAndDimensions(values, dimensions...)
	case dtypes.Float32:
		narrow := make([]float32, len(values))
		for i, v := range values {
			narrow[i] = float32(v)
		}
		return tensors.FromFlatDataAndDimensions(narrow, dimensions...)
	case dtypes.Int32: // counters
		whole := make([]int32, len(values))
		for i, v := range values {
			whole[i] = int32(v)
		}
		return tensors.FromFlatDataAndDimensions(whole, dimensions...)
	}
	Panicf("param: variables are float32, float64 or int32, not %s; convert in the graph", dtype)
	return nil
}

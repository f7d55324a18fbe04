package bundle

import (
	"errors"
	"fmt"
	"math"
	"reflect"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/core/tensors"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/calibrate"
)

// Calibration is applied to the logits after the network: they are divided by Temperature, then go through Map.
type Calibration struct {
	Temperature float64                 `json:"temperature"`    // 1 leaves the logits alone
	Map         *calibrate.FittedChoice `json:"map,omitempty"`  // nil = none
	Sets        *calibrate.Sets         `json:"sets,omitempty"` // what makes a set of classes of the calibrated logits; nil = nothing
}

// Uncalibrated leaves the logits alone.
func Uncalibrated() Calibration { return Calibration{Temperature: 1} }

// Plain reports whether it is a temperature at most, as bundles of version 1 have it.
func (c Calibration) Plain() bool { return c.Map == nil && c.Sets == nil }

// Equal reports whether two do the same.
func (c Calibration) Equal(other Calibration) bool { return reflect.DeepEqual(c, other) }

// InGraph is a calibrate.Fitted of a program's own that a bundle can carry: it builds in a graph what Apply does.
type InGraph interface {
	calibrate.Fitted

	// InGraph corrects logits [batch, classes].
	InGraph(logits *Node) *Node
}

// validate says what is wrong with it, for a model with that many classes.
func (c Calibration) validate(classes int) error {
	if t := c.Temperature; !(t > 0) || math.IsInf(t, 0) || math.IsInf(1/t, 0) {
		return fmt.Errorf("calibration.temperature is %v; it must be above 0 (1 leaves the logits alone)", t)
	}
	if c.Map != nil {
		if c.Map.Fitted == nil {
			return errors.New("calibration.map is missing its name")
		}
		if err := c.Map.Validate(classes); err != nil {
			return fmt.Errorf("calibration.map: %w", err)
		}
		if !inGraph(c.Map.Fitted) {
			return fmt.Errorf("calibration.map: %s has no method InGraph, so a model cannot apply it", calibrate.FittedName(c.Map.Fitted))
		}
	}
	if c.Sets != nil {
		if err := c.Sets.Check(); err != nil {
			return fmt.Errorf("calibration.sets: %w", err)
		}
	}
	return nil
}

func inGraph(f calibrate.Fitted) bool {
	switch f.(type) {
	case calibrate.TemperatureMap, calibrate.VectorMap, calibrate.MatrixMap, calibrate.PlattMap, calibrate.IsotonicMap, calibrate.HistogramMap, InGraph:
		return true
	}
	return false
}

// Apply builds the calibration of logits [batch, classes]; the sets are made of the result, outside the graph.
func (c Calibration) Apply(logits *Node) *Node {
	if t := c.Temperature; t != 1 {
		logits = MulScalar(logits, 1/t)
	}
	if c.Map == nil {
		return logits
	}
	switch f := c.Map.Fitted.(type) {
	case calibrate.TemperatureMap:
		return MulScalar(logits, 1/f.T)
	case calibrate.VectorMap:
		return Add(Mul(logits, wide(logits, f.Weights)), wide(logits, f.Bias))
	case calibrate.MatrixMap:
		return Add(MatMul(logits, transposed(logits, f.Weights)), wide(logits, f.Bias))
	case calibrate.PlattMap:
		s := odds(logits)
		return finish(Sigmoid(Add(Mul(s, wide(s, f.Slopes)), wide(s, f.Offsets))))
	case calibrate.IsotonicMap:
		return finish(isotonic(f, odds(logits)))
	case calibrate.HistogramMap:
		return finish(histogram(f, Softmax(logits, -1)))
	case InGraph:
		return f.InGraph(logits)
	}
	Panicf("bundle: no graph of the calibration %T", c.Map.Fitted)
	return nil
}

// constant is values of those sides in a node's type.
func constant(like *Node, values []float64, dims ...int) *Node {
	return ConvertDType(ConstTensor(like.Graph(), tensors.FromFlatDataAndDimensions(values, dims...)), like.DType())
}

// wide is a number for each class, as a row.
func wide(like *Node, values []float64) *Node { return constant(like, values, 1, len(values)) }

// transposed is a matrix [out][in] as [in, out].
func transposed(like *Node, m [][]float64) *Node {
	k := len(m)
	flat := make([]float64, k*k)
	for out, row := range m {
		for in, v := range row {
			flat[in*k+out] = v
		}
	}
	return constant(like, flat, k, k)
}

// odds are the log-odds of each class, as calibrate has them: the sum over the others is made of the others alone.
func odds(logits *Node) *Node {
	k := logits.Shape().Dimensions[1]
	others := make([]float64, k*k)
	for i := range others {
		if i/k != i%k {
			others[i] = 1
		}
	}
	z := Sub(logits, StopGradient(ReduceAndKeep(logits, ReduceMax, -1)))
	rest := MatMul(Exp(z), constant(z, others, k, k))
	return ClipScalar(Sub(z, Log(MaxScalar(rest, least))), -calibrate.MaxOdds, calibrate.MaxOdds)
}

// least is the smallest sum of exponentials: its logarithm is beyond calibrate.MaxOdds, and it is a normal float32.
const least = 1e-37

// finish are the logarithms of probabilities, divided by their sum.
func finish(p *Node) *Node {
	p = MaxScalar(p, calibrate.Floor)
	return Log(Div(p, ReduceAndKeep(p, ReduceSum, -1)))
}

// isotonic is the line through points as a sum of ramps, one an interval: first value + sum of rise x clip((s - from)/length, 0, 1).
func isotonic(f calibrate.IsotonicMap, s *Node) *Node {
	k, most := len(f.Points), 1
	for _, points := range f.Points {
		most = max(most, len(points)-1)
	}
	first, from := make([]float64, k), make([]float64, k*most)
	per, rise := make([]float64, k*most), make([]float64, k*most)
	for c, points := range f.Points {
		first[c] = f.Values[c][0]
		for i := range len(points) - 1 {
			at := c*most + i
			from[at], per[at] = points[i], 1/max(points[i+1]-points[i], least)
			rise[at] = f.Values[c][i+1] - f.Values[c][i]
		}
	}
	in := func(values []float64) *Node { return constant(s, values, 1, k, most) }
	ramps := ClipScalar(Mul(Sub(ExpandDims(s, -1), in(from)), in(per)), 0, 1)
	return Add(wide(s, first), ReduceSum(Mul(ramps, in(rise)), -1))
}

// histogram is the value of the bin as a sum of steps, one an edge: first value + sum of rise x [p > edge].
func histogram(f calibrate.HistogramMap, p *Node) *Node {
	k, most := len(f.Edges), 1
	for _, edges := range f.Edges {
		most = max(most, len(edges))
	}
	first, edge, rise := make([]float64, k), make([]float64, k*most), make([]float64, k*most)
	for c, edges := range f.Edges {
		first[c] = f.Values[c][0]
		for i, e := range edges {
			edge[c*most+i], rise[c*most+i] = e, f.Values[c][i+1]-f.Values[c][i]
		}
	}
	in := func(values []float64) *Node { return constant(p, values, 1, k, most) }
	above := ConvertDType(GreaterThan(ExpandDims(p, -1), in(edge)), dtypes.Float32)
	return Add(wide(p, first), ReduceSum(Mul(ConvertDType(above, p.DType()), in(rise)), -1))
}

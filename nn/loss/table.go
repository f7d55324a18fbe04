package loss

import (
	"fmt"
	"math"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/ops"
)

// Remembers is a Loss or a Set that keeps a row of numbers for each example of the training set. It needs In.Index and In.Examples,
// and a sampler that draws no example twice in an update.
type Remembers interface {
	Row(outputs int) int // numbers it keeps for each example, where the network gives outputs numbers
}

// NeedsIndex reports whether a Loss or a Set keeps rows of examples.
func NeedsIndex(l any) bool {
	_, ok := l.(Remembers)
	return ok
}

// TableBytes is how much memory the rows of a Loss or a Set take, 0 if it keeps none: those of all examples and one for padding, in
// float32. More than an int64 holds is the largest int64.
func TableBytes(l any, examples, outputs int) int64 {
	r, ok := l.(Remembers)
	if !ok {
		return 0
	}
	bytes := 4 * (float64(examples) + 1) * float64(r.Row(outputs))
	if bytes >= math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(bytes)
}

// Fits returns a *memory.Error if the rows of a Loss or a Set do not fit the memory allowed. Call it before a run: an update writes
// the table anew, so it is there twice, and drawing its first values takes twice its size beside it.
func Fits(name string, l any, examples, outputs int) error {
	bytes := TableBytes(l, examples, outputs)
	if bytes > math.MaxInt64/3 {
		bytes = math.MaxInt64 / 3
	}
	return memory.Need(fmt.Sprintf("the memory of loss %s, a row for each of %d examples,", name, examples), 3*bytes)
}

// Distinct returns a *fault.Usage if a batch holds an example twice; -1 is padding and may repeat. name is the loss that keeps a row
// for each example, which would have to take two values at once.
func Distinct(name string, index []int32) error {
	seen := make(map[int32]bool, len(index))
	for _, i := range index {
		if i >= 0 && seen[i] {
			return &fault.Usage{Err: fmt.Errorf("loss %s keeps a row for each example, and example %d is twice in one batch; "+
				"use a sampler that draws no example twice", name, i)}
		}
		seen[i] = true
	}
	return nil
}

// Rows are numbers kept for each example of the training set: a variable [rows+1, dims...] that is not trained, so that checkpoints
// carry it. The last row belongs to padding and keeps its first value.
type Rows struct{ variable *model.Variable }

// Table returns the rows of a name in a scope, creating them with first. dtype is float32, or float64 where the network computes in
// it. Panics if the store has a table of another shape, as after a change of the training set, or if it would not fit
// the memory allowed.
func Table(s *model.Scope, name string, dtype dtypes.DType, rows int, first param.Init, dims ...int) Rows {
	if rows < 1 {
		Panicf("loss.Table: %d rows in table %s; want one for each example of the training set", rows, name)
	}
	return Rows{param.Variable(s, name, param.Statistic, dtype, first, append([]int{rows + 1}, dims...)...)}
}

// Variable is where the rows are, [rows+1, dims...].
func (r Rows) Variable() *model.Variable { return r.variable }

// At returns the rows of examples, index [n] -> [n, dims...]. An index below 0 is padding and gives the last row. Where an example is
// named twice, on whatever device, its row is NaN: the run ends there, rather than train on what two examples wrote over each other.
// The rows are constants.
func (r Rows) At(index *Node) *Node {
	checkIndex("At", index)
	g := index.Graph()

	last := Const(g, int32(r.variable.Shape().Dimensions[0]-1))
	place := Where(padding(index), BroadcastToDims(last, index.Shape().Dimensions...), index)
	return poisoned(ops.GatherRows(StopGradient(r.variable.NodeValue(g)), place), repeated(index))
}

// Set writes values [n, dims...] to the rows of examples; padding is left out, and an example named twice gets NaN. Several devices
// write what all of them have, so that their tables stay the same. What At returns afterwards is what was written.
func (r Rows) Set(index, values *Node) {
	checkIndex("Set", index)

	values = poisoned(ConvertDType(StopGradient(values), r.variable.DType()), repeated(index))
	index, values = ops.GatherAcross(index), ops.GatherAcross(values)
	r.variable.SetNodeValue(ops.ScatterDistinct(r.variable.NodeValue(index.Graph()), index, values))
}

func checkIndex(what string, index *Node) {
	if index == nil || index.Rank() != 1 || index.DType() != dtypes.Int32 {
		Panicf("loss.Rows.%s: the index is %s; want the place of each example in the training set, int32 [batch]", what,
			shapeOf(index))
	}
}

// padding says which of index [n] are padding.
func padding(index *Node) *Node { return LessThan(index, ScalarZero(index.Graph(), index.DType())) }

// repeated says which of index [n] are there more than once, counting those of all devices. Padding may be.
func repeated(index *Node) *Node {
	all := ops.GatherAcross(index)
	n, m := index.Shape().Dimensions[0], all.Shape().Dimensions[0]
	same := Equal(BroadcastToDims(Reshape(index, n, 1), n, m), BroadcastToDims(Reshape(all, 1, m), n, m))
	times := ReduceSum(ConvertDType(same, dtypes.Int32), 1)
	return LogicalAnd(GreaterThan(times, OnesLike(times)), LogicalNot(padding(index)))
}

// poisoned is rows [n, dims...] with NaN where which [n] is true.
func poisoned(rows, which *Node) *Node {
	dims := rows.Shape().Dimensions
	wide := make([]int, len(dims))
	for i := range wide {
		wide[i] = 1
	}
	wide[0] = dims[0]
	nan := FillScalar(rows.Graph(), rows.Shape(), math.NaN())
	return Where(BroadcastToDims(Reshape(which, wide...), dims...), nan, rows)
}

// need returns In.Index, and how many examples there are. Panics for the loss named who without them.
func (in In) need(who string) (index *Node, examples int) {
	if in.Index == nil || in.Examples < 1 {
		Panicf("loss.%s: the index is %s of %d examples; it keeps a row for each example, so it needs the place of each "+
			"one in the training set", who, shapeOf(in.Index), in.Examples)
	}
	return in.Index, in.Examples
}

// tableType is the type of a table beside x: float64 if x is, else float32.
func tableType(x *Node) dtypes.DType {
	if x.DType() == dtypes.Float64 {
		return dtypes.Float64
	}
	return dtypes.Float32
}

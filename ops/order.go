package ops

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	. "github.com/gomlx/gomlx/support/exceptions"
)

// The order of all functions here is the same on every engine: equal elements keep their places (0 and -0 are equal), and
// NaN counts as larger than anything. On XLA it is a stable sort of integer keys; the Go engine, whose sort takes 35
// microseconds an element, runs a bitonic network of whole-tensor operations instead.

// Sort puts the elements of x in order along an axis. The gradient goes to where each element came from.
func Sort(x *graph.Node, axis int, descending bool) *graph.Node {
	return TakeAlongAxis(x, ArgSort(x, axis, descending), axis)
}

// ArgSort is the places, int32, from which the elements of x come when they are put in order along an axis.
func ArgSort(x *graph.Node, axis int, descending bool) *graph.Node {
	a := axisOf("ArgSort", x, axis)
	there, back := toEnd(x.Rank(), a)
	key := graph.TransposeAllAxes(sortKey(x, descending), there...)
	d := key.Shape().Dimensions
	n := d[len(d)-1]
	key = graph.Reshape(key, key.Shape().Size()/n, n)
	var places *graph.Node
	if onGo(x) {
		places = bitonic(key)
	} else {
		places = sortedPlaces(key)
	}
	return graph.TransposeAllAxes(graph.Reshape(places, d...), back...)
}

// Rank is the place, from 0, that each element of x has in the order along an axis, int32.
func Rank(x *graph.Node, axis int, descending bool) *graph.Node {
	return ArgSort(ArgSort(x, axis, descending), axis, false)
}

// TopK is the k largest elements of x along an axis, the largest first, and their places, int32. The gradient goes to where
// each element came from.
func TopK(x *graph.Node, k, axis int) (values, places *graph.Node) {
	a := axisOf("TopK", x, axis)
	if n := x.Shape().Dimensions[a]; k < 1 || k > n {
		Panicf("ops.TopK: k is %d, axis %d of x %s has %d; use 1 to %d", k, axis, x.Shape(), n, n)
	}
	padding := make([][2]int, x.Rank())
	padding[a] = [2]int{0, k - x.Shape().Dimensions[a]}
	places = crop(ArgSort(x, a, true), padding)
	return TakeAlongAxis(x, places, a), places
}

// sortKey is an integer for each element whose order is the order of the elements.
func sortKey(x *graph.Node, descending bool) *graph.Node {
	x = graph.StopGradient(x)
	var key *graph.Node
	switch {
	case x.DType().IsFloat():
		x = Widen(x)
		x = graph.Where(graph.Equal(x, graph.ZerosLike(x)), graph.ZerosLike(x), x) // -0 is 0
		integer := dtypes.Int32
		if x.DType() == dtypes.Float64 {
			integer = dtypes.Int64
		}
		key = graph.Bitcast(x, integer)
		largest := graph.BroadcastToDims(largestInteger(key), x.Shape().Dimensions...)
		// The bits of negative floats count backwards.
		key = graph.Where(graph.LessThan(key, graph.ZerosLike(key)), graph.BitwiseXor(key, largest), key)
		key = graph.Where(graph.NotEqual(x, x), largest, key)
	case x.DType() == dtypes.Uint64:
		Panicf("ops.ArgSort: x is %s; convert it to int64 or a float", x.Shape())
	case x.DType().IsInt() || x.DType() == dtypes.Bool:
		key = graph.ConvertDType(x, dtypes.Int64)
	default:
		Panicf("ops.ArgSort: x is %s, which has no order", x.Shape())
	}
	if descending {
		key = graph.BitwiseNot(key)
	}
	return key
}

// largestInteger is the largest one of key's type, int32 or int64.
func largestInteger(key *graph.Node) *graph.Node {
	if key.DType() == dtypes.Int32 {
		return graph.Const(key.Graph(), int32(math.MaxInt32))
	}
	return graph.Const(key.Graph(), int64(math.MaxInt64))
}

// sortedPlaces sorts [rows, n] keys with their places by XLA's stable sort.
func sortedPlaces(key *graph.Node) *graph.Node {
	g := key.Graph()
	place := graph.Iota(g, shapes.Make(dtypes.Int32, key.Shape().Dimensions...), 1)
	scalar := func(f *graph.Graph, name string, dtype dtypes.DType) *graph.Node {
		return graph.Parameter(f, name, shapes.Make(dtype))
	}
	less := graph.NewClosure(g, func(f *graph.Graph) []*graph.Node {
		a, b := scalar(f, "a", key.DType()), scalar(f, "b", key.DType())
		scalar(f, "place_a", dtypes.Int32)
		scalar(f, "place_b", dtypes.Int32)
		return []*graph.Node{graph.LessThan(a, b)}
	})
	return graph.SortFunc(less, 1, true, key, place)[1]
}

// bitonic sorts [rows, n] keys by Batcher's network, log2(n)^2/2 exchanges of whole halves, and returns the places.
func bitonic(key *graph.Node) *graph.Node {
	g, rows, n := key.Graph(), key.Shape().Dimensions[0], key.Shape().Dimensions[1]
	size := 1
	for size < n {
		size *= 2
	}
	place := graph.Iota(g, shapes.Make(dtypes.Int32, rows, size), 1) // what is added has higher places and stays behind
	if size > n {
		key = graph.Concatenate([]*graph.Node{key, graph.BroadcastToDims(largestInteger(key), rows, size-n)}, 1)
	}
	for run := 2; run <= size; run *= 2 {
		for distance := run / 2; distance >= 1; distance /= 2 {
			pairs := []int{rows, size / (2 * distance), 2, distance}
			half := func(x *graph.Node, i int) *graph.Node {
				return graph.Slice(graph.Reshape(x, pairs...), graph.AxisRange(), graph.AxisRange(), graph.AxisElem(i), graph.AxisRange())
			}
			ka, kb, pa, pb := half(key, 0), half(key, 1), half(place, 0), half(place, 1)
			after := graph.LogicalOr(graph.GreaterThan(ka, kb), graph.LogicalAnd(graph.Equal(ka, kb), graph.GreaterThan(pa, pb)))
			// Every second run is sorted backwards.
			down := make([]bool, pairs[1])
			for i := range down {
				down[i] = (i*2*distance/run)%2 == 1
			}
			backwards := graph.BroadcastToDims(graph.Reshape(graph.Const(g, down), 1, pairs[1], 1, 1), rows, pairs[1], 1, distance)
			swap := graph.LogicalXor(after, backwards)
			join := func(a, b *graph.Node) *graph.Node {
				return graph.Reshape(graph.Concatenate([]*graph.Node{graph.Where(swap, b, a), graph.Where(swap, a, b)}, 2), rows, size)
			}
			key, place = join(ka, kb), join(pa, pb)
		}
	}
	return crop(place, [][2]int{{}, {0, n - size}})
}

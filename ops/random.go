package ops

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	. "github.com/gomlx/gomlx/support/exceptions"
)

// Random draws numbers that depend on its key and on nothing else: the same on every engine, in every process, whatever is
// drawn beside. The engines' own generators differ from each other. The bits are those of Threefry-2x32 with 20 rounds, a
// cipher applied to a counter; the numbers of a tensor are those of the counters 0, 1, 2, ... in row-major order. One key
// gives one stream: use Fold to make a key for each use and each step.
//
// Bits, Uniform, Bernoulli, Integers and Permutation are equal bit for bit on all engines. Normal goes through log and
// cos, which round differently: it agrees to about 1e-6 in float32.
//
// Source: Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011.
type Random struct {
	a, b *graph.Node // the key, two uint32
}

// NewRandom returns the stream of a seed.
func NewRandom(g *graph.Graph, seed uint64) Random {
	return Random{graph.Const(g, uint32(seed)), graph.Const(g, uint32(seed>>32))}
}

// RandomOf returns the stream of a computed key, uint32 [2]: a seed that is a variable or an input of the graph.
func RandomOf(key *graph.Node) Random {
	if key.DType() != dtypes.Uint32 || key.Rank() != 1 || key.Shape().Dimensions[0] != 2 {
		Panicf("ops.RandomOf: the key is %s; want uint32 [2]", key.Shape())
	}
	part := func(i int) *graph.Node { return graph.Reshape(graph.Slice(key, graph.AxisElem(i))) }
	return Random{part(0), part(1)}
}

type randomKey struct{}

// SetRandom gives the layers of a graph a stream to draw from in training: that of the training step. It is built when the first layer
// asks, and holds until another one is set.
func SetRandom(g *graph.Graph, stream func() Random) {
	var built *Random
	g.AttachState(randomKey{}, func() *Random {
		if built == nil {
			r := stream()
			built = &r
		}
		return built
	})
}

// RandomIn returns the stream that the layers of a graph draw from, nil if there is none.
func RandomIn(g *graph.Graph) *Random {
	if built, ok := g.State(randomKey{}).(func() *Random); ok {
		return built()
	}
	return nil
}

// Key is the key of the stream, uint32 [2].
func (r Random) Key() *graph.Node {
	return graph.Concatenate([]*graph.Node{graph.Reshape(r.a, 1), graph.Reshape(r.b, 1)}, 0)
}

// Fold returns another stream for each number n.
func (r Random) Fold(n uint64) Random {
	a, b := r.cipher(graph.Const(r.a.Graph(), uint32(n)), graph.Const(r.a.Graph(), uint32(n>>32)))
	return Random{a, b}
}

// FoldNode returns another stream for each value of n, one integer, at least 0: the number of the training step, say.
func (r Random) FoldNode(n *graph.Node) Random {
	if n.Rank() != 0 || !n.DType().IsInt() {
		Panicf("ops.Random: n is %s; want one integer", n.Shape())
	}
	a, b := r.cipher(graph.ConvertDType(n, dtypes.Uint32), graph.Const(r.a.Graph(), uint32(1)<<31)) // apart from Fold of small n
	return Random{a, b}
}

// cipher is Threefry-2x32-20 of a counter.
func (r Random) cipher(x, y *graph.Node) (*graph.Node, *graph.Node) {
	g := r.a.Graph()
	lay := func(s *graph.Node) *graph.Node { return graph.BroadcastToDims(s, x.Shape().Dimensions...) }
	const parity = uint32(0x1BD11BDA)
	keys := [3]*graph.Node{r.a, r.b, graph.BitwiseXor(graph.BitwiseXor(r.a, r.b), graph.Const(g, parity))}
	rotations := [2][4]int{{13, 15, 26, 6}, {17, 29, 16, 24}}
	x, y = graph.Add(x, lay(keys[0])), graph.Add(y, lay(keys[1]))
	for block := range 5 {
		for _, n := range rotations[block%2] {
			x = graph.Add(x, y)
			y = graph.BitwiseOr(graph.BitwiseShiftLeftScalar(y, uint32(n)), graph.BitwiseShiftRightLogicalScalar(y, uint32(32-n)))
			y = graph.BitwiseXor(y, x)
		}
		x = graph.Add(x, lay(keys[(block+1)%3]))
		y = graph.Add(y, lay(graph.Add(keys[(block+2)%3], graph.Const(g, uint32(block+1)))))
	}
	return x, y
}

// pairs returns two words for each of n counters, [n, 1] each.
func (r Random) pairs(n int) (a, b *graph.Node) {
	if uint64(n) > 1<<32 {
		Panicf("ops.Random: %d numbers from one key; the counter ends at %d, use Fold for more keys", n, uint64(1)<<32)
	}
	shape := shapes.Make(dtypes.Uint32, n, 1)
	return r.cipher(graph.Iota(r.a.Graph(), shape, 0), graph.Zeros(r.a.Graph(), shape))
}

// Bits are uint32 of the given shape, all values equally likely.
func (r Random) Bits(dims ...int) *graph.Node {
	size := volume(dims)
	if size == 0 {
		return graph.Zeros(r.a.Graph(), shapes.Make(dtypes.Uint32, dims...))
	}
	n := (size + 1) / 2
	a, b := r.pairs(n)
	words := graph.Reshape(graph.Concatenate([]*graph.Node{a, b}, 1), 2*n)
	return graph.Reshape(crop(words, [][2]int{{0, size - 2*n}}), dims...)
}

// Uniform are numbers in [0, 1), multiples of 2^-53 for float64, 2^-24 for float32, 2^-11 for float16, 2^-8 for bfloat16.
func (r Random) Uniform(dtype dtypes.DType, dims ...int) *graph.Node {
	if dtype != dtypes.Float64 && dtype != dtypes.Float32 && dtype != dtypes.Float16 && dtype != dtypes.BFloat16 {
		Panicf("ops.Random: no uniform numbers of type %s; want floats", dtype)
	}
	if dtype != dtypes.Float64 {
		bits := map[dtypes.DType]int{dtypes.Float32: 24, dtypes.Float16: 11, dtypes.BFloat16: 8}[dtype]
		top := graph.BitwiseShiftRightLogicalScalar(r.Bits(dims...), uint32(32-bits))
		return graph.ConvertDType(graph.MulScalar(graph.ConvertDType(top, dtypes.Float32), math.Exp2(float64(-bits))), dtype)
	}
	size := volume(dims)
	if size == 0 {
		return graph.Zeros(r.a.Graph(), shapes.Make(dtype, dims...))
	}
	a, b := r.pairs(size)
	high := graph.ConvertDType(graph.BitwiseShiftRightLogicalScalar(a, uint32(5)), dtype) // 27 bits
	low := graph.ConvertDType(graph.BitwiseShiftRightLogicalScalar(b, uint32(6)), dtype)  // 26 bits
	return graph.Reshape(graph.Add(graph.MulScalar(high, math.Exp2(-27)), graph.MulScalar(low, math.Exp2(-53))), dims...)
}

// Normal are numbers of the standard normal distribution, by Box and Muller's formula: sqrt(-2 log(1-u)) cos(2 pi v). In
// float32 they lie within 5.8, in float64 within 8.6.
func (r Random) Normal(dtype dtypes.DType, dims ...int) *graph.Node {
	wide := dtypes.Float32
	if dtype == dtypes.Float64 {
		wide = dtype
	}
	u := r.Fold(0).Uniform(wide, dims...)
	v := r.Fold(1).Uniform(wide, dims...)
	radius := graph.Sqrt(graph.MulScalar(graph.Log(graph.OneMinus(u)), -2))
	return graph.ConvertDType(graph.Mul(radius, graph.Cos(graph.MulScalar(v, 2*math.Pi))), dtype)
}

// Bernoulli are bools, true with probability p.
func (r Random) Bernoulli(p float64, dims ...int) *graph.Node {
	if !(p >= 0 && p <= 1) {
		Panicf("ops.Random: probability %v; want 0 to 1", p)
	}
	u := r.Uniform(dtypes.Float32, dims...)
	return graph.LessThan(u, graph.Const(u.Graph(), float32(p)))
}

// Integers are int32 from low to high-1, all equally likely to within (high-low) 2^-53.
func (r Random) Integers(low, high int, dims ...int) *graph.Node {
	if low >= high || low < math.MinInt32 || high > math.MaxInt32 {
		Panicf("ops.Random: integers from %d to below %d; want at least one, within int32", low, high)
	}
	u := r.Uniform(dtypes.Float64, dims...)
	i := graph.ConvertDType(graph.Floor(graph.MulScalar(u, float64(high)-float64(low))), dtypes.Int64)
	return graph.ConvertDType(graph.AddScalar(i, float64(low)), dtypes.Int32)
}

// Permutation is 0 to n-1 in random order, int32.
func (r Random) Permutation(n int) *graph.Node {
	return ArgSort(r.Bits(n), 0, false)
}

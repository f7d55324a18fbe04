package ops_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/internal/gradcheck"
	"github.com/ballast-ml/ballast/ops"
)

// threefry is the cipher in plain Go.
func threefry(key, counter [2]uint32) [2]uint32 {
	k := [3]uint32{key[0], key[1], key[0] ^ key[1] ^ 0x1BD11BDA}
	x, y := counter[0]+k[0], counter[1]+k[1]
	for block := range uint32(5) {
		for _, n := range [2][4]int{{13, 15, 26, 6}, {17, 29, 16, 24}}[block%2] {
			x += y
			y = (y<<n | y>>(32-n)) ^ x
		}
		x, y = x+k[(block+1)%3], y+k[(block+2)%3]+block+1
	}
	return [2]uint32{x, y}
}

// TestKnownAnswers are the vectors of the Random123 test suite for threefry2x32, 20 rounds.
func TestKnownAnswers(t *testing.T) {
	for _, c := range []struct{ counter, key, want [2]uint32 }{
		{[2]uint32{0, 0}, [2]uint32{0, 0}, [2]uint32{0x6b200159, 0x99ba4efe}},
		{[2]uint32{0xffffffff, 0xffffffff}, [2]uint32{0xffffffff, 0xffffffff}, [2]uint32{0x1cb996fc, 0xbb002be7}},
		{[2]uint32{0x243f6a88, 0x85a308d3}, [2]uint32{0x13198a2e, 0x03707344}, [2]uint32{0xc4923a9c, 0x483df7a0}},
	} {
		if got := threefry(c.key, c.counter); got != c.want {
			t.Errorf("plain: %x of %x gives %x, want %x", c.key, c.counter, got, c.want)
		}
		enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
			got := MustNewExec(e.Backend, func(key *Node) *Node {
				return ops.RandomOf(key).Fold(uint64(c.counter[1])<<32 | uint64(c.counter[0])).Key()
			}).MustCall(c.key[:])
			if w := tensors.MustCopyFlatData[uint32](got[0]); !slices.Equal(w, c.want[:]) {
				t.Errorf("%x of %x gives %x, want %x", c.key, c.counter, w, c.want)
			}
		})
	}
}

func TestRandom(t *testing.T) {
	const seed = 0x123456789abcdef0
	draws := map[string]func(r ops.Random) *Node{
		"bits":          func(r ops.Random) *Node { return r.Bits(7, 3) },
		"uniform":       func(r ops.Random) *Node { return r.Uniform(dtypes.Float32, 101) },
		"uniform64":     func(r ops.Random) *Node { return r.Uniform(dtypes.Float64, 5, 5) },
		"uniformbf16":   func(r ops.Random) *Node { return ConvertDType(r.Uniform(dtypes.BFloat16, 64), dtypes.Float32) },
		"bernoulli":     func(r ops.Random) *Node { return ConvertDType(r.Bernoulli(0.3, 200), dtypes.Int32) },
		"integers":      func(r ops.Random) *Node { return r.Integers(-3, 1_000_000_000, 77) },
		"permutation":   func(r ops.Random) *Node { return r.Permutation(50) },
		"folded":        func(r ops.Random) *Node { return r.Fold(7).FoldNode(Const(r.Key().Graph(), int32(9))).Bits(4) },
		"normal":        func(r ops.Random) *Node { return r.Normal(dtypes.Float32, 40_000) },
		"normal64":      func(r ops.Random) *Node { return r.Normal(dtypes.Float64, 9) },
		"one":           func(r ops.Random) *Node { return r.Uniform(dtypes.Float32) },
		"nothing":       func(r ops.Random) *Node { return r.Bits(0, 3) },
		"key":           func(r ops.Random) *Node { return r.Key() },
		"another place": func(r ops.Random) *Node { return Slice(r.Uniform(dtypes.Float32, 101), AxisRange(3, 9)) },
	}
	results := map[string]map[string][]float64{}
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		results[e.Kind] = map[string][]float64{}
		for name, draw := range draws {
			out := MustNewExec(e.Backend, func(g *Graph) *Node { return draw(ops.NewRandom(g, seed)) }).MustCall()[0]
			results[e.Kind][name] = floats(out)
		}
		bits := results[e.Kind]["bits"]
		for i := range bits {
			if want := threefry([2]uint32{seed & 0xffffffff, seed >> 32}, [2]uint32{uint32(i / 2), 0})[i%2]; bits[i] != float64(want) {
				t.Errorf("word %d is %v, want %v", i, bits[i], want)
			}
		}
		for name, values := range results[e.Kind] {
			if strings.HasPrefix(name, "uniform") {
				for _, v := range values {
					if v < 0 || v >= 1 {
						t.Errorf("%s: %v", name, v)
					}
				}
			}
		}
		permutation := slices.Sorted(slices.Values(results[e.Kind]["permutation"]))
		for i, p := range permutation {
			if p != float64(i) {
				t.Errorf("no permutation: %v", permutation)
				break
			}
		}
		var sum, square float64
		normal := results[e.Kind]["normal"]
		for _, v := range normal {
			sum += v
			square += v * v
		}
		n := float64(len(normal))
		if math.Abs(sum/n) > 5/math.Sqrt(n) || math.Abs(square/n-1) > 5*math.Sqrt(2/n) {
			t.Errorf("normal: mean %v, mean square %v of %v numbers", sum/n, square/n, n)
		}
		for want, f := range map[string]func(r ops.Random) *Node{
			"want 0 to 1":        func(r ops.Random) *Node { return r.Bernoulli(1.5, 2) },
			"want at least one":  func(r ops.Random) *Node { return r.Integers(3, 3, 2) },
			"want floats":        func(r ops.Random) *Node { return r.Uniform(dtypes.Int32, 2) },
			"want uint32 [2]":    func(r ops.Random) *Node { return ops.RandomOf(Const(r.Key().Graph(), []int32{1, 2})).Key() },
			"want one integer":   func(r ops.Random) *Node { return r.FoldNode(r.Key()).Key() },
			"use Fold for more ": func(r ops.Random) *Node { return r.Bits(1<<33+2, 1) },
		} {
			if got := gradcheck.Panics(e, func(in []*Node) *Node { return f(ops.NewRandom(in[0].Graph(), 1)) }, list(1)); !strings.Contains(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	})
	if a, b := results[engine.KindGo], results[engine.KindCPU]; a != nil && b != nil {
		for name := range draws {
			for i := range a[name] {
				if tolerance := map[string]float64{"normal": 2e-6, "normal64": 1e-14}[name]; !(math.Abs(a[name][i]-b[name][i]) <= tolerance) {
					t.Errorf("%s: number %d is %v on go and %v on xla", name, i, a[name][i], b[name][i])
					break
				}
			}
		}
	}
}

// floats is the tensor's numbers.
func floats(x *tensors.Tensor) []float64 {
	var out []float64
	x.MustConstFlatData(func(flat any) {
		switch flat := flat.(type) {
		case []uint32:
			for _, v := range flat {
				out = append(out, float64(v))
			}
		case []int32:
			for _, v := range flat {
				out = append(out, float64(v))
			}
		case []float32:
			for _, v := range flat {
				out = append(out, float64(v))
			}
		case []float64:
			out = append(out, flat...)
		}
	})
	return out
}

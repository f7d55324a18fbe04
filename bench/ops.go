package bench

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/ops"
)

func fillNormal(flat []float32, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 99))
	for i := range flat {
		flat[i] = float32(r.NormFloat64())
	}
}

// operations are the operations that training spends its time in.
func operations() (lines []Line) {
	for _, c := range []convolution{
		{"128x32x32x16, 3x3x16", 128, 32, 16, 16, 3, 1}, {"128x16x16x32, 3x3x32", 128, 16, 32, 32, 3, 1}, {"128x8x8x64, 3x3x64", 128, 8, 64, 64, 3, 1},
		{"128x32x32x16, 3x3x32 stride 2", 128, 32, 16, 32, 3, 2}, {"128x16x16x64, 1x1x64", 128, 16, 64, 64, 1, 1}, {"128x32x32x3, 3x3x16", 128, 32, 3, 16, 3, 1},
	} {
		lines = append(lines, c.line("forward"), c.line("input gradient"), c.line("kernel gradient"))
	}
	return append(lines,
		Line{Suite: "ops", Name: "max pooling 2x2 of 64x28x28x32, forward and backward", Limit: limitCopy, Least: 4 * 4 * 64 * 28 * 28 * 32, open: func(env *Env) (Case, error) {
			return gradientCase(env, func(in []*graph.Node) *graph.Node { return ops.Pool{Window: 2}.Max(in[0]) }, 1, normal(1, 64, 28, 28, 32))
		}},
		Line{Suite: "ops", Name: "softmax cross-entropy of 2048x8000, forward and backward", Limit: limitCopy, Least: 4 * 3 * 2048 * 8000, open: func(env *Env) (Case, error) {
			labels := make([]int32, 2048)
			for i := range labels {
				labels[i] = int32(i * 3)
			}
			return gradientCase(env, func(in []*graph.Node) *graph.Node {
				return ops.SoftmaxCrossEntropy(in[0], graph.Const(in[0].Graph(), labels))
			}, 1, normal(1, 2048, 8000))
		}},
		Line{Suite: "ops", Name: "softmax of 64x32000", Limit: limitCopy, Least: 4 * 2 * 64 * 32000, open: func(env *Env) (Case, error) {
			x := normal(1, 64, 32000)
			p, err := newProgram(env, func(in []*graph.Node) []*graph.Node { return []*graph.Node{ops.MaskedSoftmax(in[0], nil, -1)} }, x)
			if err != nil {
				return Case{}, err
			}
			return Case{Run: p.run, Close: p.close, Check: func() error {
				out, err := p.floats(0)
				if err != nil {
					return err
				}
				row := column(x, 0, 1, 32000)
				sum := 0.0
				for _, v := range row {
					sum += math.Exp(float64(v))
				}
				return isNear(float64(out[17]), math.Exp(float64(row[17]))/sum, 1e-4)
			}}, nil
		}},
		Line{Suite: "ops", Name: "rows 4096 of 32000x256, forward and backward", Limit: limitCopy, Least: 4 * (3*4096*256 + 32000*256), open: func(env *Env) (Case, error) {
			index := make([]int32, 4096)
			for i := range index {
				index[i] = int32(i * 7 % 32000)
			}
			return gradientCase(env, func(in []*graph.Node) *graph.Node {
				return ops.GatherRows(in[0], graph.Const(in[0].Graph(), index))
			}, 1, normal(1, 32000, 256))
		}},
		Line{Suite: "ops", Name: "attention 8x8x256x32, forward and backward", Limit: limitMatMul, Least: 7 * 2 * 64 * 256 * 256 * 32, open: func(env *Env) (Case, error) {
			return gradientCase(env, func(in []*graph.Node) *graph.Node { return ops.Attention(in[0], in[1], in[2], nil) }, 3,
				normal(1, 8, 8, 256, 32), normal(2, 8, 8, 256, 32), normal(3, 8, 8, 256, 32))
		}},
	)
}

// convolution is one shape; padding keeps the size, or halves it with stride 2.
type convolution struct {
	name                             string
	batch, side, in, out, kernel, by int
}

func (c convolution) line(part string) Line {
	rows := c.side / c.by
	flop := 2 * float64(c.batch*rows*rows*c.out) * float64(c.kernel*c.kernel*c.in)
	return Line{Suite: "ops", Name: "convolution " + c.name + ", " + part, What: "flop", Work: flop, Limit: limitMatMul, Least: flop, open: func(env *Env) (Case, error) {
		x, k, v := normal(1, c.batch, c.side, c.side, c.in), normal(2, c.kernel, c.kernel, c.in, c.out), normal(3, c.batch, rows, rows, c.out)
		pad := [2]int{c.kernel / 2, c.kernel / 2}
		conv := ops.Conv{Strides: [2]int{c.by, c.by}, Padding: [2][2]int{pad, pad}}
		p, err := newProgram(env, func(in []*graph.Node) []*graph.Node {
			y := conv.Apply(in[0], in[1])
			switch part {
			case "input gradient":
				return graph.Gradient(graph.ReduceAllSum(graph.Mul(y, in[2])), in[0])
			case "kernel gradient":
				return graph.Gradient(graph.ReduceAllSum(graph.Mul(y, in[2])), in[1])
			}
			return []*graph.Node{y, in[2]}[:1]
		}, x, k, v)
		if err != nil {
			return Case{}, err
		}
		return Case{Run: p.run, Close: p.close, Check: func() error { return c.check(p, part, x, k, v) }}, nil
	}}
}

// check compares a few values with sums in float64.
func (c convolution) check(p *program, part string, x, k, v *tensors.Tensor) error {
	out, err := p.floats(0)
	if err != nil {
		return err
	}
	rows, pad := c.side/c.by, c.kernel/2
	xs, ks, vs := tensors.MustCopyFlatData[float32](x), tensors.MustCopyFlatData[float32](k), tensors.MustCopyFlatData[float32](v)
	inside := func(i int) bool { return i >= 0 && i < c.side }
	xi := func(b, i, j, ch int) int { return ((b*c.side+i)*c.side+j)*c.in + ch }
	ki := func(a, b, ch, o int) int { return ((a*c.kernel+b)*c.in+ch)*c.out + o }
	vi := func(b, i, j, o int) int { return ((b*rows+i)*rows+j)*c.out + o }
	r := rand.New(rand.NewPCG(7, 7))
	for range 5 {
		var a, b []float32
		var got float32
		switch part {
		case "forward":
			n, i, j, o := r.IntN(c.batch), r.IntN(rows), r.IntN(rows), r.IntN(c.out)
			got = out[vi(n, i, j, o)]
			for u := range c.kernel * c.kernel * c.in {
				p, q, ch := u/c.in/c.kernel, u/c.in%c.kernel, u%c.in
				if s, t := i*c.by+p-pad, j*c.by+q-pad; inside(s) && inside(t) {
					a, b = append(a, xs[xi(n, s, t, ch)]), append(b, ks[ki(p, q, ch, o)])
				}
			}
		case "input gradient":
			n, i, j, ch := r.IntN(c.batch), r.IntN(c.side), r.IntN(c.side), r.IntN(c.in)
			got = out[xi(n, i, j, ch)]
			for u := range c.kernel * c.kernel * c.out {
				p, q, o := u/c.out/c.kernel, u/c.out%c.kernel, u%c.out
				s, t := i-p+pad, j-q+pad
				if s%c.by == 0 && t%c.by == 0 && s >= 0 && t >= 0 && s/c.by < rows && t/c.by < rows {
					a, b = append(a, vs[vi(n, s/c.by, t/c.by, o)]), append(b, ks[ki(p, q, ch, o)])
				}
			}
		default:
			p, q, ch, o := r.IntN(c.kernel), r.IntN(c.kernel), r.IntN(c.in), r.IntN(c.out)
			got = out[ki(p, q, ch, o)]
			for u := range c.batch * rows * rows {
				n, i, j := u/rows/rows, u/rows%rows, u%rows
				if s, t := i*c.by+p-pad, j*c.by+q-pad; inside(s) && inside(t) {
					a, b = append(a, xs[xi(n, s, t, ch)]), append(b, vs[vi(n, i, j, o)])
				}
			}
		}
		if err := dotIs(got, a, b); err != nil {
			return err
		}
	}
	return nil
}

// gradientCase runs the gradients of sum(f w) for the first inputs, with random w. The gradient g is checked along itself:
// the sum must grow by h |g| for a step of length h.
func gradientCase(env *Env, f func(in []*graph.Node) *graph.Node, wrt int, args ...*tensors.Tensor) (Case, error) {
	once, err := newProgram(env, func(in []*graph.Node) []*graph.Node { return []*graph.Node{f(in)} }, args...)
	if err != nil {
		return Case{}, err
	}
	args = append(args, normal(77, once.out[0].Shape().Dimensions...))
	once.close()
	sum := func(in []*graph.Node) *graph.Node {
		last := len(in) - 1
		return graph.ReduceAllSum(graph.Mul(f(in[:last]), in[last]))
	}
	p, err := newProgram(env, func(in []*graph.Node) []*graph.Node { return graph.Gradient(sum(in), in[:wrt]...) }, args...)
	if err != nil {
		return Case{}, err
	}
	return Case{Run: p.run, Close: p.close, Check: func() error {
		const h = 1e-2
		along, err := newProgram(env, func(in []*graph.Node) []*graph.Node {
			gradients := graph.Gradient(sum(in), in[:wrt]...)
			square := graph.ScalarZero(in[0].Graph(), in[0].DType())
			for _, g := range gradients {
				square = graph.Add(square, graph.ReduceAllSum(graph.Square(g)))
			}
			size := graph.Sqrt(square)
			at := func(step float64) *graph.Node {
				moved := append([]*graph.Node{}, in...)
				for i, g := range gradients {
					moved[i] = graph.Add(in[i], graph.MulScalar(graph.Div(graph.StopGradient(g), size), step))
				}
				return sum(moved)
			}
			return []*graph.Node{graph.DivScalar(graph.Sub(at(h), at(-h)), 2*h), size}
		}, args...)
		if err != nil {
			return err
		}
		defer along.close()
		slope, err := along.floats(0)
		if err != nil {
			return err
		}
		size, err := along.floats(1)
		if err != nil {
			return err
		}
		return isNear(float64(slope[0]), float64(size[0]), 0.1)
	}}, nil
}

func isNear(got, want, relative float64) error {
	if !(math.Abs(got-want) <= relative*math.Abs(want)) {
		return fmt.Errorf("got %v, want %v", got, want)
	}
	return nil
}

package bench

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/internal/durable"
)

// The limits beside which other lines are printed.
const (
	limitCopy   = "memory copy, all cores"
	limitMatMul = "matrix product 1024, float32"
)

// block is larger than the caches near a core.
const block = 256 << 20

// limits measures what the machine can do at best.
func limits() []Line {
	lines := []Line{
		memory("memory read, one core", 1, false, readAll),
		memory("memory read, all cores", runtime.GOMAXPROCS(0), false, readAll),
		memory("memory write, all cores", runtime.GOMAXPROCS(0), false, func(dst, _ []uint64) { clear(dst) }),
		memory("memory copy, one core", 1, true, func(dst, src []uint64) { copy(dst, src) }),
		memory(limitCopy, runtime.GOMAXPROCS(0), true, func(dst, src []uint64) { copy(dst, src) }),
		{Suite: "limits", Name: limitMatMul, What: "flop", Work: 2 * 1024 * 1024 * 1024, open: func(env *Env) (Case, error) {
			a, b := normal(1, 1024, 1024), normal(2, 1024, 1024)
			p, err := newProgram(env, func(in []*graph.Node) []*graph.Node { return []*graph.Node{graph.MatMul(in[0], in[1])} }, a, b)
			if err != nil {
				return Case{}, err
			}
			return Case{Run: p.run, Close: p.close, Check: func() error {
				out, err := p.floats(0)
				if err != nil {
					return err
				}
				return dotIs(out[5*1024+9], column(a, 5*1024, 1, 1024), column(b, 9, 1024, 1024))
			}}, nil
		}},
	}
	for _, size := range []int{4 << 10, 64 << 20} {
		name := "durable write of 4 kB"
		if size > 1<<20 {
			name = "durable write of 64 MB"
		}
		lines = append(lines, Line{Suite: "limits", Name: name, What: "bytes", Work: float64(size), open: func(env *Env) (Case, error) {
			content := make([]byte, size)
			if _, err := rand.Read(content); err != nil {
				return Case{}, err
			}
			path := filepath.Join(env.Dir, "bench-durable")
			return Case{Run: func() error {
				return durable.WriteFile(path, func(w io.Writer) error { _, err := w.Write(content); return err })
			}}, nil
		}})
	}
	for _, n := range []int{1, 50} {
		lines = append(lines, Line{Suite: "limits", Name: fmt.Sprintf("call of a graph, %d inputs", n), open: func(env *Env) (Case, error) {
			var args []*tensors.Tensor
			for range n {
				args = append(args, tensors.FromScalar(float32(1)))
			}
			p, err := newProgram(env, func(in []*graph.Node) []*graph.Node {
				sum := graph.ScalarZero(in[0].Graph(), dtypes.Float32)
				for _, x := range in {
					sum = graph.Add(sum, x)
				}
				return []*graph.Node{sum}
			}, args...)
			if err != nil {
				return Case{}, err
			}
			return Case{Run: p.run, Close: p.close, Check: func() error {
				out, err := p.floats(0)
				if err == nil && out[0] != float32(n) {
					err = fmt.Errorf("the sum is %v, want %d", out[0], n)
				}
				return err
			}}, nil
		}})
	}
	return lines
}

// memory is a line that works through a block with n goroutines.
func memory(name string, n int, both bool, work func(dst, src []uint64)) Line {
	moved := float64(block)
	if both {
		moved *= 2
	}
	return Line{Suite: "limits", Name: name, What: "bytes", Work: moved, open: func(*Env) (Case, error) {
		dst, src := make([]uint64, block/8), make([]uint64, block/8)
		for i := range src {
			dst[i], src[i] = 1, uint64(i)
		}
		return Case{Run: func() error {
			var wait sync.WaitGroup
			part := len(dst) / n
			for i := range n {
				wait.Go(func() { work(dst[i*part:(i+1)*part], src[i*part:(i+1)*part]) })
			}
			wait.Wait()
			return nil
		}}, nil
	}}
}

func readAll(dst, _ []uint64) {
	var a, b, c, d, e, f, g, h uint64
	for i := 0; i+8 <= len(dst); i += 8 {
		s := dst[i : i+8 : i+8]
		a, b, c, d = a+s[0], b+s[1], c+s[2], d+s[3]
		e, f, g, h = e+s[4], f+s[5], g+s[6], h+s[7]
	}
	runtime.KeepAlive(a + b + c + d + e + f + g + h) // else nobody wants it, and nothing is read
}

// program is a compiled graph with its inputs on the device.
type program struct {
	exec *graph.Exec
	args []any
	out  []*tensors.Tensor
}

func newProgram(env *Env, f func(in []*graph.Node) []*graph.Node, args ...*tensors.Tensor) (*program, error) {
	exec, err := graph.NewExec(env.Engine.Backend, f)
	if err != nil {
		return nil, err
	}
	p := &program{exec: exec}
	for _, a := range args {
		p.args = append(p.args, a)
	}
	return p, p.run()
}

// run calls the graph, waits for its first result and frees the results of the call before.
func (p *program) run() error {
	out, err := p.exec.Call(p.args...)
	if err != nil {
		return err
	}
	if err := out[0].ConstFlatData(func(any) {}); err != nil {
		return err
	}
	err = free(p.out)
	p.out = out
	return err
}

// floats is a result of the last run.
func (p *program) floats(i int) ([]float32, error) { return tensors.CopyFlatData[float32](p.out[i]) }

func (p *program) close() {
	_ = free(p.out) // nobody uses them any more
	p.exec.Finalize()
}

func free(list []*tensors.Tensor) error {
	var errs []error
	for _, t := range list {
		errs = append(errs, t.FinalizeAll())
	}
	return errors.Join(errs...)
}

// column takes n numbers of a tensor, a stride apart.
func column(t *tensors.Tensor, from, stride, n int) []float32 {
	flat := tensors.MustCopyFlatData[float32](t)
	out := make([]float32, n)
	for i := range out {
		out[i] = flat[from+i*stride]
	}
	return out
}

// dotIs checks a product against its sum in float64.
func dotIs(got float32, a, b []float32) error {
	var sum, size float64
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
		size += math.Abs(float64(a[i]) * float64(b[i]))
	}
	if !(math.Abs(float64(got)-sum) <= 1e-5*size) {
		return fmt.Errorf("a sum is %v, want %v", got, sum)
	}
	return nil
}

// normal is a tensor of standard normal numbers.
func normal(seed uint64, dims ...int) *tensors.Tensor {
	t := tensors.FromShape(shapes.Make(dtypes.Float32, dims...))
	tensors.MustMutableFlatData(t, func(flat []float32) { fillNormal(flat, seed) })
	return t
}

package augmenttest

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/data/augment"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/gradcheck"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/ops"
)

// The batch of RunMixing: 12 images, the last three padding where there is some, with labels of three classes.
const (
	mixBatch   = 12
	mixLive    = 9
	mixClasses = 3
)

// RunMixing runs the battery on a mixing, on every engine (but gradients, which are compared on the Go engine alone: there, programs cost
// nothing to compile):
//
//	columns   have names of their own and finite numbers that follow the generator alone
//	mixture   a row is what its parts say, against a naive loop; a box is pasted whole; shares are in [0,1] and add up to 1
//	targets   are the mixture of one-hot rows, and add up to 1
//	draws     the same key and columns give the same bits, other updates others, unless Still
//	padding   keeps its values and its label, NaN among them, and no live example takes a part of it
//	gradient  of sum(y w) for x against central differences in float64
func RunMixing(t *testing.T, m augment.Mixing, promises ...Claim) {
	c := claimed(promises)
	if err := m.Validate(); err != nil {
		t.Fatal(err)
	}
	t.Run("columns", func(t *testing.T) { checkColumns(t, m.Columns()) })
	c.each(t, func(t *testing.T, e *engine.Engine) {
		b := mixBench{e: e, mixing: m, exec: map[bool]*graph.Exec{}}
		t.Run("mixture", func(t *testing.T) {
			for update := range 6 {
				b.mixture(t, update, mixBatch)
			}
		})
		t.Run("padding", func(t *testing.T) {
			for update := range 6 {
				b.mixture(t, update, mixLive)
			}
		})
		t.Run("draws", func(t *testing.T) {
			x := Images(mixBatch, 0, 1)
			first := b.call(t, x, 1, mixBatch)
			if again := b.call(t, x, 1, mixBatch); !slices.Equal(first.x, again.x) {
				t.Error("the same update gives other bits")
			}
			moved := false
			for update := 2; update < 8; update++ {
				moved = moved || !slices.Equal(first.x, b.call(t, x, update, mixBatch).x)
			}
			if moved == c.still {
				t.Errorf("other updates give other bits: %v, the claim says %v", moved, !c.still)
			}
		})
		if e.Kind != engine.KindGo {
			return
		}
		t.Run("gradient", func(t *testing.T) {
			columns := Numbers(m.Columns(), 3)
			gradcheck.Check(t, e.Backend, func(x []*graph.Node) *graph.Node {
				g := x[0].Graph()
				return m.Mix(augment.Draws{
					Column: func(name string) *graph.Node { return graph.Const(g, columns[name]) },
					Random: ops.NewRandom(g, 3), Labels: graph.Const(g, []int32{0, 1, 0, 2}),
				}, x[0]).X
			}, Images(4, 0.2, 0.8))
		})
	})
}

// Numbers are the columns' values in an update, as a run would draw them.
func Numbers(columns []optim.Column, update int) map[string]float64 {
	numbers := map[string]float64{}
	for k, c := range columns {
		numbers[c.Name] = c.At(update, 100, rand.New(rand.NewPCG(uint64(update), uint64(k))))
	}
	return numbers
}

func checkColumns(t *testing.T, columns []optim.Column) {
	names := map[string]bool{}
	for _, c := range columns {
		if c.Name == "" || names[c.Name] {
			t.Errorf("the name %q is empty or there twice", c.Name)
		}
		names[c.Name] = true
		for update := range 100 {
			draw := func(updates int) float64 { return c.At(update, updates, rand.New(rand.NewPCG(1, uint64(update)))) }
			v := draw(100)
			if math.IsNaN(v) || math.IsInf(v, 0) || v != draw(100) {
				t.Errorf("%s is %v, then %v", c.Name, v, draw(100))
			}
			if v := draw(0); math.IsNaN(v) || math.IsInf(v, 0) {
				t.Errorf("%s is %v in a run without an end", c.Name, v)
			}
		}
	}
}

type mixBench struct {
	e      *engine.Engine
	mixing augment.Mixing
	exec   map[bool]*graph.Exec // whether it is told what is padding
}

// outcome is a mixed batch on the host.
type outcome struct {
	x       []float64
	copies  int
	weights [][]float64
	from    [][]int32
	box     []int32
	targets []float64
}

func labels() []int32 {
	all := make([]int32, mixBatch)
	for i := range all {
		all[i] = int32(i % mixClasses)
	}
	return all
}

// call mixes in an update whose first live examples are no padding.
func (b *mixBench) call(t *testing.T, x gradcheck.Input, update, live int) outcome {
	t.Helper()
	// Compiling is slow but on Go: elsewhere, one program serves batches with padding and without.
	padded := live < mixBatch || b.e.Kind != engine.KindGo
	exec := b.program(t, padded)

	flags := make([]bool, mixBatch)
	for i := range live {
		flags[i] = true
	}
	names := columnNames(b.mixing)
	numbers := []float64{0} // a graph needs at least one
	for k, name := range names {
		numbers = slices.Insert(numbers, k, Numbers(b.mixing.Columns(), update)[name])
	}
	images := tensors.FromFlatDataAndDimensions(slices.Clone(x.Data), x.Shape...)
	out, err := exec.Call(images, []uint32{uint32(update), 5}, numbers, flags)
	if err != nil {
		t.Fatal(err)
	}
	var o outcome
	o.x, o.targets = tensors.MustCopyFlatData[float64](out[0]), tensors.MustCopyFlatData[float64](out[1])
	o.box = tensors.MustCopyFlatData[int32](out[2])
	for k := 3; k < len(out); k += 2 {
		o.weights = append(o.weights, tensors.MustCopyFlatData[float64](out[k]))
		o.from = append(o.from, tensors.MustCopyFlatData[int32](out[k+1]))
	}
	o.copies = len(o.x) / len(x.Data)
	return o
}

// program mixes a batch: images, key, numbers of the columns, and what is not padding.
func (b *mixBench) program(t *testing.T, padded bool) *graph.Exec {
	t.Helper()
	if exec := b.exec[padded]; exec != nil {
		return exec
	}
	names := columnNames(b.mixing)
	exec, err := graph.NewExec(b.e.Backend, func(inputs []*graph.Node) []*graph.Node {
		x, key, numbers, live := inputs[0], inputs[1], inputs[2], inputs[3]
		d := augment.Draws{
			Column: func(name string) *graph.Node {
				return graph.Reshape(graph.Slice(numbers, graph.AxisElem(slices.Index(names, name))))
			},
			Random: ops.RandomOf(key), Labels: graph.Const(x.Graph(), labels()),
		}
		if padded {
			d.Live = live
		}
		return mixedOutputs(b.mixing.Mix(d, x))
	})
	if err != nil {
		t.Fatal(err)
	}
	b.exec[padded] = exec
	return exec
}

func columnNames(m augment.Mixing) []string {
	var names []string
	for _, c := range m.Columns() {
		names = append(names, c.Name)
	}
	return names
}

// mixedOutputs is x, targets, box, and weight and places of each part.
func mixedOutputs(m augment.Mixed) []*graph.Node {
	g := m.X.Graph()
	oneHot := graph.ConvertDType(graph.OneHot(graph.Const(g, labels()), mixClasses, dtypes.Float64), dtypes.Float64)
	box := m.Box
	if box == nil {
		box = graph.Const(g, []int32{-1, -1, -1, -1})
	}
	// Added, so that an input which stays as it is is no output of the graph itself.
	out := []*graph.Node{graph.AddScalar(m.X, 0), m.Targets(oneHot), box}
	for _, p := range m.Parts {
		out = append(out, graph.ConvertDType(p.Weight, dtypes.Float64), p.From)
	}
	return out
}

// mixture compares a batch with a naive loop over its parts. What is padding is NaN in x.
func (b *mixBench) mixture(t *testing.T, update, live int) {
	t.Helper()
	x := Images(mixBatch, 0, 1)
	size := len(x.Data) / mixBatch
	for i := live * size; i < len(x.Data); i++ {
		x.Data[i] = math.NaN()
	}
	o := b.call(t, x, update, live)
	for row := range mixBatch * o.copies {
		example := row % mixBatch
		sum, want := 0.0, make([]float64, size)
		target := make([]float64, mixClasses)
		for k := range o.weights {
			w, from := o.weights[k][row], o.from[k][row]
			if !(w >= 0 && w <= 1) || from < 0 || from >= mixBatch {
				t.Fatalf("update %d: row %d has the share %v of %d", update, row, w, from)
			}
			if example < live && int(from) >= live {
				t.Fatalf("update %d: row %d has a part of padding", update, row)
			}
			sum += w
			target[labels()[from]] += w
			for j := range want {
				if v := x.Data[int(from)*size+j]; w > 0 || example < live {
					want[j] += w * v
				}
			}
		}
		if math.Abs(sum-1) > 1e-6 {
			t.Fatalf("update %d: the shares of row %d add up to %v", update, row, sum)
		}
		if o.box[0] >= 0 && o.box[1] > o.box[0] && o.box[3] > o.box[2] && example < live {
			want = pasted(x.Data, int(o.from[0][row]), int(o.from[1][row]), o.box)
		}
		for j, v := range o.x[row*size : (row+1)*size] {
			if example >= live {
				if !math.IsNaN(v) {
					t.Fatalf("update %d: padding became %v", update, v)
				}
			} else if !(math.Abs(v-want[j]) < 1e-6) {
				t.Fatalf("update %d: row %d value %d is %v, want %v", update, row, j, v, want[j])
			}
		}
		for k, v := range o.targets[row*mixClasses : (row+1)*mixClasses] {
			if !(math.Abs(v-target[k]) < 1e-6) || example >= live && v != math.Round(v) {
				t.Fatalf("update %d: row %d has the target %v of class %d, want %v", update, row, v, k, target[k])
			}
		}
	}
}

// pasted is an image of 6x5 pixels with a box of another.
func pasted(x []float64, own, partner int, box []int32) []float64 {
	size := 6 * 5 * 3
	y := slices.Clone(x[own*size : (own+1)*size])
	for row := box[0]; row < box[1]; row++ {
		from, to := (int(row)*5+int(box[2]))*3, (int(row)*5+int(box[3]))*3
		copy(y[from:to], x[partner*size+from:partner*size+to])
	}
	return y
}

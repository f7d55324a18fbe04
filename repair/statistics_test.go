package repair_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/internal/onnxtest"
	"github.com/ballast-ml/ballast/onnxrun"
	"github.com/ballast-ml/ballast/repair"
)

// rows feeds examples x [n, ...dims] to the input x, in pieces; the last is padded with large numbers where pieces are fixed.
type rows struct {
	e     *engine.Engine
	x     []float32
	dims  []int
	piece int
	fixed bool
}

func (r rows) Prepare(m *onnx.Model, values ...string) (*onnxrun.Graph, error) {
	graph := *m.Graph
	graph.Outputs = nil
	for _, name := range values {
		graph.Outputs = append(graph.Outputs, onnx.Value{Name: name, Rank: -1})
	}
	whole := *m
	whole.Graph = &graph
	return onnxrun.New(&whole)
}

func (r rows) Run(ctx context.Context, g *onnxrun.Graph, others map[string]*tensors.Tensor, each func(values map[string]*tensors.Tensor, n int) error) error {
	size := 1
	for _, d := range r.dims {
		size *= d
	}
	count := len(r.x) / size
	for first := 0; first < count; first += r.piece {
		n := min(r.piece, count-first)
		x := append([]float32(nil), r.x[first*size:(first+n)*size]...)
		rows := n
		for ; r.fixed && rows < r.piece; rows++ {
			for range size {
				x = append(x, 1e3)
			}
		}
		inputs := map[string]*tensors.Tensor{"x": tensors.FromFlatDataAndDimensions(x, append([]int{rows}, r.dims...)...)}
		for name, t := range others {
			inputs[name] = t
		}
		out, err := g.RunContext(ctx, r.e.Backend, inputs)
		if err != nil {
			return err
		}
		if err := each(out, n); err != nil {
			return err
		}
	}
	return nil
}

// random are numbers around a mean.
func random(n int, mean, deviation float64, seed uint64) []float32 {
	r := rand.New(rand.NewPCG(seed, 3))
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(mean + deviation*r.NormFloat64())
	}
	return out
}

func positive(n int, seed uint64) []float32 {
	out := random(n, 0, 1, seed)
	for i, v := range out {
		out[i] = 0.5 + v*v
	}
	return out
}

// norm is a BatchNormalization of channels with parameters of its own.
func norm(name, in, out string, channels int, seed uint64) (onnxtest.Node, []onnxtest.Tensor) {
	dims := []int{channels}
	return onnxtest.Node{
			Name: name, Op: "BatchNormalization", Inputs: []string{in, name + ".s", name + ".b", name + ".m", name + ".v"}, Outputs: []string{out},
			Attributes: map[string]any{"epsilon": float32(1e-3)},
		}, []onnxtest.Tensor{
			onnxtest.Floats(name+".s", dims, random(channels, 1, 0.5, seed)...), onnxtest.Floats(name+".b", dims, random(channels, 0, 1, seed+1)...),
			onnxtest.Floats(name+".m", dims, random(channels, 0, 1, seed+2)...), onnxtest.Floats(name+".v", dims, positive(channels, seed+3)...),
		}
}

// deep has norms behind each other and beside each other: two convolutions with a shortcut, and a dense layer with a norm behind it.
func deep(t *testing.T, batch any) *onnx.Model {
	t.Helper()
	n1, t1 := norm("n1", "c1", "b1", 4, 10)
	n2, t2 := norm("n2", "c2", "b2", 4, 20)
	n3, t3 := norm("n3", "c3", "b3", 4, 30)
	n4, t4 := norm("n4", "d", "y", 3, 40)
	m := onnxtest.Model{
		Opset: 17, Tensors: []onnxtest.Tensor{
			onnxtest.Floats("w1", []int{4, 2, 3, 3}, random(72, 0, 0.3, 1)...), onnxtest.Floats("w2", []int{4, 4, 3, 3}, random(144, 0, 0.3, 2)...),
			onnxtest.Floats("w3", []int{4, 2, 1, 1}, random(8, 0, 0.6, 3)...), onnxtest.Floats("bias", []int{4}, random(4, 0, 1, 4)...),
			onnxtest.Floats("w4", []int{3, 36}, random(108, 0, 0.3, 5)...), onnxtest.Floats("c", []int{1, 3}, random(3, 0, 1, 6)...),
		},
		Nodes: []onnxtest.Node{
			{Op: "Conv", Inputs: []string{"x", "w1"}, Outputs: []string{"c1"}}, n1, {Op: "Relu", Inputs: []string{"b1"}, Outputs: []string{"r"}},
			{Op: "Conv", Inputs: []string{"r", "w2", "bias"}, Outputs: []string{"c2"}, Attributes: map[string]any{"pads": []int{1, 1, 1, 1}}}, n2,
			{Op: "Conv", Inputs: []string{"x", "w3"}, Outputs: []string{"c3"}, Attributes: map[string]any{"strides": []int{2, 2}}}, n3,
			{Op: "Add", Inputs: []string{"b2", "b3"}, Outputs: []string{"s"}}, {Op: "Flatten", Inputs: []string{"s"}, Outputs: []string{"f"}},
			{Op: "Gemm", Inputs: []string{"f", "w4", "c"}, Outputs: []string{"d"}, Attributes: map[string]any{"transB": 1, "alpha": float32(0.5), "beta": float32(2)}}, n4,
		},
		Inputs:  []onnxtest.Value{{Name: "x", Type: onnxtest.Float, Shape: []any{batch, 2, 5, 5}}},
		Outputs: []onnxtest.Value{{Name: "y", Type: onnxtest.Float, Shape: []any{batch, 3}}},
	}
	for _, list := range [][]onnxtest.Tensor{t1, t2, t3, t4} {
		m.Tensors = append(m.Tensors, list...)
	}
	return open(t, m)
}

// Statistics are fixed points: what comes to each norm of the written file has the mean and the variance that are in it, so that behind a
// norm the examples have its offset as their mean and its scale as their deviation. The batch does not matter, nor what a piece is padded with.
func TestStatisticsAreThoseOfTheExamples(t *testing.T) {
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		var first []float32
		for _, c := range []struct {
			batch any
			piece int
		}{{"n", 7}, {"n", 16}, {3, 3}, {1, 1}} {
			m := deep(t, c.batch)
			_, fixed := c.batch.(int)
			feed := rows{e, random(16*50, 2, 3, 99), []int{2, 5, 5}, c.piece, fixed}
			found, err := repair.NewStatistics().Edit(t.Context(), m, feed, nil)
			if err != nil {
				t.Fatal(err)
			}
			if found.Norms != 4 || found.Behind != 3 || found.Passes > 3 || found.Examples != 16 || !(found.Moved > 0.1) {
				t.Errorf("batch %v: %+v", c.batch, found)
			}
			mended := changed(t, m, found.Edit)
			again, err := repair.NewStatistics().Edit(t.Context(), mended, feed, nil)
			if err != nil || again.Passes != 1 || again.Moved > 1e-5 {
				t.Errorf("batch %v: a second time moves %v in %d passes (%v)", c.batch, again.Moved, again.Passes, err)
			}
			for name, channels := range map[string]int{"b1": 4, "b2": 4, "b3": 4, "y": 3} {
				checkMoments(t, e, mended, feed, name, channels)
			}
			var values []float32
			for _, w := range mended.Graph.Initializers {
				if strings.HasSuffix(w.Name, ".m") || strings.HasSuffix(w.Name, ".v") {
					out := make([]float32, w.Elements)
					if err := w.Float32s(0, out); err != nil {
						t.Fatal(err)
					}
					values = append(values, out...)
				}
			}
			if first == nil {
				first = values
			}
			for i, v := range values {
				if math.Abs(float64(v-first[i])) > 1e-4*(1+math.Abs(float64(v))) {
					t.Fatalf("batch %v: %v, and %v in other pieces", c.batch, v, first[i])
				}
			}
		}
	})
}

// checkMoments holds what a norm gives against its scale and offset.
func checkMoments(t *testing.T, e *engine.Engine, m *onnx.Model, feed rows, value string, channels int) {
	t.Helper()
	graph, err := feed.Prepare(m, value)
	if err != nil {
		t.Fatal(err)
	}
	sums, squares, count := make([]float64, channels), make([]float64, channels), 0.0
	err = feed.Run(t.Context(), graph, nil, func(values map[string]*tensors.Tensor, n int) error {
		flat, dims := tensors.MustCopyFlatData[float32](values[value]), values[value].Shape().Dimensions
		each := len(flat) / dims[0] / channels
		for i := range n * channels * each {
			sums[i/each%channels] += float64(flat[i])
			squares[i/each%channels] += float64(flat[i]) * float64(flat[i])
		}
		count += float64(n * each)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	name := map[string]string{"b1": "n1", "b2": "n2", "b3": "n3", "y": "n4"}[value]
	values := map[string][]float32{}
	for _, w := range m.Graph.Initializers {
		out := make([]float32, w.Elements)
		if err := w.Float32s(0, out); err != nil {
			t.Fatal(err)
		}
		values[w.Name] = out
	}
	for c := range channels {
		mean := sums[c] / count
		deviation := math.Sqrt(squares[c]/count - mean*mean)
		v := float64(values[name+".v"][c])
		want := math.Abs(float64(values[name+".s"][c])) * math.Sqrt(v/(v+1e-3))
		if math.Abs(mean-float64(values[name+".b"][c])) > 1e-3 || math.Abs(deviation-want) > 1e-3*(1+want) {
			t.Errorf("%s channel %d: mean %v and deviation %v, want %v and %v", value, c, mean, deviation, values[name+".b"][c], want)
		}
	}
}

// Mixtures are those of norm.Mixed: at a source weight of 1 nothing changes, between the values of one norm lie between both.
func TestStatisticsAreMixed(t *testing.T) {
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		node, weights := norm("n", "x", "y", 3, 50)
		m := open(t, onnxtest.Model{
			Opset: 15, Nodes: []onnxtest.Node{node}, Tensors: weights,
			Inputs: []onnxtest.Value{{Name: "x", Type: onnxtest.Float, Shape: []any{"n", 3}}}, Outputs: []onnxtest.Value{{Name: "y", Type: onnxtest.Float, Shape: []any{"n", 3}}},
		})
		feed := rows{e: e, x: random(30, 4, 2, 7), dims: []int{3}, piece: 4}
		of := func(s repair.Statistics) (mean, variance []float32) {
			t.Helper()
			found, err := s.Edit(t.Context(), m, feed, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range changed(t, m, found.Edit).Graph.Initializers {
				out := make([]float32, w.Elements)
				if err := w.Float32s(0, out); err != nil {
					t.Fatal(err)
				}
				switch w.Name {
				case "n.m":
					mean = out
				case "n.v":
					variance = out
				}
			}
			return mean, variance
		}
		s := repair.NewStatistics()
		batchMean, batchVariance := of(s)
		s.SourceWeight = 1
		sourceMean, sourceVariance := of(s)
		s.SourceWeight = 0.25
		mean, variance := of(s)
		s.MomentMatch = true
		_, matched := of(s)
		s.MomentMatch, s.UnbiasedBatchVar, s.SourceWeight = false, true, 0
		_, unbiased := of(s)
		for c := range 3 {
			d := float64(sourceMean[c] - batchMean[c])
			for _, pair := range [][2]float64{
				{float64(mean[c]), 0.25*float64(sourceMean[c]) + 0.75*float64(batchMean[c])},
				{float64(variance[c]), 0.25*float64(sourceVariance[c]) + 0.75*float64(batchVariance[c])},
				{float64(matched[c] - variance[c]), 0.25 * 0.75 * d * d},
				{float64(unbiased[c]), float64(batchVariance[c]) * 10 / 9},
			} {
				if math.Abs(pair[0]-pair[1]) > 1e-5*(1+math.Abs(pair[1])) {
					t.Errorf("channel %d: %v, want %v", c, pair[0], pair[1])
				}
			}
			if sourceMean[c] == batchMean[c] {
				t.Error("nothing was measured")
			}
		}
	})
}

// Parameters that norms share, or that are no initialisers, become those of each norm; what else takes them keeps them.
func TestStatisticsThatAreShared(t *testing.T) {
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		a, weights := norm("a", "x", "h", 2, 60)
		b, _ := norm("a", "h", "y", 2, 60)
		b.Name = "b"
		b.Inputs[4] = "alias"
		m := open(t, onnxtest.Model{
			Opset: 15, Tensors: weights, Nodes: []onnxtest.Node{{Op: "Identity", Inputs: []string{"a.v"}, Outputs: []string{"alias"}}, a, b},
			Inputs: []onnxtest.Value{{Name: "x", Type: onnxtest.Float, Shape: []any{"n", 2}}}, Outputs: []onnxtest.Value{{Name: "y", Type: onnxtest.Float, Shape: []any{"n", 2}}},
		})
		feed := rows{e: e, x: random(40, 1, 5, 8), dims: []int{2}, piece: 20}
		found, err := repair.NewStatistics().Edit(t.Context(), m, feed, nil)
		if err != nil {
			t.Fatal(err)
		}
		mended := changed(t, m, found.Edit)
		again, err := repair.NewStatistics().Edit(t.Context(), mended, feed, nil)
		if err != nil || again.Moved > 1e-5 || again.Norms != 2 {
			t.Errorf("%+v %v", again, err)
		}
		if len(mended.Graph.Initializers) != 8 {
			t.Errorf("%d initialisers: the source's four and two of each norm", len(mended.Graph.Initializers))
		}
	})
}

func TestStatisticsRefuse(t *testing.T) {
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		model := func(change func(n *onnxtest.Node)) *onnx.Model {
			node, weights := norm("n", "x", "y", 2, 70)
			if change != nil {
				change(&node)
			}
			return open(t, onnxtest.Model{
				Opset: 15, Nodes: []onnxtest.Node{node}, Tensors: weights,
				Inputs:  []onnxtest.Value{{Name: "x", Type: onnxtest.Float, Shape: []any{"n", 2}}},
				Outputs: []onnxtest.Value{{Name: "y", Type: onnxtest.Float, Shape: []any{"n", 2}}},
			})
		}
		plain := open(t, onnxtest.Model{
			Opset: 15, Nodes: []onnxtest.Node{{Op: "Relu", Inputs: []string{"x"}, Outputs: []string{"y"}}},
			Inputs: []onnxtest.Value{{Name: "x", Type: onnxtest.Float, Shape: []any{"n", 2}}}, Outputs: []onnxtest.Value{{Name: "y", Type: onnxtest.Float, Shape: []any{"n", 2}}},
		})
		feed := rows{e: e, x: random(8, 0, 1, 9), dims: []int{2}, piece: 4}
		one := feed
		one.x = one.x[:2]
		broken := feed
		broken.x = []float32{1, 2, float32(math.NaN()), 4}
		for want, c := range map[string]struct {
			m *onnx.Model
			f rows
		}{
			"it has no BatchNormalization: exporters fold it": {plain, feed},
			"the model was exported in training mode":         {model(func(n *onnxtest.Node) { n.Attributes["training_mode"] = 1 }), feed},
			"its parameters are not constants of the model":   {model(func(n *onnxtest.Node) { n.Inputs[3] = "x" }), feed},
			"has one value, and one value has no variance":    {model(nil), one},
			"of what comes to it is not finite":               {model(nil), broken},
		} {
			_, err := repair.NewStatistics().Edit(t.Context(), c.m, c.f, nil)
			var input *fault.Input
			var usage *fault.Usage
			if err == nil || !strings.Contains(err.Error(), want) || !errors.As(err, &input) && !errors.As(err, &usage) {
				t.Errorf("%v, want %q", err, want)
			}
		}
		bad := repair.NewStatistics()
		bad.SourceWeight = 2
		if _, err := bad.Edit(t.Context(), model(nil), feed, nil); err == nil || !strings.Contains(err.Error(), "source_weight is 2") {
			t.Errorf("%v", err)
		}
	})
}

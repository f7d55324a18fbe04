package rnn_test

import (
	"fmt"
	"log"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/internal/gradcheck"
	"github.com/ballast-ml/ballast/nn/rnn"
)

const steps, batch, features, hidden = 4, 3, 2, 3

// mask ends the sequences after 4, 2 and 1 steps; [batch, steps].
var mask = [][]float64{{1, 1, 1, 1}, {1, 1, 0, 0}, {1, 0, 0, 0}}

// values are the variables of a layer by name, as plain numbers.
type values map[string][]float64

func (v values) times(name string, x []float64) []float64 {
	out := make([]float64, len(v[name])/len(x))
	for i, a := range x {
		for j := range out {
			out[j] += a * v[name][i*len(out)+j]
		}
	}
	return out
}

func logistic(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// reference is a layer at one step, in plain loops: the next h and c.
type reference func(v values, x, h, c []float64) (h2, c2 []float64)

func lstmReference(forgetBias float64) reference {
	return func(v values, x, h, c []float64) (h2, c2 []float64) {
		in, rec := v.times("kernel", x), v.times("recurrent", h)
		h2, c2 = make([]float64, hidden), make([]float64, hidden)
		sum := func(gate, j int) float64 { k := gate*hidden + j; return in[k] + rec[k] + v["bias"][k] }
		for j := range hidden {
			c2[j] = logistic(sum(1, j)+forgetBias)*c[j] + logistic(sum(0, j))*math.Tanh(sum(3, j))
			h2[j] = logistic(sum(2, j)) * math.Tanh(c2[j])
		}
		return h2, c2
	}
}

func gruReference(v values, x, h, _ []float64) (h2, c2 []float64) {
	in, rec := v.times("kernel", x), v.times("recurrent", h)
	fresh, old := v.times("candidate_kernel", x), v.times("candidate_recurrent", h)
	h2 = make([]float64, hidden)
	for j := range hidden {
		r := logistic(in[j] + rec[j] + v["bias"][j])
		u := logistic(in[hidden+j] + rec[hidden+j] + v["bias"][hidden+j])
		h2[j] = u*h[j] + (1-u)*math.Tanh(fresh[j]+v["candidate_bias"][j]+r*old[j])
	}
	return h2, nil
}

// TestAgainstLoops compares every state with plain loops: masks, both directions, both layouts, first states.
func TestAgainstLoops(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for _, reverse := range []bool{false, true} {
			for _, timeMajor := range []bool{false, true} {
				s := rnn.Sequence{TimeMajor: timeMajor, Reverse: reverse}
				lstm, gru := rnn.NewLSTM(hidden), rnn.NewGRU(hidden)
				lstm.Sequence, lstm.ForgetBias, gru.Sequence = s, 1, s
				compare(t, e, lstm, s, lstmReference(1), true)
				compare(t, e, gru, s, gruReference, false)
			}
		}
	})
}

func compare(t *testing.T, e *engine.Engine, layer rnn.Layer, s rnn.Sequence, ref reference, hasC bool) {
	t.Helper()
	x, h0, c0 := gradcheck.Normal(1, batch, steps, features), gradcheck.Normal(2, batch, hidden), gradcheck.Normal(3, batch, hidden)
	store := model.NewStore()
	out := model.MustNewExec(e.Backend, store, func(scope *model.Scope, x, h0, c0 *graph.Node) []*graph.Node {
		in := rnn.Inputs{H0: h0, Mask: graph.Const(x.Graph(), mask)}
		if hasC {
			in.C0 = c0
		}
		if s.TimeMajor {
			x, in.Mask = graph.Transpose(x, 0, 1), graph.Transpose(in.Mask, 0, 1)
		}
		o := layer.Apply(scope, x, in)
		h := o.H
		if s.TimeMajor {
			h = graph.Transpose(h, 0, 1)
		}
		return []*graph.Node{h, o.HLast}
	}).MustCall(tensors.FromFlatDataAndDimensions(x.Data, x.Shape...), tensors.FromFlatDataAndDimensions(h0.Data, h0.Shape...), tensors.FromFlatDataAndDimensions(c0.Data, c0.Shape...))
	v := values{}
	for p := range store.IterVariables() {
		v[p.Name()] = tensors.MustCopyFlatData[float64](p.MustValue())
	}
	got, last := tensors.MustCopyFlatData[float64](out[0]), tensors.MustCopyFlatData[float64](out[1])
	for b := range batch {
		h, c := h0.Data[b*hidden:(b+1)*hidden], c0.Data[b*hidden:(b+1)*hidden]
		for i := range steps {
			at := i
			if s.Reverse {
				at = steps - 1 - i
			}
			if mask[b][at] == 1 {
				h, c = ref(v, x.Data[(b*steps+at)*features:(b*steps+at+1)*features], h, c)
			}
			for j := range hidden {
				if g := got[(b*steps+at)*hidden+j]; math.Abs(g-h[j]) > 1e-12 {
					t.Fatalf("%T %+v: h of example %d at step %d is %v, want %v", layer, s, b, at, g, h[j])
				}
			}
		}
		if !slices.EqualFunc(last[b*hidden:(b+1)*hidden], h, func(a, b float64) bool { return math.Abs(a-b) < 1e-12 }) {
			t.Errorf("%T %+v: the last h of example %d is %v, want %v", layer, s, b, last[b*hidden:(b+1)*hidden], h)
		}
	}
}

// TestGradients compares with differences, through states, masks and all variables, also for one example and no first state.
func TestGradients(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		inner := rnn.NewLNLSTM(hidden)
		inner.InnerBias, inner.NoNormOffset, inner.Reverse = true, true, true
		for _, layer := range []rnn.Layer{rnn.NewLSTM(hidden), rnn.NewGRU(hidden), rnn.NewLNLSTM(hidden), rnn.NewLNGRU(hidden), inner} {
			both := func(o rnn.Outputs) *graph.Node {
				if o.C == nil {
					return o.H
				}
				return graph.Concatenate([]*graph.Node{o.H, o.C}, -1)
			}
			gradcheck.CheckModel(t, e.Backend, model.NewStore(), func(scope *model.Scope, in []*graph.Node) *graph.Node {
				return both(layer.Apply(scope, in[0], rnn.Inputs{H0: in[1], Mask: graph.Const(in[0].Graph(), mask)}))
			}, gradcheck.Normal(4, batch, steps, features), gradcheck.Normal(5, batch, hidden))
			gradcheck.CheckModel(t, e.Backend, model.NewStore(), func(scope *model.Scope, in []*graph.Node) *graph.Node {
				return both(layer.Apply(scope, in[0], rnn.Inputs{}))
			}, gradcheck.Normal(6, 1, 2, features))
		}
	})
}

// TestInvariance: weights four times as large hardly move LN-LSTM and move LSTM; a huge epsilon leaves the bias alone.
func TestInvariance(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		x := gradcheck.Normal(7, 8, 6, 5)
		run := func(layer rnn.Layer) []float64 {
			out := model.MustNewExec(e.Backend, model.NewStore(), func(scope *model.Scope, x *graph.Node) *graph.Node {
				return layer.Apply(scope, x, rnn.Inputs{}).H
			}).MustCall(tensors.FromFlatDataAndDimensions(x.Data, x.Shape...))
			return tensors.MustCopyFlatData[float64](out[0])
		}
		change := func(a, b []float64) float64 {
			var d, n float64
			for i := range a {
				d, n = d+(a[i]-b[i])*(a[i]-b[i]), n+a[i]*a[i]
			}
			return math.Sqrt(d / n)
		}
		normed, large := rnn.NewLNLSTM(16), rnn.NewLNLSTM(16)
		large.InitScale = 4
		if c := change(run(normed), run(large)); c > 1e-3 {
			t.Errorf("LN-LSTM changes by %v", c)
		}
		plain, plainLarge := rnn.NewLSTM(16), rnn.NewLSTM(16)
		plainLarge.InitScale = 4
		if c := change(run(plain), run(plainLarge)); c < 0.1 {
			t.Errorf("LSTM changes by %v only", c)
		}
		huge := rnn.NewLNLSTM(16)
		huge.Epsilon = 1e12
		for i, h := range run(huge) {
			if math.Abs(h) > 1e-5 { // every gate is at its bias 0, so that nothing enters the cell
				t.Fatalf("with a huge epsilon h %d is %v", i, h)
			}
		}
	})
}

func TestRefuses(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for _, c := range []struct {
			layer rnn.Layer
			in    func(g *graph.Graph) rnn.Inputs
			x     []int
			want  string
		}{
			{rnn.NewLSTM(0), nil, []int{2, 3, 4}, "rnn.LSTM /n: Hidden is 0; use at least 1"},
			{rnn.NewLNLSTM(1), nil, []int{2, 3, 4}, "rnn.LNLSTM /n: Hidden is 1; use at least 2"},
			{rnn.NewGRU(2), nil, []int{2, 3}, "rnn.GRU /n: x is (Float64)[2, 3]; want floats [batch, time, features]"},
			{rnn.NewLNGRU(2), func(g *graph.Graph) rnn.Inputs { return rnn.Inputs{Mask: graph.Const(g, [][]bool{{true}, {true}})} }, []int{2, 3, 4}, "rnn.LNGRU /n: the mask is (Bool)[2, 1]; want a value for each step and example, 3 steps of 2 examples"},
			{rnn.NewGRU(2), func(g *graph.Graph) rnn.Inputs { return rnn.Inputs{H0: graph.Const(g, [][]float64{{1}})} }, []int{2, 3, 4}, "rnn.GRU /n: H0 is (Float64)[1, 1]; want [2, 2]"},
			{rnn.NewGRU(2), func(g *graph.Graph) rnn.Inputs { return rnn.Inputs{C0: graph.Const(g, [][]float64{{1}})} }, []int{2, 3, 4}, "rnn.GRU /n: C0 is given, but the layer has no cell state; leave it out"},
		} {
			message := gradcheck.Panics(e.Backend, func(x []*graph.Node) *graph.Node {
				var in rnn.Inputs
				if c.in != nil {
					in = c.in(x[0].Graph())
				}
				return c.layer.Apply(model.NewStore().RootScope().In("n"), x[0], in).H
			}, gradcheck.Normal(1, c.x...))
			if !strings.Contains(message, c.want) {
				t.Errorf("%T on %v: got %q, want %q", c.layer, c.x, message, c.want)
			}
		}
	})
}

// A sequence of five steps of three features, read by a layer-normalised LSTM of four units.
func ExampleLNLSTM() {
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	exec := model.MustNewExec(e.Backend, model.NewStore(), func(scope *model.Scope, x *graph.Node) (all, last *graph.Node) {
		out := rnn.NewLNLSTM(4).Apply(scope, x, rnn.Inputs{})
		return out.H, out.HLast
	})
	x := tensors.FromFlatDataAndDimensions(make([]float32, 15), 1, 5, 3)
	out := exec.MustCall(x)
	fmt.Println(out[0].Shape(), out[1].Shape())
	// Output:
	// (Float32)[1, 5, 4] (Float32)[1, 4]
}

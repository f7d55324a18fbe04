package norm_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"
	"pgregory.net/rapid"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/internal/gradcheck"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/norm/normtest"
	"github.com/ballast-ml/ballast/nn/param"
)

// sourced runs a layer at inference in float64 with a source for the network, nil = without; it returns y and the number of norms that asked.
func sourced(t *testing.T, e *engine.Engine, layer norm.Layer, store *model.Store, source norm.Source, x normtest.Input) (y []float64, asked int) {
	t.Helper()
	exec, err := model.NewExec(e.Backend, store, func(scope *model.Scope, x *graph.Node) (y *graph.Node) {
		build := func() { y = layer.Apply(scope.In("under_test"), x) }
		if source == nil {
			build()
			return y
		}
		asked = norm.With(x.Graph(), source, build)
		return y
	})
	if err != nil {
		t.Fatal(err)
	}
	defer exec.Finalize()
	out, err := exec.Call1(tensors.FromFlatDataAndDimensions(x.Data, x.Shape...))
	if err != nil {
		t.Fatal(err)
	}
	return tensors.MustCopyFlatData[float64](out), asked
}

// collects are the norms of All that collect statistics, and how many of their parts do.
var collects = map[string]int{
	"batch": 1, "ghost": 1, "ibn": 1, "estimated": 1, "batch-channel": 1, "power": 1, "power-paper": 1, "power-v": 1, "unified": 1,
	"evonorm-b0": 1, "evonorm-b1": 1, "evonorm-b2": 1,
}

// trained is a store with a layer's variables after two steps.
func trained(t *testing.T, e *engine.Engine, layer norm.Layer, x normtest.Input) *model.Store {
	t.Helper()
	store := model.NewStore()
	for range 2 {
		normtest.Apply(t, e, layer, store, true, x)
	}
	return store
}

// TestWith goes over all norms: those that collect ask the source, those that do not stay as they are; the running values as a source change
// no bit, and the batch's do.
func TestWith(t *testing.T) {
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		for _, k := range norm.All() {
			t.Run(k.Name, func(t *testing.T) {
				layer, x := small(k), normtest.Images(3, normtest.Batch)
				store := trained(t, e, layer, x)
				shifted := normtest.Images(4, normtest.Batch)
				for i := range shifted.Data {
					shifted.Data[i] = 2*shifted.Data[i] + 1
				}

				plain, _ := sourced(t, e, layer, store, nil, shifted)
				running, asked := sourced(t, e, layer, store, norm.FromRunning{}, shifted)
				batch, _ := sourced(t, e, layer, store, norm.FromBatch{}, shifted)
				if asked != collects[k.Name] {
					t.Errorf("%d parts asked; want %d", asked, collects[k.Name])
				}
				if differs(plain, running) {
					t.Error("the running values as a source change the output")
				}
				if differs(plain, batch) != (asked > 0) {
					t.Errorf("the batch as a source changes the output: %v", differs(plain, batch))
				}
				one, _ := sourced(t, e, layer, store, norm.Mixed{SourceWeight: 1}, shifted)
				if differs(one, plain) {
					t.Error("a source weight of 1 changes the output")
				}
			})
		}
	})
}

// small is a norm whose groups fit the three channels of the battery.
func small(k norm.Kind) norm.Layer {
	switch l := k.New().(type) {
	case norm.Ghost:
		l.GroupSize = normtest.Batch
		return l
	default:
		return l
	}
}

func differs(a, b []float64) bool {
	for i := range a {
		if math.Float64bits(a[i]) != math.Float64bits(b[i]) {
			return true
		}
	}
	return false
}

// TestWithNests: the inner source wins, the outer one is back behind it, and a pass that trains asks nothing.
func TestWithNests(t *testing.T) {
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		x := normtest.Images(3, 4)
		store := trained(t, e, norm.NewBatch(), x)
		var outer, inner int
		exec := model.MustNewExec(e.Backend, store, func(scope *model.Scope, x *graph.Node) []*graph.Node {
			layer := func() *graph.Node { return norm.NewBatch().Apply(scope.At("under_test"), x) }
			var a, b, c *graph.Node
			outer = norm.With(x.Graph(), norm.FromBatch{}, func() {
				a = layer()
				inner = norm.With(x.Graph(), norm.FromRunning{}, func() { b = layer() })
				c = layer()
			})
			return []*graph.Node{a, b, c, layer()}
		})
		out := exec.MustCall(tensors.FromFlatDataAndDimensions(x.Data, x.Shape...))
		flat := func(i int) []float64 { return tensors.MustCopyFlatData[float64](out[i]) }
		if outer != 2 || inner != 1 || differs(flat(0), flat(2)) || differs(flat(1), flat(3)) || !differs(flat(0), flat(1)) {
			t.Errorf("outer %d, inner %d", outer, inner)
		}
		if text := gradcheck.Panics(e.Backend, func(x []*graph.Node) *graph.Node {
			norm.With(x[0].Graph(), nil, func() {})
			return x[0]
		}, x); !strings.Contains(text, "no source") {
			t.Errorf("a nil source: %q", text)
		}
	})
}

// moments of each channel over all else, and of each example and channel.
func momentsOf(x normtest.Input) (mean, variance []float64, own, ownVariance [][]float64) {
	channels := x.Shape[len(x.Shape)-1]
	of := func(values []float64) (mean, variance []float64) {
		mean, variance = make([]float64, channels), make([]float64, channels)
		n := float64(len(values) / channels)
		for i, v := range values {
			mean[i%channels] += v / n
		}
		for i, v := range values {
			variance[i%channels] += (v - mean[i%channels]) * (v - mean[i%channels]) / n
		}
		return mean, variance
	}
	mean, variance = of(x.Data)
	size := len(x.Data) / x.Shape[0]
	for b := range x.Shape[0] {
		m, v := of(x.Data[b*size : (b+1)*size])
		own, ownVariance = append(own, m), append(ownVariance, v)
	}
	return mean, variance, own, ownVariance
}

// statistics runs a source on x in a store whose running values are 0.3 and 1.7 and more by channel.
func statistics(t *testing.T, e *engine.Engine, store *model.Store, source norm.Source, x normtest.Input) (mean, variance []float64) {
	t.Helper()
	exec := model.MustNewExec(e.Backend, store, func(scope *model.Scope, x *graph.Node) []*graph.Node {
		d := x.Shape().Dimensions
		at := scope.In("under_test")
		m := param.Variable(at, "mean", param.Statistic, x.DType(), param.Constant(0.3), d[len(d)-1])
		v := param.Variable(at, "variance", param.Statistic, x.DType(), param.Constant(1.7), d[len(d)-1])
		var first, second *graph.Node
		norm.With(x.Graph(), source, func() { first, second = norm.Collected(at, x, m, v) })
		rows := first.Shape().Size() / d[len(d)-1]
		return []*graph.Node{graph.Reshape(first, rows, -1), graph.Reshape(second, rows, -1)}
	})
	defer exec.Finalize()
	out := exec.MustCall(tensors.FromFlatDataAndDimensions(x.Data, x.Shape...))
	return tensors.MustCopyFlatData[float64](out[0]), tensors.MustCopyFlatData[float64](out[1])
}

func close9(t *testing.T, what string, got, want []float64) {
	t.Helper()
	near(t, what, got, want, 1e-9)
}

// TestSources holds mixed, prior and moving statistics against plain loops.
func TestSources(t *testing.T) {
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		x := normtest.Images(5, 4)
		n := float64(len(x.Data) / 3)
		bm, bv, _, _ := momentsOf(x)
		wanted := func(a, unbiased, match float64) (m, v []float64) {
			for c := range bm {
				m = append(m, a*0.3+(1-a)*bm[c])
				v = append(v, a*1.7+(1-a)*bv[c]*unbiased+match*a*(1-a)*(0.3-bm[c])*(0.3-bm[c]))
			}
			return m, v
		}
		for _, c := range []struct {
			source             norm.Source
			a, unbiased, match float64
		}{
			{norm.Mixed{SourceWeight: 0.25}, 0.25, 1, 0},
			{norm.Mixed{SourceWeight: 0.25, UnbiasedBatchVar: true}, 0.25, n / (n - 1), 0},
			{norm.Mixed{SourceWeight: 0.25, MomentMatch: true}, 0.25, 1, 1},
			{norm.Mixed{}, 0, 1, 0},
			{norm.Prior{Strength: 12}, 0.75, 1, 0},
			{norm.Prior{}, 0, 1, 0},
			{norm.EMA{Momentum: 0.1}, 0.9, 1, 0},
			{norm.EMA{Momentum: 0.1, Unbiased: true}, 0.9, n / (n - 1), 0},
		} {
			m, v := statistics(t, e, model.NewStore(), c.source, x)
			wantM, wantV := wanted(c.a, c.unbiased, c.match)
			close9(t, fmt.Sprintf("%+v: mean", c.source), m, wantM)
			close9(t, fmt.Sprintf("%+v: variance", c.source), v, wantV)
		}

		store := model.NewStore()
		m, v := statistics(t, e, store, norm.EMA{Momentum: 0.1, OfBatch: true}, x)
		close9(t, "ema of the batch: mean", m, bm)
		close9(t, "ema of the batch: variance", v, bv)
		wantM, wantV := wanted(0.9, 1, 0)
		close9(t, "ema of the batch: what moved", tensors.MustCopyFlatData[float64](store.GetVariable("/under_test/mean").MustValue()), wantM)
		close9(t, "ema of the batch: what moved", tensors.MustCopyFlatData[float64](store.GetVariable("/under_test/variance").MustValue()), wantV)
	})
}

// unmixed is UnMix as a plain loop: the statistics of each example, and the components after it.
func unmixed(u norm.UnMix, x normtest.Input, means, variances []float64) (mean, variance []float64) {
	_, _, own, ownVariance := momentsOf(x)
	channels := len(own[0])
	stepM, stepV := make([]float64, len(means)), make([]float64, len(variances))
	length := func(v []float64) float64 {
		sum := 0.0
		for _, x := range v {
			sum += x * x
		}
		return max(math.Sqrt(sum), 1e-12)
	}
	for b := range own {
		p, total := make([]float64, u.K), 0.0
		for k := range p {
			component, dot := means[k*channels:(k+1)*channels], 0.0
			for c := range component {
				dot += component[c] * own[b][c]
			}
			p[k] = math.Exp(dot / length(component) / length(own[b]) / u.Temperature)
			total += p[k]
		}
		for c := range channels {
			m, v, square := 0.0, 0.0, 0.0
			for k := range p {
				share, i := p[k]/total, k*channels+c
				mhat := (1-share)*means[i] + share*own[b][c]
				shat := (1-share)*variances[i] + share*ownVariance[b][c]
				if u.ExactMixVariance {
					shat += share * (1 - share) * (own[b][c] - means[i]) * (own[b][c] - means[i])
				}
				m, v, square = m+mhat, v+shat, square+mhat*mhat
				stepM[i] += share * (own[b][c] - means[i]) / float64(len(own))
				stepV[i] += share * (ownVariance[b][c] - variances[i]) / float64(len(own))
			}
			k := float64(u.K)
			mean, variance = append(mean, m/k), append(variance, max(0, v/k+square/k-m*m/k/k))
		}
	}
	if !u.Freeze {
		for i := range means {
			means[i] += u.Rate(len(own)) * stepM[i]
			variances[i] += u.Rate(len(own)) * stepV[i]
		}
	}
	return mean, variance
}

// TestUnMix holds un-mixed statistics of drawn streams against a plain loop.
func TestUnMix(t *testing.T) {
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		rapid.Check(t, func(r *rapid.T) {
			u := norm.NewUnMix()
			u.K = rapid.IntRange(1, 5).Draw(r, "k")
			u.BatchMax = rapid.IntRange(1, 8).Draw(r, "batch_max")
			u.ExactMixVariance = rapid.Bool().Draw(r, "exact")
			u.Freeze = rapid.Bool().Draw(r, "freeze")
			batch := rapid.IntRange(1, 5).Draw(r, "batch")
			store := model.NewStore()
			var means, variances []float64
			for step := range 2 {
				x := normtest.Images(rapid.Uint64().Draw(r, "seed"), batch)
				if step == 0 {
					statistics(t, e, store, norm.UnMix{K: u.K, BatchMax: 1, Momentum: 0.1, Alpha: 0.5, Temperature: 1, Freeze: true}, x)
					means = tensors.MustCopyFlatData[float64](store.GetVariable("/unmix/under_test/means").MustValue())
					variances = tensors.MustCopyFlatData[float64](store.GetVariable("/unmix/under_test/vars").MustValue())
				}
				m, v := statistics(t, e, store, u, x)
				wantM, wantV := unmixed(u, x, means, variances)
				close9(t, fmt.Sprintf("%+v, step %d: mean", u, step), m, wantM)
				close9(t, fmt.Sprintf("%+v, step %d: variance", u, step), v, wantV)
			}
			close9(t, "means", tensors.MustCopyFlatData[float64](store.GetVariable("/unmix/under_test/means").MustValue()), means)
			close9(t, "variances", tensors.MustCopyFlatData[float64](store.GetVariable("/unmix/under_test/vars").MustValue()), variances)
		})
	})
}

// TestUnMixDense: without positions the running values are taken, or else the example itself without a variance of its own.
func TestUnMixDense(t *testing.T) {
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		x := normtest.Dense(3, 4)
		m, v := statistics(t, e, model.NewStore(), norm.NewUnMix(), x)
		close9(t, "mean", m, []float64{0.3, 0.3, 0.3})
		close9(t, "variance", v, []float64{1.7, 1.7, 1.7})

		own := norm.NewUnMix()
		own.OwnDense, own.K = true, 1
		m, v = statistics(t, e, model.NewStore(), own, x)
		close9(t, "own mean", m, x.Data)
		close9(t, "own variance", v, make([]float64, len(x.Data)))
	})
}

// TestSourceGradients: gradients through each source against central differences.
func TestSourceGradients(t *testing.T) {
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		frozen := norm.NewUnMix()
		frozen.Freeze, frozen.K = true, 1 // p is a constant for the gradient, and with one component it is one
		for _, source := range []norm.Source{
			norm.FromBatch{}, norm.Mixed{SourceWeight: 0.3}, norm.Mixed{SourceWeight: 0.3, MomentMatch: true, UnbiasedBatchVar: true}, norm.NewPrior(), frozen,
		} {
			layer := norm.NewBatch()
			layer.Inference = source
			x := normtest.Images(8, 3)
			normtest.CheckGradient(t, e, layer, false, x)
		}
	})
}

// TestSourcesRefuse: bad options, layers without statistics and single values, each with what to do.
func TestSourcesRefuse(t *testing.T) {
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		group := norm.NewBatch()
		one := normtest.Dense(1, 1)
		many := normtest.Images(1, 4)
		bad := norm.NewUnMix()
		bad.Temperature = 0
		for _, c := range []struct {
			source norm.Source
			x      normtest.Input
			want   string
		}{
			{norm.Mixed{SourceWeight: 1.5}, many, "source_weight is 1.5"},
			{norm.Mixed{SourceWeight: math.NaN()}, many, "source_weight is NaN"},
			{norm.Mixed{SourceWeight: 0.5}, one, "one value has no variance; give batches of two"},
			{norm.NewEMA(), one, "one value has no variance"},
			{norm.EMA{}, many, "momentum is 0"},
			{norm.Prior{Strength: -1}, many, "strength is -1"},
			{norm.UnMix{}, many, "k is 0"},
			{norm.UnMix{K: 2, BatchMax: 1, Momentum: 0.1, Alpha: 1, Temperature: 1}, many, "alpha_init is 1"},
			{bad, many, "temperature is 0"},
		} {
			group.Inference = c.source
			err := exceptions.TryCatch[error](func() {
				model.MustNewExec(e.Backend, model.NewStore(), func(scope *model.Scope, x *graph.Node) *graph.Node {
					return group.Apply(scope.In("under_test"), x)
				}).MustCall(tensors.FromFlatDataAndDimensions(c.x.Data, c.x.Shape...))
			})
			text := fmt.Sprint(err)
			if !strings.Contains(text, c.want) {
				t.Errorf("%+v: %q does not say %q", c.source, text, c.want)
			}
		}
	})
}

// TestSourceChoice: names and options go through JSON.
func TestSourceChoice(t *testing.T) {
	for _, k := range norm.Sources() {
		text, err := norm.SourceChoice{Source: k.New()}.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		var back norm.SourceChoice
		if err := back.UnmarshalJSON(text); err != nil || back.Source != k.New() || norm.SourceName(back.Source) != k.Name {
			t.Errorf("%s: %+v, %v", text, back, err)
		}
	}
	for text, want := range map[string]string{`"mixt"`: "mixed", `{"name":"mixed","source_wait":1}`: "source_weight", `{"name":"mixed","source_weight":2}`: "[0, 1]"} {
		if err := new(norm.SourceChoice).UnmarshalJSON([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v does not say %q", text, err, want)
		}
	}
}

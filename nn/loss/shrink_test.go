package loss_test

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/internal/gradcheck"
	"github.com/ballast-ml/ballast/nn/loss"
)

// plan is Plan of one example by a loop over c.
func plan(p, raw []float64, threshold float64) (c int, kept []bool, weight float64) {
	k := len(p)
	kept = make([]bool, k)
	order := make([]int, k)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(raw[b], raw[a]) })
	if top := slices.Max(p); top >= threshold {
		return 0, nil, 0
	}
	c = k - 1
	for try := 2; try <= k-1; try++ {
		tail := 0.0
		for _, class := range order[try:] {
			tail += raw[class]
		}
		if raw[order[0]]/(raw[order[0]]+tail) >= threshold {
			c, weight = try, slices.Max(p)
			break
		}
	}
	for rank, class := range order {
		kept[class] = rank == 0 || rank >= c
	}
	return c, kept, weight
}

// TestShrinkPlanAgainstTheLoop covers few and many classes, thresholds, ties, and raw probabilities of their own.
func TestShrinkPlanAgainstTheLoop(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for _, k := range []int{1, 2, 3, 7} {
			if e.Kind != engine.KindGo && k != 7 {
				continue // a program for each
			}
			const n = 12
			p, raw := gradcheck.Normal(1, n, k), gradcheck.Normal(2, n, k)
			for _, in := range []gradcheck.Input{p, raw} {
				for i := range n {
					if i == 3 { // all classes alike
						clear(in.Data[i*k : (i+1)*k])
					}
					for j := range in.Data[i*k : (i+1)*k] {
						in.Data[i*k+j] *= 3
					}
					copy(in.Data[i*k:], softmax(in.Data, i, k, 1))
				}
			}
			for _, threshold := range []float64{0.5, 0.8, 0.95} {
				s := loss.Shrink{Threshold: threshold}
				exec := MustNewExec(e.Backend, func(p, raw *Node) []*Node {
					plan := s.Plan(p, raw, nil)
					return []*Node{plan.First, plan.Kept, plan.Weight, plan.Top, plan.Certain}
				})
				out := exec.MustCall(tensors.FromFlatDataAndDimensions(p.Data, n, k),
					tensors.FromFlatDataAndDimensions(raw.Data, n, k))
				first, kept := tensors.MustCopyFlatData[int32](out[0]), tensors.MustCopyFlatData[bool](out[1])
				weight, certain := tensors.MustCopyFlatData[float64](out[2]), tensors.MustCopyFlatData[bool](out[4])
				for i := range n {
					c, want, w := plan(p.Data[i*k:(i+1)*k], raw.Data[i*k:(i+1)*k], threshold)
					got := kept[i*k : (i+1)*k]
					if int(first[i]) != c || weight[i] != w || want != nil && !slices.Equal(got, want) || certain[i] != (want == nil) {
						t.Errorf("%d classes, threshold %v, example %d: c %d, kept %v, weight %v, certain %v; want %d, %v, %v", k,
							threshold, i, first[i], got, weight[i], certain[i], c, want, w)
					}
				}
			}
		}
	})
}

// TestShrinkLosses: gradients reach the strong view alone, and padding has no part.
func TestShrinkLosses(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		s := loss.Shrink{Threshold: 0.6}
		logits, weak := gradcheck.Normal(3, 6, 4), gradcheck.Normal(4, 6, 4)
		for _, hard := range []bool{false, true} {
			s.Hard = hard
			f := func(in []*Node) *Node {
				p := Softmax(Const(in[0].Graph(), tensors.FromFlatDataAndDimensions(weak.Data, 6, 4)))
				plan := s.Plan(p, p, nil)
				return Add(s.Certain(in[0], plan), Mul(s.Shrunk(in[1], plan), plan.Weight))
			}
			gradcheck.Check(t, e, f, logits, gradcheck.Normal(5, 6, 4))
		}
		zero := func(in []*Node) *Node {
			p := Softmax(in[0])
			mask := Const(in[0].Graph(), []bool{false, false, false, false, false, false})
			plan := s.Plan(p, p, mask)
			all := Add(Add(s.Certain(in[1], plan), s.Shrunk(in[1], plan)),
				Add(plan.Weight, ConvertDType(plan.Certain, dtypes.Float64)))
			return Add(all, ReduceSum(Gradient(ReduceAllSum(s.Certain(in[1], s.Plan(p, p, nil))), in[0])[0], -1))
		}
		got, _ := gradcheck.Eval(t, e, zero, weak, logits)
		near(t, got, make([]float64, 6))
	})
}

func TestShrinkRefuses(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		x := gradcheck.Normal(1, 2, 3)
		for want, f := range map[string]func(x *Node) *Node{
			"threshold is 0; use a number above 0": func(x *Node) *Node { return loss.Shrink{}.Plan(x, x, nil).Weight },
			"want both [batch, classes]": func(x *Node) *Node {
				return loss.NewShrink().Plan(x, Reshape(x, 6), nil).Weight
			},
			"want the same shape": func(x *Node) *Node {
				return loss.NewShrink().Shrunk(Reshape(x, 3, 2), loss.NewShrink().Plan(x, x, nil))
			},
			`kind "some", length 32`: func(x *Node) *Node {
				return loss.Alignment{Kind: "some", Length: 32}.Apply(model.NewStore().RootScope(), x, nil)
			},
		} {
			if got := gradcheck.Panics(e, func(in []*Node) *Node { return f(in[0]) }, x); !strings.Contains(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	})
}

// TestAlignmentAndShareAgainstTheLoop: the state after 1, 2 and 50 batches, with padding.
func TestAlignmentAndShareAgainstTheLoop(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for _, kind := range []string{"queue", "ema"} {
			a := loss.NewAlignment()
			a.Kind, a.Length = kind, 3
			store := model.NewStore()
			exec := model.MustNewExec(e.Backend, store, func(scope *model.Scope, p *Node) []*Node {
				mask := Const(p.Graph(), []bool{true, true, true, false})
				return []*Node{a.Apply(scope, p, mask), loss.CertainShare(scope.In("share"), ReduceAllMean(p), nil, 0.9)}
			})
			var means [][]float64
			running, share := []float64(nil), -1.0
			for batch := range 50 {
				p := gradcheck.Normal(uint64(batch), 4, 2).Data
				all := 0.0
				for i := range p {
					p[i] = math.Abs(p[i])
					all += p[i] / 8
				}
				mean := []float64{(p[0] + p[2] + p[4]) / 3, (p[1] + p[3] + p[5]) / 3}
				means = append(means, mean)
				m := []float64{0, 0}
				for _, last := range means[max(0, len(means)-3):] {
					m[0], m[1] = m[0]+last[0]/3, m[1]+last[1]/3
				}
				if running == nil {
					running, share = mean, all
				} else {
					running = []float64{0.999*running[0] + 0.001*mean[0], 0.999*running[1] + 0.001*mean[1]}
					share = 0.9*share + 0.1*all
				}
				if kind == "ema" {
					m = running
				}
				out := exec.MustCall(tensors.FromFlatDataAndDimensions(slices.Clone(p), 4, 2))
				want := make([]float64, 8)
				for i := range 4 {
					a, b := p[2*i]/m[0], p[2*i+1]/m[1]
					want[2*i], want[2*i+1] = a/(a+b), b/(a+b)
				}
				if batch == 0 || batch == 1 || batch == 49 {
					near(t, tensors.MustCopyFlatData[float64](out[0]), want)
					near(t, tensors.MustCopyFlatData[float64](out[1]), []float64{share})
				}
			}
		}
	})
}

// TestShrinkRises: a higher threshold keeps no earlier rank, and shrunk or not, what has a weight is sure enough.
func TestShrinkRises(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		const n, k = 40, 10
		p := gradcheck.Normal(9, n, k)
		for i := range n {
			copy(p.Data[i*k:], softmax(p.Data, i, k, 0.5))
		}
		exec := MustNewExec(e.Backend, func(p *Node) (plans []*Node) {
			for _, threshold := range []float64{0.8, 0.9, 0.95, 0.99} {
				plan := loss.Shrink{Threshold: threshold}.Plan(p, p, nil)
				sure := Div(ReduceMax(p, -1), ReduceSum(Where(plan.Kept, p, ZerosLike(p)), -1))
				enough := GreaterOrEqual(sure, Scalar(p.Graph(), p.DType(), threshold-1e-12))
				weighted := GreaterThan(plan.Weight, ZerosLike(plan.Weight))
				plans = append(plans, plan.First, LogicalAnd(weighted, LogicalNot(enough)), weighted)
			}
			return plans
		})
		out := exec.MustCall(tensors.FromFlatDataAndDimensions(p.Data, n, k))
		last, shrunk := make([]int32, n), 0
		for i := 0; i < len(out); i += 3 {
			now := tensors.MustCopyFlatData[int32](out[i])
			unsure, weighted := tensors.MustCopyFlatData[bool](out[i+1]), tensors.MustCopyFlatData[bool](out[i+2])
			for j := range now {
				if now[j] < last[j] || unsure[j] {
					t.Errorf("threshold %d keeps rank %d of example %d, a lower one %d; not sure: %v", i/3, now[j], j, last[j],
						unsure[j])
				}
				if weighted[j] {
					shrunk++
				}
			}
			last = now
		}
		if shrunk < 10 {
			t.Errorf("%d examples were shrunk: too few to test anything", shrunk)
		}
	})
}

// TestCertainShareBeginsAnew: a batch that is a first one again leaves nothing of those before.
func TestCertainShareBeginsAnew(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		exec := model.MustNewExec(e.Backend, model.NewStore(), func(scope *model.Scope, share, anew *Node) *Node {
			return loss.CertainShare(scope, share, anew, 0.5)
		})
		var got []float64
		for _, batch := range []struct {
			share float64
			anew  bool
		}{{1, false}, {0, false}, {0.25, true}, {0.75, false}} {
			out := exec.MustCall(tensors.FromScalar(batch.share), tensors.FromScalar(batch.anew))
			got = append(got, tensors.ToScalar[float64](out[0]))
		}
		near(t, got, []float64{1, 0.5, 0.25, 0.5})
	})
}

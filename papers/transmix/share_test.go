package transmix

import (
	"math"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/data/augment"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/papers/paper"
)

// TestShareIsExact: a box over patches that nobody looks at has no share whatever its area; even attention gives the area, rounded to
// patches; shares of classes add up to 1.
func TestShareIsExact(t *testing.T) {
	const n, side, patch, classes = 4, 8, 2, 3
	const tokens = (side / patch) * (side / patch)
	numbers := map[string]float64{"mix.use": 0, "mix.kind": 0, "mix.cut": 0.6, "mix.row": 0.4, "mix.column": 0.4, "mix.weight": 1}
	mixing := augment.NewTransMix()
	mixing.Ratio = 1
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		out := MustNewExec(e.Backend, func(x *Node) []*Node {
			g := x.Graph()
			m := mixing.Mix(augment.Draws{Column: func(name string) *Node { return Const(g, numbers[name]) }}, x)
			mask := ConvertDType(Reshape(m.TokenMask(side/patch, side/patch), 1, tokens), x.DType())
			even := BroadcastToDims(Const(g, float32(0.01)), n, tokens)
			dark := BroadcastToDims(OneMinus(mask), n, tokens)
			targets := mixing.Retarget(m, OneHot(Const(g, []int32{0, 1, 2, 0}), classes, x.DType()), Mul(even, AddScalar(dark, 1)))
			return []*Node{mixing.Share(m, dark), mixing.Share(m, even), ReduceAllMean(mask), ReduceSum(targets, 1), m.Parts[1].Weight}
		}).MustCall(tensors.FromFlatDataAndDimensions(make([]float32, n*side*side), n, side, side, 1))
		var got [][]float32
		for _, v := range out[:2] {
			got = append(got, tensors.MustCopyFlatData[float32](v))
		}
		covered := tensors.ToScalar[float32](out[2])
		sums, area := tensors.MustCopyFlatData[float32](out[3]), tensors.MustCopyFlatData[float32](out[4])
		for i := range n {
			if got[0][i] != 0 || area[i] == 0 {
				t.Errorf("image %d: nobody looks at the box, whose area is %v: share %v", i, area[i], got[0][i])
			}
			if math.Abs(float64(got[1][i]-covered)) > 1e-6 || covered == 0 {
				t.Errorf("image %d: even attention gives %v, the box covers %v of the patches", i, got[1][i], covered)
			}
			if math.Abs(float64(sums[i]-1)) > 1e-6 {
				t.Errorf("image %d: the shares of classes add up to %v", i, sums[i])
			}
		}
	})
}

// TestGuesses: the numbers of the claim, from guesses whose errors are known.
func TestGuesses(t *testing.T) {
	g := guesses{ink: []float64{0, 0.5, 1, 0.2}, area: []float64{0.2, 0.5, 0.6, 0.2}, attention: []float64{0, 0.7, 1, 0.2}}
	got := g.numbers()
	for name, want := range map[string]float64{"area_error": 0.15, "attention_error": 0.05, "mean_error": 0.1} {
		if math.Abs(got[name]-want) > 1e-12 {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	// ink - area: -0.2, 0, 0.4, 0; attention - area: -0.2, 0.2, 0.4, 0.
	if want := 0.18 / math.Sqrt(0.19*0.2); math.Abs(got["residual_correlation"]-want) > 1e-9 {
		t.Errorf("the correlation of the rests is %v, want %v", got["residual_correlation"], want)
	}
}

func TestClaims(t *testing.T) {
	share := func(residual, area, mean float64) paper.Measured {
		return paper.Measured{"plain": {"residual_correlation": {residual}, "area_error": {area}, "mean_error": {mean}}}
	}
	accuracy := func(area, attention float64) paper.Measured {
		return paper.Measured{"area": {"accuracy": {area}}, "transmix": {"accuracy": {attention}}}
	}
	for _, c := range []struct {
		claim    int
		measured paper.Measured
		held     bool
	}{
		{0, share(0.2, 0.21, 0.2), true},
		{0, share(0.04, 0.21, 0.2), false},
		{0, share(0.2, 0.21, 0.22), false},
		{1, accuracy(0.96, 0.958), true},
		{1, accuracy(0.96, 0.956), false},
	} {
		if got := paper.Judge(Paper.Claims[c.claim], c.measured); got.MeansHold != c.held {
			t.Errorf("%v: held is %v", c.measured, got.MeansHold)
		}
	}
}

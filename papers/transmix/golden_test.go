package transmix

import (
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/data/augment"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/nn/attention"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/mixer"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/papers/paper/papertest"
	"github.com/ballast-ml/ballast/zoo"
)

func TestGolden(t *testing.T) { papertest.Golden(t, "transmix", kinds) }

// kinds tests the mixing with its targets, Mixup with the flipped batch, what the class token attends to, and the loss of shared targets.
func kinds(e *engine.Engine) []golden.Kind {
	return []golden.Kind{
		{Name: "transmix", Match: func(c *golden.Case) bool { return c.Has("inputs.center_yx", "inputs.attn_cls") }, Run: func(_ golden.T, c *golden.Case) { goldenTransMix(e, c) }},
		{Name: "mixup", Match: func(c *golden.Case) bool { return c.Has("params.drawn_lambda") && !c.Has("inputs.center_yx") }, Run: func(_ golden.T, c *golden.Case) { goldenMixup(e, c) }},
		{Name: "attention", Match: func(c *golden.Case) bool { return c.Has("params.heads", "weights.w_qkv") }, Run: func(_ golden.T, c *golden.Case) { goldenAttention(e, c) }},
		{Name: "loss", Match: func(c *golden.Case) bool { return c.Has("inputs.logits", "inputs.targets") }, Run: func(_ golden.T, c *golden.Case) { goldenLoss(e, c) }},
	}
}

// mixing are the parameters of a mixed batch.
type mixing struct {
	Classes   int     `json:"num_classes"`
	Patch     int     `json:"patch"`
	Smoothing float64 `json:"label_smoothing"`
	Lambda    float64 `json:"drawn_lambda"`
}

// oneHot are the smoothed labels of a case.
func (p mixing) oneHot(g *Graph, c *golden.Case) *Node {
	var labels []int32
	for _, v := range c.Tensor("inputs.labels").Data {
		labels = append(labels, int32(v))
	}
	rows := OneHot(Const(g, labels), p.Classes, dtypes.Float32)
	return AddScalar(MulScalar(rows, 1-p.Smoothing), p.Smoothing/float64(p.Classes))
}

// draws are columns of given numbers: every update is mixed with CutMix.
func draws(g *Graph, numbers map[string]float64) augment.Draws {
	return augment.Draws{Column: func(name string) *Node { return Const(g, numbers[name]) }}
}

func goldenTransMix(e *engine.Engine, c *golden.Case) {
	p := mixing{}
	c.Params(&p)
	x, attention, centre := c.Tensor("inputs.x"), c.Tensor("inputs.attn_cls"), c.Tensor("inputs.center_yx").Data
	height, width := x.Shape[1], x.Shape[2]
	rows, columns := height/p.Patch, width/p.Patch

	// A centre is drawn as a share of the side; the middle of its pixel stands for it.
	numbers := map[string]float64{
		"mix.cut": p.Lambda, "mix.row": (centre[0] + 0.5) / float64(height), "mix.column": (centre[1] + 0.5) / float64(width),
	}
	official := augment.NewTransMix()
	official.CutMix = 1
	paper := official
	paper.Ratio = 1
	out := MustNewExec(e.Backend, func(x, attention *Node) []*Node {
		g := x.Graph()
		oneHot := p.oneHot(g, c)
		m := official.Mix(draws(g, numbers), x)
		attention = Reshape(attention, x.Shape().Dimensions[0], rows, columns)
		return []*Node{
			ConvertDType(m.Box, dtypes.Float32), Reshape(Slice(m.Parts[0].Weight, AxisElem(0))), m.X, m.Targets(oneHot),
			ConvertDType(Reshape(m.TokenMask(rows, columns), rows*columns), dtypes.Float32),
			paper.Share(m, attention), official.Share(m, attention),
			official.Retarget(m, oneHot, attention), paper.Retarget(m, oneHot, attention),
		}
	}).MustCall(papertest.Tensor(x), papertest.Tensor(attention))
	for i, name := range []string{
		"box_yl_yh_xl_xh", "lambda_corrected", "mixed_x", "area_target", "token_mask",
		"attn_lambda_b", "averaged_lambda_b", "target_official", "target_attention_only",
	} {
		papertest.Got(c, name, out[i])
	}
}

func goldenMixup(e *engine.Engine, c *golden.Case) {
	p := mixing{}
	c.Params(&p)
	mixup := augment.NewMixup()
	mixup.Partner.Partner = "flip"
	out := MustNewExec(e.Backend, func(x *Node) []*Node {
		g := x.Graph()
		m := mixup.Mix(draws(g, map[string]float64{"mix.weight": p.Lambda}), x)
		return []*Node{m.X, m.Targets(p.oneHot(g, c))}
	}).MustCall(papertest.Tensor(c.Tensor("inputs.x")))
	papertest.Got(c, "mixed_x", out[0])
	papertest.Got(c, "targets", out[1])
}

// goldenAttention is the attention of a last block, seen as an objective sees it.
func goldenAttention(e *engine.Engine, c *golden.Case) {
	a := mixer.NewAttention()
	a.Positions.Positions = attention.NoPositions{}
	p := struct {
		Heads *int `json:"heads"`
	}{&a.Heads}
	c.Params(&p)

	store := model.NewStore()
	const at = "/layer_1/attention/"
	kernel, bias := c.Tensor("weights.w_qkv"), c.Tensor("weights.b_qkv")
	dim := kernel.Shape[0]
	for k, name := range []string{"query", "key", "value"} {
		own := golden.Tensor{Shape: []int{dim, dim}}
		for row := range dim {
			from := row*3*dim + k*dim
			own.Data = append(own.Data, kernel.Data[from:from+dim]...)
		}
		papertest.Create(store, at+name+"/kernel", papertest.Tensor(own))
		shift := golden.Tensor{Shape: []int{dim}, Data: bias.Data[k*dim : (k+1)*dim]}
		papertest.Create(store, at+name+"/bias", papertest.Tensor(shift))
	}
	papertest.Create(store, at+"out/kernel", papertest.Tensor(c.Tensor("weights.w_out")))
	papertest.Create(store, at+"out/bias", papertest.Tensor(c.Tensor("weights.b_out")))

	vit := zoo.NewViT()
	vit.Depth = 1
	out := model.MustNewExec(e.Backend, store, func(root *model.Scope, x *Node) []*Node {
		var seen, y *Node
		pass.Through(x.Graph(), pass.Pass{Taps: []pass.Tap{vit.ClassAttention(&seen)}}, func() {
			y = a.Apply(root.In("layer_1").In("attention"), x, mixer.Context{})
		})
		return []*Node{seen, ReduceSum(seen, 1), y}
	}).MustCall(papertest.Tensor(c.Tensor("inputs.x")))
	for i, name := range []string{"attn_cls", "attn_sum", "y"} {
		papertest.Got(c, name, out[i])
	}
}

func goldenLoss(e *engine.Engine, c *golden.Case) {
	c.Params(&struct{}{})
	out := MustNewExec(e.Backend, func(logits, targets *Node) []*Node {
		l := ReduceAllMean(loss.CrossEntropy{}.Of(targets, logits))
		return []*Node{l, Gradient(l, logits)[0]}
	}).MustCall(papertest.Tensor(c.Tensor("inputs.logits")), papertest.Tensor(c.Tensor("inputs.targets")))
	papertest.Got(c, "loss", out[0])
	papertest.Got(c, "grad_logits", out[1])
}

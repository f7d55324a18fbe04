package objective_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/data/augment"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/mixer"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/ops"
	"github.com/ballast-ml/ballast/train/objective"
	"github.com/ballast-ml/ballast/train/update"
	"github.com/ballast-ml/ballast/zoo"
)

// read is a supervised objective from JSON.
func read(t *testing.T, text string) objective.Supervised {
	t.Helper()
	var c objective.Choice
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	return c.Objective.(objective.Supervised)
}

// TestSupervisedChoice: what a recipe says comes back from what is written of it; names that nobody has are answered with the nearest.
func TestSupervisedChoice(t *testing.T) {
	o := read(t, `{"name": "supervised", "mix": {"name": "transmix", "ratio": 1}, "between": {"name": "batchformer", "dropout": 0.25, "separate_heads": true}}`)
	text, err := json.Marshal(objective.Choice{Objective: o})
	if err != nil {
		t.Fatal(err)
	}
	again := read(t, string(text))
	if again.Mix.Mixing.(augment.TransMix).Ratio != 1 || again.Between.Between.(objective.BatchFormer).Dropout != 0.25 || !again.Between.Between.(objective.BatchFormer).Separate {
		t.Errorf("%s came back as %+v", text, again)
	}
	for _, plain := range []objective.Supervised{{Loss: o.Loss}, objective.NewSupervised()} {
		text, err := json.Marshal(objective.Choice{Objective: plain})
		if err != nil || !strings.Contains(string(text), `"mix":{"name":"none"},"between":{"name":"none"}`) {
			t.Errorf("%s, %v; want neither mix nor between", text, err)
		}
	}

	for text, want := range map[string]string{
		`{"name": "supervised", "mix": "transmux"}`:                                "no mixing \"transmux\" (did you mean transmix?)",
		`{"name": "supervised", "between": "batchfromer"}`:                         `no module between features and head "batchfromer" (did you mean batchformer?)`,
		`{"name": "supervised", "between": {"name": "batchformer", "head": 4}}`:    "heads",
		`{"name": "supervised", "mix": {"name": "transmix", "ratio": 2}}`:          "ratio",
		`{"name": "supervised", "between": {"name": "batchformer", "heads": "a"}}`: "heads",
	} {
		var c objective.Choice
		if err := json.Unmarshal([]byte(text), &c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", text, err, want)
		}
	}
}

// planned is a run of 8 images an update by a network.
func planned(network zoo.Network) update.Plan {
	return update.Plan{
		Network: network, Updates: 10, PerPass: 5, Accumulate: 1, Devices: 1,
		Streams: map[string]update.Stream{update.Train: {
			Examples: 40, Batch: 8, Shape: []int{8, 8, 1}, Targets: loss.Labels, Outputs: 3, Counts: []int{20, 15, 5}, Distinct: true,
		}},
	}
}

// TestSupervisedRefuses: what makes no sense is a usage error that says what to do.
func TestSupervisedRefuses(t *testing.T) {
	mix, between := `"mix": "transmix"`, `"between": "batchformer"`
	stream := func(change func(s *update.Stream)) func(p *update.Plan) {
		return func(p *update.Plan) {
			s := p.Streams[update.Train]
			change(&s)
			p.Streams[update.Train] = s
		}
	}
	for _, c := range []struct {
		options string
		change  func(p *update.Plan)
		want    string
	}{
		{mix, func(p *update.Plan) { p.Network = zoo.NewCNN() },
			"recipe: objective.mix: transmix follows the attention of a class token, and network cnn has none; use network vit with pooling class"},
		{mix, func(p *update.Plan) { p.Devices = 2 },
			"recipe: objective.mix: transmix mixes the examples of a batch with each other, and 2 devices would each see a part of it; use one device"},
		{mix, stream(func(s *update.Stream) { s.Targets = loss.Values }),
			"recipe: objective.mix: transmix makes shares of classes, and the data has values; use data with classes"},
		{`"mix": "cutmix", "loss": "bce"`, stream(func(s *update.Stream) { s.Targets = loss.Masks }), "recipe: objective.mix: cutmix has no mixture of masks; use mix: none"},
		{`"mix": "mixup", "loss": "elr"`, nil, "recipe: loss elr keeps a row for each example, and a mixture is of several examples; use another loss, for example cross-entropy"},
		{`"mix": "mixup", "extra": [{"loss": "supcon"}]`, nil, "recipe: objective.mix: mixup mixes examples, and objective.extra compares whole ones; leave one of the two out"},
		{between + `, "loss": "elr"`, nil, "recipe: loss elr keeps a row for each example, and batchformer gives several answers for it; use another loss, for example cross-entropy"},
		{between, func(p *update.Plan) { p.Network = zoo.NewEnsemble() },
			"recipe: objective.between: batchformer acts between features and head, and network ensemble is not in two parts; use one that is, for example mlp"},
		{between, func(p *update.Plan) { p.Devices = 2 },
			"recipe: objective.between: batchformer lets the examples of a batch see each other, and 2 devices would each see a part of it; use one device"},
		{between, func(p *update.Plan) { p.Accumulate = 2 },
			"recipe: objective.between: batchformer lets the examples of a batch see each other, and accumulate=2 would cut it into parts; use accumulate: 1"},
		{`"loss": "bce"`, stream(func(s *update.Stream) { s.Targets, s.Moves = loss.Masks, "shift" }),
			"recipe: views has shift, which moves an image and not the mask that it is held against; use colour, noise, blur or cutout"},
		{`"loss": "cross-entropy"`, stream(func(s *update.Stream) { s.Views = 2 }),
			"recipe: views has 2 views, and objective supervised learns from 1 of each example; use one list of all transforms, for example views: [[shift, noise]]"},
		{`"loss": "cross-entropy"`, func(p *update.Plan) { p.Streams["spare"] = update.Stream{Examples: 4, Batch: 2} },
			"recipe: streams has spare, and objective supervised learns from the examples of data alone; leave streams.spare out"},
		{`"between": {"name": "batchformer", "dropout": 1}`, nil, "recipe: objective.between: batchformer: heads 4, ff_dim -1, dropout 1, ln_eps 1e-05; use heads and width from 1"},
	} {
		p := planned(zoo.NewViT())
		if c.change != nil {
			c.change(&p)
		}
		o := read(t, `{"name": "supervised", `+c.options+`}`)
		var usage *fault.Usage
		if err := o.Validate(p); !errors.As(err, &usage) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s:\n%v\nwant %s", c.options, err, c.want)
		}
		if err := objective.NewSupervised().Validate(planned(zoo.NewViT())); err != nil {
			t.Error(err)
		}
	}
	for _, options := range []string{mix, between, mix + "," + between, `"mix": {"name": "mixup", "parts": 3}`, `"mix": "multi-mixup"`} {
		if err := read(t, `{"name": "supervised", `+options+`}`).Validate(planned(zoo.NewViT())); err != nil {
			t.Errorf("%s: %v", options, err)
		}
	}

	lonely := planned(zoo.NewMLP())
	o := read(t, `{"name": "supervised", `+between+`}`)
	if w := o.Warning(lonely); w != "" {
		t.Errorf("a batch of 8 is warned of: %s", w)
	}
	stream(func(s *update.Stream) { s.Batch = 1 })(&lonely)
	if w := o.Warning(lonely); !strings.Contains(w, "nothing but itself") {
		t.Errorf("a batch of 1: %q", w)
	}
}

// updated is the micro-batch of an objective on 6 images 8x8 of classes 0 to 2, the last of which is padding.
type updated struct {
	e       *engine.Engine
	o       objective.Supervised
	network zoo.Network
	store   *model.Store
	columns map[string]float64
}

const (
	updatedRows = 6
	updatedSize = 8
)

// build has f make numbers of the step; x is what the stream feeds.
func (u updated) build(t *testing.T, f func(s *update.Step, b update.Batch) []*Node) [][]float32 {
	t.Helper()
	x := make([]float32, updatedRows*updatedSize*updatedSize)
	for i := range x {
		x[i] = float32(math.Abs(math.Sin(float64(i*i%97) + float64(i)/7)))
	}
	out := model.MustNewExec(u.e.Backend, u.store, func(scope *model.Scope, x *Node) []*Node {
		g := x.Graph()
		u.store.SetTraining(g, true)
		share := Const(g, []float32{0.2, 0.2, 0.2, 0.1, 0.3, 0})
		b := update.Batch{
			X: x, Views: []*Node{x}, Labels: Const(g, []int32{0, 1, 2, 2, 1, -1}), Mask: Const(g, []bool{true, true, true, true, true, false}),
			Share: share, Push: share, Examples: 40, Counts: []int{20, 15, 5},
		}
		s := &update.Step{Scope: scope, Update: Const(g, int32(3)), Batches: map[string]update.Batch{update.Train: b}, Columns: map[string]*Node{}}
		for name, v := range u.columns {
			s.Columns[name] = Const(g, float32(v))
		}
		s.SetRandom(ops.NewRandom(g, 5), 1)
		return f(s, b)
	}).MustCall(tensors.FromFlatDataAndDimensions(x, updatedRows, updatedSize, updatedSize, 1))
	var all [][]float32
	for _, v := range out {
		all = append(all, tensors.MustCopyFlatData[float32](v))
	}
	return all
}

// value is the loss that the objective makes smaller.
func (u updated) value(s *update.Step) *Node {
	p := planned(u.network)
	terms := u.o.Phases(p)[0].Turns[0].Build(s)[0].Terms
	return terms[0].Value
}

func near(t *testing.T, what string, got, want float32) {
	t.Helper()
	if !(math.Abs(float64(got-want)) <= 1e-5*(1+math.Abs(float64(want)))) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func smallViT() zoo.ViT {
	v := zoo.NewViT()
	v.Patch, v.Depth, v.Dim, v.MLPRatio, v.Classes = 4, 2, 4, 1, 3
	a := mixer.NewAttention()
	a.Heads = 2
	v.Mixer = mixer.Choice{Mixer: a}
	return v
}

// TestMixedTargets: the loss is that of the mixed examples against the mixture of smoothed labels, where the class token looks with
// transmix; each example counts its share once, however many mixtures are made of it.
func TestMixedTargets(t *testing.T) {
	const smoothing = 0.1
	columns := map[string]float64{"mix.use": 0.5, "mix.kind": 0.5, "mix.weight": 0.7, "mix.weight.2": 0.4, "mix.weight.3": 0.1, "mix.cut": 0.6, "mix.row": 0.3, "mix.column": 0.6}
	vit := smallViT()
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for _, name := range []string{"mixup", "multi-mixup", "cutmix", "mixup-cutmix", "transmix"} {
			if e.Kind != engine.KindGo && name != "transmix" {
				continue // data/augment holds each mixing on both engines; here one shows what is made of it
			}
			o := read(t, fmt.Sprintf(`{"name": "supervised", "loss": {"name": "cross-entropy", "label_smoothing": %v}, "mix": %q}`, smoothing, name))
			u := updated{e: e, o: o, network: vit, store: model.NewStore(), columns: columns}
			out := u.build(t, func(s *update.Step, b update.Batch) []*Node {
				got := u.value(s)
				g := got.Graph()
				m := o.Mix.Mix(augment.Draws{Column: s.Column, Random: s.Random("mix"), Live: b.Mask}, b.X)
				smooth := AddScalar(MulScalar(OneHot(b.Labels, 3, dtypes.Float32), 1-smoothing), smoothing/3)
				targets := m.Targets(smooth)
				var logits, looks *Node
				pass.Through(g, pass.Pass{Taps: []pass.Tap{vit.ClassAttention(&looks)}}, func() { logits = vit.Apply(s.At("/model"), m.X) })
				if r, ok := o.Mix.Mixing.(augment.Retargeting); ok {
					targets = r.Retarget(m, smooth, looks)
				}
				each := Reshape(ReduceSum(Neg(Mul(targets, LogSoftmax(logits))), -1), m.Copies, updatedRows)
				want := ReduceAllSum(Mul(ReduceMean(each, 0), b.Push))
				area := ReduceAllMax(Abs(Sub(targets, m.Targets(smooth))))
				return []*Node{got, want, area}
			})
			near(t, name, out[0][0], out[1][0])
			if moved := out[2][0] > 1e-4; moved != (name == "transmix") {
				t.Errorf("%s: targets are away from those by area by %v", name, out[2][0])
			}
		}
	})
}

// TestTransMixAttentionIsConstant: the gradient is that of the logits against given targets.
func TestTransMixAttentionIsConstant(t *testing.T) {
	vit := smallViT()
	columns := map[string]float64{"mix.use": 0.5, "mix.kind": 0.5, "mix.weight": 0.7, "mix.cut": 0.6, "mix.row": 0.3, "mix.column": 0.6}
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		o := read(t, `{"name": "supervised", "mix": "transmix"}`)
		u := updated{e: e, o: o, network: vit, store: model.NewStore(), columns: columns}
		out := u.build(t, func(s *update.Step, b update.Batch) []*Node {
			got := Gradient(u.value(s), b.X)[0]
			m := o.Mix.Mix(augment.Draws{Column: s.Column, Live: b.Mask}, b.X)
			var logits, looks *Node
			pass.Through(b.X.Graph(), pass.Pass{Taps: []pass.Tap{vit.ClassAttention(&looks)}}, func() { logits = vit.Apply(s.At("/model"), m.X) })
			targets := StopGradient(o.Mix.Mixing.(augment.Retargeting).Retarget(m, OneHot(b.Labels, 3, dtypes.Float32), StopGradient(looks)))
			want := Gradient(ReduceAllSum(Mul(ReduceSum(Neg(Mul(targets, LogSoftmax(logits))), -1), b.Push)), b.X)[0]
			return []*Node{Reshape(got, -1), Reshape(want, -1)}
		})
		for i := range out[1] {
			near(t, fmt.Sprintf("gradient %d", i), out[0][i], out[1][i])
		}
	})
}

// TestBatchFormer: the loss is the mean over both streams behind one head, or behind two; what is padding sees nobody and is seen by
// nobody; the module's variables are the objective's own.
func TestBatchFormer(t *testing.T) {
	mlp := zoo.NewMLP()
	mlp.Hidden, mlp.Classes, mlp.Norm = []int{8}, 3, norm.Choice{Layer: norm.Identity{}}
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for _, separate := range []bool{false, true} {
			o := read(t, fmt.Sprintf(`{"name": "supervised", "loss": "balanced-softmax", "between": {"name": "batchformer", "heads": 2, "separate_heads": %v}}`, separate))
			u := updated{e: e, o: o, network: mlp, store: model.NewStore()}
			out := u.build(t, func(s *update.Step, b update.Batch) []*Node {
				got := u.value(s)
				layer := o.Between.Between.(objective.BatchFormer).Batch
				features := mlp.Features(s.At("/model"), b.X)
				z, _ := layer.Mixed(s.At("/objective/between"), features, b.Mask, s.Random("between"))
				head := "/model"
				if separate {
					head = "/objective/between"
				}
				each := func(at string, f *Node) *Node {
					return loss.BalancedSoftmax{}.Of(OneHot(b.Labels, 3, dtypes.Float32), mlp.Head(s.At(at), f), b.Counts)
				}
				want := MulScalar(ReduceAllSum(Mul(Add(each("/model", features), each(head, z)), b.Push)), 0.5)
				return []*Node{got, want, ReduceSum(Abs(Gradient(got, b.X)[0]), 1, 2, 3)}
			})
			near(t, fmt.Sprintf("separate heads %v", separate), out[0][0], out[1][0])
			if out[2][0] == 0 || out[2][5] != 0 {
				t.Errorf("the gradient of the first example is %v, that of padding %v", out[2][0], out[2][5])
			}
			for v := range u.store.IterVariables() {
				if own := strings.HasPrefix(v.Path(), "/objective/between/"); !own && !strings.HasPrefix(v.Path(), "/model/") {
					t.Errorf("the variable %s", v.Path())
				}
			}
			if has := u.store.GetVariable("/objective/between/output/kernel") != nil; has != separate {
				t.Errorf("separate heads %v: there is a second head: %v", separate, has)
			}
		}
	})
}

// TestRanking: a ranking loss is named alone, has a weight of its own, and is refused where there is no place for it.
func TestRanking(t *testing.T) {
	var o objective.Choice
	text := `{"name":"supervised","extra":["mndcg",{"loss":"mrl"},{"loss":{"name":"mndcg","beta":1},"weight":1}]}`
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	extra := o.Objective.(objective.Supervised).Extra
	if extra[0].Weight != 0.1 || extra[1].Weight != 0.1 || extra[2].Weight != 1 || extra[2].Loss.Set.(loss.MNDCG).Alpha != 1 {
		t.Errorf("%+v", extra)
	}
	tcm := objective.Extra{}
	if err := json.Unmarshal([]byte(`"tcm"`), &tcm); err != nil || tcm.Weight != 1 {
		t.Errorf("%+v %v", tcm, err)
	}
	for options, want := range map[string]string{
		`"extra": ["mndcg"], "between": "batchformer"`:              "use between: none",
		`"extra": [{"loss": {"name": "mndcg", "num_mixup": 0}}]`:    "num_mixup is 0",
		`"extra": [{"loss": {"name": "mrl", "confidence": "lod"}}]`: "use logit or prob",
	} {
		mlp := zoo.NewMLP()
		mlp.Classes = 3
		err := read(t, `{"name": "supervised", `+options+`}`).Validate(planned(mlp))
		var misuse *fault.Usage
		if !errors.As(err, &misuse) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", options, err, want)
		}
	}
	// It needs answers alone, and so a network in one part will do.
	if err := read(t, `{"name": "supervised", "extra": ["mndcg"]}`).Validate(planned(zoo.NewEnsemble())); err != nil {
		t.Error(err)
	}
	vectors := objective.NewContrastive()
	vectors.Extra = []objective.Extra{{Loss: loss.SetChoice{Set: loss.NewMRL()}, Weight: 1}}
	if err := vectors.Validate(planned(zoo.NewMLP())); err == nil || !strings.Contains(err.Error(), "objective.extra of supervised") && !strings.Contains(err.Error(), "task") {
		t.Errorf("%v", err)
	}
}

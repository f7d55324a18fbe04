package objective_test

import (
	"cmp"
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/stack"
	"github.com/ballast-ml/ballast/train/objective"
	"github.com/ballast-ml/ballast/train/update"
	"github.com/ballast-ml/ballast/zoo"
)

const (
	semiLabeled, semiUnlabeled = 3, 12
	semiClasses, semiInputs    = 5, 4
)

// semiNetwork has no norm, so that three passes give what one gives.
func semiNetwork() zoo.MLP {
	return zoo.MLP{
		Hidden: []int{8}, Classes: semiClasses, Norm: norm.Choice{Layer: norm.Identity{}}, Activation: linear.ReLU,
	}
}

func semiPlan() update.Plan {
	stream := func(examples, views int) update.Stream {
		return update.Stream{
			Examples: 100, Batch: examples, Shape: []int{semiInputs}, Views: views, Targets: loss.Labels, Outputs: semiClasses,
			Counts: []int{20, 20, 20, 20, 20}, Distinct: true,
		}
	}
	return update.Plan{
		Network: semiNetwork(), Updates: 10, PerPass: 10, Accumulate: 1, Devices: 1,
		Streams: map[string]update.Stream{
			update.Train: stream(semiLabeled, 0), objective.Unlabeled: stream(semiUnlabeled, 2),
		},
	}
}

// semiBatch is a batch by hand, whose last padding examples count nothing.
func semiBatch(n, padding int, labels *Node, views ...*Node) update.Batch {
	g := labels.Graph()
	share, mask := make([]float32, n), make([]bool, n)
	for i := range n - padding {
		share[i], mask[i] = 1/float32(n-padding), true
	}
	b := update.Batch{X: views[0], Views: views, Labels: labels, Share: Const(g, share)}
	b.Push = b.Share
	if padding > 0 {
		b.Mask = Const(g, mask)
	}
	return b
}

// seen is an update: what the heads give, and what the objective makes of it.
type seen struct {
	labeled, weak, strong, auxiliary []float64
	terms                            map[string]float64
	notes                            map[string]float64
	weakGradient                     []float64 // of the loss, in the weak view
	strongGradient                   []float64
}

// semiUpdates builds the objective and has it look at some updates, inputs of which are random.
func semiUpdates(
	t *testing.T, e *engine.Engine, o objective.Semi, padding, updates int,
) (all []seen, labels, unknown []int32) {
	t.Helper()
	plan := semiPlan()
	network := semiNetwork()
	var names, notes []string
	exec := model.MustNewExec(e.Backend, model.NewStore(), func(scope *model.Scope, in []*Node) []*Node {
		scope.Store().SetTraining(in[0].Graph(), true)
		labeled, weak, strong := in[1], in[2], in[3]
		s := &update.Step{Scope: scope, Update: in[0], Batches: map[string]update.Batch{
			update.Train:        semiBatch(semiLabeled, 0, in[4], labeled),
			objective.Unlabeled: semiBatch(semiUnlabeled, padding, in[5], weak, strong),
		}}
		goal := o.Phases(plan)[0].Turns[0].Build(s)[0]

		at := func(x *Node) *Node { return network.Apply(s.At("/model"), x) }
		features := network.Features(s.At("/model"), strong)
		items := []stack.Item{{Scope: "layer_1", Layer: linear.Dense{Units: 2}}}
		items = append(items, stack.Normed("layer_1", norm.NewBatch(), linear.LeakyReLU)...)
		items = append(items, stack.Item{Scope: "layer_2", Layer: linear.Dense{Units: 2}})
		items = append(items, stack.Normed("layer_2", norm.NewBatch(), linear.LeakyReLU)...)
		items = append(items, stack.Item{Scope: "output", Layer: linear.Dense{Units: semiClasses}})
		out := []*Node{at(labeled), at(weak), at(strong), stack.Run(s.At("/objective/auxiliary"), items, features)}

		names, notes = nil, nil
		total := ScalarZero(labeled.Graph(), dtypes.Float32)
		for _, term := range goal.Terms {
			names, out = append(names, term.Name), append(out, term.Value)
			total = Add(total, term.Value)
		}
		for name, value := range s.Notes() {
			notes, out = append(notes, name), append(out, value)
		}
		return append(out, Gradient(total, weak, strong)...)
	})

	r := rand.New(rand.NewPCG(1, 2))
	values := func(n int) *tensors.Tensor {
		flat := make([]float32, n*semiInputs)
		for i := range flat {
			flat[i] = float32(r.NormFloat64())
		}
		return tensors.FromFlatDataAndDimensions(flat, n, semiInputs)
	}
	labels, unknown = []int32{0, 3, 1}, make([]int32, semiUnlabeled)
	for i := range unknown {
		unknown[i] = int32(i % semiClasses)
	}
	for u := range updates {
		out := exec.MustCall(tensors.FromScalar(int32(u)), values(semiLabeled), values(semiUnlabeled), values(semiUnlabeled),
			tensors.FromFlatDataAndDimensions(labels, semiLabeled), tensors.FromFlatDataAndDimensions(unknown, semiUnlabeled))
		one := seen{terms: map[string]float64{}, notes: map[string]float64{}}
		flat := func(i int) []float64 { return doubles(out[i]) }
		one.labeled, one.weak, one.strong, one.auxiliary = flat(0), flat(1), flat(2), flat(3)
		for i, name := range names {
			one.terms[name] = flat(4 + i)[0]
		}
		for i, name := range notes {
			one.notes[name] = flat(4 + len(names) + i)[0]
		}
		one.weakGradient, one.strongGradient = flat(len(out)-2), flat(len(out)-1)
		all = append(all, one)
	}
	return all, labels, unknown
}

func doubles(x *tensors.Tensor) []float64 {
	flat := tensors.MustCopyFlatData[float32](x)
	out := make([]float64, len(flat))
	for i, v := range flat {
		out[i] = float64(v)
	}
	return out
}

// row is the log-softmax of row i over the classes that keep says, others are 0.
func row(logits []float64, i int, keep func(j int) bool) []float64 {
	z := logits[i*semiClasses : (i+1)*semiClasses]
	sum := 0.0
	for j, v := range z {
		if keep(j) {
			sum += math.Exp(v)
		}
	}
	out := make([]float64, len(z))
	for j, v := range z {
		if keep(j) {
			out[j] = v - math.Log(sum)
		}
	}
	return out
}

func every(int) bool { return true }

// naiveSemi is the objective by plain loops.
type naiveSemi struct {
	objective.Semi
	e     float64     // running share; below 0 = none yet
	means [][]float64 // of p, batch after batch
}

// align is p [n][classes] as Align has it.
func (o *naiveSemi) align(p [][]float64) [][]float64 {
	if o.Align.Kind == "none" {
		return p
	}
	mean := make([]float64, semiClasses)
	for _, of := range p {
		for j, v := range of {
			mean[j] += v / float64(len(p))
		}
	}
	o.means = append(o.means, mean)
	now := slices.Clone(o.means[0])
	if o.Align.Kind == "queue" {
		now = make([]float64, semiClasses)
		for _, m := range o.means[max(0, len(o.means)-o.Align.Length):] {
			for j, v := range m {
				now[j] += v / float64(o.Align.Length)
			}
		}
	} else {
		for _, m := range o.means[1:] {
			for j, v := range m {
				now[j] = o.Align.Decay*now[j] + (1-o.Align.Decay)*v
			}
		}
	}

	aligned := make([][]float64, len(p))
	for i, of := range p {
		sum := 0.0
		for j, v := range of {
			sum += v / now[j]
		}
		for j, v := range of {
			aligned[i] = append(aligned[i], v/now[j]/sum)
		}
	}
	return aligned
}

// update is the loss of one update, and what is noted.
func (o *naiveSemi) update(u seen, labels, unknown []int32, padding int) (terms, notes map[string]float64) {
	terms, notes = map[string]float64{"certain": 0}, map[string]float64{"certain": 0, "used": 0, "certain_right": 0}
	for i, y := range labels {
		terms["supervised"] -= row(u.labeled, i, every)[y] / semiLabeled
	}
	n, shrunk := semiUnlabeled-padding, 0.0
	raw := make([][]float64, n)
	for i := range raw {
		for _, v := range row(u.weak, i, every) {
			raw[i] = append(raw[i], math.Exp(v))
		}
	}
	for i, p := range o.align(raw) {
		label := slices.Index(p, slices.Max(p))
		largest, one := p[label], 1/float64(n)
		right := func(class int) float64 { return map[bool]float64{true: one}[int32(class) == unknown[i]] }
		if largest >= o.Threshold {
			strong := row(u.strong, i, every)
			for j, of := range p {
				if o.Targets == "hard" {
					of = map[bool]float64{true: 1}[j == label]
				}
				terms["certain"] -= o.Weight * of * strong[j] * one
			}
			notes["certain"], notes["used"] = notes["certain"]+one, notes["used"]+one
			notes["certain_right"] += right(label)
			continue
		}

		// Order and search go by p as it was where the alignment is a running mean.
		of := p
		if o.Align.Kind == "ema" {
			of = raw[i]
		}
		order := []int{0, 1, 2, 3, 4}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(of[b], of[a]) })
		top := order[0]
		for c := 2; c < semiClasses && o.Shrink; c++ {
			sum := of[top]
			for _, j := range order[c:] {
				sum += of[j]
			}
			if of[top]/sum < o.Threshold {
				continue
			}
			kept := append([]int{top}, order[c:]...)
			shrunk -= largest * row(u.auxiliary, i, func(j int) bool { return slices.Contains(kept, j) })[top] * one
			notes["used"], notes["shrunk_right"] = notes["used"]+one, notes["shrunk_right"]+right(top)
			break
		}
	}

	if o.e < 0 {
		o.e = notes["certain"]
	} else {
		o.e = o.Decay*o.e + (1-o.Decay)*notes["certain"]
	}
	if o.Shrink {
		terms["shrink"] = o.Weight * o.e * shrunk
		notes["shrunk_right"] += 0
	}
	return terms, notes
}

// TestSemiAgainstTheLoop: terms and notes of five updates, and no gradient through the weak view.
func TestSemiAgainstTheLoop(t *testing.T) {
	fixmatch, hard := objective.NewSemi(), objective.NewSemi()
	fixmatch.Threshold, hard.Threshold, hard.Targets, hard.Weight = 0.6, 0.6, "hard", 0.5
	shrink := fixmatch
	shrink.Shrink, shrink.Decay = true, 0.9
	anew, queue, ema := shrink, shrink, shrink
	anew.Restart = 2
	queue.Align = loss.Alignment{Kind: "queue", Length: 3}
	ema.Align = loss.Alignment{Kind: "ema", Decay: 0.5}
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for name, c := range map[string]struct {
			o       objective.Semi
			padding int
		}{
			"fixmatch": {fixmatch, 0}, "hard": {hard, 5}, "shrinkmatch": {shrink, 0}, "anew": {anew, 4},
			"queue": {queue, 0}, "ema": {ema, 2},
		} {
			all, labels, unknown := semiUpdates(t, e, c.o, c.padding, 5)
			loops := &naiveSemi{Semi: c.o, e: -1}
			used, certain, learned := 0.0, 0.0, false
			for u, got := range all {
				if c.o.Restart > 0 && u%c.o.Restart == 0 {
					loops.e = -1
				}
				terms, notes := loops.update(got, labels, unknown, c.padding)
				used, certain = used+notes["used"], certain+notes["certain"]
				same(t, name, got.terms, terms)
				same(t, name, got.notes, notes)
				if slices.ContainsFunc(got.weakGradient, func(g float64) bool { return g != 0 }) {
					t.Errorf("%s: a gradient flows into the weak view: %v", name, got.weakGradient)
				}
				learned = learned || slices.ContainsFunc(got.strongGradient, func(g float64) bool { return g != 0 })
			}
			if !learned {
				t.Errorf("%s: no gradient flows into the strong view", name)
			}
			if certain == 0 || c.o.Shrink && used <= certain || !c.o.Shrink && used != certain {
				t.Errorf("%s: %v of 5 batches are certain and %v used, which tests nothing", name, certain, used)
			}
		}
	})
}

func same(t *testing.T, name string, got, want map[string]float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: got %v, want %v", name, got, want)
	}
	for key, w := range want {
		if g, ok := got[key]; !ok || !(math.Abs(g-w) <= 1e-5*(1+math.Abs(w))) {
			t.Errorf("%s: %s is %v, want %v", name, key, g, w)
		}
	}
}

func TestSemiRefuses(t *testing.T) {
	stream := func(name string, change func(s *update.Stream)) func(p *update.Plan, o *objective.Semi) {
		return func(p *update.Plan, _ *objective.Semi) {
			s := p.Streams[name]
			change(&s)
			p.Streams[name] = s
		}
	}
	option := func(change func(o *objective.Semi)) func(p *update.Plan, o *objective.Semi) {
		return func(_ *update.Plan, o *objective.Semi) { change(o) }
	}
	for want, change := range map[string]func(p *update.Plan, o *objective.Semi){
		"recipe: objective semi needs the stream unlabeled, and the recipe has train; " +
			"add streams: {unlabeled: {data: ..., batch: ...}}": func(p *update.Plan, _ *objective.Semi) {
			delete(p.Streams, objective.Unlabeled)
		},
		"threshold is 0; use a number above 0, up to 1":   option(func(o *objective.Semi) { o.Threshold = 0 }),
		"threshold is 1.5; use a number above 0, up to 1": option(func(o *objective.Semi) { o.Threshold = 1.5 }),
		"weight is -1; use a finite number from 0 on":     option(func(o *objective.Semi) { o.Weight = -1 }),
		"targets is firm; use soft or hard":               option(func(o *objective.Semi) { o.Targets = "firm" }),
		"decay is 1; use a number from 0 to below 1":      option(func(o *objective.Semi) { o.Decay = 1 }),
		"restart is -1; use 0 for never":                  option(func(o *objective.Semi) { o.Restart = -1 }),
		`align: loss.Alignment: kind "quue", length 32`:   option(func(o *objective.Semi) { o.Align.Kind = "quue" }),
		"loss is missing; name one":                       option(func(o *objective.Semi) { o.Loss.Loss = nil }),
		"the data has values; use data with classes": stream(update.Train, func(s *update.Stream) {
			s.Targets = loss.Values
		}),
		"streams.unlabeled has 0 examples, 12 in an update; use at least 1 of each": stream(
			objective.Unlabeled, func(s *update.Stream) { s.Examples = 0 }),
		"streams.unlabeled has 100 examples, 0 in an update; use at least 1 of each": stream(
			objective.Unlabeled, func(s *update.Stream) { s.Batch = 0 }),
		"streams.unlabeled has 1 views; objective semi takes 2": stream(objective.Unlabeled, func(s *update.Stream) {
			s.Views = 1
		}),
		"an example of streams.unlabeled is [8 8 1], one of data is [4]": stream(
			objective.Unlabeled, func(s *update.Stream) { s.Shape = []int{8, 8, 1} }),
		"which accumulate=2 would cut into parts; use accumulate: 1": func(p *update.Plan, _ *objective.Semi) {
			p.Accumulate = 2
		},
		"objective.shrink needs a network in two parts, features and head": func(p *update.Plan, _ *objective.Semi) {
			p.Network = struct{ zoo.Network }{semiNetwork()}
		},
	} {
		p, o := semiPlan(), objective.NewSemi()
		o.Shrink = true
		if err := o.Validate(p); err != nil {
			t.Fatal(err)
		}
		change(&p, &o)
		if err := o.Validate(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// TestSemiOfTwoClasses: there is no class to leave out, which is said, and then nothing is shrunk.
func TestSemiOfTwoClasses(t *testing.T) {
	o, p := objective.NewSemi(), semiPlan()
	o.Shrink = true
	if got := o.Warning(p); got != "" {
		t.Errorf("warns of five classes: %q", got)
	}
	p.Network = semiNetwork().WithOutputs(2)
	if got := o.Warning(p); !strings.Contains(got, "with fewer than 3 classes no class can be left out") {
		t.Errorf("got %q", got)
	}
	if err := o.Validate(p); err != nil {
		t.Error(err)
	}
	if o.Shrink = false; o.Warning(p) != "" {
		t.Error("warns of FixMatch with two classes")
	}
}

func TestSemiByName(t *testing.T) {
	var c objective.Choice
	err := json.Unmarshal([]byte(`{"name": "semy"}`), &c)
	if err == nil || !strings.Contains(err.Error(), "did you mean semi?") {
		t.Errorf("got %v", err)
	}
	text := `{"name": "semi", "shrink": true, "align": {"kind": "queue"}, "targets": "hard"}`
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	want := objective.NewSemi()
	want.Shrink, want.Align.Kind, want.Targets = true, "queue", "hard"
	if c.Objective != want {
		t.Errorf("got %+v, want %+v", c.Objective, want)
	}
}

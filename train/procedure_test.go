package train_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/augment"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/ops"
	"github.com/ballast-ml/ballast/train"
	"github.com/ballast-ml/ballast/train/objective"
	"github.com/ballast-ml/ballast/train/objective/objectivetest"
	"github.com/ballast-ml/ballast/train/update"
	"github.com/ballast-ml/ballast/zoo"
)

// procedure has everything that an objective can have: two phases, of which the second begins within a pass, with host work before it and
// behind its passes; two turns; two goals, one with an optimizer of its own that leaves out bad updates; two streams, one with views; a
// teacher, a table, columns, notes. It stands in for procedures that group, copy heads or take two networks.
type procedure struct {
	WarmUp int     `json:"warm_up"` // updates of the first phase
	Spoil  int     `json:"spoil"`   // update whose second goal is not finite, from 0; -1 = none
	Group  float64 `json:"group"`   // weight of the distance to the own group's centre
}

const groups = 3

// reached is told how far a run of the procedure has come.
var reached = func(moment string) {}

// Where the procedure keeps what is its own.
const (
	centresPath = update.Own + "/centres" // [groups, classes]: answers in the middle of a group
	passesPath  = update.Own + "/passes"  // float32: passes that host work has been done behind
	secondPath  = "/second"
)

func (o procedure) Validate(p update.Plan) error {
	_, err := p.Need("procedure", "more")
	return err
}

// Phases: a warm-up on labels, and then turns.
func (o procedure) Phases(p update.Plan) []update.Phase {
	number := func(scale float64) optim.Column {
		return optim.Column{Name: "share", At: func(u, _ int, r *rand.Rand) float64 { return scale * (r.Float64() + float64(u)/10) }}
	}
	spoil := optim.Column{Name: "spoil", At: func(u, _ int, _ *rand.Rand) float64 {
		if u == o.Spoil {
			return math.NaN()
		}
		return 1
	}}
	own := optim.Setup{Optimizer: adamw(0.01), Schedule: optim.NewSchedule(), Rules: []optim.RuleChoice{{Rule: optim.NewClipNorm()}}}
	teacher := update.Average{Of: "/model", Decay: 0.9, Statistics: update.StatisticsOwn}
	student := update.Average{Of: secondPath, Decay: 0.8, Statistics: update.StatisticsCopy}
	return []update.Phase{
		{
			Name: "warm-up", Updates: o.WarmUp, Columns: []optim.Column{number(0.1)}, Averages: []update.Average{teacher},
			Turns: []update.Turn{{Build: func(s *update.Step) []update.Goal {
				b := s.Batch(update.Train)
				out := s.Apply("/model", p.Network, pass.Pass{}, b.Views[0])
				s.Note("share", s.Column("share"))
				each := Mul(loss.CrossEntropy{}.Apply(s.At(update.Own), s.In(b, out)), OnePlus(s.Column("share")))
				return []update.Goal{{Name: "train", Terms: []update.Term{b.Each("labels", each, 1)}, Moves: "/model"}}
			}}},
		},
		{
			Name: "turns", Columns: []optim.Column{number(0.01), spoil}, Averages: []update.Average{teacher, student},
			Before: o.group, After: o.regroup,
			Turns: []update.Turn{
				{Updates: 2, Build: func(s *update.Step) []update.Goal { return []update.Goal{o.labels(s, p), o.second(s, p, own)} }},
				{Build: func(s *update.Step) []update.Goal { return []update.Goal{o.labels(s, p)} }},
			},
		},
	}
}

// labels: the network learns its labels with a table, stays near its group's centre, and answers the other stream as the teacher does.
func (o procedure) labels(s *update.Step, p update.Plan) update.Goal {
	b, m := s.Batch(update.Train), s.Batch("more")
	out := s.Apply("/model", p.Network, pass.Pass{}, b.Views[0])
	elr := loss.NewELR()
	classes := p.Network.Outputs()
	centres := param.Variable(s.At(update.Own), "centres", param.Statistic, dtypes.Float32, param.Constant(0), groups, classes)
	param.Variable(s.At(update.Own), "passes", param.Statistic, dtypes.Float32, param.Constant(0))
	to := ops.GatherRows(centres.NodeValue(out.Graph()), Mod(Max(b.Index, ZerosLike(b.Index)), Const(out.Graph(), int32(groups))))
	near := ReduceMean(Square(Sub(out, to)), -1)

	said := s.Apply(update.AverageScope+"/model", p.Network, pass.Pass{Mode: pass.Train}, m.Views[0])
	strong := s.Apply("/model", p.Network, pass.Pass{Mode: pass.TrainQuiet}, m.Views[1])
	agree := ReduceMean(Square(Sub(strong, StopGradient(said))), -1)
	s.Note("agree", m.Mean(agree))
	return update.Goal{Name: "labels", Terms: []update.Term{
		b.Each("elr", elr.Apply(s.At(update.Own), s.In(b, out)), 1), b.Each("near", near, o.Group), m.Each("agree", agree, 0.5),
	}}
}

// second: another network learns what the first one answers, with an optimizer of its own.
func (o procedure) second(s *update.Step, p update.Plan, own optim.Setup) update.Goal {
	m := s.Batch("more")
	said := StopGradient(s.Apply("/model", p.Network, pass.Pass{Mode: pass.Infer}, m.X))
	out := s.Apply(secondPath, p.Network, pass.Pass{}, MulScalar(m.X, 0.5))
	each := Mul(ReduceMean(Square(Sub(out, said)), -1), s.Column("spoil"))
	return update.Goal{Name: "second", Terms: []update.Term{m.Each("second", each, 1)}, Moves: secondPath, Optimizer: &own, SkipBad: true}
}

// group gives each group a centre: the mean answer to examples that are drawn for it; the second network begins as the first.
func (o procedure) group(ctx context.Context, h update.Host) error {
	r := h.Rand("group")
	answers, width, err := h.Forward(ctx, update.Train, func(scope *model.Scope, x *Node) *Node {
		network := zoo.NewMLP()
		network.Hidden = []int{8}
		return network.Apply(scope.At("model"), x)
	})
	if err != nil {
		return err
	}
	_, labels := h.Data(update.Train)
	if len(answers) != width*len(labels) {
		return fmt.Errorf("%d answers of %d numbers for %d examples", len(answers), width, len(labels))
	}
	centres := make([]float32, groups*width)
	for k := range groups {
		for range 5 {
			i := r.IntN(len(labels))
			for c := range width {
				centres[k*width+c] += answers[i*width+c] / 5
			}
		}
	}
	for v := range h.Store().IterVariables() {
		from := h.Store().GetVariable("/model" + v.Path()[min(len(v.Path()), len(secondPath)):])
		if len(v.Path()) <= len(secondPath) || v.Path()[:len(secondPath)+1] != secondPath+"/" || from == nil {
			continue
		}
		copied, err := from.MustValue().LocalClone()
		if err != nil {
			return err
		}
		if err := v.SetValue(copied); err != nil {
			return err
		}
	}
	defer reached("before")
	return h.Store().GetVariable(centresPath).SetValue(tensors.FromFlatDataAndDimensions(centres, groups, width))
}

// regroup moves the centres a little, by chance, and counts the pass.
func (o procedure) regroup(_ context.Context, h update.Host, pass int) error {
	centres, passes := h.Store().GetVariable(centresPath), h.Store().GetVariable(passesPath)
	values := tensors.MustCopyFlatData[float32](centres.MustValue())
	r := h.Rand("regroup")
	for i := range values {
		values[i] = 0.9*values[i] + 0.01*float32(r.NormFloat64())
	}
	done := tensors.MustCopyFlatData[float32](passes.MustValue())[0]
	if int(done) != pass {
		return fmt.Errorf("pass %d of the phase comes behind %v", pass, done)
	}
	if err := passes.SetValue(tensors.FromScalar(done + 1)); err != nil {
		return err
	}
	defer reached(fmt.Sprintf("after %d", pass))
	return centres.SetValue(tensors.FromFlatDataAndDimensions(values, centres.Shape().Dimensions...))
}

// procedureRecipe has five updates a pass; the phase of turns begins within the second.
func procedureRecipe(steps int) train.Recipe {
	r := small(steps)
	network := zoo.NewMLP()
	network.Hidden = []int{8}
	r.Network = zoo.Choice{Network: network}
	r.BatchSize, r.Prepare, r.LogEvery = 16, subset(80), 3
	shift := augment.NewShift()
	shift.Pixels = 1
	more := train.NewStream()
	more.Batch, more.Prepare = 8, data.Steps{{Preparation: data.Keep{Examples: 100}}}
	more.Views = []augment.View{{}, {{Transform: shift}}}
	r.Streams = map[string]train.Stream{"more": more}
	r.Objective = objective.Choice{Objective: procedure{WarmUp: 7, Spoil: 15, Group: 0.01}}
	return r
}

// TestProcedure holds the procedure against what every objective must keep.
func TestProcedure(t *testing.T) {
	objectivetest.Run(t, func() train.Recipe { return procedureRecipe(objectivetest.Updates) })
}

// TestProcedureSkips: the update whose second goal is not finite is counted, and all that is left is finite.
func TestProcedureSkips(t *testing.T) {
	for spoil, want := range map[int]float64{13: 0, 14: 1, -1: 0} { // update 13 is of the other turn
		r := procedureRecipe(24)
		r.Objective = objective.Choice{Objective: procedure{WarmUp: 7, Spoil: spoil, Group: 0.01}}
		j := journal{}
		result := run(t, r, train.Options{Engine: goEngine(t), Sink: j})
		if got := result.Metrics["skipped"]; got != want {
			t.Errorf("update %d not finite: %v are skipped; want %v", spoil, got, want)
		}
		for step, values := range j {
			for name, v := range values {
				if math.IsNaN(v) || math.IsInf(v, 0) {
					t.Errorf("update %d not finite: %s is %v at step %d", spoil, name, v, step)
				}
			}
		}
	}
}

// penalty is a loss with a free term, and a column that both of its phases have by one name.
type penalty struct{ Weight float64 }

func (penalty) Validate(update.Plan) error { return nil }

func (o penalty) Phases(p update.Plan) []update.Phase {
	phase := func(name string, updates int, value float64) update.Phase {
		column := optim.Column{Name: "value", At: func(int, int, *rand.Rand) float64 { return value }}
		return update.Phase{Name: name, Updates: updates, Columns: []optim.Column{column}, Turns: []update.Turn{{Build: func(s *update.Step) []update.Goal {
			b := s.Batch(update.Train)
			out := s.Apply("/model", p.Network, pass.Pass{}, b.Views[0])
			s.Note("value", s.Column("value"))
			kernel := s.Scope.Store().GetVariable("/model/output/kernel").NodeValue(out.Graph())
			return []update.Goal{{Name: "train", Terms: []update.Term{
				b.Each("labels", loss.CrossEntropy{}.Apply(s.At(update.Own), s.In(b, out)), 1),
				update.Free("size", ReduceAllSum(Square(kernel)), o.Weight),
			}}}
		}}}}
	}
	return []update.Phase{phase("first", 3, 5), phase("second", 0, 7)}
}

// TestFreeTermsAndColumns: a term of no examples counts once an update, in however many micro-batches; a phase has its own columns.
func TestFreeTermsAndColumns(t *testing.T) {
	var all [2]map[string][]float32
	for i, parts := range []int{1, 4} {
		r := procedureRecipe(6)
		r.Streams, r.LogEvery, r.Accumulate, r.Norm = nil, 1, parts, &norm.Choice{Layer: norm.Identity{}}
		r.Objective = objective.Choice{Objective: penalty{0.5}}
		j := journal{}
		result := run(t, r, train.Options{Engine: goEngine(t), Sink: j})
		if j[3]["value"] != 5 || j[4]["value"] != 7 {
			t.Errorf("the column is %v in the first phase and %v in the second; want 5 and 7", j[3]["value"], j[4]["value"])
		}
		all[i] = map[string][]float32{}
		for _, v := range result.Bundle.Variables() {
			all[i][v.Path()] = tensors.MustCopyFlatData[float32](v.MustValue())
		}
		if d := j[1]["loss"] - j[1]["loss_labels"] - j[1]["loss_size"]; math.Abs(d) > 1e-5 {
			t.Errorf("in %d parts the terms are %v off the loss", parts, d)
		}
	}
	for path, want := range all[0] {
		for k, v := range all[1][path] {
			if math.Abs(float64(v)-float64(want[k])) > 1e-5 {
				t.Fatalf("%s is %v in four micro-batches, %v in one", path, v, want[k])
			}
		}
	}
}

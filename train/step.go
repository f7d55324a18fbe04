package train

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/ops"
	"github.com/ballast-ml/ballast/train/update"
)

// step builds the graphs of one update of a turn. A step is one call of the update graph, after accumulate-1 calls of the micro graph.
type step struct {
	recipe     Recipe
	state      *state
	turn       update.Turn
	preprocess func(*Node) *Node
	columns    []string // of the table, in their order
	streams    []*stream
	feeds      []feed
	cuts       []cut // of each feed
	devices    int
	averages   []update.Average // of the phase
}

// micro adds the gradients of one micro-batch to the accumulated ones.
func (s step) micro(scope *model.Scope, inputs []*Node) {
	b := s.build(scope, inputs)
	s.spare(b, func(i int) *Node { return optim.GlobalNorm(b.gradients[i]) })
	g := b.report.Graph()
	for i, goal := range b.goals {
		for k, v := range goal.variables {
			accumulated := s.state.beside(accumulatedScope, v)
			accumulated.SetNodeValue(Add(accumulated.NodeValue(g), b.gradients[i][k]))
		}
	}
	s.state.loss.SetNodeValue(Add(s.state.loss.NodeValue(g), b.report))
	s.note(b)
	s.state.micro.SetNodeValue(AddScalar(s.state.micro.NodeValue(g), 1))
}

// update computes the gradients of the (last micro-) batch and moves the weights and all other state.
func (s step) update(scope *model.Scope, inputs []*Node) {
	b := s.build(scope, inputs)
	g := b.report.Graph()
	if s.recipe.Accumulate > 1 {
		for i, goal := range b.goals {
			for k, v := range goal.variables {
				accumulated := s.state.beside(accumulatedScope, v)
				b.gradients[i][k] = Add(accumulated.NodeValue(g), b.gradients[i][k])
				accumulated.SetNodeValue(ZerosLike(b.gradients[i][k]))
			}
		}
		b.report = Add(s.state.loss.NodeValue(g), b.report)
		s.state.loss.SetNodeValue(ZerosLike(b.report))
	}
	s.note(b)
	if s.recipe.Accumulate > 1 {
		s.state.micro.SetNodeValue(ZerosLike(s.state.micro.NodeValue(g)))
	}

	norms := make([]*Node, len(b.goals))
	for i := range b.goals {
		norms[i] = optim.GlobalNorm(b.gradients[i])
	}
	fine := s.spare(b, func(i int) *Node { return norms[i] })
	s.watch(b, norms, fine)
	for i, goal := range b.goals {
		s.move(i, norms[i], b)
		if goal.skips {
			s.skip(i, fine[i], b)
		}
	}
	s.follow(b)
	s.state.step.SetNodeValue(AddScalar(b.done, 1))
	if err := ops.Fits(g); err != nil {
		panic(err)
	}
}

// built is the graph of a micro-batch: what is to be made smaller, and its gradients.
type built struct {
	done      *Node
	columns   map[string]*Node
	report    *Node // the loss that is logged
	goals     []goal
	gradients [][]*Node // of each goal, for each of its variables
	reports   []*Node   // of each goal, where one leaves out updates
	notes     map[string]*Node
	was       map[*model.Variable]*Node // all state before, where a goal of the run leaves out updates
}

// build returns the loss to report and the gradient for each variable of each goal. The loss of an example is weighted
// by its share of the batch; multiplicative noise acts on the gradient alone.
func (s step) build(scope *model.Scope, inputs []*Node) built {
	g := inputs[0].Graph()
	s.state.store.SetTraining(g, true)
	if s.devices > 1 {
		last := len(inputs) - 1
		ops.SetDevices(g, ops.Devices{Count: s.devices, Rank: inputs[last], Apart: !s.recipe.SyncNorm})
		inputs = inputs[:last]
	}
	b := built{done: s.state.step.NodeValue(g)}
	b.columns = s.row(inputs, b.done)
	if s.state.skipped != nil {
		b.was = map[*model.Variable]*Node{}
		for v := range s.state.store.IterVariables() {
			b.was[v] = v.NodeValue(g)
		}
	}
	u := s.open(scope, inputs, b)
	goals := s.goals(u)

	// All gradients are of the weights before the update.
	var flat, reports []*Node
	for _, of := range goals {
		objective, report := sum(of.Terms)
		if b.report == nil {
			b.report = report
		} else {
			b.report = Add(b.report, report)
		}
		known := s.goal(of)
		values := make([]*Node, len(known.variables))
		for i, v := range known.variables {
			values[i] = v.NodeValue(g)
		}
		gradients := Gradient(objective, values...)
		for i, only := range known.only {
			if only != nil {
				gradients[i] = Where(ConstTensor(g, only), gradients[i], ZerosLike(gradients[i]))
			}
		}
		b.goals = append(b.goals, known)
		flat = append(flat, gradients...)
		reports = append(reports, StopGradient(report))
	}
	if b.skips() {
		flat = append(flat, reports...)
	}
	notes := u.Notes()
	for _, name := range s.state.notes {
		n, ok := notes[name]
		if !ok {
			n = ScalarZero(g, dtypes.Float32)
		}
		flat = append(flat, n)
	}

	// Each device has its examples' share of the loss, and the sum is that of the batch; of whole batches each has all.
	all := ops.SumAcross(append(flat, s.shared(b.report, goals))...)
	b.report = all[len(all)-1]
	b.notes = map[string]*Node{}
	at := 0
	for _, known := range b.goals {
		b.gradients = append(b.gradients, all[at:at+len(known.variables)])
		at += len(known.variables)
	}
	if b.skips() {
		b.reports = all[at : at+len(reports)]
		at += len(reports)
	}
	for i, name := range s.state.notes {
		b.notes[name] = all[at+i]
	}
	return b
}

// goals has the objective build, and notes its terms where there are several.
func (s step) goals(u *update.Step) []update.Goal {
	goals := s.turn.Build(u)
	u.CheckTerms(goals, s.recipe.Accumulate, s.devices)
	s.checkWeighed(goals)
	if parts := s.recipe.Accumulate * s.devices; parts > 1 {
		for _, g := range goals {
			for i, t := range g.Terms {
				switch {
				case t.Free: // each part of the batch has it whole
					g.Terms[i].Value, g.Terms[i].Report = DivScalar(t.Value, float64(parts)), DivScalar(t.Report, float64(parts))
				case t.Whole: // so has each device; what Gather gave makes up for it
					g.Terms[i].Value = DivScalar(t.Value, float64(parts))
				}
			}
		}
	}
	terms := 0
	for _, g := range goals {
		terms += len(g.Terms)
	}
	if terms < 2 {
		return goals
	}
	for _, g := range goals {
		for _, t := range g.Terms {
			report := t.Report
			if !t.Whole { // micro-batches and devices have a part each, and notes are averaged
				report = MulScalar(report, float64(s.recipe.Accumulate*s.devices))
			}
			u.Note("loss_"+t.Name, report)
		}
	}
	return goals
}

// shared is a device's part of the report: terms of a whole batch are the same on all.
func (s step) shared(report *Node, goals []update.Goal) *Node {
	if s.devices == 1 {
		return report
	}
	for _, g := range goals {
		for _, t := range g.Terms {
			if t.Whole {
				report = Sub(report, MulScalar(t.Report, 1-1/float64(s.devices)))
			}
		}
	}
	return report
}

// sum adds up terms.
func sum(terms []update.Term) (objective, report *Node) {
	for i, t := range terms {
		if i == 0 {
			objective, report = t.Value, t.Report
			continue
		}
		objective, report = Add(objective, t.Value), Add(report, t.Report)
	}
	return objective, report
}

// goal is what is known of a goal: how it moves, and what.
func (s step) goal(of update.Goal) goal {
	known := goal{name: of.Name, setup: s.recipe.setup(), mover: s.state.moves(of.Moves), skips: of.SkipBad}
	if of.Optimizer != nil {
		known.setup, known.own = *of.Optimizer, true
	}
	return known
}

// setup is what moves the weights where an objective says nothing else.
func (r Recipe) setup() optim.Setup {
	return optim.Setup{Optimizer: r.Optimizer, Schedule: r.Schedule, Rules: r.Rules}
}

// row is the numbers of this update, by name.
func (s step) row(inputs []*Node, done *Node) map[string]*Node {
	table, base := inputs[inputTable], inputs[inputBase]
	row := ops.GatherRows(table, Reshape(Sub(done, base), 1)) // [1, columns]
	columns := map[string]*Node{}
	for i, name := range s.columns {
		columns[name] = Reshape(Slice(row, AxisRange(), AxisElem(i)))
	}
	return columns
}

// open makes the step that the objective builds with.
func (s step) open(scope *model.Scope, inputs []*Node, b built) *update.Step {
	g := inputs[0].Graph()
	at := place{into: Sub(b.done, inputs[inputBase])}
	random := ops.RandomOf(inputs[inputKey]).FoldNode(b.done)
	if s.state.micro != nil {
		at.micro = s.state.micro.NodeValue(g)
		random = random.FoldNode(at.micro)
	}

	batches := map[string]update.Batch{}
	from := inputFeed
	for i, f := range s.feeds {
		n := len(f.inputs(s.cuts[i]))
		batches[s.streams[i].name] = f.batch(at, s.cuts[i], inputs[from:from+n])
		from += n
	}
	return s.begin(scope, random, b, batches)
}

// begin draws the views of the batches.
func (s step) begin(scope *model.Scope, random ops.Random, b built, batches map[string]update.Batch) *update.Step {
	u := &update.Step{Scope: scope, Update: b.done, Batches: batches, Columns: b.columns, Preprocess: s.preprocess}
	u.SetRandom(random, s.devices)
	// Layers draw for the batch of all devices and take their part, so that this stream is theirs on any number of devices.
	ops.SetRandom(b.done.Graph(), func() ops.Random { return random.Fold(hashed("dropout")) })
	for _, stream := range s.streams {
		batch := batches[stream.name]
		if len(stream.views) == 0 {
			continue
		}
		batch.Views = nil
		for k, view := range stream.views {
			x := batch.X
			if len(view) > 0 {
				x = view.Apply(u.Random("view", stream.name).Fold(uint64(k)), x)
			}
			batch.Views = append(batch.Views, x)
		}
		batches[stream.name] = batch
	}
	return u
}

// trace builds the turn on placeholders, so that every variable exists before the run, and returns what is known of its goals.
func (s step) trace(backend model.Backend) (goals []goal, notes []string, err error) {
	err = exceptions.TryCatch[error](func() {
		g := NewGraph(backend, "trace")
		defer g.Finalize()
		model.SetStore(g, s.state.store)
		s.state.store.SetTraining(g, true)
		b := built{done: Parameter(g, "done", shapes.Make(dtypes.Int32)), columns: map[string]*Node{}}
		for _, name := range s.columns {
			b.columns[name] = Parameter(g, "column "+name, shapes.Make(dtypes.Float32))
		}
		batches := map[string]update.Batch{}
		for i, f := range s.feeds {
			var inputs []*Node
			for k, shape := range f.inputs(s.cuts[i]) {
				inputs = append(inputs, Parameter(g, fmt.Sprintf("%s %d", s.streams[i].name, k), shape))
			}
			batches[s.streams[i].name] = f.batch(place{into: b.done}, s.cuts[i], inputs)
		}
		u := s.begin(s.state.store.RootScope(), ops.RandomOf(Parameter(g, "key", shapes.Make(dtypes.Uint32, 2))), b, batches)
		for _, one := range s.goals(u) {
			goals = append(goals, s.goal(one))
		}
		for name := range u.Notes() {
			notes = append(notes, name)
		}
	})
	if err != nil {
		var usage *fault.Usage
		if errors.As(err, &usage) {
			return nil, nil, usage
		}
		return nil, nil, badRecipe("objective", root(err))
	}
	return goals, notes, nil
}

// checkGoals refuses goals that move nothing, or one variable twice.
func checkGoals(goals []goal) error {
	by := map[*model.Variable]string{}
	for _, g := range goals {
		if len(g.variables) == 0 {
			return fmt.Errorf("train: goal %s of the objective moves nothing: there are no trainable variables", g.name)
		}
		for _, v := range g.variables {
			if other, twice := by[v]; twice {
				return fmt.Errorf("train: %s moves for the goals %s and %s of the objective; it can move for one", v.Path(), other, g.name)
			}
			by[v] = g.name
		}
	}
	return nil
}

// note adds what was noted to the sums since the last log; the micro-batches of an update have equal parts of it.
func (s step) note(b built) {
	for _, name := range s.state.notes {
		g := b.done.Graph()
		v := s.state.store.GetVariable(noteScope + "/" + name)
		fresh := Equal(ModScalar(b.done, int32(s.recipe.LogEvery)), ScalarZero(g, dtypes.Int32))
		if s.state.micro != nil {
			micro := s.state.micro.NodeValue(g)
			fresh = LogicalAnd(fresh, Equal(micro, ZerosLike(micro)))
		}
		n := DivScalar(b.notes[name], float64(s.recipe.Accumulate*s.devices))
		if b.skips() {
			n = Where(IsFinite(n), n, ZerosLike(n))
		}
		v.SetNodeValue(Where(fresh, n, Add(v.NodeValue(g), n)))
	}
}

// spare says of each goal whether its loss and gradient are finite; nil where no goal of the turn leaves out updates. What building the
// graph has moved, statistics and tables, stays as it was where one of them is not.
func (s step) spare(b built, norm func(i int) *Node) (fine []*Node) {
	if !b.skips() {
		return nil
	}
	g := b.report.Graph()
	all := Const(g, true)
	for i := range b.goals {
		ok := LogicalAnd(IsFinite(norm(i)), IsFinite(b.reports[i]))
		if s.recipe.Accumulate > 1 { // the losses of the micro-batches before
			ok = LogicalAnd(ok, IsFinite(b.report))
		}
		fine, all = append(fine, ok), LogicalAnd(all, ok)
	}
	for v, was := range b.was {
		if v.ChangedInGraph(g) && !strings.HasPrefix(v.Path(), trainScope+"/") && !strings.HasPrefix(v.Path(), accumulatedScope+"/") {
			v.SetNodeValue(Where(all, v.NodeValue(g), was))
		}
	}
	return fine
}

// skips says whether a goal leaves out updates.
func (b built) skips() bool {
	return slices.ContainsFunc(b.goals, func(g goal) bool { return g.skips })
}

// watch keeps, on the device, the sum of the losses since the last one logged and the first update that went wrong. Where goals leave
// out bad updates, fine says of each whether this one is in order: a loss that is not counts nothing.
func (s step) watch(b built, norms, fine []*Node) {
	g := b.done.Graph()
	norm := norms[0]
	if len(norms) > 1 {
		norm = optim.GlobalNorm(norms)
	}
	report, right := b.report, LogicalAnd(IsFinite(b.report), IsFinite(norm))
	if fine != nil {
		report, norm = Where(right, report, ZerosLike(report)), Where(right, norm, ZerosLike(norm))
		right = Const(g, true)
		for i, known := range b.goals {
			if !known.skips {
				right = LogicalAnd(right, fine[i])
			}
		}
	}
	fresh := Equal(ModScalar(b.done, int32(s.recipe.LogEvery)), ScalarZero(g, dtypes.Int32))
	s.state.lossSum.SetNodeValue(Where(fresh, report, Add(s.state.lossSum.NodeValue(g), report)))
	s.state.gradNorm.SetNodeValue(norm)
	bad := s.state.bad.NodeValue(g)
	wrong := LogicalAnd(LogicalNot(right), Equal(bad, ScalarZero(g, dtypes.Int32)))
	s.state.bad.SetNodeValue(Where(wrong, AddScalar(b.done, 1), bad))
}

// move lets the rules see the gradients of a goal, moves its variables, and lets the rules see them again.
func (s step) move(i int, norm *Node, b built) {
	g, known, gradients := norm.Graph(), b.goals[i], b.gradients[i]
	was := make([]*Node, len(gradients))
	for i, v := range known.variables {
		was[i] = v.NodeValue(g)
	}
	rate := b.columns[known.rate()]
	at := make([]optim.Update, len(known.setup.Rules))
	for i, rule := range known.setup.Rules {
		if i > 0 {
			norm = optim.GlobalNorm(gradients)
		}
		at[i] = optim.Update{Scope: s.state.store.RootScope().At(rulesScope).At("%s", known.name).In("%d", i), Norm: norm, Rate: rate}
		gradients = rule.Before(at[i], known.variables, gradients)
	}

	o := known.setup.Optimizer.Optimizer
	var columns []*Node
	for _, c := range o.Columns() {
		columns = append(columns, b.columns[known.column(c.Name)])
	}
	for i, v := range known.variables {
		slots := s.state.slots(o, v)
		optim.Move(o, v, gradients[i], optim.Moved{Rate: rate, Columns: columns, Slots: slots, Only: known.only[i]})
	}
	for i, rule := range known.setup.Rules {
		rule.After(at[i], known.variables, was)
	}
}

// skip takes back what a goal has moved where its loss or gradient is not finite, and counts it.
func (s step) skip(i int, fine *Node, b built) {
	g, known := fine.Graph(), b.goals[i]
	for _, v := range known.variables {
		for _, moved := range append(s.state.slots(known.setup.Optimizer, v), v) {
			moved.SetNodeValue(Where(fine, moved.NodeValue(g), b.was[moved]))
		}
	}
	skipped := s.state.skipped.NodeValue(g)
	s.state.skipped.SetNodeValue(Where(fine, skipped, AddScalar(skipped, 1)))
}

// follow moves the averages, after the weights have moved.
func (s step) follow(b built) {
	g := b.done.Graph()
	for _, a := range s.state.averages {
		if !a.recipe && !slices.Contains(s.averages, a.Average) {
			continue
		}
		for i, v := range a.of {
			to := a.to[i]
			statistic := param.Of(v) == param.Statistic
			switch {
			case statistic && a.Statistics == update.StatisticsOwn:
				continue
			case statistic && a.Statistics == update.StatisticsCopy:
				to.SetNodeValue(v.NodeValue(g))
				continue
			}
			if a.Column == "" {
				to.SetNodeValue(Add(MulScalar(to.NodeValue(g), a.Decay), MulScalar(v.NodeValue(g), 1-a.Decay)))
				continue
			}
			decay := ConvertDType(b.columns[a.Column], v.DType())
			to.SetNodeValue(Add(Mul(to.NodeValue(g), decay), Mul(v.NodeValue(g), OneMinus(decay))))
		}
	}
}

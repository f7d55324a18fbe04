package train

import (
	"fmt"

	"github.com/gomlx/compute/distributed"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/ops"
)

// The epoch's table has a row an update: what depends on the number of updates done is computed on the host in float64, a whole epoch at
// once. Its columns are the learning rate and those of the optimizer.
const columnRate = 0 // learning rate; those of the optimizer come behind

// step builds the graphs of one update. A step is one call of the update graph, after accumulate-1 calls of the micro graph.
type step struct {
	recipe Recipe
	bundle *bundle.Bundle
	state  *state
	feed   feed
	cut    cut
	mesh   *distributed.DeviceMesh // nil for one device
}

// micro adds the gradient of one micro-batch to the accumulated ones.
func (s step) micro(scope *model.Scope, inputs []*Node) {
	lossValue, gradients := s.gradients(scope, inputs)
	g := lossValue.Graph()
	for i, v := range s.state.trainable {
		accumulated := s.state.beside(accumulatedScope, v)
		accumulated.SetNodeValue(Add(accumulated.NodeValue(g), gradients[i]))
	}
	s.state.loss.SetNodeValue(Add(s.state.loss.NodeValue(g), lossValue))
	s.state.micro.SetNodeValue(AddScalar(s.state.micro.NodeValue(g), 1))
}

// update computes the gradient of the (last micro-) batch and moves the weights and all other state.
func (s step) update(scope *model.Scope, inputs []*Node) {
	lossValue, gradients := s.gradients(scope, inputs)
	g := lossValue.Graph()
	if s.recipe.Accumulate > 1 {
		for i, v := range s.state.trainable {
			accumulated := s.state.beside(accumulatedScope, v)
			gradients[i] = Add(accumulated.NodeValue(g), gradients[i])
			accumulated.SetNodeValue(ZerosLike(gradients[i]))
		}
		lossValue = Add(s.state.loss.NodeValue(g), lossValue)
		s.state.loss.SetNodeValue(ZerosLike(lossValue))
		s.state.micro.SetNodeValue(ZerosLike(s.state.micro.NodeValue(g)))
	}
	done := s.state.step.NodeValue(g)
	norm := optim.GlobalNorm(gradients)
	s.watch(lossValue, norm, done)
	s.move(norm, gradients, s.rates(inputs, done))
	s.average(g)
	s.state.step.SetNodeValue(AddScalar(done, 1))
	if err := ops.Fits(g); err != nil {
		panic(err)
	}
}

// gradients returns the loss to report and the gradient for each trainable variable. The loss of an example is weighted
// by its share of the batch; multiplicative noise acts on the gradient alone.
func (s step) gradients(scope *model.Scope, inputs []*Node) (*Node, []*Node) {
	g := inputs[0].Graph()
	s.state.store.SetTraining(g, true)
	if s.cut.devices > 1 {
		last := len(inputs) - 1
		ops.SetDevices(g, ops.Devices{Count: s.cut.devices, Rank: inputs[last], Apart: !s.recipe.SyncNorm})
		inputs = inputs[:last]
	}
	batch := s.feed.batch(s.state, s.cut, inputs)
	logits := s.bundle.Logits(scope, batch.x)
	perExample := loss.CrossEntropy{Smoothing: s.recipe.Loss.LabelSmoothing}.Apply(scope, loss.In{Out: logits, Labels: batch.labels})
	objective := ReduceAllSum(Mul(perExample, batch.push))
	report := objective
	if batch.share != batch.push {
		report = ReduceAllSum(Mul(StopGradient(perExample), batch.share))
	}
	values := make([]*Node, len(s.state.trainable))
	for i, v := range s.state.trainable {
		values[i] = v.NodeValue(g)
	}
	// Each device has its examples' share of the loss, and the sum is that of the batch.
	gradients := Gradient(objective, values...)
	for i, only := range s.state.only {
		if only != nil {
			gradients[i] = Where(ConstTensor(g, only), gradients[i], ZerosLike(gradients[i]))
		}
	}
	all := ops.SumAcross(append(gradients, report)...)
	return all[len(values)], all[:len(values)]
}

// watch keeps, on the device, the sum of the losses since the last one logged and the first update that went wrong.
func (s step) watch(lossValue, norm, done *Node) {
	g := lossValue.Graph()
	fresh := Equal(ModScalar(done, int32(s.recipe.LogEvery)), ScalarZero(g, dtypes.Int32))
	s.state.lossSum.SetNodeValue(Where(fresh, lossValue, Add(s.state.lossSum.NodeValue(g), lossValue)))
	s.state.gradNorm.SetNodeValue(norm)
	bad := s.state.bad.NodeValue(g)
	wrong := LogicalAnd(LogicalNot(LogicalAnd(IsFinite(lossValue), IsFinite(norm))), Equal(bad, ScalarZero(g, dtypes.Int32)))
	s.state.bad.SetNodeValue(Where(wrong, AddScalar(done, 1), bad))
}

// rates returns the row of the rate table for this update.
func (s step) rates(inputs []*Node, done *Node) []*Node {
	table, base := inputs[inputTable], inputs[inputBase]
	row := ops.GatherRows(table, Reshape(Sub(done, base), 1)) // [1, columns]
	rates := make([]*Node, row.Shape().Dim(-1))
	for i := range rates {
		rates[i] = Reshape(Slice(row, AxisRange(), AxisElem(i)))
	}
	return rates
}

// move lets the rules see the gradients, moves every trainable variable, and lets the rules see them again.
func (s step) move(norm *Node, gradients, rates []*Node) {
	g := norm.Graph()
	was := make([]*Node, len(gradients))
	for i, v := range s.state.trainable {
		was[i] = v.NodeValue(g)
	}
	at := make([]optim.Update, len(s.recipe.Rules))
	for i, rule := range s.recipe.Rules {
		if i > 0 {
			norm = optim.GlobalNorm(gradients)
		}
		at[i] = optim.Update{Scope: s.state.store.RootScope().In(rulesScope).In("%d", i), Norm: norm, Rate: rates[columnRate]}
		gradients = rule.Before(at[i], s.state.trainable, gradients)
	}

	for i, v := range s.state.trainable {
		optim.Move(s.recipe.Optimizer, v, gradients[i], optim.Moved{
			Rate: rates[columnRate], Columns: rates[columnRate+1:], Slots: s.state.slots[i], Only: s.state.only[i],
		})
	}
	for i, rule := range s.recipe.Rules {
		rule.After(at[i], s.state.trainable, was)
	}
}

// average moves the average of the weights and statistics, after they have moved.
func (s step) average(g *Graph) {
	decay := s.recipe.Average.Decay
	if decay == 0 {
		return
	}
	for _, v := range s.state.model {
		average := s.state.beside(averageScope, v)
		average.SetNodeValue(Add(MulScalar(average.NodeValue(g), decay), MulScalar(v.NodeValue(g), 1-decay)))
	}
}

// compile returns a program for the graph and the batch the feed gives.
func (s step) compile(backend model.Backend, build func(*model.Scope, []*Node)) (*model.Exec, error) {
	var exec, alone *model.Exec
	var err error
	if s.cut.devices == 1 {
		exec, err = model.NewExec(backend, s.state.store, build)
		if err != nil {
			return nil, fmt.Errorf("train: %w", err)
		}
		return exec, nil
	}
	// A graph that is built must not find how its variables are spread, which the engine takes for a sharding that it does
	// not know; the call behind it must, to put a copy on each device.
	exec, err = model.NewExec(backend, s.state.store, func(scope *model.Scope, inputs []*Node) {
		check := func(err error) {
			if err != nil {
				panic(err)
			}
		}
		check(alone.SetDefaultShardingSpec(nil))
		for v := range s.state.store.IterVariables() {
			check(together(v))
		}
		build(scope, inputs)
		check(exec.SetDefaultShardingSpec(nil)) // a copy on each device of its mesh
	})
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	if alone, err = model.NewExec(backend, s.state.store, func(*model.Scope, []*Node) {}); err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	return exec.SPMD(s.mesh), nil
}

// together brings a variable back from the devices.
func together(v *model.Variable) error {
	if v.ShardingSpec() == nil || !v.HasValue() {
		return nil
	}
	value, err := v.Value()
	if err != nil {
		return err
	}
	copied, err := value.LocalClone()
	if err != nil {
		return err
	}
	if err := v.SetValue(copied); err != nil {
		return err
	}
	return v.SetShardingSpec(nil)
}

// positions are [n] int32: start, start+1, ...
func positions(g *Graph, n int, start *Node) *Node {
	return Add(Iota(g, shapes.Make(dtypes.Int32, n), 0), start)
}

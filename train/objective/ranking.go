package objective

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas

	"github.com/ballast-ml/ballast/data/augment"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/train/update"
)

// mixtures are those that a ranking loss compares the batch with; nil for other losses.
func mixtures(s loss.Set) *augment.MultiMixup {
	r, ok := s.(loss.Ranking)
	if !ok {
		return nil
	}
	m := augment.NewMultiMixup()
	m.Copies, m.Alpha = r.Mixtures()
	return &m
}

// checkRanking refuses what a ranking loss has no place for. where is its key.
func (o Supervised) checkRanking(s loss.Set, p update.Plan) error {
	m := mixtures(s)
	if m == nil {
		return nil
	}
	name := loss.SetName(s)
	if v, ok := s.(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			return usage("objective.extra: %v", err)
		}
	}
	if o.parts() {
		return usage("objective.extra: %s compares answers to examples and to mixtures, and between: %s gives several to each; use between: none", name,
			BetweenName(o.Between.Between))
	}
	if p.Devices > 1 {
		return usage("objective.extra: %s mixes the examples of a batch with each other, and %d devices would each see a part of it; use one device", name, p.Devices)
	}
	return m.Validate()
}

// noRanking refuses a ranking loss where there are no logits.
func noRanking(s loss.Set) error {
	if mixtures(s) == nil {
		return nil
	}
	return usage("loss %s compares a classifier's confidences, and objective contrastive has vectors; use it as objective.extra of supervised", loss.SetName(s))
}

// rankingColumns are the numbers that the mixtures of ranking losses need of an update.
func (o Supervised) rankingColumns() (columns []optim.Column) {
	for i, e := range o.Extra {
		m := mixtures(e.Loss.Set)
		if m == nil {
			continue
		}
		for _, c := range m.Columns() {
			c.Name = ownColumn(i, c.Name)
			columns = append(columns, c)
		}
	}
	return columns
}

// ownColumn is a column of the i-th extra loss.
func ownColumn(i int, name string) string { return fmt.Sprintf("extra.%d.%s", i, name) }

// ranked fills in what a ranking loss looks at: the network's answers to mixtures of the batch, in a pass after that of the batch itself,
// so that running statistics follow both.
func ranked(s *update.Step, p update.Plan, b update.Batch, i int, set loss.Set, in *loss.In) {
	m := mixtures(set)
	if m == nil {
		return
	}
	mixed := m.Mix(augment.Draws{
		Column: func(name string) *Node { return s.Column(ownColumn(i, name)) },
		Random: s.Random(fmt.Sprintf("extra.%d", i)), Live: b.Mask, Labels: b.Labels,
	}, b.Views[0])
	whole := b.Targets
	if whole == nil {
		whole = OneHot(b.Labels, p.Network.Outputs(), dtypes.Float32) // padding, whose label is -1, gets zeros
	}
	in.MixedTargets = mixed.Targets(whole)
	in.Mixed = s.Apply("/model", p.Network, pass.Pass{}, mixed.X)
}

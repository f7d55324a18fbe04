package augment

import (
	"fmt"
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/nn/optim"
)

// Mixup mixes Parts examples with one vector of weights for each update, w ~ Dirichlet(Alpha, ..., Alpha):
//
//	x~ = w_0 x + sum over k of w_k x[s_k]
//
// s_k is each example's k-th partner. Two parts are Mixup, w_0 ~ Beta(Alpha, Alpha); d + 1 parts are d-Mixup.
//
// Sources: Zhang et al., "mixup: Beyond Empirical Risk Minimization", arXiv 1710.09412; Chidambaram, Ge, "On the Limitations of
// Temperature Scaling for Distributions with Overlaps", arXiv 2306.00740.
type Mixup struct {
	Parts int     `json:"parts"` // examples that are mixed, 1 to 64; 2
	Alpha float64 `json:"alpha"` // of the Dirichlet distribution, above 0; 1
	Partner
}

var _ Mixing = Mixup{}

// NewMixup returns two parts, alpha 1, and random partners.
func NewMixup() Mixup { return Mixup{Parts: 2, Alpha: 1, Partner: Partner{"permutation"}} }

// maxParts of a mixture, and copies of a batch.
const maxParts = 64

// Validate errors for no parts, alpha not above 0, an unknown partner, or a flip of more than two parts.
func (m Mixup) Validate() error {
	switch {
	case m.Parts < 1 || m.Parts > maxParts:
		return wrong("mixup", "parts is %d; use 1 to %d", m.Parts, maxParts)
	case m.Partner.Partner == "flip" && m.Parts > 2:
		return wrong("mixup", "a flip gives one partner, %d parts need %d; use partner: permutation",
			m.Parts, m.Parts-1)
	}
	if err := concentration("mixup", m.Alpha); err != nil {
		return err
	}
	return m.validate("mixup")
}

func concentration(who string, alpha float64) error {
	if !(alpha > 0) || math.IsInf(alpha, 0) {
		return wrong(who, "alpha is %v; use a finite number above 0", alpha)
	}
	return nil
}

// Columns are the shares that the parts break off what is left, one after the other: Beta(Alpha, Alpha times the parts behind it).
// Broken off so, they are a draw from the Dirichlet distribution.
func (m Mixup) Columns() []optim.Column {
	var columns []optim.Column
	for k := 1; k < m.Parts; k++ {
		columns = append(columns, beta(mixWeight(k), m.Alpha, m.Alpha*float64(m.Parts-k)))
	}
	return columns
}

// mixWeight is the column of the share that part k-1 breaks off.
func mixWeight(k int) string {
	if k == 1 {
		return "mix.weight"
	}
	return fmt.Sprintf("mix.weight.%d", k)
}

// Mix mixes.
func (m Mixup) Mix(d Draws, x *graph.Node) Mixed {
	batch("mixup", x)
	var weights []*graph.Node
	from := []*graph.Node{nil}
	if m.Parts > 1 {
		from = append(from, m.places(d, x, m.Parts-1)...)
	}
	left := graph.ScalarOne(x.Graph(), dtypes.Float64)
	for k := range m.Parts {
		weight := left
		if k < m.Parts-1 {
			off := d.column("mixup", mixWeight(k+1))
			weight, left = graph.Mul(left, off), graph.Mul(left, graph.OneMinus(off))
		}
		weights = append(weights, asDraw(weight, x))
	}
	return d.restore(Combine(x, weights, from), x)
}

// asDraw is a number of the update in the dtype of draws for x.
func asDraw(v, x *graph.Node) *graph.Node { return graph.ConvertDType(v, drawType(x)) }

// MultiMixup is Copies mixtures of the batch, one after the other, each as Mixup of two parts with a weight and partners of its own.
//
// Source: Noh et al., "RankMixup: Ranking-Based Mixup Training for Network Calibration", arXiv 2308.11990.
type MultiMixup struct {
	Copies int     `json:"copies"` // 1 to 64; 3
	Alpha  float64 `json:"alpha"`  // of the beta distribution, above 0; 2
	Partner
}

var _ Mixing = MultiMixup{}

// NewMultiMixup returns three copies, alpha 2, and random partners.
func NewMultiMixup() MultiMixup {
	return MultiMixup{Copies: 3, Alpha: 2, Partner: Partner{"permutation"}}
}

// Validate errors for no copies, alpha not above 0, or an unknown partner.
func (m MultiMixup) Validate() error {
	if m.Copies < 1 || m.Copies > maxParts {
		return wrong("multi-mixup", "copies is %d; use 1 to %d", m.Copies, maxParts)
	}
	if err := concentration("multi-mixup", m.Alpha); err != nil {
		return err
	}
	return m.validate("multi-mixup")
}

// Columns are the weights of the copies.
func (m MultiMixup) Columns() []optim.Column {
	var columns []optim.Column
	for k := range m.Copies {
		columns = append(columns, beta(mixWeight(k+1), m.Alpha, m.Alpha))
	}
	return columns
}

// Mix mixes: the result has Copies times as many rows.
func (m MultiMixup) Mix(d Draws, x *graph.Node) Mixed {
	n := batch("multi-mixup", x)
	own := places(x.Graph(), n)
	var kept, given []*graph.Node
	for k := range m.Copies {
		weight := asDraw(d.column("multi-mixup", mixWeight(k+1)), x)
		kept = append(kept, graph.BroadcastToDims(weight, n))
		given = append(given, graph.BroadcastToDims(graph.OneMinus(weight), n))
	}
	weights := []*graph.Node{graph.Concatenate(kept, 0), graph.Concatenate(given, 0)}
	mixed := Combine(x, weights, []*graph.Node{repeated(own, m.Copies), graph.Concatenate(m.places(d, x, m.Copies), 0)})
	mixed.Copies = m.Copies
	return d.restore(mixed, x)
}

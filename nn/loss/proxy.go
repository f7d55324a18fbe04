package loss

import (
	"math"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/nn/pass"
)

// ProxyAnchor learns a vector for each class, the proxy, and pulls the embeddings of a class to it and pushes others away, by their
// cosines s. y is how far an example is of the proxy's class, 1 or 0, or between where examples were mixed:
//
//	loss = mean over proxies that have an example of log(1 + sum of y exp(-Alpha (s - Margin)))
//	     + mean over all proxies of log(1 + sum of (1-y) exp(Alpha (s + Margin)))
//
// The proxies are the variable "proxies" [classes, d], trained like other weights. Source: Kim, Kim, Cho, Kwak, "Proxy Anchor Loss for
// Deep Metric Learning", arXiv 2003.13911.
type ProxyAnchor struct {
	Alpha  float64 `json:"alpha"`  // above 0; 32
	Margin float64 `json:"margin"` // 0.1
}

var _ Set = ProxyAnchor{}

// NewProxyAnchor returns the numbers of the paper.
func NewProxyAnchor() ProxyAnchor { return ProxyAnchor{Alpha: 32, Margin: 0.1} }

// OfBatch says that this is a Set.
func (ProxyAnchor) OfBatch() {}

// Wants is labels.
func (ProxyAnchor) Wants() []Targets { return []Targets{Labels} }

// Apply returns the loss of Features[0] with Labels, or with Targets, the shares [n, classes] of examples that were mixed. It needs
// In.Counts, one for each class. Panics if an option is none or shapes do not fit.
func (p ProxyAnchor) Apply(s *model.Scope, in In) *Node {
	if !(p.Alpha > 0) || math.IsInf(p.Alpha, 0) || math.IsNaN(p.Margin) || math.IsInf(p.Margin, 0) {
		Panicf("loss.ProxyAnchor: alpha is %v, margin %v; use an alpha above 0 and a finite margin", p.Alpha, p.Margin)
	}
	n := in.views("ProxyAnchor", 1)
	if len(in.Features) != 1 || len(in.Counts) == 0 {
		Panicf("loss.ProxyAnchor: %d views, counts of %d classes; want the embeddings of one, and how many examples each "+
			"class has", len(in.Features), len(in.Counts))
	}
	u := Unit(in.Features[0])
	classes, d := len(in.Counts), u.Shape().Dimensions[1]

	proxies := param.Variable(s, "proxies", param.Kernel, tableType(u), param.HeNormal(classes), classes, d)
	sim := dots(Unit(ConvertDType(pass.Weight(proxies, u.Graph()), u.DType())), u)
	return p.of(sim, in.members("ProxyAnchor", n, classes, u), in.Mask)
}

// of is the loss of cosines and shares [classes, n].
func (p ProxyAnchor) of(sim, share, mask *Node) *Node {
	zero := ZerosLike(sim)
	up, un := share, OneMinus(share)
	if mask != nil {
		valid := BroadcastToDims(ExpandAxes(mask, 0), sim.Shape().Dimensions...)
		sim, up, un = Where(valid, sim, zero), Where(valid, up, zero), Where(valid, un, zero)
	}
	near, some := logSum(MulScalar(AddScalar(sim, -p.Margin), -p.Alpha), up, true)
	far, _ := logSum(MulScalar(AddScalar(sim, p.Margin), p.Alpha), un, true)
	return Add(meanWhere(near, some), ReduceAllMean(far))
}

// members are the shares of the classes that each example has, constants [classes, n]: Targets, or Labels as 1 and 0.
func (in In) members(who string, n, classes int, like *Node) *Node {
	if t := in.Targets; t != nil {
		if !t.DType().IsFloat() || t.Rank() != 2 || t.Shape().Dimensions[0] != n || t.Shape().Dimensions[1] != classes {
			Panicf("loss.%s: targets are %s for %d embeddings and %d classes; want the share of each class", who, t.Shape(), n,
				classes)
		}
		return Transpose(ConvertDType(StopGradient(t), like.DType()), 0, 1)
	}
	in.checkLabels(who, n)
	return Transpose(OneHot(in.Labels, classes, like.DType()), 0, 1)
}

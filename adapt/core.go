package adapt

import (
	"errors"
	"fmt"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/nn/param"
)

// The forms of Core's loss.
const (
	CoreBatch    = "batch"
	CoreInstance = "instance"
)

// Core sets classes apart that the batch confuses (CORE): it normalises as AlphaBN does and moves the scales and offsets of the norms against
// the gradient of the share of the classes' correlation that lies between different classes. With P = softmax(logits/Temperature) [N, C]:
//
//	M = P^T diag(u) P [C, C]      M_i <- M_i / max(sum_j M_ij, 1e-12)      L = (1/C) sum over i != j of M_ij       batch
//	L = mean_n sum over i != j of p_ni p_nj = mean_n (1 - sum_c p_nc^2)                                            instance
//
// u is 1, or with Weighted N (1 + exp(-H_n)) / sum_m (1 + exp(-H_m)), H the entropy of an example with 1e-5 in the logarithm, without a
// gradient. With fewer examples than classes M mostly measures each example by itself: use batches of 2 C or more, or the instance form.
//
// The loss is least, 0, where all examples are of one class, too. Guard holds the weights from the step on in which the batch's mean answer has
// given one class more than 0.9 for so many steps in a row, and until another one does not; a sorted stream is held in between as well.
//
// The answer to a batch is the one before the update. Refused is what Tent refuses. The objective is reconstructed: its exact form could not be
// verified, and this is the minimum class confusion (arXiv 1912.03699) that its description fits.
// Source: You, Li, Zhao, "Test-time Batch Statistics Calibration for Covariate Shift", arXiv 2110.04065.
type Core struct {
	Statistics  norm.SourceChoice `json:"statistics"`        // where norms take them from; mixed with a source weight of 0.9
	Form        string            `json:"form"`              // batch or instance; batch
	Temperature float64           `json:"temperature"`       // above 0; 1, of minimum class confusion 2.5
	Weighted    bool              `json:"entropy_weighting"` // sure examples count more; false
	Guard       int               `json:"guard"`             // steps in a row, 0 = none; 5
	Optimizer   optim.Choice      `json:"optimizer"`         // adamw with lr 1e-3 and no decay
}

var _ Method = Core{}

// NewCore returns the batch form at temperature 1.
func NewCore() Core {
	return Core{
		Statistics: norm.SourceChoice{Source: norm.NewMixed()}, Form: CoreBatch, Temperature: 1, Guard: 5, Optimizer: adam(),
	}
}

// guarded is the share of one class in the mean answer above which Guard counts.
const guarded = 0.9

// Validate says what is wrong with the options, and how to fix it.
func (o Core) Validate() error {
	var errs []error
	if o.Form != CoreBatch && o.Form != CoreInstance {
		errs = append(errs, fmt.Errorf("form is %q; use %s or %s", strict.Short(o.Form), CoreBatch, CoreInstance))
	}
	if !(o.Temperature > 0) {
		errs = append(errs, fmt.Errorf("temperature is %v; use a number above 0, for example 1", o.Temperature))
	}
	if o.Guard < 0 {
		errs = append(errs, fmt.Errorf("guard is %d; use a number of steps, or 0 for none", o.Guard))
	}
	return errors.Join(append(errs, o.trainer().valid())...)
}

// Loss is L of logits [N, C], and the correlation M with rows of sum 1; of the instance form the correlation is nil.
func (o Core) Loss(logits *Node) (loss, correlation *Node) {
	p := Softmax(MulScalar(logits, 1/o.Temperature), -1)
	if o.Form == CoreInstance {
		return OneMinus(ReduceAllMean(ReduceSum(Square(p), -1))), nil
	}

	weighed := p
	if o.Weighted {
		entropy := Neg(ReduceAndKeep(Mul(p, Log(AddScalar(p, 1e-5))), ReduceSum, -1))
		u := OnePlus(Exp(Neg(entropy)))
		u = MulScalar(Div(u, ReduceAllSum(u)), float64(p.Shape().Dimensions[0]))
		weighed = Mul(p, StopGradient(u))
	}
	m := DotGeneral(weighed, []int{0}, nil, p, []int{0}, nil)
	m = Div(m, MaxScalar(ReduceAndKeep(m, ReduceSum, -1), 1e-12))

	c := m.Shape().Dimensions[0]
	grid := shapes.Make(dtypes.Int32, c, c)
	apart := NotEqual(Iota(m.Graph(), grid, 0), Iota(m.Graph(), grid, 1))
	return DivScalar(ReduceAllSum(Mul(m, ConvertDType(apart, m.DType()))), float64(c)), m
}

// holds counts the steps in a row whose mean answer is of one class, and reports whether they are too many.
func (o Core) holds(scope *model.Scope, logits *Node) *Node {
	g := logits.Graph()
	streak := param.Variable(scope, "streak", param.Statistic, dtypes.Float32, param.Constant(0))
	most := ReduceAllMax(ReduceMean(Softmax(StopGradient(logits), -1), 0))
	one := GreaterThan(ConvertDType(most, dtypes.Float32), Const(g, float32(guarded)))
	now := Where(one, OnePlus(streak.NodeValue(g)), ScalarZero(g, dtypes.Float32))
	streak.SetNodeValue(now)
	return GreaterOrEqual(now, Const(g, float32(o.Guard)))
}

func (o Core) trainer() affineTrainer {
	a := affineTrainer{
		who: "core", source: o.Statistics.Source, optimizer: o.Optimizer.Optimizer,
		loss: func(logits *Node) *Node { loss, _ := o.Loss(logits); return loss },
	}
	if o.Guard > 0 {
		a.hold = o.holds
	}
	return a
}

// Start makes the adapter.
func (o Core) Start(m Model) (Adapter, error) {
	if err := o.Validate(); err != nil {
		return nil, usage("core", "%v", err)
	}
	return o.trainer().start(m)
}

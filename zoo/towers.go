package zoo

import (
	"errors"
	"fmt"
	"math"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/ops"
)

// Towers are two encoders of different things into one space, in which what belongs together points in one direction:
//
//	u = f(x) W1 / |f(x) W1|      v = g(y) W2 / |g(y) W2|      the likeness of x and y is u v, times Scale in a contrastive loss
//
// f and g are the features of two networks. Those of a language model are one vector a token: pooled to the mean over the tokens, or to
// the last one, which alone has seen the whole text in a causal one. In texts a token below 0 is padding, and comes last; a text of
// nothing else has the vector 0.
//
// Paths: first/... and second/..., the networks' own without their output layers, first/projection/kernel [features, Dim],
// second/projection/kernel, log_scale. Kernels of the projections start from N(0, 1/fan-in), the scale from 1/Temperature.
// Source: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", arXiv 2103.00020.
type Towers struct {
	First       Choice  `json:"first"`       // cnn
	Second      Choice  `json:"second"`      // decoder
	Dim         int     `json:"dim"`         // of the space; 64
	Pooling     string  `json:"pooling"`     // of texts: last or mean; last
	Temperature float64 `json:"temperature"` // 1 over the first scale; 0.07
	MaxScale    float64 `json:"max_scale"`   // the scale is no larger; 100
}

// PoolLast takes the features of the last token that is none of padding.
const PoolLast = "last"

// Paired is a network of two encoders into one space.
type Paired interface {
	Network

	// Embed returns vectors of length 1 [batch, Outputs] for what tower 0 or 1 takes.
	Embed(scope *model.Scope, tower int, x *Node) *Node

	// Scale is what likenesses are multiplied with, a trained number.
	Scale(scope *model.Scope, g *Graph) *Node
}

var _ Paired = Towers{}

// NewTowers returns encoders of small images and of short texts in bytes.
func NewTowers() Towers {
	return Towers{
		First: Choice{Network: NewCNN()}, Second: Choice{Network: NewDecoder()}, Dim: 64, Pooling: PoolLast, Temperature: 0.07, MaxScale: 100,
	}
}

// Validate reports what is wrong with the options.
func (t Towers) Validate() error {
	errs := []error{count("towers", "dim", t.Dim, 2), validTower("first", t.First.Network), validTower("second", t.Second.Network)}
	if t.Pooling != PoolLast && t.Pooling != PoolMean {
		errs = append(errs, fmt.Errorf("towers: no pooling %q; there are %s, %s", t.Pooling, PoolLast, PoolMean))
	}
	if !(t.Temperature > 0) || math.IsInf(t.Temperature, 0) {
		errs = append(errs, fmt.Errorf("towers: temperature is %v; use a number above 0", t.Temperature))
	}
	if !(t.MaxScale > 0) || math.IsInf(t.MaxScale, 0) {
		errs = append(errs, fmt.Errorf("towers: max_scale is %v; use a number above 0", t.MaxScale))
	}
	return errors.Join(errs...)
}

func validTower(key string, n Network) error {
	if n == nil {
		return fmt.Errorf("towers: %s is missing; name a network, such as cnn or decoder", key)
	}
	_, featured := n.(Featured)
	_, reads := n.(reader)
	if !featured || n.Task() != Classify && !reads {
		return fmt.Errorf("towers: %s is %s, which has no features of whole examples; use a network that classifies, or decoder", key, Name(n))
	}
	if err := n.Validate(); err != nil {
		return fmt.Errorf("towers: %s: %w", key, err)
	}
	return nil
}

// reader is a network whose features are one vector for each token.
type reader interface {
	Hidden(scope *model.Scope, tokens, padding *Node) *Node
}

// Task is Embed.
func (Towers) Task() Task { return Embed }

// Outputs is the dimension of the space.
func (t Towers) Outputs() int { return t.Dim }

// WithOutputs returns the same networks into a space of another dimension.
func (t Towers) WithOutputs(dim int) Network { t.Dim = dim; return t }

// WithNorm returns the same network with another norm in both towers.
func (t Towers) WithNorm(n norm.Layer) Network {
	t.First, t.Second = Choice{Network: t.First.WithNorm(n)}, Choice{Network: t.Second.WithNorm(n)}
	return t
}

// Apply returns the vectors [batch, Dim] of what the first tower takes.
func (t Towers) Apply(scope *model.Scope, x *Node) *Node { return t.Embed(scope, 0, x) }

// Embed returns vectors of length 1, [batch, Dim], for what tower 0 or 1 takes: images, or tokens [batch, time]. Panics if there is no
// such tower.
func (t Towers) Embed(scope *model.Scope, tower int, x *Node) *Node {
	if tower != 0 && tower != 1 {
		Panicf("zoo.Towers: no tower %d; there are 0 and 1", tower)
	}
	name, network := "first", t.First.Network
	if tower == 1 {
		name, network = "second", t.Second.Network
	}
	at := scope.At("%s", name)

	var features *Node
	if text, ok := network.(reader); ok {
		features = t.pooled(at, text, x)
	} else {
		features = network.(Featured).Features(at, x)
	}
	features = pass.See(at, pass.Features, features)
	y := linear.Dense{Units: t.Dim, NoBias: true, InitOf: param.LeCunNormal}.Apply(at.In("projection"), features)
	return Div(y, Sqrt(MaxScalar(ReduceAndKeep(Square(y), ReduceSum, -1), 1e-24)))
}

// pooled is one vector for each text.
func (t Towers) pooled(scope *model.Scope, network reader, tokens *Node) *Node {
	if tokens.Rank() != 2 || !tokens.DType().IsInt() {
		Panicf("zoo.Towers: tokens are %s; want whole numbers [batch, time]", tokens.Shape())
	}
	padding := LessThan(tokens, ZerosLike(tokens))
	features := network.Hidden(scope, MaxScalar(tokens, 0), padding)

	weight := ConvertDType(LogicalNot(padding), features.DType())
	if t.Pooling == PoolLast {
		behind := ops.PadConstant(SliceAxis(weight, 1, AxisRange(1)), 0, [][2]int{{}, {0, 1}})
		weight = Sub(weight, behind) // 1 where a token is and none behind it
	}
	sum := ReduceSum(Mul(features, ExpandAxes(weight, -1)), 1)
	return Div(sum, MaxScalar(ReduceAndKeep(weight, ReduceSum, 1), 1))
}

// Scale is exp(log_scale), at most MaxScale, one number.
func (t Towers) Scale(scope *model.Scope, g *Graph) *Node {
	first := param.Constant(math.Log(1 / t.Temperature))
	v := param.Variable(scope, "log_scale", param.Affine, dtypes.Float32, first)
	return MinScalar(Exp(pass.Weight(v, g)), t.MaxScale)
}

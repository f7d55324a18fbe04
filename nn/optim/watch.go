package optim

import (
	"fmt"
	"math"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/internal/choice"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/own"
)

// Watcher measures the variables of a run on its way. It is a plain struct value and moves nothing.
type Watcher interface {
	Validate() error                                        // says what is wrong with the options, and how to fix it
	Numbers() []string                                      // names of what it measures, as they are logged
	Watched(trained []*model.Variable) []*model.Variable    // the variables it looks at
	At(updates, perPass int) []int                          // after how many updates it looks, ascending
	Look(g *Graph, now, first []*model.Variable) []*Node    // a float64 scalar for each of Numbers; first are the watched variables before the run
	Fit(points []Point) (fit map[string]float64, err error) // what the measurements say together; nil while they are too few
}

// Point is what a Watcher measured after a number of updates.
type Point struct {
	Step   int       `json:"step"`
	Values []float64 `json:"values"` // as Watcher.Numbers names them
}

// WatcherKind is a watcher that can be chosen by name: its Name, and New, which returns it with its defaults.
type WatcherKind = choice.Kind[Watcher]

// Watchers is every watcher that has a name, with its defaults.
func Watchers() []WatcherKind {
	return []WatcherKind{{Name: "distance", New: func() Watcher { return NewDistance() }}}
}

// WatcherChoice is a watcher chosen by name in a recipe: "distance", or {"name": "distance", "points": 100}.
type WatcherChoice struct{ Watcher }

// MarshalJSON writes the name and the options.
func (c WatcherChoice) MarshalJSON() ([]byte, error) {
	return choice.Encode("watcher", Watchers(), c.Watcher)
}

// UnmarshalJSON reads a name, or a name with options; an unknown name or option is an error that names the nearest.
func (c *WatcherChoice) UnmarshalJSON(data []byte) error { return c.UnmarshalOwn(data, nil) }

// UnmarshalOwn is UnmarshalJSON where names may be a program's own.
func (c *WatcherChoice) UnmarshalOwn(data []byte, r own.Registry) (err error) {
	c.Watcher, err = choice.Decode("watcher", Watchers(), data, r)
	return err
}

// Distance watches how far the weights move from where they began, ||w_t - w_0||_2, at steps that are evenly spaced in log(t), and fits
// how the distance grows; see FitDistance.
type Distance struct {
	Points    int    `json:"points"`    // steps to measure at, at least 3; 40
	From      int    `json:"from"`      // first step to measure at; 5
	Variables string `json:"variables"` // first (the first kernel of the network) or all (every trainable variable)
}

// NewDistance returns the paper's report: 40 points from step 5 on, of the first kernel.
func NewDistance() Distance { return Distance{Points: 40, From: 5, Variables: "first"} }

// maxPoints is the most measurements of a watcher; each stays in every checkpoint.
const maxPoints = 100_000

// Validate says what is wrong with the options, and how to fix it.
func (d Distance) Validate() error {
	c := checks{key: "watch.distance"}
	c.that(d.Points >= 3, "points", d.Points, "use at least 3")
	c.that(d.Points <= maxPoints, "points", d.Points, fmt.Sprintf("use at most %d", maxPoints))
	c.that(d.From >= 1, "from", d.From, "use at least 1")
	c.that(d.From <= maxCount, "from", d.From, fmt.Sprintf("use at most %d", maxCount))
	c.that(d.Variables == "first" || d.Variables == "all", "variables", d.Variables, "use first or all")
	return c.err()
}

// Numbers is the distance.
func (Distance) Numbers() []string { return []string{"distance"} }

// Watched is the first kernel, or everything.
func (d Distance) Watched(trained []*model.Variable) []*model.Variable {
	if d.Variables == "all" {
		return trained
	}
	for i, v := range trained {
		if param.Of(v) == param.Kernel {
			return trained[i : i+1]
		}
	}
	return trained[:1]
}

// At are round(geomspace(From, updates, Points)), each once, in order.
func (d Distance) At(updates, _ int) []int {
	if d.Points < 1 || updates < d.From {
		return nil
	}
	steps := make([]int, 0, min(d.Points, updates-d.From+1))
	for i := range d.Points {
		share := 0.0
		if d.Points > 1 {
			share = float64(i) / float64(d.Points-1)
		}
		step := int(math.Round(float64(d.From) * math.Pow(float64(updates)/float64(d.From), share)))
		if len(steps) == 0 || step != steps[len(steps)-1] {
			steps = append(steps, step)
		}
	}
	return steps
}

// Look is one fused sum of squares.
func (Distance) Look(g *Graph, now, first []*model.Variable) []*Node {
	sum := ScalarZero(g, dtypes.Float64)
	for i, v := range now {
		moved := Sub(v.NodeValue(g), first[i].NodeValue(g))
		sum = Add(sum, ConvertDType(ReduceAllSum(Square(moved)), dtypes.Float64))
	}
	return []*Node{Sqrt(sum)}
}

// Fit is FitDistance, from three points on.
func (Distance) Fit(points []Point) (map[string]float64, error) {
	if len(points) < 3 {
		return nil, nil
	}
	var t, d []float64
	for _, p := range points {
		t, d = append(t, float64(p.Step)), append(d, p.Values[0])
	}
	fit, err := FitDistance(t, d)
	if err != nil {
		return nil, err
	}
	return map[string]float64{
		"log_slope": fit.LogSlope, "log_intercept": fit.LogIntercept, "log_r2": fit.LogR2,
		"sqrt_slope": fit.SqrtSlope, "sqrt_intercept": fit.SqrtIntercept, "sqrt_r2": fit.SqrtR2,
		"power_exponent": fit.PowerExponent,
	}, nil
}

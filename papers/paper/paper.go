// Package paper is what the papers share: what a paper, a claim and its evidence are, and how claims are measured
// again.
//
// A paper is a card (what it is), a recipe (YAML that can be printed, copied and edited), claims (inequalities between
// measured numbers) and evidence (an entry of the ledger, written by "ballast reproduce" alone).
package paper

import (
	"context"
	"encoding/json"
	"fmt"

	"gonum.org/v1/gonum/stat"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/train"
)

// Paper is one published method.
type Paper struct {
	Slug      string      `json:"slug"`
	Title     string      `json:"title"`
	Authors   string      `json:"authors"`
	Year      int         `json:"year"`
	ArXiv     string      `json:"arxiv"`
	Summary   string      `json:"summary"`           // what a user gets, in one sentence
	Symbols   []string    `json:"symbols"`           // where it lives
	Recipe    []byte      `json:"-"`                 // YAML, the base of every arm; what is under "experiments" belongs to the claims that own their procedure
	Claims    []Claim     `json:"claims"`            // what is measured again
	Published []Published `json:"published"`         // the paper's own figures
	Figures   []Figure    `json:"figures,omitempty"` // pictures of what was measured
}

// Claim is one statement of a paper at a size that can be measured in minutes.
type Claim struct {
	Name      string `json:"name"`
	Statement string `json:"statement"`
	Seeds     int    `json:"seeds"` // least number of seeds for a verdict
	Arms      []Arm  `json:"arms"`

	// Parity says that the claim is that arms are no worse than others, which it is where all measure the same.
	Parity bool `json:"parity,omitempty"`

	// Experiment, if not nil, measures an arm in place of training by the recipe.
	Experiment Experiment `json:"-"`

	// After, if not nil, measures more on what an arm has trained by the recipe; lab.ReadLog of its folder says what was logged on the way.
	After func(ctx context.Context, at Place, trained *train.Result) (map[string]float64, error) `json:"-"`

	// Check turns what was measured into the inequalities that the claim consists of.
	Check func(m Measured) []Inequality `json:"-"`
}

// Arm is one way of training: the recipe with overrides (see lab.Override), run once a seed.
type Arm struct {
	Name      string   `json:"name"`
	Overrides []string `json:"overrides"`
}

// Place is where an arm is measured.
type Place struct {
	Engine *engine.Engine
	Seed   uint64
	Dir    string // a folder of the arm's and the seed's own, for what long work leaves to go on from
}

// Experiment measures one arm with one seed by a procedure of its own. settings are the recipe's under experiments.<claim>, with the
// overrides of the arm.
type Experiment func(ctx context.Context, at Place, settings map[string]any) (map[string]float64, error)

// NewExperiment is the Experiment of a procedure whose settings are a struct; an unknown setting is an error.
func NewExperiment[S any](defaults S, run func(ctx context.Context, at Place, s S) (map[string]float64, error)) Experiment {
	return func(ctx context.Context, at Place, settings map[string]any) (map[string]float64, error) {
		text, err := json.Marshal(settings)
		if err != nil {
			return nil, err
		}
		s := defaults
		if err := strict.Decode(text, &s); err != nil {
			return nil, err
		}
		return run(ctx, at, s)
	}
}

// Published is a figure printed in the paper, shown beside ours and never compared by code: the sizes differ.
type Published struct {
	What  string `json:"what"`
	Value string `json:"value"`
}

// Measured holds the numbers of a claim: arm -> metric -> one value per seed.
type Measured map[string]map[string][]float64

// Mean is the mean over seeds of a metric of an arm. It panics on a name that was not measured: the claim is code.
func (m Measured) Mean(arm, metric string) float64 {
	values, ok := m[arm][metric]
	if !ok || len(values) == 0 {
		panic(NotMeasured{arm, metric})
	}
	return stat.Mean(values, nil)
}

// Least is the smallest value over seeds of a metric of an arm.
func (m Measured) Least(arm, metric string) float64 {
	m.Mean(arm, metric) // says what was not measured
	values := m[arm][metric]
	low := values[0]
	for _, v := range values {
		low = min(low, v)
	}
	return low
}

// NotMeasured is what Mean panics with.
type NotMeasured struct{ Arm, Metric string }

func (n NotMeasured) Error() string {
	return fmt.Sprintf("papers: claim reads %s of arm %s, which was not measured", n.Metric, n.Arm)
}

// Inequality is Left >= Right; if Strict, Left > Right; if AtMost, Left <= Right.
type Inequality struct {
	Text   string  `json:"text"`
	Left   float64 `json:"left"`
	Right  float64 `json:"right"`
	Strict bool    `json:"strict,omitempty"`
	AtMost bool    `json:"at_most,omitempty"`
	Holds  bool    `json:"holds"`

	Share *float64 `json:"share,omitempty"` // of resamples of the seeds in which it holds
}

// AtLeast is the inequality left >= right.
func AtLeast(text string, left, right float64) Inequality {
	return Inequality{Text: text, Left: left, Right: right, Holds: left >= right}
}

// AtMost is the inequality left <= right.
func AtMost(text string, left, right float64) Inequality {
	return Inequality{Text: text, Left: left, Right: right, AtMost: true, Holds: left <= right}
}

// Above is the inequality left > right.
func Above(text string, left, right float64) Inequality {
	return Inequality{Text: text, Left: left, Right: right, Strict: true, Holds: left > right}
}

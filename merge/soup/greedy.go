package soup

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/ballast-ml/ballast/format/weights"
)

// Score returns how good weights are, such as their accuracy on held-out examples: not those trained on, and not the test set.
type Score func(w weights.Set) (float64, error)

// Greedy adds models to a soup if that does not lower its score on held-out examples:
//
//	order the models by their own score, the best first (ties: the first listed first)
//	soup = the best
//	for each other model, in order: candidate = k/(k+1) soup + 1/(k+1) theta, for a soup of k models
//	    keep it if score(candidate) >= score(soup)        with Strict: > only
//
// So the soup scores no worse than the best single model. Cost: one score per model, and one more per candidate; two models in
// memory. With >=, the paper's rule, ties let models in that do nothing; with >, the released code's, the soup is often the best
// model alone, which is a normal outcome for models that are few or far apart.
// Source: Wortsman et al., "Model soups", arXiv 2203.05482.
type Greedy struct {
	Strict         bool `json:"strict"`          // keep a candidate only if the score rises (released code); false (paper)
	LowerIsBetter  bool `json:"lower_is_better"` // the score is a loss; false
	GivenOrder     bool `json:"given_order"`     // try the models as they are listed, the first one first; false
	MaxIngredients int  `json:"max_ingredients"` // stop when so many models are in the soup; 0 = no limit
}

// NewGreedy returns the paper's rule.
func NewGreedy() Greedy { return Greedy{} }

// Trial is one candidate of a greedy soup.
type Trial struct {
	Model int     `json:"model"` // its place in the list of models
	Score float64 `json:"score"` // of the soup with it
	Kept  bool    `json:"kept"`
}

// GreedyResult is a greedy soup and how it came to be.
type GreedyResult struct {
	Weights     weights.Set `json:"-"`
	Models      []string    `json:"models"`
	Scores      []float64   `json:"scores"`      // of each model by itself; the first one alone where the order is given and no scores are
	Order       []int       `json:"order"`       // in which models were tried
	Ingredients []int       `json:"ingredients"` // in the order they were added
	Score       float64     `json:"score"`       // of the soup
	Trials      []Trial     `json:"trials"`
	Warnings    []string    `json:"warnings,omitempty"`
}

// GreedyOptions are what a run of Greedy may be given.
type GreedyOptions struct {
	Scores []float64 // of each model by itself, where they are known; nil = scored here
	Trace  string    // file that keeps every score as soon as it is known; a run that finds one of the same models resumes from it
	// Progress, if not nil, is told how many of at most how many scores are known.
	Progress func(done, total int)
}

// Run cooks the soup. When score fails, what is known so far is in the trace and in the result, and the error names the models.
func (g Greedy) Run(models Models, score Score, o GreedyOptions) (GreedyResult, error) {
	n := models.Len()
	switch {
	case n == 0:
		return GreedyResult{}, errors.New("merge: greedy soup: there is no model; give at least one")
	case g.MaxIngredients < 0:
		return GreedyResult{}, fmt.Errorf("merge: greedy soup: max_ingredients is %d; use 0 for no limit", g.MaxIngredients)
	case o.Scores != nil && len(o.Scores) != n:
		return GreedyResult{}, fmt.Errorf("merge: greedy soup: %d scores for %d models; give one per model, or none", len(o.Scores), n)
	case score == nil:
		return GreedyResult{}, errors.New("merge: greedy soup: score is missing; candidates must be scored")
	}

	for i, s := range o.Scores {
		if math.IsNaN(s) {
			return GreedyResult{}, fmt.Errorf("merge: greedy soup: the score of %s is NaN; leave the model out", models.Name(i))
		}
	}

	run := greedyRun{Greedy: g, models: models, score: score, o: o, loader: loader{models: models, who: "greedy soup"}}
	for i := range n {
		run.r.Models = append(run.r.Models, models.Name(i))
	}
	if err := run.openTrace(); err != nil {
		return GreedyResult{}, err
	}
	err := run.cook()
	return run.r, err
}

// greedyRun is a run under way.
type greedyRun struct {
	Greedy
	models Models
	score  Score
	o      GreedyOptions
	loader loader
	trace  greedyTrace
	r      GreedyResult
	known  int
}

func (g *greedyRun) progress() {
	g.known++
	if g.o.Progress != nil {
		total := g.models.Len() - 1 // candidates
		if g.o.Scores == nil && !g.GivenOrder {
			total += g.models.Len()
		} else {
			total++
		}
		g.o.Progress(min(g.known, total), total)
	}
}

// keeps reports whether a candidate of that score is kept.
func (g *greedyRun) keeps(candidate, soup float64) bool {
	if g.LowerIsBetter {
		candidate, soup = -candidate, -soup
	}
	if g.Strict {
		return candidate > soup
	}
	return candidate >= soup
}

func (g *greedyRun) load(i int) (weights.Set, error) {
	w, err := g.loader.load(i)
	if err != nil {
		return nil, err
	}
	return w, g.checkUnchanged(i, w)
}

func (g *greedyRun) evaluate(what string, w weights.Set) (float64, error) {
	s, err := g.score(w)
	if err != nil {
		return 0, fmt.Errorf("merge: greedy soup: score of %s: %w", what, err)
	}
	if math.IsNaN(s) {
		return 0, fmt.Errorf("merge: greedy soup: the score of %s is NaN", what)
	}
	return s, nil
}

// single is the score of one model by itself: supplied, in the trace, or measured.
func (g *greedyRun) single(i int) (float64, error) {
	if g.o.Scores != nil {
		return g.o.Scores[i], nil
	}
	if i < len(g.trace.Scores) && g.trace.Scores[i] != nil {
		g.progress()
		return *g.trace.Scores[i], nil
	}
	w, err := g.load(i)
	if err != nil {
		return 0, err
	}
	defer g.models.Release(i, w)
	s, err := g.evaluate(g.models.Name(i), w)
	if err != nil {
		return 0, err
	}
	g.trace.Scores[i] = &s
	g.progress()
	return s, g.saveTrace()
}

func (g *greedyRun) cook() error {
	n := g.models.Len()
	g.r.Order = make([]int, n)
	for i := range n {
		g.r.Order[i] = i
	}

	scored := n
	if g.GivenOrder && g.o.Scores == nil {
		scored = 1
	}
	for i := range scored {
		s, err := g.single(i)
		if err != nil {
			return err
		}
		g.r.Scores = append(g.r.Scores, s)
	}

	if !g.GivenOrder {
		slices.SortStableFunc(g.r.Order, func(a, b int) int {
			switch x, y := g.r.Scores[a], g.r.Scores[b]; {
			case x == y:
				return 0
			case x > y != g.LowerIsBetter:
				return -1
			}
			return 1
		})
	}

	first := g.r.Order[0]
	soup, err := g.load(first)
	if err != nil {
		return err
	}
	g.r.Weights, g.r.Ingredients, g.r.Score = soup, []int{first}, g.r.Scores[first]
	for k, i := range g.r.Order[1:] {
		if g.MaxIngredients > 0 && len(g.r.Ingredients) >= g.MaxIngredients {
			return nil
		}
		if err := g.try(k, i); err != nil {
			return err
		}
	}
	return nil
}

// try makes the k-th candidate, with model i.
func (g *greedyRun) try(k, i int) error {
	var known *Trial
	if k < len(g.trace.Trials) {
		known = &g.trace.Trials[k]
		if known.Model != i {
			return g.traceError("trial %d is of model %d, now it is the turn of %d", k, known.Model, i)
		}
	}

	if known != nil && !g.keeps(known.Score, g.r.Score) { // nothing to load
		g.progress()
		g.r.Trials = append(g.r.Trials, Trial{Model: i, Score: known.Score})
		return nil
	}
	w, err := g.load(i)
	if err != nil {
		return err
	}
	if warning := warning(g.r.Weights, w, g.models.Name(i)); warning != "" {
		g.r.Warnings = append(g.r.Warnings, warning)
	}
	count := len(g.r.Ingredients)
	addToSoup(w, g.r.Weights, count)
	trial := Trial{Model: i}
	if known != nil {
		trial.Score = known.Score
	} else if trial.Score, err = g.evaluate(fmt.Sprintf("the soup of %d with %s", count, g.models.Name(i)), w); err != nil {
		return err
	}
	trial.Kept = g.keeps(trial.Score, g.r.Score)
	g.r.Trials = append(g.r.Trials, trial)
	last := i
	if trial.Kept {
		last = g.r.Ingredients[len(g.r.Ingredients)-1]
		w, g.r.Weights = g.r.Weights, w
		g.r.Ingredients, g.r.Score = append(g.r.Ingredients, i), trial.Score
	}
	g.models.Release(last, w)
	g.progress()
	if known != nil {
		return nil
	}
	g.trace.Trials = append(g.trace.Trials, trial)
	return g.saveTrace()
}

// addToSoup turns theta into k/(k+1) soup + 1/(k+1) theta.
func addToSoup(theta, soup weights.Set, k int) {
	share := 1 / float64(k+1)
	for t := range theta {
		values, old := theta[t].Values, soup[t].Values
		for j, v := range values {
			values[j] = float32(float64(old[j]) + (float64(v)-float64(old[j]))*share)
		}
	}
}

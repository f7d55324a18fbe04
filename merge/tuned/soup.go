package tuned

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/merge/soup"
	"github.com/ballast-ml/ballast/own"
)

// Methods of Soup.
const (
	SoupUniform = "uniform" // the mean of all models
	SoupGreedy  = "greedy"  // the best model, and each of the others that does the soup no harm
	SoupLearned = "learned" // shares learned by gradient descent
)

// SoupMethods lists the methods of Soup.
func SoupMethods() []string { return []string{SoupUniform, SoupGreedy, SoupLearned} }

// Soup averages models on the disk into one. Greedy and learned soups are of bundles of one network, and scored by their accuracy on examples
// held out of the training part of Data, never on the test part. A uniform soup needs no data, and takes model files of any format too.
type Soup struct {
	Method      string   // see SoupMethods
	Models      []string // folders or files; none twice
	Data        string   // a data set, see data.Open; "" for a uniform soup that is not scored
	Validation  float64  // share of the training part held out, [0, 1); 0 = that of the first model's recipe, with its seed, else 0.2
	Seed        uint64   // of the split, and of the order of batches
	ByPlace     bool     // class k of Data is output k of the models, whatever the two are called; see data.Match
	Recalibrate bool     // estimate the statistics of batch norms again on what is not held out

	Greedy soup.Greedy
	Scores []float64 // greedy: of each model, where they are known; nil = measured
	Trace  string    // greedy: file with every score, from which a run cut short resumes; "" = none

	Learned soup.Learned
	Batch   int // learned: examples of one update

	Registry own.Registry // what bundle.Open takes

	Progress      func(done, total int)   // greedy and learned: scores, or updates; may be nil
	BytesProgress func(done, total int64) // soups of files: values; may be nil
}

// NewSoup returns a uniform soup, with the papers' options for the other methods.
func NewSoup(models ...string) Soup {
	return Soup{Method: SoupUniform, Models: models, Greedy: soup.NewGreedy(), Learned: soup.NewLearned(), Batch: 256}
}

// SoupResult is a soup and how it came to be.
type SoupResult struct {
	Method      string              `json:"method"`
	Out         string              `json:"out"`
	Models      []string            `json:"models"`
	Examples    int                 `json:"examples,omitempty"` // held out, that scores are measured on
	Scores      []float64           `json:"scores,omitempty"`   // of each model
	Score       *float64            `json:"score,omitempty"`    // of the soup
	Ingredients []string            `json:"ingredients,omitempty"`
	Greedy      *soup.GreedyResult  `json:"greedy,omitempty"`
	Learned     *soup.LearnedResult `json:"learned,omitempty"`
	Files       *soup.FileResult    `json:"files,omitempty"`
	Warnings    []string            `json:"warnings,omitempty"`
}

// Validate says what is wrong with the options: a *fault.Usage.
func (s Soup) Validate() error {
	if !slices.Contains(SoupMethods(), s.Method) {
		text := "there are " + strings.Join(SoupMethods(), ", ")
		if near, ok := strict.Nearest(s.Method, SoupMethods()); ok {
			text = fmt.Sprintf("did you mean %q?", near)
		}
		return &fault.Usage{Err: fmt.Errorf("soup: no method %q; %s", s.Method, text)}
	}

	switch {
	case len(s.Models) == 0:
		return &fault.Usage{Err: errors.New("soup: there is no model; give at least one")}
	case s.Method != SoupUniform && s.Data == "":
		return &fault.Usage{Err: fmt.Errorf("soup: %s needs data, to choose the soup by its held-out examples; uniform does not", s.Method)}
	case s.Recalibrate && s.Data == "":
		return &fault.Usage{Err: errors.New("soup: statistics of norms are estimated again on data; name a data set")}
	case s.Scores != nil && len(s.Scores) != len(s.Models):
		return &fault.Usage{Err: fmt.Errorf("soup: %d scores for %d models; give one a model", len(s.Scores), len(s.Models))}
	case !(s.Validation >= 0 && s.Validation < 1):
		return &fault.Usage{Err: fmt.Errorf("soup: validation is %v; it is a share of the training part, from 0 to below 1", s.Validation)}
	}
	if err := s.Learned.Validate(); err != nil {
		return &fault.Usage{Err: err}
	}
	for i, m := range s.Models {
		if slices.Contains(s.Models[:i], m) {
			return &fault.Usage{Err: fmt.Errorf("soup: %s is given twice", m)}
		}
	}
	return nil
}

// OfFiles reports whether the soup is one of model files, not of bundles: what it writes is then a safetensors file, not a bundle.
func (s Soup) OfFiles() bool {
	return s.Method == SoupUniform && slices.ContainsFunc(s.Models, func(m string) bool { return !bundle.Is(m) })
}

// usualShare is the share of the training part that is held out where nothing says another.
const usualShare = 0.2

// Work is what scoring and learning compute, for the choice of an engine: each model, and each mixture that is tried, on the data. Nothing is
// known where a model or the data cannot be opened.
func (s Soup) Work() engine.Work {
	first, err := bundle.Open(s.Models[0], s.Registry)
	if err != nil {
		return engine.Work{}
	}
	defer first.Store.Finalize()
	if s.Data == "" {
		return engine.Work{}
	}
	ds, err := data.Open(s.Data, "train")
	if err != nil {
		return engine.Work{}
	}
	cost, err := first.Manifest.Cost()
	if err != nil {
		return engine.Work{}
	}
	share := s.Validation
	if share == 0 {
		if share, _ = recipeSplit(first); share == 0 {
			share = usualShare
		}
	}
	held := int(share * float64(ds.Len()))
	through := 2 * held * len(s.Models)
	if s.Method == SoupLearned {
		const learning = 3 // products of an example that is learnt from
		through += learning * held * s.Learned.Epochs
	}
	if s.Recalibrate {
		through += ds.Len()
	}
	return engine.Work{Weights: cost.Weights, Examples: through, MultiplyAdds: float64(through) * cost.MultiplyAdds}
}

// Run makes the soup and writes it into the folder out, which must be new or empty. open gives the engine that soups of bundles need; it is
// closed here. When the run fails, what is returned has the warnings so far.
func (s Soup) Run(ctx context.Context, out string, open func() (*engine.Engine, error)) (SoupResult, error) {
	r := SoupResult{Method: s.Method, Out: out, Models: s.Models}
	if err := s.Validate(); err != nil {
		return r, err
	}
	if s.OfFiles() {
		files, err := soup.NewUniform().Files(ctx, s.Models, out, s.BytesProgress)
		r.Files, r.Warnings = &files, files.Warnings
		return r, err
	}

	first, err := bundle.Open(s.Models[0], s.Registry)
	if err != nil {
		return r, err
	}
	if err := s.sameNetworks(first); err != nil {
		return r, err
	}
	e, err := open()
	if err != nil {
		return r, err
	}
	defer e.Close()
	err = s.ofBundles(ctx, &r, first, e)
	return r, err
}

// ofBundles makes the soup in the first model, and writes it.
func (s Soup) ofBundles(ctx context.Context, r *SoupResult, first *bundle.Bundle, e *engine.Engine) error {
	defer first.Store.Finalize() // before its engine closes
	var train data.Dataset
	var held Examples
	var err error
	if s.Data != "" {
		if train, held, err = s.heldOut(r, first); err != nil {
			return err
		}
	}

	mixed, err := s.cook(ctx, r, first, e, held)
	if err != nil {
		return err
	}
	if s.Recalibrate {
		if mixed, err = Recalibrate(ctx, first, e, mixed, train, min(64, train.Len()), 0); err != nil {
			return err
		}
	}
	if err := first.SetWeights(mixed); err != nil {
		return err
	}
	if held.Len() > 0 {
		score, err := accuracyOf(first, e, mixed, held)
		if err != nil {
			return err
		}
		r.Score = &score
	}

	s.describe(first, r.Ingredients)
	return first.Save(r.Out)
}

// describe makes the first model's manifest that of the soup. No ingredients are all models.
func (s Soup) describe(b *bundle.Bundle, ingredients []string) {
	if ingredients == nil {
		ingredients = s.Models
	}
	m := &b.Manifest
	m.Metrics = nil // they were the first model's
	m.Name = strings.TrimSuffix(m.Name, " soup") + " soup"
	m.Provenance.Created = time.Now().UTC()
	m.Provenance.Derived = append(slices.Clone(m.Provenance.Derived),
		fmt.Sprintf("soup: %s of %d models: %s", s.Method, len(ingredients), strings.Join(ingredients, ", ")))
}

// sameNetworks refuses bundles of another network, preprocessing or labels, before anything is loaded.
func (s Soup) sameNetworks(first *bundle.Bundle) error {
	key := func(m bundle.Manifest) string {
		network, err := m.Network.MarshalJSON()
		if err != nil {
			network = []byte(err.Error())
		}
		return fmt.Sprintf("network %s, input %v, preprocessing %v, labels %v", network, m.InputShape, m.Preprocess, m.Labels)
	}
	want := key(first.Manifest)
	for _, path := range s.Models[1:] {
		b, err := bundle.Open(path, s.Registry)
		if err != nil {
			return err
		}
		got := key(b.Manifest)
		b.Store.Finalize()
		if got != want {
			return &fault.Input{
				File: path, Err: fmt.Errorf("it is another network or takes other inputs than %s: %s; %s", s.Models[0], got, want),
				Fix: "average models that were fine-tuned from one start",
			}
		}
	}
	return nil
}

// heldOut splits the training part as the recipes of the models did, and warns of models that have seen what is held out.
func (s Soup) heldOut(r *SoupResult, first *bundle.Bundle) (train data.Dataset, held Examples, err error) {
	ds, err := data.Open(s.Data, "train")
	if err != nil {
		return nil, held, err
	}
	if got := ds.Info().Size(); got != inputSize(first) {
		return nil, held, &fault.Usage{Err: fmt.Errorf("soup: examples of %s have shape %v, the models take %v", s.Data, ds.Info().Shape, first.Manifest.InputShape)}
	}

	ds, notes, err := data.Match("soup", ds, s.Models[0], first.Manifest.Labels, s.ByPlace)
	if err != nil {
		return nil, held, err
	}
	r.Warnings = append(r.Warnings, notes...)

	fraction, seed := s.Validation, s.Seed
	if own, ownSeed := recipeSplit(first); fraction == 0 && own > 0 {
		fraction, seed = own, ownSeed
	}
	if fraction == 0 {
		fraction = usualShare
	}
	for _, path := range s.Models {
		b, err := bundle.Open(path, s.Registry)
		if err != nil {
			return nil, held, err
		}
		own, ownSeed := recipeSplit(b)
		seen := b.Manifest.Provenance.Data == s.Data && (own != fraction || ownSeed != seed)
		b.Store.Finalize()
		if seen {
			r.Warnings = append(r.Warnings, fmt.Sprintf("%s was trained on examples that are held out here, so its score is too good; train with validation.fraction=%v seed=%d", path, fraction, seed))
		}
	}

	rest, aside, err := data.Stratified(data.Labels(ds), fraction, seed)
	if err != nil {
		return nil, held, err
	}
	held, err = Read(data.Subset(ds, aside))
	r.Examples = held.Len()
	return data.Subset(ds, rest), held, err
}

func inputSize(b *bundle.Bundle) int {
	n := 1
	for _, d := range b.Manifest.InputShape {
		n *= d
	}
	return n
}

// recipeSplit is the share of examples that a model's recipe kept aside, and the seed of the split.
func recipeSplit(b *bundle.Bundle) (fraction float64, seed uint64) {
	recipe, _ := b.Manifest.Provenance.Recipe.(map[string]any)
	validation, _ := recipe["validation"].(map[string]any)
	fraction, _ = validation["fraction"].(float64)
	return fraction, b.Manifest.Provenance.Seed
}

func accuracyOf(b *bundle.Bundle, e *engine.Engine, set weights.Set, held Examples) (float64, error) {
	scorer, err := NewScorer(b, e, held)
	if err != nil {
		return 0, err
	}
	defer scorer.Close()
	return scorer.Accuracy(set)
}

// cook makes the soup's weights.
func (s Soup) cook(ctx context.Context, r *SoupResult, first *bundle.Bundle, e *engine.Engine, held Examples) (weights.Set, error) {
	switch s.Method {
	case SoupGreedy:
		return s.cookGreedy(ctx, r, first, e, held)
	case SoupLearned:
		return s.cookLearned(ctx, r, first, e, held)
	}
	u, err := soup.NewUniform().Run(Bundles(s.Models, s.Registry))
	r.Warnings = append(r.Warnings, u.Warnings...)
	return u.Weights, err
}

func (s Soup) cookGreedy(ctx context.Context, r *SoupResult, first *bundle.Bundle, e *engine.Engine, held Examples) (weights.Set, error) {
	scorer, err := NewScorer(first, e, held)
	if err != nil {
		return nil, err
	}
	defer scorer.Close()

	score := func(set weights.Set) (float64, error) {
		if err := ctx.Err(); err != nil {
			return 0, context.Cause(ctx)
		}
		return scorer.Accuracy(set)
	}
	g, err := s.Greedy.Run(Bundles(s.Models, s.Registry), score, soup.GreedyOptions{Scores: s.Scores, Trace: s.Trace, Progress: s.Progress})
	if err != nil {
		return nil, err
	}
	for _, i := range g.Ingredients {
		r.Ingredients = append(r.Ingredients, s.Models[i])
	}
	r.Warnings, r.Scores, r.Greedy = append(r.Warnings, g.Warnings...), g.Scores, &g
	return g.Weights, nil
}

// cookLearned loads all models at once. A learned factor on the logits goes into the temperature of the first model.
func (s Soup) cookLearned(ctx context.Context, r *SoupResult, first *bundle.Bundle, e *engine.Engine, held Examples) (weights.Set, error) {
	models := Bundles(s.Models, s.Registry)
	var all []weights.Set
	for i := range models.Len() {
		set, err := models.Load(i)
		if err != nil {
			return nil, err
		}
		all = append(all, set)
	}
	objective, err := NewCrossEntropy(first, e)
	if err != nil {
		return nil, err
	}
	defer objective.Close()

	lossOf, batches := objective.SoupLoss(held, s.Batch, s.Seed)
	loss := func(step int, set weights.Set, beta float64) (soup.LossAt, error) {
		if err := ctx.Err(); err != nil {
			return soup.LossAt{}, context.Cause(ctx)
		}
		if s.Progress != nil {
			s.Progress(step, s.Learned.Epochs*batches)
		}
		return lossOf(step, set, beta)
	}
	l, err := s.Learned.Fit(all, s.Models, loss, batches)
	if err != nil {
		return nil, err
	}
	first.Manifest.Calibration.Temperature /= l.Beta
	r.Learned = &l
	return l.Weights, nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/merge/soup"
	"github.com/ballast-ml/ballast/merge/tuned"
)

// soupMethods are the methods of "ballast soup".
var soupMethods = []string{"uniform", "greedy", "learned"}

// soupFlags are the flags of "ballast soup".
type soupFlags struct {
	method, data, out, trace string
	validation               float64
	recalibrate, overwrite   bool
	scores                   []float64
	batch                    int

	greedy  soup.Greedy
	learned soup.Learned
}

// soupResult is what "ballast soup" prints.
type soupResult struct {
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

func newSoup(a *app) *cobra.Command {
	f := soupFlags{greedy: soup.NewGreedy(), learned: soup.NewLearned()}
	cmd := &cobra.Command{
		Use:   "soup MODEL... --out FOLDER",
		Short: "Average the models of a sweep into one",
		Long: `Soup makes one model of several that were fine-tuned from one start.

  uniform   the mean of all; needs no data, and takes weights of any format too
  greedy    the best model, and each of the others that does the soup no harm (default where there is data)
  learned   shares learned by gradient descent, a tensor, a layer or all together

Greedy and learned soups work on models that "ballast train" has written, of one network, and are scored by their accuracy on
examples held out of the training part of --data, never on the test part. Train the models with the same validation.fraction and
seed, so that they have not seen these; a model that has is named.`,
		Example: `  ballast soup runs/sweep/*/model --data mnist --method greedy --out soup
  ballast soup a/model b/model c/model --data mnist --method learned --share layer --out soup
  ballast soup a.safetensors b.safetensors --method uniform --out soup`,
		Args: usageArgs(cobra.MinimumNArgs(1)),
	}
	flags := cmd.Flags()
	flags.StringVar(&f.method, "method", "", "uniform, greedy or learned (default greedy with --data, uniform without)")
	flags.StringVar(&f.data, "data", "", `data set whose training part examples are held out of (see "ballast data list")`)
	flags.Float64Var(&f.validation, "validation", 0, "share of the training part held out (default: that of the first model's recipe, else 0.2)")
	flags.StringVar(&f.out, "out", "", "where to write the soup (a folder)")
	flags.StringVar(&f.trace, "trace", "", "greedy: file with every score, from which a run cut short goes on")
	flags.Float64SliceVar(&f.scores, "scores", nil, "greedy: scores of the models, where they are known, in their order")
	flags.BoolVar(&f.greedy.Strict, "strict", false, "greedy: keep a model only if the score rises (the released code's rule; the paper's keeps ties)")
	flags.BoolVar(&f.greedy.GivenOrder, "given-order", false, "greedy: try the models in the order given")
	flags.IntVar(&f.greedy.MaxIngredients, "max-ingredients", 0, "greedy: stop at so many models (0 = no limit)")
	flags.StringVar(&f.learned.Share, "share", f.learned.Share, "learned: what shares its coefficients: tensor, layer or all")
	flags.BoolVar(&f.learned.LearnBeta, "learn-beta", false, "learned: learn a factor on the logits too; it goes into the model's temperature")
	flags.IntVar(&f.learned.Epochs, "epochs", f.learned.Epochs, "learned: passes over the held-out examples")
	flags.Float64Var(&f.learned.LR, "lr", f.learned.LR, "learned: learning rate")
	flags.IntVar(&f.batch, "batch", 256, "learned: examples an update")
	flags.BoolVar(&f.recalibrate, "recalibrate", false, "estimate the statistics of batch norms again on the training part")
	overwriteFlag(cmd, &f.overwrite)
	cmd.RunE = func(c *cobra.Command, args []string) error {
		if err := f.check(args); err != nil {
			return err
		}
		claim := claimBundle(f.out, f.overwrite)
		if f.ofFiles(args) {
			claim = claimMarked(f.out, f.overwrite)
		}
		var r soupResult
		err := claimed(claim, func() (err error) {
			r, err = a.soup(c.Context(), f, args)
			return err
		})
		if err != nil {
			return err
		}
		for _, w := range r.Warnings {
			a.remark("warning: %s", w)
		}
		a.remark("written: %s", r.Out)
		if a.json {
			return a.printJSON(r)
		}
		return a.printSoup(r)
	}
	return cmd
}

func (f *soupFlags) check(models []string) error {
	if f.method == "" {
		f.method = "uniform"
		if f.data != "" {
			f.method = "greedy"
		}
	}
	if !slices.Contains(soupMethods, f.method) {
		text := "there are " + strings.Join(soupMethods, ", ")
		if near, ok := strict.Nearest(f.method, soupMethods); ok {
			text = fmt.Sprintf("did you mean %q?", near)
		}
		return &fault.Usage{Err: fmt.Errorf("soup: no method %q; %s", f.method, text)}
	}
	switch {
	case f.out == "":
		return &fault.Usage{Err: errors.New("soup: give --out, a folder for the soup")}
	case f.method != "uniform" && f.data == "":
		return &fault.Usage{Err: fmt.Errorf("soup: %s needs --data, whose held-out examples the soup is chosen by; uniform needs none", f.method)}
	case f.recalibrate && f.data == "":
		return &fault.Usage{Err: errors.New("soup: --recalibrate needs --data")}
	case f.scores != nil && len(f.scores) != len(models):
		return &fault.Usage{Err: fmt.Errorf("soup: %d scores for %d models; give one a model", len(f.scores), len(models))}
	case !(f.validation >= 0 && f.validation < 1):
		return &fault.Usage{Err: fmt.Errorf("soup: --validation is %v; it is a share of the training part, from 0 to below 1", f.validation)}
	}
	if err := f.learned.Validate(); err != nil {
		return &fault.Usage{Err: err}
	}
	for i, m := range models {
		if slices.Contains(models[:i], m) {
			return &fault.Usage{Err: fmt.Errorf("soup: %s is given twice", m)}
		}
	}
	return nil
}

// ofFiles tells whether the soup is one of weight files, not of bundles.
func (f soupFlags) ofFiles(models []string) bool {
	return f.method == "uniform" && slices.ContainsFunc(models, func(m string) bool { return !isBundle(m) })
}

func isBundle(path string) bool {
	_, err := os.Stat(filepath.Join(path, bundle.ManifestFile))
	return err == nil
}

func (a *app) soup(ctx context.Context, f soupFlags, models []string) (soupResult, error) {
	if f.ofFiles(models) {
		show, done := a.bytesCounter("soup")
		files, err := soup.NewUniform().Files(ctx, models, f.out, show)
		done()
		return soupResult{Method: f.method, Out: f.out, Models: models, Files: &files, Warnings: files.Warnings}, err
	}
	first, err := bundle.Open(models[0])
	if err != nil {
		return soupResult{}, err
	}
	r := soupResult{Method: f.method, Out: f.out, Models: models}
	if err := sameNetworks(first, models); err != nil {
		return r, err
	}
	e, err := a.openEngine()
	if err != nil {
		return r, err
	}
	defer e.Close()
	var held tuned.Examples
	var train data.Dataset
	if f.data != "" {
		if train, held, err = a.heldOut(&r, f, first, models); err != nil {
			return r, err
		}
	}
	soup, err := a.cook(ctx, &r, f, first, e, held)
	if err != nil {
		return r, err
	}
	if f.recalibrate {
		if soup, err = tuned.Recalibrate(ctx, first, e, soup, train, min(64, train.Len()), 0); err != nil {
			return r, err
		}
	}
	if err := first.SetWeights(soup); err != nil {
		return r, err
	}
	if held.Len() > 0 {
		scorer, err := tuned.NewScorer(first, e, held)
		if err != nil {
			return r, err
		}
		defer scorer.Close()
		score, err := scorer.Accuracy(soup)
		if err != nil {
			return r, err
		}
		r.Score = &score
	}
	first.Manifest.Metrics = nil // they were the first model's
	first.Manifest.Name = strings.TrimSuffix(first.Manifest.Name, " soup") + " soup"
	first.Manifest.Provenance.Created = time.Now().UTC()
	ingredients := r.Ingredients
	if ingredients == nil {
		ingredients = models
	}
	first.Manifest.Provenance.Derived = append(slices.Clone(first.Manifest.Provenance.Derived),
		fmt.Sprintf("soup: %s of %d models: %s", f.method, len(ingredients), strings.Join(ingredients, ", ")))
	return r, first.Save(f.out)
}

// sameNetworks refuses bundles of another network, preprocessing or labels, before anything is loaded.
func sameNetworks(first *bundle.Bundle, models []string) error {
	key := func(m bundle.Manifest) string {
		network, err := m.Network.MarshalJSON()
		if err != nil {
			network = []byte(err.Error())
		}
		return fmt.Sprintf("network %s, input %v, preprocessing %v, labels %v", network, m.InputShape, m.Preprocess, m.Labels)
	}
	want := key(first.Manifest)
	for _, path := range models[1:] {
		b, err := bundle.Open(path)
		if err != nil {
			return err
		}
		got := key(b.Manifest)
		b.Store.Finalize()
		if got != want {
			return &fault.Input{File: path, Err: fmt.Errorf("it is another network or takes other inputs than %s: %s; %s", models[0], got, want), Fix: "average models that were fine-tuned from one start"}
		}
	}
	return nil
}

// heldOut splits the training part as the recipes of the models did.
func (a *app) heldOut(r *soupResult, f soupFlags, first *bundle.Bundle, models []string) (train data.Dataset, held tuned.Examples, err error) {
	ds, err := data.Open(f.data, "train")
	if err != nil {
		return nil, held, err
	}
	if got := ds.Info().Size(); got != inputSize(first) {
		return nil, held, &fault.Usage{Err: fmt.Errorf("soup: examples of %s have shape %v, the models take %v", f.data, ds.Info().Shape, first.Manifest.InputShape)}
	}
	fraction, seed := f.validation, a.seed
	if own, ownSeed := recipeSplit(first); fraction == 0 && own > 0 {
		fraction, seed = own, ownSeed
	}
	if fraction == 0 {
		fraction = 0.2
	}
	for _, path := range models {
		b, err := bundle.Open(path)
		if err != nil {
			return nil, held, err
		}
		own, ownSeed := recipeSplit(b)
		seen := b.Manifest.Provenance.Data == f.data && (own != fraction || ownSeed != seed)
		b.Store.Finalize()
		if seen {
			r.Warnings = append(r.Warnings, fmt.Sprintf("%s was trained on examples that are held out here, so its score is too good; train with validation.fraction=%v seed=%d", path, fraction, seed))
		}
	}
	rest, aside, err := data.Stratified(data.Labels(ds), fraction, seed)
	if err != nil {
		return nil, held, err
	}
	held, err = tuned.Read(data.Subset(ds, aside))
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

// cook makes the soup's weights.
func (a *app) cook(ctx context.Context, r *soupResult, f soupFlags, first *bundle.Bundle, e *engine.Engine, held tuned.Examples) (weights.Set, error) {
	models := tuned.Bundles(r.Models)
	switch f.method {
	case "uniform":
		u, err := soup.NewUniform().Run(models)
		r.Warnings = append(r.Warnings, u.Warnings...)
		return u.Weights, err
	case "greedy":
		scorer, err := tuned.NewScorer(first, e, held)
		if err != nil {
			return nil, err
		}
		defer scorer.Close()
		show, done := a.counter("soup")
		defer done()
		g, err := f.greedy.Run(models, func(w weights.Set) (float64, error) {
			if err := ctx.Err(); err != nil {
				return 0, context.Cause(ctx)
			}
			return scorer.Accuracy(w)
		}, soup.GreedyOptions{Scores: f.scores, Trace: f.trace, Progress: show})
		if err != nil {
			return nil, err
		}
		for _, i := range g.Ingredients {
			r.Ingredients = append(r.Ingredients, r.Models[i])
		}
		r.Warnings, r.Scores, r.Greedy = append(r.Warnings, g.Warnings...), g.Scores, &g
		return g.Weights, nil
	}
	var all []weights.Set
	for i := range models.Len() {
		w, err := models.Load(i)
		if err != nil {
			return nil, err
		}
		all = append(all, w)
	}
	objective, err := tuned.NewCrossEntropy(first, e)
	if err != nil {
		return nil, err
	}
	defer objective.Close()
	lossOf, batches := objective.SoupLoss(held, f.batch, a.seed)
	show, done := a.counter("soup")
	defer done()
	l, err := f.learned.Fit(all, r.Models, func(step int, w weights.Set, beta float64) (soup.LossAt, error) {
		if err := ctx.Err(); err != nil {
			return soup.LossAt{}, context.Cause(ctx)
		}
		if show != nil {
			show(step, f.learned.Epochs*batches)
		}
		return lossOf(step, w, beta)
	}, batches)
	if err != nil {
		return nil, err
	}
	first.Manifest.Calibration.Temperature /= l.Beta
	r.Learned = &l
	return l.Weights, nil
}

func (a *app) printSoup(r soupResult) error {
	if r.Files != nil {
		_, err := fmt.Fprintf(a.out, "uniform soup of %d models: %d tensors, %.1f MB\n", len(r.Models), r.Files.Tensors, float64(r.Files.Bytes)/1e6)
		return err
	}
	if r.Greedy != nil {
		for _, i := range r.Greedy.Order {
			if i < len(r.Scores) {
				fmt.Fprintf(a.out, "%-40s %.4f\n", r.Models[i], r.Scores[i])
			}
		}
		for _, t := range r.Greedy.Trials {
			fmt.Fprintf(a.out, "with %-35s %.4f  %s\n", r.Models[t.Model], t.Score, map[bool]string{true: "kept", false: "left out"}[t.Kept])
		}
	}
	if r.Learned != nil {
		for g, name := range r.Learned.Groups {
			fmt.Fprintf(a.out, "%-40s", name)
			for _, share := range r.Learned.Alpha[g] {
				fmt.Fprintf(a.out, " %.3f", share)
			}
			fmt.Fprintln(a.out)
		}
	}
	count := len(r.Models)
	if r.Ingredients != nil {
		count = len(r.Ingredients)
	}
	if r.Score == nil {
		_, err := fmt.Fprintf(a.out, "%s soup of %d models\n", r.Method, count)
		return err
	}
	_, err := fmt.Fprintf(a.out, "%s soup of %d of %d models: accuracy %.4f on %d held-out examples\n", r.Method, count, len(r.Models), *r.Score, r.Examples)
	return err
}

package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/merge/tuned"
)

// soupFlags are the flags of "ballast soup".
type soupFlags struct {
	out       string
	overwrite bool

	soup tuned.Soup
}

func newSoup(a *app) *cobra.Command {
	f := soupFlags{soup: tuned.NewSoup()}
	s := &f.soup
	cmd := &cobra.Command{
		Use:   "soup MODEL... --out FOLDER",
		Short: "Average the models of a sweep into one",
		Long: `Soup makes one model of several that were fine-tuned from one start.

  uniform   the mean of all; needs no data, and takes weights of any format too
  greedy    the best model, and each other model that does not make the soup worse (default with --data)
  learned   shares learned by gradient descent, per tensor, per layer or for all

Greedy and learned soups work on models that "ballast train" has written, of one network, and are scored by their accuracy on
examples held out of the training part of --data, never on the test part. Train the models with the same validation.fraction and
seed, so that they have not seen these; a model that has is named.`,
		Example: `  ballast soup runs/sweep/*/model --data mnist --method greedy --out soup
  ballast soup a/model b/model c/model --data mnist --method learned --share layer --out soup
  ballast soup a.safetensors b.safetensors --method uniform --out soup`,
		Args: usageArgs(cobra.MinimumNArgs(1)),
	}
	flags := cmd.Flags()
	flags.StringVar(&s.Method, "method", "", "uniform, greedy or learned (default greedy with --data, uniform without)")
	flags.StringVar(&s.Data, "data", "", `data set whose training part examples are held out of (see "ballast data list")`)
	flags.Float64Var(&s.Validation, "validation", 0, "share of the training part held out (default: that of the first model's recipe, else 0.2)")
	flags.StringVar(&f.out, "out", "", "where to write the soup (a folder)")
	flags.StringVar(&s.Trace, "trace", "", "greedy: file with every score, from which a run that was cut short is resumed")
	flags.Float64SliceVar(&s.Scores, "scores", nil, "greedy: scores of the models, if known, in their order")
	flags.BoolVar(&s.Greedy.Strict, "strict", false, "greedy: keep a model only if the score rises (the released code's rule; the paper's keeps ties)")
	flags.BoolVar(&s.Greedy.GivenOrder, "given-order", false, "greedy: try the models in the order given")
	flags.IntVar(&s.Greedy.MaxIngredients, "max-ingredients", 0, "greedy: most models in the soup (0 = no limit)")
	flags.StringVar(&s.Learned.Share, "share", s.Learned.Share, "learned: one coefficient per tensor, per layer or for all: tensor, layer or all")
	flags.BoolVar(&s.Learned.LearnBeta, "learn-beta", false, "learned: also learn a factor on the logits, which becomes the model's temperature")
	flags.IntVar(&s.Learned.Epochs, "epochs", s.Learned.Epochs, "learned: passes over the held-out examples")
	flags.Float64Var(&s.Learned.LR, "lr", s.Learned.LR, "learned: learning rate")
	flags.IntVar(&s.Batch, "batch", s.Batch, "learned: examples per update")
	flags.BoolVar(&s.ByPlace, "by-place", false, "match class k of --data with output k of the models, whatever their names")
	flags.BoolVar(&s.Recalibrate, "recalibrate", false, "estimate the statistics of batch norms again on the training part")
	overwriteFlag(cmd, &f.overwrite)
	cmd.RunE = func(c *cobra.Command, args []string) error {
		paths, err := modelPaths(args)
		if err != nil {
			return err
		}
		f.soup.Models, f.soup.Seed = paths, a.seed
		return f.run(c, a)
	}
	return cmd
}

func (f soupFlags) run(cmd *cobra.Command, a *app) error {
	if f.soup.Method == "" {
		f.soup.Method = tuned.SoupUniform
		if f.soup.Data != "" {
			f.soup.Method = tuned.SoupGreedy
		}
	}
	if err := f.check(); err != nil {
		return err
	}
	if err := f.idle(cmd); err != nil {
		return err
	}

	claim := claimBundle(f.out, f.overwrite)
	if f.soup.OfFiles() {
		claim = claimMarked(f.out, f.overwrite)
	}
	show, done := a.counter("soup")
	showBytes, doneBytes := a.bytesCounter("soup")
	f.soup.Progress, f.soup.BytesProgress = show, showBytes
	var r tuned.SoupResult
	err := claimed(claim, func() (err error) {
		defer doneBytes()
		defer done()
		r, err = f.soup.Run(cmd.Context(), f.out, func() (*engine.Engine, error) { return a.openEngineFor(f.soup.Work()) })
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
		err = a.printJSON(r)
	} else {
		err = a.printSoup(r)
	}
	if err != nil {
		return err
	}
	a.nextAfterSoup(r.Out, f.soup.Data, r.Models)
	return nil
}

// idle refuses flags of another method than the one that is run, and those of data where there is none.
func (f soupFlags) idle(cmd *cobra.Command) error {
	ofGreedy := []string{"trace", "scores", "strict", "given-order", "max-ingredients"}
	ofLearned := []string{"share", "learn-beta", "epochs", "lr", "batch"}
	var others []string
	switch f.soup.Method {
	case tuned.SoupGreedy:
		others = ofLearned
	case tuned.SoupLearned:
		others = ofGreedy
	default:
		others = append(ofGreedy, ofLearned...)
	}
	if err := idle(cmd, "in a soup that is "+f.soup.Method, others...); err != nil {
		return err
	}
	if f.soup.OfFiles() {
		return idle(cmd, "in a soup of model files", "data", "validation", "by-place", "recalibrate", "engine", "seed")
	}
	if f.soup.Data == "" {
		return idle(cmd, "without --data", "validation", "by-place", "seed")
	}
	return nil
}

// check words in flags what only flags can get wrong; the rest is the soup's own check.
func (f soupFlags) check() error {
	s := f.soup
	if !slices.Contains(tuned.SoupMethods(), s.Method) {
		return s.Validate()
	}
	switch {
	case f.out == "":
		return &fault.Usage{Err: errors.New("soup: give --out, a folder for the soup")}
	case s.Method != tuned.SoupUniform && s.Data == "":
		return &fault.Usage{Err: fmt.Errorf("soup: %s needs --data, whose held-out examples the soup is chosen by; uniform needs none", s.Method)}
	case s.Recalibrate && s.Data == "":
		return &fault.Usage{Err: errors.New("soup: --recalibrate needs --data")}
	case s.Data != "" && data.Check(s.Data, "train") != nil:
		return data.Check(s.Data, "train")
	case !(s.Validation >= 0 && s.Validation < 1):
		return &fault.Usage{Err: fmt.Errorf("soup: --validation is %v; it is a share of the training part, from 0 to below 1", s.Validation)}
	}
	return s.Validate()
}

func (a *app) printSoup(r tuned.SoupResult) error {
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
